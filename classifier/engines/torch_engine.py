"""Pictures in, scores out, on torch: the reference that every other engine is compared with, and its int8.

A score does not depend on the batch it travels in beyond 1e-5: the library may pick another kernel for
another batch size, which changes the order of additions. With equal batch size and threads, scores are equal
bit for bit.
"""

import io
import threading
import warnings
from pathlib import Path
from typing import Self

import numpy as np
import safetensors
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import nn

from classifier.engines.checked_engine import CheckedEngine
from classifier.engines.scorer import Scorer
from classifier.errors import ModelError
from classifier.models.open_nsfw import OpenNsfw
from classifier.values import ModelCard, Pixels


class TorchEngine(CheckedEngine):
    """A model on torch behind the `Classifier` protocol; calls from several threads take turns.

    Args:
        network: Maps float32 (n, 3, input_px, input_px), 0..255, channels as the card's preprocessing leaves
            them, to logits (n, 2). Taken over: set to eval, its parameters frozen.
        card: Its card.
        threads: Threads of one prediction; 0 leaves the number to the library. The number is the process's.
    """

    def __init__(self, network: nn.Module, card: ModelCard, threads: int = 0) -> None:
        network.eval().requires_grad_(False)
        # A decoded picture has its channels next to each other; keeping them so saves a copy and is faster.
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._network: nn.Module | None = network
        self._take(Scorer(network).eval(), card, threads, "torch-fp32")

    @classmethod
    def from_torchscript(cls, source: Path | bytes, card: ModelCard, threads: int = 0) -> Self:
        """Build the int8 engine from TorchScript, whose quantised modules cannot be kept as safetensors.

        Args:
            source: The file or its content; the caller has verified its hash. Its one method takes uint8
                (n, input_px, input_px, 3) and gives float32 (n,).
            card: The model's card.
            threads: As for the class.

        Returns:
            The engine `torch-int8`.

        Raises:
            ModelError: Where the content is not TorchScript that this version of torch reads.
        """
        try:
            content = source.read_bytes() if isinstance(source, Path) else source
            with warnings.catch_warnings():
                # Announced to go with a later torch; a pinned version cannot surprise us.
                warnings.simplefilter("ignore", DeprecationWarning)
                scorer = torch.jit.load(  # type: ignore[no-untyped-call]
                    io.BytesIO(content), map_location="cpu"
                )
        except (OSError, RuntimeError, ValueError) as error:
            raise ModelError(
                f"{card.name}: torch {torch.__version__} cannot read the exported int8 model: {error}"
            ) from error
        engine = cls.__new__(cls)
        engine._network = None
        engine._take(scorer.eval(), card, threads, "torch-int8")
        return engine

    def _take(self, scorer: nn.Module, card: ModelCard, threads: int, engine: str) -> None:
        super().__init__(card, engine)
        if threads > 0:
            torch.set_num_threads(threads)
        self._scorer = scorer
        self._lock = threading.Lock()

    @property
    def network(self) -> nn.Module:
        """The torch module itself, for training code; its parameters are frozen.

        Raises:
            ModelError: For int8, which has no gradients and no logits.
        """
        if self._network is None:
            raise ModelError(f"{self._card.name}: {self._engine} is for scoring only; use torch-fp32")
        return self._network

    def _run(self, pixels: Pixels) -> NDArray[np.float32]:
        # torch does not know read-only memory, and strides of flipped arrays are negative: both need a copy.
        array = np.require(pixels, requirements=["C", "W"])
        try:
            with self._lock, torch.inference_mode():
                scores: NDArray[np.float32] = self._scorer(torch.from_numpy(array)).numpy()
        except RuntimeError as error:
            raise self._failed(error) from error
        return scores


def load_open_nsfw(content: bytes, card: ModelCard, threads: int = 0) -> TorchEngine:
    """Build open_nsfw from its weights.

    Args:
        content: The safetensors file; the caller has verified its hash.
        card: The model's card.
        threads: As for `TorchEngine`.

    Returns:
        The engine.

    Raises:
        ModelError: Where the content does not fit the network.
    """
    try:
        state = safetensors.torch.load(content)
    except safetensors.SafetensorError as error:
        raise ModelError(f"{card.name}: the weights are not a safetensors file: {error}") from error
    network = OpenNsfw()
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise ModelError(f"{card.name}: the weights do not fit the network: {error}") from error
    return TorchEngine(network, card, threads)

"""Pictures in, scores out, on torch.

A score does not depend on the batch it travels in beyond 1e-5: the library may pick another kernel for
another batch size, which changes the order of additions. With equal batch size and threads, scores are equal
bit for bit.
"""

import threading

import numpy as np
import safetensors
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import nn

from classifier.errors import ModelError
from classifier.models.open_nsfw import OpenNsfw
from classifier.values import ModelCard, Pixels


class TorchClassifier:
    """A network with two logits behind the `Classifier` protocol; calls from several threads take turns.

    Args:
        network: Maps float32 (n, 3, input_px, input_px), BGR 0..255, to logits (n, 2). Taken over: set to
            eval, its parameters frozen.
        card: Its card.
        threads: Threads of one prediction; 0 leaves the number to the library. The number is the process's.
    """

    engine = "torch-fp32"

    def __init__(self, network: nn.Module, card: ModelCard, threads: int = 0) -> None:
        if threads > 0:
            torch.set_num_threads(threads)
        network.eval().requires_grad_(False)
        # A decoded picture has its channels next to each other; keeping them so saves a copy and is faster.
        self._network: nn.Module = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._card = card
        self._lock = threading.Lock()

    @property
    def card(self) -> ModelCard:
        """The model's card."""
        return self._card

    @property
    def network(self) -> nn.Module:
        """The torch module itself, for training code; its parameters are frozen."""
        return self._network

    def predict(self, pixels: Pixels) -> NDArray[np.float32]:
        """Score a batch.

        Args:
            pixels: uint8 array (n, input_px, input_px, 3) as the card's preprocessing leaves it, n >= 1.

        Returns:
            float32 array (n,), scores in 0..1.

        Raises:
            ValueError: Where shape or dtype are others.
            ModelError: Where the network gives something that is not a number.
        """
        side = self._card.input_px
        if (
            pixels.dtype != np.uint8
            or pixels.ndim != 4
            or pixels.shape[1:] != (side, side, 3)
            or not len(pixels)
        ):
            raise ValueError(f"expected uint8 (n, {side}, {side}, 3), got {pixels.dtype} {pixels.shape}")
        # torch does not know read-only memory, and strides of flipped arrays are negative: both need a copy.
        array = np.require(pixels, requirements=["C", "W"])
        with self._lock, torch.inference_mode():
            batch = torch.from_numpy(array).permute(0, 3, 1, 2).to(torch.float32)
            scores = torch.softmax(self._network(batch), dim=1)[:, 1].numpy()
        if not np.isfinite(scores).all():
            raise ModelError(
                f"{self._card.name}: a score is not a number; the weights or the library are broken"
            )
        return scores


def load_open_nsfw(content: bytes, card: ModelCard, threads: int = 0) -> TorchClassifier:
    """Build open_nsfw from its weights.

    Args:
        content: The safetensors file; the caller has verified its hash.
        card: The model's card.
        threads: As for `TorchClassifier`.

    Returns:
        The classifier.

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
    return TorchClassifier(network, card, threads)

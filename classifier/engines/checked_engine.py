"""What every engine is and checks before and after its library does the work; the same words for all."""

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from classifier.errors import ModelError
from classifier.values import ModelCard, Pixels


class CheckedEngine(ABC):
    """A model behind the `Classifier` protocol; how it is run is for each library's own class to say.

    Args:
        card: The model's card.
        engine: The engine's name, such as `onnxruntime-int8`.
    """

    def __init__(self, card: ModelCard, engine: str) -> None:
        self._card = card
        self._engine = engine

    @property
    def card(self) -> ModelCard:
        """The model's card."""
        return self._card

    @property
    def engine(self) -> str:
        """What runs it, such as `onnxruntime-int8`."""
        return self._engine

    def predict(self, pixels: Pixels) -> NDArray[np.float32]:
        """Score a batch.

        Args:
            pixels: uint8 array (n, input_px, input_px, 3) as the card's preprocessing leaves it, n >= 1.

        Returns:
            float32 array (n,), scores in 0..1.

        Raises:
            ValueError: Where shape or dtype are others.
            ModelError: Where the library fails or gives something that is not a score.
        """
        self._check_pixels(pixels)
        scores = self._run(pixels)
        self._check_scores(scores, len(pixels))
        return scores

    @abstractmethod
    def _run(self, pixels: Pixels) -> NDArray[np.float32]:
        """Score a batch that was checked, in whatever order of memory; what comes back is nobody else's.

        Raises:
            ModelError: Where the library fails.
        """

    def _failed(self, reason: object) -> ModelError:
        return ModelError(f"{self._card.name}: {self._engine} failed: {reason}")

    def _check_pixels(self, pixels: Pixels) -> None:
        side = self._card.input_px
        if pixels.dtype != np.uint8 or pixels.shape[1:] != (side, side, 3) or not len(pixels):
            raise ValueError(f"expected uint8 (n, {side}, {side}, 3), got {pixels.dtype} {pixels.shape}")

    def _check_scores(self, scores: NDArray[np.float32], count: int) -> None:
        """Refuse what is no score: "not a number" compares as below every threshold, which reads as safe."""
        name = self._card.name
        if scores.dtype != np.float32 or scores.shape != (count,):
            raise ModelError(
                f"{name}: {count} pictures gave {scores.dtype} {scores.shape} instead of one score each; "
                "the exported model is not of this project's form"
            )
        # Rounding may leave a softmax a few units in the last place above 1.
        if not np.isfinite(scores).all() or scores.min() < 0 or scores.max() > 1 + 1e-5:
            raise ModelError(f"{name}: a score is not a number in 0..1; weights or library are broken")

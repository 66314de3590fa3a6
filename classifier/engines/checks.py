"""What every engine checks before and after its library does the work; the same words for all."""

import numpy as np
from numpy.typing import NDArray

from classifier.errors import ModelError
from classifier.values import ModelCard, Pixels


def check_pixels(pixels: Pixels, card: ModelCard) -> None:
    """Refuse what is not a batch of prepared pictures.

    Args:
        pixels: Should be uint8 (n, input_px, input_px, 3), n >= 1.
        card: Of the model that is to score them.

    Raises:
        ValueError: Where shape or dtype are others.
    """
    side = card.input_px
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[1:] != (side, side, 3) or not len(pixels):
        raise ValueError(f"expected uint8 (n, {side}, {side}, 3), got {pixels.dtype} {pixels.shape}")


def check_scores(scores: NDArray[np.float32], count: int, card: ModelCard) -> NDArray[np.float32]:
    """Refuse what cannot be scores: "not a number" compares as below every threshold, and would read as safe.

    Args:
        scores: What the library gave.
        count: Pictures that went in.
        card: Of the model.

    Returns:
        The same array, float32 (count,).

    Raises:
        ModelError: Where it has another form, or a score is not a number within 0..1.
    """
    if scores.dtype != np.float32 or scores.shape != (count,):
        raise ModelError(
            f"{card.name}: {count} pictures gave {scores.dtype} {scores.shape} instead of one score each; "
            "the exported model is not of this project's form"
        )
    # Rounding may leave a softmax a few units in the last place above 1.
    if not np.isfinite(scores).all() or scores.min() < 0 or scores.max() > 1 + 1e-5:
        raise ModelError(f"{card.name}: a score is not a number in 0..1; weights or library are broken")
    return scores

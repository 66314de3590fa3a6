"""Two models at the same review load: what the second finds when it flags as many files as the first. Pure.

Whoever flags more finds more. Cut where both flag equally many, by weight, recalls can be compared whatever
the thresholds are, and a higher recall is a higher precision, too.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def flags_at_load(
    scores: Floats | Sequence[float], probabilities: Floats | Sequence[float], load: float
) -> Floats:
    """Flag the highest scores until so many uploads are flagged.

    Items stand for 1 / p uploads each, and some scores are equal, so the cut goes through the middle of
    items: what stands at the edge is flagged in part, all of equal score alike.

    Args:
        scores: 0..1, shape (items,).
        probabilities: Inclusion probabilities, over 0 and at most 1, likewise.
        load: How many uploads are flagged; all of them where there are fewer.

    Returns:
        Which share of each item is flagged, 0..1, shape (items,).
    """
    values, weights = np.array(scores, np.float64), 1.0 / np.array(probabilities, np.float64)
    levels, of_item = np.unique(-values, return_inverse=True)  # highest first
    heavy = np.bincount(of_item.reshape(-1), weights, minlength=len(levels))
    before = np.cumsum(heavy) - heavy
    share = np.clip((load - before) / heavy, 0.0, 1.0)
    return np.asarray(share[of_item.reshape(-1)], np.float64)


__all__ = ["flags_at_load"]

"""What to ask people about next: uploads that a model is unsure of, with probabilities that are known. Pure.

Asking only about the uncertain ones would make every later estimate wrong. So nothing is picked: each upload
that was neither flagged nor reviewed gets a probability of being asked about, larger where the score is near
the threshold (entropy of the score once the threshold is moved to one half) and where two models disagree,
and never zero (a share of the budget goes to all alike). The probabilities add up to the budget, and what is
drawn with them is weighted by 1 / probability like everything else (importance-weighted active learning,
Beygelzimer, Dasgupta, Langford 2009). `bot.proposals` draws with them, a day after the first draw.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Numbers = Sequence[float] | Floats

EVEN_SHARE = 0.2
"""Of the budget, what goes to all uploads alike; it bounds the weights."""


def uncertainty(scores: Numbers, threshold: float | Floats, others: Numbers | None = None) -> Floats:
    """How unsure the models are of each upload.

    Args:
        scores: 0..1.
        threshold: Score from which is flagged, of all of them or of each.
        others: Scores of another model, NaN where it has none; None: there is no other.

    Returns:
        0..2, shape (uploads,): the entropy in bits, and how far apart the two are.
    """
    values = np.clip(np.array(scores, np.float64), 1e-6, 1 - 1e-6)
    at = np.clip(np.array(threshold, np.float64), 1e-6, 1 - 1e-6)
    odds = values / (1 - values) * ((1 - at) / at)
    moved = odds / (1 + odds)  # one half exactly at the threshold
    entropy = -(moved * np.log2(moved) + (1 - moved) * np.log2(1 - moved))
    if others is None:
        return np.asarray(entropy)
    apart = np.abs(np.array(others, np.float64) - np.array(scores, np.float64))
    return np.asarray(entropy + np.nan_to_num(apart, nan=0.0))


def inclusion_probabilities(
    unsure: Numbers, budget: float, even_share: float = EVEN_SHARE, counts: Numbers | None = None
) -> Floats:
    """Turn uncertainty into probabilities that spend a budget.

    Args:
        unsure: At least 0 each, shape (uploads,).
        budget: How many uploads can be asked about, on average.
        even_share: Of the budget, what goes to all alike, over 0 and at most 1.
        counts: How many uploads each place stands for; None: one.

    Returns:
        Over 0 and at most 1, shape (uploads,); they add up to the budget, or to the number of uploads where
        that is smaller.

    Raises:
        ValueError: Where the budget is not over 0, `even_share` out of range, or an uncertainty negative.
    """
    wanted = np.array(unsure, np.float64)
    if budget <= 0 or not 0 < even_share <= 1 or bool((wanted < 0).any()):
        raise ValueError("the budget and the even share have to be over 0, and no uncertainty below")
    times = np.ones(len(wanted)) if counts is None else np.array(counts, np.float64)
    size = float(times.sum())
    if budget >= size:
        return np.ones(len(wanted))
    total = float((wanted * times).sum())
    shape = wanted / total if total > 0 else np.full(len(wanted), 1 / size)
    mixed = (1 - even_share) * shape + even_share / size
    return _capped(mixed, budget, times)


def combined(first: Numbers, second: Numbers) -> Floats:
    """The probability of being chosen at all in two draws that do not know of each other.

    Args:
        first: Probabilities of the first draw, 0..1.
        second: Of the second one, likewise.

    Returns:
        1 - (1 - first) (1 - second), without the digits that the subtraction would cost small ones.
    """
    one, other = np.array(first, np.float64), np.array(second, np.float64)
    return np.asarray(one + other - one * other)


def turns(start: float, probabilities: Floats) -> Floats:
    """The systematic draws of uploads in a row (`storage.sampling` tells how they choose).

    Args:
        start: The first one's, in [0, 1).
        probabilities: Of each upload, shape (uploads,).

    Returns:
        In [0, 1), shape (uploads,); an upload is chosen where its draw is below its probability.
    """
    before = np.concatenate([[0.0], np.cumsum(probabilities)[:-1]])[: len(probabilities)]
    return np.asarray(np.mod(start - before, 1.0) % 1.0)


def _capped(shape: Floats, budget: float, times: Floats) -> Floats:
    """Proportional to `shape`, at most 1 each; what is cut off goes to the others."""
    certain = np.zeros(len(shape), np.bool_)
    while True:
        rest = budget - times[certain].sum()
        open_share = (shape * times)[~certain].sum()
        if not open_share:
            return certain.astype(np.float64)
        scaled = np.where(certain, 1.0, shape * (rest / open_share))
        over = (scaled > 1) & ~certain
        if not over.any():
            return np.asarray(np.minimum(scaled, 1.0))
        certain |= over


__all__ = ["EVEN_SHARE", "combined", "inclusion_probabilities", "turns", "uncertainty"]

"""From what a community asks for, a precision or a number of flags a day, to a threshold. Pure.

Nobody can say what a score of 0.7 means, and a new model's 0.7 means something else. What can be said is how
many of the flagged files should be explicit, or how many people can look at in a day. Both are answered from
scores with their labels and weights w_i = 1 / p_i, and refused where there are too few of them.

For a precision the labels are first made monotone in the score (pooling adjacent violators, weighted: Ayer et
al. 1955; Zadrozny and Elkan 2002), so that one lucky run of labels does not decide; the threshold is the
lowest at which the weighted precision above it, and its estimate without that smoothing, reach the target.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storage.estimates import Estimate, wilson
from storage.paired_estimates import weights_of

Floats = NDArray[np.float64]
Numbers = Sequence[float] | Floats

LEAST_LABELS = 50
"""Labelled items below which nothing is decided."""
LEAST_ABOVE = 20
"""Labelled items at or over the threshold below which nothing is said of its precision."""
_LOWEST, _HIGHEST = 0.0001, 0.9999


class TooLittleFeedback(Exception):
    """There is not enough to decide on; the message says how much there is and what is needed."""


class Unreachable(TooLittleFeedback):
    """There are enough labels, and what they show is that no threshold does what is asked."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A threshold and what is known of it.

    Attributes:
        threshold: Score from which a file is flagged, over 0 and under 1.
        precision: Weighted, with an interval, at this threshold.
        labelled: Items with a label, at any score.
        flags_per_day: How many files a day reach it; None where that was not asked.
    """

    threshold: float
    precision: Estimate
    labelled: int
    flags_per_day: float | None = None


def for_precision(
    scores: Numbers,
    labels: Numbers,
    probabilities: Numbers,
    target: float,
    strata: Sequence[str] | None = None,
) -> Choice:
    """The lowest threshold whose flags are as often explicit as is asked for.

    Args:
        scores: 0..1.
        labels: 1.0 explicit, 0.0 harmless, NaN without a label.
        probabilities: Inclusion probabilities.
        target: Share of the flagged that has to be explicit, over 0 and under 1.
        strata: What each item was drawn from; None: one for all.

    Returns:
        The threshold.

    Raises:
        TooLittleFeedback: Where there are too few labels.
        Unreachable: Where no threshold reaches the target.
    """
    ordered, known, weights = _ordered(scores, labels, probabilities, strata)
    smooth = _monotone(known, weights)
    cut = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)  # ends of equal scores
    heavy = np.cumsum(weights)
    good = np.minimum(np.cumsum(weights * known), np.cumsum(weights * smooth)) / heavy
    enough = cut[cut + 1 >= LEAST_ABOVE]
    reached = enough[good[enough] >= target]
    if not len(reached):
        best = float(good[enough].max())
        raise Unreachable(
            f"no threshold reaches a precision of {target:.0%}: the best that {len(ordered)} labels show is "
            f"{best:.0%} (with at least {LEAST_ABOVE} of them above it)"
        )
    last = int(reached[-1])
    above = ordered[last]
    below = ordered[last + 1] if last + 1 < len(ordered) else above
    return Choice(_between(below, above), _precision(known, weights, last + 1), len(ordered))


def for_budget(
    scores: Numbers,
    labels: Numbers,
    probabilities: Numbers,
    highest: Sequence[float],
    days: float,
    per_day: float,
    strata: Sequence[str] | None = None,
) -> Choice:
    """The lowest threshold that flags no more than so many files a day.

    Args:
        scores: Of reviewed items, for what can be said of the precision; likewise the next two.
        labels: As for `for_precision`.
        probabilities: As for `for_precision`.
        highest: The model's highest scores of all uploads of some days, highest first: more than the budget
            of these days, or all there are.
        days: How many days they come from.
        per_day: Flags a day at most.
        strata: As for `for_precision`.

    Returns:
        The threshold.

    Raises:
        TooLittleFeedback: Where there is less than a day of scores, or too few labels.
    """
    ordered, known, weights = _ordered(scores, labels, probabilities, strata)
    if days < 1:
        raise TooLittleFeedback(
            f"the model has scored as many uploads as come in {days:.1f} days; a budget needs at least 1"
        )
    allowed = int(per_day * days)
    if allowed < 1:
        raise TooLittleFeedback(f"{per_day:g} flags a day are less than one in the {days:.1f} days observed")
    above = highest[min(allowed, len(highest)) - 1] if highest else 1.0
    below = highest[allowed] if len(highest) > allowed else 0.0
    if below == above:  # a tie at the edge: all of it would be too much
        below, above = above, min((score for score in highest if score > below), default=1.0)
    threshold = _between(below, above)
    count = int((ordered >= threshold).sum())
    if count < LEAST_ABOVE:
        raise TooLittleFeedback(
            f"only {count} labelled items reach a threshold of {threshold:.4f}; {LEAST_ABOVE} are "
            "needed to say how many of its flags are right"
        )
    flagged = sum(score >= threshold for score in highest)
    return Choice(threshold, _precision(known, weights, count), len(ordered), flagged / days)


def levels_with(
    thresholds: dict[str, float], level: str, value: float, order: Sequence[str]
) -> dict[str, float]:
    """Put a threshold among the others; those that would contradict it move along.

    Args:
        thresholds: By level.
        level: Whose threshold is new.
        value: The new one.
        order: The levels, the one that flags least first.

    Returns:
        Thresholds that fall, or stay, along `order`.
    """
    place = order.index(level)
    found = {**thresholds, level: value}
    for one in order[:place]:
        found[one] = max(found[one], value)
    for one in order[place + 1 :]:
        found[one] = min(found[one], value)
    return found


def _ordered(
    scores: Numbers,
    labels: Numbers,
    probabilities: Numbers,
    strata: Sequence[str] | None,
) -> tuple[Floats, Floats, Floats]:
    """Scores, labels and weights of what has a label, highest score first."""
    values, told = np.array(scores, np.float64), np.array(labels, np.float64)
    names = None if strata is None else np.array(strata, np.str_)
    weights = weights_of(told, np.array(probabilities, np.float64), names)
    known = np.flatnonzero(~np.isnan(told))
    if len(known) < LEAST_LABELS:
        raise TooLittleFeedback(
            f"only {len(known)} items that this model scored have a label; {LEAST_LABELS} are needed"
        )
    order = known[np.argsort(-values[known], kind="stable")]
    return values[order], told[order], weights[order]


def _monotone(labels: Floats, weights: Floats) -> Floats:
    """Weighted means that never rise along the array (pooling adjacent violators)."""
    blocks: list[list[float]] = []  # mean, weight, length
    for label, weight in zip(labels, weights, strict=True):
        blocks.append([float(label), float(weight), 1])
        while len(blocks) > 1 and blocks[-2][0] < blocks[-1][0]:
            mean, heavy, count = blocks.pop()
            before = blocks[-1]
            total = before[1] + heavy
            blocks[-1] = [(before[0] * before[1] + mean * heavy) / total, total, before[2] + count]
    return np.concatenate([np.full(int(count), mean) for mean, _, count in blocks])


def _precision(labels: Floats, weights: Floats, count: int) -> Estimate:
    chosen, heavy = labels[:count], weights[:count]
    share = float((chosen * heavy).sum() / heavy.sum())
    worth = float(heavy.sum() ** 2 / (heavy**2).sum())
    low, high = wilson(share, worth)
    return Estimate(share, low, high, count, worth)


def _between(below: float, above: float) -> float:
    """A round number between two scores, so that none of them sits on the edge."""
    middle = float((below + above) / 2) if below < above else float(above)
    rounded = round(middle, 4)
    return min(max(rounded if below < rounded <= above else middle, _LOWEST), _HIGHEST)


__all__ = [
    "LEAST_ABOVE",
    "LEAST_LABELS",
    "Choice",
    "TooLittleFeedback",
    "Unreachable",
    "for_budget",
    "for_precision",
    "levels_with",
]

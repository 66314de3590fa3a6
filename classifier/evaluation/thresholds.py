"""Where to flag: from which score on the flags are as right as asked, or as many as people can look at.

Both questions need the share of positives among real uploads, since test sets are not like the world, and
both are to be asked of the validation set: the figures of a chosen threshold are then measured on the test
set, or they would be those of the luckiest one. Only scores that occurred are thresholds.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from classifier.evaluation.errors import EvaluationError, Unreachable
from classifier.evaluation.metrics import Confusion, Curve, curve
from classifier.evaluation.prevalence import checked_prevalence, precision_at
from classifier.evaluation.scored import Vector

_ROUNDING: Final = 1e-12
"""Precisions and budgets are sums of shares: what is just reached must not fail by the last bit."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A threshold and what it is expected to do, as seen on the set it was chosen on.

    Attributes:
        threshold: Flagged is whatever reaches it.
        recall: Share of the positives that are flagged.
        false_positive_rate: Share of the negatives that are flagged.
        precision: Share of flags that are right, at the prevalence asked for.
    """

    threshold: float
    recall: float
    false_positive_rate: float
    precision: float


def for_precision(
    scores: ArrayLike, labels: ArrayLike, *, target: float, prevalence: float, cautious: bool = False
) -> Choice:
    """Find the lowest threshold, that is the most recall, whose flags are as right as asked.

    Args:
        scores: (n,), of the validation set.
        labels: (n,), both classes.
        target: The precision, over 0 and at most 1.
        prevalence: Share of positives among real uploads, between 0 and 1.
        cautious: Ask it of the lower end of the precision's interval instead. Without it, a set that
            happens to have no false positive up there promises 100 %.

    Raises:
        Unreachable: No threshold does.
        EvaluationError: A figure that cannot be, or scores and labels that can't be measured.
    """
    checked_prevalence(prevalence)
    checked_precision(target)
    steps = curve(scores, labels)
    precision = _lower_ends(steps, prevalence) if cautious else _precision(steps, prevalence)
    reached = np.flatnonzero(precision >= target * (1 - _ROUNDING))
    if not len(reached):
        best = int(np.argmax(precision))
        raise Unreachable(
            f"A precision of {target:g} at a prevalence of {prevalence:g} is out of reach: the best "
            f"{'lower end of an interval ' if cautious else ''}is {precision[best]:.3g}, "
            f"from {steps.thresholds[best]:.4g} on."
        )
    return _choice(steps, int(reached[-1]), prevalence)


def for_budget(
    scores: ArrayLike, labels: ArrayLike, *, reviews_per_day: float, uploads_per_day: float, prevalence: float
) -> Choice:
    """Find the lowest threshold whose flags people have the time to look at.

    Args:
        scores: (n,), of the validation set.
        labels: (n,), both classes.
        reviews_per_day: Flags that are looked at, over 0.
        uploads_per_day: All uploads, over 0.
        prevalence: Share of positives among them, between 0 and 1.

    Raises:
        Unreachable: Even the highest score flags more.
        EvaluationError: A figure that cannot be, or scores and labels that can't be measured.
    """
    checked_prevalence(prevalence)
    checked_budget(reviews_per_day, uploads_per_day)
    steps = curve(scores, labels)
    flags_per_day = flags_per_upload(steps, prevalence) * uploads_per_day
    affordable = np.flatnonzero(flags_per_day <= reviews_per_day * (1 + _ROUNDING))
    if not len(affordable):
        raise Unreachable(
            f"{reviews_per_day:g} reviews a day are too few: the highest score alone, "
            f"{steps.thresholds[0]:.4g}, flags {flags_per_day[0]:.3g} a day."
        )
    return _choice(steps, int(affordable[-1]), prevalence)


def checked_precision(target: float) -> None:
    """Refuse a precision that nothing can have.

    Raises:
        EvaluationError: It is not over 0 and at most 1.
    """
    if not 0 < target <= 1:
        raise EvaluationError(f"A precision of {target:g} cannot be asked for: it lies in 0 to 1.")


def checked_budget(reviews_per_day: float, uploads_per_day: float) -> None:
    """Refuse a budget that nobody can have.

    Raises:
        EvaluationError: One of the two is not over 0, or without end.
    """
    if not (0 < reviews_per_day < np.inf and 0 < uploads_per_day < np.inf):
        raise EvaluationError("Reviews and uploads per day have to be over 0.")


def flags_per_upload(steps: Curve, prevalence: float) -> Vector:
    """How many flags each threshold makes of one upload, (m,)."""
    recall, false_alarms = _rates(steps)
    return prevalence * recall + (1 - prevalence) * false_alarms


def _rates(steps: Curve) -> tuple[Vector, Vector]:
    return steps.true_positives / steps.positives, steps.false_positives / steps.negatives


def _precision(steps: Curve, prevalence: float) -> Vector:
    return prevalence * _rates(steps)[0] / flags_per_upload(steps, prevalence)


def _lower_ends(steps: Curve, prevalence: float) -> Vector:
    counts = zip(steps.true_positives.tolist(), steps.false_positives.tolist(), strict=True)
    return np.array(
        [
            precision_at(
                Confusion(hits, alarms, steps.positives - hits, steps.negatives - alarms), prevalence
            ).low
            for hits, alarms in counts
        ]
    )


def _choice(steps: Curve, place: int, prevalence: float) -> Choice:
    recall, false_alarms = (float(rates[place]) for rates in _rates(steps))
    precision = float(_precision(steps, prevalence)[place])
    return Choice(float(steps.thresholds[place]), recall, false_alarms, precision)


__all__ = ["Choice", "checked_budget", "checked_precision", "flags_per_upload", "for_budget", "for_precision"]

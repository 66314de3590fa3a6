"""Whether a score of 0.8 means "four of five are", and one number that makes it so.

Temperature scaling (Guo et al. 2017, "On Calibration of Modern Neural Networks") divides the logit by T > 0,
so it never changes the order of two scores. T is fitted on the validation set and judged on the test set:
fitted on what it is judged by, it would flatter. Reliability compares the mean score of a bin with the share
of positives in it, each with Wilson's interval, because a bin of five pictures says little.
"""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import ArrayLike

from classifier.evaluation.errors import EvaluationError
from classifier.evaluation.metrics import ECE_BINS, SMALLEST_CHANCE
from classifier.evaluation.proportions import CONFIDENCE, Estimate, wilson
from classifier.evaluation.scored import Flags, Vector, checked_labels, checked_scores

Bins = Literal["width", "mass"]
"""Bins of equal width, as published figures use, or of equally many items, which leaves none nearly empty."""

WARMEST: Final = 20.0
"""Looked for are temperatures from 1 / WARMEST to WARMEST; beyond, the set is broken, not the calibration."""
_STEPS: Final = 80


@dataclass(frozen=True, slots=True)
class Temperature:
    """What to divide the logit by.

    Attributes:
        value: Over 0; over 1 makes scores less sure. 1 where none could be fitted.
        fitted: Whether it comes from the data.
        note: Why not, else "".
    """

    value: float = 1.0
    fitted: bool = False
    note: str = "no validation set"


@dataclass(frozen=True, slots=True)
class Bin:
    """One bin of a reliability plot.

    Attributes:
        low: Lowest score that falls into it.
        high: Where it ends.
        items: How many scores are in it.
        mean_score: Their mean; None in an empty bin.
        positives: The share of positives among them.
    """

    low: float
    high: float
    items: int
    mean_score: float | None
    positives: Estimate


def fit_temperature(scores: ArrayLike, labels: ArrayLike) -> Temperature:
    """Find the temperature with the least log loss.

    The log loss is convex in 1 / T, so the sign of its slope says on which side the minimum lies.

    Args:
        scores: (n,), 0..1, of the validation set.
        labels: (n,), bool or 0 and 1.

    Returns:
        The temperature; not fitted where the set has no minimum: one class alone, classes that the scores
        part without error, or scores that say the opposite.

    Raises:
        EvaluationError: The two do not belong together.
    """
    known, truths = _checked(scores, labels)
    if truths.all() or not truths.any():
        return Temperature(note="the validation set has one class alone")
    logits = _logits(known)

    def slope(sharpness: float) -> float:
        return float(((_chances(logits * sharpness) - truths) * logits).mean())

    cold, warm = WARMEST, 1 / WARMEST
    if slope(warm) >= 0:
        return Temperature(note="on the validation set, scores do not rise with the truth")
    if slope(cold) <= 0:
        return Temperature(note="the scores part the validation set without error: any sharpening would do")
    for _ in range(_STEPS):
        middle = (cold * warm) ** 0.5
        cold, warm = (middle, warm) if slope(middle) > 0 else (cold, middle)
    return Temperature(1 / (cold * warm) ** 0.5, True, "")


def apply_temperature(scores: ArrayLike, temperature: float) -> Vector:
    """Calibrate.

    Args:
        scores: (n,), 0..1; closer to 0 or 1 than `SMALLEST_CHANCE` they are taken for that.
        temperature: Over 0. 1 changes nothing at all.

    Returns:
        (n,), 0..1; no two scores change places, though very close ones may become equal.

    Raises:
        EvaluationError: Not probabilities, or a temperature that is not over 0.
    """
    known = checked_scores(scores)
    _refuse_others(known)
    if not 0 < temperature < np.inf:
        raise EvaluationError(f"A temperature of {temperature:g} cannot be: it lies over 0.")
    return known if temperature == 1 else _chances(_logits(known) / temperature)


def reliability(
    scores: ArrayLike,
    labels: ArrayLike,
    *,
    bins: int = ECE_BINS,
    how: Bins = "width",
    confidence: float = CONFIDENCE,
) -> tuple[Bin, ...]:
    """Compare scores with what they promise.

    Args:
        scores: (n,), 0..1.
        labels: (n,), bool or 0 and 1; one class alone is fine.
        bins: How many, at least 1; of equal mass, fewer where scores are equal.
        how: See `Bins`.
        confidence: Of the intervals.

    Returns:
        The bins, rising, empty ones among them.

    Raises:
        EvaluationError: The two do not belong together, or there are no bins.
    """
    known, truths = _checked(scores, labels)
    if bins < 1:
        raise EvaluationError(f"Reliability in {bins} bins cannot be.")
    edges = np.linspace(0, 1, bins + 1)
    if how == "mass":
        edges = np.unique(np.append(np.quantile(known, edges[:-1], method="higher"), 1.0))
        edges[0] = 0.0
    if len(edges) == 1:
        edges = np.array([0.0, 1.0])
    places = np.clip(np.searchsorted(edges, known, side="right") - 1, 0, len(edges) - 2)
    return tuple(
        _bin(known[places == place], truths[places == place], (low, high), confidence)
        for place, (low, high) in enumerate(zip(edges.tolist(), edges[1:].tolist(), strict=False))
    )


def expected_calibration_error(
    scores: ArrayLike, labels: ArrayLike, *, bins: int = ECE_BINS, how: Bins = "width"
) -> float:
    """The mean distance of a bin's mean score from its share of positives, weighted by items.

    This is of the score for the positive class, not of the winning class's confidence. It is never quite 0
    on a finite set, and smaller sets have larger ones. Arguments and errors are those of `reliability`.
    """
    parts = reliability(scores, labels, bins=bins, how=how)
    total = sum(part.items for part in parts)
    return sum(
        part.items / total * abs(part.mean_score - part.positives.value)
        for part in parts
        if part.mean_score is not None and part.positives.value is not None
    )


def _bin(scores: Vector, labels: Flags, edges: tuple[float, float], confidence: float) -> Bin:
    mean = float(scores.mean()) if len(scores) else None
    return Bin(*edges, len(scores), mean, wilson(int(labels.sum()), len(labels), confidence))


def _checked(scores: ArrayLike, labels: ArrayLike) -> tuple[Vector, Flags]:
    known = checked_scores(scores)
    _refuse_others(known)
    return known, checked_labels(labels, len(known))


def _refuse_others(scores: Vector) -> None:
    if scores.min() < 0 or scores.max() > 1:
        raise EvaluationError("Calibration needs probabilities: scores have to lie in 0 to 1.")


def _logits(scores: Vector) -> Vector:
    chances = np.clip(scores, SMALLEST_CHANCE, 1 - SMALLEST_CHANCE)
    return np.log(chances) - np.log1p(-chances)


def _chances(logits: Vector) -> Vector:
    return np.exp(-np.logaddexp(0, -logits))


__all__ = [
    "WARMEST",
    "Bin",
    "Bins",
    "Temperature",
    "apply_temperature",
    "expected_calibration_error",
    "fit_temperature",
    "reliability",
]

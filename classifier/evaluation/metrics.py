"""The figures themselves: counts at a threshold, the curve over all thresholds, and what is drawn from both.

What bootstrapping needs takes *weights* of shape (resamples, n), how often each item was drawn, and
computes all resamples of a block in one go; the plain figure is the case of one row of ones, so that an
interval can't belong to another formula than its figure. An item is flagged from the threshold up, as in
`classifier.values.MediaScore`. Undefined figures (the precision of no flags) are NaN or None, never 0.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from classifier.evaluation.errors import EvaluationError
from classifier.evaluation.scored import (
    Flags,
    Indexes,
    Vector,
    checked_labels,
    checked_scores,
    require_both,
)

Weights = NDArray[np.float64]
"""(resamples, n): how often each item counts."""

MEASURES: Final = (
    "accuracy",
    "precision",
    "recall",
    "f1",
    "specificity",
    "balanced_accuracy",
    "pr_auc",
    "roc_auc",
    "brier",
    "log_loss",
    "ece",
)
"""The order of the columns that `Measures` gives."""
LOWER_IS_BETTER: Final = frozenset({"brier", "log_loss", "ece"})
ECE_BINS: Final = 15
"""As usual since Guo et al. 2017, "On Calibration of Modern Neural Networks"."""
SMALLEST_CHANCE: Final = 1e-7
"""Scores are kept this far from 0 and 1 where logarithms are taken: float32 sigmoids reach both."""


@dataclass(frozen=True, slots=True)
class Confusion:
    """Counts at a threshold.

    Attributes:
        true_positives: Positive and flagged.
        false_positives: Negative and flagged.
        false_negatives: Positive, not flagged.
        true_negatives: Negative, not flagged.
    """

    true_positives: int
    false_positives: int
    false_negatives: int
    true_negatives: int

    @property
    def positives(self) -> int:
        """How many are positive."""
        return self.true_positives + self.false_negatives

    @property
    def negatives(self) -> int:
        """How many are negative."""
        return self.false_positives + self.true_negatives

    @property
    def flagged(self) -> int:
        """How many are flagged."""
        return self.true_positives + self.false_positives

    @property
    def total(self) -> int:
        """How many there are."""
        return self.positives + self.negatives


def confusion(scores: ArrayLike, labels: ArrayLike, threshold: float) -> Confusion:
    """Count.

    Args:
        scores: (n,).
        labels: (n,), bool or 0 and 1; one class alone is fine here.
        threshold: Flagged is whatever reaches it.

    Raises:
        EvaluationError: The two do not belong together.
    """
    known = checked_scores(scores)
    truths = checked_labels(labels, len(known))
    flagged = known >= threshold
    hits, alarms = int((flagged & truths).sum()), int((flagged & ~truths).sum())
    return Confusion(hits, alarms, int(truths.sum()) - hits, int((~truths).sum()) - alarms)


class Ranking:
    """Items by falling score, items of one score together: no threshold can part them.

    Args:
        scores: (n,), finite.
        labels: (n,).
    """

    def __init__(self, scores: Vector, labels: Flags) -> None:
        self._order = np.argsort(-scores, kind="stable")
        falling = scores[self._order]
        self._truths = labels[self._order].astype(np.float64)
        self._ends = np.append(np.flatnonzero(np.diff(falling)), len(falling) - 1)
        self.thresholds: Vector = falling[self._ends]

    def flagged(self, weights: Weights) -> tuple[Weights, Weights]:
        """How many are flagged at each threshold.

        Args:
            weights: (r, n), in the order of the items as given.

        Returns:
            True and false positives, each (r, thresholds).
        """
        ordered = weights[:, self._order]
        everything = np.cumsum(ordered, axis=1)
        hits = np.cumsum(ordered * self._truths, axis=1)
        if len(self._ends) < ordered.shape[1]:
            everything, hits = everything[:, self._ends], hits[:, self._ends]
        return hits, everything - hits


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """What each threshold does.

    Attributes:
        thresholds: (m,), the distinct scores, falling.
        true_positives: (m,), flagged positives.
        false_positives: (m,), flagged negatives.
        positives: All of them.
        negatives: All of them.
    """

    thresholds: Vector
    true_positives: Indexes
    false_positives: Indexes
    positives: int
    negatives: int


def curve(scores: ArrayLike, labels: ArrayLike) -> Curve:
    """Go through all thresholds.

    Args:
        scores: (n,), any finite numbers.
        labels: (n,), both classes.

    Raises:
        EvaluationError: The two do not belong together, or there is one class alone.
    """
    known, truths = _both(scores, labels)
    ranking = Ranking(known, truths)
    hits, alarms = (counts[0].astype(np.int64) for counts in ranking.flagged(np.ones((1, len(known)))))
    return Curve(ranking.thresholds, hits, alarms, int(truths.sum()), int((~truths).sum()))


def roc_auc(scores: ArrayLike, labels: ArrayLike) -> float:
    """The chance that a positive item outscores a negative one, ties counting half.

    Args:
        scores: (n,), any finite numbers.
        labels: (n,), both classes.

    Raises:
        EvaluationError: As for `curve`.
    """
    known, truths = _both(scores, labels)
    return float(weighted_roc_auc(*Ranking(known, truths).flagged(np.ones((1, len(known)))))[0])


def pr_auc(scores: ArrayLike, labels: ArrayLike) -> float:
    """Average precision: precision, averaged over the recall that each threshold adds.

    The trapezoid under the precision-recall curve would flatter (Davis, Goadrich 2006). Unlike `roc_auc` it
    depends on the set's share of positives: figures of sets with other shares can't be compared.

    Args:
        scores: (n,), any finite numbers.
        labels: (n,), both classes.

    Raises:
        EvaluationError: As for `curve`.
    """
    known, truths = _both(scores, labels)
    return float(weighted_pr_auc(*Ranking(known, truths).flagged(np.ones((1, len(known)))))[0])


def weighted_roc_auc(hits: Weights, alarms: Weights) -> Vector:
    """`roc_auc` of every row.

    Args:
        hits: (r, m), true positives at each threshold, the last holding all.
        alarms: (r, m), false positives.

    Returns:
        (r,); NaN where a class is missing.
    """
    middles = (hits + np.concatenate([np.zeros((len(hits), 1)), hits[:, :-1]], axis=1)) / 2
    area = (middles * np.diff(alarms, axis=1, prepend=0.0)).sum(axis=1)
    return _divided(area, hits[:, -1] * alarms[:, -1])


def weighted_pr_auc(hits: Weights, alarms: Weights) -> Vector:
    """`pr_auc` of every row; arguments and result as for `weighted_roc_auc`."""
    flagged = hits + alarms
    precision = np.divide(hits, flagged, out=np.zeros_like(hits), where=flagged > 0)
    area = (precision * np.diff(hits, axis=1, prepend=0.0)).sum(axis=1)
    return _divided(area, hits[:, -1])


class Measures:
    """All of `MEASURES` for many resamples at once.

    Args:
        scores: (n,), 0..1.
        labels: (n,).
        threshold: Flagged is whatever reaches it.
    """

    def __init__(self, scores: Vector, labels: Flags, threshold: float) -> None:
        if not np.isfinite(threshold):
            raise EvaluationError(f"A threshold of {threshold} flags everything or nothing.")
        self._ranking = Ranking(scores, labels)
        truths, flagged = labels.astype(np.float64), scores >= threshold
        bins = np.minimum((scores * ECE_BINS).astype(np.int64), ECE_BINS - 1)
        gaps = (bins[:, None] == np.arange(ECE_BINS)) * (truths - scores)[:, None]
        self._columns = np.column_stack(
            [
                labels & flagged,
                ~labels & flagged,
                labels & ~flagged,
                ~labels & ~flagged,
                (scores - truths) ** 2,
                surprise(scores, labels),
                gaps,
            ]
        ).astype(np.float64)

    def __call__(self, weights: Weights) -> Weights:
        """Measure.

        Args:
            weights: (r, n).

        Returns:
            (r, len(MEASURES)); NaN where a figure is undefined.
        """
        sums = weights @ self._columns
        hits, alarms, misses, rest, brier, log_loss = (sums[:, column] for column in range(6))
        total = hits + alarms + misses + rest
        recall, specificity = _divided(hits, hits + misses), _divided(rest, rest + alarms)
        counts = self._ranking.flagged(weights)
        columns = {
            "accuracy": _divided(hits + rest, total),
            "precision": _divided(hits, hits + alarms),
            "recall": recall,
            "f1": _divided(2 * hits, 2 * hits + alarms + misses),
            "specificity": specificity,
            "balanced_accuracy": (recall + specificity) / 2,
            "pr_auc": weighted_pr_auc(*counts),
            "roc_auc": weighted_roc_auc(*counts),
            "brier": _divided(brier, total),
            "log_loss": _divided(log_loss, total),
            "ece": _divided(np.abs(sums[:, 6:]).sum(axis=1), total),
        }
        return np.stack([columns[name] for name in MEASURES], axis=1)


def surprise(scores: Vector, labels: Flags) -> Vector:
    """The log loss of every item, (n,); scores as for `Measures`."""
    chances = np.clip(scores, SMALLEST_CHANCE, 1 - SMALLEST_CHANCE)
    return -np.where(labels, np.log(chances), np.log1p(-chances))


def _divided(above: Vector, below: Vector) -> Vector:
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)


def _both(scores: ArrayLike, labels: ArrayLike) -> tuple[Vector, Flags]:
    known = checked_scores(scores)
    truths = checked_labels(labels, len(known))
    require_both(truths)
    return known, truths


__all__ = [
    "ECE_BINS",
    "LOWER_IS_BETTER",
    "MEASURES",
    "SMALLEST_CHANCE",
    "Confusion",
    "Curve",
    "Measures",
    "Ranking",
    "Weights",
    "confusion",
    "curve",
    "pr_auc",
    "roc_auc",
    "surprise",
    "weighted_pr_auc",
    "weighted_roc_auc",
]

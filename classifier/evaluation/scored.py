"""What every evaluation starts from: scores and truths of the same items, checked once at the door.

After this module nobody asks again whether lengths agree, whether a score is a number, or whether both
classes are there: a wrong answer here would be a wrong figure in a report, without any error.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from classifier.evaluation.errors import EvaluationError

Vector = NDArray[np.float64]
Flags = NDArray[np.bool_]
Indexes = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """A set that a model has scored.

    Attributes:
        scores: (n,), 0..1, the model's probability of the positive class.
        labels: (n,), True for the positive class.
        groups: Of each group column, the value of every item (n,); "" where it is unknown.
        clusters: (n,), which items came together (frames of a video, near-duplicates); None where every
            item stands for itself. Intervals are drawn over clusters, since such items err together.
    """

    scores: Vector
    labels: Flags
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)
    clusters: Indexes | None = None

    def __len__(self) -> int:
        return len(self.scores)


def scored(
    scores: ArrayLike,
    labels: ArrayLike,
    *,
    groups: Mapping[str, Sequence[str]] | None = None,
    clusters: Sequence[str] | None = None,
    what: str = "the set",
) -> Scored:
    """Check and gather what is to be measured.

    Args:
        scores: (n,), 0..1.
        labels: (n,), bool or 0 and 1.
        groups: Columns of n values each.
        clusters: n names.
        what: What to call it in messages.

    Returns:
        The same, as arrays.

    Raises:
        EvaluationError: Nothing there, unequal lengths, a score that is no probability, a label that is
            neither 0 nor 1, or one class alone.
    """
    known = checked_scores(scores, what)
    if not ((known >= 0) & (known <= 1)).all():
        at = int(np.flatnonzero((known < 0) | (known > 1))[0])
        raise EvaluationError(f"Score {at} of {what} is {known[at]:g}: scores have to lie in 0 to 1.")
    truths = checked_labels(labels, len(known), what)
    require_both(truths, what)
    for column, values in (groups or {}).items():
        _same_length(len(values), len(known), f"Group column {column!r} of {what}")
    numbers: Indexes | None = None
    if clusters is not None:
        _same_length(len(clusters), len(known), f"The clusters of {what}")
        numbers = np.unique(np.asarray(clusters, dtype=str), return_inverse=True)[1].astype(np.int64)
    return Scored(known, truths, {name: tuple(values) for name, values in (groups or {}).items()}, numbers)


def checked_scores(scores: ArrayLike, what: str = "the set") -> Vector:
    """Any finite numbers, as a vector.

    Raises:
        EvaluationError: Nothing there, not one number an item, or not numbers.
    """
    try:
        known = np.asarray(scores, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise EvaluationError(f"The scores of {what} are not numbers: {error}.") from error
    if known.ndim != 1:
        raise EvaluationError(f"The scores of {what} have shape {known.shape}: one number an item is needed.")
    if not len(known):
        raise EvaluationError(f"There is nothing to measure: {what} is empty.")
    if not np.isfinite(known).all():
        at = int(np.flatnonzero(~np.isfinite(known))[0])
        raise EvaluationError(f"Score {at} of {what} is {known[at]}: every item needs a number.")
    return known


def checked_labels(labels: ArrayLike, items: int, what: str = "the set") -> Flags:
    """Truths, as flags.

    Raises:
        EvaluationError: Not as many as scores, or neither bool nor 0 and 1.
    """
    given = np.asarray(labels)
    if given.ndim != 1:
        raise EvaluationError(f"The labels of {what} have shape {given.shape}: one an item is needed.")
    _same_length(len(given), items, f"The labels of {what}")
    if given.dtype != np.bool_ and not (given.dtype.kind in "iuf" and np.isin(given, (0, 1)).all()):
        strange = sorted({str(value) for value in given.tolist()} - {"0", "1", "0.0", "1.0"})[:3]
        raise EvaluationError(f"The labels of {what} must be 0 and 1 or bool, not {', '.join(strange)}.")
    return given.astype(np.bool_)


def require_both(labels: Flags, what: str = "the set") -> None:
    """Refuse a set in which nothing can be told apart.

    Raises:
        EvaluationError: One class alone.
    """
    if labels.all() or not labels.any():
        only = "positive" if labels.all() else "negative"
        raise EvaluationError(f"All {len(labels)} items of {what} are {only}: both classes are needed.")


def _same_length(got: int, wanted: int, what: str) -> None:
    if got != wanted:
        raise EvaluationError(f"{what}: {got} values for {wanted} scores.")


__all__ = [
    "Flags",
    "Indexes",
    "Scored",
    "Vector",
    "checked_labels",
    "checked_scores",
    "require_both",
    "scored",
]

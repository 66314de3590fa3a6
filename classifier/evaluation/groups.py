"""How a model treats parts of a set, without reading tea leaves: small groups show wide intervals and say so.

A mean hides who pays for it. But a column of ten groups holds, by chance alone, one that looks bad: a group
stands out only where the interval of its difference from all the others, widened for the number of groups
(Bonferroni), leaves 0 out. Intervals are Wilson's and take items as independent.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from classifier.evaluation.errors import EvaluationError
from classifier.evaluation.metrics import Confusion, confusion, roc_auc
from classifier.evaluation.proportions import CONFIDENCE, Estimate, difference, wilson
from classifier.evaluation.scored import Flags, Scored

ENOUGH: Final = 30
"""Items of a class from which on its rate is more than an anecdote; below, the row says that it is small."""
UNKNOWN: Final = "(unknown)"


@dataclass(frozen=True, slots=True)
class GroupRow:
    """One group.

    Attributes:
        value: The column's value.
        items: How many there are.
        positives: How many of them are positive.
        accuracy: Share of right decisions.
        precision: Share of flags that are right.
        recall: Share of positives that are flagged.
        false_positive_rate: Share of negatives that are flagged.
        roc_auc: None where the group has one class alone.
        recall_apart: Its recall less that of all other items, with a widened interval.
        false_positive_rate_apart: Likewise.
        small: Either class has fewer than `ENOUGH` items.
        stands_out: What differs from the rest beyond chance: of `recall` and `false_positive_rate`.
    """

    value: str
    items: int
    positives: int
    accuracy: Estimate
    precision: Estimate
    recall: Estimate
    false_positive_rate: Estimate
    roc_auc: float | None
    recall_apart: Estimate
    false_positive_rate_apart: Estimate
    small: bool
    stands_out: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GroupTable:
    """One column of groups.

    Attributes:
        column: Its name.
        rows: The largest group first.
    """

    column: str
    rows: tuple[GroupRow, ...]


def group_table(
    part: Scored, column: str, values: Sequence[str], *, threshold: float, confidence: float = CONFIDENCE
) -> GroupTable:
    """Measure every group of a column.

    Args:
        part: The set.
        column: The column's name.
        values: (n,), the group of each item; "" where it is unknown.
        threshold: Flagged is whatever reaches it.
        confidence: Of the intervals; of all differences of the column together.

    Raises:
        EvaluationError: Not as many values as items.
    """
    if len(values) != len(part):
        raise EvaluationError(f"Group column {column!r}: {len(values)} values for {len(part)} items.")
    names = np.array([value or UNKNOWN for value in values], dtype=str)
    found = [str(name) for name in np.unique(names)]
    apart_confidence = 1 - (1 - confidence) / max(len(found), 1)
    rows = [_row(part, name, names == name, threshold, (confidence, apart_confidence)) for name in found]
    return GroupTable(column, tuple(sorted(rows, key=lambda row: (-row.items, row.value))))


def _row(
    part: Scored, name: str, inside: Flags, threshold: float, confidences: tuple[float, float]
) -> GroupRow:
    plain, widened = confidences
    scores, labels = part.scores[inside], part.labels[inside]
    counts = confusion(scores, labels, threshold)
    everyone = confusion(part.scores, part.labels, threshold)
    others = Confusion(
        everyone.true_positives - counts.true_positives,
        everyone.false_positives - counts.false_positives,
        everyone.false_negatives - counts.false_negatives,
        everyone.true_negatives - counts.true_negatives,
    )
    recall = difference(_recall(counts, widened), _recall(others, widened))
    alarms = difference(_false_alarms(counts, widened), _false_alarms(others, widened))
    named = (("recall", recall), ("false_positive_rate", alarms))
    right = counts.true_positives + counts.true_negatives
    return GroupRow(
        value=name,
        items=counts.total,
        positives=counts.positives,
        accuracy=wilson(right, counts.total, plain),
        precision=wilson(counts.true_positives, counts.flagged, plain),
        recall=_recall(counts, plain),
        false_positive_rate=_false_alarms(counts, plain),
        roc_auc=roc_auc(scores, labels) if counts.positives and counts.negatives else None,
        recall_apart=recall,
        false_positive_rate_apart=alarms,
        small=min(counts.positives, counts.negatives) < ENOUGH,
        stands_out=tuple(what for what, apart in named if apart.low > 0 or apart.high < 0),
    )


def _recall(counts: Confusion, confidence: float) -> Estimate:
    return wilson(counts.true_positives, counts.positives, confidence)


def _false_alarms(counts: Confusion, confidence: float) -> Estimate:
    return wilson(counts.false_positives, counts.negatives, confidence)


__all__ = ["ENOUGH", "UNKNOWN", "GroupRow", "GroupTable", "group_table"]

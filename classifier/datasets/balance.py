"""How many pictures of each label there are, by split and by the values of every group."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from classifier.datasets.values import Dataset, Item


@dataclass(frozen=True, slots=True)
class BalanceRow:
    """The pictures that share a value of a column.

    Attributes:
        column: `split`, `source` or `group:<name>`; empty for all pictures.
        value: The value they share; may be empty.
        negatives: How many have the negative label.
        positives: How many have the positive label.
        share: Of all pictures.
    """

    column: str
    value: str
    negatives: int
    positives: int
    share: float

    @property
    def count(self) -> int:
        """How many there are."""
        return self.negatives + self.positives

    @property
    def positive_share(self) -> float:
        """How many of them have the positive label, 0 to 1."""
        return self.positives / self.count if self.count else 0.0


def balance(dataset: Dataset, max_values: int = 50) -> tuple[BalanceRow, ...]:
    """Count a dataset.

    Args:
        dataset: The dataset.
        max_values: Columns get no more rows than this; the smallest values share the row `(others)`.

    Returns:
        A row for all pictures, then rows by split, source and every group, the largest first.
    """
    rows = [_row(dataset, "", "all", dataset.items)]
    columns = {"split": [item.split for item in dataset.items]}
    if any(item.source for item in dataset.items):
        columns["source"] = [item.source for item in dataset.items]
    for name in sorted({name for item in dataset.items for name in item.groups}):
        columns[f"group:{name}"] = [item.groups.get(name, "") for item in dataset.items]
    for column, values in columns.items():
        rows += _column(dataset, column, values, max_values)
    return tuple(rows)


def _column(dataset: Dataset, column: str, values: list[str], max_values: int) -> list[BalanceRow]:
    counts = Counter(values)
    largest = sorted(counts, key=lambda value: (-counts[value], value))
    shown = largest if len(largest) <= max_values else largest[: max_values - 1]
    by_value: dict[str, list[Item]] = {value: [] for value in shown}
    others: list[Item] = []
    for item, value in zip(dataset.items, values, strict=True):
        by_value.get(value, others).append(item)
    rows = [_row(dataset, column, value, items) for value, items in by_value.items()]
    return [*rows, _row(dataset, column, "(others)", others)] if others else rows


def _row(dataset: Dataset, column: str, value: str, items: Iterable[Item]) -> BalanceRow:
    counts = Counter(dataset.target_of(item) for item in items)
    return BalanceRow(column, value, counts[0], counts[1], counts.total() / max(len(dataset), 1))


__all__ = ["BalanceRow", "balance"]

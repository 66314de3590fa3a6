"""Leave one picture of each group of duplicates; where their labels contradict each other, none.

A duplicate teaches nothing new and weighs a picture twice; one with two labels teaches something wrong, and
nobody can tell from here which of them.
"""

from collections import defaultdict
from dataclasses import dataclass

from classifier.datasets.near import MAX_DISTANCE_BITS, duplicate_groups, first_of_equals
from classifier.datasets.values import Dataset, Finding, Item


@dataclass(frozen=True, slots=True)
class Deduplication:
    """What leaving duplicates out gave.

    Attributes:
        dataset: What is left, in its order.
        findings: One for every group of which something was left out.
    """

    dataset: Dataset
    findings: tuple[Finding, ...]


def without_duplicates(
    dataset: Dataset, *, exact_only: bool = False, max_distance_bits: int = MAX_DISTANCE_BITS
) -> Deduplication:
    """Leave duplicates out.

    Args:
        dataset: Verified items.
        exact_only: Whether near duplicates stay.
        max_distance_bits: See `near.duplicate_groups`.

    Returns:
        The first item of every group whose labels agree, and what was left out.
    """
    if exact_only:
        labels = first_of_equals(item.sha256 or None for item in dataset.items)
    else:
        labels = duplicate_groups(dataset.items, max_distance_bits)
    groups: dict[int, list[Item]] = defaultdict(list)
    for item, label in zip(dataset.items, labels.tolist(), strict=True):
        groups[label].append(item)
    kept: list[Item] = []
    findings: list[Finding] = []
    for items in groups.values():
        first, *others = items
        paths = tuple(item.path for item in others)
        if len(names := sorted({item.label for item in items})) > 1:
            message = f"left out with {len(others)} duplicates: they are labelled {' and '.join(names)}"
            findings.append(Finding("warning", "label_conflict", message, first.path, "label", paths))
            continue
        kept.append(first)
        if others:
            message = f"stands for {len(others)} duplicates, which are left out"
            findings.append(Finding("info", "duplicates", message, first.path, "sha256", paths))
    return Deduplication(dataset.with_items(kept), tuple(findings))


__all__ = ["Deduplication", "without_duplicates"]

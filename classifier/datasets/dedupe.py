"""Leave one picture of each group of duplicates; where their labels contradict each other, none.

A duplicate teaches nothing new and weighs a picture twice; one with two labels teaches something wrong, and
nobody can tell from here which of them.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from classifier.datasets.near import (
    MAX_DISTANCE_BITS,
    distance_bits,
    duplicate_groups,
    first_of_equals,
    mirrored_hash,
)
from classifier.datasets.values import Dataset, Finding, Item

_KEPT_FIRST = ("test", "validation", "train", "")
_MAX_COMPARED = 200
"""In larger groups a removal names the picture that stays, not the nearest one."""


@dataclass(frozen=True, slots=True)
class Removal:
    """A picture that was left out, and why.

    Attributes:
        path: The picture's.
        label: Its label.
        split: Its split; may be empty.
        code: `exact_duplicate`, `near_duplicate`, `label_conflict`, or what verifying it found.
        message: One sentence for a person.
        kept: The picture that stands for it, or whose label contradicts its own; empty where there is none.
    """

    path: str
    label: str
    split: str
    code: str
    message: str
    kept: str = ""


@dataclass(frozen=True, slots=True)
class Deduplication:
    """What leaving duplicates out gave.

    Attributes:
        dataset: What is left, in its order.
        findings: One for every group of which something was left out.
        removed: Every picture that was left out.
    """

    dataset: Dataset
    findings: tuple[Finding, ...]
    removed: tuple[Removal, ...] = ()


def without_duplicates(
    dataset: Dataset, *, exact_only: bool = False, max_distance_bits: int = MAX_DISTANCE_BITS
) -> Deduplication:
    """Leave duplicates out.

    Args:
        dataset: Verified items.
        exact_only: Whether near duplicates stay.
        max_distance_bits: See `near.duplicate_groups`.

    Returns:
        One item of every group whose labels agree, and what was left out. The first one stays, but one of the
        test set before others, so that a test set that was published stays what it was.
    """
    if exact_only:
        labels = first_of_equals(item.sha256 or None for item in dataset.items)
    else:
        labels = duplicate_groups(dataset.items, max_distance_bits)
    groups: dict[int, list[int]] = defaultdict(list)
    for index, label in enumerate(labels.tolist()):
        groups[label].append(index)
    kept: list[int] = []
    findings: list[Finding] = []
    removed: list[Removal] = []
    for indexes in groups.values():
        indexes.sort(key=lambda index: _KEPT_FIRST.index(dataset.items[index].split))
        items = [dataset.items[index] for index in indexes]
        if len({item.label for item in items}) > 1:
            findings.append(_conflict(items))
            removed += _contradicting(items)
            continue
        kept.append(indexes[0])
        if len(items) > 1:
            message = f"stands for {len(items) - 1} duplicates, which are left out"
            others = tuple(item.path for item in items[1:])
            findings.append(Finding("info", "duplicates", message, items[0].path, "sha256", others))
            removed += [_duplicate(item, items) for item in items[1:]]
    left = dataset.with_items(dataset.items[index] for index in sorted(kept))
    return Deduplication(left, tuple(findings), tuple(removed))


def _conflict(items: Sequence[Item]) -> Finding:
    first, *others = items
    names = " and ".join(sorted({item.label for item in items}))
    message = f"left out with {len(others)} duplicates: they are labelled {names}"
    paths = tuple(item.path for item in others)
    return Finding("warning", "label_conflict", message, first.path, "label", paths)


def _contradicting(items: Sequence[Item]) -> list[Removal]:
    removed = []
    for item in items:
        other = next(one for one in items if one.label != item.label)
        message = f"shows the same as a picture that is labelled {other.label}"
        removed.append(Removal(item.path, item.label, item.split, "label_conflict", message, other.path))
    return removed


def _duplicate(item: Item, items: Sequence[Item]) -> Removal:
    first = items[0]
    if any(item.sha256 and item.sha256 == one.sha256 for one in items if one is not item):
        twin = next(one for one in items if one is not item and one.sha256 == item.sha256)
        where = first.path if twin is first else f"{twin.path}, for which {first.path} stands"
        message = f"has the same bytes as {where}"
        return Removal(item.path, item.label, item.split, "exact_duplicate", message, first.path)
    compared = items if len(items) <= _MAX_COMPARED else items[:1]
    if not any(one.perceptual_hash for one in compared):
        message = f"is one of {len(items)} pictures that show nearly the same"
        return Removal(item.path, item.label, item.split, "near_duplicate", message, first.path)
    # A group is held together by its pairs: the one that stays may be further away than the limit.
    near = min(
        (one for one in compared if one is not item and one.perceptual_hash),
        key=lambda one: (_bits(item, one), one is not first),
    )
    through = "" if near is first else f", for which {first.path} stands"
    message = f"shows nearly the same as {near.path}{through} ({_bits(item, near)} of 256 bits differ)"
    return Removal(item.path, item.label, item.split, "near_duplicate", message, first.path)


def _bits(one: Item, other: Item) -> int:
    plain = distance_bits(one.perceptual_hash, other.perceptual_hash)
    return min(plain, distance_bits(mirrored_hash(one.perceptual_hash), other.perceptual_hash))


__all__ = ["Deduplication", "Removal", "without_duplicates"]

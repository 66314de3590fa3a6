"""Divide a dataset into training, validation and a test set that stays sealed.

What shows the same (near duplicates) or comes from one source always ends up in one split, otherwise the test
measures memory. Within that, every label gets its share of every split. Equal data and an equal seed give an
equal division, in whatever order the items come.

The test items go into a manifest of their own, which training code is not given.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from classifier.datasets import manifest
from classifier.datasets.near import MAX_DISTANCE_BITS, connected, duplicate_groups, first_of_equals
from classifier.datasets.values import DEFAULT_CLASSES, Classes, Dataset, DatasetError, Item

DEFAULT_SHARES: Mapping[str, float] = {"train": 0.7, "validation": 0.15, "test": 0.15}
_MAX_PASSES = 20
_SEALED_MODE = 0o400


@dataclass(frozen=True, slots=True)
class Unit:
    """Items that must not be divided.

    Attributes:
        key: Names it; decides, with the seed, about ties.
        counts: How many items of each stratum it holds. A stratum is a tuple that starts with the label.
        fixed: The split it has to be in; empty where that is free.
    """

    key: str
    counts: Mapping[tuple[str, ...], int]
    fixed: str = ""

    @property
    def size(self) -> int:
        """How many items it holds."""
        return sum(self.counts.values())


def split(
    dataset: Dataset,
    shares: Mapping[str, float] = DEFAULT_SHARES,
    seed: int = 0,
    *,
    stratify_by: Sequence[str] = (),
    keep_existing: bool = False,
    max_distance_bits: int = MAX_DISTANCE_BITS,
) -> Dataset:
    """Give every item a split.

    Args:
        dataset: Verified items, so that duplicates are known.
        shares: Share of every split, adding up to 1; splits that are left out get nothing.
        seed: Decides where there is a choice.
        stratify_by: Groups whose values are spread over the splits as labels are.
        keep_existing: Whether items that have a split keep it, and take what belongs to them along; so a
            dataset can grow while its test set stays what it was.
        max_distance_bits: See `near.duplicate_groups`.

    Returns:
        The dataset with every item in a split.

    Raises:
        DatasetError: Where items were not verified, where a split can't get both labels, or where splits that
            are kept divide what belongs together.
    """
    for item in dataset.items:
        if not item.sha256:
            message = (
                f"{item.path} was not verified, so its duplicates are not known; build the dataset first"
            )
            raise DatasetError(message, dataset.name, None, "sha256")
        dataset.target_of(item)  # refuses labels that are neither class
    labels = connected(
        duplicate_groups(dataset.items, max_distance_bits),
        first_of_equals(item.source or None for item in dataset.items),
    ).tolist()
    units = _units(dataset, labels, stratify_by, keep_existing)
    order = sorted(units)
    planned = plan([units[first] for first in order], shares, seed)
    _require_both_classes(dataset, [units[first] for first in order], planned, shares)
    chosen = dict(zip(order, planned, strict=True))
    return dataset.with_items(
        replace(item, split=chosen[first]) for item, first in zip(dataset.items, labels, strict=True)
    )


def plan(units: Sequence[Unit], shares: Mapping[str, float], seed: int = 0) -> list[str]:
    """Choose a split for every unit.

    Large units go first, each to where it is missed most; then single units move as long as that brings the
    numbers nearer to the shares. So no label is further from its share than the largest units demand.

    Args:
        units: What must not be divided.
        shares: Share of every split, adding up to 1.
        seed: Decides where there is a choice.

    Returns:
        The split of every unit, in their order; it depends on the units' keys, not on their order.

    Raises:
        DatasetError: Where the shares are none or a fixed split has no share.
    """
    wanted = {name: shares[name] for name in DEFAULT_SHARES if shares.get(name, 0) > 0}
    known = set(shares) <= set(DEFAULT_SHARES) and min(shares.values(), default=0) >= 0
    if not known or abs(sum(wanted.values()) - 1) > 1e-6:
        raise DatasetError(f"the shares of train, validation and test have to add up to 1: {dict(shares)}")
    for unit in units:
        if unit.fixed and unit.fixed not in wanted:
            raise DatasetError(f"keeps the split {unit.fixed!r}, which has no share", unit.key, None, "split")
    ranks = {unit.key: hashlib.sha256(f"{seed}:{unit.key}".encode()).hexdigest() for unit in units}
    order = sorted(range(len(units)), key=lambda index: (-units[index].size, ranks[units[index].key]))
    state = _Division(units, wanted)
    for index in order:
        state.put(index, units[index].fixed or state.best_for(index))
    free = [index for index in order if not units[index].fixed]
    state.fill_gaps(free)
    for _ in range(_MAX_PASSES):
        if sum(state.improve(index) for index in free) == 0:
            break
    return [state.chosen[index] for index in range(len(units))]


def write_split(dataset: Dataset, path: Path) -> tuple[Path, Path | None]:
    """Write a divided dataset: what training may see, and apart from it the sealed test set.

    Args:
        dataset: Every item has a split.
        path: The manifest for training, such as `data.parquet`; the test set becomes `data.test.parquet`,
            which only its owner can read, and change only on purpose.

    Returns:
        Both paths; None for the second where there are no test items.

    Raises:
        DatasetError: Where an item has no split or a file cannot be written.
    """
    for item in dataset.items:
        if not item.split:
            raise DatasetError(f"{item.path} has no split", dataset.name, None, "split")
    visible = dataset.with_items(item for item in dataset.items if item.split != "test")
    sealed = dataset.part("test")
    test_path = sealed_path(path)
    if sealed.items:
        # Before the other: whatever ends this in between, no test item is in neither file.
        manifest.write(sealed, test_path)
        test_path.chmod(_SEALED_MODE)
    manifest.write(visible, path)
    return path, test_path if sealed.items else None


def sealed_path(path: Path) -> Path:
    """Where the test set of a training manifest lies."""
    return path.with_name(f"{path.stem}.test{path.suffix}")


def require_unsealed(path: Path, *, keep_existing: bool = False, anew: bool = False) -> None:
    """See that dividing does not replace a sealed test set by accident.

    Args:
        path: The manifest for training that is to be written.
        keep_existing: Whether what has a split keeps it.
        anew: Whether the test set may be replaced: results on the former one can't be compared any more.

    Raises:
        DatasetError: Where a test set is there and neither is wanted.
    """
    test_path = sealed_path(path)
    if test_path.exists() and not (keep_existing or anew):
        message = "is a sealed test set already: keep existing splits, or ask to divide everything anew"
        raise DatasetError(message, test_path)


def read_whole(path: Path, classes: Classes = DEFAULT_CLASSES) -> Dataset:
    """Read a manifest together with its sealed test set, if there is one; never for training code.

    Args:
        path: The manifest for training.
        classes: The negative and the positive label.

    Returns:
        All items. An item that the sealed set has too is not taken twice, unless this one says that it is for
        something else: that is a leak, which `check` has to see.

    Raises:
        DatasetError: Where one of the two cannot be read.
    """
    visible = manifest.read(path, classes)
    test_path = sealed_path(path)
    if not test_path.is_file():
        return visible
    sealed = manifest.read(test_path, classes)
    paths = {item.path for item in sealed.items}
    kept = [item for item in visible.items if item.split not in ("", "test") or item.path not in paths]
    return replace(visible, items=(*kept, *sealed.items))


@dataclass(slots=True)
class _Division:
    """A division in the making, and how far each stratum is from its share."""

    units: Sequence[Unit]
    shares: Mapping[str, float]
    chosen: dict[int, str] = field(default_factory=dict)
    missing: dict[str, dict[tuple[str, ...], float]] = field(default_factory=dict)
    weights: dict[tuple[str, ...], float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        totals: Counter[tuple[str, ...]] = Counter()
        for unit in self.units:
            totals.update(unit.counts)
        # A rare stratum's picture weighs more: it is the shares that are to be met, not the sum.
        self.weights = {stratum: 1 / count for stratum, count in totals.items()}
        self.missing = {
            name: {stratum: share * count for stratum, count in totals.items()}
            for name, share in self.shares.items()
        }

    def put(self, index: int, name: str) -> None:
        self._change(index, -1)
        self.chosen[index] = name
        self._change(index, +1)

    def _change(self, index: int, sign: int) -> None:
        if index in self.chosen:
            for stratum, count in self.units[index].counts.items():
                self.missing[self.chosen[index]][stratum] -= sign * count

    def cost_of(self, index: int, name: str) -> float:
        """How much further from the shares the unit brings a split that does not hold it."""
        missing = self.missing[name]
        return sum(
            self.weights[stratum] * count * (count - 2 * missing[stratum])
            for stratum, count in self.units[index].counts.items()
        )

    def best_for(self, index: int) -> str:
        return min(self.shares, key=lambda name: self.cost_of(index, name))

    def improve(self, index: int) -> bool:
        """Move a unit if that brings the numbers nearer, without taking a label from a split."""
        former = self.chosen[index]
        self._change(index, -1)
        del self.chosen[index]
        best = self.best_for(index)
        gain = self.cost_of(index, former) - self.cost_of(index, best)
        leaves = best if gain > 1e-9 else former
        if leaves != former and self._empties(index, former):
            leaves = former
        self.put(index, leaves)
        return leaves != former

    def fill_gaps(self, free: Iterable[int]) -> None:
        """Give a split that a label is missing from the smallest unit another split can spare."""
        smallest_first = sorted(free, key=lambda index: self.units[index].size)
        labels = {stratum[0] for unit in self.units for stratum in unit.counts}
        for name in sorted(self.shares):
            for label in sorted(labels):
                if self._holds(name, label):
                    continue
                for index in smallest_first:
                    former = self.chosen[index]
                    if label in self._labels(index) and former != name and not self._empties(index, former):
                        self.put(index, name)
                        break

    def _labels(self, index: int) -> set[str]:
        return {stratum[0] for stratum in self.units[index].counts}

    def _holds(self, name: str, label: str, without: int = -1) -> bool:
        return any(
            chosen == name and index != without and label in self._labels(index)
            for index, chosen in self.chosen.items()
        )

    def _empties(self, index: int, name: str) -> bool:
        """Whether a split without the unit would lack a label."""
        return not all(self._holds(name, label, index) for label in self._labels(index))


def _units(
    dataset: Dataset, labels: Sequence[int], stratify_by: Sequence[str], keep_existing: bool
) -> dict[int, Unit]:
    members: dict[int, list[Item]] = defaultdict(list)
    for item, first in zip(dataset.items, labels, strict=True):
        members[first].append(item)
    return {first: _unit(items, stratify_by, keep_existing) for first, items in members.items()}


def _unit(items: Sequence[Item], stratify_by: Sequence[str], keep_existing: bool) -> Unit:
    counts = Counter((item.label, *(item.groups.get(name, "") for name in stratify_by)) for item in items)
    fixed = sorted({item.split for item in items if item.split}) if keep_existing else []
    if len(fixed) > 1:
        examples = [next(item.path for item in items if item.split == name) for name in fixed[:2]]
        message = f"belongs together with {examples[1]}, but is in {fixed[0]} and that in {fixed[1]}"
        raise DatasetError(message, examples[0], None, "split")
    key = min(f"{item.sha256}:{item.path}" for item in items)
    return Unit(key, counts, fixed[0] if fixed else "")


def _require_both_classes(
    dataset: Dataset, units: Sequence[Unit], planned: Sequence[str], shares: Mapping[str, float]
) -> None:
    found = {(name, stratum[0]) for unit, name in zip(units, planned, strict=True) for stratum in unit.counts}
    for label in dataset.classes:
        holding = sum(any(stratum[0] == label for stratum in unit.counts) for unit in units)
        for name, share in shares.items():
            if share > 0 and (name, label) not in found:
                message = (
                    f"{holding} independent groups of pictures have the label {label!r}: "
                    f"none is left for the split {name!r} (what shows the same or has one source is not torn)"
                )
                raise DatasetError(message, dataset.name, None, "source" if holding else "label")


__all__ = [
    "DEFAULT_SHARES",
    "Unit",
    "plan",
    "read_whole",
    "require_unsealed",
    "sealed_path",
    "split",
    "write_split",
]

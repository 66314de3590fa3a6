"""What is wrong with a dataset, told as findings that name the file and the column.

Errors are what makes a measured number wrong (a leak between splits, contradictory labels) or training
impossible. To look for leaks into a sealed test set, check both manifests joined (`values.join`).
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

from classifier.datasets.near import MAX_DISTANCE_BITS, Labels, duplicate_groups, first_of_equals
from classifier.datasets.values import Dataset, DatasetError, Finding, Item

MIN_GROUP_ITEMS = 20
MIN_LABEL_SHARE = 0.05
MAX_GROUP_SHARE = 0.1
_EXAMPLES = 10


def check(
    dataset: Dataset, *, max_distance_bits: int = MAX_DISTANCE_BITS, with_files: bool = True
) -> tuple[Finding, ...]:
    """Look for everything that can be seen without decoding.

    Args:
        dataset: Preferably verified; what was not is a finding.
        max_distance_bits: See `near.duplicate_groups`.
        with_files: Whether to look for the files on the disk.

    Returns:
        The findings, errors first.
    """
    if not dataset.items:
        return (Finding("error", "empty_dataset", "there are no pictures", dataset.name),)
    exact = first_of_equals(item.sha256 or None for item in dataset.items)
    near = duplicate_groups(dataset.items, max_distance_bits)
    findings = [
        *(_files(dataset) if with_files else ()),
        *_labels(dataset),
        *_verified(dataset),
        *_duplicates(dataset, exact, near),
        *_sources(dataset),
        *_column_groups(dataset),
    ]
    return by_severity(findings)


def by_severity(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Errors first, then warnings, then the rest, each in their order."""
    order = ("error", "warning", "info")
    return tuple(sorted(findings, key=lambda finding: order.index(finding.severity)))


def exit_code(findings: Iterable[Finding], *, strict: bool = False) -> int:
    """What a command should end with.

    Args:
        findings: What was found.
        strict: Whether warnings count too.

    Returns:
        1 where there is an error, else 0.
    """
    counting = ("error", "warning") if strict else ("error",)
    return int(any(finding.severity in counting for finding in findings))


def require(findings: Sequence[Finding]) -> None:
    """Go no further with a dataset that has errors.

    Args:
        findings: What was found.

    Raises:
        DatasetError: Of the first error; it says how many there are.
    """
    errors = [finding for finding in findings if finding.severity == "error"]
    if errors:
        first = errors[0]
        more = f" (and {len(errors) - 1} more errors)" if len(errors) > 1 else ""
        raise DatasetError(f"{first.message}{more}", first.file, None, first.column)


def _files(dataset: Dataset) -> Iterator[Finding]:
    for item in dataset.items:
        if item.is_remote:
            continue
        path = dataset.path_of(item)
        if not path.is_file():
            yield Finding("error", "missing_file", "there is no such file", item.path, "path")
        elif path.stat().st_size == 0:
            yield Finding("error", "empty", "the file is empty", item.path, "path")


def _labels(dataset: Dataset) -> Iterator[Finding]:
    for item in dataset.items:
        if item.label not in dataset.classes:
            message = f"the label {item.label!r} is neither of {dataset.classes}"
            yield Finding("error", "unknown_label", message, item.path, "label")
    splits = {item.split for item in dataset.items}
    for split in sorted(splits):
        counts = Counter(item.label for item in dataset.items if item.split == split)
        where = f"in the split {split!r}" if split else "outside of any split"
        for label in dataset.classes:
            share = counts[label] / counts.total()
            if not counts[label]:
                message = f"no picture {where} has the label {label!r}"
                yield Finding("error", "one_class", message, dataset.name, "label")
            elif share < MIN_LABEL_SHARE:
                message = f"only {share:.1%} of the pictures {where} have the label {label!r}"
                yield Finding("warning", "imbalanced", message, dataset.name, "label")
    if "" in splits and len(splits) > 1:
        count = sum(not item.split for item in dataset.items)
        yield Finding("warning", "no_split", f"{_count(count)} without a split", dataset.name, "split")


def _verified(dataset: Dataset) -> Iterator[Finding]:
    unverified = [item.path for item in dataset.items if not item.sha256]
    if unverified:
        message = f"{_count(len(unverified))} not verified, so that duplicates are not known"
        yield Finding("warning", "unverified", message, dataset.name, "sha256", tuple(unverified[:_EXAMPLES]))
    flat = [item.path for item in dataset.items if item.sha256 and not item.perceptual_hash]
    if flat:
        message = f"{_count(len(flat))} with too little detail for near duplicates to be found"
        yield Finding("info", "flat", message, dataset.name, "perceptual_hash", tuple(flat[:_EXAMPLES]))


def _duplicates(dataset: Dataset, exact: Labels, near: Labels) -> Iterator[Finding]:
    spare: list[str] = []
    for members in _members(dataset.items, near):
        items = [item for item, _ in members]
        same_bytes = _members([item for item, _ in members], [exact[index] for _, index in members])
        exact_parts = [[item for item, _ in part] for part in same_bytes]
        yield from _leaks(items, exact_parts)
        yield from _conflicts(items, exact_parts)
        spare += [item.path for item in items[1:]]
        if len(items) > max(MAX_GROUP_SHARE * len(dataset), 2):
            message = f"{len(items)} of {len(dataset)} pictures are near duplicates of each other"
            yield Finding("warning", "giant_group", message, items[0].path, "perceptual_hash")
    if spare:
        message = f"{_count(len(spare))} too many: duplicates or near duplicates of others"
        yield Finding("warning", "duplicates", message, dataset.name, "sha256", tuple(spare[:_EXAMPLES]))


def _leaks(items: Sequence[Item], exact_parts: Sequence[Sequence[Item]]) -> Iterator[Finding]:
    """The same content in several splits: one finding a group, the exact copies' if there are such."""
    for part in exact_parts:
        if len(splits := _splits(part)) > 1:
            yield _leak("leak_exact", part, f"the same file is in {' and '.join(splits)}", "sha256")
            return
    if len(splits := _splits(items)) > 1:
        message = f"nearly the same picture is in {' and '.join(splits)}"
        yield _leak("leak_near", items, message, "perceptual_hash")


def _conflicts(items: Sequence[Item], exact_parts: Sequence[Sequence[Item]]) -> Iterator[Finding]:
    for part in exact_parts:
        if len(labels := sorted({item.label for item in part})) > 1:
            message = f"the same file is labelled {' and '.join(labels)}"
            others = tuple(item.path for item in part[1:])
            yield Finding("error", "label_conflict", message, part[0].path, "label", others)
            return
    if len(labels := sorted({item.label for item in items})) > 1:
        message = f"nearly the same picture is labelled {' and '.join(labels)}"
        others = tuple(item.path for item in items[1:])
        yield Finding("warning", "label_conflict_near", message, items[0].path, "label", others)


def _leak(code: str, items: Sequence[Item], message: str, column: str) -> Finding:
    # Who looks into a leak starts from the test set's picture.
    ordered = sorted(items, key=lambda item: ("test", "validation", "train", "").index(item.split))
    others = tuple(f"{item.path} ({item.split or 'no split'})" for item in ordered[1:])
    return Finding("error", code, message, ordered[0].path, column, others)


def _sources(dataset: Dataset) -> Iterator[Finding]:
    by_source: dict[str, list[Item]] = defaultdict(list)
    for item in dataset.items:
        if item.source:
            by_source[item.source].append(item)
    for source, items in sorted(by_source.items()):
        if len(splits := _splits(items)) > 1:
            message = f"the source {source!r} is in {' and '.join(splits)}"
            yield _leak("leak_source", items[:_EXAMPLES], message, "source")


def _column_groups(dataset: Dataset) -> Iterator[Finding]:
    for name in sorted({name for item in dataset.items for name in item.groups}):
        counts = Counter(item.groups.get(name, "") for item in dataset.items)
        for value, count in sorted(counts.items()):
            if value and count < MIN_GROUP_ITEMS:
                message = f"only {_count(count)} with the value {value!r}: too few to say anything about them"
                yield Finding("warning", "tiny_group", message, dataset.name, f"group:{name}")


def _count(number: int) -> str:
    return f"{number:,} {'picture' if number == 1 else 'pictures'}"


def _members(items: Sequence[Item], labels: Iterable[int]) -> list[list[tuple[Item, int]]]:
    """The groups of more than one item, each with its items' positions."""
    groups: dict[int, list[tuple[Item, int]]] = defaultdict(list)
    for index, (item, label) in enumerate(zip(items, labels, strict=True)):
        groups[int(label)].append((item, index))
    return [members for members in groups.values() if len(members) > 1]


def _splits(items: Iterable[Item]) -> list[str]:
    return sorted({item.split for item in items if item.split})


__all__ = ["by_severity", "check", "exit_code", "require"]

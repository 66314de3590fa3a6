"""From what people have to a manifest that can be trusted: read, verify, leave duplicates out, say what went.

This is the composition that a laboratory calls; the command line only adds a progress bar:

    built = build(read_source(Path("pictures")))
    manifest.write(built.dataset, Path("data.parquet"))
    write_removed(built.removed, removed_path(Path("data.parquet")))
"""

import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from classifier import atomic_file
from classifier.datasets import manifest, npdi, sources
from classifier.datasets.check import by_severity, check
from classifier.datasets.dedupe import Removal, without_duplicates
from classifier.datasets.near import MAX_DISTANCE_BITS
from classifier.datasets.values import DEFAULT_CLASSES, Classes, Dataset, DatasetError, Finding
from classifier.datasets.verify import MAX_FILE_BYTES, verify
from classifier.decode.limits import DecodeLimits

Kind = Literal["auto", "folder", "table", "manifest", "feedback", "npdi"]
Duplicates = Literal["near", "exact", "keep"]
FilesLookedInto = Literal["unverified", "all", "none"]
OnStep = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and of how much."""
_NPDI_NAME = re.compile(r"v(Non)?Porn(\d|$|Easy|Difficult)", re.IGNORECASE)
_MAX_NAMES_LOOKED_AT = 2000
_REMOVED_COLUMNS = ("path", "label", "split", "code", "message", "kept")


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """How a source is to be read; what does not concern its kind is left alone.

    Attributes:
        classes: The negative and the positive label; None leaves it to the source.
        level: Of NPDI's layouts: `frame` or `video`.
        media: Of a feedback export: the folder with its pictures; None means beside it.
        columns: Of a table: how it calls `path`, `label`, `source` and `split`.
        groups: Of a table or a feedback export: columns that results are broken down by.
        labels: Of a table: what its labels mean.
        max_items: More are refused.
    """

    classes: Classes | None = None
    level: npdi.Level = "frame"
    media: Path | None = None
    columns: Mapping[str, str] = field(default_factory=dict, hash=False)
    groups: Sequence[str] = ()
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    max_items: int = manifest.MAX_ITEMS


@dataclass(frozen=True, slots=True)
class Building:
    """What building gave.

    Attributes:
        dataset: What is left: sound, verified, and without duplicates if so wanted.
        findings: What was found on the way.
        removed: Every picture that was left out, and why.
        given: How many pictures there were.
    """

    dataset: Dataset
    findings: tuple[Finding, ...]
    removed: tuple[Removal, ...]
    given: int


def read_source(path: Path, kind: Kind = "auto", options: SourceOptions | None = None) -> Dataset:
    """Read whatever a dataset is to be made of; nothing is decoded.

    Args:
        path: A folder or a file.
        kind: What it is; `auto` looks.
        options: How to read it.

    Returns:
        The pictures.

    Raises:
        DatasetError: Where there is nothing, or it is not what it should be.
    """
    chosen = options or SourceOptions()
    what = detect(path) if kind == "auto" else kind
    classes = chosen.classes or DEFAULT_CLASSES
    if what == "folder":
        return sources.from_folder(path, chosen.classes, chosen.max_items)
    if what == "npdi":
        return npdi.from_npdi(path, chosen.level, chosen.max_items)
    if what == "feedback":
        if path.is_dir() and sources.exports_in(path):
            return sources.from_feedback(path, chosen.media or path, chosen.groups)
        export = _export_in(path) if path.is_dir() else path
        return sources.from_feedback(export, chosen.media or export.absolute().parent, chosen.groups)
    if what == "manifest":
        return manifest.read(path, classes, chosen.max_items)
    if path.suffix.lower() != ".csv":
        raise DatasetError("a table ends in .csv", path)
    return sources.from_table(path, chosen.columns, chosen.groups, chosen.labels or None, classes)


def detect(path: Path) -> Kind:
    """Say what a source is by its name, its header or the names in it.

    Args:
        path: A folder or a file.

    Returns:
        Its kind, never `auto`.

    Raises:
        DatasetError: Where there is nothing, or nothing known.
    """
    if path.is_dir():
        if (path / "feedback.csv").is_file() or sources.exports_in(path):
            return "feedback"
        return "npdi" if _looks_like_npdi(path) else "folder"
    if not path.exists():
        raise DatasetError("there is no such file or folder", path)
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return "manifest"
    if suffix in (".jsonl", ".ndjson"):
        return "feedback"
    if suffix == ".csv":
        return _detect_table(path)
    known = ", ".join(kind for kind in get_args(Kind) if kind != "auto")
    raise DatasetError(f"its kind cannot be told from its name; name it: {known}", path)


def build(
    dataset: Dataset,
    *,
    duplicates: Duplicates = "near",
    max_distance_bits: int = MAX_DISTANCE_BITS,
    workers: int = 2,
    limits: DecodeLimits | None = None,
    max_file_bytes: int = MAX_FILE_BYTES,
    on_step: OnStep | None = None,
) -> Building:
    """Verify every file and leave duplicates out.

    Args:
        dataset: What was read. Items that were verified before are not decoded again.
        duplicates: `near` leaves near and exact copies out, `exact` exact ones only, `keep` none.
        max_distance_bits: See `near.duplicate_groups`.
        workers: How many processes decode.
        limits: What one file may cost.
        max_file_bytes: Larger files are left out unread.
        on_step: Told how far it is.

    Returns:
        What is left and what went.

    Raises:
        DatasetError: Where a library is missing, or only one label is there to begin with.
        ClassifierError: Where decode workers do not start.
    """
    require_both_labels(dataset)

    def progress(done: int, total: int) -> None:
        if on_step:
            on_step("verifying", done, total)

    verified = verify(
        dataset, workers=workers, limits=limits, max_file_bytes=max_file_bytes, progress=progress
    )
    findings = list(verified.findings)
    labels = {item.path: item for item in dataset.items}
    removed = [
        Removal(one.file, labels[one.file].label, labels[one.file].split, one.code, one.message)
        for one in findings
        if one.severity == "error"
    ]
    left = verified.dataset
    if duplicates != "keep":
        if on_step:
            on_step("comparing", 0, 1)
        unique = without_duplicates(
            left, exact_only=duplicates == "exact", max_distance_bits=max_distance_bits
        )
        left = unique.dataset
        findings += unique.findings
        removed += unique.removed
    return Building(left, tuple(findings), tuple(removed), len(dataset))


def examine(
    dataset: Dataset,
    *,
    files: FilesLookedInto = "unverified",
    max_distance_bits: int = MAX_DISTANCE_BITS,
    workers: int = 2,
    on_step: OnStep | None = None,
) -> tuple[Dataset, tuple[Finding, ...]]:
    """Look for everything that is wrong with a dataset, whether its files were verified before or not.

    Args:
        dataset: The dataset; to look for leaks into a sealed test set, both manifests joined.
        files: Which files are looked into: `unverified` those without hashes, `all` also whether the others
            are still what they were, `none` nothing but the manifest.
        max_distance_bits: See `near.duplicate_groups`.
        workers: How many processes decode.
        on_step: Told how far it is.

    Returns:
        All items, with their hashes as far as their files are sound, and the findings, errors first.

    Raises:
        DatasetError: Where a library is missing.
        ClassifierError: Where decode workers do not start.
    """
    wanted = [item for item in dataset.items if files == "all" or (files == "unverified" and not item.sha256)]
    found: list[Finding] = []
    if wanted:

        def progress(done: int, total: int) -> None:
            if on_step:
                on_step("looking into files", done, total)

        verified = verify(dataset.with_items(wanted), workers=workers, progress=progress)
        by_path = {item.path: item for item in verified.dataset.items}
        dataset = dataset.with_items(by_path.get(item.path, item) for item in dataset.items)
        # What is too flat to be hashed is told once, with how many there are.
        found = [finding for finding in verified.findings if finding.severity != "info"]
    told = {finding.file for finding in found}
    if on_step:
        on_step("comparing", 0, 1)
    found += [
        finding
        for finding in check(dataset, max_distance_bits=max_distance_bits, with_files=files != "none")
        if not (finding.code in ("missing_file", "empty") and finding.file in told)
    ]
    return dataset, by_severity(found)


def require_both_labels(dataset: Dataset) -> None:
    """Go no further where there is nothing to tell apart.

    Args:
        dataset: The dataset.

    Raises:
        DatasetError: Where it is empty, a label is unknown or one is not there.
    """
    if not dataset.items:
        raise DatasetError("there are no pictures", dataset.name)
    found = {dataset.target_of(item) for item in dataset.items}
    for target, label in enumerate(dataset.classes):
        if target not in found:
            raise DatasetError(f"no picture has the label {label!r}", dataset.name, None, "label")


def require_left(built: Building, path: Path) -> None:
    """Go no further where what was left out was all of a label.

    Args:
        built: What building gave.
        path: The manifest that is to be written; the list of what was left out lies beside it.

    Raises:
        DatasetError: It names the first file that was left out.
    """
    try:
        require_both_labels(built.dataset)
    except DatasetError as error:
        if not built.removed:
            raise
        first = built.removed[0]
        raise DatasetError(
            f"{error.message}, after {len(built.removed)} of {built.given} were left out; the first one: "
            f"{first.path}: {first.message} ({first.code}). All are listed in {removed_path(path)}",
            built.dataset.name,
            None,
            "label",
        ) from error


def removed_path(path: Path) -> Path:
    """Where the list of what was left out lies beside a manifest."""
    return path.with_name(f"{path.stem}.removed.csv")


def write_removed(removed: Sequence[Removal], path: Path) -> None:
    """Write what was left out as CSV; a former list is replaced, by an empty one where nothing went.

    Args:
        removed: The pictures.
        path: The file.

    Raises:
        DatasetError: Where it cannot be written.
    """
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(_REMOVED_COLUMNS)
    rows.writerows([getattr(one, name) for name in _REMOVED_COLUMNS] for one in removed)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_file.write(path, text.getvalue().encode())
    except OSError as error:
        raise DatasetError(f"cannot be written: {error.strerror or error}", path) from error


def _detect_table(path: Path) -> Kind:
    """A manifest has no column but its own; the feedback export has hashes and no paths."""
    names = manifest.header_of(path)
    own = all(
        name in (*manifest.COLUMNS, manifest.WEIGHT) or name.startswith(manifest.GROUP_PREFIX)
        for name in names
    )
    if own and {"path", "label"} <= set(names):
        return "manifest"
    return "feedback" if "sha256" in names and "label" in names and "path" not in names else "table"


def _looks_like_npdi(root: Path) -> bool:
    """Whether something in the folder, or in one of its folders, is named like a video of that set."""
    looked_at = 0
    for folder in (root, *sources.folders(root)):
        for path in folder.iterdir():
            if _NPDI_NAME.match(path.name):
                return True
            looked_at += 1
            if looked_at > _MAX_NAMES_LOOKED_AT:
                return False
    return False


def _export_in(folder: Path) -> Path:
    for name in ("feedback.jsonl", "feedback.csv"):
        if (folder / name).is_file():
            return folder / name
    found = sorted(folder.glob("*.jsonl"))
    if len(found) != 1:
        raise DatasetError("holds no feedback.jsonl or feedback.csv", folder)
    return found[0]


__all__ = [
    "Building",
    "Duplicates",
    "FilesLookedInto",
    "Kind",
    "OnStep",
    "SourceOptions",
    "build",
    "detect",
    "examine",
    "read_source",
    "removed_path",
    "require_both_labels",
    "require_left",
    "write_removed",
]

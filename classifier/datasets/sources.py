"""Build a dataset from what people have: a folder of folders, a table, or the project's feedback export.

Nothing is decoded here and no file is copied; paths point to where the pictures lie. Verify afterwards.
"""

import json
import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from classifier.datasets.manifest import MAX_ITEMS, WEIGHT, read_csv, weight_of
from classifier.datasets.values import DEFAULT_CLASSES, Classes, Dataset, DatasetError, Item

_log = logging.getLogger(__name__)

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"})
VIDEO_SUFFIXES = frozenset({".webm", ".ogv", ".mp4", ".mpg", ".mpeg", ".avi", ".mkv", ".mov", ".flv", ".wmv"})
_SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}
FEEDBACK_LABELS: Mapping[str, str] = {
    "nsfw-delete": "nsfw",
    "nsfw-keep": "nsfw",
    "nsfw": "nsfw",
    "sfw": "safe",
    "safe": "safe",
}
"""What moderators' verdicts mean for training; others (`unsure`, `disputed`) are left out."""
FEEDBACK, WITHDRAWN = "feedback.jsonl", "withdrawn.csv"
"""Files of an export: its rows, and the ids of items that those before it should no longer have."""
_SHA256 = re.compile(r"[0-9a-f]{64}")


def from_folder(root: Path, classes: Classes | None = None, max_items: int = MAX_ITEMS) -> Dataset:
    """An ImageFolder: `<label>/…/<picture>`, or `<split>/<label>/…/<picture>`.

    Args:
        root: The folder.
        classes: The negative and the positive label; None where the folders are called `safe` and `nsfw`, or
            to take the two names in alphabetical order.
        max_items: More pictures are refused.

    Returns:
        Its pictures, in the order of their paths; files that are none by their ending are left out.

    Raises:
        DatasetError: Where the folders are not two labels, one of them is empty, or there are too many files.
    """
    if not root.is_dir():
        raise DatasetError("there is no such folder", root)
    tops = folders(root)
    split_tops = [top for top in tops if top.name.lower() in _SPLIT_FOLDERS]
    if split_tops and len(split_tops) != len(tops):
        strange = next(top for top in tops if top not in split_tops)
        raise DatasetError("stands beside folders that are named after splits", strange)
    parts = [(_SPLIT_FOLDERS[top.name.lower()], top) for top in split_tops] or [("", root)]
    names = sorted({label.name for _, top in parts for label in folders(top)})
    chosen = classes or _two_classes(names, root)
    items: list[Item] = []
    for split, top in parts:
        for label in folders(top):
            if label.name not in chosen:
                raise DatasetError(f"is named after neither {chosen[0]!r} nor {chosen[1]!r}", label)
            items += [
                Item(path.relative_to(root).as_posix(), label.name, split=split)
                for path in files(label, PICTURE_SUFFIXES, max_items - len(items))
            ]
    found = {item.label for item in items}
    for name in chosen:
        if name not in found:
            raise DatasetError("holds no picture", root / name, None, "label")
    return Dataset(tuple(items), root.absolute(), root.name, chosen)


def from_table(
    path: Path,
    columns: Mapping[str, str] | None = None,
    groups: Sequence[str] = (),
    labels: Mapping[str, str] | None = None,
    classes: Classes = DEFAULT_CLASSES,
) -> Dataset:
    """Any CSV file with a column of paths (or URLs) and one of labels.

    Args:
        path: The table; relative paths in it start from its folder.
        columns: How it calls `path`, `label`, `source` and `split`, where not so.
        groups: Columns that results are to be broken down by.
        labels: How it calls the two classes, where not so; a value that is not named here is an error.
        classes: The negative and the positive label.

    Returns:
        Its pictures.

    Raises:
        DatasetError: Where it lacks a column, or a row a path or a label that is known.
    """
    names = {name: name for name in ("path", "label", "source", "split")} | dict(columns or {})
    meaning = dict(labels or {label: label for label in classes})
    wanted = [names["path"], names["label"], *groups, *(columns or {}).values()]
    items = []
    for number, row in read_csv(path):
        for name in wanted:
            if name not in row:
                raise DatasetError("is missing", path, None, name)
        if not row[names["path"]]:
            raise DatasetError("is empty", path, number, names["path"])
        label = _meaning(row[names["label"]], meaning, path, number, names["label"])
        split = row.get(names["split"], "").strip().lower()
        if split and split not in _SPLIT_FOLDERS:
            raise DatasetError(f"{split!r} is no split", path, number, names["split"])
        items.append(
            Item(
                path=row[names["path"]],
                label=label,
                source=row.get(names["source"], ""),
                groups={name: row[name] for name in groups},
                split=_SPLIT_FOLDERS.get(split, ""),
            )
        )
    return _dataset(items, path, path.absolute().parent, classes)


def from_feedback(
    path: Path, media: Path, groups: Sequence[str] = (), labels: Mapping[str, str] = FEEDBACK_LABELS
) -> Dataset:
    """The feedback that moderators gave, as the project exports it: JSON Lines or CSV by the ending.

    Args:
        path: The export; every row has `sha256` and `label`, and perhaps `path`, `source`, `split`, `weight`.
            Or the folder of an export, or one that was exported to several times: later rows of an item
            (`item_id`) stand for the earlier ones, and what was withdrawn is left out.
        media: Folder with the pictures; without a `path` they are found by the SHA-256 in their names. Of a
            folder, that one itself.
        groups: Columns that results are to be broken down by.
        labels: What the verdicts mean; rows with others, or whose picture is known to be missing
            (`media_state` and no `sha256`), are left out.

    Returns:
        The pictures that have a verdict that counts, with the SHA-256 that `verify` will hold them to.

    Raises:
        DatasetError: Where a row lacks something or its picture is not in the folder.
    """
    by_sha256: dict[str, Path] = {}
    items: dict[str, Item] = {}
    left_out: Counter[str] = Counter()
    rows = _exported_rows(path) if path.is_dir() else ((path, *row) for row in _feedback_rows(path))
    for file, number, row in rows:
        for name in ("sha256", "label", *groups):
            if name not in row:
                raise DatasetError("is missing", file, number, name)
        key = row.get("item_id") or f"{file}:{number}"
        items.pop(key, None)
        sha256, label = row["sha256"].lower(), labels.get(row["label"])
        if label is None or (not sha256 and row.get("media_state")):
            left_out[row["label"] if label is None else row["media_state"]] += 1
            continue
        if not _SHA256.fullmatch(sha256):
            raise DatasetError(f"{row['sha256']!r} is not a SHA-256", file, number, "sha256")
        name = row.get("path", "")
        if not name:
            by_sha256 = by_sha256 or _by_sha256(media)
            if sha256 not in by_sha256:
                raise DatasetError(f"no file of {media} is named {sha256}", file, number, "sha256")
            name = by_sha256[sha256].relative_to(media).as_posix()
        items[key] = _feedback_item(row, name, label, sha256, groups, file, number)
    if left_out:
        _log.info("feedback_left_out", extra={"file": path.name, "verdicts": dict(left_out)})
    # The same bytes can be uploaded twice; a dataset has a file once, with the latest verdict and all weight.
    unique: dict[str, Item] = {}
    for item in items.values():
        before = unique.pop(item.path, None)
        unique[item.path] = item if before is None else replace(item, weight=item.weight + before.weight)
    return _dataset(list(unique.values()), path, media.absolute(), DEFAULT_CLASSES)


def exports_in(folder: Path) -> list[Path]:
    """The finished exports in a folder that was exported to, oldest first; or the folder, if it is one.

    Args:
        folder: The folder.

    Returns:
        Their folders; empty where there are none.
    """
    if (folder / FEEDBACK).is_file():
        return [folder]
    found = [path for path in folder.iterdir() if path.name.isdecimal() and (path / FEEDBACK).is_file()]
    return sorted(found, key=lambda path: int(path.name))


def folders(root: Path) -> list[Path]:
    """The folders in a folder, by name; hidden ones and links are left out."""
    return sorted(
        path for path in root.iterdir() if path.is_dir() and not path.is_symlink() and path.name[0] != "."
    )


def files(root: Path, suffixes: Iterable[str], max_items: int = MAX_ITEMS) -> list[Path]:
    """The files below a folder that have one of the endings, by path.

    Args:
        root: The folder.
        suffixes: The endings, in lower case.
        max_items: More are refused.

    Returns:
        Their paths; hidden ones are left out.

    Raises:
        DatasetError: Where there are more.
    """
    wanted = frozenset(suffixes)
    found: list[Path] = []
    skipped: Counter[str] = Counter()
    for path in root.rglob("*"):
        hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
        if hidden or not path.is_file():
            continue
        if path.suffix.lower() not in wanted:
            skipped[path.suffix.lower()] += 1
            continue
        found.append(path)
        if len(found) > max_items:
            raise DatasetError(f"holds more than {max_items} files", root)
    if skipped:
        _log.info("dataset_files_left_out", extra={"folder": str(root), "endings": dict(skipped)})
    return sorted(found)


def _two_classes(names: Sequence[str], root: Path) -> Classes:
    if set(names) == set(DEFAULT_CLASSES):
        return DEFAULT_CLASSES
    if len(names) != 2:
        found = f"there {'is one' if len(names) == 1 else f'are {len(names)}'}: {', '.join(names)}"
        raise DatasetError(
            f"needs two folders, one for each label; {found if names else 'there is none'}", root
        )
    return names[0], names[1]


def _meaning(value: str, meaning: Mapping[str, str], path: Path, number: int, column: str) -> str:
    if value not in meaning:
        known = ", ".join(map(repr, meaning))
        raise DatasetError(f"{value!r} is none of the labels {known}", path, number, column)
    return meaning[value]


def _feedback_item(
    row: Mapping[str, str], name: str, label: str, sha256: str, groups: Sequence[str], file: Path, number: int
) -> Item:
    split = row.get("split", "").lower()
    if split and split not in _SPLIT_FOLDERS:
        raise DatasetError(f"{split!r} is no split", file, number, "split")
    try:
        weight = weight_of(row.get(WEIGHT, ""))
    except ValueError as error:
        raise DatasetError(f"{row[WEIGHT]!r} {error}", file, number, WEIGHT) from error
    chosen = {group: row[group] for group in groups}
    return Item(
        name, label, row.get("source", ""), chosen, _SPLIT_FOLDERS.get(split, ""), sha256, weight=weight
    )


def _exported_rows(folder: Path) -> Iterator[tuple[Path, int, dict[str, str]]]:
    """The rows of all exports in a folder, without those that a later one withdraws."""
    exports = exports_in(folder)
    withdrawn: dict[str, int] = {}
    for position, export in enumerate(exports):
        path = export / WITHDRAWN
        lines = path.read_text(encoding="utf-8").splitlines()[1:] if path.is_file() else []
        withdrawn |= dict.fromkeys(lines, position)
    for position, export in enumerate(exports):
        for number, row in _feedback_rows(export / FEEDBACK):
            if position < withdrawn.get(row.get("item_id", ""), -1):
                continue
            if row.get("path"):
                row["path"] = (export.relative_to(folder) / row["path"]).as_posix()
            yield export / FEEDBACK, number, row


def _feedback_rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    if path.suffix.lower() == ".csv":
        yield from read_csv(path)
        return
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, _json_row(line, path, number)
    except UnicodeDecodeError as error:
        raise DatasetError(f"is not UTF-8: {error.reason}", path) from error
    except OSError as error:
        raise DatasetError(f"cannot be read: {error.strerror or error}", path) from error


def _json_row(line: str, path: Path, number: int) -> dict[str, str]:
    try:
        row = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        raise DatasetError(f"is not JSON: {error}", path, number) from error
    if not isinstance(row, dict):
        raise DatasetError("is not a JSON object", path, number)
    return {name: "" if value is None else str(value) for name, value in row.items()}


def _by_sha256(media: Path) -> dict[str, Path]:
    if not media.is_dir():
        raise DatasetError("there is no such folder", media)
    return {path.stem.lower(): path for path in media.rglob("*") if _SHA256.fullmatch(path.stem.lower())}


def _dataset(items: Sequence[Item], path: Path, root: Path, classes: Classes) -> Dataset:
    if not items:
        raise DatasetError("has no rows with a label", path, None, "label")
    return Dataset(tuple(items), root, path.name, classes)


__all__ = [
    "FEEDBACK",
    "FEEDBACK_LABELS",
    "PICTURE_SUFFIXES",
    "VIDEO_SUFFIXES",
    "WITHDRAWN",
    "exports_in",
    "files",
    "folders",
    "from_feedback",
    "from_folder",
    "from_table",
]

"""Datasets on the disk: one row a picture, Parquet or CSV by the file's ending.

Columns: `path` and `label`, which must be there, `source`, `split`, `sha256`, `perceptual_hash`, `weight` (of
drawn items; written where one is not 1), and `group:<name>` for every further column that results are broken
down by. Relative paths start from the
manifest's folder. What does not fit is an error that names file, row and column, never something skipped.
"""

import csv
import hashlib
import io
import json
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from classifier import atomic_file
from classifier.datasets.values import (
    DEFAULT_CLASSES,
    SPLITS,
    Classes,
    Dataset,
    DatasetError,
    Item,
    missing_extra,
)

COLUMNS = ("path", "label", "source", "split", "sha256", "perceptual_hash")
GROUP_PREFIX = "group:"
WEIGHT = "weight"
MAX_ITEMS = 1_000_000
"""More would not fit into memory comfortably; no plan of this project needs a tenth of it."""
_REQUIRED = ("path", "label")
_HASH = re.compile(r"[0-9a-f]{64}|")
_SUFFIXES = (".parquet", ".csv")


def read(path: Path, classes: Classes = DEFAULT_CLASSES, max_items: int = MAX_ITEMS) -> Dataset:
    """Read a manifest.

    Args:
        path: The file, `.parquet` or `.csv` (UTF-8).
        classes: The negative and the positive label.
        max_items: More rows are refused.

    Returns:
        The dataset, its items in the order of the file.

    Raises:
        DatasetError: Where it cannot be read or does not hold what it should.
    """
    if len(set(classes)) != 2 or "" in classes:
        raise DatasetError(f"the classes have to be two different names, not {classes}", path, None, "label")
    rows = _read_parquet(path, max_items) if suffix_of(path) == ".parquet" else read_csv(path, max_items)
    items: list[Item] = []
    seen: dict[str, int] = {}
    for number, row in rows:
        if not items:
            _check_columns(row, path)
        item = _item(row, path, number, classes)
        if (before := seen.setdefault(item.path, number)) != number:
            raise DatasetError(f"{item.path} is in row {before} already", path, number, "path")
        items.append(item)
    if not items:
        raise DatasetError("has no rows", path)
    return Dataset(tuple(items), path.absolute().parent, path.name, classes)


def write(dataset: Dataset, path: Path) -> None:
    """Write a manifest; a former one is replaced as a whole.

    Args:
        dataset: What to write; relative paths are rewritten to start from the new folder.
        path: The file, `.parquet` or `.csv`.

    Raises:
        DatasetError: Where the ending is another one or the file cannot be written.
    """
    suffix = suffix_of(path)
    groups = sorted({name for item in dataset.items for name in item.groups})
    weighted = any(item.weight != 1 for item in dataset.items)
    header = [*COLUMNS, *(GROUP_PREFIX + name for name in groups), *([WEIGHT] if weighted else [])]
    rows = [
        [*_row(item, groups), *([repr(item.weight)] if weighted else [])]
        for item in _rebased(dataset, path.absolute().parent)
    ]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_file.write(path, _parquet(header, rows) if suffix == ".parquet" else _csv(header, rows))
    except OSError as error:
        raise DatasetError(f"cannot be written: {error.strerror or error}", path) from error


def content_hash(dataset: Dataset) -> str:
    """What a model was trained on, as one number: equal for equal data, wherever it lies and in any order.

    Args:
        dataset: The dataset. Items that were verified count by their bytes, others by their path.

    Returns:
        SHA-256 in hex over classes, contents, labels, sources, groups, splits and weights.
    """
    digests = sorted(
        hashlib.sha256(
            json.dumps(
                [item.sha256 or item.path, item.label, item.source, item.split, sorted(item.groups.items())]
                + ([item.weight] if item.weight != 1 else [])
            ).encode()
        ).digest()
        for item in dataset.items
    )
    return hashlib.sha256(json.dumps(dataset.classes).encode() + b"".join(digests)).hexdigest()


def read_csv(path: Path, max_items: int = MAX_ITEMS) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows of any CSV file with a header.

    Args:
        path: The file, UTF-8.
        max_items: More rows are refused.

    Yields:
        The number of the line where a row ends, 1-based, and its values by column.

    Raises:
        DatasetError: Where it cannot be read, names a column twice or has a row of another length.
    """
    reader = None
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, [])
            _check_header(header, path)
            for count, values in enumerate((row for row in reader if row), 1):
                if count > max_items:
                    raise DatasetError(f"has more than {max_items} rows", path)
                if len(values) != len(header):
                    message = f"has {len(values)} values for {len(header)} columns"
                    raise DatasetError(message, path, reader.line_num)
                yield reader.line_num, dict(zip(header, values, strict=True))
    except UnicodeDecodeError as error:
        raise DatasetError(f"is not UTF-8: {error.reason}", path) from error
    except csv.Error as error:
        raise DatasetError(f"is not CSV: {error}", path, reader.line_num if reader else None) from error
    except OSError as error:
        raise DatasetError(f"cannot be read: {error.strerror or error}", path) from error


def header_of(path: Path) -> tuple[str, ...]:
    """The columns of any CSV file.

    Args:
        path: The file, UTF-8.

    Returns:
        Their names.

    Raises:
        DatasetError: Where it cannot be read or has none.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = next(csv.reader(file, strict=True), [])
    except UnicodeDecodeError as error:
        raise DatasetError(f"is not UTF-8: {error.reason}", path) from error
    except csv.Error as error:
        raise DatasetError(f"is not CSV: {error}", path) from error
    except OSError as error:
        raise DatasetError(f"cannot be read: {error.strerror or error}", path) from error
    _check_header(header, path)
    return tuple(header)


def _arrow() -> tuple[Any, Any]:
    """The library and its part for Parquet."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise missing_extra(error.name) from error
    return pa, pq


def _read_parquet(path: Path, max_items: int) -> Iterator[tuple[int, dict[str, str]]]:
    pa, pq = _arrow()
    try:
        # The number of rows stands in the file's foot: a huge file is refused before it is read.
        with pq.ParquetFile(path) as file:
            if file.metadata.num_rows > max_items:
                raise DatasetError(f"has more than {max_items} rows", path)
            _check_header(file.schema_arrow.names, path)
            table = file.read()
    except (pa.ArrowException, OSError) as error:
        raise DatasetError(f"cannot be read: {error}", path) from error
    columns: dict[str, list[Any]] = {}
    for name in table.column_names:
        kind = table.schema.field(name).type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind)):
            raise DatasetError(f"holds {kind}, not text", path, None, name)
        columns[name] = table.column(name).to_pylist()
    for index in range(table.num_rows):
        yield index + 1, {name: values[index] or "" for name, values in columns.items()}


def _check_header(header: Sequence[str], path: Path) -> None:
    if not header:
        raise DatasetError("is empty", path)
    for name in header:
        if header.count(name) > 1:
            raise DatasetError("is there twice", path, None, name)


def _check_columns(names: Iterable[str], path: Path) -> None:
    known = set(names)
    for name in _REQUIRED:
        if name not in known:
            raise DatasetError("is missing", path, None, name)
    for name in sorted(known - {*COLUMNS, WEIGHT}):
        if not name.startswith(GROUP_PREFIX) or name == GROUP_PREFIX:
            message = f"is unknown; known are {', '.join(COLUMNS)}, {WEIGHT} and {GROUP_PREFIX}<name>"
            raise DatasetError(message, path, None, name)


def _item(row: Mapping[str, str], path: Path, number: int, classes: Classes) -> Item:
    def refuse(column: str, why: str) -> DatasetError:
        return DatasetError(f"{row.get(column, '')!r} {why}", path, number, column)

    if not row["path"] or "\0" in row["path"]:
        raise refuse("path", "is not a path")
    if row["label"] not in classes:
        raise refuse("label", f"is neither {classes[0]!r} nor {classes[1]!r}")
    if row.get("split", "") not in SPLITS:
        raise refuse("split", f"is none of {', '.join(filter(None, SPLITS))} or empty")
    for column in ("sha256", "perceptual_hash"):
        if not _HASH.fullmatch(row.get(column, "")):
            raise refuse(column, "is not 64 lower-case hex digits")
    groups = {name.removeprefix(GROUP_PREFIX): row[name] for name in row if name.startswith(GROUP_PREFIX)}
    plain = {name: row.get(name, "") for name in COLUMNS}
    try:
        weight = weight_of(row.get(WEIGHT, ""))
    except ValueError as error:
        raise refuse(WEIGHT, str(error)) from error
    return Item(groups=groups, weight=weight, **plain)


def weight_of(text: str) -> float:
    """Read a weight.

    Args:
        text: As a table has it; empty means 1.

    Returns:
        The weight.

    Raises:
        ValueError: Where it is no number over 0.
    """
    try:
        weight = float(text or 1)
    except ValueError:
        weight = 0.0
    if not 0 < weight < math.inf:
        raise ValueError("is not a number over 0")
    return weight


def _rebased(dataset: Dataset, folder: Path) -> Iterator[Item]:
    root = dataset.root.absolute()
    for item in dataset.items:
        keeps = root == folder or item.is_remote or Path(item.path).is_absolute()
        yield item if keeps else replace(item, path=os.path.relpath(root / item.path, folder))


def _row(item: Item, groups: Sequence[str]) -> list[str]:
    plain = [str(getattr(item, name)) for name in COLUMNS]
    return [*plain, *(item.groups.get(name, "") for name in groups)]


def _csv(header: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode()


def _parquet(header: Sequence[str], rows: Sequence[Sequence[str]]) -> bytes:
    pa, pq = _arrow()
    columns = [pa.array([row[index] for row in rows], pa.string()) for index in range(len(header))]
    with io.BytesIO() as buffer:
        pq.write_table(pa.Table.from_arrays(columns, names=list(header)), buffer)
        return buffer.getvalue()


def require_writable(path: Path) -> None:
    """See before hours of work that a manifest of this name can be written.

    Args:
        path: The file.

    Raises:
        DatasetError: Where its ending is another one, or the library for Parquet is not installed.
    """
    if suffix_of(path) == ".parquet":
        _arrow()


def suffix_of(path: Path) -> str:
    """The ending of a manifest, in lower case.

    Raises:
        DatasetError: Where it is none that can be written.
    """
    suffix = path.suffix.lower()
    if suffix not in _SUFFIXES:
        raise DatasetError(f"a manifest ends in {' or '.join(_SUFFIXES)}", path)
    return suffix


__all__ = [
    "COLUMNS",
    "GROUP_PREFIX",
    "MAX_ITEMS",
    "WEIGHT",
    "content_hash",
    "header_of",
    "read",
    "read_csv",
    "require_writable",
    "suffix_of",
    "weight_of",
    "write",
]

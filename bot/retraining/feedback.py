"""Read an export: what may be trained on, what is evaluated on, and what is neither, and why.

The split `test` is for evaluation alone. Disputed items are not trained on, but belong to the evaluation, and
so do held-out uploads that nobody decided about or that no picture was kept of: they were drawn all the same,
and those of their stratum that have a label stand for them.

The pictures are what the export holds: reduced copies (at most `[retention] side_px`, without metadata), of
moving pictures the one frame that gave the score. Training and evaluation see the same kind of bytes.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bot.export.folder import MANIFEST, withdrawn_in
from classifier.datasets import sources
from classifier.datasets.values import DEFAULT_CLASSES, Dataset, DatasetError, Item

EVALUATION = "test"
DISPUTED = "disputed"
LABELS = (*DEFAULT_CLASSES, DISPUTED, "unsure", "open")
SUPPRESSED = "suppressed since the export"


@dataclass(frozen=True, slots=True)
class HeldOut:
    """An upload that is evaluated on.

    Attributes:
        item: Its picture; None where there is none. Undecided ones carry the negative label.
        label: 1.0 explicit, 0.0 harmless, None where people did not agree or did not decide.
        disputed: Whether they disagree.
        probability: With which it was drawn for review.
        stratum: What it was drawn from.
        recorded: The score that the daemon recorded.
        weights_sha256: Of the model that gave it.
    """

    item: Item | None
    label: float | None
    disputed: bool
    probability: float
    stratum: str
    recorded: float | None = None
    weights_sha256: str = ""


@dataclass(frozen=True, slots=True)
class Feedback:
    """Exported feedback.

    Attributes:
        name: Of the export, for people.
        sha256: Over the manifests that were read.
        training: Agreed labels with a picture, with the splits train and validation; each stands for
            `weight` uploads.
        held_out: What is evaluated on.
        left_out: Items that are neither, by reason.
        moving: How many pictures are single frames of moving ones.
    """

    name: str
    sha256: str
    training: Dataset
    held_out: tuple[HeldOut, ...]
    left_out: Mapping[str, int] = field(default_factory=dict)
    moving: int = 0

    @property
    def evaluation(self) -> Dataset:
        """The pictures that are evaluated on, each once."""
        unique = {one.item.path: one.item for one in self.held_out if one.item is not None}
        return self.training.with_items(unique.values())


def read(path: Path, suppressed: Collection[str] = ()) -> Feedback:
    """Read an export.

    Args:
        path: An export's folder, its manifest, or the folder that several exports were made to: of an item
            in several the latest row counts, and what was withdrawn is left out.
        suppressed: Public ids of items that the wiki suppressed since; they are left out.

    Returns:
        What to train and to evaluate on.

    Raises:
        DatasetError: Where there is no export, the file cannot be read, or a row is not what it should be.
    """
    files = _manifests(path)
    root = path.absolute() if path.is_dir() else path.absolute().parent
    training: list[Item] = []
    held_out: list[HeldOut] = []
    left_out: Counter[str] = Counter()
    moving = 0
    for file, number, row in _latest(files):
        if row.get("item_id") in suppressed:
            left_out[SUPPRESSED] += 1
            continue
        one = _held_out(row, file, number, root)
        moving += one.item is not None and row.get("worst_at_s") is not None
        if row["split"] == EVALUATION:
            held_out.append(one)
        elif one.label is not None and one.item is not None:
            training.append(one.item)
        else:
            left_out[_why_not(row)] += 1
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    name = " + ".join(file.parent.name for file in files)
    dataset = Dataset(tuple(training), root, name)
    return Feedback(name, digest.hexdigest(), dataset, tuple(held_out), dict(left_out), moving)


def item_ids(path: Path) -> list[str]:
    """The public ids of everything in an export; arguments and errors as for `read`."""
    return [row["item_id"] for _, _, row in _latest(_manifests(path)) if row.get("item_id")]


def _manifests(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    found = [folder / MANIFEST for folder in sources.exports_in(path)] if path.is_dir() else []
    if not found:
        raise DatasetError("holds no finished export; `export` makes one", path)
    return found


def _latest(files: list[Path]) -> Iterator[tuple[Path, int, dict[str, Any]]]:
    """One row an item, the latest; rows without an id stand for themselves."""
    rows: dict[object, tuple[Path, int, dict[str, Any]]] = {}
    for file in files:
        for gone in withdrawn_in(file.parent):
            rows.pop(gone, None)
        for number, row in _rows(file):
            key = row.get("item_id") or (file, number)
            rows.pop(key, None)
            rows[key] = file, number, row
    yield from rows.values()


def _held_out(row: Mapping[str, Any], file: Path, number: int, root: Path) -> HeldOut:
    """The row as if it were held out; what is trained on is a part of that."""
    split, chance, label = row.get("split"), row.get("inclusion_probability"), row.get("label")
    if split not in ("train", "validation", EVALUATION):
        raise DatasetError(f"{split!r} is no split", file, number, "split")
    if not isinstance(chance, float | int) or not 0 < chance <= 1:
        raise DatasetError(f"{chance!r} is no probability", file, number, "inclusion_probability")
    if label not in LABELS:
        raise DatasetError(f"{label!r} is none of {', '.join(LABELS)}", file, number, "label")
    decided = label in DEFAULT_CLASSES
    item = None
    if row.get("path"):
        below = (file.absolute().parent / row["path"]).relative_to(root).as_posix()
        item = Item(
            below,
            label if decided else DEFAULT_CLASSES[0],
            row.get("source") or "",
            split=split,
            sha256=row.get("sha256") or "",
            weight=1 / chance,
        )
    return HeldOut(
        item,
        float(DEFAULT_CLASSES.index(label)) if decided else None,
        label == DISPUTED,
        float(chance),
        row.get("stratum") or row.get("reason") or "",
        row.get("score"),
        row.get("weights_sha256") or "",
    )


def _why_not(row: Mapping[str, Any]) -> str:
    if row["label"] not in DEFAULT_CLASSES:
        return str(row["label"])
    return f"no picture ({row.get('media_state') or 'not exported'})"


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                yield number, _row(line, path, number)
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"cannot be read: {error}", path) from error


def _row(line: str, path: Path, number: int) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise DatasetError("is not JSON", path, number) from error
    if not isinstance(row, dict):
        raise DatasetError("is not a JSON object", path, number)
    return row


__all__ = ["DISPUTED", "EVALUATION", "SUPPRESSED", "Feedback", "HeldOut", "item_ids", "read"]

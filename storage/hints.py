"""Hints beside uploads: something like it was reviewed, or the same bytes were deleted before.

A hint is never a label. What is stored is only what was found when an upload was put up for review: which
reviewed uploads look like it, and under which titles its bytes were deleted. What people decided about those
uploads, and whether they may still be named, is asked anew whenever a hint is read.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from storage import file_changes, reviews
from storage.feedback_tables import FileMarkRow
from storage.hash_index import Near
from storage.insertion import insert_new
from storage.review_values import Hint, LookAlike, ReviewState
from storage.standing import standing_of
from storage.tables import ReviewItemRow, UploadRow
from storage.values import ChangeKind

_AT_ONCE = 500


class MarkKind(StrEnum):
    """What a stored mark says."""

    NEAR_DUPLICATE = "near_duplicate"
    REUPLOAD_OF_DELETED = "reupload_of_deleted"


def note_near(tx: Session, upload_id: int, near: Sequence[Near], now: datetime) -> bool:
    """Store which reviewed uploads look like an upload, decided or not yet; the first note stays.

    Args:
        tx: A session of `Database.transaction()`.
        upload_id: Row id of the upload.
        near: The others, by the row ids of their uploads, the nearest first.
        now: The present.

    Returns:
        Whether it is new.
    """
    found = [{"upload_id": one.id, "distance_bits": one.distance_bits} for one in near]
    return _note(tx, upload_id, MarkKind.NEAR_DUPLICATE, {"near": found}, now)


def note_deleted(tx: Session, upload_id: int, titles: Sequence[str], now: datetime) -> bool:
    """Store under which titles the bytes of an upload were deleted; the first note stays.

    Args:
        tx: A session of `Database.transaction()`.
        upload_id: Row id of the upload.
        titles: Full titles.
        now: The present.

    Returns:
        Whether it is new.
    """
    return _note(tx, upload_id, MarkKind.REUPLOAD_OF_DELETED, {"titles": list(titles)}, now)


def load(tx: Session, chosen: ColumnElement[bool]) -> dict[int, Hint]:
    """What is known now of files like those of some review items, for the other modules of this package.

    Args:
        tx: Any session of the database.
        chosen: Which review items.

    Returns:
        By row id of the upload; those without a hint are left out.
    """
    rows = tx.execute(
        select(FileMarkRow.upload_id, FileMarkRow.kind, FileMarkRow.detail, UploadRow.wiki)
        .join_from(ReviewItemRow, FileMarkRow, FileMarkRow.upload_id == ReviewItemRow.upload_id)
        .join(UploadRow, UploadRow.id == FileMarkRow.upload_id)
        .where(chosen)
        .order_by(FileMarkRow.id)
    ).all()
    near = {
        (upload_id, wiki): [int(one["upload_id"]) for one in detail.get("near", ())]
        for upload_id, kind, detail, wiki in rows
        if kind == MarkKind.NEAR_DUPLICATE
    }
    decided = _decided(tx, {other for others in near.values() for other in others})
    alike = {
        upload_id: decided[other, wiki]
        for (upload_id, wiki), others in near.items()
        for other in reversed(others)  # so that the nearest is the last word
        if (other, wiki) in decided
    }
    deleted = {
        upload_id: tuple(detail["titles"])
        for upload_id, kind, detail, _ in rows
        if kind == MarkKind.REUPLOAD_OF_DELETED
    }
    return {
        upload_id: Hint(alike.get(upload_id), deleted.get(upload_id, ()))
        for upload_id in alike.keys() | deleted.keys()
    }


def of_items(tx: Session, item_ids: Collection[str]) -> dict[str, Hint]:
    """What is known now of files like those of some review items.

    Args:
        tx: Any session of the database.
        item_ids: Public ids.

    Returns:
        By public id; those without a hint are left out.
    """
    found: dict[str, Hint] = {}
    ordered = sorted(item_ids)
    for begin in range(0, len(ordered), _AT_ONCE):
        chosen = ReviewItemRow.item_id.in_(ordered[begin : begin + _AT_ONCE])
        hints = load(tx, chosen)
        if hints:
            ids = tx.execute(select(ReviewItemRow.item_id, ReviewItemRow.upload_id).where(chosen))
            found |= {item_id: hints[upload_id] for item_id, upload_id in ids if upload_id in hints}
    return found


def _note(tx: Session, upload_id: int, kind: MarkKind, detail: Mapping[str, Any], now: datetime) -> bool:
    row = {"upload_id": upload_id, "kind": kind.value, "detail": dict(detail), "noted_at": now}
    return insert_new(tx, FileMarkRow, [row]) == 1


def _decided(tx: Session, upload_ids: Collection[int]) -> dict[tuple[int, str], LookAlike]:
    """Those of some uploads that trusted people agree on and that are not suppressed; with their wikis.

    Disputed and undecided ones would be no help, and the title of a suppressed file is not ours to tell.
    """
    found: dict[tuple[int, str], LookAlike] = {}
    ids = sorted(upload_ids)
    for begin in range(0, len(ids), _AT_ONCE):
        chosen = ReviewItemRow.upload_id.in_(ids[begin : begin + _AT_ONCE])
        changes = file_changes.latest(tx, chosen)
        rows = tx.execute(
            select(ReviewItemRow.id, UploadRow.id, UploadRow.wiki, UploadRow.current_title)
            .join(UploadRow, UploadRow.id == ReviewItemRow.upload_id)
            .where(chosen, ReviewItemRow.state == ReviewState.CLOSED.value)
        ).all()
        verdicts = reviews.verdicts_by_row(tx, [row_id for row_id, *_ in rows])
        for row_id, upload_id, wiki, title in rows:
            verdict = standing_of(verdicts.get(row_id, ())).verdict
            if verdict is not None and changes.get((upload_id, True)) is not ChangeKind.SUPPRESS:
                gone = changes.get((upload_id, False)) is ChangeKind.DELETE
                found[upload_id, wiki] = LookAlike(title, verdict.code, gone)
    return found


__all__ = ["MarkKind", "load", "note_deleted", "note_near", "of_items"]

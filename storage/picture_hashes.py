"""The perceptual hashes of scored pictures, and hints beside uploads: something like it is known already.

A hint is never a label: it is shown to people, and no estimate looks at it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from storage import reviews
from storage.feedback_tables import FileMarkRow, PictureHashRow
from storage.insertion import insert_new
from storage.review_values import VerdictCode
from storage.standing import is_nsfw, standing_of
from storage.tables import ReviewItemRow, UploadRow

_AT_ONCE = 500


class MarkKind(StrEnum):
    """What a hint says."""

    NEAR_DUPLICATE = "near_duplicate"
    REUPLOAD_OF_DELETED = "reupload_of_deleted"


@dataclass(frozen=True, slots=True)
class KnownPicture:
    """A reviewed upload on which trusted people agree.

    Attributes:
        upload_id: Row id of the upload.
        item_id: Public id of its review item.
        title: Its present title.
        verdict: The latest of the verdicts that stand.
        nsfw: What they come to.
    """

    upload_id: int
    item_id: str
    title: str
    verdict: VerdictCode
    nsfw: bool


@dataclass(frozen=True, slots=True)
class Mark:
    """A hint beside an upload.

    Attributes:
        kind: What it says.
        detail: Plain JSON values; see `bot.retention.hints`.
        noted_at: When it was found.
    """

    kind: MarkKind
    detail: Mapping[str, Any]
    noted_at: datetime


def add(tx: Session, upload_id: int, pdq: bytes, quality: int, now: datetime) -> bool:
    """Store the hash of an upload's picture.

    Args:
        tx: A session of `Database.transaction()`.
        upload_id: Row id of the upload.
        pdq: 32 bytes.
        quality: 0 to 100; PDQ's authors advise not to compare hashes below 50.
        now: The present.

    Returns:
        Whether there was none yet.
    """
    row = {"upload_id": upload_id, "pdq": pdq, "quality": quality, "created_at": now}
    return insert_new(tx, PictureHashRow, [row]) == 1


def reviewed(tx: Session, min_quality: int) -> tuple[list[int], bytes]:
    """The hashes of all uploads that people are or were asked about.

    Args:
        tx: Any session of the database.
        min_quality: Hashes of poorer pictures are left out.

    Returns:
        Row ids of the uploads, and their hashes of 32 bytes in that order.
    """
    rows = tx.execute(
        select(PictureHashRow.upload_id, PictureHashRow.pdq)
        .join(ReviewItemRow, ReviewItemRow.upload_id == PictureHashRow.upload_id)
        .where(PictureHashRow.quality >= min_quality)
        .order_by(PictureHashRow.upload_id)
    ).all()
    return [upload_id for upload_id, _ in rows], b"".join(pdq for _, pdq in rows)


def known(tx: Session, upload_ids: Collection[int]) -> dict[int, KnownPicture]:
    """What trusted people agree on; disputed and undecided items are left out.

    Args:
        tx: Any session of the database.
        upload_ids: Row ids of uploads.

    Returns:
        By row id of the upload.
    """
    ids = sorted(upload_ids)
    found: dict[int, KnownPicture] = {}
    for begin in range(0, len(ids), _AT_ONCE):
        rows = tx.execute(
            select(ReviewItemRow.id, ReviewItemRow.item_id, UploadRow.id, UploadRow.current_title)
            .join(UploadRow, UploadRow.id == ReviewItemRow.upload_id)
            .where(ReviewItemRow.upload_id.in_(ids[begin : begin + _AT_ONCE]))
        ).all()
        verdicts = reviews.verdicts_by_row(tx, [row_id for row_id, *_ in rows])
        for row_id, item_id, upload_id, title in rows:
            standing = standing_of(verdicts.get(row_id, ()))
            nsfw = is_nsfw([vote.code for vote in standing.votes])
            if nsfw is not None and standing.verdict is not None:
                found[upload_id] = KnownPicture(upload_id, item_id, title, standing.verdict.code, nsfw)
    return found


def mark(tx: Session, upload_id: int, kind: MarkKind, detail: Mapping[str, Any], now: datetime) -> bool:
    """Store a hint; the first one of a kind stays.

    Args:
        tx: A session of `Database.transaction()`.
        upload_id: Row id of the upload.
        kind: What it says.
        detail: Plain JSON values.
        now: The present.

    Returns:
        Whether it is new.
    """
    row = {"upload_id": upload_id, "kind": kind.value, "detail": dict(detail), "noted_at": now}
    return insert_new(tx, FileMarkRow, [row]) == 1


def marks_of(tx: Session, upload_ids: Sequence[int]) -> dict[int, list[Mark]]:
    """The hints beside uploads.

    Args:
        tx: Any session of the database.
        upload_ids: Row ids, some hundreds at most.

    Returns:
        By row id of the upload; those without a hint are left out.
    """
    rows = tx.scalars(
        select(FileMarkRow).where(FileMarkRow.upload_id.in_(upload_ids)).order_by(FileMarkRow.id)
    )
    found: dict[int, list[Mark]] = {}
    for row in rows:
        found.setdefault(row.upload_id, []).append(Mark(MarkKind(row.kind), row.detail, row.noted_at))
    return found


__all__ = ["KnownPicture", "Mark", "MarkKind", "add", "known", "mark", "marks_of", "reviewed"]

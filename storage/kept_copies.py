"""Which reduced pictures of uploads lie on our disk, until when, and what became of those that are gone.

A row stays when its picture goes, and every removal is written down in `purge`, which only grows. Equal
pictures are one file with several rows: who removes a file asks `sharing` for all of them first.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import ColumnElement, Select, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from storage.feedback_tables import KeptCopyRow, PurgeRow
from storage.insertion import insert_new
from storage.tables import FileChangeRow, FileChangeUploadRow, ReviewItemRow, UploadRow
from storage.values import ChangeKind

_AT_ONCE = 500
"""Values in one question; databases allow no more than some thousands."""


class PurgeReason(StrEnum):
    """Why a kept picture was removed."""

    EXPIRED = "expired"
    SUPPRESSED = "suppressed"
    REQUESTED = "requested"


@dataclass(frozen=True, slots=True)
class KeptCopy:
    """A picture that should lie on the disk.

    Attributes:
        id: Row id.
        upload_id: Row id of the upload that it was made from.
        sha256: Of the file, which is also its name.
        media_type: `image/jpeg`.
        size_bytes: Size of the file.
        at_s: Position in seconds in a video or animation; None for still pictures.
        kept_at: Since when.
        expires_at: From when on it is to be removed.
    """

    id: int
    upload_id: int
    sha256: str
    media_type: str
    size_bytes: int
    at_s: float | None
    kept_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Purge:
    """A removal, as the audit log has it.

    Attributes:
        upload_id: Row id of the upload.
        title: Its present title.
        sha256: Of the file that was removed.
        reason: Why.
        purged_by: Who asked for it; `retention` where the bot did by itself.
        purged_at: When; the file was gone by then.
    """

    upload_id: int
    title: str
    sha256: str
    reason: PurgeReason
    purged_by: str
    purged_at: datetime


def add(
    tx: Session,
    *,
    upload_id: int,
    sha256: str,
    media_type: str,
    size_bytes: int,
    at_s: float | None,
    kept_at: datetime,
    expires_at: datetime,
) -> bool:
    """Record a picture whose file is in place.

    Args:
        tx: A session of `Database.transaction()`.
        upload_id: Row id of the upload.
        sha256: Of the file.
        media_type: Of the file.
        size_bytes: Of the file.
        at_s: Position in seconds; None for still pictures.
        kept_at: The present.
        expires_at: When it has to be gone.

    Returns:
        Whether it may lie there. False where the wiki has suppressed the upload or another one with the same
        picture, or where this very picture was purged before.
    """
    of_upload = select(_suppression(upload_id).exists())
    of_picture = select(KeptCopyRow.id).where(
        KeptCopyRow.sha256 == sha256, _suppression(KeptCopyRow.upload_id).exists()
    )
    if tx.scalar(of_upload) or tx.scalar(of_picture.limit(1)) is not None:
        return False
    row = {
        "upload_id": upload_id,
        "sha256": sha256,
        "media_type": media_type,
        "size_bytes": size_bytes,
        "at_s": at_s,
        "kept_at": kept_at,
        "expires_at": expires_at,
        "purged_at": None,
    }
    if insert_new(tx, KeptCopyRow, [row]):
        return True
    return bool(
        tx.scalar(
            select(KeptCopyRow.id).where(
                KeptCopyRow.upload_id == upload_id, KeptCopyRow.sha256 == sha256, _LIVE
            )
        )
    )


def expired(tx: Session, now: datetime, days: float, limit: int) -> list[KeptCopy]:
    """Pictures that have lain there long enough.

    Args:
        tx: Any session of the database.
        now: The present.
        days: How long pictures are kept by the present settings: a shorter time counts for older pictures
            too, a longer one does not.
        limit: At most so many.

    Returns:
        The oldest first.
    """
    cutoff = now - timedelta(days=days)
    due = or_(KeptCopyRow.expires_at <= now, KeptCopyRow.kept_at <= cutoff)
    return _copies(tx, due, limit)


def suppressed(tx: Session, limit: int) -> list[KeptCopy]:
    """Pictures of uploads that the wiki has suppressed.

    Args:
        tx: Any session of the database.
        limit: At most so many.

    Returns:
        The oldest first.
    """
    return _copies(tx, _suppression(KeptCopyRow.upload_id).exists(), limit)


def of_uploads(tx: Session, upload_ids: Collection[int]) -> list[KeptCopy]:
    """Pictures of certain uploads.

    Args:
        tx: Any session of the database.
        upload_ids: Row ids.

    Returns:
        Those that lie there, the oldest first.
    """
    ids = sorted(upload_ids)
    return [
        copy
        for begin in range(0, len(ids), _AT_ONCE)
        for copy in _copies(tx, KeptCopyRow.upload_id.in_(ids[begin : begin + _AT_ONCE]))
    ]


def everything(tx: Session, limit: int) -> list[KeptCopy]:
    """Any pictures that lie there, the oldest first, at most so many."""
    return _copies(tx, KeptCopyRow.id.is_not(None), limit)


def sharing(tx: Session, hashes: Collection[str]) -> dict[str, list[KeptCopy]]:
    """All rows that need certain files.

    Args:
        tx: Any session of the database.
        hashes: SHA-256 of the files.

    Returns:
        By hash; files that nobody needs are left out.
    """
    found: dict[str, list[KeptCopy]] = {}
    wanted = sorted(hashes)
    for begin in range(0, len(wanted), _AT_ONCE):
        for copy in _copies(tx, KeptCopyRow.sha256.in_(wanted[begin : begin + _AT_ONCE])):
            found.setdefault(copy.sha256, []).append(copy)
    return found


def mark_purged(
    tx: Session, copies: Sequence[KeptCopy], reason: PurgeReason, purged_by: str, now: datetime
) -> int:
    """Write down that pictures are gone; call it when their files are.

    Args:
        tx: A session of `Database.transaction()`.
        copies: The rows.
        reason: Why they were removed.
        purged_by: Who asked for it.
        now: The present.

    Returns:
        How many were not marked before.
    """
    marked = 0
    for copy in copies:
        row = tx.scalar(select(KeptCopyRow).where(KeptCopyRow.id == copy.id, _LIVE).with_for_update())
        if row is None:
            continue
        row.purged_at = now
        tx.add(
            PurgeRow(
                upload_id=copy.upload_id,
                sha256=copy.sha256,
                reason=reason.value,
                purged_by=purged_by,
                purged_at=now,
            )
        )
        marked += 1
    return marked


def find_uploads(tx: Session, wiki: str, names: Sequence[str]) -> Mapping[str, list[int]]:
    """The uploads that somebody means.

    Args:
        tx: Any session of the database.
        wiki: Database name of the wiki.
        names: Public ids of review items, or titles: every version of the file that has it now or had it when
            it was uploaded.

    Returns:
        Row ids by name, for every name.
    """
    found: dict[str, list[int]] = {}
    for name in names:
        titled = or_(UploadRow.current_title == name, UploadRow.title == name)
        ids = set(tx.scalars(select(UploadRow.id).where(UploadRow.wiki == wiki, titled)))
        ids |= set(tx.scalars(select(ReviewItemRow.upload_id).where(ReviewItemRow.item_id == name)))
        found[name] = sorted(ids)
    return found


def purges(tx: Session, limit: int) -> list[Purge]:
    """The audit log.

    Args:
        tx: Any session of the database.
        limit: At most so many.

    Returns:
        The latest first.
    """
    rows = tx.execute(
        select(PurgeRow, UploadRow.current_title)
        .join(UploadRow, UploadRow.id == PurgeRow.upload_id)
        .order_by(PurgeRow.purged_at.desc(), PurgeRow.id.desc())
        .limit(limit)
    )
    return [
        Purge(row.upload_id, title, row.sha256, PurgeReason(row.reason), row.purged_by, row.purged_at)
        for row, title in rows
    ]


def titles(tx: Session, wiki: str) -> list[str]:
    """The present titles of files of which a picture lies there.

    Args:
        tx: Any session of the database.
        wiki: Database name of the wiki.

    Returns:
        Each once, sorted.
    """
    rows = tx.scalars(
        select(UploadRow.current_title)
        .join(KeptCopyRow, KeptCopyRow.upload_id == UploadRow.id)
        .where(_LIVE, UploadRow.wiki == wiki)
        .distinct()
        .order_by(UploadRow.current_title)
    )
    return list(rows)


def totals(tx: Session) -> tuple[int, int]:
    """How many pictures are kept, and how many bytes they have; a file that several need counts for each."""
    count, size = tx.execute(select(func.count(), func.sum(KeptCopyRow.size_bytes)).where(_LIVE)).one()
    return int(count), int(size or 0)


_LIVE = KeptCopyRow.purged_at.is_(None)


def _suppression(upload_id: int | InstrumentedAttribute[int]) -> Select[int]:
    """Suppressions of an upload; by the upload, because most changes of files are none."""
    return (
        select(FileChangeUploadRow.upload_id)
        .join(FileChangeRow, FileChangeRow.id == FileChangeUploadRow.file_change_id)
        .where(FileChangeUploadRow.upload_id == upload_id, FileChangeRow.kind == ChangeKind.SUPPRESS.value)
    )


def _copies(tx: Session, condition: ColumnElement[bool], limit: int | None = None) -> list[KeptCopy]:
    rows = tx.scalars(
        select(KeptCopyRow)
        .where(_LIVE, condition)
        .order_by(KeptCopyRow.expires_at, KeptCopyRow.id)
        .limit(limit)
        .execution_options(populate_existing=True)
    )
    return [
        KeptCopy(
            id=row.id,
            upload_id=row.upload_id,
            sha256=row.sha256,
            media_type=row.media_type,
            size_bytes=row.size_bytes,
            at_s=row.at_s,
            kept_at=row.kept_at,
            expires_at=row.expires_at,
        )
        for row in rows
    ]


__all__ = [
    "KeptCopy",
    "Purge",
    "PurgeReason",
    "add",
    "everything",
    "expired",
    "find_uploads",
    "mark_purged",
    "of_uploads",
    "purges",
    "sharing",
    "suppressed",
    "titles",
    "totals",
]

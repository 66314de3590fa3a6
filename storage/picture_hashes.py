"""The perceptual hashes of scored pictures, by which look-alikes are found; see `storage.hints`."""

from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from storage.feedback_tables import PictureHashRow
from storage.insertion import insert_new
from storage.tables import FileChangeRow, FileChangeUploadRow, ReviewItemRow
from storage.values import ChangeKind


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


def forget_suppressed(tx: Session) -> int:
    """Remove the hashes of what the wiki suppressed, which can be no hint any more.

    Args:
        tx: A session of `Database.transaction()`.

    Returns:
        How many there were.
    """
    suppressed = (
        select(FileChangeUploadRow.upload_id)
        .join(FileChangeRow, FileChangeRow.id == FileChangeUploadRow.file_change_id)
        .where(FileChangeRow.kind == ChangeKind.SUPPRESS.value)
    )
    ids = tx.scalars(select(PictureHashRow.upload_id).where(PictureHashRow.upload_id.in_(suppressed))).all()
    if ids:
        tx.execute(delete(PictureHashRow).where(PictureHashRow.upload_id.in_(ids)))
    return len(ids)


__all__ = ["add", "forget_suppressed", "reviewed"]

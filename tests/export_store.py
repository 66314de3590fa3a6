"""A store with reviewed uploads and kept pictures of harmless noise, for tests of the export."""

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image
from sqlalchemy import update

from bot.export.pictures import KeptPictures
from bot.export.record import Teller
from bot.export.run import Exporter
from bot.media.sha1 import base36_from_hex
from storage import file_changes
from storage.engine import Database
from storage.feedback_tables import KeptCopyRow
from storage.review_values import VerdictCode
from storage.tables import ClassificationRow, UploadRow
from storage.values import ChangeKind, FileChange, ReviewReason, Upload, UploadAction
from tests.review_items import give, put_up, verdict
from tests.storage_database import NOW, WIKI, after

KEY = b"k" * 32
PAGE_URL = "https://commons.wikimedia.org/wiki/{title}"


def noise(seed: int, side: int = 48) -> bytes:
    """A JPEG of coloured noise."""
    pixels = np.random.default_rng(seed).integers(0, 255, (side, side, 3), dtype=np.uint8)
    with io.BytesIO() as buffer:
        Image.fromarray(pixels).save(buffer, "JPEG")
        return buffer.getvalue()


def sha1_of(number: int) -> str:
    """The base-36 SHA-1 of the upload with this log id."""
    return base36_from_hex(hashlib.sha1(str(number).encode()).hexdigest())


def one_upload(log_id: int, uploader: str | None = None, sha1: str | None = None) -> Upload:
    """An upload by a person of its own, unless said otherwise."""
    return Upload(
        WIKI,
        log_id,
        UploadAction.UPLOAD,
        f"File:Noise {log_id}.jpg",
        uploader or f"Uploader {log_id}",
        sha1 or sha1_of(log_id),
        after(log_id),
        after(log_id),
    )


def fill(
    database: Database,
    folder: Path,
    labels: Mapping[int, VerdictCode | None],
    *,
    without_picture: frozenset[int] = frozenset(),
    probability: float = 1.0,
    reason: ReviewReason = ReviewReason.FLAGGED,
) -> None:
    """Put uploads up for review with a verdict each, and keep pictures of them.

    Args:
        database: Where.
        folder: Where the pictures go.
        labels: By log id the verdict; None leaves the item open.
        without_picture: Log ids of which nothing is kept.
        probability: With which they were chosen.
        reason: Why.
    """
    put_up(
        database,
        {
            log_id: 0.9 if code is not None and code.value.startswith("nsfw") else 0.85
            for log_id, code in labels.items()
        },
        values=[one_upload(log_id) for log_id in labels],
        probability=probability,
        reason=reason,
    )
    with database.transaction() as tx:  # stills, of which frames have no time
        tx.execute(update(ClassificationRow).values(worst={"score": 0.9, "at_s": None, "page": None}))
    give(database, *(verdict(log_id, code, revision_id=log_id) for log_id, code in labels.items() if code))
    for log_id in labels.keys() - without_picture:
        keep(database, folder, log_id)


def keep(database: Database, folder: Path, log_id: int) -> None:
    """Keep a picture of an upload."""
    content = noise(log_id)
    sha256 = hashlib.sha256(content).hexdigest()
    path = folder / sha256[:2] / sha256[2:4] / f"{sha256}.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    with database.transaction() as tx:
        upload_id = tx.query(UploadRow.id).where(UploadRow.log_id == log_id).scalar()
        tx.add(
            KeptCopyRow(
                upload_id=upload_id,
                sha256=sha256,
                media_type="image/jpeg",
                size_bytes=len(content),
                kept_at=NOW,
                expires_at=after(1e6),
            )
        )


def suppress(database: Database, log_id: int, at_s: float = 1e5) -> None:
    """Suppress the file of an upload."""
    with database.transaction() as tx:
        assert file_changes.note_suppressed(tx, WIKI, f"File:Noise {log_id}.jpg", after(at_s), after(at_s))


def restore(database: Database, log_id: int, at_s: float = 2e5) -> None:
    """Restore it."""
    change = FileChange(
        WIKI, 900_000 + log_id, ChangeKind.RESTORE, f"File:Noise {log_id}.jpg", None, "Adm", after(at_s)
    )
    with database.transaction() as tx:
        assert file_changes.apply(tx, [change], after(at_s)) == 1


def exporter(database: Database, folder: Path, *, with_names: bool = False, **more: object) -> Exporter:
    """An exporter of the kept pictures in a folder."""
    return Exporter(database, Teller(KEY, PAGE_URL, with_names), KeptPictures(folder), **more)  # type: ignore[arg-type]


__all__ = ["KEY", "exporter", "fill", "keep", "noise", "one_upload", "restore", "sha1_of", "suppress"]

"""What became of each upload, for whoever compares the store with what should be in it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from storage.tables import ClassificationRow, UploadRow


@dataclass(frozen=True, slots=True)
class RecordedOutcome:
    """One finished upload.

    Attributes:
        wiki: Database name of the wiki.
        log_id: The upload's log id.
        title: Title at the time of the upload.
        label: `nsfw` or `sfw`; None where it was skipped.
        score: 0..1; None where it was skipped.
        code: Why it was skipped; None where it was scored.
        attempts: How many tries it took, the last one included.
        source: How we learned of it.
        received_at: When it was stored first.
        finished_at: When the outcome was stored.
    """

    wiki: str
    log_id: int
    title: str
    label: str | None
    score: float | None
    code: str | None
    attempts: int
    source: str
    received_at: datetime
    finished_at: datetime


def recorded(tx: Session) -> Iterator[RecordedOutcome]:
    """Every finished upload, in the order of its log id.

    Args:
        tx: A reading transaction.

    Yields:
        One value a row.
    """
    query = (
        select(UploadRow, ClassificationRow.label, ClassificationRow.score)
        .outerjoin(ClassificationRow, ClassificationRow.upload_id == UploadRow.id)
        .where(UploadRow.finished_at.is_not(None))
        .order_by(UploadRow.log_id)
        .execution_options(yield_per=1000)
    )
    for row, label, score in tx.execute(query):
        yield RecordedOutcome(
            wiki=row.wiki,
            log_id=row.log_id,
            title=row.title,
            label=label,
            score=score,
            code=row.outcome_code,
            attempts=row.attempts,
            source=row.source,
            received_at=row.received_at,
            finished_at=row.finished_at or row.received_at,
        )

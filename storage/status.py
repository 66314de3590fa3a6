"""What the store holds, in a handful of counts that stay quick with a million uploads."""

from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from storage import gaps, lease, models, positions, refusals, uploads
from storage.tables import CLAIMED, DONE, PENDING, SCORED, ReviewItemRow, UploadRow
from storage.values import ReviewReason, StoreStatus


def snapshot(tx: Session, now: datetime) -> StoreStatus:
    """Count what there is.

    Args:
        tx: A session of `Database.read()`, which sees one instant.
        now: The present.

    Returns:
        The status.
    """
    counts = _counts(tx)
    return StoreStatus(
        pending=counts.get((PENDING, None, None), 0),
        claimed=counts.get((CLAIMED, None, None), 0),
        scored=counts.get((DONE, SCORED, None), 0),
        skipped={
            code: count
            for (_, outcome, code), count in counts.items()
            if code is not None and outcome != SCORED
        },
        flagged=tx.scalar(
            select(func.count())
            .select_from(ReviewItemRow)
            .where(ReviewItemRow.reason == ReviewReason.FLAGGED.value)
        )
        or 0,
        oldest_unfinished_at=_oldest_unfinished(tx),
        next_due_at=uploads.next_due_at(tx),
        position=positions.latest(tx),
        open_gaps=gaps.open_count(tx),
        missed_uploads=gaps.total_missing(tx),
        last_reconciliation=gaps.last_reconciliation(tx),
        last_model=models.last_used(tx),
        uploads_last_hour=_received_since(tx, now - timedelta(hours=1)),
        uploads_last_day=_received_since(tx, now - timedelta(days=1)),
        daemon=lease.current(tx),
        refusals=refusals.standing(tx),
    )


def _counts(tx: Session) -> dict[tuple[str, str | None, str | None], int]:
    """Rows by (state, outcome, code), from one covering index."""
    columns = (UploadRow.state, UploadRow.outcome, UploadRow.outcome_code)
    rows = tx.execute(select(*columns, func.count()).group_by(*columns))
    return {(state, outcome, code): count for state, outcome, code, count in rows}


def _oldest_unfinished(tx: Session) -> datetime | None:
    times = [
        tx.scalar(select(func.min(UploadRow.logged_at)).where(UploadRow.state == state))
        for state in (PENDING, CLAIMED)
    ]
    return min((time for time in times if time is not None), default=None)


def _received_since(tx: Session, since: datetime) -> int:
    return tx.scalar(select(func.count()).select_from(UploadRow).where(UploadRow.received_at > since)) or 0

"""Stretches of the upload log that are still to be read, so that a restart goes on with them (promise 1)."""

from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from storage.tables import GapRow, ReconciliationRow
from storage.values import Gap, Reconciliation

RECONCILE = "reconcile"


def add(tx: Session, gap: Gap, now: datetime) -> int:
    """Remember that a stretch must be read; one that an open gap of the same reason covers is that gap.

    Args:
        tx: A session of `Database.transaction()`.
        gap: The stretch; its id is not looked at.
        now: The present.

    Returns:
        The row id.
    """
    covering = tx.scalar(
        select(GapRow.id)
        .where(
            GapRow.done_at.is_(None),
            GapRow.wiki == gap.wiki,
            GapRow.reason == gap.reason,
            GapRow.start_at <= gap.start,
            GapRow.end_at >= gap.end,
        )
        .limit(1)
    )
    if covering is not None:
        return covering
    row = GapRow(
        wiki=gap.wiki,
        first_start_at=gap.start,
        start_at=gap.start,
        end_at=gap.end,
        reason=gap.reason,
        created_at=now,
        found_missing=gap.found_missing,
    )
    tx.add(row)
    tx.flush()
    return row.id


def open_gaps(tx: Session) -> list[Gap]:
    """What is still to be read, oldest first.

    Args:
        tx: Any session of the database.

    Returns:
        The gaps; `start` is where reading goes on.
    """
    rows = tx.scalars(select(GapRow).where(GapRow.done_at.is_(None)).order_by(GapRow.start_at, GapRow.id))
    return [
        Gap(
            id=row.id,
            wiki=row.wiki,
            start=row.start_at,
            end=row.end_at,
            reason=row.reason,
            found_missing=row.found_missing,
        )
        for row in rows
    ]


def advance(tx: Session, gap_id: int, start: datetime, found_missing: int) -> None:
    """Record how far a gap was read, in the transaction that stores what was found.

    Args:
        tx: A session of `Database.transaction()`.
        gap_id: Row id of the gap.
        start: Where reading goes on; it never moves backwards.
        found_missing: Uploads added since the last call; it is added up.
    """
    for values, condition in (
        ({"found_missing": GapRow.found_missing + found_missing}, GapRow.done_at.is_(None)),
        ({"start_at": start}, GapRow.start_at < start),
    ):
        tx.execute(
            update(GapRow)
            .where(GapRow.id == gap_id, condition)
            .values(values)
            .execution_options(synchronize_session=False)
        )


def close(tx: Session, gap_id: int, now: datetime) -> None:
    """Mark a gap as read; one made by a reconciliation is recorded as such with what it found.

    Args:
        tx: A session of `Database.transaction()`.
        gap_id: Row id of the gap.
        now: The present.
    """
    row = tx.get(GapRow, gap_id, populate_existing=True, with_for_update=True)
    if row is None or row.done_at is not None:
        return
    row.done_at = now
    if row.reason == RECONCILE:
        tx.add(
            ReconciliationRow(
                run_at=now,
                wiki=row.wiki,
                window_start=row.first_start_at,
                window_end=row.end_at,
                found_missing=row.found_missing,
            )
        )
    tx.flush()


def open_count(tx: Session) -> int:
    """How many gaps are still to be read.

    Args:
        tx: Any session of the database.
    """
    return tx.scalar(select(func.count()).select_from(GapRow).where(GapRow.done_at.is_(None))) or 0


def total_missing(tx: Session) -> int:
    """How many uploads were found through gaps, ever.

    Args:
        tx: Any session of the database.
    """
    return int(tx.scalar(select(func.sum(GapRow.found_missing))) or 0)


def last_reconciliation(tx: Session) -> Reconciliation | None:
    """The latest finished comparison with the upload log.

    Args:
        tx: Any session of the database.

    Returns:
        It, or None where there was none yet.
    """
    newest = (ReconciliationRow.run_at.desc(), ReconciliationRow.id.desc())
    row = tx.scalars(select(ReconciliationRow).order_by(*newest).limit(1)).one_or_none()
    if row is None:
        return None
    return Reconciliation(row.run_at, row.wiki, row.window_start, row.window_end, row.found_missing)

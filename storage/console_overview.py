"""What happens now, for the console: how busy it is, what waits, what went wrong, what the stream missed.

Every question reads a bounded stretch of an index (the last day, what is unfinished, the newest rows), so the
answer takes as long beside a million uploads as beside a day's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import and_, case, func, or_, select
from sqlalchemy.orm import Session

from storage import gaps, lease, models, positions
from storage.tables import (
    CLAIMED,
    FRESH,
    PENDING,
    SKIPPED,
    ClassificationRow,
    GapRow,
    ReconciliationRow,
    ReviewItemRow,
    UploadRow,
)
from storage.values import Lease, Reconciliation, ReviewReason, StreamPosition

WINDOWS: Final = (timedelta(minutes=5), timedelta(hours=1), timedelta(days=1))
HOURS: Final = 24
TROUBLES: Final = 15
LOG_ROWS: Final = 8
ORDINARY: Final = ("audio", "deleted", "superseded", "hidden", "unsupported_type")
"""Codes that say something of the file and nothing of us or the network."""


@dataclass(frozen=True, slots=True)
class Activity:
    """What was done in the time up to now.

    Attributes:
        length: Of that time.
        received: Uploads stored.
        scored: Uploads that got a score.
        flagged: Uploads that were flagged and put up for review.
    """

    length: timedelta
    received: int
    scored: int
    flagged: int


@dataclass(frozen=True, slots=True)
class QueuePart:
    """Unfinished uploads of one state and lane.

    Attributes:
        state: `pending` or `claimed`.
        fresh: Whether it is the first attempt; else a retry.
        count: How many.
        oldest_at: Time of the oldest one's log entry; None where there are none.
        due_at: When the next of those that wait is due; None where none waits.
    """

    state: str
    fresh: bool
    count: int
    oldest_at: datetime | None
    due_at: datetime | None


@dataclass(frozen=True, slots=True)
class OutcomeCount:
    """How many uploads of the last day came to what.

    Attributes:
        state: Where they stand.
        outcome: `scored` or `skipped`; None where they are unfinished.
        code: Why they were skipped; None otherwise.
        count: How many.
    """

    state: str
    outcome: str | None
    code: str | None
    count: int


@dataclass(frozen=True, slots=True)
class Trouble:
    """An upload of the last day with which something went wrong.

    Attributes:
        wiki: Database name of the wiki.
        log_id: Log id of the upload.
        title: Present title.
        code: The code it ended in, or that of its last attempt.
        message: One sentence; may hold anything.
        attempts: How many were made.
        finished: Whether that was the end; else it is tried again.
        next_attempt_at: When, where it is.
        received_at: When the upload was stored.
    """

    wiki: str
    log_id: int
    title: str
    code: str
    message: str
    attempts: int
    finished: bool
    next_attempt_at: datetime
    received_at: datetime


@dataclass(frozen=True, slots=True)
class LoggedGap:
    """A stretch of the upload log that the stream did not bring.

    Attributes:
        wiki: Database name of the wiki.
        reason: `start`, `stale`, `jump` or `reconcile`.
        start: Its first instant.
        read_to: How far it is read.
        end: Its last instant.
        done_at: When it was read to the end; None while it is open.
        found_missing: Uploads that were found in it.
    """

    wiki: str
    reason: str
    start: datetime
    read_to: datetime
    end: datetime
    done_at: datetime | None
    found_missing: int

    @property
    def read_share(self) -> float:
        """Which share of it is read, 0 to 1."""
        length = (self.end - self.start).total_seconds()
        return min(1.0, max(0.0, (self.read_to - self.start).total_seconds() / length)) if length else 0.0


@dataclass(frozen=True, slots=True)
class HourCount:
    """An hour of the last day.

    Attributes:
        start: Its beginning.
        received: Uploads stored in it.
        scored: Uploads scored in it.
    """

    start: datetime
    received: int
    scored: int


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything the first page tells.

    Attributes:
        now: The instant it is about.
        daemon: The lease, run out or not; None where no daemon holds one.
        position: How far the stream was read; None before the first event.
        queue: What is unfinished.
        activity: By length of time, the shortest first.
        outcomes: Of the uploads stored in the last day, the most frequent first.
        troubles: The latest first.
        gaps: Open ones first, then the latest.
        reconciliations: The latest first.
        missed: Uploads found through gaps, ever.
        model: The model used last; None before the first.
    """

    now: datetime
    daemon: Lease | None
    position: StreamPosition | None
    queue: Sequence[QueuePart]
    activity: Sequence[Activity]
    outcomes: Sequence[OutcomeCount]
    troubles: Sequence[Trouble]
    gaps: Sequence[LoggedGap]
    reconciliations: Sequence[Reconciliation]
    missed: int
    model: str | None


def overview(tx: Session, now: datetime) -> Overview:
    """Read the state of things.

    Args:
        tx: A session of `Database.read()`, which sees one instant.
        now: The present.

    Returns:
        The overview.
    """
    return Overview(
        now=now,
        daemon=lease.current(tx),
        position=positions.latest(tx),
        queue=_queue(tx),
        activity=_activity(tx, now),
        outcomes=_outcomes(tx, now),
        troubles=_troubles(tx, now),
        gaps=_gaps(tx),
        reconciliations=_reconciliations(tx),
        missed=gaps.total_missing(tx),
        model=models.last_used(tx),
    )


def hourly(tx: Session, now: datetime) -> list[HourCount]:
    """Count the last day by hours.

    Args:
        tx: A session of `Database.read()`.
        now: The present.

    Returns:
        The hours, the earliest first; the last one is not over.
    """
    last = now.replace(minute=0, second=0, microsecond=0)
    starts = [last - timedelta(hours=back) for back in reversed(range(HOURS))]
    return [
        HourCount(
            start,
            tx.scalar(select(func.count()).where(UploadRow.received_at >= start, UploadRow.received_at < end))
            or 0,
            _scored(tx, start, end),
        )
        for start, end in ((start, start + timedelta(hours=1)) for start in starts)
    ]


def _queue(tx: Session) -> list[QueuePart]:
    waits_until = case((UploadRow.state == PENDING, UploadRow.next_attempt_at))
    rows = tx.execute(
        select(
            UploadRow.state,
            UploadRow.lane,
            func.count(),
            func.min(UploadRow.logged_at),
            func.min(waits_until),
        )
        .where(UploadRow.state.in_((PENDING, CLAIMED)))
        .group_by(UploadRow.state, UploadRow.lane)
        .order_by(UploadRow.state.desc(), UploadRow.lane)
    )
    return [QueuePart(state, lane == FRESH, count, oldest, due) for state, lane, count, oldest, due in rows]


def _activity(tx: Session, now: datetime) -> list[Activity]:
    return [
        Activity(
            length,
            tx.scalar(select(func.count()).where(UploadRow.received_at > now - length)) or 0,
            _scored(tx, now - length, now),
            tx.scalar(
                select(func.count()).where(
                    ReviewItemRow.reason == ReviewReason.FLAGGED.value,
                    ReviewItemRow.created_at > now - length,
                )
            )
            or 0,
        )
        for length in WINDOWS
    ]


def _scored(tx: Session, since: datetime, until: datetime) -> int:
    """Uploads, not scores: a shadow's score of the same upload is no second one."""
    between = (ClassificationRow.created_at >= since, ClassificationRow.created_at <= until)
    return tx.scalar(select(func.count(ClassificationRow.upload_id.distinct())).where(*between)) or 0


def _outcomes(tx: Session, now: datetime) -> list[OutcomeCount]:
    columns = (UploadRow.state, UploadRow.outcome, UploadRow.outcome_code)
    count = func.count()
    rows = tx.execute(
        select(*columns, count)
        .where(UploadRow.received_at > now - WINDOWS[-1])
        .group_by(*columns)
        .order_by(count.desc(), UploadRow.outcome_code)
    )
    return [OutcomeCount(*row) for row in rows]


def _troubles(tx: Session, now: datetime) -> list[Trouble]:
    ended_badly = and_(UploadRow.outcome == SKIPPED, UploadRow.outcome_code.not_in(ORDINARY))
    tried_again = and_(UploadRow.outcome.is_(None), UploadRow.last_code.is_not(None))
    rows = tx.execute(
        select(
            UploadRow.wiki,
            UploadRow.log_id,
            UploadRow.current_title,
            func.coalesce(UploadRow.outcome_code, UploadRow.last_code),
            func.coalesce(UploadRow.outcome_message, UploadRow.last_message, ""),
            UploadRow.attempts,
            UploadRow.outcome.is_not(None),
            UploadRow.next_attempt_at,
            UploadRow.received_at,
        )
        .where(UploadRow.received_at > now - WINDOWS[-1], or_(ended_badly, tried_again))
        .order_by(UploadRow.received_at.desc())
        .limit(TROUBLES)
    )
    return [
        Trouble(wiki, log_id, title, code, message, attempts, bool(finished), due, received)
        for wiki, log_id, title, code, message, attempts, finished, due, received in rows
    ]


def _gaps(tx: Session) -> list[LoggedGap]:
    """The open ones, then the newest of the others; finished reconciliations have a list of their own."""
    newest = (GapRow.created_at.desc(), GapRow.id.desc())
    unfinished = tx.scalars(select(GapRow).where(GapRow.done_at.is_(None)).order_by(*newest).limit(LOG_ROWS))
    finished = tx.scalars(
        select(GapRow)
        .where(GapRow.done_at.is_not(None), GapRow.reason != gaps.RECONCILE)
        .order_by(*newest)
        .limit(LOG_ROWS)
    )
    return [
        LoggedGap(
            row.wiki, row.reason, row.first_start_at, row.start_at, row.end_at, row.done_at, row.found_missing
        )
        for row in (*unfinished, *finished)
    ]


def _reconciliations(tx: Session) -> list[Reconciliation]:
    rows = tx.scalars(
        select(ReconciliationRow)
        .order_by(ReconciliationRow.run_at.desc(), ReconciliationRow.id.desc())
        .limit(LOG_ROWS)
    )
    return [
        Reconciliation(row.run_at, row.wiki, row.window_start, row.window_end, row.found_missing)
        for row in rows
    ]


__all__ = [
    "WINDOWS",
    "Activity",
    "HourCount",
    "LoggedGap",
    "OutcomeCount",
    "Overview",
    "QueuePart",
    "Trouble",
    "hourly",
    "overview",
]

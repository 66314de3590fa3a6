"""The queue of uploads: added once, claimed by one worker at a time, finished exactly once.

An upload is `pending` (it waits, perhaps for its next attempt), `claimed` (a worker has it until the claim
expires) or `done` (it has its one outcome). Every change is a conditional update that names the claim, so a
worker that lost its claim can write nothing.
"""

import random
import secrets
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, CursorResult, func, select, true, update
from sqlalchemy.orm import Session

from storage.errors import LostClaim
from storage.insertion import insert_new
from storage.review_values import ReviewState
from storage.tables import (
    CLAIMED,
    DONE,
    FRESH,
    PENDING,
    RETRY,
    SCORED,
    SKIPPED,
    ClassificationRow,
    ReviewItemRow,
    UploadRow,
)
from storage.values import (
    ClaimedUpload,
    Classification,
    ReviewDraw,
    Skip,
    Source,
    Upload,
    UploadAction,
    public_id,
)

# Retries get this share of what is claimed while fresh uploads wait too, and the rest when none do.
RETRY_SHARE = 0.25
# A claim that ends without a word is most often a killed daemon and no fault of the upload; but one upload
# that kills its daemon must not do so for ever.
MAX_CRASHES = 25
CRASH_CODE = "crashed"

# What `Database.transaction()` and `read()` yield, for callers that must not import SQLAlchemy.
Transaction = Session


def add(tx: Session, uploads: Sequence[Upload], now: datetime) -> int:
    """Store uploads that are not stored yet.

    Args:
        tx: A session of `Database.transaction()`.
        uploads: Any number; repeats by `(wiki, log_id)` are dropped, whoever stored them first.
        now: The present.

    Returns:
        How many were really new.
    """
    rows = [
        {
            "wiki": upload.wiki,
            "log_id": upload.log_id,
            "action": upload.action.value,
            "title": upload.title,
            "current_title": upload.title,
            "user": upload.user,
            "sha1": upload.sha1,
            "file_timestamp": upload.file_timestamp,
            "logged_at": upload.logged_at,
            "source": upload.source.value,
            "received_at": now,
            "state": PENDING,
            "lane": FRESH,
            "attempts": 0,
            "crashes": 0,
            "next_attempt_at": now,
        }
        for upload in sorted(uploads, key=lambda upload: (upload.wiki, upload.log_id))
    ]
    return insert_new(tx, UploadRow, rows)


def claim(tx: Session, *, worker: str, limit: int, now: datetime, ttl_s: float) -> list[ClaimedUpload]:
    """Take uploads that are due; nobody else gets them until the claim expires.

    Claims that have expired are freed first and count as crashes; an upload with `MAX_CRASHES` of them ends
    in the code `crashed` here. Fresh uploads and retries are taken oldest first, each from its own lane:
    neither can starve the other.

    Args:
        tx: A session of `Database.transaction()`.
        worker: Who claims; the daemon's name first, so that `release_of` can find all of its claims.
        limit: At most so many.
        now: The present.
        ttl_s: Seconds until the claims expire.

    Returns:
        The claimed uploads, oldest log entry first; fewer than `limit` where no more are due.
    """
    expire(tx, now)
    # Rounded at random: with a limit of one, every fourth call begins with a retry.
    retries_first = min(limit, int(limit * RETRY_SHARE + random.random()))
    ids = _due(tx, RETRY, retries_first, now, ())
    ids += _due(tx, FRESH, limit - len(ids), now, ())
    ids += _due(tx, RETRY, limit - len(ids), now, ids)
    if not ids:
        return []
    token = secrets.token_hex(16)
    _update(
        tx,
        (UploadRow.id.in_(ids), UploadRow.state == PENDING),
        state=CLAIMED,
        claim=token,
        claimed_by=worker,
        claim_expires_at=now + timedelta(seconds=ttl_s),
    )
    rows = tx.scalars(
        select(UploadRow)
        .where(UploadRow.id.in_(ids), UploadRow.claim == token)
        .order_by(UploadRow.logged_at, UploadRow.id)
        .execution_options(populate_existing=True)
    )
    claimed = [_claimed(row, token) for row in rows]
    hopeless = [upload for upload in claimed if upload.crashes >= MAX_CRASHES]
    for upload in hopeless:
        skip(tx, upload, Skip(CRASH_CODE, f"its worker vanished {upload.crashes} times"), now)
    return [upload for upload in claimed if upload not in hopeless]


def expire(tx: Session, now: datetime) -> int:
    """Free the claims whose time is over; each counts as a crash, not as an attempt.

    Args:
        tx: A session of `Database.transaction()`.
        now: The present.

    Returns:
        How many were freed.
    """
    return _free(tx, UploadRow.claim_expires_at <= now, crashed=True)


def release_of(tx: Session, worker_prefix: str | None = None, *, crashed: bool = True) -> int:
    """Free the claims of a daemon that is known to be dead, or of our own at its orderly end.

    Args:
        tx: A session of `Database.transaction()`.
        worker_prefix: How its workers are named; None frees every claim there is, which is right for whoever
            has just acquired the lease.
        crashed: Whether this counts as a crash of each upload; say False at an orderly end.

    Returns:
        How many were freed.
    """
    if worker_prefix is None:
        return _free(tx, true(), crashed=crashed)
    return _free(tx, UploadRow.claimed_by.startswith(worker_prefix, autoescape=True), crashed=crashed)


def release(tx: Session, claimed: Sequence[ClaimedUpload], not_before: datetime | None = None) -> int:
    """Give uploads back without counting an attempt: at shutdown, or when a whole service is down.

    Args:
        tx: A session of `Database.transaction()`.
        claimed: The uploads.
        not_before: When they are due again; None leaves them due at once.

    Returns:
        How many were given back; those whose claim was lost are passed over, which does no harm.
    """
    later = {} if not_before is None else {"next_attempt_at": not_before}
    return sum(_give_up_claim(tx, upload, state=PENDING, **later) for upload in claimed)


def prolong(tx: Session, claimed: Sequence[ClaimedUpload], until: datetime) -> None:
    """Let claims that still stand expire later: their worker lives, but others are before them.

    Args:
        tx: A session of `Database.transaction()`.
        claimed: The uploads; those whose claim was lost are passed over.
        until: When the claims expire now.
    """
    for upload in claimed:
        _update(tx, _claim_of(upload), claim_expires_at=until)


def retry(tx: Session, claimed: ClaimedUpload, *, code: str, message: str, next_attempt_at: datetime) -> None:
    """Count a failed attempt and put the upload back until its next one.

    Args:
        tx: A session of `Database.transaction()`.
        claimed: The upload.
        code: Why it failed; the code it will end in when no attempt is left.
        message: One sentence for the operator.
        next_attempt_at: When it is due again.

    Raises:
        LostClaim: The claim no longer stands; nothing was written.
    """
    values: dict[str, Any] = {"last_code": code, "last_message": message, "next_attempt_at": next_attempt_at}
    if not _give_up_claim(tx, claimed, state=PENDING, lane=RETRY, attempts=UploadRow.attempts + 1, **values):
        raise LostClaim(claimed.id)


def skip(tx: Session, claimed: ClaimedUpload, reason: Skip, now: datetime) -> None:
    """Finish an upload that cannot be scored.

    Args:
        tx: A session of `Database.transaction()`.
        claimed: The upload.
        reason: The code it ends in.
        now: The present.

    Raises:
        LostClaim: The claim no longer stands; nothing was written.
    """
    _finish(tx, claimed, now, outcome=SKIPPED, outcome_code=reason.code, outcome_message=reason.message)


def score(
    tx: Session,
    claimed: ClaimedUpload,
    classification: Classification,
    now: datetime,
    *,
    review: ReviewDraw | None,
) -> str | None:
    """Finish an upload with a score, and put it up for review where it was chosen.

    Args:
        tx: A session of `Database.transaction()`.
        claimed: The upload.
        classification: The score and how it came about.
        now: The present.
        review: Why and with which probability it was chosen for review; None where it was not.

    Returns:
        The public id of the review item, or None where there is none.

    Raises:
        LostClaim: The claim no longer stands; nothing was written.
    """
    _finish(tx, claimed, now, outcome=SCORED)
    row = ClassificationRow(
        upload_id=claimed.id,
        model_version_id=classification.model_version_id,
        score=classification.score,
        label=classification.label,
        threshold=classification.threshold,
        worst=asdict(classification.worst),
        frame_count=len(classification.frames),
        frames=[asdict(frame) for frame in classification.frames],
        rendition=dict(classification.rendition),
        decoder=classification.decoder,
        timings_s=dict(classification.timings_s),
        coverage=None if classification.coverage is None else dict(classification.coverage),
        created_at=now,
    )
    tx.add(row)
    tx.flush()
    if review is None:
        return None
    item = ReviewItemRow(
        item_id=public_id(claimed.upload.wiki, claimed.upload.log_id),
        upload_id=claimed.id,
        classification_id=row.id,
        reason=review.reason.value,
        inclusion_probability=review.inclusion_probability,
        stratum=review.stratum,
        state=ReviewState.OPEN.value,
        uploader=claimed.upload.user,
        created_at=now,
    )
    tx.add(item)
    tx.flush()
    return item.item_id


def next_due_at(tx: Session) -> datetime | None:
    """When the next upload can be claimed.

    Args:
        tx: Any session of the database.

    Returns:
        The earliest time at which one is due or a claim expires, perhaps in the past; None where nothing
        is left to do.
    """
    times = [
        tx.scalar(
            select(func.min(UploadRow.next_attempt_at)).where(
                UploadRow.state == PENDING, UploadRow.lane == lane
            )
        )
        for lane in (FRESH, RETRY)
    ]
    times.append(tx.scalar(select(func.min(UploadRow.claim_expires_at)).where(UploadRow.state == CLAIMED)))
    return min((time for time in times if time is not None), default=None)


def _due(tx: Session, lane: int, limit: int, now: datetime, besides: Sequence[int]) -> list[int]:
    """Ids of what is due in a lane; where rows have locks, they get one, and locked ones are passed over."""
    if limit <= 0:
        return []
    return list(
        tx.scalars(
            select(UploadRow.id)
            .where(
                UploadRow.state == PENDING,
                UploadRow.lane == lane,
                UploadRow.next_attempt_at <= now,
                UploadRow.id.not_in(besides),
            )
            .order_by(UploadRow.next_attempt_at, UploadRow.id)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
    )


def _free(tx: Session, condition: ColumnElement[bool], *, crashed: bool) -> int:
    still_claimed = (UploadRow.state == CLAIMED, condition)
    ids = list(tx.scalars(select(UploadRow.id).where(*still_claimed).with_for_update(skip_locked=True)))
    if not ids:
        return 0
    blame = {"lane": RETRY, "crashes": UploadRow.crashes + 1} if crashed else {}
    return _update(tx, (UploadRow.id.in_(ids), *still_claimed), **_UNCLAIMED, state=PENDING, **blame)


def _finish(tx: Session, claimed: ClaimedUpload, now: datetime, **outcome: str) -> None:
    attempts = UploadRow.attempts + 1
    if not _give_up_claim(tx, claimed, state=DONE, attempts=attempts, finished_at=now, **outcome):
        raise LostClaim(claimed.id)


def _give_up_claim(tx: Session, claimed: ClaimedUpload, **values: Any) -> bool:
    """The conditional update that ends a claim; False where the claim does not stand."""
    return _update(tx, _claim_of(claimed), **_UNCLAIMED, **values) == 1


def _claim_of(claimed: ClaimedUpload) -> tuple[ColumnElement[bool], ...]:
    return (UploadRow.id == claimed.id, UploadRow.state == CLAIMED, UploadRow.claim == claimed.claim)


_UNCLAIMED: dict[str, Any] = {"claim": None, "claimed_by": None, "claim_expires_at": None}


def _update(tx: Session, conditions: tuple[ColumnElement[bool], ...], **values: Any) -> int:
    statement = update(UploadRow).where(*conditions).values(values)
    result = tx.execute(statement.execution_options(synchronize_session=False))
    assert isinstance(result, CursorResult)
    return result.rowcount


def _claimed(row: UploadRow, token: str) -> ClaimedUpload:
    upload = Upload(
        wiki=row.wiki,
        log_id=row.log_id,
        action=UploadAction(row.action),
        title=row.title,
        user=row.user,
        sha1=row.sha1,
        file_timestamp=row.file_timestamp,
        logged_at=row.logged_at,
        source=Source(row.source),
    )
    return ClaimedUpload(
        id=row.id,
        upload=upload,
        title=row.current_title,
        attempts=row.attempts,
        claim=token,
        received_at=row.received_at,
        crashes=row.crashes,
    )

"""Review items and verdicts for tests of the store, made through the same doors as the real ones."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from storage import models, reviews, uploads
from storage.engine import Database
from storage.review_values import Verdict, VerdictCode, VerdictSource, VerdictsRecorded
from storage.values import ReviewDraw, ReviewReason, Upload
from tests.storage_database import NOW, WIKI, after, classification, model_version, upload


def item_id(log_id: int) -> str:
    """The public id of the upload with this log id."""
    return f"{WIKI}-{log_id}"


def put_up(
    database: Database,
    scores: Mapping[int, float],
    *,
    values: Sequence[Upload] | None = None,
    now: datetime = NOW,
    probability: float = 1.0,
    reason: ReviewReason = ReviewReason.FLAGGED,
) -> None:
    """Store uploads, score them and put them up for review.

    Args:
        database: Where.
        scores: Score by log id.
        values: The uploads themselves; plain ones where they are not given.
        now: When they are scored.
        probability: The probability with which each was chosen.
        reason: Why each was chosen.
    """
    with database.transaction() as tx:
        model = models.register(tx, model_version(), now)
        uploads.add(tx, values if values is not None else [upload(log_id) for log_id in scores], now)
        for claimed in uploads.claim(tx, worker="w", limit=10_000, now=now, ttl_s=60):
            draw = ReviewDraw(reason, probability)
            scored = classification(model, scores[claimed.upload.log_id], frames=2)
            uploads.score(tx, claimed, scored, now, review=draw)


def verdict(log_id: int, code: VerdictCode, **changes: object) -> Verdict:
    """A trusted, blind verdict by Ann; every verdict needs a revision of its own."""
    basis = Verdict(
        item_id=item_id(log_id),
        code=code,
        comment="",
        author="Ann",
        author_id=7,
        author_groups=("patroller",),
        trusted=True,
        untrusted_reason=None,
        blind=True,
        revision_id=100,
        given_at=after(10),
        source=VerdictSource.WIKI,
    )
    return replace(basis, **changes)  # type: ignore[arg-type]


def give(database: Database, *verdicts: Verdict, now: datetime = NOW) -> VerdictsRecorded:
    """Add verdicts in one transaction."""
    with database.transaction() as tx:
        return reviews.add_verdicts(tx, verdicts, now)

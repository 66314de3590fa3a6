"""Review items and what people decided about them: verdicts are added, never changed (promise 4)."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from storage.errors import UnknownItem
from storage.review_values import Verdict, VerdictCode, VerdictSource
from storage.tables import ClassificationRow, ModelVersionRow, ReviewItemRow, UploadRow, VerdictRow
from storage.values import FlaggedItem, FrameScore, ReviewReason


def flagged(tx: Session, limit: int) -> list[FlaggedItem]:
    """The flagged uploads with the highest scores.

    Args:
        tx: Any session of the database.
        limit: At most so many.

    Returns:
        The items, highest score first; the older one first on a tie.
    """
    rows = tx.execute(
        select(
            ReviewItemRow.item_id,
            UploadRow.current_title,
            UploadRow.wiki,
            UploadRow.user,
            ClassificationRow.score,
            ClassificationRow.worst,
            ClassificationRow.frame_count,
            ModelVersionRow.name,
            UploadRow.logged_at,
            ClassificationRow.created_at,
        )
        .join_from(ReviewItemRow, UploadRow, UploadRow.id == ReviewItemRow.upload_id)
        .join(ClassificationRow, ClassificationRow.id == ReviewItemRow.classification_id)
        .join(ModelVersionRow, ModelVersionRow.id == ClassificationRow.model_version_id)
        .where(ReviewItemRow.reason == ReviewReason.FLAGGED.value)
        .order_by(ClassificationRow.score.desc(), ReviewItemRow.id)
        .limit(limit)
    )
    return [
        FlaggedItem(item_id, title, wiki, user, score, _frame(worst), frames, model, logged_at, scored_at)
        for item_id, title, wiki, user, score, worst, frames, model, logged_at, scored_at in rows
    ]


def add_verdict(tx: Session, verdict: Verdict, now: datetime) -> int | None:
    """Append a verdict; it supersedes the same person's latest one on the same item.

    Args:
        tx: A session of `Database.transaction()`.
        verdict: The decision; `id`, `supersedes_id` and `recorded_at` are not looked at.
        now: The present.

    Returns:
        The row id, or None where a verdict from this revision is stored already.

    Raises:
        UnknownItem: No review item has this id.
    """
    item = tx.scalar(select(ReviewItemRow.id).where(ReviewItemRow.item_id == verdict.item_id))
    if item is None:
        raise UnknownItem(verdict.item_id)
    if _from_revision(tx, item, verdict.revision_id) is not None:
        return None
    same_person = (
        VerdictRow.author_id == verdict.author_id
        if verdict.author_id is not None
        else VerdictRow.author_id.is_(None) & (VerdictRow.author == verdict.author)
    )
    earlier = tx.scalar(
        select(VerdictRow.id)
        .where(VerdictRow.review_item_id == item, same_person, VerdictRow.given_at <= verdict.given_at)
        .order_by(VerdictRow.given_at.desc(), VerdictRow.id.desc())
        .limit(1)
    )
    row = VerdictRow(
        review_item_id=item,
        code=verdict.code.value,
        comment=verdict.comment,
        author=verdict.author,
        author_id=verdict.author_id,
        author_groups=list(verdict.author_groups),
        trusted=verdict.trusted,
        untrusted_reason=verdict.untrusted_reason,
        blind=verdict.blind,
        revision_id=verdict.revision_id,
        given_at=verdict.given_at,
        recorded_at=now,
        source=verdict.source.value,
        supersedes_id=earlier,
    )
    try:
        with tx.begin_nested():
            tx.add(row)
    except IntegrityError:
        if _from_revision(tx, item, verdict.revision_id) is None:
            raise
        return None
    return row.id


def verdicts_of(tx: Session, item_id: str) -> list[Verdict]:
    """Every verdict ever given on an item, in the order in which they were given.

    Args:
        tx: Any session of the database.
        item_id: Public id of the item.

    Returns:
        The verdicts, superseded ones included.
    """
    rows = tx.scalars(
        select(VerdictRow)
        .join(ReviewItemRow, ReviewItemRow.id == VerdictRow.review_item_id)
        .where(ReviewItemRow.item_id == item_id)
        .order_by(VerdictRow.given_at, VerdictRow.id)
    )
    return [
        Verdict(
            item_id=item_id,
            code=VerdictCode(row.code),
            comment=row.comment,
            author=row.author,
            author_id=row.author_id,
            author_groups=tuple(row.author_groups),
            trusted=row.trusted,
            untrusted_reason=row.untrusted_reason,
            blind=row.blind,
            revision_id=row.revision_id,
            given_at=row.given_at,
            source=VerdictSource(row.source),
            id=row.id,
            supersedes_id=row.supersedes_id,
            recorded_at=row.recorded_at,
        )
        for row in rows
    ]


def _from_revision(tx: Session, review_item_id: int, revision_id: int | None) -> int | None:
    """The verdict that this revision introduced; the console's have no revision and are never repeats."""
    if revision_id is None:
        return None
    return tx.scalar(
        select(VerdictRow.id).where(
            VerdictRow.review_item_id == review_item_id, VerdictRow.revision_id == revision_id
        )
    )


def _frame(stored: Mapping[str, Any]) -> FrameScore:
    return FrameScore(stored["score"], stored["at_s"], stored["page"])

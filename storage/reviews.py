"""Review items and what people decided about them: verdicts are added, never changed (promise 4).

An item's state follows from its trusted verdicts and is brought in step in the transaction that adds one.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from storage.errors import UnknownItem
from storage.review_values import (
    PageState,
    ReviewState,
    Standing,
    Verdict,
    VerdictCode,
    VerdictSource,
    VerdictsRecorded,
)
from storage.standing import standing_of
from storage.tables import (
    ClassificationRow,
    ModelVersionRow,
    ReviewItemRow,
    ReviewPageRow,
    UploadRow,
    VerdictRow,
)
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
        FlaggedItem(item_id, title, wiki, user, score, frame(worst), frames, model, logged_at, scored_at)
        for item_id, title, wiki, user, score, worst, frames, model, logged_at, scored_at in rows
    ]


def add_verdict(tx: Session, verdict: Verdict, now: datetime) -> int | None:
    """Append a verdict and bring the item's state in step; it supersedes the same person's latest one.

    Args:
        tx: A session of `Database.transaction()`.
        verdict: The decision; `id`, `supersedes_id` and `recorded_at` are not looked at.
        now: The present.

    Returns:
        The row id, or None where a verdict from this revision is stored already.

    Raises:
        UnknownItem: No review item has this id.
    """
    item = _locked(tx, verdict.item_id)
    if item is None:
        raise UnknownItem(verdict.item_id)
    if _from_revision(tx, item.id, verdict.revision_id) is not None:
        return None
    row = _row(item.id, verdict, now)
    row.supersedes_id = _earlier(tx, item.id, verdict)
    try:
        with tx.begin_nested():
            tx.add(row)
    except IntegrityError:
        if _from_revision(tx, item.id, verdict.revision_id) is None:
            raise
        return None
    _settle(tx, item, now)
    return row.id


def add_verdicts(tx: Session, verdicts: Iterable[Verdict], now: datetime) -> VerdictsRecorded:
    """Append what one reading pass found; ids of no item are dropped and counted, for rows can be forged.

    Args:
        tx: A session of `Database.transaction()`; use the same one for `review_pages.mark_seen`.
        verdicts: The decisions in the order of their revisions.
        now: The present.

    Returns:
        What became of them.
    """
    found = list(verdicts)
    before = _states(tx, sorted({verdict.item_id for verdict in found}))
    counts = {"added": 0, "repeated": 0, "unknown": 0}
    for verdict in found:
        if verdict.item_id not in before:
            counts["unknown"] += 1
            continue
        counts["repeated" if add_verdict(tx, verdict, now) is None else "added"] += 1
    tx.flush()
    after = _states(tx, sorted(before))
    changed = {item_id: state for item_id, state in after.items() if state != before[item_id]}
    return VerdictsRecorded(**counts, changed=changed)


def standing(tx: Session, item_id: str) -> Standing:
    """What the verdicts on an item come to.

    Args:
        tx: Any session of the database.
        item_id: Public id of the item.

    Returns:
        Its state, the votes behind it and the verdicts that do not count.

    Raises:
        UnknownItem: No review item has this id.
    """
    if tx.scalar(select(ReviewItemRow.id).where(ReviewItemRow.item_id == item_id)) is None:
        raise UnknownItem(item_id)
    return standing_of(verdicts_of(tx, item_id))


def verdicts_of(tx: Session, item_id: str) -> list[Verdict]:
    """Every verdict ever given on an item, in the order in which they were given.

    Args:
        tx: Any session of the database.
        item_id: Public id of the item.

    Returns:
        The verdicts, superseded ones included.
    """
    ids = tx.scalars(select(ReviewItemRow.id).where(ReviewItemRow.item_id == item_id)).all()
    return [verdict for found in verdicts_by_row(tx, ids).values() for verdict in found]


def verdicts_by_row(tx: Session, row_ids: Sequence[int]) -> dict[int, list[Verdict]]:
    """Every verdict on many items, for the other modules of this package.

    Args:
        tx: Any session of the database.
        row_ids: Row ids of review items.

    Returns:
        By row id, in the order given; items without a verdict are left out.
    """
    rows = tx.execute(
        select(ReviewItemRow.item_id, VerdictRow)
        .join(VerdictRow, VerdictRow.review_item_id == ReviewItemRow.id)
        .where(ReviewItemRow.id.in_(row_ids))
        .order_by(VerdictRow.given_at, VerdictRow.id)
    )
    found: dict[int, list[Verdict]] = {}
    for item_id, row in rows:
        found.setdefault(row.review_item_id, []).append(_verdict(item_id, row))
    return found


def frame(stored: Mapping[str, Any]) -> FrameScore:
    """A frame as a classification keeps it, for the other modules of this package.

    Args:
        stored: The JSON value.

    Returns:
        The frame.
    """
    return FrameScore(stored["score"], stored["at_s"], stored["page"])


def _locked(tx: Session, item_id: str) -> ReviewItemRow | None:
    """The item, locked where rows have locks: two verdicts at once would each miss the other."""
    return tx.scalar(
        select(ReviewItemRow)
        .where(ReviewItemRow.item_id == item_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )


def _settle(tx: Session, item: ReviewItemRow, now: datetime) -> None:
    state = standing_of(verdicts_by_row(tx, [item.id]).get(item.id, ())).state.value
    if state == item.state:
        return
    item.state = state
    item.state_changed_at = now
    if state != ReviewState.CLOSED and item.page_id is not None:
        # An undecided item must be seen: its page was archived because everything on it was decided.
        tx.execute(
            update(ReviewPageRow)
            .where(ReviewPageRow.id == item.page_id, ReviewPageRow.state == PageState.ARCHIVED.value)
            .values(state=PageState.OPEN.value)
            .execution_options(synchronize_session=False)
        )


def _states(tx: Session, item_ids: Sequence[str]) -> dict[str, ReviewState]:
    """States by public id, the rows locked in one order so that two passes cannot deadlock."""
    rows = tx.execute(
        select(ReviewItemRow.item_id, ReviewItemRow.state)
        .where(ReviewItemRow.item_id.in_(item_ids))
        .order_by(ReviewItemRow.id)
        .with_for_update()
    )
    return {item_id: ReviewState(state) for item_id, state in rows}


def _earlier(tx: Session, review_item_id: int, verdict: Verdict) -> int | None:
    """The same person's verdict before this one."""
    same_person = (
        VerdictRow.author_id == verdict.author_id
        if verdict.author_id is not None
        else VerdictRow.author_id.is_(None) & (VerdictRow.author == verdict.author)
    )
    return tx.scalar(
        select(VerdictRow.id)
        .where(
            VerdictRow.review_item_id == review_item_id, same_person, VerdictRow.given_at <= verdict.given_at
        )
        .order_by(VerdictRow.given_at.desc(), VerdictRow.id.desc())
        .limit(1)
    )


def _from_revision(tx: Session, review_item_id: int, revision_id: int | None) -> int | None:
    """The verdict that this revision introduced; the console's have no revision and are never repeats."""
    if revision_id is None:
        return None
    return tx.scalar(
        select(VerdictRow.id).where(
            VerdictRow.review_item_id == review_item_id, VerdictRow.revision_id == revision_id
        )
    )


def _row(review_item_id: int, verdict: Verdict, now: datetime) -> VerdictRow:
    return VerdictRow(
        review_item_id=review_item_id,
        code=verdict.code.value,
        comment=verdict.comment,
        author=verdict.author,
        author_id=verdict.author_id,
        author_groups=list(verdict.author_groups),
        trusted=verdict.trusted,
        untrusted_reason=verdict.untrusted_reason,
        blind=verdict.blind,
        hinted=verdict.hinted,
        revision_id=verdict.revision_id,
        given_at=verdict.given_at,
        recorded_at=now,
        source=verdict.source.value,
    )


def _verdict(item_id: str, row: VerdictRow) -> Verdict:
    return Verdict(
        item_id=item_id,
        code=VerdictCode(row.code),
        comment=row.comment,
        author=row.author,
        author_id=row.author_id,
        author_groups=tuple(row.author_groups),
        trusted=row.trusted,
        untrusted_reason=row.untrusted_reason,
        blind=row.blind,
        hinted=row.hinted,
        revision_id=row.revision_id,
        given_at=row.given_at,
        source=VerdictSource(row.source),
        id=row.id,
        supersedes_id=row.supersedes_id,
        recorded_at=row.recorded_at,
    )

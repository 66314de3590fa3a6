"""The console's list of review items: filtered, the newest or the highest first, a page at a time.

A page begins behind the last row of the one before (keyset pagination), so the hundredth costs no more than
the first and nothing is shown twice while new items arrive.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, or_, select
from sqlalchemy.orm import Session

from storage.metric_rows import EXTENSIONS
from storage.metric_values import MediaKind
from storage.review_values import ReviewState, VerdictCode, VerdictSource
from storage.reviews import frame
from storage.tables import ClassificationRow, ModelVersionRow, ReviewItemRow, UploadRow, VerdictRow
from storage.values import FrameScore, ReviewReason

PAGE = 50


class QueueOrder(StrEnum):
    """What comes first."""

    NEWEST = "newest"
    HIGHEST = "highest"


@dataclass(frozen=True, slots=True)
class QueueFilter:
    """Which items are wanted; what is None or empty asks for nothing.

    Attributes:
        state: Where they stand.
        reason: Why they were chosen.
        label: `nsfw` or `sfw`, as the bot decided.
        model: Name of the model whose score decided.
        medium: What the file is.
        since: Put up for review from then on.
        until: Put up before then.
        low: Scores from here on.
        high: Scores up to here.
        title: Part of the present title, in any case.
        order: What comes first.
    """

    state: ReviewState | None = None
    reason: ReviewReason | None = None
    label: str | None = None
    model: str | None = None
    medium: MediaKind | None = None
    since: datetime | None = None
    until: datetime | None = None
    low: float | None = None
    high: float | None = None
    title: str = ""
    order: QueueOrder = QueueOrder.NEWEST


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page ended.

    Attributes:
        row_id: Row id of its last item.
        score: Its score, where the highest come first.
    """

    row_id: int
    score: float | None = None


@dataclass(frozen=True, slots=True)
class QueueEntry:
    """One row of the list.

    Attributes:
        item_id: Public id.
        title: Present title of the file.
        uploader: Who uploaded it; None where hidden.
        score: Of the file.
        label: `nsfw` or `sfw`.
        worst: The frame that gave the score.
        frame_count: How many frames were scored.
        reason: Why it was chosen.
        state: Where it stands.
        model: Name of the model.
        created_at: When it was put up for review.
        logged_at: When it was uploaded.
        own: The asker's latest verdict in the console; None without one.
    """

    item_id: str
    title: str
    uploader: str | None
    score: float
    label: str
    worst: FrameScore
    frame_count: int
    reason: ReviewReason
    state: ReviewState
    model: str
    created_at: datetime
    logged_at: datetime
    own: VerdictCode | None


@dataclass(frozen=True, slots=True)
class QueuePage:
    """A page of the list.

    Attributes:
        entries: Its rows.
        following: Where the next page begins; None where this is the last one.
    """

    entries: Sequence[QueueEntry]
    following: Place | None


def page(
    tx: Session, wanted: QueueFilter, *, account: str, after: Place | None = None, limit: int = PAGE
) -> QueuePage:
    """Read a page.

    Args:
        tx: A session of `Database.read()`.
        wanted: Which items.
        account: Who asks.
        after: Where the page before ended; None asks for the first one.
        limit: At most so many rows.

    Returns:
        The page.
    """
    statement = _narrowed(_joined(), wanted)
    by_score = wanted.order is QueueOrder.HIGHEST
    if after is not None:
        statement = statement.where(_behind(after, by_score=by_score))
    order = (
        (ClassificationRow.score.desc(), ReviewItemRow.id.desc()) if by_score else (ReviewItemRow.id.desc(),)
    )
    rows = tx.execute(statement.order_by(*order).limit(limit + 1)).all()
    shown = rows[:limit]
    own = own_verdicts(tx, [row[0] for row in shown], account)
    following = None
    if len(rows) > limit:
        following = Place(shown[-1][0], shown[-1][4] if by_score else None)
    return QueuePage([_entry(row, own) for row in shown], following)


def totals(tx: Session) -> Mapping[ReviewState, int]:
    """How many items there are in every state, from an index alone."""
    rows = tx.execute(select(ReviewItemRow.state, func.count()).group_by(ReviewItemRow.state))
    counts = {ReviewState(state): count for state, count in rows}
    return {state: counts.get(state, 0) for state in ReviewState}


def own_verdicts(tx: Session, row_ids: Sequence[int], account: str) -> dict[int, VerdictCode]:
    """What somebody said of items in the console.

    Args:
        tx: Any session of the database.
        row_ids: Row ids of the items.
        account: Who.

    Returns:
        The latest verdict by row id; items without one are left out.
    """
    rows = tx.execute(
        select(VerdictRow.review_item_id, VerdictRow.code)
        .where(
            VerdictRow.review_item_id.in_(row_ids),
            VerdictRow.author == account,
            VerdictRow.source == VerdictSource.CONSOLE.value,
        )
        .order_by(VerdictRow.given_at, VerdictRow.id)
    )
    return {row_id: VerdictCode(code) for row_id, code in rows}


def model_names(tx: Session) -> list[str]:
    """Names of the models that ever made a score, each once."""
    return list(tx.scalars(select(ModelVersionRow.name).distinct().order_by(ModelVersionRow.name)))


def _joined() -> Select[Any]:
    return (
        select(
            ReviewItemRow.id,
            ReviewItemRow.item_id,
            UploadRow.current_title,
            ReviewItemRow.uploader,
            ClassificationRow.score,
            ClassificationRow.label,
            ClassificationRow.worst,
            ClassificationRow.frame_count,
            ReviewItemRow.reason,
            ReviewItemRow.state,
            ModelVersionRow.name,
            ReviewItemRow.created_at,
            UploadRow.logged_at,
        )
        .join_from(ReviewItemRow, UploadRow, UploadRow.id == ReviewItemRow.upload_id)
        .join(ClassificationRow, ClassificationRow.id == ReviewItemRow.classification_id)
        .join(ModelVersionRow, ModelVersionRow.id == ClassificationRow.model_version_id)
    )


def _narrowed(statement: Select[Any], wanted: QueueFilter) -> Select[Any]:
    if wanted.state is not None:
        statement = statement.where(ReviewItemRow.state == wanted.state.value)
    if wanted.reason is not None:
        statement = statement.where(ReviewItemRow.reason == wanted.reason.value)
    if wanted.label is not None:
        statement = statement.where(ClassificationRow.label == wanted.label)
    if wanted.model is not None:
        statement = statement.where(ModelVersionRow.name == wanted.model)
    if wanted.medium is not None:
        statement = statement.where(_is_medium(wanted.medium))
    if wanted.since is not None:
        statement = statement.where(ReviewItemRow.created_at >= wanted.since)
    if wanted.until is not None:
        statement = statement.where(ReviewItemRow.created_at < wanted.until)
    if wanted.low is not None:
        statement = statement.where(ClassificationRow.score >= wanted.low)
    if wanted.high is not None:
        statement = statement.where(ClassificationRow.score <= wanted.high)
    if wanted.title:
        statement = statement.where(UploadRow.current_title.icontains(wanted.title, autoescape=True))
    return statement


def _behind(place: Place, *, by_score: bool) -> ColumnElement[bool]:
    if not by_score:
        return ReviewItemRow.id < place.row_id
    return or_(
        ClassificationRow.score < place.score,
        and_(ClassificationRow.score == place.score, ReviewItemRow.id < place.row_id),
    )


def _is_medium(kind: MediaKind) -> ColumnElement[bool]:
    """As `storage.metrics` tells media apart: by the extension, which the wiki checks."""
    title = func.lower(UploadRow.title)
    known = EXTENSIONS.get(kind)
    wanted = known if known is not None else sum(EXTENSIONS.values(), ())
    is_one = or_(*(title.like(f"%.{extension}") for extension in wanted))
    return is_one if known is not None else ~is_one


def _entry(row: Any, own: Mapping[int, VerdictCode]) -> QueueEntry:
    row_id, item_id, title, uploader, score, label, worst, frames, reason, state, model, created, logged = row
    return QueueEntry(
        item_id=item_id,
        title=title,
        uploader=uploader,
        score=score,
        label=label,
        worst=frame(worst),
        frame_count=frames,
        reason=ReviewReason(reason),
        state=ReviewState(state),
        model=model,
        created_at=created,
        logged_at=logged,
        own=own.get(row_id),
    )


__all__ = [
    "PAGE",
    "Place",
    "QueueEntry",
    "QueueFilter",
    "QueueOrder",
    "QueuePage",
    "model_names",
    "own_verdicts",
    "page",
    "totals",
]

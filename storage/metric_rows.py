"""The queries behind `storage.metrics`: counts of what was scored, and the items people were asked about.

The counts are grouped by the database in one pass over an index that holds all they need, so that a million
uploads never become a million Python objects; the items, of which there are as many as people were asked
about, are streamed. Both use the same expressions, so that every item belongs to a set that was counted.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, case, func, literal, or_, select
from sqlalchemy.orm import Session

from storage.feedback_tables import SampleDrawRow
from storage.metric_values import Experience, Grouping, MediaKind, Selection
from storage.review_values import VerdictCode
from storage.standing import CastVote, is_nsfw, latest_per_person
from storage.tables import (
    DONE,
    SKIPPED,
    ClassificationRow,
    ModelVersionRow,
    ReviewItemRow,
    UploadRow,
    VerdictRow,
)

UNDRAWN = "not drawn"
FLAGGED_UNDRAWN = "flagged, not drawn"
"""Strata of uploads that were scored before there was an audit sample."""

EXTENSIONS = {
    MediaKind.PHOTOGRAPH: ("jpg", "jpeg", "png", "webp", "tif", "tiff", "xcf"),
    MediaKind.GRAPHIC: ("svg",),
    MediaKind.MOVING: ("webm", "ogv", "ogg", "mpg", "mpeg", "gif"),
    MediaKind.DOCUMENT: ("pdf", "djvu"),
}
FEW = 10
MAX_PERIODS = 60


@dataclass(frozen=True, slots=True)
class Counted:
    """Uploads that are the same to the measures.

    Attributes:
        current: Whether they are of the selected period; else of the one before.
        model: Row id of the model version.
        stratum: That they were drawn from.
        flagged: Whether the bot flagged them.
        bin: How many of the edges their scores reach.
        group: The group; an empty string where none was asked for.
        count: How many.
    """

    current: bool
    model: int
    stratum: str
    flagged: bool
    bin: int
    group: str
    count: int


@dataclass(frozen=True, slots=True)
class Asked:
    """An item that people were asked about.

    Attributes:
        stratum: That it was drawn from.
        probability: With which it was chosen.
        score: In 0..1.
        flagged: Whether the bot flagged it.
        bin: How many of the edges its score reaches.
        group: The group; an empty string where none was asked for.
        created_at: When it was put up for review.
        label: What people agree on; None where they do not, or nobody decided.
        blind: What those agree on who saw neither the score nor a hint at another file.
        hinted: What those agree on who saw a hint, but not the score.
        unblinded: What those agree on who saw the score.
        decided_at: When the first decision was given; None where none was.
        ayes: How many say that it is explicit, those who saw a hint left out.
        noes: How many say that it is not, likewise.
        looked_at: Whether there is any trusted verdict, `unsure` included.
        decisions: How many trusted verdicts were ever given on it.
    """

    stratum: str
    probability: float
    score: float
    flagged: bool
    bin: int
    group: str
    created_at: datetime
    label: bool | None
    blind: bool | None
    hinted: bool | None
    unblinded: bool | None
    decided_at: datetime | None
    ayes: int
    noes: int
    looked_at: bool
    decisions: int


def counted(tx: Session, chosen: Selection, edges: Sequence[float], before: datetime) -> list[Counted]:
    """Count what was scored.

    Args:
        tx: Any session of the database.
        chosen: Which uploads.
        edges: Rising scores that divide the bins.
        before: Begin of the period that comes before the selected one.

    Returns:
        The counts.
    """
    columns: list[ColumnElement[Any]] = [
        case((ClassificationRow.created_at >= chosen.since, 1), else_=0).label("is_now"),
        ClassificationRow.model_version_id.expression,
        _stratum().label("of_stratum"),
        ClassificationRow.label.expression,
        _bin(edges).label("of_bin"),
        _group(chosen).label("of_group"),
    ]
    scored = _narrowed(select(*columns).select_from(ClassificationRow), chosen)
    # Grouped from outside: inside, the expressions' parameters would make them others to PostgreSQL.
    inner = scored.where(*_scored_between(before, chosen.until)).subquery()
    grouped: list[Any] = [*inner.c, func.count()]
    rows = tx.execute(select(*grouped).group_by(*inner.c))
    return [
        Counted(bool(current), model, stratum, label == "nsfw", bin_, str(group), count)
        for current, model, stratum, label, bin_, group, count in rows
    ]


def asked(tx: Session, chosen: Selection, edges: Sequence[float]) -> Iterator[Asked]:
    """The items of the selected period that people were asked about.

    What was put up for another reason than its draw has no known probability, and is left out.

    Args:
        tx: Any session of the database.
        chosen: Which uploads.
        edges: Rising scores that divide the bins.

    Yields:
        One value an item, in no order.
    """
    columns = (
        ReviewItemRow.id,
        _stratum(),
        ReviewItemRow.inclusion_probability,
        ClassificationRow.score,
        ClassificationRow.label,
        _bin(edges),
        _group(chosen),
        ReviewItemRow.created_at,
    )
    votes = _votes(tx, chosen)
    for row in tx.execute(_asked(select(*columns), chosen).execution_options(yield_per=5000)):
        yield _item(row, votes.pop(row[0], ()))


def skipped(tx: Session, since: datetime, middle: datetime, until: datetime) -> tuple[int, int]:
    """Count what could not be scored.

    Args:
        tx: Any session of the database.
        since: Begin of the first period.
        middle: Its end, and begin of the second one.
        until: End of that.

    Returns:
        Uploads that ended in a skip in the first period, and in the second.
    """
    later = case((UploadRow.finished_at >= middle, 1), else_=0)
    rows = tx.execute(
        select(later, func.count())
        .where(
            UploadRow.state == DONE,
            UploadRow.outcome == SKIPPED,
            UploadRow.finished_at >= since,
            UploadRow.finished_at < until,
        )
        .group_by(later)
    )
    counts = {int(is_later): count for is_later, count in rows}
    return counts.get(0, 0), counts.get(1, 0)


def model_names(tx: Session) -> dict[int, str]:
    """Names of the model versions.

    Args:
        tx: Any session of the database.

    Returns:
        By row id; versions of one model share its name.
    """
    rows = tx.execute(select(ModelVersionRow.id, ModelVersionRow.name))
    return {row_id: name for row_id, name in rows}  # noqa: C416 - rows are not pairs to mypy


def period_starts(chosen: Selection) -> list[datetime]:
    """Where the groups of `--by period` begin: weeks, or longer ones so that there are not too many.

    Args:
        chosen: The selection.

    Returns:
        Their beginnings, the first being that of the selection.
    """
    days = 7.0
    while (chosen.until - chosen.since) / timedelta(days=days) > MAX_PERIODS:
        days *= 2
    starts = [chosen.since]
    while (following := starts[-1] + timedelta(days=days)) < chosen.until:
        starts.append(following)
    return starts


def _votes(tx: Session, chosen: Selection) -> dict[int, list[CastVote]]:
    columns: list[Any] = [
        VerdictRow.review_item_id,
        VerdictRow.code,
        VerdictRow.author,
        VerdictRow.author_id,
        VerdictRow.given_at,
        VerdictRow.revision_id,
        VerdictRow.id,
        VerdictRow.blind,
        VerdictRow.hinted,
    ]
    found: dict[int, list[CastVote]] = {}
    statement = _asked(select(*columns), chosen, with_verdicts=True).where(VerdictRow.trusted)
    for item, code, *rest in tx.execute(statement.execution_options(yield_per=5000)):
        found.setdefault(item, []).append(CastVote(VerdictCode(code), *rest))
    return found


def _item(row: Any, votes: Sequence[CastVote]) -> Asked:
    _id, stratum, probability, score, label, bin_, group, created_at = row
    codes = _codes(votes)
    decided = [vote.given_at for vote in votes if vote.code is not VerdictCode.UNSURE]
    # Whoever saw a hint was told what others think of such a file: that is no independent opinion.
    own = [vote for vote in votes if not vote.hinted]
    each = [is_nsfw([code]) for code in (codes if len(own) == len(votes) else _codes(own))]
    return Asked(
        stratum=stratum,
        probability=probability,
        score=score,
        flagged=label == "nsfw",
        bin=bin_,
        group=str(group),
        created_at=created_at,
        label=is_nsfw(codes),
        blind=_label([vote for vote in votes if vote.uninfluenced]),
        hinted=_label([vote for vote in votes if vote.blind and vote.hinted]),
        unblinded=_label([vote for vote in votes if not vote.blind]),
        decided_at=min(decided, default=None),
        ayes=each.count(True),
        noes=each.count(False),
        looked_at=bool(votes),
        decisions=len(votes),
    )


def _label(votes: Sequence[CastVote]) -> bool | None:
    return is_nsfw(_codes(votes))


def _codes(votes: Sequence[CastVote]) -> list[VerdictCode]:
    return [vote.code for vote in (latest_per_person(votes) if len(votes) > 1 else votes)]


def _asked(statement: Select[Any], chosen: Selection, *, with_verdicts: bool = False) -> Select[Any]:
    statement = statement.select_from(ReviewItemRow)
    if with_verdicts:
        statement = statement.join(VerdictRow, VerdictRow.review_item_id == ReviewItemRow.id)
    same = (
        ClassificationRow.id == ReviewItemRow.classification_id
        if chosen.model is None
        else ClassificationRow.upload_id == ReviewItemRow.upload_id
    )
    statement = statement.join(ClassificationRow, same)
    return _narrowed(statement, chosen).where(
        or_(SampleDrawRow.upload_id.is_(None), SampleDrawRow.chosen),
        *_scored_between(chosen.since, chosen.until),
    )


def _narrowed(statement: Select[Any], chosen: Selection) -> Select[Any]:
    """Join the draw, and what the selection needs besides."""
    statement = statement.outerjoin(SampleDrawRow, SampleDrawRow.upload_id == ClassificationRow.upload_id)
    if chosen.media is not None or chosen.by is Grouping.MEDIA:
        statement = statement.join(UploadRow, UploadRow.id == ClassificationRow.upload_id)
    if chosen.by is Grouping.EXPERIENCE:
        statement = statement.join(_SEEN, _SEEN.c.id == ClassificationRow.upload_id)
    if chosen.media is not None:
        statement = statement.where(_media() == chosen.media.value)
    if chosen.model is None:
        # Of an upload that a shadow scored as well, the score that decided.
        return statement.where(
            or_(SampleDrawRow.upload_id.is_(None), SampleDrawRow.classification_id == ClassificationRow.id)
        )
    versions = select(ModelVersionRow.id).where(ModelVersionRow.name == chosen.model)
    return statement.where(ClassificationRow.model_version_id.in_(versions))


def _scored_between(since: datetime, until: datetime) -> tuple[ColumnElement[bool], ...]:
    return (ClassificationRow.created_at >= since, ClassificationRow.created_at < until)


def _stratum() -> ColumnElement[str]:
    undrawn = case((ClassificationRow.label == "nsfw", FLAGGED_UNDRAWN), else_=UNDRAWN)
    return func.coalesce(SampleDrawRow.stratum, undrawn)


def _bin(edges: Sequence[float]) -> ColumnElement[int]:
    """How many of the edges a score reaches; the low ones come first, where nearly all scores are."""
    return case(
        *((ClassificationRow.score < edge, index) for index, edge in enumerate(edges)), else_=len(edges)
    )


def _media() -> ColumnElement[str]:
    title = func.lower(UploadRow.title)
    return case(
        *(
            (or_(*(title.like(f"%.{extension}") for extension in extensions)), kind.value)
            for kind, extensions in EXTENSIONS.items()
        ),
        else_=MediaKind.OTHER.value,
    )


def _group(chosen: Selection) -> ColumnElement[Any]:
    match chosen.by:
        case Grouping.PERIOD:
            starts = period_starts(chosen)
            later = ((ClassificationRow.created_at >= start, f"{start:%Y-%m-%d}") for start in starts[:0:-1])
            first = f"{starts[0]:%Y-%m-%d}"
            return case(*later, else_=first) if len(starts) > 1 else literal(first)
        case Grouping.MEDIA:
            return _media()
        case Grouping.EXPERIENCE:
            return case(
                (_SEEN.c.nth == 1, Experience.FIRST.value),
                (_SEEN.c.nth <= FEW, Experience.FEW.value),
                else_=Experience.MANY.value,
            )
        case Grouping.MODEL:
            return ClassificationRow.model_version_id.expression
        case _:
            return literal("")


_SEEN = select(
    UploadRow.id,
    func.row_number().over(partition_by=UploadRow.user, order_by=UploadRow.id).label("nth"),
).subquery("seen")

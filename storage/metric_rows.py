"""The queries behind `storage.metrics`: counts of what was scored, of skips, and names of models.

The counts are grouped by the database in one pass over an index that holds all they need, so that a million
uploads never become a million Python objects. SQLite sorts what it groups, and one number a row sorts in half
the time of six columns: hence the numbers that stand for the properties of an upload. `storage.metric_items`
uses the same expressions, so that every item belongs to a set that was counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, exists, func, literal, or_, select
from sqlalchemy.orm import Session, aliased

from storage.feedback_tables import SampleDrawRow
from storage.metric_values import Experience, Grouping, MediaKind, Selection
from storage.tables import DONE, SKIPPED, ClassificationRow, ModelVersionRow, UploadRow

UNDRAWN = "not drawn"
FLAGGED_UNDRAWN = "flagged, not drawn"
"""Strata of uploads that were scored before there was an audit sample."""

EXTENSIONS = {
    MediaKind.PHOTOGRAPH: ("jpg", "jpeg", "png", "webp", "tif", "tiff", "xcf"),
    MediaKind.GRAPHIC: ("svg",),
    MediaKind.MOVING: ("webm", "ogv", "ogg", "mpg", "mpeg", "gif"),
    MediaKind.DOCUMENT: ("pdf", "djvu"),
}
KINDS = tuple(MediaKind)
NSFW = "nsfw"
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
    bins, groups = len(edges) + 1, Groups.of(chosen)
    number = ClassificationRow.model_version_id.expression
    for size, digit in (
        (2, case((ClassificationRow.created_at >= chosen.since, 1), else_=0)),
        (2, case((ClassificationRow.label == NSFW, 1), else_=0)),
        (bins, bin_of(edges)),
        (groups.size, groups.number),
    ):
        number = number * size + digit
    columns: list[ColumnElement[Any]] = [number.label("properties"), stratum_of().label("of_stratum")]
    scored = narrowed(select(*columns).select_from(ClassificationRow), chosen)
    # Grouped from outside: inside, the expressions' parameters would make them others to PostgreSQL.
    inner = scored.where(*scored_between(before, chosen.until)).subquery()
    grouped: list[Any] = [*inner.c, func.count()]
    found = []
    for properties, stratum, count in tx.execute(select(*grouped).group_by(*inner.c)):
        rest, group = divmod(properties, groups.size)
        rest, bin_ = divmod(rest, bins)
        rest, flagged = divmod(rest, 2)
        model, current = divmod(rest, 2)
        name = groups.name(group, model)
        found.append(Counted(bool(current), model, stratum, bool(flagged), bin_, name, count))
    return found


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


def narrowed(statement: Select[Any], chosen: Selection) -> Select[Any]:
    """Join the draw, and what the selection needs besides.

    Args:
        statement: Of rows of `classification`.
        chosen: The selection.

    Returns:
        The statement, of one score an upload.
    """
    statement = statement.outerjoin(SampleDrawRow, SampleDrawRow.upload_id == ClassificationRow.upload_id)
    if chosen.media is not None or chosen.by is Grouping.MEDIA:
        statement = statement.join(UploadRow, UploadRow.id == ClassificationRow.upload_id)
    if chosen.by is Grouping.EXPERIENCE:
        statement = statement.join(_SEEN, _SEEN.c.id == ClassificationRow.upload_id)
    if chosen.media is not None:
        statement = statement.where(_media() == KINDS.index(chosen.media))
    if chosen.model is None:
        # Of an upload that a shadow scored as well, the score that decided: the drawn one, else the first.
        earlier = aliased(ClassificationRow)
        first = ~exists().where(
            earlier.upload_id == ClassificationRow.upload_id, earlier.id < ClassificationRow.id
        )
        return statement.where(
            or_(
                SampleDrawRow.classification_id == ClassificationRow.id,
                and_(SampleDrawRow.upload_id.is_(None), first),
            )
        )
    versions = select(ModelVersionRow.id).where(ModelVersionRow.name == chosen.model)
    return statement.where(ClassificationRow.model_version_id.in_(versions))


def scored_between(since: datetime, until: datetime) -> tuple[ColumnElement[bool], ...]:
    """The conditions of a period, its end excluded."""
    return (ClassificationRow.created_at >= since, ClassificationRow.created_at < until)


def stratum_of() -> ColumnElement[str]:
    """The stratum that an upload was drawn from; of one that was not drawn, whether it is flagged."""
    undrawn = case((ClassificationRow.label == NSFW, FLAGGED_UNDRAWN), else_=UNDRAWN)
    return func.coalesce(SampleDrawRow.stratum, undrawn)


def bin_of(edges: Sequence[float]) -> ColumnElement[int]:
    """How many of the edges a score reaches; the low ones come first, where nearly all scores are."""
    return case(
        *((ClassificationRow.score < edge, index) for index, edge in enumerate(edges)), else_=len(edges)
    )


def _media() -> ColumnElement[int]:
    """The place of an upload's kind in KINDS."""
    title = func.lower(UploadRow.title)
    return case(
        *(
            (or_(*(title.like(f"%.{extension}") for extension in EXTENSIONS[kind])), number)
            for number, kind in enumerate(KINDS)
            if kind in EXTENSIONS
        ),
        else_=KINDS.index(MediaKind.OTHER),
    )


_SEEN = select(
    UploadRow.id,
    func.row_number().over(partition_by=UploadRow.user, order_by=UploadRow.id).label("nth"),
).subquery("seen")


@dataclass(frozen=True, slots=True)
class Groups:
    """What the measures are told apart by, as numbers from 0 on.

    Attributes:
        number: An upload's, in SQL.
        names: The group of each number; None: that of a model version, by its row id.
    """

    number: ColumnElement[int]
    names: Sequence[str] | None

    @classmethod
    def of(cls, chosen: Selection) -> "Groups":
        """Read a selection.

        Args:
            chosen: The selection.

        Returns:
            Its groups; one without a name where none were asked for.
        """
        match chosen.by:
            case Grouping.PERIOD:
                starts = period_starts(chosen)
                later = (
                    (ClassificationRow.created_at >= starts[n], n) for n in range(len(starts) - 1, 0, -1)
                )
                number = case(*later, else_=0) if len(starts) > 1 else literal(0)
                return cls(number, [f"{start:%Y-%m-%d}" for start in starts])
            case Grouping.MEDIA:
                return cls(_media(), [kind.value for kind in KINDS])
            case Grouping.EXPERIENCE:
                number = case((_SEEN.c.nth == 1, 0), (_SEEN.c.nth <= FEW, 1), else_=2)
                return cls(number, [Experience.FIRST.value, Experience.FEW.value, Experience.MANY.value])
            case Grouping.MODEL:
                return cls(literal(0), None)
            case _:
                return cls(literal(0), [""])

    @property
    def size(self) -> int:
        """How many numbers there are."""
        return 1 if self.names is None else len(self.names)

    def name(self, number: int, model: int) -> str:
        """The group of an upload.

        Args:
            number: What `number` is of it.
            model: Row id of the model version that scored it.

        Returns:
            The name; of a model version, its row id.
        """
        return str(model) if self.names is None else self.names[number]

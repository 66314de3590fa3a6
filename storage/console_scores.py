"""Scores over time, and a shadow's beside those that decided, for the console's charts.

The counts come from one index that holds all they need; the pairs are the newest few.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Final

from sqlalchemy import Select, case, func, select
from sqlalchemy.orm import Session, aliased

from storage.model_registry import ModelStanding, holder
from storage.tables import ClassificationRow, ModelVersionRow, UploadRow

EDGES: Final = (0.05, 0.2, 0.5, 0.8, 0.95)
"""Scores that divide the bands, from next to nothing to next to certain."""
STEPS: Final = 30
PAIRS: Final = 2000


@dataclass(frozen=True, slots=True)
class ScoreStep:
    """The scores of one stretch of time by one model.

    Attributes:
        start: Its beginning.
        end: Its end.
        bands: How many scores lie in each band, from the lowest on.
        flagged: How many of them are flags.
    """

    start: datetime
    end: datetime
    bands: Sequence[int]
    flagged: int

    @property
    def count(self) -> int:
        """How many scores there are."""
        return sum(self.bands)

    def share_from(self, edge: int) -> float | None:
        """Which share of the scores reaches the edge with this number; None where there are none."""
        return sum(self.bands[edge + 1 :]) / self.count if self.count else None


@dataclass(frozen=True, slots=True)
class ScorePair:
    """What two models say of one upload.

    Attributes:
        wiki: Database name of the wiki.
        log_id: Log id of the upload.
        title: Its present title.
        active: Score of the model that decided.
        active_flags: Whether it flags.
        shadow: Score of the one that watches.
        shadow_flags: Whether it would flag.
        scored_at: When the shadow scored it.
    """

    wiki: str
    log_id: int
    title: str
    active: float
    active_flags: bool
    shadow: float
    shadow_flags: bool
    scored_at: datetime


@dataclass(frozen=True, slots=True)
class ShadowScores:
    """A shadow beside the model that decides.

    Attributes:
        name: The model that is or was the shadow.
        pairs: The newest first.
    """

    name: str
    pairs: Sequence[ScorePair]


def model_counts(tx: Session, since: datetime, until: datetime) -> dict[str, int]:
    """How many scores each model made.

    Args:
        tx: A session of `Database.read()`.
        since: From then on.
        until: Before then.

    Returns:
        By the model's name, the most frequent first; versions of one model are counted together.
    """
    names = _names(tx)
    rows = tx.execute(
        select(ClassificationRow.model_version_id, func.count())
        .where(ClassificationRow.created_at >= since, ClassificationRow.created_at < until)
        .group_by(ClassificationRow.model_version_id)
    )
    found = Counter[str]()
    for version, count in rows:
        found[names[version]] += count
    return dict(found.most_common())


def over_time(
    tx: Session, model: str, since: datetime, until: datetime, steps: int = STEPS
) -> list[ScoreStep]:
    """Count a model's scores, stretch by stretch.

    Args:
        tx: A session of `Database.read()`.
        model: Its name.
        since: Begin of the first stretch.
        until: End of the last one.
        steps: How many stretches.

    Returns:
        The stretches in order.
    """
    versions = [version for version, name in _names(tx).items() if name == model]
    length = (until - since) / steps
    ends = [since + number * length for number in range(steps)] + [until]
    return [_step(tx, versions, start, end) for start, end in pairwise(ends)]


def _step(tx: Session, versions: Sequence[int], start: datetime, end: datetime) -> ScoreStep:
    band = case(
        *((ClassificationRow.score < edge, index) for index, edge in enumerate(EDGES)), else_=len(EDGES)
    )
    is_flag = case((ClassificationRow.label == "nsfw", 1), else_=0)
    # PostgreSQL takes two equal expressions with parameters for different ones: hence the subquery.
    inner = (
        select(band.label("band"), is_flag.label("is_flag"))
        .where(
            ClassificationRow.created_at >= start,
            ClassificationRow.created_at < end,
            ClassificationRow.model_version_id.in_(versions),
        )
        .subquery()
    )
    bands, flagged = [0] * (len(EDGES) + 1), 0
    grouped = select(inner.c.band, func.count(), func.sum(inner.c.is_flag)).group_by(inner.c.band)
    for index, count, flags in tx.execute(grouped):
        bands[index] += count
        flagged += int(flags)
    return ScoreStep(start, end, bands, flagged)


def shadow(tx: Session, now: datetime, days: float = 30, limit: int = PAIRS) -> ShadowScores | None:
    """The latest scores of the shadow, each beside the one that decided.

    Args:
        tx: A session of `Database.read()`.
        now: The present.
        days: How far back.
        limit: At most so many.

    Returns:
        The scores; None where no model is a shadow.
    """
    watching = holder(tx, ModelStanding.SHADOW)
    if watching is None:
        return None
    versions = [version for version, name in _names(tx).items() if name == watching.name]
    statement = _pairs(versions).where(ClassificationRow.created_at >= now - timedelta(days=days))
    rows = tx.execute(statement.order_by(ClassificationRow.id.desc()).limit(limit))
    pairs = [
        ScorePair(wiki, log_id, title, active, label == "nsfw", score, shadow_label == "nsfw", at)
        for wiki, log_id, title, active, label, score, shadow_label, at in rows
    ]
    return ShadowScores(watching.name, pairs)


def _pairs(versions: Sequence[int]) -> Select[Any]:
    """Scores by these versions, each beside the first score of the upload by any other."""
    other, decided = aliased(ClassificationRow), aliased(ClassificationRow)
    first = (
        select(func.min(other.id))
        .where(other.upload_id == ClassificationRow.upload_id, other.model_version_id.not_in(versions))
        .scalar_subquery()
    )
    columns: list[Any] = [
        UploadRow.wiki,
        UploadRow.log_id,
        UploadRow.current_title,
        decided.score,
        decided.label,
        ClassificationRow.score,
        ClassificationRow.label,
        ClassificationRow.created_at,
    ]
    return (
        select(*columns)
        .join_from(ClassificationRow, decided, decided.id == first)
        .join(UploadRow, UploadRow.id == ClassificationRow.upload_id)
        .where(ClassificationRow.model_version_id.in_(versions))
    )


def _names(tx: Session) -> dict[int, str]:
    rows = tx.execute(select(ModelVersionRow.id, ModelVersionRow.name))
    return {row_id: name for row_id, name in rows}  # noqa: C416 - rows are not pairs to mypy


__all__ = ["EDGES", "ScorePair", "ScoreStep", "ShadowScores", "model_counts", "over_time", "shadow"]

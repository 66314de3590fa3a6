"""Reads what models said about reviewed uploads, for `paired_estimates` and `threshold_choice`.

A model has scored an upload where it decided, or where it watched as a shadow (`storage.shadow_scores`). A
label is what the trusted verdicts agree on (`storage.standing`); items that are open, disputed or unsure
are read too, without a label, because they were drawn all the same. Where a model scored an upload in several
versions, the latest one with the weights that are asked for counts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, func, select, union_all
from sqlalchemy.orm import Session

from storage.feedback_tables import ShadowScoreRow
from storage.paired_estimates import Paired
from storage.review_values import VerdictCode
from storage.standing import CastVote, is_nsfw, latest_per_person
from storage.tables import ClassificationRow, ModelVersionRow, ReviewItemRow, VerdictRow
from storage.values import ReviewReason


@dataclass(frozen=True, slots=True)
class Maker:
    """Whose scores are asked for.

    Attributes:
        name: Of the model.
        weights_sha256: Of its weights; None: any.
    """

    name: str
    weights_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class _Item:
    row_id: int
    upload_id: int
    probability: float
    stratum: str
    label: float
    audited: bool


@dataclass(frozen=True, slots=True)
class Reviewed:
    """What one model said about reviewed uploads; every list has one place an item.

    Attributes:
        scores: Its scores, 0..1.
        labels: 1.0 explicit, 0.0 harmless, NaN without a label.
        probabilities: Inclusion probabilities.
        strata: What each was drawn from.
    """

    scores: Sequence[float]
    labels: Sequence[float]
    probabilities: Sequence[float]
    strata: Sequence[str]


@dataclass(frozen=True, slots=True)
class Pairs:
    """Reviewed uploads that two models scored; every array has the shape (items,).

    Attributes:
        first: Scores of model A, 0..1.
        second: Scores of model B.
        labels: As in `Reviewed`; likewise the next two.
        probabilities: Inclusion probabilities.
        strata: What each was drawn from.
        alone: Reviewed uploads of the time in which both scored, that only one of them did.
        audited: Whether there are any that nobody had flagged; without them what was missed is unknown.
    """

    first: NDArray[np.float64]
    second: NDArray[np.float64]
    labels: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    strata: NDArray[np.str_]
    alone: int
    audited: bool

    def at(self, first: float, second: float) -> Paired:
        """Both models' answers.

        Args:
            first: The score from which A flags.
            second: The score from which B does.

        Returns:
            The items for `storage.paired_estimates.compare`.
        """
        return Paired(
            self.first >= first, self.second >= second, self.labels, self.probabilities, self.strata
        )


def pairs(
    tx: Session, first: Maker, second: Maker, since: datetime | None = None, until: datetime | None = None
) -> Pairs:
    """Reviewed uploads that both models scored.

    Args:
        tx: A session of `Database.read()`.
        first: Model A.
        second: Model B.
        since: Put up for review at this time or later.
        until: Put up for review before this time.

    Returns:
        The items, those without a label too.
    """
    items = _items(tx, since, until)
    one, other = _scores(tx, first), _scores(tx, second)
    both = [item for item in items if item.upload_id in one and item.upload_id in other]
    begun, ended = min((i.row_id for i in both), default=0), max((i.row_id for i in both), default=0)
    alone = sum(
        begun < item.row_id < ended and (item.upload_id in one) != (item.upload_id in other) for item in items
    )
    return Pairs(
        first=np.array([one[item.upload_id] for item in both], np.float64),
        second=np.array([other[item.upload_id] for item in both], np.float64),
        labels=np.array([item.label for item in both], np.float64),
        probabilities=np.array([item.probability for item in both], np.float64),
        strata=np.array([item.stratum for item in both], np.str_),
        alone=alone,
        audited=any(item.audited for item in both),
    )


def reviewed(
    tx: Session, maker: Maker, since: datetime | None = None, until: datetime | None = None
) -> Reviewed:
    """Reviewed uploads that a model scored; arguments as for `pairs`."""
    scores = _scores(tx, maker)
    items = [item for item in _items(tx, since, until) if item.upload_id in scores]
    return Reviewed(
        [scores[item.upload_id] for item in items],
        [item.label for item in items],
        [item.probability for item in items],
        [item.stratum for item in items],
    )


def highest_scores(
    tx: Session, maker: Maker, now: datetime, days: float, limit: int
) -> tuple[list[float], float]:
    """A model's highest scores of the last days, for a budget of flags.

    A shadow may have scored only a part of the uploads. What chance gave it stands for all of them; what it
    scored because people are asked about it does not, and is left out.

    Args:
        tx: A session of `Database.read()`.
        maker: The model.
        now: The present.
        days: How far to look back.
        limit: At most so many scores.

    Returns:
        The scores, highest first, and how many days' uploads they are out of: less than asked where the
        model is newer, or scored only a share.
    """
    since = now - timedelta(days=days)
    flow = select(func.count(), func.min(ClassificationRow.created_at)).where(
        ClassificationRow.created_at >= since, ClassificationRow.created_at < now
    )
    uploads, begun = tx.execute(flow).one()
    versions = select(ModelVersionRow.id).where(*_of(maker)).scalar_subquery()
    decided = select(ClassificationRow.score).where(
        ClassificationRow.model_version_id.in_(versions),
        ClassificationRow.created_at >= since,
        ClassificationRow.created_at < now,
    )
    watched = select(ShadowScoreRow.score).where(
        ShadowScoreRow.model_version_id.in_(versions),
        ShadowScoreRow.representative,
        ShadowScoreRow.created_at >= since,
        ShadowScoreRow.created_at < now,
    )
    own = union_all(decided, watched).subquery()
    scored = tx.scalar(select(func.count()).select_from(own)) or 0
    highest = list(tx.scalars(select(own.c.score).order_by(own.c.score.desc()).limit(limit)))
    if not uploads or not scored:
        return highest, 0.0
    per_day = uploads / ((now - begun) / timedelta(days=1))
    return highest, scored / per_day


def _of(maker: Maker) -> list[ColumnElement[bool]]:
    conditions = [ModelVersionRow.name == maker.name]
    if maker.weights_sha256 is not None:
        conditions.append(ModelVersionRow.weights_sha256 == maker.weights_sha256)
    return conditions


def _scores(tx: Session, maker: Maker) -> Mapping[int, float]:
    """Scores of a model by upload, of reviewed uploads alone; where it decided, that score counts."""
    found: dict[int, float] = {}
    for table in (ShadowScoreRow, ClassificationRow):
        rows = tx.execute(
            select(table.upload_id, table.score)
            .join(ModelVersionRow, ModelVersionRow.id == table.model_version_id)
            .join(ReviewItemRow, ReviewItemRow.upload_id == table.upload_id)
            .where(*_of(maker))
            .order_by(table.id)
        )
        found.update((upload, score) for upload, score in rows)
    return found


def _items(tx: Session, since: datetime | None, until: datetime | None) -> list[_Item]:
    wanted = [] if since is None else [ReviewItemRow.created_at >= since]
    wanted += [] if until is None else [ReviewItemRow.created_at < until]
    votes: dict[int, list[CastVote]] = {}
    for item_id, code, author, author_id, given_at, revision_id, row_id, blind, hinted in tx.execute(
        select(
            VerdictRow.review_item_id,
            VerdictRow.code,
            VerdictRow.author,
            VerdictRow.author_id,
            VerdictRow.given_at,
            VerdictRow.revision_id,
            VerdictRow.id,
            VerdictRow.blind,
            VerdictRow.hinted,
        )
        .join(ReviewItemRow, ReviewItemRow.id == VerdictRow.review_item_id)
        .where(VerdictRow.trusted, *wanted)
    ):
        vote = CastVote(VerdictCode(code), author, author_id, given_at, revision_id, row_id, blind, hinted)
        votes.setdefault(item_id, []).append(vote)
    rows = tx.execute(
        select(
            ReviewItemRow.id,
            ReviewItemRow.upload_id,
            ReviewItemRow.inclusion_probability,
            ReviewItemRow.stratum,
            ReviewItemRow.reason,
        )
        .where(*wanted)
        .order_by(ReviewItemRow.id)
    )
    return [
        _Item(
            item_id,
            upload,
            probability,
            stratum or reason,
            _label(votes.get(item_id, ())),
            reason != ReviewReason.FLAGGED,
        )
        for item_id, upload, probability, stratum, reason in rows
    ]


def _label(votes: Sequence[CastVote]) -> float:
    agreed = is_nsfw([vote.code for vote in latest_per_person(votes)])
    return float("nan") if agreed is None else float(agreed)


__all__ = ["Maker", "Pairs", "Reviewed", "highest_scores", "pairs", "reviewed"]

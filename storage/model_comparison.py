"""Reads what models said about reviewed uploads, for `paired_estimates` and `threshold_choice`.

A label is what the trusted verdicts agree on (`storage.standing`); items that are open, disputed or unsure
are read too, without a label, because they were drawn all the same. Where a model scored an upload in several
versions, the latest one with the weights that are asked for counts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from storage.paired_estimates import Paired
from storage.review_values import VerdictCode
from storage.standing import CastVote, is_nsfw, latest_per_person
from storage.tables import ClassificationRow, ModelVersionRow, ReviewItemRow, VerdictRow


@dataclass(frozen=True, slots=True)
class Maker:
    """Whose scores are asked for.

    Attributes:
        name: Of the model.
        weights_sha256: Of its weights; None: any.
        threshold: Score from which it flags; None: as it was when each score was made.
    """

    name: str
    weights_sha256: str | None = None
    threshold: float | None = None


@dataclass(frozen=True, slots=True)
class _Item:
    upload_id: int
    probability: float
    stratum: str
    label: float


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


def paired(
    tx: Session, first: Maker, second: Maker, since: datetime | None = None, until: datetime | None = None
) -> Paired:
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
    answers = [{upload: flags for upload, (_, flags) in _scores(tx, one).items()} for one in (first, second)]
    both = [item for item in items if all(item.upload_id in one for one in answers)]
    return Paired(
        first=np.array([answers[0][item.upload_id] for item in both], np.bool_),
        second=np.array([answers[1][item.upload_id] for item in both], np.bool_),
        labels=np.array([item.label for item in both], np.float64),
        probabilities=np.array([item.probability for item in both], np.float64),
        strata=np.array([item.stratum for item in both], np.str_),
    )


def reviewed(
    tx: Session, maker: Maker, since: datetime | None = None, until: datetime | None = None
) -> Reviewed:
    """Reviewed uploads that a model scored; arguments as for `paired`."""
    scores = {upload: score for upload, (score, _) in _scores(tx, maker).items()}
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

    Args:
        tx: A session of `Database.read()`.
        maker: The model.
        now: The present.
        days: How far to look back.
        limit: At most so many scores.

    Returns:
        The scores, highest first, and how many days they come from: less than asked where it is newer.
    """
    since = now - timedelta(days=days)
    conditions = (*_of(maker), ClassificationRow.created_at >= since, ClassificationRow.created_at < now)
    joined = ModelVersionRow.id == ClassificationRow.model_version_id
    begun = tx.scalar(
        select(func.min(ClassificationRow.created_at)).join(ModelVersionRow, joined).where(*conditions)
    )
    rows = tx.scalars(
        select(ClassificationRow.score)
        .join(ModelVersionRow, joined)
        .where(*conditions)
        .order_by(ClassificationRow.score.desc())
        .limit(limit)
    )
    seen = 0.0 if begun is None else (now - begun) / timedelta(days=1)
    return list(rows), seen


def _of(maker: Maker) -> list[ColumnElement[bool]]:
    conditions = [ModelVersionRow.name == maker.name]
    if maker.weights_sha256 is not None:
        conditions.append(ModelVersionRow.weights_sha256 == maker.weights_sha256)
    return conditions


def _scores(tx: Session, maker: Maker) -> Mapping[int, tuple[float, bool]]:
    """Score and answer of a model by upload, of reviewed uploads alone."""
    rows = tx.execute(
        select(ClassificationRow.upload_id, ClassificationRow.score, ClassificationRow.label)
        .join(ModelVersionRow, ModelVersionRow.id == ClassificationRow.model_version_id)
        .join(ReviewItemRow, ReviewItemRow.upload_id == ClassificationRow.upload_id)
        .where(*_of(maker))
        .order_by(ClassificationRow.id)
    )
    return {
        upload: (score, label == "nsfw" if maker.threshold is None else score >= maker.threshold)
        for upload, score, label in rows
    }


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
        _Item(upload, probability, stratum or reason, _label(votes.get(item_id, ())))
        for item_id, upload, probability, stratum, reason in rows
    ]


def _label(votes: Sequence[CastVote]) -> float:
    agreed = is_nsfw([vote.code for vote in latest_per_person(votes)])
    return float("nan") if agreed is None else float(agreed)


__all__ = ["Maker", "Reviewed", "highest_scores", "paired", "reviewed"]

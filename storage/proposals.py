"""The second draw of a day's uploads: what it draws from, and what it leaves in the store.

An upload that was reviewed because of its first draw gets the probability of either draw as well: it might
have been chosen by the second one, too. So all probabilities of a day change together, in one transaction.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from storage.feedback_tables import SampleDrawRow, ShadowScoreRow
from storage.review_values import ReviewState
from storage.sampling import Lane
from storage.tables import ClassificationRow, ReviewItemRow, UploadRow
from storage.values import ReviewReason, public_id

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Candidates:
    """Uploads that were drawn for and did not have to be chosen, by rising row id; arrays are (uploads,).

    Attributes:
        upload_ids: Their row ids.
        probabilities: Of their first draws.
        scores: Those that decided, 0..1.
        thresholds: From which on each would have been flagged.
        others: What a shadow scored since that chance alone had it score, NaN where there is none.
    """

    upload_ids: Sequence[int]
    probabilities: Floats
    scores: Floats
    thresholds: Floats
    others: Floats


def candidates(tx: Session, since: datetime, until: datetime) -> Candidates:
    """What can be proposed of some time.

    Args:
        tx: Any session of the database.
        since: Drawn for from then on.
        until: Drawn for before then.

    Returns:
        The uploads, whether they were chosen or not.
    """
    window = (SampleDrawRow.drawn_at >= since, SampleDrawRow.drawn_at < until, SampleDrawRow.probability < 1)
    rows = tx.execute(
        select(
            SampleDrawRow.upload_id,
            SampleDrawRow.probability,
            ClassificationRow.score,
            ClassificationRow.threshold,
        )
        .join(ClassificationRow, ClassificationRow.id == SampleDrawRow.classification_id)
        .where(*window)
        .order_by(SampleDrawRow.upload_id)
    ).all()
    by_others = tx.execute(
        select(ShadowScoreRow.upload_id, ShadowScoreRow.score)
        .join(SampleDrawRow, SampleDrawRow.upload_id == ShadowScoreRow.upload_id)
        # A score that is there because the first draw chose the upload would tie the second draw to it.
        .where(*window, ShadowScoreRow.representative)
        .order_by(ShadowScoreRow.id)
    )
    others = {upload_id: score for upload_id, score in by_others}  # noqa: C416 - rows are not pairs to mypy
    first, scores, thresholds = (np.array([row[n] for row in rows], np.float64) for n in (1, 2, 3))
    ids = [upload_id for upload_id, *_rest in rows]
    return Candidates(
        ids, first, scores, thresholds, np.array([others.get(one, np.nan) for one in ids], np.float64)
    )


def drawn(tx: Session, since: datetime, until: datetime) -> bool:
    """Whether the second draw of some time was made.

    Args:
        tx: Any session of the database.
        since: Its begin.
        until: Its end.

    Returns:
        Whether any upload of that time has one.
    """
    return (
        tx.scalar(
            select(SampleDrawRow.upload_id)
            .where(
                SampleDrawRow.drawn_at >= since,
                SampleDrawRow.drawn_at < until,
                SampleDrawRow.proposal_draw.is_not(None),
            )
            .limit(1)
        )
        is not None
    )


def record(
    tx: Session,
    found: Candidates,
    probabilities: Floats,
    draws: Floats,
    either: Floats,
    now: datetime,
) -> int:
    """Keep the second draws, put up what they chose, and correct the probabilities of what was up already.

    Args:
        tx: A session of `Database.transaction()`.
        found: What was drawn from.
        probabilities: Of the second draws, 0..1, shape (uploads,) as all others.
        draws: In [0, 1).
        either: Probability of being chosen in either draw.
        now: The present.

    Returns:
        How many uploads are put up for review that were not before.
    """
    columns = (found.upload_ids, probabilities.tolist(), draws.tolist())
    rows = [
        {"upload_id": upload_id, "proposal_probability": p, "proposal_draw": draw}
        for upload_id, p, draw in zip(*columns, strict=True)
    ]
    if not rows:
        return 0
    tx.execute(update(SampleDrawRow), rows)
    chance = dict(zip(found.upload_ids, either.tolist(), strict=True))
    up = {
        upload_id: row_id
        for upload_id, row_id in tx.execute(
            select(ReviewItemRow.upload_id, ReviewItemRow.id)
            .join(SampleDrawRow, SampleDrawRow.upload_id == ReviewItemRow.upload_id)
            .where(SampleDrawRow.chosen, SampleDrawRow.upload_id.between(min(chance), max(chance)))
        )
        if upload_id in chance
    }
    if up:
        tx.execute(
            update(ReviewItemRow),
            [{"id": row_id, "inclusion_probability": chance[one]} for one, row_id in up.items()],
        )
    new = [row["upload_id"] for row in rows if row["proposal_draw"] < row["proposal_probability"]]
    new = [upload_id for upload_id in new if upload_id not in up]
    _put_up(tx, new, chance, now)
    return len(new)


def _put_up(tx: Session, upload_ids: Sequence[int], chance: dict[int, float], now: datetime) -> None:
    rows = tx.execute(
        select(UploadRow.id, UploadRow.wiki, UploadRow.log_id, UploadRow.user, SampleDrawRow)
        .join(SampleDrawRow, SampleDrawRow.upload_id == UploadRow.id)
        .where(UploadRow.id.in_(upload_ids))
    ).all()
    for upload_id, wiki, log_id, user, draw in rows:
        draw.chosen = True
        flagged = draw.stratum.startswith(f"{Lane.FLAGGED} ")
        tx.add(
            ReviewItemRow(
                item_id=public_id(wiki, log_id),
                upload_id=upload_id,
                classification_id=draw.classification_id,
                reason=(ReviewReason.FLAGGED if flagged else ReviewReason.AUDIT).value,
                inclusion_probability=chance[upload_id],
                stratum=draw.stratum,
                state=ReviewState.OPEN.value,
                uploader=user,
                created_at=now,
            )
        )
    tx.flush()


__all__ = ["Candidates", "candidates", "drawn", "record"]

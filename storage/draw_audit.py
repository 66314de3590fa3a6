"""What one upload drew, and how far its day's draws had come by then: enough to replay both draws."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from storage.feedback_tables import SampleDrawRow, SamplingPlanRow
from storage.sampling import Lane
from storage.tables import ReviewItemRow, UploadRow


@dataclass(frozen=True, slots=True)
class SecondDraw:
    """A draw by uncertainty.

    Attributes:
        probability: Of the upload in this draw.
        draw: In [0, 1).
        before: Probabilities of the day's uploads that come before it, summed.
    """

    probability: float
    draw: float
    before: float


@dataclass(frozen=True, slots=True)
class DrawRecord:
    """What is stored about an upload's draws.

    Attributes:
        title: Of the upload, as it is now.
        drawn_at: When it was drawn for.
        lane: Whose budget it was drawn from.
        stratum: Name of its stratum.
        probability: Of the first draw.
        draw: In [0, 1).
        before: Probabilities of the lane's uploads of that day that come before it, summed.
        plan_id: The plan's row; None where there was none.
        key_fingerprint: Of the key that the plan was made under.
        second: The second draw; None where there was none.
        chosen: Whether either draw chose it.
        inclusion_probability: That of its review item; None where it has none.
    """

    title: str
    drawn_at: datetime
    lane: Lane
    stratum: str
    probability: float
    draw: float
    before: float
    plan_id: int | None
    key_fingerprint: str | None
    second: SecondDraw | None
    chosen: bool
    inclusion_probability: float | None

    @property
    def day(self) -> datetime:
        """Its midnight, in UTC."""
        return self.drawn_at.replace(hour=0, minute=0, second=0, microsecond=0)


def read(tx: Session, upload_id: int) -> DrawRecord | None:
    """Read what an upload drew.

    Args:
        tx: Any session of the database.
        upload_id: Its row id.

    Returns:
        The record; None where it was never drawn for.
    """
    found = tx.execute(
        select(SampleDrawRow, UploadRow.current_title, ReviewItemRow.inclusion_probability)
        .join(UploadRow, UploadRow.id == SampleDrawRow.upload_id)
        .outerjoin(ReviewItemRow, ReviewItemRow.upload_id == SampleDrawRow.upload_id)
        .where(SampleDrawRow.upload_id == upload_id)
    ).one_or_none()
    if found is None:
        return None
    row, title, chance = found
    plan = None if row.plan_id is None else tx.get(SamplingPlanRow, row.plan_id)
    lane = Lane(row.stratum.split()[0])
    begin = row.drawn_at.replace(hour=0, minute=0, second=0, microsecond=0)
    of_day = (SampleDrawRow.drawn_at >= begin, SampleDrawRow.drawn_at < begin + timedelta(days=1))
    before = tx.scalar(
        select(func.sum(SampleDrawRow.probability)).where(
            *of_day,
            SampleDrawRow.stratum.startswith(f"{lane} "),
            SampleDrawRow.classification_id < row.classification_id,
        )
    )
    second = None
    if row.proposal_draw is not None and row.proposal_probability is not None:
        proposed_before = tx.scalar(
            select(func.sum(SampleDrawRow.proposal_probability)).where(
                *of_day, SampleDrawRow.upload_id < upload_id
            )
        )
        second = SecondDraw(row.proposal_probability, row.proposal_draw, proposed_before or 0.0)
    return DrawRecord(
        title=title,
        drawn_at=row.drawn_at,
        lane=lane,
        stratum=row.stratum,
        probability=row.probability,
        draw=row.draw,
        before=before or 0.0,
        plan_id=row.plan_id,
        key_fingerprint=None if plan is None else plan.key_fingerprint,
        second=second,
        chosen=row.chosen,
        inclusion_probability=chance,
    )


__all__ = ["DrawRecord", "SecondDraw", "read"]

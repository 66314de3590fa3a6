"""Draws and plans as they are kept: every scored upload has a row, chosen or not, for auditors."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from storage.allocation import Evidence
from storage.feedback_tables import SampleDrawRow, SamplingPlanRow
from storage.reviews import verdicts_by_row
from storage.sampling import Drawn, Lane, Ledger, Media, Plan, Stratum, after
from storage.standing import is_nsfw, latest_per_person
from storage.tables import ClassificationRow, ReviewItemRow

FLOW_DAYS = 7
LABEL_DAYS = 60
_AT_ONCE = 5000


@dataclass(frozen=True, slots=True)
class StoredPlan:
    """A plan as it was kept.

    Attributes:
        plan: The plan, with its id.
        effective_at: From when on it is drawn with.
        key_fingerprint: Of the secret that the draws follow from.
    """

    plan: Plan
    effective_at: datetime
    key_fingerprint: str


def record(tx: Session, upload_id: int, drawn: Drawn, plan: Plan, now: datetime) -> None:
    """Keep what an upload drew; call it in the transaction that stores the upload's score.

    Args:
        tx: A session of `Database.transaction()`.
        upload_id: Row id of the upload, which has its classification.
        drawn: What it drew.
        plan: What it was drawn with; stored.
        now: The present.
    """
    newest = select(func.max(ClassificationRow.id)).where(ClassificationRow.upload_id == upload_id)
    tx.add(
        SampleDrawRow(
            upload_id=upload_id,
            classification_id=tx.scalars(newest).one(),
            plan_id=plan.id,
            stratum=drawn.stratum,
            probability=drawn.probability,
            draw=drawn.draw,
            chosen=drawn.chosen,
            drawn_at=now,
        )
    )
    tx.flush()


def ledger(tx: Session, lane: Lane, since: datetime) -> Ledger | None:
    """How far a lane is with its day.

    Args:
        tx: Any session of the database.
        lane: Whose.
        since: When the day began.

    Returns:
        The ledger; None where nothing was drawn in the lane since.
    """
    of_day = (SampleDrawRow.drawn_at >= since, SampleDrawRow.stratum.startswith(f"{lane} "))
    spent = tx.scalar(select(func.sum(SampleDrawRow.probability)).where(*of_day))
    if spent is None:
        return None
    # Draws are made one at a time, so classifications are numbered in their order.
    last = tx.scalars(
        select(SampleDrawRow).where(*of_day).order_by(SampleDrawRow.classification_id.desc()).limit(1)
    ).one()
    return after(Drawn(last.stratum, last.probability, last.draw), spent)


def store_plan(
    tx: Session,
    plan: Plan,
    evidence: Sequence[Evidence],
    *,
    key_fingerprint: str,
    effective_at: datetime,
    now: datetime,
) -> Plan:
    """Keep a plan and what it was made from.

    Args:
        tx: A session of `Database.transaction()`.
        plan: The plan.
        evidence: What it was made from.
        key_fingerprint: Of the secret that the draws follow from.
        effective_at: From when on it is drawn with.
        now: The present.

    Returns:
        The plan with its row id.
    """
    row = SamplingPlanRow(
        made_at=now,
        effective_at=effective_at,
        daily_budget=plan.daily_budget,
        key_fingerprint=key_fingerprint,
        strata=[
            {
                "name": stratum.name,
                "lane": stratum.lane.value,
                "low": stratum.low,
                "high": stratum.high,
                "media": stratum.media.value,
                "probability": probability,
            }
            for stratum, probability in zip(plan.strata, plan.probabilities, strict=True)
        ],
        evidence={
            "budgets": {lane.value: budget for lane, budget in plan.budgets.items()},
            "strata": {
                one.stratum.name: {"per_day": one.per_day, "labels": one.labels, "share": one.share}
                for one in evidence
            },
        },
    )
    tx.add(row)
    tx.flush()
    return replace(plan, id=row.id)


def load_plan(tx: Session, at: datetime) -> StoredPlan | None:
    """The plan that is drawn with at some time.

    Args:
        tx: Any session of the database.
        at: When.

    Returns:
        The latest one that is effective by then; None where there is none.
    """
    row = tx.scalar(
        select(SamplingPlanRow)
        .where(SamplingPlanRow.effective_at <= at)
        .order_by(SamplingPlanRow.effective_at.desc(), SamplingPlanRow.id.desc())
        .limit(1)
    )
    if row is None:
        return None
    strata = tuple(
        Stratum(Lane(one["lane"]), one["low"], one["high"], Media(one["media"])) for one in row.strata
    )
    budgets = {Lane(lane): budget for lane, budget in row.evidence["budgets"].items()}
    plan = Plan(strata, tuple(one["probability"] for one in row.strata), budgets, row.id)
    return StoredPlan(plan, row.effective_at, row.key_fingerprint)


def evidence_before(tx: Session, strata: Sequence[Stratum], day: datetime) -> list[Evidence] | None:
    """What is known about strata when a day begins; nothing of the day itself, whose draws it decides.

    Args:
        tx: A session of `Database.read()` or `transaction()`.
        strata: Which.
        day: Its midnight.

    Returns:
        The evidence in the order of the strata; None where nothing was drawn in the days before.
    """
    flow = select(SampleDrawRow.stratum, func.count(), func.min(SampleDrawRow.drawn_at)).where(
        SampleDrawRow.drawn_at >= day - timedelta(days=FLOW_DAYS), SampleDrawRow.drawn_at < day
    )
    counted = tx.execute(flow.group_by(SampleDrawRow.stratum)).all()
    if not counted:
        return None
    # A bot that began yesterday evening has no week behind it.
    days = max((day - min(first for _name, _count, first in counted)).total_seconds() / 86_400, 1.0)
    per_day = {name: count / days for name, count, _first in counted}
    labels = _labels(tx, day)
    known = []
    for stratum in strata:
        worth, share = _hajek(labels.get(stratum.name, ()))
        known.append(Evidence(stratum, per_day.get(stratum.name, 0.0), worth, share))
    return known


def _labels(tx: Session, day: datetime) -> dict[str, list[tuple[float, bool]]]:
    """Probability and label of what was drawn in the last weeks and is labelled by now, by stratum."""
    rows = tx.execute(
        select(ReviewItemRow.id, SampleDrawRow.stratum, ReviewItemRow.inclusion_probability)
        .join(SampleDrawRow, SampleDrawRow.upload_id == ReviewItemRow.upload_id)
        .where(
            SampleDrawRow.drawn_at >= day - timedelta(days=LABEL_DAYS),
            SampleDrawRow.drawn_at < day,
            SampleDrawRow.chosen.is_(True),
        )
    ).all()
    labels: dict[str, list[tuple[float, bool]]] = {}
    for begin in range(0, len(rows), _AT_ONCE):
        part = rows[begin : begin + _AT_ONCE]
        verdicts = verdicts_by_row(tx, [row_id for row_id, _stratum, _probability in part])
        for row_id, stratum, probability in part:
            votes = latest_per_person(verdict for verdict in verdicts.get(row_id, ()) if verdict.trusted)
            label = is_nsfw([vote.code for vote in votes])
            if label is not None:
                labels.setdefault(stratum, []).append((probability, label))
    return labels


def _hajek(labels: Sequence[tuple[float, bool]]) -> tuple[float, float]:
    """Kish's effective number and the weighted share of explicit ones."""
    if not labels:
        return 0.0, 0.0
    weights = 1.0 / np.array([probability for probability, _label in labels])
    explicit = np.array([label for _probability, label in labels])
    total = float(weights.sum())
    return total**2 / float((weights**2).sum()), float(weights[explicit].sum()) / total

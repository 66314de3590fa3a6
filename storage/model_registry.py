"""Which model is trusted with what: candidate, shadow, active or retired, who said so, and when.

Append only: the latest row of a name says where it stands, the rows before say how it came there. At most one
model is active and at most one is a shadow; who takes a place sends the one before away in the same
transaction, so that there is never a moment with two. The registry may be empty: then the configuration names
the model.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from storage.errors import StoreError
from storage.feedback_tables import ModelStandingRow


class ModelStanding(StrEnum):
    """What a model is trusted with."""

    CANDIDATE = "candidate"
    SHADOW = "shadow"
    ACTIVE = "active"
    RETIRED = "retired"


class IllegalStanding(StoreError):
    """A model cannot come from where it stands to where it is wanted."""


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """Where a model stands, or stood.

    Attributes:
        name: As the catalogue knows it.
        weights_sha256: Of its weights; another file under the same name is another model.
        standing: What it is trusted with.
        since: From when on.
        set_by: Who said so.
        note: Why, in their words.
        thresholds: Calibrated ones by level, over those of its card; empty where none were calibrated.
        evidence: What the decision was made on, as plain values.
        id: Row id; None before it is stored.
    """

    name: str
    weights_sha256: str
    standing: ModelStanding
    since: datetime
    set_by: str
    note: str = ""
    thresholds: Mapping[str, float] = field(default_factory=dict)
    evidence: Mapping[str, Any] = field(default_factory=dict)
    id: int | None = None


_LEGAL: Mapping[ModelStanding | None, frozenset[ModelStanding]] = {
    None: frozenset({ModelStanding.CANDIDATE}),
    ModelStanding.CANDIDATE: frozenset({ModelStanding.SHADOW, ModelStanding.ACTIVE, ModelStanding.RETIRED}),
    ModelStanding.SHADOW: frozenset({ModelStanding.CANDIDATE, ModelStanding.ACTIVE, ModelStanding.RETIRED}),
    ModelStanding.ACTIVE: frozenset({ModelStanding.RETIRED}),
    ModelStanding.RETIRED: frozenset({ModelStanding.CANDIDATE}),
}


def is_legal(before: ModelStanding | None, after: ModelStanding) -> bool:
    """Whether one standing may follow another by decision; going back is `roll_back`'s own way.

    Args:
        before: None where the model is new.
        after: What is wanted.

    Returns:
        Whether it may.
    """
    return after in _LEGAL[before]


def standings(tx: Session) -> list[RegisteredModel]:
    """Where every registered model stands.

    Args:
        tx: Any session of the database.

    Returns:
        One value a name, the latest change first.
    """
    latest = select(func.max(ModelStandingRow.id)).group_by(ModelStandingRow.name)
    rows = tx.scalars(
        select(ModelStandingRow).where(ModelStandingRow.id.in_(latest)).order_by(ModelStandingRow.id.desc())
    )
    return [_value(row) for row in rows]


def find(tx: Session, name: str) -> RegisteredModel | None:
    """Where one model stands; None where it was never registered.

    Args:
        tx: Any session of the database.
        name: As the catalogue knows it.
    """
    row = tx.scalars(
        select(ModelStandingRow)
        .where(ModelStandingRow.name == name)
        .order_by(ModelStandingRow.id.desc())
        .limit(1)
    ).one_or_none()
    return None if row is None else _value(row)


def holder(tx: Session, standing: ModelStanding) -> RegisteredModel | None:
    """The model that is active, or the one that is a shadow; None where there is none.

    Args:
        tx: Any session of the database.
        standing: Active or shadow; of the others there can be several, of which the latest is told.
    """
    return next((model for model in standings(tx) if model.standing is standing), None)


def history(tx: Session, name: str | None = None, limit: int = 1000) -> list[RegisteredModel]:
    """Every change there was, the latest first.

    Args:
        tx: Any session of the database.
        name: Of one model alone; None: of all.
        limit: At most so many.
    """
    wanted = select(ModelStandingRow).order_by(ModelStandingRow.id.desc()).limit(limit)
    if name is not None:
        wanted = wanted.where(ModelStandingRow.name == name)
    return [_value(row) for row in tx.scalars(wanted)]


def change(tx: Session, wanted: RegisteredModel) -> list[RegisteredModel]:
    """Give a model another standing; whoever held the place is retired, or a candidate again.

    Args:
        tx: A session of `Database.transaction()`.
        wanted: The new standing. Thresholds and evidence that it does not name are kept from before, as long
            as the weights are the same.

    Returns:
        What was written: the change itself last.

    Raises:
        IllegalStanding: Where it may not follow on the present one, or the weights are others than those
            that are active or a shadow under this name.
    """
    await_turn(tx)
    before = find(tx, wanted.name)
    _check(before, wanted)
    written = _send_away(tx, wanted)
    return [*written, _append(tx, _kept(before, wanted))]


def await_turn(tx: Session) -> None:
    """Let one decision be made after the other: what is read from here on stands until this transaction ends.

    Args:
        tx: A session of `Database.transaction()`. On SQLite that alone is enough; elsewhere the latest row is
            locked, which every decision waits for.
    """
    tx.scalar(select(ModelStandingRow.id).order_by(ModelStandingRow.id.desc()).limit(1).with_for_update())


def begin_with(tx: Session, wanted: RegisteredModel) -> RegisteredModel:
    """Write down which model was active before there was a registry: the configured one.

    Args:
        tx: A session of `Database.transaction()`.
        wanted: The model, as active.

    Returns:
        What was written, or the active model where there is one already.
    """
    active = holder(tx, ModelStanding.ACTIVE)
    return active or _append(tx, wanted)


def former_active(tx: Session) -> RegisteredModel | None:
    """The model that was active before the present one; what was rolled back itself is passed over.

    Args:
        tx: Any session of the database.

    Returns:
        It, as it was when it was made active; None where there was none.
    """
    stack: list[RegisteredModel] = []
    rows = tx.scalars(
        select(ModelStandingRow)
        .where(ModelStandingRow.standing == ModelStanding.ACTIVE.value)
        .order_by(ModelStandingRow.id)
    )
    for one in map(_value, rows):
        if one.evidence.get("rolled_back"):
            del stack[-2:]
            stack.append(one)
        elif stack and stack[-1].name == one.name and stack[-1].weights_sha256 == one.weights_sha256:
            stack[-1] = one  # only its thresholds changed
        else:
            stack.append(one)
    return stack[-2] if len(stack) > 1 else None


def roll_back(
    tx: Session, *, by: str, now: datetime, note: str = ""
) -> tuple[RegisteredModel, RegisteredModel]:
    """Return to the model that was active before, with the thresholds it had.

    Args:
        tx: A session of `Database.transaction()`.
        by: Who wants it.
        now: The present.
        note: Why.

    Returns:
        The model that is active again, and the one that was retired.

    Raises:
        IllegalStanding: Where no model was active before.
    """
    await_turn(tx)
    former, present = former_active(tx), holder(tx, ModelStanding.ACTIVE)
    if former is None or present is None:
        raise IllegalStanding("no model was active before the present one: there is nothing to go back to")
    (retired,) = _send_away(
        tx, RegisteredModel(former.name, former.weights_sha256, ModelStanding.ACTIVE, now, by, note)
    )
    again = RegisteredModel(
        former.name,
        former.weights_sha256,
        ModelStanding.ACTIVE,
        now,
        by,
        note,
        former.thresholds,
        {"rolled_back": present.name},
    )
    return _append(tx, again), retired


def calibrate(
    tx: Session,
    name: str,
    thresholds: Mapping[str, float],
    evidence: Mapping[str, Any],
    *,
    by: str,
    now: datetime,
) -> RegisteredModel:
    """Give a registered model other thresholds; it stays where it stands.

    Args:
        tx: A session of `Database.transaction()`.
        name: The model.
        thresholds: By level.
        evidence: What they were found on.
        by: Who wants it.
        now: The present.

    Returns:
        What was written.

    Raises:
        IllegalStanding: Where the model is not registered.
    """
    before = find(tx, name)
    if before is None:
        raise IllegalStanding(f"{name} is not registered: models candidate {name}")
    told = {**before.evidence, "calibration": dict(evidence)}
    told.pop("rolled_back", None)  # that was one event, not a property
    return _append(
        tx,
        RegisteredModel(
            name, before.weights_sha256, before.standing, now, by, "calibrated", dict(thresholds), told
        ),
    )


def _check(before: RegisteredModel | None, wanted: RegisteredModel) -> None:
    if before is None:
        stood, same = None, True
    else:
        stood, same = before.standing, before.weights_sha256 == wanted.weights_sha256
    if not same and wanted.standing is not ModelStanding.CANDIDATE:
        raise IllegalStanding(
            f"{wanted.name} has other weights now than when it was registered: models candidate {wanted.name}"
        )
    renewed = not same and stood is ModelStanding.CANDIDATE
    if renewed or is_legal(stood, wanted.standing):
        return
    if stood is wanted.standing:
        raise IllegalStanding(f"{wanted.name} is {stood.value} already")
    came = "not registered" if stood is None else stood.value
    raise IllegalStanding(f"{wanted.name} is {came} and cannot become {wanted.standing.value}")


def _send_away(tx: Session, wanted: RegisteredModel) -> list[RegisteredModel]:
    """Who holds the place that is wanted, leaves it: the active model retires, a shadow waits again."""
    leaves = {ModelStanding.ACTIVE: ModelStanding.RETIRED, ModelStanding.SHADOW: ModelStanding.CANDIDATE}
    if wanted.standing not in leaves:
        return []
    former = holder(tx, wanted.standing)
    if former is None or former.name == wanted.name:
        return []
    gone = RegisteredModel(
        former.name,
        former.weights_sha256,
        leaves[wanted.standing],
        wanted.since,
        wanted.set_by,
        f"{wanted.name} took its place",
        former.thresholds,
        {"replaced_by": wanted.name},
    )
    return [_append(tx, gone)]


def _kept(before: RegisteredModel | None, wanted: RegisteredModel) -> RegisteredModel:
    if before is None or before.weights_sha256 != wanted.weights_sha256:
        return wanted
    evidence = {key: value for key, value in before.evidence.items() if key in ("calibration", "evaluation")}
    return RegisteredModel(
        wanted.name,
        wanted.weights_sha256,
        wanted.standing,
        wanted.since,
        wanted.set_by,
        wanted.note,
        wanted.thresholds or before.thresholds,
        {**evidence, **wanted.evidence},
    )


def _append(tx: Session, model: RegisteredModel) -> RegisteredModel:
    row = ModelStandingRow(
        name=model.name,
        weights_sha256=model.weights_sha256,
        standing=model.standing.value,
        since=model.since,
        set_by=model.set_by,
        note=model.note,
        thresholds=dict(model.thresholds),
        evidence=dict(model.evidence),
    )
    tx.add(row)
    tx.flush()
    return _value(row)


def _value(row: ModelStandingRow) -> RegisteredModel:
    return RegisteredModel(
        row.name,
        row.weights_sha256,
        ModelStanding(row.standing),
        row.since,
        row.set_by,
        row.note,
        row.thresholds,
        row.evidence,
        row.id,
    )


__all__ = [
    "IllegalStanding",
    "ModelStanding",
    "RegisteredModel",
    "await_turn",
    "begin_with",
    "calibrate",
    "change",
    "find",
    "former_active",
    "history",
    "holder",
    "is_legal",
    "roll_back",
    "standings",
]

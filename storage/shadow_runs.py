"""How shadows fare: what the daemon tells of them, for `status` and for whoever judges their scores later."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from storage.feedback_tables import ShadowRunRow

LOADING, SCORING, FAILED, STOPPED = "loading", "scoring", "failed", "stopped"


@dataclass(frozen=True, slots=True)
class ShadowRun:
    """A shadow as the daemon told of it last.

    Attributes:
        name: Of the model.
        weights_sha256: Of its weights.
        state: `loading`, `scoring`, `failed` or `stopped`.
        message: Why it failed.
        counts: Uploads by what became of them, since it became a shadow; see `bot.shadow_lane.Fate`.
        begun_at: When a daemon took it up first.
        updated_at: When this was told.
    """

    name: str
    weights_sha256: str
    state: str
    message: str
    counts: Mapping[str, int]
    begun_at: datetime
    updated_at: datetime


def tell(
    tx: Session,
    name: str,
    weights_sha256: str,
    *,
    state: str,
    now: datetime,
    message: str = "",
    added: Mapping[str, int] | None = None,
) -> None:
    """Keep how a shadow fares.

    Args:
        tx: A session of `Database.transaction()`; the daemon's, of which there is one.
        name: Of the model.
        weights_sha256: Of its weights.
        state: What it does.
        now: The present.
        message: Why it failed.
        added: Uploads by what became of them since this was told last.
    """
    row = tx.get(ShadowRunRow, (name, weights_sha256))
    if row is None:
        row = ShadowRunRow(name=name, weights_sha256=weights_sha256, counts={}, begun_at=now)
        tx.add(row)
    row.state, row.message, row.updated_at = state, message, now
    before = row.counts
    row.counts = {**before, **{fate: before.get(fate, 0) + count for fate, count in (added or {}).items()}}


def find(tx: Session, name: str, weights_sha256: str) -> ShadowRun | None:
    """How one shadow fares; None where no daemon took it up yet.

    Args:
        tx: Any session of the database.
        name: Of the model.
        weights_sha256: Of its weights.
    """
    row = tx.get(ShadowRunRow, (name, weights_sha256))
    if row is None:
        return None
    return ShadowRun(
        row.name, row.weights_sha256, row.state, row.message, row.counts, row.begun_at, row.updated_at
    )


__all__ = ["FAILED", "LOADING", "SCORING", "STOPPED", "ShadowRun", "find", "tell"]

"""One daemon per database: a lease with a heartbeat, taken over at once from a process that is provably dead.

Where the owner ran on another host nothing can be proven, so there its time has to run out.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

import psutil
from sqlalchemy import ColumnElement, CursorResult, delete, select, update
from sqlalchemy.orm import Session

from storage.errors import LeaseHeld
from storage.insertion import insert_new
from storage.tables import LeaseRow
from storage.values import Lease, Owner

__all__ = ["LeaseHeld", "acquire", "current", "process_is_alive", "release", "renew"]

_NAME = "daemon"
# The kernel tells a process's start in ticks since boot, and the boot time moves a little with the clock.
_START_TOLERANCE_S = 5.0


def process_is_alive(owner: Owner) -> bool:
    """Whether a process of this host still runs; a reused process id does not count.

    Args:
        owner: The process, on this host.

    Returns:
        False only where it is certainly gone.
    """
    try:
        process = psutil.Process(owner.pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        started_at_s = process.create_time()
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True
    return abs(started_at_s - owner.started_at.timestamp()) <= _START_TOLERANCE_S


def acquire(
    tx: Session,
    *,
    owner: Owner,
    now: datetime,
    ttl_s: float,
    is_alive: Callable[[Owner], bool] = process_is_alive,
) -> Owner | None:
    """Take the lease.

    Args:
        tx: A session of `Database.transaction()`.
        owner: Who takes it.
        now: The present.
        ttl_s: Seconds without a heartbeat after which others may take it.
        is_alive: Tells whether a process of the owner's own host runs.

    Returns:
        The dead daemon it was taken from, whose claims can be freed; None where the last one released it.

    Raises:
        LeaseHeld: Another daemon lives.
    """
    row = {"name": _NAME, "acquired_at": now, **_values(owner, now, ttl_s)}
    if insert_new(tx, LeaseRow, [row]):
        return None
    held = current(tx)
    if held is None:  # released between the two statements
        return acquire(tx, owner=owner, now=now, ttl_s=ttl_s, is_alive=is_alive)
    provably_dead = held.owner.host == owner.host and not is_alive(held.owner)
    if now < held.expires_at and not provably_dead:
        raise _held(held, now)
    # A heartbeat in between means that it lives after all.
    unchanged = LeaseRow.heartbeat_at == held.heartbeat_at
    if not _change(tx, held.owner.token, {"acquired_at": now, **_values(owner, now, ttl_s)}, unchanged):
        raise _held(current(tx) or held, now)
    return held.owner


def renew(tx: Session, *, owner: Owner, now: datetime, ttl_s: float) -> None:
    """Give a sign of life.

    Args:
        tx: A session of `Database.transaction()`.
        owner: Who holds it.
        now: The present.
        ttl_s: Seconds until the next sign of life is overdue.

    Raises:
        LeaseHeld: Our time ran out and another daemon took over: stop working.
    """
    if _change(tx, owner.token, _values(owner, now, ttl_s)):
        return
    held = current(tx)
    if held is not None:
        raise _held(held, now)
    insert_new(tx, LeaseRow, [{"name": _NAME, "acquired_at": now, **_values(owner, now, ttl_s)}])


def release(tx: Session, *, owner: Owner) -> None:
    """Give the lease back; nothing happens where another daemon has it.

    Args:
        tx: A session of `Database.transaction()`.
        owner: Who held it.
    """
    tx.execute(
        delete(LeaseRow)
        .where(LeaseRow.name == _NAME, LeaseRow.token == owner.token)
        .execution_options(synchronize_session=False)
    )


def current(tx: Session) -> Lease | None:
    """Who holds the lease, whether it has run out or not.

    Args:
        tx: Any session of the database.

    Returns:
        The lease, or None where the last daemon released it.
    """
    row = tx.scalars(
        select(LeaseRow).where(LeaseRow.name == _NAME).execution_options(populate_existing=True)
    ).one_or_none()
    if row is None:
        return None
    owner = Owner(host=row.host, pid=row.pid, started_at=row.started_at, token=row.token)
    return Lease(owner, row.acquired_at, row.heartbeat_at, row.expires_at)


def _values(owner: Owner, now: datetime, ttl_s: float) -> dict[str, object]:
    return {
        "token": owner.token,
        "host": owner.host,
        "pid": owner.pid,
        "started_at": owner.started_at,
        "heartbeat_at": now,
        "expires_at": now + timedelta(seconds=ttl_s),
    }


def _change(tx: Session, token: str, values: dict[str, object], *unless_changed: ColumnElement[bool]) -> bool:
    """Rewrite the lease, but only while it still is the one with this token."""
    result = tx.execute(
        update(LeaseRow)
        .where(LeaseRow.name == _NAME, LeaseRow.token == token, *unless_changed)
        .values(values)
        .execution_options(synchronize_session=False)
    )
    assert isinstance(result, CursorResult)
    return result.rowcount == 1


def _held(lease: Lease, now: datetime) -> LeaseHeld:
    age_s = max(0.0, (now - lease.heartbeat_at).total_seconds())
    return LeaseHeld(lease.owner.host, lease.owner.pid, lease.heartbeat_at, age_s)

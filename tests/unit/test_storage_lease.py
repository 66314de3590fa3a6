import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest

from storage import lease
from storage.engine import Database
from storage.errors import LeaseHeld
from storage.values import Owner
from tests.storage_database import NOW, after, fresh_database

ANN = Owner("host-a", 100, NOW, "token-ann")
BOB = Owner("host-b", 200, NOW, "token-bob")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with fresh_database(tmp_path) as opened:
        yield opened


def acquire(database: Database, owner: Owner, now: datetime = NOW, *, alive: bool = True) -> Owner | None:
    with database.transaction() as tx:
        return lease.acquire(tx, owner=owner, now=now, ttl_s=60, is_alive=lambda _owner: alive)


def test_a_second_daemon_is_refused_and_told_who_works(database: Database) -> None:
    assert acquire(database, ANN) is None
    with pytest.raises(LeaseHeld, match=r"process 100 on host-a, last heartbeat 59 s ago") as caught:
        acquire(database, BOB, after(59))
    assert (caught.value.host, caught.value.pid, caught.value.heartbeat_at) == ("host-a", 100, NOW)


def test_a_released_lease_is_free(database: Database) -> None:
    acquire(database, ANN)
    with database.transaction() as tx:
        lease.release(tx, owner=BOB)
        assert lease.current(tx) is not None
        lease.release(tx, owner=ANN)
        assert lease.current(tx) is None
    assert acquire(database, BOB) is None


def test_a_dead_process_of_the_same_host_is_replaced_at_once(database: Database) -> None:
    acquire(database, ANN)
    successor = replace(ANN, pid=101, token="token-successor")
    with pytest.raises(LeaseHeld):
        acquire(database, successor, alive=True)
    assert acquire(database, successor, alive=False) == ANN


def test_a_daemon_of_another_host_is_replaced_only_after_its_time(database: Database) -> None:
    acquire(database, ANN)
    with pytest.raises(LeaseHeld):
        acquire(database, BOB, after(59), alive=False)
    assert acquire(database, BOB, after(60)) == ANN


def test_heartbeats_keep_the_lease(database: Database) -> None:
    acquire(database, ANN)
    with database.transaction() as tx:
        lease.renew(tx, owner=ANN, now=after(50), ttl_s=60)
    with pytest.raises(LeaseHeld):
        acquire(database, BOB, after(100))
    with database.read() as tx:
        held = lease.current(tx)
    assert held is not None
    assert (held.owner, held.acquired_at, held.heartbeat_at, held.expires_at) == (
        ANN,
        NOW,
        after(50),
        after(110),
    )


def test_whoever_lost_the_lease_is_told_at_the_next_heartbeat(database: Database) -> None:
    acquire(database, ANN)
    acquire(database, BOB, after(60))
    with pytest.raises(LeaseHeld, match="host-b"), database.transaction() as tx:
        lease.renew(tx, owner=ANN, now=after(61), ttl_s=60)
    with database.transaction() as tx:
        lease.release(tx, owner=ANN)
        assert lease.current(tx) is not None


def test_a_late_heartbeat_is_good_while_nobody_took_over(database: Database) -> None:
    acquire(database, ANN)
    with database.transaction() as tx:
        lease.renew(tx, owner=ANN, now=after(600), ttl_s=60)
    with pytest.raises(LeaseHeld):
        acquire(database, BOB, after(610))


def owner_of(process: psutil.Process) -> Owner:
    started = datetime.fromtimestamp(process.create_time(), UTC)
    return Owner(socket.gethostname(), process.pid, started, "token")


def test_a_running_process_is_alive_and_a_reused_process_id_is_not() -> None:
    myself = owner_of(psutil.Process(os.getpid()))
    assert lease.process_is_alive(myself)
    assert not lease.process_is_alive(replace(myself, started_at=myself.started_at - timedelta(hours=1)))


def test_a_killed_process_is_not_alive_even_before_its_parent_took_notice() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    owner = owner_of(psutil.Process(child.pid))
    assert lease.process_is_alive(owner)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not lease.process_is_alive(owner)
    child.communicate()
    assert not lease.process_is_alive(owner)

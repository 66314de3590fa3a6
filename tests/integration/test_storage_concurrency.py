"""Several workers on one database, as threads and as processes, some of them killed."""

import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy import func, select, text

from storage import lease, models, positions, status, uploads
from storage.engine import Database
from storage.errors import LeaseHeld
from storage.model_registry import ModelStanding, RegisteredModel, begin_with, change, history, standings
from storage.tables import ClassificationRow, UploadRow
from storage.values import Owner
from tests.storage_database import (
    NOW,
    SERVER_URL,
    after,
    classification,
    database_url,
    fresh_database,
    model_version,
    upload,
)

ROOT = Path(__file__).resolve().parents[2]
PROLOGUE = """
import sys
from pathlib import Path
from storage import models, positions, uploads
from storage.engine import Database
from tests.storage_database import NOW, after, classification, model_version, upload
database = Database.open(sys.argv[1], Path("."))
worker = sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()
"""
CLAIMING = (
    PROLOGUE
    + """
while True:
    with database.transaction() as tx:
        claimed = uploads.claim(tx, worker=worker, limit=7, now=NOW, ttl_s=3600)
    if not claimed:
        break
    for item in claimed:
        print(item.upload.log_id, flush=True)
"""
)
ADDING = (
    PROLOGUE
    + """
new = 0
for start in range(0, 400, 40):
    with database.transaction() as tx:
        new += uploads.add(tx, [upload(n) for n in range(start, start + 60)], NOW)
print(new, flush=True)
"""
)
# Makes one model after the other the active one.
PROMOTING = (
    PROLOGUE
    + """
from storage import model_registry
from storage.model_registry import ModelStanding, RegisteredModel
for number in range(15):
    name = f"{worker}-{number}"
    for standing in (ModelStanding.CANDIDATE, ModelStanding.ACTIVE):
        with database.transaction() as tx:
            model_registry.change(tx, RegisteredModel(name, "a" * 64, standing, NOW, worker))
print(15, flush=True)
"""
)
# Is killed when the former model is gone and the new one is not there yet, or at the very end of it.
DYING = (
    PROLOGUE
    + """
import os, signal
from storage import model_registry
from storage.model_registry import ModelStanding, RegisteredModel
with database.transaction() as tx:
    model_registry.change(tx, RegisteredModel("second", "b" * 64, ModelStanding.ACTIVE, NOW, worker))
    os.kill(os.getpid(), signal.SIGKILL)
"""
)
# Commits batches of a position with its uploads, and scores, for ever: somebody will kill it.
WORKING = (
    PROLOGUE
    + """
number = int(sys.stdin.readline())
while True:
    with database.transaction() as tx:
        uploads.add(tx, [upload(number * 10 + n) for n in range(10)], NOW)
        positions.save(tx, "recentchange", str(number), after(number), NOW)
    with database.transaction() as tx:
        claimed = uploads.claim(tx, worker=worker, limit=8, now=NOW, ttl_s=3600)
    for item in claimed:
        with database.transaction() as tx:
            model = models.register(tx, model_version(), NOW)
            uploads.score(tx, item, classification(model, 0.1), NOW, review=None)
    print(number, flush=True)
    number += 1
"""
)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with fresh_database(tmp_path) as opened:
        yield opened


def start(script: str, folder: Path, worker: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", script, database_url(folder), worker],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def run_together(script: str, folder: Path, count: int = 2) -> list[list[int]]:
    """Start processes, let them go at the same moment, and collect the numbers they print."""
    processes = [start(script, folder, f"process-{n}") for n in range(count)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    outputs = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * count
    return [[int(line) for line in output.split()] for output in outputs]


def test_two_processes_never_take_the_same_upload(tmp_path: Path, database: Database) -> None:
    with database.transaction() as tx:
        uploads.add(tx, [upload(n) for n in range(500)], NOW)
    taken = run_together(CLAIMING, tmp_path)
    assert Counter(taken[0] + taken[1]) == Counter(range(500))


def test_four_threads_never_take_the_same_upload(database: Database) -> None:
    with database.transaction() as tx:
        uploads.add(tx, [upload(n) for n in range(300)], NOW)
    taken: list[int] = []
    barrier = threading.Barrier(4)

    def work(worker: str) -> None:
        barrier.wait(30)
        while True:
            with database.transaction() as tx:
                claimed = uploads.claim(tx, worker=worker, limit=5, now=NOW, ttl_s=3600)
            if not claimed:
                return
            taken.extend(item.upload.log_id for item in claimed)

    threads = [threading.Thread(target=work, args=(f"thread-{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert Counter(taken) == Counter(range(300))


def test_two_processes_that_add_overlapping_uploads_add_each_once(tmp_path: Path, database: Database) -> None:
    added = run_together(ADDING, tmp_path)
    assert added[0][0] + added[1][0] == 420
    with database.read() as tx:
        assert status.snapshot(tx, NOW).pending == 420


def test_only_one_of_many_daemons_gets_the_lease(database: Database) -> None:
    outcomes: list[str] = []
    barrier = threading.Barrier(4)

    def take(name: str) -> None:
        barrier.wait(30)
        try:
            with database.transaction() as tx:
                owner = Owner(name, 1, NOW, f"token-{name}")
                lease.acquire(tx, owner=owner, now=NOW, ttl_s=60)
            outcomes.append("acquired")
        except LeaseHeld:
            outcomes.append("held")

    threads = [threading.Thread(target=take, args=(f"host-{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(outcomes) == ["acquired", "held", "held", "held"]


def test_a_worker_killed_at_any_moment_leaves_whole_transactions_only(
    tmp_path: Path, database: Database
) -> None:
    with database.transaction() as tx:
        models.register(tx, model_version(), NOW)
    for round_number in range(4):
        first = 0 if round_number == 0 else number_in_position(database) + 1
        process = start(WORKING, tmp_path, f"round-{round_number}")
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.stdin.write(f"\n{first}\n")
        process.stdin.flush()
        for _ in range(3 + round_number):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        process.communicate()
        check_whole(database)
        with database.transaction() as tx:
            uploads.release_of(tx, f"round-{round_number}")
    with database.transaction() as tx:
        model = models.register(tx, model_version(), NOW)
        for item in uploads.claim(tx, worker="last", limit=10_000, now=after(7200), ttl_s=60):
            uploads.score(tx, item, classification(model, 0.1), NOW, review=None)
    with database.read() as tx:
        current = status.snapshot(tx, NOW)
        scores = tx.scalar(select(func.count()).select_from(ClassificationRow))
    total = 10 * (number_in_position(database) + 1)
    assert (current.scored, current.total, scores) == (total, total, total)


def number_in_position(database: Database) -> int:
    with database.read() as tx:
        position = positions.load(tx, "recentchange")
    assert position is not None
    return int(position.event_id)


def check_whole(database: Database) -> None:
    with database.read() as tx:
        if SERVER_URL is None:
            assert tx.scalar(text("PRAGMA integrity_check")) == "ok"
        stored = set(tx.scalars(select(UploadRow.log_id)))
        scored = set(tx.scalars(select(UploadRow.id).where(UploadRow.outcome == "scored")))
        classified = list(tx.scalars(select(ClassificationRow.upload_id)))
    assert stored == set(range(10 * (number_in_position(database) + 1)))
    assert Counter(classified) == Counter(scored)


def test_promotions_at_once_follow_each_other_and_leave_one_active_model(
    database: Database, tmp_path: Path
) -> None:
    with database.transaction() as tx:
        begin_with(tx, RegisteredModel("first", "a" * 64, ModelStanding.ACTIVE, NOW, "Ann"))
    assert run_together(PROMOTING, tmp_path, 3) == [[15]] * 3
    with database.read() as tx:
        changes = list(reversed(history(tx)))
    active = "first"
    for before, change_ in pairwise(changes):
        if change_.standing is ModelStanding.ACTIVE:
            assert (before.name, before.standing) == (active, ModelStanding.RETIRED)
            active = change_.name
    assert sum(one.standing is ModelStanding.ACTIVE for one in changes) == 46


def test_a_promotion_that_is_killed_leaves_the_former_model_active(
    database: Database, tmp_path: Path
) -> None:
    with database.transaction() as tx:
        begin_with(tx, RegisteredModel("first", "a" * 64, ModelStanding.ACTIVE, NOW, "Ann"))
        change(tx, RegisteredModel("second", "b" * 64, ModelStanding.CANDIDATE, NOW, "Ann"))
    process = start(DYING, tmp_path, "Bea")
    process.communicate("\n")
    assert process.returncode == -signal.SIGKILL
    with database.read() as tx:
        standing = {model.name: model.standing for model in standings(tx)}
    assert standing == {"first": ModelStanding.ACTIVE, "second": ModelStanding.CANDIDATE}

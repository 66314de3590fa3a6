"""What the shadow takes, leaves and fails at; nothing of it reaches an upload, whose outcome is recorded."""

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import select

from bot import shadow_lane
from bot.monitoring import Metrics
from bot.shadow_lane import MAX_WAITING, MAX_WAITING_ASKED, ShadowLane
from bot.shadowing import NICENESS, Shadow, in_share
from bot.upload import Downloaded, DownloadedPart
from classifier.errors import DecodeError, ModelError
from classifier.values import Level, MediaPart, MediaScore
from storage import model_registry, models, shadow_runs, uploads
from storage.engine import Database
from storage.feedback_tables import ShadowScoreRow
from storage.model_registry import ModelStanding, RegisteredModel
from storage.shadow_runs import ShadowRun
from storage.values import ClaimedUpload
from tests.fakes import RENDITION, media_score, upload
from tests.storage_database import NOW, fresh_database, model_version

SHA256 = "c" * 64
WAIT_S = 20.0


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shadow_lane, "ROLES_INTERVAL_S", 0.05)
    monkeypatch.setattr(shadow_lane, "TELL_INTERVAL_S", 0.0)
    monkeypatch.setattr(shadow_lane, "_TICK_S", 0.02)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with fresh_database(tmp_path) as opened:
        yield opened


class Models:
    """Opens shadows, whose scores a test decides."""

    def __init__(self, database: Database, score: Callable[[Sequence[MediaPart]], MediaScore]) -> None:
        self.database = database
        self.score = score
        self.opened: list[str] = []
        self.closed = 0
        self.levels: list[Level] = []
        self.failure: Exception | None = None

    def open(self, wanted: RegisteredModel) -> Shadow:
        self.opened.append(wanted.name)
        if self.failure is not None:
            raise self.failure
        with self.database.transaction() as tx:
            version = models.register(tx, model_version(wanted.name), NOW, decides=False)
        return Shadow(self.score, version, self.levels.append, self.close)

    def close(self) -> None:
        self.closed += 1


class Uploads:
    """Scored uploads to offer, and which of their files were discarded."""

    def __init__(self, database: Database, count: int) -> None:
        self.discarded: list[Downloaded] = []
        with database.transaction() as tx:
            uploads.add(tx, [upload(number) for number in range(1, count + 1)], NOW)
            self.claimed = uploads.claim(tx, worker="w", limit=count, now=NOW, ttl_s=60)

    def files(self, size_bytes: int = 10) -> Downloaded:
        return Downloaded(RENDITION, (DownloadedPart(Path("nowhere"), None, size_bytes),), 0.01)


def appoint(
    database: Database, name: str = "watcher", standing: ModelStanding = ModelStanding.SHADOW
) -> None:
    with database.transaction() as tx:
        if model_registry.find(tx, name) is None:
            model_registry.change(tx, RegisteredModel(name, SHA256, ModelStanding.CANDIDATE, NOW, "Ann"))
        model_registry.change(tx, RegisteredModel(name, SHA256, standing, NOW, "Ann"))


def always(score: float) -> Callable[[Sequence[MediaPart]], MediaScore]:
    return lambda _parts: media_score(score)


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def told(database: Database, name: str = "watcher") -> ShadowRun | None:
    with database.read() as tx:
        return shadow_runs.find(tx, name, SHA256)


def counts(database: Database) -> Mapping[str, int]:
    run = told(database)
    return {} if run is None else run.counts


def scores(database: Database) -> dict[int, bool]:
    """Which uploads the shadow scored, and whether they stand for all."""
    with database.read() as tx:
        return {row.upload_id: row.representative for row in tx.scalars(select(ShadowScoreRow))}


@contextmanager
def running(
    database: Database, opens: Models, offered: Uploads, share: float = 1.0
) -> Iterator[tuple[ShadowLane, Metrics]]:
    metrics, stop = Metrics(), threading.Event()
    lane = ShadowLane(database, share, opens.open, offered.discarded.append, metrics, stop, "balanced")
    thread = threading.Thread(target=lane.run)
    thread.start()
    try:
        yield lane, metrics
    finally:
        stop.set()
        thread.join(WAIT_S)
        assert not thread.is_alive()


def in_state(database: Database, state: str) -> Callable[[], bool]:
    def is_so() -> bool:
        run = told(database)
        return run is not None and run.state == state

    return is_so


def test_what_is_taken_is_scored_once_and_its_files_go(database: Database) -> None:
    appoint(database)
    offered = Uploads(database, 3)
    with running(database, Models(database, always(0.9)), offered) as (lane, metrics):
        eventually(in_state(database, "scoring"))
        assert [lane.offer(one, offered.files(), False) for one in offered.claimed] == [True] * 3
        eventually(lambda: counts(database) == {"scored": 3})
        assert metrics.registry.get_sample_value("commonsbot_shadow_scores_total", {"fate": "scored"}) == 3
        role = {"role": "shadow", "model": "watcher"}
        assert metrics.registry.get_sample_value("commonsbot_model_role", role) == 1
    assert scores(database) == {one.id: True for one in offered.claimed}
    assert len(offered.discarded) == 3
    run = told(database)
    assert run is not None
    assert run.state == "stopped"


def test_without_a_shadow_nothing_is_taken_or_counted(database: Database) -> None:
    offered = Uploads(database, 1)
    with running(database, Models(database, always(0.9)), offered) as (lane, metrics):
        assert not lane.offer(offered.claimed[0], offered.files(), True)
        assert metrics.registry.get_sample_value("commonsbot_shadow_scores_total", {"fate": "scored"}) is None
    assert offered.discarded == []


@pytest.mark.parametrize("failure", [ModelError("no room"), MemoryError("unforeseen")])
def test_a_shadow_that_cannot_be_loaded_is_told_and_costs_nobody_anything(
    database: Database, failure: Exception
) -> None:
    appoint(database)
    offered, opens = Uploads(database, 1), Models(database, always(0.9))
    opens.failure = failure
    with running(database, opens, offered) as (lane, metrics):
        eventually(in_state(database, "failed"))
        assert not lane.offer(offered.claimed[0], offered.files(), True)
        eventually(lambda: counts(database) == {"not_ready": 1})
        role = {"role": "shadow", "model": "watcher"}
        assert metrics.registry.get_sample_value("commonsbot_model_role", role) == 0
    run = told(database)
    assert run is not None
    assert opens.opened == ["watcher"]


@pytest.mark.parametrize("error", [DecodeError("undecodable", "broken"), ZeroDivisionError("unforeseen")])
def test_a_score_that_fails_is_counted_and_the_next_upload_is_scored(
    database: Database, error: Exception
) -> None:
    appoint(database)
    offered = Uploads(database, 2)
    failures = [error]

    def score(_parts: Sequence[MediaPart]) -> MediaScore:
        if failures:
            raise failures.pop()
        return media_score(0.2)

    with running(database, Models(database, score), offered) as (lane, _):
        eventually(in_state(database, "scoring"))
        assert all(lane.offer(one, offered.files(), False) for one in offered.claimed)
        eventually(lambda: counts(database) == {"failed": 1, "scored": 1})
    assert scores(database) == {offered.claimed[1].id: True}
    assert len(offered.discarded) == 2


class Gate:
    """A score that is not made before a test says so."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.begun = threading.Event()

    def __call__(self, _parts: Sequence[MediaPart]) -> MediaScore:
        self.begun.set()
        assert self.open.wait(WAIT_S)
        return media_score(0.1)


def test_behind_it_leaves_uploads_but_never_those_that_people_are_asked_about(database: Database) -> None:
    appoint(database)
    offered, gate = Uploads(database, MAX_WAITING_ASKED + 2), Gate()
    plain, rest = offered.claimed[:MAX_WAITING], offered.claimed[MAX_WAITING:]
    with running(database, Models(database, gate), offered) as (lane, _):
        eventually(in_state(database, "scoring"))
        assert all(lane.offer(one, offered.files(), False) for one in plain)
        assert not lane.offer(rest[0], offered.files(), False)
        room = MAX_WAITING_ASKED - MAX_WAITING
        assert all(lane.offer(one, offered.files(), True) for one in rest[1 : room + 1])
        assert not lane.offer(rest[room + 1], offered.files(), True)
        gate.open.set()
        eventually(lambda: counts(database) == {"scored": MAX_WAITING_ASKED, "behind": 2})
    found = scores(database)
    assert {found[one.id] for one in plain} == {True}
    assert {found[one.id] for one in rest[1 : room + 1]} == {False}


def test_files_that_wait_take_no_more_of_the_disk_than_agreed(database: Database) -> None:
    appoint(database)
    offered, gate = Uploads(database, 3), Gate()
    with running(database, Models(database, gate), offered) as (lane, _):
        eventually(in_state(database, "scoring"))
        large = offered.files(shadow_lane.MAX_WAITING_BYTES)
        taken = [lane.offer(one, large, False) for one in offered.claimed]
        gate.open.set()
        assert taken == [True, False, False]


def test_only_a_share_is_taken_and_what_people_are_asked_about(database: Database) -> None:
    appoint(database)
    offered = Uploads(database, 40)
    drawn = [one for one in offered.claimed if in_share(one.upload, 0.2)]
    assert 0 < len(drawn) < 20
    left = next(one for one in offered.claimed if one not in drawn)
    with running(database, Models(database, always(0.1)), offered, share=0.2) as (lane, _):
        eventually(in_state(database, "scoring"))

        taken: list[ClaimedUpload] = []
        for one in offered.claimed:
            if one is not left and lane.offer(one, offered.files(), False):
                taken.append(one)
                eventually(lambda: len(scores(database)) == len(taken))
        assert lane.offer(left, offered.files(), True)
        eventually(lambda: len(scores(database)) == len(drawn) + 1)
    assert taken == drawn
    assert scores(database) == {one.id: True for one in drawn} | {left.id: False}


def test_a_share_is_chance_and_the_same_for_every_daemon() -> None:
    several = [upload(number) for number in range(4000)]
    chosen = {one.log_id for one in several if in_share(one, 0.25)}
    assert len(chosen) == pytest.approx(1000, abs=120)
    assert chosen < {one.log_id for one in several if in_share(one, 0.5)}
    assert all(in_share(one, 1.0) for one in several)
    assert not any(in_share(one, 0.0) for one in several)


def test_a_change_of_roles_is_followed_without_a_restart(database: Database) -> None:
    appoint(database)
    opens, offered = Models(database, always(0.1)), Uploads(database, 1)
    with running(database, opens, offered) as (lane, metrics):
        eventually(in_state(database, "scoring"))
        appoint(database, "another")
        eventually(lambda: opens.opened == ["watcher", "another"])
        eventually(lambda: (run := told(database, "another")) is not None and run.state == "scoring")
        assert opens.closed == 1
        lane.set_level("sensitive")
        appoint(database, "another", ModelStanding.ACTIVE)
        eventually(lambda: opens.closed == 2)
        assert not lane.offer(offered.claimed[0], offered.files(), True)
        role = {"role": "shadow", "model": "another"}
        eventually(lambda: metrics.registry.get_sample_value("commonsbot_model_role", role) is None)
    assert opens.levels == ["balanced", "balanced", "sensitive"]


def test_at_the_end_nothing_waits_for_the_shadow_and_no_file_is_left(database: Database) -> None:
    appoint(database)
    offered, gate = Uploads(database, 3), Gate()
    opens = Models(database, gate)
    with running(database, opens, offered) as (lane, _):
        eventually(in_state(database, "scoring"))
        assert all(lane.offer(one, offered.files(), False) for one in offered.claimed)
        assert gate.begun.wait(WAIT_S)
        threading.Timer(0.2, gate.open.set).start()  # as a closed pool ends what it decodes
    assert len(offered.discarded) == 3
    assert counts(database).get("ended", 0) >= 2
    assert opens.closed >= 1


@pytest.mark.skipif(not hasattr(os, "setpriority"), reason="needs thread priorities")
def test_scoring_gives_way_and_the_rest_of_the_daemon_does_not(database: Database) -> None:
    appoint(database)
    offered = Uploads(database, 1)
    found: list[int] = []

    def score(_parts: Sequence[MediaPart]) -> MediaScore:
        found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        return media_score(0.1)

    with running(database, Models(database, score), offered) as (lane, _):
        eventually(in_state(database, "scoring"))
        assert lane.offer(offered.claimed[0], offered.files(), False)
        eventually(lambda: bool(found))
        before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    assert found == [max(NICENESS, before)]
    assert before < NICENESS

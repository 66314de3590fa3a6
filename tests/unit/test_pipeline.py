"""Every claimed upload ends in an outcome, a planned retry, or its claim given back; nothing in between."""

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot import pipeline as pipeline_module
from bot.errors import BotError, RetryLater, ServiceDown, SkipUpload
from bot.monitoring import Metrics
from bot.pipeline import Collaborators, Pipeline
from bot.settings import PipelineSettings, load_settings
from bot.upload import Downloaded
from classifier.errors import DecodeError
from classifier.values import MediaPart, MediaScore
from storage import models, reviews, status, uploads
from storage.engine import Database
from storage.errors import StoreUnavailable
from storage.outcomes import RecordedOutcome, recorded
from storage.values import ClaimedUpload, ModelVersion, StoreStatus
from tests.fakes import FakeDownloader, FakeLocator, media_score, scores, upload

SCHEDULE = (60.0, 300.0)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database.open("sqlite:///bot.sqlite3", tmp_path)
    opened.migrate()
    yield opened
    opened.close()


@pytest.fixture
def settings() -> PipelineSettings:
    return load_settings().pipeline.model_copy(update={"poll_interval_s": 0.02})


def add(database: Database, *log_ids: int) -> None:
    with database.transaction() as tx:
        uploads.add(tx, [upload(log_id) for log_id in log_ids], datetime.now(UTC))


def collaborators(
    database: Database,
    *,
    locator: FakeLocator | None = None,
    downloader: FakeDownloader | None = None,
    score: Callable[[Sequence[MediaPart]], MediaScore] | None = None,
) -> Collaborators:
    version = ModelVersion("fake", "none", "0" * 64, "none", "none", {}, {})
    with database.transaction() as tx:
        version_id = models.register(tx, version, datetime.now(UTC))
    return Collaborators(
        database,
        locator or FakeLocator(),
        downloader or FakeDownloader(),
        score or scores(0.1),
        version_id,
        SCHEDULE,
        Metrics(),
    )


def read_status(database: Database) -> StoreStatus:
    with database.read() as tx:
        return status.snapshot(tx, datetime.now(UTC))


def outcomes(database: Database) -> list[RecordedOutcome]:
    with database.read() as tx:
        return list(recorded(tx))


def run_until(
    work: Collaborators, settings: PipelineSettings, database: Database, done: Callable[[StoreStatus], bool]
) -> None:
    pipeline = Pipeline(work, settings, worker="test", threads=4)
    thread = threading.Thread(target=pipeline.run)
    thread.start()
    waited = threading.Event()
    try:
        for _ in range(500):
            if done(read_status(database)):
                return
            waited.wait(0.02)
        pytest.fail(f"never done: {read_status(database)}")
    finally:
        pipeline.stop()
        thread.join(timeout=30)
        assert not thread.is_alive()


def settled(current: StoreStatus) -> bool:
    return current.pending + current.claimed == 0


def waiting(current: StoreStatus) -> bool:
    return current.claimed == 0 and current.next_due_at is not None


def test_a_low_score_is_recorded_and_not_listed_for_review(
    database: Database, settings: PipelineSettings
) -> None:
    add(database, 1, 2, 3)
    run_until(collaborators(database), settings, database, settled)
    assert [(one.log_id, one.label, one.score) for one in outcomes(database)] == [
        (1, "sfw", 0.1),
        (2, "sfw", 0.1),
        (3, "sfw", 0.1),
    ]
    assert read_status(database).flagged == 0


def test_a_high_score_is_recorded_and_listed_for_review(
    database: Database, settings: PipelineSettings
) -> None:
    add(database, 1)
    run_until(collaborators(database, score=scores(0.93)), settings, database, settled)
    with database.read() as tx:
        assert [(item.title, item.score) for item in reviews.flagged(tx, 10)] == [("File:Number 1.jpg", 0.93)]


@pytest.mark.parametrize(
    ("locator", "downloader", "score", "code"),
    [
        (FakeLocator({"File:Number 1.jpg": SkipUpload("audio", "no picture")}), None, None, "audio"),
        (None, FakeDownloader(SkipUpload("too_large", "5 GiB")), None, "too_large"),
        (None, None, scores(DecodeError("undecodable", "noise")), "undecodable"),
        (None, None, scores(DecodeError("timeout", "slow")), "timeout"),
    ],
)
def test_a_permanent_error_ends_in_its_code_and_never_in_a_label(
    database: Database,
    settings: PipelineSettings,
    locator: FakeLocator | None,
    downloader: FakeDownloader | None,
    score: Callable[[Sequence[MediaPart]], MediaScore] | None,
    code: str,
) -> None:
    add(database, 1)
    work = collaborators(database, locator=locator, downloader=downloader, score=score)
    run_until(work, settings, database, settled)
    (outcome,) = outcomes(database)
    assert (outcome.code, outcome.label, outcome.score) == (code, None, None)


@pytest.mark.parametrize(
    ("error", "delay_s"),
    [
        (RetryLater("rendition_unavailable", "not there yet"), 60),
        (RetryLater("rendition_unavailable", "asked to wait", after_s=200), 200),
        (RetryLater("rendition_unavailable", "asked for less", after_s=1), 60),
    ],
)
def test_a_transient_error_is_planned_again_no_earlier_than_asked(
    database: Database, settings: PipelineSettings, error: BotError, delay_s: float
) -> None:
    add(database, 1)
    before = datetime.now(UTC)
    work = collaborators(database, downloader=FakeDownloader(error))
    run_until(work, settings, database, lambda now: waiting(now) and far(now, before))
    due = read_status(database).next_due_at
    assert due is not None
    assert timedelta(seconds=delay_s) <= due - before <= timedelta(seconds=delay_s + 30)


def far(current: StoreStatus, before: datetime) -> bool:
    return current.next_due_at is not None and current.next_due_at > before + timedelta(seconds=30)


def test_an_upload_whose_last_try_fails_ends_in_the_code_of_that_failure(
    database: Database, settings: PipelineSettings
) -> None:
    add(database, 1)
    error = RetryLater("rendition_unavailable", "never there")
    work = collaborators(database, downloader=FakeDownloader(error))
    for attempts in range(len(SCHEDULE) + 1):
        with database.transaction() as tx:
            (claimed,) = uploads.claim(tx, worker="w", limit=1, now=datetime.now(UTC), ttl_s=60)
            assert claimed.attempts == attempts
            uploads.retry(tx, claimed, code="x", message="x", next_attempt_at=datetime.now(UTC))
    run_until(work, settings, database, settled)
    (outcome,) = outcomes(database)
    # One try at once, one after each wait, and one with the fallback.
    assert (outcome.code, outcome.attempts) == ("rendition_unavailable", len(SCHEDULE) + 2)


def test_an_unforeseen_error_costs_that_upload_a_retry_and_the_others_nothing(
    database: Database, settings: PipelineSettings
) -> None:
    locator = FakeLocator()
    calls = []

    def score(parts: Sequence[MediaPart]) -> MediaScore:
        calls.append(parts)
        if len(calls) == 1:
            raise ZeroDivisionError("a bug")
        return media_score(0.1)

    add(database, 1, 2, 3)
    downloader = FakeDownloader()
    work = collaborators(database, locator=locator, downloader=downloader, score=score)
    run_until(work, settings, database, lambda now: now.scored == 2 and now.claimed == 0)
    assert read_status(database).pending == 1
    assert downloader.open == 0


def test_while_a_service_is_away_claims_are_given_back_without_counting_an_attempt(
    database: Database, settings: PipelineSettings
) -> None:
    add(database, 1, 2)
    locator = FakeLocator()
    locator.error = ServiceDown("api", "no answer", after_s=0.05)
    work = collaborators(database, locator=locator)

    def tried_twice(current: StoreStatus) -> bool:
        if len(locator.batches) >= 2:
            locator.error = None
        return settled(current)

    run_until(work, settings, database, tried_twice)
    assert [one.attempts for one in outcomes(database)] == [1, 1]


def test_stopping_gives_back_what_is_claimed_but_not_begun(
    database: Database, settings: PipelineSettings
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def score(parts: Sequence[MediaPart]) -> MediaScore:
        begun.set()
        go_on.wait(30)
        return media_score(0.1)

    add(database, *range(1, 21))
    pipeline = Pipeline(collaborators(database, score=score), settings, worker="test", threads=1)
    thread = threading.Thread(target=pipeline.run)
    thread.start()
    assert begun.wait(30)
    pipeline.stop()
    go_on.set()
    thread.join(timeout=30)
    current = read_status(database)
    assert (current.scored, current.claimed, current.pending) == (1, 0, 19)


def test_after_an_abort_a_failing_decoder_is_no_upload_s_fault(
    database: Database, settings: PipelineSettings
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def score(parts: Sequence[MediaPart]) -> MediaScore:
        begun.set()
        go_on.wait(30)
        raise DecodeError("undecodable", "the pool was closed")

    add(database, 1)
    pipeline = Pipeline(collaborators(database, score=score), settings, worker="test", threads=1)
    thread = threading.Thread(target=pipeline.run)
    thread.start()
    assert begun.wait(30)
    pipeline.abort()
    go_on.set()
    thread.join(timeout=30)
    assert outcomes(database) == []
    assert read_status(database).pending == 1


def test_no_more_than_the_limit_is_claimed_at_once(database: Database, settings: PipelineSettings) -> None:
    add(database, *range(1, 101))
    locator = FakeLocator()
    small = settings.model_copy(update={"max_in_flight": 7})
    run_until(collaborators(database, locator=locator), small, database, settled)
    assert max(locator.batches) <= 7
    assert sum(locator.batches) == 100


def test_what_waits_long_for_its_turn_keeps_its_claim(
    database: Database, settings: PipelineSettings, tmp_path: Path
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def score(parts: Sequence[MediaPart]) -> MediaScore:
        begun.set()
        go_on.wait(30)
        return media_score(0.1)

    add(database, *range(1, 11))
    short = settings.model_copy(update={"claim_ttl_s": 0.4})
    pipeline = Pipeline(collaborators(database, score=score), short, worker="test", threads=1)
    thread = threading.Thread(target=pipeline.run)
    thread.start()
    assert begun.wait(30)
    first_expiry = read_status(database).next_due_at
    assert first_expiry is not None
    waited = threading.Event()
    while datetime.now(UTC) < first_expiry + timedelta(seconds=1):
        waited.wait(0.05)
    go_on.set()
    while not settled(read_status(database)):
        waited.wait(0.02)
    pipeline.stop()
    thread.join(timeout=30)
    assert [one.attempts for one in outcomes(database)] == [1] * 10
    with sqlite3.connect(tmp_path / "bot.sqlite3") as connection:
        assert connection.execute("select sum(crashes) from upload").fetchone() == (0,)


class DatabaseThatGoesAway:
    """The real one, but writing fails a few times once told so."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.failures_to_come = 0

    def transaction(self) -> AbstractContextManager[uploads.Transaction]:
        if self.failures_to_come:
            self.failures_to_come -= 1
            raise StoreUnavailable("locked")
        return self._database.transaction()


def test_a_score_outlasts_a_store_that_is_away_for_a_while(
    database: Database, settings: PipelineSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline_module, "STORE_RETRY_S", 0.01)
    away = DatabaseThatGoesAway(database)
    scored = []

    def score(parts: Sequence[MediaPart]) -> MediaScore:
        scored.append(parts)
        away.failures_to_come = 3
        return media_score(0.1)

    add(database, 1)
    work = replace(collaborators(database, score=score), database=away)  # type: ignore[arg-type]
    run_until(work, settings, database, settled)
    assert len(scored) == 1
    assert [one.label for one in outcomes(database)] == ["sfw"]


def test_while_the_disk_is_full_nothing_is_asked_again_and_again(
    database: Database, settings: PipelineSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline_module, "SERVICE_PAUSE_S", 3600.0)
    locator = FakeLocator()
    full = FakeDownloader(ServiceDown("media.directory", "no space left on device"))
    add(database, 1, 2)
    rounds = []

    def given_back_for_some_polls(current: StoreStatus) -> bool:
        if locator.batches and current.pending == 2:
            rounds.append(current)
        return len(rounds) == 10

    work = collaborators(database, locator=locator, downloader=full)
    run_until(work, settings, database, given_back_for_some_polls)
    assert locator.batches == [2]
    assert outcomes(database) == []


@pytest.mark.parametrize("takes", [True, False])
def test_a_recorded_upload_is_offered_to_the_shadow_which_discards_what_it_takes(
    database: Database, settings: PipelineSettings, takes: bool
) -> None:
    downloader, offered = FakeDownloader(), []

    def watch(claimed: ClaimedUpload, _files: Downloaded, asked: bool) -> bool:
        offered.append((claimed.upload.log_id, asked, len(outcomes(database))))
        return takes

    add(database, 1)
    work = replace(collaborators(database, downloader=downloader, score=scores(0.93)), watch=watch)
    run_until(work, settings, database, settled)
    assert offered == [(1, True, 1)]  # its outcome was there before
    assert downloader.open == (1 if takes else 0)


def test_what_is_not_scored_is_not_offered(database: Database, settings: PipelineSettings) -> None:
    offered: list[int] = []

    def watch(claimed: ClaimedUpload, _files: Downloaded, _asked: bool) -> bool:
        offered.append(claimed.id)
        return True

    add(database, 1)
    broken = collaborators(database, score=scores(DecodeError("undecodable", "noise")))
    run_until(replace(broken, watch=watch), settings, database, settled)
    assert offered == []

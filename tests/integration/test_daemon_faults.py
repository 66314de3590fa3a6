"""The daemon against a stream and a wiki that misbehave: nothing lost, nothing twice.

The daemon runs in this process, with the real model, decoders and database, against a miniature Commons.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from bot.daemon import Daemon
from bot.demo import CORPUS, compare
from bot.minicommons.controls import Controls
from bot.minicommons.corpus import prepare_corpus
from bot.minicommons.process import MiniCommonsProcess
from bot.minicommons.recipes import SMALL
from bot.minicommons.server import MiniCommons
from bot.settings import Settings
from storage.errors import LeaseHeld
from storage.outcomes import RecordedOutcome
from storage.values import StoreStatus
from tests.daemon_process import read_store, settings_for

pytestmark = pytest.mark.slow
UPLOADS = 24


@pytest.fixture
def commons() -> Iterator[MiniCommons]:
    with MiniCommons(prepare_corpus(CORPUS, SMALL)) as server:
        server.publish_noise(-1, rate_per_s=50)
        yield server


@contextmanager
def running(settings: Settings) -> Iterator[Daemon]:
    daemon = Daemon(settings)
    with ThreadPoolExecutor(1) as executor:
        ended = executor.submit(daemon.run)
        try:
            wait_for(settings, lambda status, _: status.position is not None)
            yield daemon
        finally:
            daemon.stop()
        ended.result(timeout=60)


def wait_for(
    settings: Settings, done: Callable[[StoreStatus, list[RecordedOutcome]], bool], seconds: float = 120
) -> list[RecordedOutcome]:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if (settings.report.directory.parent / "bot.sqlite3").exists():
            try:
                status, outcomes = read_store(settings.store.url)
            except Exception as error:  # the tables may not be there yet
                if "no such table" not in str(error):
                    raise
            else:
                if done(status, outcomes):
                    return outcomes
        time.sleep(0.1)
    pytest.fail(f"never done: {read_store(settings.store.url)}")


def wait_for_count(settings: Settings, commons: Controls, count: int) -> None:
    outcomes = wait_for(settings, lambda _, found: len(found) >= count and not commons.publishing())
    counted = Counter(outcome.log_id for outcome in outcomes)
    assert counted.keys() == {outcome.log_id for outcome in commons.plan().outcomes}
    assert set(counted.values()) == {1}
    assert compare(commons.plan(), outcomes) == []


def closes(commons: MiniCommons) -> None:
    commons.close_streams()


def cuts(commons: MiniCommons) -> None:
    commons.close_streams(abrupt=True)


def goes_silent(commons: MiniCommons) -> None:
    commons.mute_streams()


def forgets(commons: MiniCommons) -> None:
    commons.forget_events()
    commons.close_streams()


@pytest.mark.parametrize("misbehave", [closes, cuts, goes_silent, forgets])
def test_a_connection_that_ends_badly_loses_and_repeats_nothing(
    tmp_path: Path, commons: MiniCommons, misbehave: Callable[[MiniCommons], None]
) -> None:
    settings = settings_for(commons, tmp_path)
    with running(settings):
        commons.publish_many(UPLOADS, rate_per_s=12)
        for _ in range(3):
            time.sleep(0.5)
            misbehave(commons)
        wait_for_count(settings, commons, UPLOADS)


@pytest.mark.parametrize(
    "faults",
    [
        {"refuse_status": 503, "refuse_times": 2},
        {"refuse_status": 429, "refuse_times": 2},
        {"cut_times": 3},
        {"repeat": True},
        {"reorder": 8},
        {"gzip": True},
        {"chunks": "anywhere"},
        {"chunks": "none"},
        {"max_events": 10},
    ],
    ids=lambda faults: "-".join(f"{key}={value}" for key, value in faults.items()),
)
def test_a_stream_that_misbehaves_loses_and_repeats_nothing(
    tmp_path: Path, commons: MiniCommons, faults: dict[str, Any]
) -> None:
    settings = settings_for(commons, tmp_path)
    with running(settings):
        commons.set_stream(**faults)
        commons.close_streams()
        commons.publish_many(UPLOADS, rate_per_s=12)
        wait_for_count(settings, commons, UPLOADS)


def test_uploads_that_never_came_in_the_stream_are_found_in_the_log_and_counted(
    tmp_path: Path, commons: MiniCommons
) -> None:
    settings = settings_for(commons, tmp_path)
    with running(settings) as daemon:
        commons.publish_many(UPLOADS, withhold_every=4)
        wait_for_count(settings, commons, UPLOADS)
        missed = daemon.metrics.registry.get_sample_value("commonsbot_missed_uploads_total")
    assert missed == UPLOADS // 4


def test_what_happened_while_the_daemon_was_away_is_caught_up(tmp_path: Path, commons: MiniCommons) -> None:
    settings = settings_for(commons, tmp_path, backfill={"reconcile_every_s": 3600})
    with running(settings):
        commons.publish_many(4)
        wait_for_count(settings, commons, 4)
    commons.publish_many(UPLOADS)
    commons.forget_events()
    with running(settings):
        wait_for_count(settings, commons, UPLOADS + 4)


def test_what_the_stream_skipped_over_is_filled_from_the_log(tmp_path: Path, commons: MiniCommons) -> None:
    settings = settings_for(
        commons,
        tmp_path,
        backfill={"reconcile_every_s": 3600},
        stream={"resume_overlap_s": 0.5, "jump_s": 1.5},
    )
    with running(settings) as daemon:
        commons.set_stream(refuse_times=-1, refuse_retry_after_s=None)
        commons.close_streams()
        commons.publish_many(UPLOADS)
        time.sleep(2)
        commons.forget_events()
        commons.set_stream(refuse_times=0)
        wait_for_count(settings, commons, UPLOADS)
        backfilled = daemon.metrics.registry.get_sample_value(
            "commonsbot_uploads_added_total", {"source": "backfill"}
        )
    assert backfilled == UPLOADS


@pytest.mark.parametrize("kind", ["503", "maxlag", "429", "html"])
def test_an_api_that_is_away_for_a_while_only_delays(tmp_path: Path, commons: MiniCommons, kind: Any) -> None:
    settings = settings_for(commons, tmp_path)
    with running(settings):
        commons.fail_api(kind, times=3, retry_after_s=1)
        commons.publish_many(UPLOADS)
        wait_for_count(settings, commons, UPLOADS)


def test_metrics_and_health_are_served(tmp_path: Path, commons: MiniCommons) -> None:
    port = free_port()
    settings = settings_for(commons, tmp_path, monitoring={"port": port})
    with running(settings):
        commons.publish_many(3)
        wait_for_count(settings, commons, 3)
        metrics = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text
        health = requests.get(f"http://127.0.0.1:{port}/healthz", timeout=10)
    assert 'commonsbot_outcomes_total{outcome="sfw"} 3.0' in metrics
    assert "commonsbot_stream_lag_seconds" in metrics
    assert health.status_code == 200
    assert health.json()["ok"] is True


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_second_daemon_on_the_same_database_refuses_to_start(tmp_path: Path, commons: MiniCommons) -> None:
    settings = settings_for(commons, tmp_path)
    with running(settings), pytest.raises(LeaseHeld, match="another daemon"):
        Daemon(settings).run()


def test_the_end_leaves_no_process_thread_or_file_behind(tmp_path: Path, commons: MiniCommons) -> None:
    settings = settings_for(commons, tmp_path)
    threads_before = {thread.name for thread in threading.enumerate()}
    with running(settings):
        commons.publish_many(UPLOADS)
        wait_for_count(settings, commons, UPLOADS)
    left = {thread.name for thread in threading.enumerate()} - threads_before
    assert not {name for name in left if name.startswith(("upload", "daemon", "batcher", "classify"))}
    assert decode_workers() == []
    assert list(settings.media.directory.iterdir()) == []


def test_every_bad_file_ends_in_its_code_and_the_daemon_is_as_before(tmp_path: Path) -> None:
    corpus = prepare_corpus(CORPUS)
    bad = [one.name for one in corpus.specimens if one.expected.startswith("skip:")]
    assert len(bad) >= 8
    # In a process of its own, so that what the server keeps is not taken for the daemon's.
    with MiniCommonsProcess(CORPUS) as commons:
        settings = settings_for(commons, tmp_path)
        commons.publish_noise(-1, rate_per_s=50)
        with running(settings):
            # The model's library keeps buffers for every batch size it has met; let it meet them.
            for done in (60, 120, 180, 240):
                commons.publish_many(60)
                wait_for_count(settings, commons, done)
            commons.publish_corpus(names=["vp9", "av1", "theora"])
            wait_for_count(settings, commons, 243)
            workers, resident = decode_workers(), psutil.Process().memory_info().rss
            commons.publish_corpus(names=bad)
            wait_for_count(settings, commons, 243 + len(bad))
            commons.publish_many(20)
            wait_for_count(settings, commons, 263 + len(bad))
            grown = psutil.Process().memory_info().rss - resident
            assert len(decode_workers()) == len(workers) == settings.decode.workers
    # The model's library may meet one more batch size. A decoded 12-megapixel picture kept for each bad file
    # would be several times as much.
    assert grown < 64e6


def decode_workers() -> list[int]:
    children = psutil.Process().children(recursive=True)
    return [child.pid for child in children if "classifier.decode.worker" in child.cmdline()]


def test_flagged_uploads_are_listed_in_the_local_report_and_never_embedded(tmp_path: Path) -> None:
    with MiniCommons(prepare_corpus(CORPUS, ["positive", "jpeg-baseline"])) as commons:
        commons.publish_noise(-1, rate_per_s=50)
        settings = settings_for(commons, tmp_path)
        with running(settings):
            commons.publish_corpus()
            wait_for_count(settings, commons, 2)
        titles = {outcome.expected: outcome.title for outcome in commons.plan().outcomes}
    html = (settings.report.directory / "index.html").read_text()
    wikitext = (settings.report.directory / "index.wiki").read_text()
    for text in (html, wikitext):
        assert titles["scored-nsfw"] in text
        assert titles["scored-sfw"] not in text
    assert "<img" not in html
    assert (settings.report.directory / "index.html").stat().st_mode & 0o077 == 0

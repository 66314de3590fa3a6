"""A large video through the pipeline: fetched in ranges while it is decoded, recorded with byte counts."""

import json
import re
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from bot.media.download import Downloader
from bot.monitoring import Metrics
from bot.pipeline import Collaborators, Pipeline
from bot.settings import load_settings
from classifier.decode.limits import DecodeLimits
from classifier.decode.sandbox import DecodePool
from classifier.values import FrameResult, MediaPart, MediaScore
from storage import models, uploads
from storage.engine import Database
from storage.outcomes import recorded
from storage.values import ModelVersion
from tests import media
from tests.fakes import FakeLocator, upload
from tests.http_server import Answer, ScriptedServer, scripted_server
from tests.range_host import PATH, RangeHost, film_at

AGENT = "TestBot/1.0 (test@example.org)"


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("film") / "x.mp4"
    options = {"g": "25", "qp": "18", "preset": "ultrafast"}
    frames = media.grey_frames(40, 320, 240, noise=True) * 10
    return media.save_video(path, frames, "libx264", rate=10, options=options).read_bytes()


@pytest.fixture(scope="module")
def pool() -> Iterator[DecodePool]:
    limits = DecodeLimits(sampling_mode="economical", sampling_interval_s=10.0)
    with DecodePool(limits, workers=1) as pool:
        yield pool


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted_server() as running:
        yield running


def run(
    server: ScriptedServer, pool: DecodePool, folder: Path, host: RangeHost
) -> tuple[Any, dict[str, Any] | None]:
    """The outcome of one upload, and what was recorded about its rendition."""
    server.answers[PATH] = host
    database = Database.open("sqlite:///bot.sqlite3", folder)
    database.migrate()
    now = datetime.now(UTC)
    with database.transaction() as tx:
        uploads.add(tx, [upload(1, "File:Film.mp4")], now)
        version_id = models.register(tx, ModelVersion("fake", "none", "0" * 64, "none", "none", {}, {}), now)
    values = {"allowed_hosts": (server.netloc,), "directory": folder / "media", "max_bits_per_s": 1e9}
    settings = load_settings()
    downloader = Downloader(settings.media.model_copy(update=values), AGENT)

    def score(parts: Sequence[MediaPart]) -> MediaScore:
        with pool.open(parts, "open_nsfw-v1") as stream:
            frames = tuple(FrameResult(0.1, one.at_s) for some in stream for one in some)
        return MediaScore(0.1, "sfw", 0.8, frames, frames[0], stream.summary)

    locator = FakeLocator({"File:Film.mp4": film_at(server, host.content)})
    work = Collaborators(database, locator, downloader, score, version_id, (3600.0,), Metrics())
    pipeline = Pipeline(
        work, settings.pipeline.model_copy(update={"poll_interval_s": 0.02}), worker="test", threads=1
    )
    thread = threading.Thread(target=pipeline.run)
    thread.start()
    try:
        waited = threading.Event()
        for _ in range(1500):
            with database.read() as tx:
                tried = tx.execute(text("SELECT finished_at, attempts, last_code FROM upload")).one()
                done = list(recorded(tx))
                kept = tx.execute(text("SELECT rendition FROM classification")).scalar()
            if done or tried.attempts:
                break
            waited.wait(0.02)
    finally:
        pipeline.stop()
        thread.join(30)
        downloader.close()
        database.close()
    assert list((folder / "media").iterdir()) == []
    return (done[0] if done else tried), None if kept is None else json.loads(kept)


def test_bytes_and_requests_are_recorded(server, pool, tmp_path, content):
    host = RangeHost(content)
    outcome, rendition = run(server, pool, tmp_path, host)
    assert outcome.label == "sfw"
    assert rendition is not None
    assert rendition["bytes"] == host.sent_bytes < 0.4 * len(content)
    assert (rendition["of_bytes"], rendition["requests"]) == (len(content), len(host.asked))


def test_without_ranges_the_same_upload_is_scored_from_the_whole_file(server, pool, tmp_path, content):
    outcome, rendition = run(server, pool, tmp_path, RangeHost(content, ranges=False))
    assert outcome.label == "sfw"
    assert rendition is not None
    assert rendition["bytes"] == len(content)


def test_a_file_that_changes_while_it_is_decoded_is_tried_again_and_never_scored(
    server, pool, tmp_path, content
):
    host = RangeHost(content)

    def change(answer: Answer) -> Answer:
        host.etag = '"two"'
        return answer

    host.special[3] = change
    outcome, rendition = run(server, pool, tmp_path, host)
    assert (outcome.finished_at, outcome.attempts, rendition) == (None, 1, None)
    assert re.match("changed", outcome.last_code or "")

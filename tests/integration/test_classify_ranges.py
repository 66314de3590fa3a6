"""`classify TITLE` of a large film on a miniature Commons: what is not looked at is not fetched."""

import hashlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from PIL import ImageEnhance

from bot.classify import classify_files
from bot.classify_fetch import TitleFetcher
from bot.errors import RetryLater, ServiceDown
from bot.minicommons.plan import Corpus, MediaFault, Specimen, StoredFile, Transcode
from bot.minicommons.server import MiniCommons
from bot.settings import ROOT, Settings
from bot.upload import Downloaded
from tests.daemon_process import settings_for, settings_values, write_config
from tests.media import grey_frames, save_video

pytestmark = pytest.mark.slow

FILM, SMALLER = "File:Film.mp4", "File:Film with a transcode.mp4"
SPARSE: dict[str, Any] = {"video_mode": "economical", "video_interval_s": 10.0}
RANGES: dict[str, Any] = {"range_min_bytes": 1_000_000, "max_bits_per_s": 1e9}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """A minute with a keyframe every 2.5 s, ever darker; once alone, once beside a small transcode."""
    folder = tmp_path_factory.mktemp("films")
    options = {"g": "25", "qp": "26", "preset": "ultrafast"}
    looped = grey_frames(40, 320, 240, noise=True)
    frames = [ImageEnhance.Brightness(one).enhance(1 - share / 15) for share in range(15) for one in looped]
    content = save_video(folder / "x.mp4", frames, "libx264", rate=10, options=options).read_bytes()
    save_video(folder / "small.webm", grey_frames(10, 64, 48), rate=5)
    small = Transcode("240p.vp9.webm", "small.webm", 'video/webm; codecs="vp9"', 64, 48, 10_000)
    sha1 = hashlib.sha1(content, usedforsecurity=False).hexdigest()
    film = StoredFile("x.mp4", "video/mp4", "VIDEO", 320, 240, len(content), sha1, duration_s=60.0)
    beside = StoredFile(
        "x.mp4", "video/mp4", "VIDEO", 320, 240, len(content), sha1, duration_s=60.0, transcodes=(small,)
    )
    specimens = (Specimen("film", FILM, film, "scored-sfw"), Specimen("both", SMALLER, beside, "scored-sfw"))
    return Corpus(str(folder), specimens)


@pytest.fixture
def size(corpus: Corpus) -> int:
    return corpus.specimen("film").file.size_bytes


@pytest.fixture
def commons(corpus: Corpus) -> Iterator[MiniCommons]:
    with MiniCommons(corpus) as server:
        server.publish_corpus()
        yield server


def told_of(settings: Settings, *, keep_going: bool = False) -> dict[str, Any]:
    [result] = classify_files(settings, [FILM], keep_going=keep_going)
    told = result.as_json()
    assert leftovers(settings) == []
    return told


def leftovers(settings: Settings) -> list[Path]:
    return [path for path in settings.media.directory.rglob("*") if "lock" not in path.name]


def test_a_part_of_the_film_gives_the_score_of_the_whole(
    commons: MiniCommons, tmp_path: Path, size: int
) -> None:
    ranged = told_of(settings_for(commons, tmp_path, decode=SPARSE, media=RANGES), keep_going=True)
    fetched = commons.statistics()
    parts = ranged.pop("downloaded")
    assert parts["kind"] == "original"
    assert parts["of_bytes"] == size
    assert 0 < parts["bytes"] < 0.5 * size
    assert parts["bytes"] == fetched["media_bytes"]
    assert parts["requests"] == fetched["requests"]["media:original"] > 1

    told = ranged.pop("aggregates")
    scores = sorted((one["score"] for one in ranged["frames"]), reverse=True)
    assert len(scores) >= 6
    assert set(told) == {"maximum", "top3-mean", "top5-mean"}
    assert told["maximum"] == ranged["score"]
    assert told["top3-mean"] == pytest.approx(sum(scores[:3]) / 3, abs=2e-6)

    # Who may stop early is told no aggregates: those of different files could not be compared.
    whole = told_of(settings_for(commons, tmp_path, decode=SPARSE, media={"range_max_file_bytes": 0}))
    all_of_it = whole.pop("downloaded")
    assert all_of_it["bytes"] == size
    assert "of_bytes" not in all_of_it
    # The last digit may depend on what else was in a frame's batch.
    for one, other in zip([ranged, *ranged.pop("frames")], [whole, *whole.pop("frames")], strict=True):
        assert one.pop("score") == pytest.approx(other.pop("score"), abs=2e-6)
        assert one == other


def test_a_host_that_refuses_ranges_gives_the_whole_film(
    commons: MiniCommons, tmp_path: Path, size: int
) -> None:
    commons.set_media_fault(None, MediaFault("no_ranges"))
    told = told_of(settings_for(commons, tmp_path, decode=SPARSE, media=RANGES))
    assert told["label"] == "sfw"
    assert len(told["frames"]) >= 6
    assert (told["downloaded"]["bytes"], told["downloaded"]["of_bytes"]) == (size, size)


def fetched_of(settings: Settings, title: str = FILM) -> Downloaded:
    fetcher = TitleFetcher(settings, threading.Event())
    with fetcher.located([title]), fetcher.fetched(title) as got:
        return got


def test_a_film_too_large_to_fetch_is_read_in_ranges_at_once(
    commons: MiniCommons, tmp_path: Path, size: int
) -> None:
    """The daemon waits a day for a smaller version first; who asks now has no other try."""
    limits = {**RANGES, "video_max_bytes": size // 2}
    settings = settings_for(commons, tmp_path, media=limits)
    got = fetched_of(settings)
    assert (got.rendition.kind, got.parts[0].size_bytes) == ("original", size)
    assert got.received_bytes < size // 2
    assert fetched_of(settings, SMALLER).rendition.kind == "derivative"
    with pytest.raises(RetryLater) as caught:
        fetched_of(settings_for(commons, tmp_path, media={**limits, "range_max_file_bytes": 0}))
    assert caught.value.code == "too_large"
    assert leftovers(settings) == []


def test_more_than_may_be_fetched_of_a_film_is_too_large(
    commons: MiniCommons, tmp_path: Path, size: int
) -> None:
    limits = {**RANGES, "video_max_bytes": 500_000, "range_ahead_bytes": 0}
    told = told_of(settings_for(commons, tmp_path, decode={"video_interval_s": 1.0}, media=limits))
    assert told["code"] == "too_large"
    assert commons.statistics()["media_bytes"] <= 500_000


def test_who_is_interrupted_while_ranges_are_read_waits_for_nothing_and_leaves_nothing(
    commons: MiniCommons, tmp_path: Path
) -> None:
    commons.set_media_fault(None, MediaFault("slow", seconds=2))
    values = settings_values(commons, tmp_path, decode=SPARSE, media=RANGES)
    config = write_config(tmp_path / "bot.toml", values)
    process = subprocess.Popen(
        [sys.executable, "-m", "bot", "classify", FILM, "--json", "--config", str(config)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    # The first range is fetched before, the others while the film is decoded.
    while commons.statistics()["requests"].get("media:original", 0) < 3:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=30)
    assert process.returncode == 130, errors
    assert (out, "Traceback" in errors) == ("", False), errors
    assert leftovers(settings_for(commons, tmp_path)) == []


def test_the_folder_is_gone_only_when_nobody_fetches_into_it_and_stays_gone(
    commons: MiniCommons, tmp_path: Path
) -> None:
    settings = settings_for(commons, tmp_path, media=RANGES)
    fetcher = TitleFetcher(settings, threading.Event())
    began, leave, left = (threading.Event() for _ in range(3))
    seen: list[bool] = []

    def fetch() -> None:
        with fetcher.fetched(FILM) as got:
            began.set()
            leave.wait(30)
            seen.append(got.parts[0].path.exists())

    def hold() -> None:
        with ExitStack() as stack:
            stack.enter_context(fetcher.located([FILM]))
            thread.start()
            began.wait(30)
        left.set()

    thread, holder = threading.Thread(target=fetch), threading.Thread(target=hold)
    holder.start()
    assert began.wait(30)
    assert not left.wait(0.2)
    leave.set()
    thread.join(30)
    holder.join(30)
    assert seen == [True]
    assert leftovers(settings) == []
    with pytest.raises(ServiceDown):
        fetcher.fetched(FILM).__enter__()
    assert leftovers(settings) == []

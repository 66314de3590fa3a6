"""`classify`: every frame's score, timelines, and files of a miniature Commons by their titles."""

import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from PIL import Image

from bot.classify import classify_files
from bot.classify_fetch import TitleFetcher
from bot.demo import CORPUS
from bot.errors import ConfigError
from bot.minicommons.corpus import prepare_corpus
from bot.minicommons.plan import Corpus, MediaFault
from bot.minicommons.server import MiniCommons
from bot.settings import ROOT, Settings
from tests.daemon_process import settings_for, settings_values, write_config
from tests.media import grey_frames, photo, save_video

pytestmark = pytest.mark.slow

NAMES = ("jpeg-baseline", "tiff", "vp9", "positive-webm", "opus", "suppressed")


def bot(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "bot", "classify", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "COMMONSBOT_CLASSIFIER__ENGINE": "torch-fp32", **environment},
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return prepare_corpus(CORPUS, NAMES)


@pytest.fixture
def commons(corpus: Corpus) -> Iterator[MiniCommons]:
    with MiniCommons(corpus) as server:
        server.publish_corpus(names=NAMES)
        yield server


@pytest.fixture
def settings(commons: MiniCommons, tmp_path: Path) -> Settings:
    return settings_for(commons, tmp_path)


def leftovers(settings: Settings) -> list[Path]:
    return [path for path in settings.media.directory.rglob("*") if "lock" not in path.name]


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return save_video(tmp_path / "film.webm", grey_frames(30, 160, 120, noise=True), rate=5)


def test_json_tells_every_frame_and_how_closely_it_was_looked(film: Path) -> None:
    answer = bot(str(film), "--json")
    assert answer.returncode == 0, answer.stderr
    told = json.loads(answer.stdout)
    assert (told["file"], told["kind"], told["decoder"], told["truncated"]) == (
        str(film),
        "video",
        "pyav",
        False,
    )
    times = [one["at_s"] for one in told["frames"]]
    assert times == sorted(times)
    assert times[0] == 0
    assert times[-1] == pytest.approx(5.8)
    assert told["score"] == max(one["score"] for one in told["frames"])
    assert {"at_s": told["at_s"], "score": told["score"]} in told["frames"]
    assert told["mode"] == "exact"
    assert 0 < told["largest_gap_s"] <= 1.3
    assert told["covered_share"] == 1.0
    assert told["engine"].count("-") == 1


def test_a_timeline_keeps_going_and_is_blurred_and_private(corpus: Corpus, tmp_path: Path) -> None:
    hot = CORPUS / corpus.specimen("positive-webm").file.path
    page, picture = tmp_path / "out.html", tmp_path / "out.png"
    stopped, going = bot(str(hot), "--json"), bot(str(hot), "--json", "--timeline", str(page))
    assert going.returncode == 0, going.stderr
    few, all_frames = json.loads(stopped.stdout), json.loads(going.stdout)
    assert few["label"] == all_frames["label"] == "nsfw"
    assert few["truncated"]
    assert few["covered_share"] is None, "of a film that was not looked at to its end"
    assert not all_frames["truncated"]
    assert len(all_frames["frames"]) > len(few["frames"])
    text = page.read_text()
    assert text.count("<img ") == min(len(all_frames["frames"]), 12)
    assert "over threshold" in text
    assert stat.S_IMODE(page.stat().st_mode) == 0o600

    short = bot(str(hot), "--timeline", str(picture), "--stop-early")
    assert short.returncode == 0, short.stderr
    with Image.open(picture) as drawn:
        assert f"{len(few['frames'])} frames" in drawn.info["Description"]


def test_a_timeline_of_a_file_without_a_score_is_not_written(tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff\xe0 not really")
    answer = bot(str(broken), "--timeline", str(tmp_path / "out.html"))
    assert answer.returncode == 1
    assert not (tmp_path / "out.html").exists()


def test_a_timeline_never_replaces_the_file_itself(tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    photo(64, 64).save(picture)
    before = picture.read_bytes()
    answer = bot(str(picture), "--timeline", str(picture), COLUMNS="200")
    assert answer.returncode == 2
    assert "very file" in answer.stderr
    assert picture.read_bytes() == before


def test_titles_and_addresses_are_fetched_scored_and_deleted(
    commons: MiniCommons, corpus: Corpus, settings: Settings, tmp_path: Path
) -> None:
    film, scan = corpus.specimen("vp9").title, corpus.specimen("tiff").title
    address = settings.wiki.page_url.replace("{title}", quote(scan.replace(" ", "_"), safe=":"))
    local = tmp_path / "here.png"
    photo(64, 64).save(local)
    results = list(classify_files(settings, [film, str(local), address, "nothing.jpg"]))
    assert [result.file for result in results] == [film, str(local), address, "nothing.jpg"]
    told: list[dict[str, Any]] = [result.as_json() for result in results]
    assert told[0]["title"] == film
    assert told[0]["downloaded"]["kind"] == "derivative"
    assert len(told[0]["frames"]) > 1
    assert "downloaded" not in told[1]
    assert told[2]["title"] == scan
    assert [one["page"] for one in told[2]["frames"]] == [1, 2, 4]
    assert results[2].scored is not None
    assert results[2].scored.address == address
    assert told[3]["code"] == "unreadable"
    assert "File:Name.webm" in told[3]["message"]
    assert leftovers(settings) == []


def test_a_title_that_cannot_be_scored_says_why_and_stops_nothing(
    commons: MiniCommons, corpus: Corpus, settings: Settings
) -> None:
    titles = [corpus.specimen(name).title for name in ("opus", "suppressed", "jpeg-baseline")]
    results = list(classify_files(settings, ["File:Nobody knows.jpg", "https://example.org/a.jpg", *titles]))
    assert [result.code for result in results] == ["deleted", "unknown_source", "audio", "hidden", None]


def test_limits_hold_for_titles_as_for_the_daemon(
    commons: MiniCommons, corpus: Corpus, tmp_path: Path
) -> None:
    small = settings_for(commons, tmp_path, media={"thumbnail_max_bytes": 100})
    [result] = classify_files(small, [corpus.specimen("jpeg-baseline").title])
    assert result.code == "too_large"
    elsewhere = settings_for(commons, tmp_path, media={"allowed_hosts": ["upload.example.org"]})
    [result] = classify_files(elsewhere, [corpus.specimen("jpeg-baseline").title])
    assert result.code == "host_not_allowed"
    assert leftovers(small) == []


def test_titles_need_a_contact_and_local_files_do_not(tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    photo(64, 64).save(picture)
    assert bot(str(picture)).returncode == 0
    answer = bot("File:A.jpg")
    assert answer.returncode == 3
    assert "identity.contact" in answer.stderr


def test_a_wiki_that_is_away_is_a_network_error_and_local_files_are_still_scored(
    commons: MiniCommons, tmp_path: Path
) -> None:
    values = settings_values(commons, tmp_path, api={"max_attempts": 1})
    values["wiki"]["api_url"] = "http://127.0.0.1:9/w/api.php"
    config = str(write_config(tmp_path / "bot.toml", values))
    picture = tmp_path / "a.png"
    photo(64, 64).save(picture)
    alone = bot("File:A.jpg", "--config", config)
    assert alone.returncode == 4, alone.stderr
    both = bot("File:A.jpg", str(picture), "--json", "--config", config)
    assert both.returncode == 4, both.stderr
    first, second = (json.loads(line) for line in both.stdout.splitlines())
    assert first["code"] == "service_down"
    assert second["label"] == "sfw"


def test_who_is_interrupted_while_downloading_waits_for_nothing_and_leaves_nothing(
    commons: MiniCommons, corpus: Corpus, settings: Settings, tmp_path: Path
) -> None:
    commons.set_media_fault(None, MediaFault("slow", times=5, seconds=60))
    config = write_config(tmp_path / "bot.toml", settings_values(commons, tmp_path))
    process = subprocess.Popen(
        [sys.executable, "-m", "bot", "classify", corpus.specimen("vp9").title, "--config", str(config)],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    while commons.statistics()["downloads_peak"] == 0:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert leftovers(settings) == []


def test_what_a_killed_process_left_is_removed_and_what_a_running_one_needs_is_kept(
    commons: MiniCommons, corpus: Corpus, settings: Settings
) -> None:
    title = corpus.specimen("jpeg-baseline").title
    abandoned = settings.media.directory / "classify-abandoned"
    abandoned.mkdir(parents=True)
    (abandoned / "upload-x").write_bytes(b"left behind")
    first, second = (TitleFetcher(settings, threading.Event()) for _ in range(2))
    with first.located([title]), first.fetched(title) as mine:
        assert not abandoned.exists()
        done = threading.Thread(target=lambda: _fetch(second, title))
        done.start()
        done.join()
        assert mine.parts[0].path.exists()
        assert stat.S_IMODE(mine.parts[0].path.parent.stat().st_mode) == 0o700
    assert leftovers(settings) == []


def _fetch(fetcher: TitleFetcher, title: str) -> None:
    with fetcher.located([title]), fetcher.fetched(title) as got:
        assert got.parts[0].path.exists()


def test_without_a_contact_no_fetcher_is_made(settings: Settings) -> None:
    silent = settings.model_copy(update={"identity": settings.identity.model_copy(update={"contact": ""})})
    with pytest.raises(ConfigError):
        TitleFetcher(silent, threading.Event())

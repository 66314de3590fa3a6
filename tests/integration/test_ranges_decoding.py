"""Large videos decoded by real workers while they are fetched in ranges: the same frames for fewer bytes."""

from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bot.errors import RetryLater
from classifier.decode.container import open_container
from classifier.decode.limits import DecodeLimits
from classifier.decode.sandbox import DecodePool
from classifier.decode.video_index import _lists_all
from classifier.decode.video_plan import ListedKeyTimes
from classifier.errors import DecodeError
from classifier.values import MediaPart
from tests import media
from tests.http_server import Answer, ScriptedServer, scripted_server
from tests.range_host import PATH, RangeHost, downloaders, film_at

PREPROCESSING = "open_nsfw-v1"


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted_server() as running:
        yield running


@pytest.fixture
def host(server: ScriptedServer) -> RangeHost:
    host = RangeHost(b"")
    server.answers[PATH] = host
    return host


@pytest.fixture
def make(server: ScriptedServer, tmp_path: Path) -> Iterator[Any]:
    with downloaders(server, tmp_path / "media") as downloader:
        yield downloader


@pytest.fixture(scope="module")
def pool() -> Iterator[DecodePool]:
    limits = DecodeLimits(sampling_mode="economical", sampling_interval_s=10.0, sampling_order="sequential")
    with DecodePool(limits, workers=1) as pool:
        yield pool


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A minute in high quality; a keyframe every 2.5 s, and the index at the end."""
    made: dict[str, Path] = {}
    h264 = ("libx264", {"g": "25", "qp": "18", "preset": "ultrafast"})
    vp8 = ("libvpx", {"g": "25", "crf": "4", "b": "40M", "deadline": "realtime", "cpu-used": "15"})

    def film(name: str) -> Path:
        if name not in made:
            path = tmp_path_factory.mktemp("films") / name
            small = path.suffix == ".webm"  # its encoder is slow
            frames = media.grey_frames(40, *((160, 120) if small else (320, 240)), noise=True) * 15
            codec, options = vp8 if small else h264
            made[name] = media.save_video(path, frames, codec, rate=10, options=options)
        return made[name]

    return film


def frames_of(pool: DecodePool, part: MediaPart) -> tuple[list[Any], Any]:
    with pool.open([part], PREPROCESSING) as stream:
        frames = [(one.at_s, one.pixels.tobytes()) for some in stream for one in some]
    return frames, stream.summary


@pytest.mark.parametrize(("name", "share"), [("x.mp4", 0.25), ("x.mkv", 0.25), ("x.webm", 0.35)])
def test_a_sparse_look_costs_a_part_of_the_bytes_and_sees_the_same(
    server, host, make, pool, films, name, share
):
    path = films(name)
    content = path.read_bytes()
    index = content.rfind(b"moov" if name == "x.mp4" else b"\x1c\x53\xbb\x6b")
    assert index > 0.9 * len(content)
    host.content = content
    downloader = make()
    downloaded = downloader.download(film_at(server, content), may_have_holes=True)
    frames, summary = frames_of(pool, *downloaded.media_parts())
    whole, expected = frames_of(pool, MediaPart(path))
    assert frames == whole
    assert len(frames) >= 6
    assert (summary.covered_share, summary.truncated) == (expected.covered_share, False)
    assert host.sent_bytes == downloaded.received_bytes < share * len(content)
    assert pool.restarts == 0
    downloader.discard(downloaded)


def test_a_film_of_long_groups_is_not_read_through_for_its_index(server, host, make, pool, tmp_path):
    frames = media.grey_frames(40, 160, 120, noise=True) * 20
    options = {"g": "80", "qp": "10", "preset": "ultrafast"}
    path = media.save_video(tmp_path / "x.mkv", frames, "libx264", rate=10, options=options)
    host.content = path.read_bytes()
    downloaded = make().download(film_at(server, host.content), may_have_holes=True)
    seen, _ = frames_of(pool, *downloaded.media_parts())
    whole, _ = frames_of(pool, MediaPart(path))
    assert [at_s for at_s, _ in seen] == [at_s for at_s, _ in whole]
    assert host.sent_bytes < 0.75 * len(host.content)


def test_an_index_that_leaves_out_keyframes_is_found_out(films):
    with open_container(films("x.mkv"), "Matroska") as container:
        video = container.streams.video[0]
        times = [2.5 * number for number in range(24)]
        assert _lists_all(container, video, ListedKeyTimes(array("d", times)))
        assert not _lists_all(container, video, ListedKeyTimes(array("d", times[::2])))
        assert not _lists_all(container, video, ListedKeyTimes(array("d", times[:1])))


def test_a_picture_dressed_up_as_a_large_video_is_brought_whole(server, host, make, pool, tmp_path):
    media.photo(900, 700).save(tmp_path / "x.png")
    host.content = (tmp_path / "x.png").read_bytes()
    downloaded = make().download(film_at(server, host.content), may_have_holes=True)
    frames, summary = frames_of(pool, *downloaded.media_parts())
    assert (len(frames), summary.kind) == (1, "image")
    assert host.sent_bytes == len(host.content)


def test_an_error_of_the_host_reaches_the_reader_as_itself_and_the_pool_lives_on(
    server, host, make, pool, films
):
    host.content = films("x.mp4").read_bytes()
    downloader, before = make(), pool.restarts
    for number in range(1, 6):
        host.asked.clear()
        host.special = {number: lambda _: Answer(404, b"")}
        downloaded = downloader.download(film_at(server, host.content), may_have_holes=True)
        with pytest.raises(RetryLater) as caught:
            frames_of(pool, *downloaded.media_parts())
        assert caught.value.code == "deleted"
        assert pool.restarts == before + number  # ffmpeg may still remember the failure
        host.special = {}
        frames, summary = frames_of(pool, MediaPart(films("x.mp4")))
        assert (len(frames) >= 6, summary.truncated) == (True, False)


def test_who_leaves_early_has_fetched_little(server, host, make, pool, films):
    host.content = films("x.mp4").read_bytes()
    downloaded = make().download(film_at(server, host.content), may_have_holes=True)
    with pool.open(downloaded.media_parts(), PREPROCESSING) as stream:
        next(stream)
    assert stream.summary.truncated
    assert host.sent_bytes < 0.3 * len(host.content)
    assert len(frames_of(pool, MediaPart(films("x.mp4")))[0]) >= 6


def test_a_source_that_brings_zeros_costs_no_more_than_the_file(server, host, make, pool, films):
    content = films("x.mp4").read_bytes()
    host.content = content[: len(content) // 2] + bytes(len(content) - len(content) // 2)
    downloaded = make().download(film_at(server, host.content), may_have_holes=True)
    with pytest.raises(DecodeError):
        frames_of(pool, *downloaded.media_parts())
    assert host.sent_bytes <= len(content)

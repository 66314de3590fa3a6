"""Large videos by range requests from a real server: the same frames, fewer bytes, and every way to fail."""

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bot.errors import RetryLater, ServiceDown, SkipUpload
from bot.media.download import Downloader
from bot.media.sha1 import base36_from_hex
from bot.upload import Part, Rendition
from tests.http_server import Answer, ScriptedServer, scripted_server
from tests.range_host import PATH, RangeHost, downloaders, film_at

BLOCK = 65536
NOISE = np.random.default_rng(5).integers(0, 256, 40 * BLOCK + 1234, np.uint8).tobytes()


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted_server() as running:
        yield running


@pytest.fixture
def host(server: ScriptedServer) -> RangeHost:
    host = RangeHost(NOISE)
    server.answers[PATH] = host
    return host


@pytest.fixture
def make(server: ScriptedServer, tmp_path: Path) -> Iterator[Any]:
    with downloaders(server, tmp_path / "media") as downloader:
        yield downloader


def begun(downloader: Downloader, rendition: Rendition) -> Any:
    downloaded = downloader.download(rendition, may_have_holes=True)
    [part] = downloaded.parts
    return downloaded, part.source, part.path


def test_only_what_is_asked_for_is_fetched_and_all_of_it_is_right(server, host, make):
    downloaded, source, path = begun(make(), film_at(server, NOISE))
    assert host.asked == [(0, BLOCK)]
    assert path.stat().st_size == len(NOISE)
    assert source.ensure(20 * BLOCK + 5, 10) == 21 * BLOCK
    assert source.ensure(len(NOISE) - 1, 1) == len(NOISE)
    assert source.ensure(20 * BLOCK - 1, 2) == 21 * BLOCK
    assert host.asked[1:] == [(20 * BLOCK, 21 * BLOCK), (40 * BLOCK, len(NOISE)), (19 * BLOCK, 20 * BLOCK)]
    content = path.read_bytes()
    for start, end in [(0, BLOCK), (19 * BLOCK, 21 * BLOCK), (40 * BLOCK, len(NOISE))]:
        assert content[start:end] == NOISE[start:end]
    assert not any(content[BLOCK : 19 * BLOCK])
    record = downloaded.record()
    assert (record["bytes"], record["of_bytes"], record["requests"]) == (host.sent_bytes, len(NOISE), 4)
    assert downloaded.transfer_s > 0


def test_what_is_there_is_never_fetched_again(server, host, make):
    _, source, path = begun(make(), film_at(server, NOISE))
    source.ensure(5 * BLOCK, BLOCK)
    source.ensure(9 * BLOCK, BLOCK)
    assert source.ensure(3 * BLOCK, 20 * BLOCK) >= 23 * BLOCK
    assert source.ensure(0, len(NOISE)) == len(NOISE)
    assert path.read_bytes() == NOISE
    assert host.sent_bytes == source.fetched_bytes == len(NOISE)
    before = len(host.asked)
    source.ensure(1, len(NOISE) - 1)
    assert len(host.asked) == before


def blocks_asked_for(host):
    return [-(-(end - start) // BLOCK) for start, end in host.asked]


def read_on(source, first, end):
    until = first * BLOCK
    while until < end * BLOCK:
        until = source.ensure(until, 1)


def test_reading_on_is_read_ahead_of_and_jumping_is_not(server, host, make):
    _, source, _ = begun(make(range_ahead_bytes=4 * BLOCK), film_at(server, NOISE))
    read_on(source, 15, 35)
    assert blocks_asked_for(host) == [1, 1, 1, 2, 4, 4, 4, 4]
    source.ensure(38 * BLOCK, 1)
    source.ensure(5 * BLOCK, 1)
    assert blocks_asked_for(host)[-2:] == [1, 1]


def test_who_reads_everything_gets_it_in_ever_larger_pieces(server, host, make):
    _, source, _ = begun(make(range_ahead_bytes=4 * BLOCK), film_at(server, NOISE))
    read_on(source, 0, 40)
    assert blocks_asked_for(host) == [1, 1, 2, 4, 8, 16, 9]


@pytest.mark.parametrize(
    "how", ["no ranges", "416", "no content-range", "other bytes", "no validator", "weak"]
)
def test_a_host_without_reliable_ranges_makes_it_a_whole_download(server, host, make, how):
    if how == "no ranges":
        host.ranges = False
    elif how == "416":
        host.special[0] = lambda _: Answer(416, b"no")
    elif how == "no content-range":
        host.special[0] = lambda answer: replace(answer, headers={"Content-Type": "video/webm"})
    elif how == "other bytes":
        told = {"Content-Range": f"bytes 1-{BLOCK - 1}/{len(NOISE)}", "ETag": '"one"'}
        host.special[0] = lambda answer: replace(answer, headers={**answer.headers, **told})
    else:
        host.etag = None if how == "no validator" else 'W/"one"'
    downloaded, source, path = begun(make(), film_at(server, NOISE))
    assert path.read_bytes() == NOISE
    assert source.ensure(0, 1) == len(NOISE)
    assert len(host.asked) == 2
    assert downloaded.record()["bytes"] >= len(NOISE)


def test_ranges_that_end_in_the_middle_make_it_a_whole_download_of_the_same_version(server, host, make):
    _, source, path = begun(make(), film_at(server, NOISE))
    host.ranges = False
    assert source.ensure(7 * BLOCK, 1) == len(NOISE)
    assert path.read_bytes() == NOISE


def test_a_file_that_refuses_ranges_and_is_over_the_limit_is_too_large(server, host, make, tmp_path):
    host.ranges = False
    with pytest.raises(SkipUpload) as caught:
        begun(make(), film_at(server, NOISE, max_bytes=len(NOISE) - 1))
    assert caught.value.code == "too_large"
    assert list((tmp_path / "media").iterdir()) == []


@pytest.mark.parametrize("how", ["etag", "bare etag", "modified", "length", "sha1"])
def test_a_file_that_changes_in_the_middle_is_never_mixed(server, host, make, how):
    if how == "bare etag":
        host.etag = "one"
    if how == "modified":
        host.etag, host.modified = None, "Sun, 22 Nov 2026 10:00:00 GMT"
    _, source, _ = begun(make(), film_at(server, NOISE))
    if how in {"etag", "bare etag"}:
        host.etag = '"two"' if how == "etag" else "two"
    elif how == "modified":
        host.modified = "Sun, 22 Nov 2026 10:00:01 GMT"
    elif how == "sha1":
        host.headers["X-Object-Meta-Sha1base36"] = base36_from_hex("0" * 39 + "1")
    host.content = NOISE[::-1] + (b"more" if how == "length" else b"")
    with pytest.raises(RetryLater) as caught:
        source.ensure(7 * BLOCK, 1)
    assert caught.value.code == "changed"


def test_a_stated_sha1_that_is_ours_is_accepted_and_nonsense_says_nothing(server, host, make):
    host.headers["X-Object-Meta-Sha1base36"] = base36_from_hex(hashlib.sha1(NOISE).hexdigest())
    _, source, _ = begun(make(), film_at(server, NOISE))
    host.headers["X-Object-Meta-Sha1base36"] = "unknown"
    assert source.ensure(7 * BLOCK, 1) == 8 * BLOCK


def test_another_size_than_the_wikis_is_a_changed_file(server, host, make, tmp_path):
    host.content = NOISE + b"."
    with pytest.raises(RetryLater) as caught:
        begun(make(), film_at(server, NOISE))
    assert caught.value.code == "changed"
    assert list((tmp_path / "media").iterdir()) == []


def test_an_answer_that_breaks_off_is_taken_up_where_it_did(server, host, make, monkeypatch):
    monkeypatch.setattr("bot.media.ranges._RETRY_AFTER_S", 0.0)
    _, source, path = begun(make(range_ahead_bytes=0), film_at(server, NOISE))
    host.special = {number: lambda answer: replace(answer, cut=2 * BLOCK + 99) for number in range(1, 6)}
    assert source.ensure(10 * BLOCK, 12 * BLOCK) == 22 * BLOCK
    assert [start // BLOCK for start, _ in host.asked[1:]] == [10, 12, 14, 16, 18, 20]
    assert path.read_bytes()[10 * BLOCK : 22 * BLOCK] == NOISE[10 * BLOCK : 22 * BLOCK]
    assert source.fetched_bytes == BLOCK + 12 * BLOCK + 5 * 99


def test_answers_that_bring_nothing_new_end_it(server, host, make, monkeypatch):
    monkeypatch.setattr("bot.media.ranges._RETRY_AFTER_S", 0.0)
    _, source, _ = begun(make(), film_at(server, NOISE))
    host.special = {number: lambda answer: replace(answer, cut=99) for number in range(1, 50)}
    with pytest.raises(RetryLater):
        source.ensure(10 * BLOCK, 12 * BLOCK)
    assert len(host.asked) == 4


def test_a_short_answer_is_topped_up(server, host, make):
    _, source, path = begun(make(), film_at(server, NOISE))

    def shorter(answer: Answer) -> Answer:
        told = {"Content-Range": f"bytes {10 * BLOCK}-{11 * BLOCK + 99}/{len(NOISE)}"}
        return replace(answer, body=answer.body[: BLOCK + 100], headers={**answer.headers, **told})

    host.special[1] = shorter
    assert source.ensure(10 * BLOCK, 3 * BLOCK) == 13 * BLOCK
    assert [start // BLOCK for start, _ in host.asked[1:]] == [10, 11]
    assert path.read_bytes()[10 * BLOCK : 13 * BLOCK] == NOISE[10 * BLOCK : 13 * BLOCK]


def test_a_host_that_asks_for_a_short_pause_gets_it_and_for_a_long_one_ends_it(server, host, make):
    _, source, _ = begun(make(), film_at(server, NOISE))
    host.special[1] = lambda _: Answer(429, b"", {"Retry-After": "0"})
    assert source.ensure(10 * BLOCK, 1) == 11 * BLOCK
    host.special[3] = lambda _: Answer(503, b"", {"Retry-After": "900"})
    with pytest.raises(RetryLater) as caught:
        source.ensure(20 * BLOCK, 1)
    assert caught.value.after_s == pytest.approx(900, abs=1)


@pytest.mark.parametrize(("status", "code"), [(404, "deleted"), (403, "forbidden")])
def test_a_refusal_in_the_middle_ends_it(server, host, make, status, code):
    _, source, _ = begun(make(), film_at(server, NOISE))
    host.special[1] = lambda _: Answer(status, b"")
    with pytest.raises(RetryLater) as caught:
        source.ensure(10 * BLOCK, 1)
    assert caught.value.code == code
    assert len(host.asked) == 2


def test_no_more_is_fetched_than_the_limit(server, host, make):
    _, source, _ = begun(make(), film_at(server, NOISE, max_bytes=6 * BLOCK))
    source.ensure(10 * BLOCK, 5 * BLOCK)
    with pytest.raises(SkipUpload) as caught:
        source.ensure(20 * BLOCK, 1)
    assert caught.value.code == "too_large"
    assert host.sent_bytes == 6 * BLOCK


def test_a_slow_answer_ends_with_the_files_time_and_with_the_bot(server, host, make):
    held = threading.Event()
    slow = {1: lambda answer: replace(answer, hold=held, held_after=10)}
    try:
        _, source, _ = begun(make(range_timeout_s=0.5), film_at(server, NOISE))
        host.special = slow
        with pytest.raises(RetryLater):
            source.ensure(10 * BLOCK, 1)
        stop = threading.Event()
        host.asked.clear()
        host.special = {}
        _, source, _ = begun(make(stop=stop), film_at(server, NOISE))
        host.special = slow
        threading.Timer(0.2, stop.set).start()
        with pytest.raises(ServiceDown):
            source.ensure(10 * BLOCK, 1)
    finally:
        held.set()


def test_a_redirect_is_followed_for_every_piece_and_only_to_allowed_hosts(server, host, make):
    server.answers["/from"] = [Answer(302, b"", {"Location": server.url(PATH)})]
    rendition = film_at(server, NOISE)
    moved = replace(rendition, parts=(replace(rendition.parts[0], url=server.url("/from")),))
    _, source, _ = begun(make(), moved)
    assert source.ensure(10 * BLOCK, 1) == 11 * BLOCK
    server.answers["/from"] = [Answer(302, b"", {"Location": "http://127.0.0.2/elsewhere"})]
    with pytest.raises(RetryLater) as caught:
        source.ensure(20 * BLOCK, 1)
    assert caught.value.code == "host_not_allowed"


def test_pieces_and_whole_files_share_the_slots(server, host, make):
    held = threading.Event()
    server.answers["/picture"] = [Answer(200, b"x", {"Content-Type": "image/jpeg"}, hold=held)]
    downloader = make(max_concurrent=1)
    _, source, _ = begun(downloader, film_at(server, NOISE))
    picture = Rendition("thumbnail", (Part(server.url("/picture")),), 330, 10**6)
    threads = [threading.Thread(target=downloader.download, args=(picture,))]
    threads[0].start()
    server.wait_for_requests(2)
    threads.append(threading.Thread(target=source.ensure, args=(10 * BLOCK, 1)))
    threads[1].start()
    threads[1].join(0.5)
    assert len(server.asked) == 2
    held.set()
    for thread in threads:
        thread.join(30)
    assert len(host.asked) == 2


def test_whoever_cannot_do_with_holes_gets_the_whole_file(server, host, make):
    downloaded = make().download(film_at(server, NOISE))
    [part] = downloaded.parts
    assert part.source is None
    assert part.path.read_bytes() == NOISE
    assert "of_bytes" not in downloaded.record()

import gzip
import hashlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bot.errors import RetryLater, ServiceDown, SkipUpload
from bot.media.download import Downloader
from bot.settings import MediaSettings, load_settings
from bot.upload import Part, Rendition
from tests.http_server import Answer, Asked, ScriptedServer, scripted_server

AGENT = "TestBot/1.0 (test@example.org)"
BYTES = bytes(range(256)) * 400
JPEG = {"Content-Type": "image/jpeg"}
OK = Answer(200, BYTES, JPEG)
PATH = "/thumb/a/a1/A_%28b%29%27~!,.jpg/330px-A.jpg"
TARGET = f"{PATH}?utm_source=commons&utm_content=thumbnail"


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted_server() as running:
        yield running


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "media"


def settings_for(server: ScriptedServer, directory: Path, **changes: Any) -> MediaSettings:
    values = {"allowed_hosts": (server.netloc,), "directory": directory, "max_bits_per_s": 1e9, **changes}
    return load_settings().media.model_copy(update=values)


@pytest.fixture
def downloader(server: ScriptedServer, directory: Path) -> Iterator[Downloader]:
    made = Downloader(settings_for(server, directory), AGENT)
    yield made
    made.close()


@pytest.fixture
def rendition(server: ScriptedServer) -> Rendition:
    return Rendition("thumbnail", (Part(server.url(TARGET)),), 330, 1_000_000)


def original(server: ScriptedServer, **changes: Any) -> Rendition:
    part = Part(server.url(PATH), sha1_hex=hashlib.sha1(BYTES).hexdigest(), size_bytes=len(BYTES))
    return Rendition("original", (replace(part, **changes),), 800, 1_000_000)


def failure(downloader: Downloader, rendition: Rendition, family: type[RetryLater] | type[SkipUpload]) -> Any:
    with pytest.raises(family) as caught:
        downloader.download(rendition)
    return caught.value


def test_a_rendition_lies_on_the_disk_for_us_alone(server, downloader, directory, rendition):
    server.answers[PATH] = [OK]
    downloaded = downloader.download(rendition)
    [part] = downloaded.parts
    assert part.path.read_bytes() == BYTES
    assert part.size_bytes == len(BYTES)
    assert part.path.stat().st_mode & 0o777 == 0o600
    assert directory.stat().st_mode & 0o777 == 0o700
    assert downloaded.record()["bytes"] == len(BYTES)
    downloader.discard(downloaded)
    downloader.discard(downloaded)
    assert list(directory.iterdir()) == []


def test_the_address_is_asked_as_it_is_spelt_with_our_name_and_no_compression(server, downloader, rendition):
    server.answers[PATH] = [OK]
    downloader.download(rendition)
    assert server.asked[0].target == TARGET
    assert server.asked[0].headers["User-Agent"] == AGENT
    assert server.asked[0].headers["Accept-Encoding"] == "identity"


def test_every_page_of_a_document_is_fetched(server, downloader):
    server.answers["/1"], server.answers["/9"] = [OK], [Answer(200, b"nine", JPEG)]
    parts = (Part(server.url("/1"), page=1), Part(server.url("/9"), page=9))
    downloaded = downloader.download(Rendition("thumbnail", parts, 330, 1_000_000))
    assert [(part.page, part.size_bytes) for part in downloaded.parts] == [(1, len(BYTES)), (9, 4)]


def test_when_one_page_fails_none_stays_behind(server, downloader, directory):
    server.answers["/1"] = [OK]
    parts = (Part(server.url("/1"), page=1), Part(server.url("/missing"), page=9))
    assert failure(downloader, Rendition("thumbnail", parts, 330, 10**6), RetryLater).code
    assert list(directory.iterdir()) == []


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Answer(404), "rendition_unavailable"),
        (Answer(400), "rendition_unavailable"),
        (Answer(500), "rendition_unavailable"),
        (Answer(204), "rendition_unavailable"),
        (Answer(206, BYTES, JPEG), "rendition_unavailable"),
        (Answer(403), "forbidden"),
        (Answer(200, b"<html>", {"Content-Type": "Text/HTML; charset=utf-8"}), "rendition_unavailable"),
        (Answer(200, b"{}", {"Content-Type": "application/json"}), "rendition_unavailable"),
        (Answer(200, b"", JPEG), "rendition_unavailable"),
        (Answer(200, BYTES, JPEG, cut=1000), "rendition_unavailable"),
        (Answer(200, BYTES, JPEG, length=len(BYTES) + 1, cut=len(BYTES)), "rendition_unavailable"),
        (Answer(200, BYTES, JPEG, length="-5"), "rendition_unavailable"),
        (Answer(200, BYTES, JPEG, length="1" * 5000), "rendition_unavailable"),
        (Answer(200, gzip.compress(BYTES), {**JPEG, "Content-Encoding": "gzip"}), "rendition_unavailable"),
        (Answer(raw=b""), "rendition_unavailable"),
        (Answer(raw=b"nonsense\r\n\r\n"), "rendition_unavailable"),
        (
            Answer(raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"),
            "rendition_unavailable",
        ),
    ],
)
def test_what_may_come_right_is_tried_later_and_nothing_stays(
    server, downloader, directory, rendition, answer, code
):
    server.answers[PATH] = [answer]
    assert failure(downloader, rendition, RetryLater).code == code
    assert list(directory.iterdir()) == []


@pytest.mark.parametrize("status", [404, 410])
def test_an_original_that_is_gone_counts_as_deleted(server, downloader, status):
    server.answers[PATH] = [Answer(status)]
    assert failure(downloader, original(server), RetryLater).code == "deleted"


def test_an_original_is_verified(server, downloader, directory):
    server.answers[PATH] = [OK]
    assert downloader.download(original(server)).parts[0].size_bytes == len(BYTES)
    assert failure(downloader, original(server, sha1_hex="0" * 40), RetryLater).code == "changed"
    assert failure(downloader, original(server, size_bytes=7), RetryLater).code == "changed"
    assert len(list(directory.iterdir())) == 1


def test_an_empty_original_is_fetched_where_the_wiki_says_so(server, downloader):
    server.answers[PATH] = [Answer(200, b"", JPEG)]
    empty = original(server, sha1_hex=hashlib.sha1(b"").hexdigest(), size_bytes=0)
    assert downloader.download(empty).parts[0].size_bytes == 0


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_over_the_limit_is_too_large_declared_or_not(
    server, downloader, directory, rendition, declared
):
    server.answers[PATH] = [Answer(200, BYTES, JPEG, length=len(BYTES) if declared else None)]
    small = replace(rendition, max_bytes=len(BYTES) - 1)
    assert failure(downloader, small, SkipUpload).code == "too_large"
    assert list(directory.iterdir()) == []
    assert downloader.download(replace(rendition, max_bytes=len(BYTES))).parts


def test_an_endless_body_is_left_at_the_limit(server, downloader, rendition):
    never = threading.Event()
    small = replace(rendition, max_bytes=10**6)
    server.answers[PATH] = [
        Answer(200, BYTES * 20, JPEG, length=None, hold=never, held_after=len(BYTES) * 15)
    ]
    assert failure(downloader, small, SkipUpload).code == "too_large"
    never.set()


def test_a_redirect_within_the_list_is_followed_relative_or_not(server, downloader, rendition):
    server.answers[PATH] = [Answer(302, headers={"Location": "/b"})]
    server.answers["/b"] = [Answer(307, headers={"Location": server.url("/c")})]
    server.answers["/c"] = [OK]
    assert downloader.download(rendition).parts[0].size_bytes == len(BYTES)


def test_a_redirect_to_another_host_is_never_asked(server, downloader, rendition):
    with scripted_server() as other:
        other.answers["/a"] = [OK]
        server.answers[PATH] = [Answer(302, headers={"Location": other.url("/a")})]
        assert failure(downloader, rendition, RetryLater).code == "host_not_allowed"
        assert other.asked == []


@pytest.mark.parametrize(
    "location", ["file:///etc/passwd", "http://user@{host}/a", "//evil.example/a", "http://["]
)
def test_a_redirect_to_nowhere_allowed_is_refused(server, downloader, rendition, location):
    server.answers[PATH] = [Answer(302, headers={"Location": location.format(host=server.netloc)})]
    assert failure(downloader, rendition, RetryLater).code in {"host_not_allowed", "rendition_unavailable"}
    assert len(server.asked) == 1


def test_the_body_of_a_redirect_is_not_waited_for(server, downloader, rendition):
    never = threading.Event()
    redirect = Answer(302, b"x" * 100, {"Location": "/b"}, hold=never, held_after=10)
    server.answers[PATH], server.answers["/b"] = [redirect], [OK]
    assert downloader.download(rendition).parts[0].size_bytes == len(BYTES)
    never.set()


def test_redirects_in_a_circle_end(server, downloader, rendition):
    server.answers[PATH] = [Answer(302, headers={"Location": PATH})]
    assert "redirects" in str(failure(downloader, rendition, RetryLater))
    assert len(server.asked) == load_settings().media.max_redirects + 1


def test_a_host_that_is_not_configured_is_not_asked_and_the_log_names_the_setting(downloader, caplog):
    with scripted_server() as other:
        rendition = Rendition("thumbnail", (Part(other.url("/a")),), 330, 10**6)
        assert failure(downloader, rendition, RetryLater).code == "host_not_allowed"
        assert other.asked == []
    assert caplog.records[-1].setting == "media.allowed_hosts"


@pytest.mark.parametrize("status", [429, 503])
def test_a_long_pause_holds_for_everyone_and_is_told(server, downloader, rendition, status):
    server.answers[PATH] = [Answer(status, headers={"Retry-After": "900"})]
    server.answers["/other"] = [OK]
    assert failure(downloader, rendition, RetryLater).after_s == 900
    other = replace(rendition, parts=(Part(server.url("/other")),))
    after_s = failure(downloader, other, RetryLater).after_s
    assert 800 < after_s <= 900
    assert len(server.asked) == 1


def test_a_short_pause_is_waited_for(server, downloader, rendition):
    server.answers[PATH] = [Answer(429, headers={"Retry-After": "0.05"}), OK]
    assert failure(downloader, rendition, RetryLater).after_s == 0.05
    assert downloader.download(rendition).parts[0].size_bytes == len(BYTES)


def test_no_more_than_two_downloads_run_at_once(server, downloader, rendition):
    hold = threading.Event()
    server.answers[PATH] = [Answer(200, BYTES, JPEG, hold=hold)]
    done: list[int] = []
    threads = [
        threading.Thread(target=lambda: done.append(downloader.download(rendition).parts[0].size_bytes))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    server.wait_for_requests(2)
    hold.set()
    for thread in threads:
        thread.join(30)
    assert done == [len(BYTES)] * 8
    assert server.most_in_flight == 2


def test_all_downloads_share_the_rate_and_still_come_through(server, directory, rendition):
    slow = Downloader(settings_for(server, directory, max_bits_per_s=len(BYTES) * 8 * 4), AGENT)
    server.answers[PATH] = [OK]
    assert [slow.download(rendition).parts[0].size_bytes for _ in range(5)] == [len(BYTES)] * 5


@pytest.mark.parametrize("held_after", [0, 10, 5000])
def test_a_server_that_never_finishes_is_ended_by_the_total_time(server, directory, rendition, held_after):
    never = threading.Event()
    impatient = Downloader(settings_for(server, directory, total_timeout_s=0.3), AGENT)
    server.answers[PATH] = [Answer(200, BYTES, JPEG, hold=never, held_after=held_after)]
    error = failure(impatient, rendition, RetryLater)
    assert error.code == "rendition_unavailable"
    assert "0.3 s" in str(error)
    assert list(directory.iterdir()) == []
    never.set()


def test_a_server_that_dribbles_its_headers_is_ended_by_the_total_time(directory):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        over = threading.Event()

        def dribble() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                try:
                    while not over.wait(0.01):
                        connection.sendall(b"x")
                except OSError:
                    pass

        thread = threading.Thread(target=dribble)
        thread.start()
        netloc = f"127.0.0.1:{listener.getsockname()[1]}"
        values = {"allowed_hosts": (netloc,), "directory": directory, "total_timeout_s": 0.3}
        downloader = Downloader(load_settings().media.model_copy(update=values), AGENT)
        rendition = Rendition("thumbnail", (Part(f"http://{netloc}/a"),), 330, 10**6)
        assert failure(downloader, rendition, RetryLater).code == "rendition_unavailable"
        over.set()
        thread.join(30)


def test_silence_is_ended_by_the_read_timeout(server, directory, rendition):
    never = threading.Event()
    impatient = Downloader(settings_for(server, directory, read_timeout_s=0.1), AGENT)
    server.answers[PATH] = [Answer(200, BYTES, JPEG, hold=never, held_after=10)]
    assert failure(impatient, rendition, RetryLater).code == "rendition_unavailable"
    never.set()


@pytest.mark.parametrize("held_after", [0, 10])
def test_the_stop_event_ends_a_download_that_hangs_and_blames_no_upload(
    server, directory, rendition, held_after
):
    never, stop = threading.Event(), threading.Event()
    downloader = Downloader(settings_for(server, directory), AGENT, stop)
    server.answers[PATH] = [Answer(200, BYTES, JPEG, hold=never, held_after=held_after)]
    caught: list[BaseException] = []

    def fetch() -> None:
        try:
            downloader.download(rendition)
        except ServiceDown as error:
            caught.append(error)

    threads = [threading.Thread(target=fetch) for _ in range(3)]
    for thread in threads:
        thread.start()
    server.wait_for_requests(2)
    stop.set()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)
    assert len(caught) == 3
    assert list(directory.iterdir()) == []
    never.set()


def test_a_dead_host_is_nobodys_fault_and_is_left_alone_for_a_while(directory):
    with scripted_server() as gone:
        rendition = Rendition("thumbnail", (Part(gone.url("/a")),), 330, 10**6)
        settings = settings_for(gone, directory)
    downloader = Downloader(settings, AGENT)
    with pytest.raises(ServiceDown, match="cannot be reached") as caught:
        downloader.download(rendition)
    assert caught.value.after_s is not None
    assert 0 < caught.value.after_s <= 1
    assert list(directory.iterdir()) == []


def test_a_kept_connection_that_was_closed_costs_no_try(server, downloader, rendition):
    server.answers[PATH] = [Answer(raw=b""), OK]
    assert downloader.download(rendition).parts[0].size_bytes == len(BYTES)


def test_connections_are_kept(server, downloader, rendition):
    ports = set()

    def answer(asked: Asked) -> Answer:
        ports.add(asked.peer)
        return OK

    server.answers[PATH] = answer
    for _ in range(4):
        downloader.download(rendition)
    assert len(ports) == 1


def test_what_a_killed_process_left_is_swept_away_and_nothing_else(downloader, directory):
    directory.mkdir(mode=0o755)
    (directory / "upload-abc123").write_bytes(b"x")
    (directory / "keep.txt").write_bytes(b"x")
    assert downloader.sweep() == 1
    assert [path.name for path in directory.iterdir()] == ["keep.txt"]
    assert directory.stat().st_mode & 0o777 == 0o700
    assert downloader.sweep() == 0


def test_a_directory_that_cannot_be_used_is_nobodys_fault(server, tmp_path, rendition):
    (tmp_path / "file").write_bytes(b"")
    downloader = Downloader(settings_for(server, tmp_path / "file" / "media"), AGENT)
    server.answers[PATH] = [OK]
    with pytest.raises(ServiceDown, match=r"media\.directory"):
        downloader.download(rendition)
    with pytest.raises(ServiceDown, match=r"media\.directory"):
        downloader.sweep()

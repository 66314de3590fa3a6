"""The event source against a real server with every fault that was measured in sseclient."""

import json
import logging
import threading
from itertools import islice

import pytest
import requests

from bot.errors import ConfigError
from bot.stream.backoff import Backoff
from bot.stream.framing import parse_block
from bot.stream.sse import EventSource
from tests.sse_server import (
    BASE_MS,
    Behaviour,
    Client,
    SseServer,
    block,
    never_answer,
    numbered,
    page,
    recentchange,
    refuse,
    reset_at_once,
    stream,
    upload,
)


class RecordingStop(threading.Event):
    """A stop event that does not really wait in the thread under test, and notes how long it was asked to."""

    def __init__(self) -> None:
        super().__init__()
        self.waits_s: list[float] = []
        self._thread = threading.current_thread()

    def wait(self, timeout: float | None = None) -> bool:
        if threading.current_thread() is not self._thread or timeout is None:
            return super().wait(timeout)
        self.waits_s.append(timeout)
        return super().wait(0.001)


@pytest.fixture
def stop():
    event = RecordingStop()
    yield event
    event.set()


def source(server: SseServer, stop: threading.Event, **options) -> EventSource:
    options.setdefault("backoff", Backoff(0.01, 20))
    options.setdefault("session", requests.Session())
    options.setdefault("read_timeout_s", 20)
    return EventSource(server.url, stop=stop, **options)


def log_ids(event_source: EventSource, count: int) -> list[int]:
    return [json.loads(event.data)["log_id"] for event in islice(event_source, count)]


@pytest.mark.parametrize("cut", ["line", "middle", "byte", "whole"])
def test_chunk_boundaries_anywhere_leave_events_whole(stop, cut):
    with SseServer(stream(numbered(range(1, 6)), cut=cut)) as server:
        assert log_ids(source(server, stop), 5) == [1, 2, 3, 4, 5]
        stop.set()


@pytest.mark.parametrize("body", ["gzip", "gzip-chunked", "close", "length"])
def test_compressed_and_unchunked_bodies_are_understood(stop, body):
    with SseServer(stream(numbered(range(1, 4)), body=body, cut="middle")) as server:
        assert log_ids(source(server, stop), 3) == [1, 2, 3]
        stop.set()


@pytest.mark.parametrize("character", ["\u2028", "\u2029", "\u0085", "\x0b", "\x0c", "\x1c"])
def test_unicode_line_separators_are_ordinary_characters(stop, character):
    data = block(json.dumps(upload(1, comment="X")).replace("X", character), BASE_MS)
    with SseServer(stream(data, cut="whole")) as server:
        event = next(source(server, stop))
        assert json.loads(event.data, strict=False)["comment"] == character
        stop.set()


@pytest.mark.parametrize("line_end", ["\n", "\r", "\r\n"])
@pytest.mark.parametrize("cut", ["byte", "whole"])
def test_every_standard_line_end_is_understood(stop, line_end, cut):
    data = numbered(range(1, 4), line_end=line_end) + b":\n\n"
    with SseServer(stream(data, cut=cut)) as server:
        assert log_ids(source(server, stop), 3) == [1, 2, 3]
        stop.set()


@pytest.mark.parametrize(
    "fault",
    [
        refuse("503 Service Unavailable"),
        refuse("429 Too Many Requests"),
        reset_at_once,
        page(),
        refuse("404 No"),
    ],
    ids=["503", "429", "reset", "html", "404"],
)
def test_a_failed_connect_is_tried_again(stop, fault: Behaviour):
    with SseServer(fault, fault, stream(numbered([7]))) as server:
        assert log_ids(source(server, stop), 1) == [7]
        assert len(server.requests) == 3
        stop.set()


def test_waits_grow_from_failure_to_failure_and_shrink_after_an_event(stop):
    down = refuse("503 Service Unavailable")
    up = stream(numbered([1]), then="close")
    with SseServer(down, down, down, down, up, up) as server:
        log_ids(source(server, stop), 2)
        stop.set()
    assert stop.waits_s[3] > stop.waits_s[1] > stop.waits_s[0]
    assert stop.waits_s[4] <= 0.01


@pytest.mark.parametrize(("header", "at_least_s"), [("7", 7.0), ("Wed, 21 Oct 2099 07:28:00 GMT", 3600.0)])
@pytest.mark.parametrize("status", ["429 Too Many Requests", "503 Service Unavailable"])
def test_retry_after_is_obeyed(stop, status, header, at_least_s):
    with SseServer(refuse(status, Retry_After=header), stream(numbered([1]))) as server:
        log_ids(source(server, stop), 1)
        stop.set()
    assert at_least_s <= stop.waits_s[0] <= at_least_s * 1.1


def test_the_retry_field_is_obeyed(stop):
    up = stream(b"retry: 9000\n\n" + numbered([1]), then="close")
    with SseServer(up) as server:
        log_ids(source(server, stop), 2)
        stop.set()
    assert 9 <= stop.waits_s[0] <= 9.9


@pytest.mark.parametrize("fault", [refuse("403 Forbidden"), page(), page(Content_Encoding="br")])
def test_what_will_not_heal_by_itself_is_told_once_and_asked_rarely(stop, fault, caplog):
    with SseServer(fault, fault, fault, stream(numbered([1]))) as server:
        log_ids(source(server, stop), 1)
        stop.set()
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert [record.getMessage() for record in errors] == ["stream_refused"]
    assert all(wait_s >= 10 for wait_s in stop.waits_s[:3])


@pytest.mark.parametrize("silent", [stream(b""), never_answer], ids=["after the head", "before the head"])
def test_silence_is_a_lost_connection(stop, silent):
    with SseServer(silent, stream(numbered([1]))) as server:
        assert log_ids(source(server, stop, read_timeout_s=0.2), 1) == [1]
        stop.set()


@pytest.mark.parametrize("ending", ["close", "abort", "reset"])
def test_a_cut_connection_resumes_with_the_last_id_and_drops_the_half_event(stop, ending):
    half = numbered([3])[:200]
    with SseServer(stream(numbered([1, 2]) + half, then=ending), stream(numbered([3]))) as server:
        assert log_ids(source(server, stop), 3) == [1, 2, 3]
        assert "last-event-id" not in server.requests[0]
        assert json.loads(server.requests[1]["last-event-id"])[0]["timestamp"] == BASE_MS + 2001
        stop.set()


def test_broken_gzip_is_a_lost_connection(stop):
    def broken(client: Client) -> None:
        client.open_stream("gzip")
        client.send(b"this is not gzip")

    with SseServer(broken, stream(numbered([1]))) as server:
        assert log_ids(source(server, stop), 1) == [1]
        stop.set()


def test_events_longer_than_the_limit_are_dropped_and_counted(stop):
    long = block(upload(1, comment="x" * 300_000), BASE_MS)
    with SseServer(stream(long + numbered([2]), cut="middle")) as server:
        events = source(server, stop, max_event_bytes=100_000)
        assert log_ids(events, 1) == [2]
        assert events.oversized == 1
        stop.set()


def test_an_event_of_several_megabytes_arrives(stop):
    with SseServer(stream(block(upload(1, comment="x" * 4_000_000), BASE_MS), cut="line")) as server:
        assert len(json.loads(next(source(server, stop)).data)["comment"]) == 4_000_000
        stop.set()


def test_bursts_hold_raw_blocks_and_leave_the_position_to_the_caller(stop):
    data = numbered([1, 2]) + block(recentchange(3), BASE_MS + 3000)
    with SseServer(stream(data, cut="whole", then="close"), stream(numbered([4]))) as server:
        events = source(server, stop, last_id="[]")
        bursts = events.bursts()
        blocks, first = [], next(bursts)
        blocks += first.blocks
        while len(blocks) < 3:
            blocks += next(bursts).blocks
        assert [json.loads(parse_block(found).data)["id"] for found in blocks] == [1, 2, 3]
        assert (first.connection, first.resumed_from) == (1, "[]")
        events.last_id = "mine"
        assert next(bursts).resumed_from == "mine"
        stop.set()
        assert server.requests[1]["last-event-id"] == "mine"


def test_nothing_is_printed_and_constructing_does_not_connect(stop, capsys):
    up = stream(numbered([1]), then="close")
    with SseServer(up) as server:
        events = source(server, stop)
        assert server.requests == []
        log_ids(events, 3)
        stop.set()
    assert capsys.readouterr().out == ""


def test_the_request_says_who_asks_and_what_for(stop):
    session = requests.Session()
    session.headers["User-Agent"] = "TestBot/1.0 (me@example.org)"
    with SseServer(stream(numbered([1]))) as server:
        log_ids(source(server, stop, session=session), 1)
        stop.set()
        assert server.requests[0]["user-agent"] == "TestBot/1.0 (me@example.org)"
        assert server.requests[0]["accept"] == "text/event-stream"
        assert server.requests[0]["cache-control"] == "no-cache"


@pytest.mark.parametrize("body", ["chunked", "gzip", "close"])
def test_the_stop_event_ends_a_blocked_read(body):
    stop, reading = threading.Event(), threading.Event()
    with SseServer(stream(numbered([1]), body=body)) as server:
        events = source(server, stop, read_timeout_s=600)

        def follow() -> None:
            for _ in events:
                reading.set()

        thread = threading.Thread(target=follow)
        thread.start()
        assert reading.wait(20)
        stop.set()
        thread.join(timeout=20)
        assert not thread.is_alive()


@pytest.mark.parametrize("blocked", [never_answer, refuse("403 Forbidden")], ids=["connecting", "waiting"])
def test_the_stop_event_ends_an_attempt_and_a_wait(blocked):
    stop = threading.Event()
    with SseServer(blocked) as server:
        events = source(server, stop, read_timeout_s=600, backoff=Backoff(600, 600))
        found: list[object] = []
        thread = threading.Thread(target=lambda: found.extend(events))
        thread.start()
        assert server.wait_for_requests(1)
        stop.set()
        thread.join(timeout=20)
        assert not thread.is_alive()
        assert found == []


def test_an_address_that_can_never_work_raises():
    events = EventSource("nonsense", stop=threading.Event(), session=requests.Session())
    with pytest.raises(ConfigError, match="nonsense"):
        next(events)

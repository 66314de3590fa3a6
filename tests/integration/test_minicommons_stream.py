"""The miniature EventStreams on the wire, read with a bare socket: framing, resuming, and every fault."""

import json
import socket
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bot.minicommons.corpus import SMALL, prepare_corpus
from bot.minicommons.server import MiniCommons

TIMEOUT_S = 20


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return prepare_corpus(tmp_path_factory.mktemp("corpus"), SMALL)


@pytest.fixture
def commons(corpus) -> Iterator[MiniCommons]:
    with MiniCommons(corpus) as server:
        yield server


class Client:
    """Reads an HTTP answer chunk by chunk, remembering where the chunks ended."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.file = sock.makefile("rb")
        self.status = int(self.file.readline().split()[1])
        self.headers = {}
        while (line := self.file.readline().strip()) != b"":
            name, _, value = line.decode().partition(": ")
            self.headers[name] = value

    def chunk(self) -> bytes:
        size = int(self.file.readline(), 16)
        body = self.file.read(size)
        assert self.file.read(2) == b"\r\n"
        return body

    def read_until(self, done) -> bytes:
        body = b""
        while not done(body):
            body += self.chunk()
        return body

    def events(self, count: int) -> list[dict]:
        body = self.read_until(lambda body: body.count(b"\ndata: ") >= count and body.endswith(b"\n\n"))
        return parsed(body)


def parsed(body: bytes) -> list[dict]:
    messages = [message for message in body.decode().split("\n\n") if message.startswith("event: ")]
    return [json.loads(message.split("\ndata: ", 1)[1]) for message in messages]


@contextmanager
def connected(commons: MiniCommons, query: str = "", **headers: str) -> Iterator[Client]:
    host, _, port = commons.media_host.partition(":")
    with socket.create_connection((host, int(port)), timeout=TIMEOUT_S) as sock:
        lines = [f"GET /v2/stream/recentchange{query} HTTP/1.1", f"Host: {host}", "User-Agent: test"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        client = Client(sock)
        yield client
        client.file.close()


def titles(events: list[dict]) -> list[str]:
    return [event["title"].rpartition(" ")[2] for event in events]


def event_id(event: dict, step: int = 1) -> str:
    """The id that makes the server begin with the event so many after this one."""
    offset = event["meta"]["offset"] + step
    return json.dumps([{"topic": "eqiad.mediawiki.recentchange", "partition": 0, "offset": offset}])


def test_the_first_chunk_is_ok_and_each_line_of_an_event_is_a_chunk(commons):
    with connected(commons) as client:
        assert client.status == 200
        assert client.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert client.headers["Transfer-Encoding"] == "chunked"
        assert client.chunk() == b":ok\n\n"
        commons.publish_corpus(names=["jpeg-baseline"])
        assert client.chunk() == b"event: message\n"
        identity = client.chunk()
        assert identity.startswith(b'id: [{"topic":"eqiad.mediawiki.recentchange","partition":0,"timestamp":')
        assert identity.endswith(b'{"topic":"codfw.mediawiki.recentchange","partition":0,"offset":-1}]\n')
        data = client.chunk()
        assert data.endswith(b"}\n\n")
        assert json.loads(data.removeprefix(b"data: "))["title"] == "File:Hills at noon.jpg"


def test_a_new_connection_starts_at_the_end_and_a_resumed_one_where_it_was(commons):
    commons.publish_many(3)
    with connected(commons, "?since=2020-01-01T00:00:00Z") as client:
        first = client.events(3)
        assert titles(first) == ["000001.jpg", "000002.jpg", "000003.jpg"]
    with connected(commons) as client:
        assert client.chunk() == b":ok\n\n"
        commons.publish_many(1)
        assert titles(client.events(1)) == ["000004.jpg"]
    with connected(commons, Last_Event_ID=event_id(first[0])) as client:
        assert titles(client.events(3)) == ["000002.jpg", "000003.jpg", "000004.jpg"]
    with connected(commons, "?since=1", Last_Event_ID=event_id(first[2])) as client:
        assert titles(client.events(1)) == ["000004.jpg"]
    assert commons.statistics()["last_event_ids"][:2] == ["", ""]


def test_after_a_jump_the_old_position_silently_starts_at_the_end(commons):
    commons.publish_many(2)
    with connected(commons, "?since=1") as client:
        (first, _) = client.events(2)
    commons.forget_events()
    with connected(commons, Last_Event_ID=event_id(first)) as client:
        assert client.chunk() == b":ok\n\n"
        commons.publish_many(1)
        assert titles(client.events(1)) == ["000003.jpg"]


@pytest.mark.parametrize("value", ["nonsense", "{}", "[1]"])
def test_a_position_that_is_none_is_refused(commons, value):
    with connected(commons, Last_Event_ID=value) as client:
        assert client.status == 400


@pytest.mark.parametrize("status", [503, 429])
def test_connects_are_refused_as_often_as_told(commons, status):
    commons.set_stream(refuse_times=1, refuse_status=status, refuse_retry_after_s=7)
    with connected(commons) as client:
        assert (client.status, client.headers["Retry-After"]) == (status, "7")
    with connected(commons) as client:
        assert client.status == 200


def test_more_connections_than_allowed_are_refused(commons):
    commons.set_stream(max_connections=1)
    with connected(commons) as first, connected(commons) as second:
        assert (first.status, second.status) == (200, 429)


def test_all_connections_can_be_closed_cleanly_or_not(commons):
    with connected(commons) as client:
        client.chunk()
        assert commons.close_streams() == 1
        assert client.chunk() == b""
        assert client.file.read() == b""
    with connected(commons) as client:
        client.chunk()
        commons.close_streams(abrupt=True)
        assert client.file.readline() == b""


def test_half_an_event_is_sent_and_the_connection_cut(commons):
    commons.set_stream(cut_times=1)
    with connected(commons) as client:
        client.chunk()
        commons.publish_many(1)
        half = client.chunk()
        assert half.startswith(b"event: message\nid: ")
        assert not half.endswith(b"\n\n")
        assert client.file.readline() == b""
    with connected(commons, "?since=1") as client:
        assert titles(client.events(1)) == ["000001.jpg"]


def test_a_muted_connection_says_nothing_more_and_a_new_one_works(commons):
    with connected(commons) as muted:
        muted.chunk()
        assert commons.mute_streams() == 1
        commons.publish_many(1)
        with connected(commons, "?since=1") as client:
            assert titles(client.events(1)) == ["000001.jpg"]
        muted.sock.settimeout(0.3)
        with pytest.raises(TimeoutError):
            muted.file.read(1)


def test_silence_ends_without_loss(commons):
    commons.set_stream(silent=True)
    with connected(commons) as client:
        assert client.chunk() == b":ok\n\n"
        commons.publish_many(2)
        commons.set_stream(silent=False)
        assert titles(client.events(2)) == ["000001.jpg", "000002.jpg"]


def test_events_are_repeated_and_reordered_but_none_is_left_out(commons):
    commons.set_stream(repeat=True, reorder=8)
    commons.publish_many(16)
    with connected(commons, "?since=1") as client:
        seen = titles(client.events(32))
    expected = sorted(f"{number:06d}.jpg" for number in [*range(1, 17)] * 2)
    assert sorted(seen) == expected
    assert seen != expected


def test_chunks_anywhere_cut_characters_and_lose_nothing(commons):
    commons.set_stream(chunks="anywhere")
    commons.publish_noise(60)
    with connected(commons, "?since=1") as client:
        events = client.events(60)
    offsets = [event["meta"]["offset"] for event in events]
    assert offsets == list(range(offsets[0], offsets[0] + 60))


def test_without_chunks_the_body_ends_with_the_connection(commons):
    commons.set_stream(chunks="none", max_events=3)
    commons.publish_many(3)
    with connected(commons, "?since=1") as client:
        assert "Transfer-Encoding" not in client.headers
        body = client.file.read()
    assert body.startswith(b":ok\n\nevent: message\n")
    assert len(parsed(body)) == 3


def test_gzip_is_sent_to_whoever_accepts_it_and_each_event_at_once(commons):
    commons.set_stream(gzip=True, retry_ms=1500)
    commons.publish_many(2)
    with connected(commons, "?since=1", Accept_Encoding="gzip, deflate") as client:
        assert client.headers["Content-Encoding"] == "gzip"
        unpacker, body = zlib.decompressobj(wbits=31), b""
        while body.count(b"\ndata: ") < 2:
            body += unpacker.decompress(client.chunk())
    assert body.startswith(b":ok\n\nretry: 1500\n\n")
    assert len(parsed(body)) == 2
    with connected(commons) as client:
        assert "Content-Encoding" not in client.headers


def test_a_client_that_leaves_is_noticed_without_any_event(commons):
    with connected(commons) as client:
        client.chunk()
        assert commons.statistics()["streams_now"] == 1
    deadline = time.monotonic() + TIMEOUT_S
    while commons.statistics()["streams_now"] and time.monotonic() < deadline:
        time.sleep(0.02)
    assert commons.statistics()["streams_now"] == 0


def test_publishing_can_wait_for_a_listener(commons):
    assert not commons.wait_for_stream(timeout_s=0)
    with connected(commons) as client:
        assert commons.wait_for_stream(TIMEOUT_S)
        assert client.chunk() == b":ok\n\n"


def test_withheld_uploads_stand_in_the_log_only(commons):
    commons.publish_many(4, withhold_every=2)
    with connected(commons, "?since=1") as client:
        assert titles(client.events(2)) == ["000001.jpg", "000003.jpg"]
    assert [outcome.in_stream for outcome in commons.plan().outcomes] == [True, False, True, False]


def test_uploads_at_a_rate_come_in_the_background(commons):
    with connected(commons) as client:
        client.chunk()
        commons.publish_many(5, rate_per_s=50)
        assert len(client.events(5)) == 5
    assert len(commons.plan().outcomes) == 5

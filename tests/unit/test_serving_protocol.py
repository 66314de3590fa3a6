"""What the protocol makes of bytes, however they are cut: whole requests, or an end."""

import asyncio
import itertools
import socket
from collections.abc import Sequence
from typing import Any

import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from uvicorn.server import ServerState

from bot.serving.protocol import MAX_HEAD_BYTES, BoundedProtocol
from bot.serving.server import listen
from bot.settings import load_settings

BODY = b"picture" * 9
HEAD = b"POST /v1/classify?level=cautious HTTP/1.1\r\nHost: a\r\nX-Other: b\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
OFFER = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n"


class Connection(asyncio.Transport):
    """What the service writes, and whether it hung up."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self.written = b""
        self.closed = False

    def write(self, data: Any) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        """The tests send nothing while somebody waits."""

    def resume_reading(self) -> None:
        """As above."""


def received(pieces: Sequence[bytes]) -> tuple[Connection, list[tuple[dict[str, Any], bytes]]]:
    """Send pieces; the connection afterwards, and the requests that the application got."""
    requests: list[tuple[dict[str, Any], bytes]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        requests.append((scope, body))
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    async def run() -> Connection:
        connection = Connection()
        protocol = BoundedProtocol(uvicorn.Config(app, ws="none", log_config=None), ServerState(), {})
        protocol.connection_made(connection)
        for piece in pieces:
            if not connection.closed:
                protocol.data_received(piece)
        for _ in range(20):
            await asyncio.sleep(0)
        protocol._unset_keepalive_if_required()
        return connection

    return asyncio.run(run()), requests


def chunked(content: bytes, size: int) -> bytes:
    parts = [content[at : at + size] for at in range(0, len(content), size)]
    return b"".join(b"%x;a=b\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\nX-Trailer: c\r\n\r\n"


@given(
    cuts=st.lists(st.integers(1, 400), max_size=30),
    offers=st.booleans(),
    size=st.one_of(st.none(), st.integers(1, 70)),
)
def test_a_request_is_the_same_however_it_is_cut(cuts: list[int], offers: bool, size: int | None) -> None:
    length = b"Content-Length: %d\r\n\r\n" % len(BODY)
    request = HEAD + (OFFER if offers else b"")
    request += length + BODY if size is None else CHUNKED + chunked(BODY, size)
    edges = sorted({0, len(request), *(cut for cut in cuts if cut < len(request))})
    pieces = [request[start:end] for start, end in itertools.pairwise(edges)]
    connection, requests = received(pieces)
    assert connection.written.startswith(b"HTTP/1.1 204 ")
    [(scope, body)] = requests
    assert (scope["method"], scope["path"], scope["query_string"], body) == (
        "POST",
        "/v1/classify",
        b"level=cautious",
        BODY,
    )
    headers = dict(scope["headers"])
    assert (headers[b"host"], headers[b"x-other"]) == (b"a", b"b")
    assert b"upgrade" not in headers


@pytest.mark.parametrize(
    ("before", "endless"),
    [
        (b"", b"a" * 1000),
        (b"GET /", b"a" * 1000),
        (HEAD, b"X: y\r\n" * 100),
        (HEAD + b"X: ", b"y" * 1000),
        (HEAD + OFFER, b"X: y\r\n" * 100),
        (HEAD + CHUNKED + b"5;", b"x" * 1000),
        (HEAD + CHUNKED + b"5\r\nabcde\r\n0\r\n", b"X: y\r\n" * 100),
        (HEAD + CHUNKED + b"0\r\nX: ", b"y" * 1000),
    ],
    ids=["method", "address", "heads", "value", "with an offer", "extension", "trailers", "trailer"],
)
def test_what_goes_on_without_a_body_is_ended(before: bytes, endless: bytes) -> None:
    # The application answers nothing before the end of its request, so whatever is written is a refusal.
    connection, _ = received([before, *[endless] * (MAX_HEAD_BYTES // len(endless) + 2)])
    assert connection.closed
    assert b" 400 Bad Request" in connection.written


def test_a_long_body_in_small_chunks_is_none_of_that() -> None:
    content = bytes(3 * MAX_HEAD_BYTES)
    request = HEAD + CHUNKED + chunked(content, 8)
    connection, requests = received([request[at : at + 1000] for at in range(0, len(request), 1000)])
    assert not connection.closed
    assert requests[0][1] == content


def test_two_requests_at_once_are_two() -> None:
    request = HEAD + b"Content-Length: 3\r\n\r\nabc"
    _, requests = received([request + request])
    assert [body for _, body in requests] == [b"abc", b"abc"]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_an_answer_does_not_wait_for_the_client_to_acknowledge_its_head(host: str) -> None:
    settings = load_settings(overrides={"serve": {"host": host, "port": 0}})

    async def no_delay() -> int:
        found: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            accepted = writer.get_extra_info("socket")
            found.set_result(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        taken = listen(settings)
        async with await asyncio.start_server(answer, sock=taken):
            _, writer = await asyncio.open_connection(host, taken.getsockname()[1])
            told = await found
            writer.close()
        return told

    assert asyncio.run(no_delay())

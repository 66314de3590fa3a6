"""A small server for the stream's tests: raw sockets, EventStreams' shape, and every fault on demand.

Each connection is answered by the next of the behaviours given (the last one for all that follow). One
is a function of the `Client`; the builders below cover the faults. Events and ids look as EventStreams' do.
"""

import json
import socket
import threading
import zlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, Literal, Self

TOPIC, IDLE_TOPIC = "eqiad.mediawiki.recentchange", "codfw.mediawiki.recentchange"
BASE_MS = 1_746_030_241_000
Cut = Literal["line", "middle", "byte", "whole"]
Body = Literal["chunked", "gzip", "gzip-chunked", "close", "length"]
Behaviour = Callable[["Client"], None]


def event_id(ms: int) -> str:
    """Id of an event at Kafka time `ms`: one later, as kafka-sse writes it."""
    entries = [
        {"topic": TOPIC, "partition": 0, "timestamp": ms + 1},
        {"topic": IDLE_TOPIC, "partition": 0, "offset": -1},
    ]
    return json.dumps(entries, separators=(",", ":"))


def recentchange(number: int, *, wiki: str = "commonswiki", **fields: Any) -> dict[str, Any]:
    """An edit event; fields override, None included."""
    return {
        "$schema": "/mediawiki/recentchange/1.0.0",
        "meta": {"domain": "commons.wikimedia.org", "dt": "2025-04-30T16:24:01.000Z", "stream": "x"},
        "id": number,
        "type": "edit",
        "namespace": 0,
        "title": f"Page {number}",
        "comment": "c",
        "timestamp": BASE_MS // 1000 + number,
        "user": "Someone",
        "bot": False,
        "server_name": "commons.wikimedia.org",
        "wiki": wiki,
        **fields,
    }


def upload(number: int, **fields: Any) -> dict[str, Any]:
    """An upload event with log id `number`."""
    return recentchange(
        number,
        **{
            "type": "log",
            "namespace": 6,
            "title": f"File:Picture é {number}.jpg",
            "log_id": number,
            "log_type": "upload",
            "log_action": "upload",
            "log_params": {
                "img_sha1": "n7p91uyt4hcqqq8s0snqrsfdfc75xfx",
                "img_timestamp": "20250430162401",
            },
            **fields,
        },
    )


def block(event: Any, ms: int, *, line_end: str = "\n") -> bytes:
    """One event on the wire."""
    data = event if isinstance(event, str) else json.dumps(event, ensure_ascii=False, separators=(",", ":"))
    return line_end.join(["event: message", f"id: {event_id(ms)}", f"data: {data}", "", ""]).encode()


def numbered(numbers: Iterable[int], *, line_end: str = "\n") -> bytes:
    """Uploads with these log ids, one second apart."""
    return b"".join(block(upload(n), BASE_MS + n * 1000, line_end=line_end) for n in numbers)


def _pieces(data: bytes, cut: Cut) -> Sequence[bytes]:
    if cut == "line":
        return data.splitlines(keepends=True)
    if cut == "byte":
        return [data[i : i + 1] for i in range(len(data))]
    if cut == "middle":
        return [data[i : i + 97] for i in range(0, len(data), 97)]
    return [data]


class Client:
    """One connection: its request's headers, and ways to answer it."""

    def __init__(self, connection: socket.socket, headers: dict[str, str], closing: threading.Event) -> None:
        self.connection = connection
        self.headers = headers
        self.closing = closing
        self.chunked = False

    def send(self, data: bytes) -> None:
        self.connection.sendall(data)

    def head(self, status: str = "200 OK", **headers: str) -> None:
        """Send status and headers; `Retry_After="1"` becomes `Retry-After: 1`."""
        lines = [f"HTTP/1.1 {status}", *(f"{k.replace('_', '-')}: {v}" for k, v in headers.items())]
        self.send("\r\n".join([*lines, "", ""]).encode())

    def body(self, pieces: Iterable[bytes]) -> None:
        """Send pieces as chunks, or plainly where the head said so."""
        for piece in pieces:
            self.send(b"%x\r\n%s\r\n" % (len(piece), piece) if self.chunked else piece)

    def open_stream(self, body: Body = "chunked", length: int = 0) -> None:
        """Send the head of an event stream, and `:ok` as EventStreams does."""
        fields = {"Content_Type": "text/event-stream; charset=utf-8"}
        self.chunked = body in ("chunked", "gzip-chunked")
        if self.chunked:
            fields["Transfer_Encoding"] = "chunked"
        if body.startswith("gzip"):
            fields["Content_Encoding"] = "gzip"
        if body == "length":
            fields["Content_Length"] = str(length)
        if body in ("gzip", "close"):
            fields["Connection"] = "close"
        self.head(**fields)

    def hold(self) -> None:
        """Keep the connection open, silent, until the client or the server ends it."""
        self.connection.settimeout(0.05)
        while not self.closing.is_set():
            try:
                if not self.connection.recv(1024):
                    return
            except TimeoutError:
                continue

    def reset(self) -> None:
        """End the connection with RST."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.connection.close()


def stream(
    data: bytes,
    *,
    cut: Cut = "line",
    body: Body = "chunked",
    then: Literal["hold", "close", "abort", "reset"] = "hold",
) -> Behaviour:
    """Send an event stream: how it is cut, how it is wrapped, how it ends."""

    def behave(client: Client) -> None:
        sent = b":ok\n\n" + data
        client.open_stream(body, len(sent))
        if body.startswith("gzip"):
            packer = zlib.compressobj(wbits=31)
            client.body(
                packer.compress(piece) + packer.flush(zlib.Z_SYNC_FLUSH) for piece in _pieces(sent, cut)
            )
        else:
            client.body(_pieces(sent, cut))
        if then == "hold":
            client.hold()
        elif then == "close" and client.chunked:
            client.send(b"0\r\n\r\n")
        elif then == "reset":
            client.reset()

    return behave


def refuse(status: str, **headers: str) -> Behaviour:
    """Answer with an error page."""

    def behave(client: Client) -> None:
        client.head(status, Content_Type="text/html", Content_Length="4", Connection="close", **headers)
        client.send(b"nope")

    return behave


def page(content: bytes = b"<html>", **headers: str) -> Behaviour:
    """Answer 200 with something that is no event stream."""

    def behave(client: Client) -> None:
        client.head(**{"Content_Type": "text/html", "Content_Length": str(len(content)), **headers})
        client.send(content)

    return behave


def never_answer(client: Client) -> None:
    """Accept and say nothing at all."""
    client.hold()


def reset_at_once(client: Client) -> None:
    """Accept, read the request, and reset."""
    client.reset()


def replay(events: Sequence[tuple[int, bytes]], *, at_most: int | None = None) -> Behaviour:
    """Serve (ms, block) pairs from the client's Last-Event-ID on, as Kafka finds an offset for a time."""

    def behave(client: Client) -> None:
        from_ms = 0
        if "last-event-id" in client.headers:
            from_ms = max(entry.get("timestamp", 0) for entry in json.loads(client.headers["last-event-id"]))
        client.open_stream()
        found = [data for ms, data in events if ms >= from_ms][:at_most]
        client.body([b":ok\n\n", *(piece for data in found for piece in _pieces(data, "line"))])
        if at_most is None:
            client.hold()

    return behave


class SseServer:
    """The server; a context manager.

    Attributes:
        requests: Headers of every request so far, lower case.
    """

    def __init__(self, *behaviours: Behaviour) -> None:
        self._behaviours = behaviours
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._closing = threading.Event()
        self._threads: list[threading.Thread] = []
        self.requests: list[dict[str, str]] = []
        self.asked = threading.Condition()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}/v2/stream/recentchange"

    def wait_for_requests(self, count: int) -> bool:
        with self.asked:
            return self.asked.wait_for(lambda: len(self.requests) >= count, timeout=30)

    def _accept(self) -> None:
        self._listener.settimeout(0.05)
        while not self._closing.is_set():
            with suppress(TimeoutError):
                connection, _ = self._listener.accept()
                thread = threading.Thread(target=self._serve, args=(connection,))
                thread.start()
                self._threads.append(thread)

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(ConnectionError):
            connection.settimeout(30)
            received = b""
            while b"\r\n\r\n" not in received:
                part = connection.recv(65536)
                if not part:
                    return
                received += part
            lines = received.decode("latin-1").split("\r\n")[1:]
            headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines if line)}
            with self.asked:
                number = len(self.requests)
                self.requests.append(headers)
                self.asked.notify_all()
            self._behaviours[min(number, len(self._behaviours) - 1)](
                Client(connection, headers, self._closing)
            )

    def __enter__(self) -> Self:
        self._acceptor = threading.Thread(target=self._accept)
        self._acceptor.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._acceptor.join()
        for thread in self._threads:
            thread.join()
        self._listener.close()


__all__ = [
    "BASE_MS",
    "Client",
    "SseServer",
    "block",
    "event_id",
    "never_answer",
    "numbered",
    "page",
    "recentchange",
    "refuse",
    "replay",
    "reset_at_once",
    "stream",
    "upload",
]

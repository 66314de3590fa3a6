"""EventStreams' wire behaviour on one connection, well and badly.

Read from the real service: `:ok` first, one HTTP chunk for each line of an event, no heartbeat, the
connection is kept open. `StreamFaults` says how to deviate from that.
"""

import json
import select
import socket
import threading
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from typing import Any, Literal
from urllib.parse import parse_qs

from bot.minicommons.ring import Item, Ring
from bot.minicommons.statistics import Statistics

STREAM_PATH = "/v2/stream/recentchange"
_HEADERS = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
    b"Cache-Control: private, max-age=0, s-maxage=0, no-cache, no-store, must-revalidate\r\n"
    b"Access-Control-Allow-Origin: *\r\n"
)
_BATCH_EVENTS = 64
_POLL_S = 0.5


@dataclass(slots=True)
class StreamFaults:
    """How the stream misbehaves; read afresh for every batch of events.

    Attributes:
        refuse_times: How many connects to answer with `refuse_status`; -1 for all.
        refuse_status: 503 or 429.
        refuse_retry_after_s: Retry-After of the refusal; None sends none.
        silent: Connections stay open, and nothing is sent after `:ok`.
        cut_times: How many times to send half an event and then break the connection.
        repeat: Every event is sent twice.
        reorder: Events are shuffled within groups of so many; 0 or 1 keeps the order.
        gzip: Compress for clients that accept it.
        chunks: HTTP chunks by line (as the real service), anywhere, or none (closing ends the body).
        retry_ms: Sends a `retry:` field first; None sends none.
        max_connections: More at once are answered 429, as the real service does beyond 2; 0 allows all.
        max_events: A connection is closed cleanly after so many events; 0 never.
    """

    refuse_times: int = 0
    refuse_status: int = 503
    refuse_retry_after_s: int | None = 1
    silent: bool = False
    cut_times: int = 0
    repeat: bool = False
    reorder: int = 0
    gzip: bool = False
    chunks: Literal["lines", "anywhere", "none"] = "lines"
    retry_ms: int | None = None
    max_connections: int = 0
    max_events: int = 0


@dataclass(slots=True, eq=False)
class StreamConnection:
    """What others may tell an open connection: be silent from now on, or end cleanly or abruptly."""

    muted: bool = False
    ending: Literal["clean", "abrupt"] | None = None


class StreamServer:
    """Serves the ring to every connection, under one set of faults.

    Args:
        ring: The events.
        statistics: Where connections and events are counted.
    """

    def __init__(self, ring: Ring, statistics: Statistics) -> None:
        self.faults = StreamFaults()
        self._ring = ring
        self._statistics = statistics
        self._lock = threading.Lock()
        self._connections: set[StreamConnection] = set()

    def close_all(self, *, abrupt: bool) -> int:
        """End every open connection.

        Args:
            abrupt: Without the last chunk that marks a clean end.

        Returns:
            How many there were.
        """
        with self._lock:
            for connection in self._connections:
                connection.ending = "abrupt" if abrupt else "clean"
            number = len(self._connections)
        self._ring.wake()
        return number

    def mute_all(self) -> int:
        """Let the connections that are open now stay open but silent for ever; new ones work."""
        with self._lock:
            for connection in self._connections:
                connection.muted = True
            return len(self._connections)

    def _take(self, name: Literal["refuse_times", "cut_times"]) -> bool:
        with self._lock:
            left: int = getattr(self.faults, name)
            if left > 0:
                setattr(self.faults, name, left - 1)
            return left != 0

    def serve(self, sock: socket.socket, headers: Mapping[str, str], query: str) -> int:
        """Answer one request for the stream, until either side ends it.

        Args:
            sock: The client's socket; the caller closes it afterwards.
            headers: Request headers.
            query: Query string.

        Returns:
            The HTTP status.
        """
        event_id = headers.get("Last-Event-ID") or ""
        self._statistics.remember_event_id(event_id)
        with self._statistics.stream() as number:
            if self._take("refuse_times"):
                return _refuse(sock, self.faults.refuse_status, self.faults.refuse_retry_after_s)
            if 0 < self.faults.max_connections < number:
                return _refuse(sock, 429, None)
            try:
                offset = self._ring.start(_assignments(event_id), _since_ms(query))
            except ValueError as error:
                return _refuse(sock, 400, None, str(error))
            connection = StreamConnection()
            with self._lock:
                self._connections.add(connection)
            try:
                wire = _Wire(sock, self.faults, accepts_gzip="gzip" in headers.get("Accept-Encoding", ""))
                self._run(wire, connection, offset)
            finally:
                with self._lock:
                    self._connections.discard(connection)
            return 200

    def _run(self, wire: "_Wire", connection: StreamConnection, offset: int) -> None:
        wire.open()
        sent = 0
        while not wire.client_left():
            items = self._ring.read(offset, _BATCH_EVENTS, _POLL_S)
            if connection.ending is not None:
                # Asked after reading: what was published since the end was ordered must not slip out.
                break
            if self.faults.silent or connection.muted or not items:
                if items:
                    # Nothing to wait for in the ring: hold back what is there and look again later.
                    wire.pause(_POLL_S / 5)
                continue
            if 0 < len(items) < self.faults.reorder:
                wire.pause(_POLL_S / 5)
                items = self._ring.read(offset, _BATCH_EVENTS, 0)
            offset = items[-1].offset + 1
            if self._take("cut_times"):
                wire.send([b"".join(items[0].lines)[: len(b"".join(items[0].lines)) // 2]])
                connection.ending = "abrupt"
                break
            wire.send(
                [b"".join(i.lines) for i in self._arranged(items)], [i.lines for i in self._arranged(items)]
            )
            sent += len(items)
            self._statistics.count_events(len(items))
            if 0 < self.faults.max_events <= sent:
                break
        if connection.ending != "abrupt":
            wire.finish()

    def _arranged(self, items: list[Item]) -> Iterator[Item]:
        size = max(1, self.faults.reorder)
        for start in range(0, len(items), size):
            group = items[start : start + size]
            if size > 1:
                Random(group[0].offset).shuffle(group)
            for item in group:
                yield item
                if self.faults.repeat:
                    yield item


class _Wire:
    """Puts bytes on the socket: chunked or not, compressed or not."""

    def __init__(self, sock: socket.socket, faults: StreamFaults, *, accepts_gzip: bool) -> None:
        self._sock = sock
        self._chunks = faults.chunks
        self._retry_ms = faults.retry_ms
        self._zip = zlib.compressobj(wbits=31) if faults.gzip and accepts_gzip else None
        self._rng = Random(7)

    def open(self) -> None:
        head = _HEADERS
        if self._zip:
            head += b"Content-Encoding: gzip\r\n"
        head += b"Connection: close\r\n" if self._chunks == "none" else b"Transfer-Encoding: chunked\r\n"
        self._sock.sendall(head + b"\r\n")
        greeting = [b":ok\n\n"]
        if self._retry_ms is not None:
            greeting.append(b"retry: %d\n\n" % self._retry_ms)
        self.send(greeting)

    def send(self, messages: list[bytes], lines: list[tuple[bytes, bytes, bytes]] | None = None) -> None:
        """Send whole messages; `lines` are the same cut into lines, where they have several."""
        body = b"".join(messages)
        if self._zip:
            body = self._zip.compress(body) + self._zip.flush(zlib.Z_SYNC_FLUSH)
        if self._chunks == "none":
            self._sock.sendall(body)
        elif self._chunks == "anywhere":
            self._sock.sendall(b"".join(self._pieces(body)))
        elif self._zip:
            self._sock.sendall(_chunk(body))
        else:
            pieces = messages if lines is None else [line for message in lines for line in message]
            self._sock.sendall(b"".join(map(_chunk, pieces)))

    def _pieces(self, body: bytes) -> Iterator[bytes]:
        start = 0
        while start < len(body):
            end = start + self._rng.randint(1, 700)
            yield _chunk(body[start:end])
            start = end

    def pause(self, seconds: float) -> None:
        """Wait, unless the client leaves or says something."""
        select.select([self._sock], [], [], seconds)

    def client_left(self) -> bool:
        readable, _, _ = select.select([self._sock], [], [], 0)
        return bool(readable) and not self._sock.recv(1024)

    def finish(self) -> None:
        tail = self._zip.flush() if self._zip else b""
        if self._chunks == "none":
            self._sock.sendall(tail)
        else:
            self._sock.sendall((_chunk(tail) if tail else b"") + b"0\r\n\r\n")


def _chunk(body: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(body), body)


def _refuse(sock: socket.socket, status: int, retry_after_s: int | None, message: str = "upstream") -> int:
    body = message.encode()
    retry = b"" if retry_after_s is None else b"Retry-After: %d\r\n" % retry_after_s
    head = b"HTTP/1.1 %d Refused\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n%s"
    sock.sendall(head % (status, len(body), retry) + b"Connection: close\r\n\r\n" + body)
    return status


def _assignments(event_id: str) -> list[Mapping[str, Any]]:
    """The header's content; raises ValueError where it is not a JSON array of objects."""
    if not event_id:
        return []
    value = json.loads(event_id)
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise ValueError("Last-Event-ID is not an array of assignments")
    return value


def _since_ms(query: str) -> int | None:
    """`?since=`: milliseconds since 1970, or ISO 8601; raises ValueError otherwise."""
    since = parse_qs(query).get("since", [""])[0]
    if not since:
        return None
    if since.isdigit():
        return int(since)
    when = datetime.fromisoformat(since)
    return int((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1000)

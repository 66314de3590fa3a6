"""The wiki's changes as Server-Sent Events, in the shape and under the path of Wikimedia's EventStreams.

MediaWiki sends one UDP datagram of JSON per change; each becomes an event with a position. Positions, ids and
resuming (`Last-Event-ID`, `?since=`) are the miniature Commons' `Ring`, so both speak the same dialect; what
is real here is the event itself.
"""

import json
import select
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from bot.minicommons.ring import FIRST_OFFSET, Item, Ring

PATH = "/v2/stream/recentchange"
SCHEMA = "/mediawiki/recentchange/1.0.0"
_KEPT_EVENTS = 100_000
_LARGEST_DATAGRAM = 65536
_POLL_S = 0.25

Event = dict[str, Any]


def as_event(change: Mapping[str, Any], when: datetime) -> Event:
    """What EventStreams makes of a change: `$schema`, `meta` and the keys MediaWiki 1.39 does not send yet.

    Args:
        change: One packet of MediaWiki's JSONRCFeedFormatter.
        when: Moment of the event, with milliseconds.

    Returns:
        The event; the ring adds topic, partition and offset.
    """
    title = str(change.get("title", "")).replace(" ", "_")
    address = f"{change.get('server_url', '')}/wiki/{quote(title, safe='/:@!$()*,;~')}"
    meta = {
        "uri": address,
        "request_id": str(uuid.uuid4()),
        "id": str(uuid.uuid4()),
        "domain": change.get("server_name", ""),
        "stream": "mediawiki.recentchange",
        "dt": when.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }
    added = {"title_url": address, "parsedcomment": change.get("comment", "")}
    return {"$schema": SCHEMA, "meta": meta, **added, **change}


class EventRelay:
    """UDP in, Server-Sent Events out; both on loopback, in threads of this process."""

    def __init__(self) -> None:
        self._ring = Ring(_KEPT_EVENTS)
        self._stopping = threading.Event()
        self._generation = 0  # connections of an older one end
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self._udp.bind(("127.0.0.1", 0))
        self._udp.settimeout(_POLL_S)
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.daemon_threads = True
        self._threads = [
            threading.Thread(target=self._receive, name="sandbox-relay-udp"),
            threading.Thread(target=self._http.serve_forever, args=(_POLL_S,), name="sandbox-relay-http"),
        ]

    @property
    def changes_port(self) -> int:
        """UDP port that MediaWiki sends its changes to."""
        port: int = self._udp.getsockname()[1]
        return port

    @property
    def url(self) -> str:
        """Address of the stream."""
        return f"http://127.0.0.1:{self._http.server_port}{PATH}"

    def start(self) -> None:
        """Begin to receive and to serve."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End every connection and both threads."""
        self._stopping.set()
        self._ring.wake()
        self._http.shutdown()
        for thread in self._threads:
            thread.join()
        self._http.server_close()
        self._udp.close()

    def publish(self, change: Mapping[str, Any]) -> None:
        """Send a change as if MediaWiki had sent it.

        Args:
            change: Packet in the shape of MediaWiki's JSON feed.
        """
        now = datetime.now(UTC)
        self._ring.append(as_event(change, now), int(now.timestamp() * 1000))

    def drop_connections(self) -> None:
        """Close every open stream, as Wikimedia does every quarter of an hour."""
        self._generation += 1
        self._ring.wake()

    def wait_for(self, wanted: Callable[[Event], bool], timeout_s: float = 20) -> Event:
        """The first event, past or future, that fits.

        Args:
            wanted: Says whether an event fits.
            timeout_s: How long to wait.

        Raises:
            TimeoutError: None came.
        """
        offset, deadline = FIRST_OFFSET, time.monotonic() + timeout_s
        while (left_s := deadline - time.monotonic()) > 0:
            for item in self._ring.read(offset, 1000, left_s):
                offset = item.offset + 1
                event: Event = json.loads(item.lines[2].removeprefix(b"data: "))
                if wanted(event):
                    return event
        raise TimeoutError(f"no such event among {len(self._ring)}")

    def _receive(self) -> None:
        while not self._stopping.is_set():
            try:
                datagram = self._udp.recv(_LARGEST_DATAGRAM)
            except TimeoutError:
                continue
            self.publish(json.loads(datagram))

    def _follow(self, offset: int, generation: int, client: socket.socket) -> Iterable[Item]:
        """Events from an offset on, until the relay stops, drops its connections or the client is gone."""
        while not self._stopping.is_set() and generation == self._generation:
            for item in self._ring.read(offset, 100, _POLL_S):
                offset = item.offset + 1
                yield item
            if select.select([client], [], [], 0)[0] and not client.recv(1, socket.MSG_PEEK):
                return

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        relay = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                generation, address = relay._generation, urlsplit(self.path)
                if address.path != PATH:
                    self.send_error(404)
                    return
                try:
                    start = relay._ring.start(
                        *_starting_point(self.headers.get("Last-Event-ID"), address.query)
                    )
                except (ValueError, AttributeError):
                    self.send_error(400)
                    return
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream; charset=utf-8")
                self.send_header("Cache-Control", "no-cache, no-store, must-revalidate")
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                self.close_connection = True
                try:
                    self._chunks([b":ok\n\n"])
                    for item in relay._follow(start, generation, self.connection):
                        self._chunks(item.lines)
                    self.wfile.write(b"0\r\n\r\n")
                except ConnectionError:
                    pass  # the client has enough

            def _chunks(self, lines: Iterable[bytes]) -> None:
                # One chunk per line, as Wikimedia's service writes them.
                self.wfile.write(b"".join(b"%x\r\n%s\r\n" % (len(line), line) for line in lines))

            def log_message(self, *_: object) -> None:
                pass

        return Handler


def _starting_point(last_event_id: str | None, query: str) -> tuple[list[Mapping[str, Any]], int | None]:
    assignments = json.loads(last_event_id) if last_event_id else []
    since = parse_qs(query).get("since", [""])[0]
    if not since:
        return assignments, None
    if since.isdigit():
        return assignments, int(since)
    moment = datetime.fromisoformat(since)
    return assignments, int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)

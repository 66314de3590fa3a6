"""A Server-Sent Events client that stays connected: sseclient's class with its measured defects replaced.

What sseclient 0.0.27 does, measured, and what happens here instead:

- It reads below urllib3's chunk decoder without undoing the chunks, so a chunk boundary inside an event
  breaks the event, and it dies on gzip: see `bot.stream.body`.
- It ends lines at U+2028 and U+0085, and is quadratic in an event's size: see `bot.stream.framing`.
- It raises on 429 or 503 and whenever reconnecting fails. Here every failure is a wait, see
  `bot.stream.backoff`; only an address that can never work raises.
- It blocks for ever on a silent connection, or lets a raw TimeoutError escape with a timeout set. Here
  silence of `read_timeout_s` is a lost connection like any other.
- It prints to stdout and sleeps without a way to stop. Here it logs, and the stop event ends a wait, an
  attempt to connect and a blocked read at once.
"""

import http.client
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime

import requests
import sseclient
import urllib3

from bot.errors import ConfigError
from bot.stream.backoff import Backoff, parse_retry_after
from bot.stream.body import body_reader
from bot.stream.framing import MAX_EVENT_BYTES, BlockSplitter, parse_block

_POLL_S = 0.2
_CONTENT_ENCODINGS = frozenset({"", "identity", "gzip", "x-gzip", "deflate"})
_TRANSPORT_ERRORS = (
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    OSError,
    ValueError,  # a ChunkError, and what ssl says of a socket that the stop event shut down
)
_BAD_ADDRESS = (
    requests.exceptions.InvalidURL,
    requests.exceptions.MissingSchema,
    requests.exceptions.InvalidSchema,
)
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Burst:
    """The events that one read from the connection completed.

    Attributes:
        blocks: Raw event blocks, in order, never empty.
        connection: Number of the connection, from 1.
        resumed_from: The Last-Event-ID that this connection was opened with; None for a live start.
    """

    blocks: list[bytes]
    connection: int
    resumed_from: str | None


class EventSource(sseclient.SSEClient):  # type: ignore[misc]  # sseclient has no types
    """An endless, resuming stream of events.

    Iterate over `bursts()` for raw blocks, or over the object itself for `sseclient.Event`s. The connection
    is opened by the first read, and again whenever it is lost, with `last_id` as Last-Event-ID. Iterating
    over the object keeps `last_id` itself; whoever iterates over `bursts()` sets it to what is stored.

    Args:
        url: Address of the stream.
        stop: Ends everything as soon as it is set.
        session: Carries the User-Agent; not used by anybody else meanwhile.
        last_id: Where to resume; None starts live.
        connect_timeout_s: For the connection.
        read_timeout_s: Silence after which the connection counts as dead.
        backoff: The waits between attempts.
        max_event_bytes: Longer events are dropped and counted.

    Attributes:
        last_id: Sent as Last-Event-ID by the next connection.
        connections: How many were opened so far.
        oversized: Events dropped for their length.
    """

    def __init__(
        self,
        url: str,
        *,
        stop: threading.Event,
        session: requests.Session,
        last_id: str | None = None,
        connect_timeout_s: float = 10.0,
        read_timeout_s: float = 30.0,
        backoff: Backoff | None = None,
        max_event_bytes: int = MAX_EVENT_BYTES,
    ) -> None:
        self._stop = stop
        self._backoff = backoff or Backoff(1.0, 120.0)
        self._max_event_bytes = max_event_bytes
        self._retry_after_s: float | None = None
        self._hopeless = False
        self._refusal: str | None = None
        self._ready: deque[bytes] = deque()
        self._bursts: Iterator[Burst] | None = None
        self.last_id: str | None
        self.connections = 0
        self.oversized = 0
        # Decompressing costs more than it saves on a stream of this size, so none is asked for; a proxy
        # that compresses all the same is understood.
        super().__init__(
            url,
            last_id=last_id,
            session=session,
            timeout=(connect_timeout_s, read_timeout_s),
            headers={"Accept-Encoding": "identity"},
        )

    def _connect(self) -> None:
        """The base class connects while it is constructed, which would block; here the first read does."""

    def __next__(self) -> sseclient.Event:
        """The next event with data.

        Returns:
            A `sseclient.Event`.

        Raises:
            StopIteration: When the stop event is set.
        """
        if self._bursts is None:
            self._bursts = self.bursts()
        while True:
            while not self._ready:
                self._ready.extend(next(self._bursts).blocks)
            raw = parse_block(self._ready.popleft())
            if raw.event_id is not None:
                self.last_id = raw.event_id
            if raw.data:
                return sseclient.Event(raw.data.decode("utf-8", "replace"), raw.event, raw.event_id)

    def bursts(self) -> Iterator[Burst]:
        """Follow the stream until the stop event is set.

        Yields:
            What each read completed, undecoded.

        Raises:
            ConfigError: The address is none that can be asked.
        """
        while not self._stop.is_set():
            self._retry_after_s, self._hopeless = None, False
            resumed_from = self.last_id
            response = self._open()
            if response is not None:
                try:
                    yield from self._read(response, resumed_from)
                finally:
                    response.close()
            if self._stop.is_set():
                return
            delay_s = self._backoff.next_delay_s(retry_after_s=self._retry_after_s, hopeless=self._hopeless)
            log.info("stream_reconnect", extra={"url": self.url, "delay_s": round(delay_s, 3)})
            self._stop.wait(delay_s)

    def _open(self) -> requests.Response | None:
        """Ask once; None where there is no stream, and then why is logged and noted for the back-off."""
        answer = self._ask()
        if answer is None:
            return None
        if isinstance(answer, _BAD_ADDRESS):
            raise ConfigError(f"stream.url: {self.url!r} cannot be asked: {answer}") from answer
        if isinstance(answer, Exception):
            log.warning("stream_unreachable", extra={"url": self.url, "reason": repr(answer)})
            return None
        refusal = self._refusal_of(answer)
        if refusal is None:
            self._refusal = None
            return answer
        answer.close()
        # A refusal that will not pass by itself is an error, told once and not at every try.
        level = logging.WARNING if not self._hopeless else logging.ERROR
        if self._hopeless and refusal == self._refusal:
            level = logging.DEBUG
        self._refusal = refusal
        log.log(
            level,
            "stream_refused",
            extra={"url": self.url, "reason": refusal, "after_s": self._retry_after_s},
        )
        return None

    def _ask(self) -> requests.Response | Exception | None:
        """Send the request in a thread of its own: nothing can interrupt a name look-up or a connect."""
        headers = dict(self.requests_kwargs["headers"])
        if self.last_id:
            headers["Last-Event-ID"] = self.last_id
        answers: list[requests.Response | Exception] = []

        def ask() -> None:
            try:
                response = self.session.get(
                    self.url, stream=True, timeout=self.requests_kwargs["timeout"], headers=headers
                )
            except _TRANSPORT_ERRORS as error:
                answers.append(error)
                return
            answers.append(response)
            if self._stop.is_set():  # nobody waits any more
                response.close()

        thread = threading.Thread(target=ask, name="stream-connect", daemon=True)
        thread.start()
        while thread.is_alive() and not self._stop.is_set():
            thread.join(_POLL_S)
        if self._stop.is_set():
            for answer in answers:
                if isinstance(answer, requests.Response):
                    answer.close()
            return None
        return answers[0]

    def _refusal_of(self, response: requests.Response) -> str | None:
        status = response.status_code
        if status != requests.codes.ok:
            self._retry_after_s = parse_retry_after(response.headers.get("Retry-After"), datetime.now(UTC))
            self._hopeless = status < 500 and status not in (408, 425, 429)
            return f"HTTP {status}"
        content_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        encoding = response.headers.get("Content-Encoding", "").strip().lower()
        self._hopeless = content_type != "text/event-stream" or encoding not in _CONTENT_ENCODINGS
        if not self._hopeless:
            return None
        return f"not an event stream: Content-Type {content_type!r}, Content-Encoding {encoding!r}"

    def _read(self, response: requests.Response, resumed_from: str | None) -> Iterator[Burst]:
        self.connections += 1
        log.info("stream_connected", extra={"url": self.url, "resumed_from": resumed_from})
        splitter = BlockSplitter(self._max_event_bytes)
        oversized_before = self.oversized
        opened = time.monotonic()
        read = body_reader(response.raw)
        with self._shut_down_on_stop(response):
            while received := self._read_some(read):
                blocks = splitter.feed(received)
                if splitter.oversized:
                    self.oversized = oversized_before + splitter.oversized
                if blocks and not self._stop.is_set():
                    if splitter.retry_ms is not None:
                        self._backoff.obey_retry_field(splitter.retry_ms)
                    self._backoff.reset()
                    yield Burst(blocks, self.connections, resumed_from)
        # A connection that held, though silent, is no reason to stay away longer and longer.
        if time.monotonic() - opened >= self.requests_kwargs["timeout"][1]:
            self._backoff.reset()

    def _read_some(self, read: Callable[[], bytes]) -> bytes:
        """What is there, waiting for the first byte only; empty once the connection is over, in any way."""
        if self._stop.is_set():
            return b""
        try:
            return read()
        except _TRANSPORT_ERRORS as error:
            if not self._stop.is_set():
                log.info("stream_cut", extra={"url": self.url, "reason": repr(error)})
            return b""

    @contextmanager
    def _shut_down_on_stop(self, response: requests.Response) -> Iterator[None]:
        over = threading.Event()

        def watch() -> None:
            while not over.is_set():
                if self._stop.wait(_POLL_S):
                    with suppress(*_TRANSPORT_ERRORS, RuntimeError):
                        response.raw.shutdown()
                    return

        threading.Thread(target=watch, name="stream-stop", daemon=True).start()
        try:
            yield
        finally:
            over.set()


__all__ = ["Burst", "EventSource"]

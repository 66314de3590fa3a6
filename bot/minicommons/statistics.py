"""What the server was asked: counters for tests and for the demo's summary."""

import threading
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Statistics:
    """Counters, safe to use from every thread of the server."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[str] = Counter()
        self._statuses: Counter[str] = Counter()
        self._paths: Counter[str] = Counter()
        self._agents: Counter[str] = Counter()
        self._event_ids: deque[str] = deque(maxlen=100)
        self._media_bytes = 0
        self._events_sent = 0
        self._downloads = self._downloads_peak = 0
        self._streams = self._streams_peak = self._connects = 0

    def count(self, kind: str, status: int, agent: str) -> None:
        """Count a finished request.

        Args:
            kind: `stream`, `api:imageinfo`, `media:thumb`, …
            status: HTTP status of the answer.
            agent: User-Agent header.
        """
        with self._lock:
            self._requests[kind] += 1
            self._statuses[f"{kind} {status}"] += 1
            self._agents[agent] += 1

    def count_media(self, path: str, size_bytes: int) -> None:
        """Count the bytes of a media answer under its path."""
        with self._lock:
            self._paths[path] += 1
            self._media_bytes += size_bytes

    def count_events(self, number: int) -> None:
        """Count events put on a stream connection."""
        with self._lock:
            self._events_sent += number

    def remember_event_id(self, event_id: str) -> None:
        """Keep the Last-Event-ID of a connection; empty where it had none."""
        with self._lock:
            self._event_ids.append(event_id)
            self._connects += 1

    @contextmanager
    def download(self) -> Iterator[None]:
        """Count a media answer as under way, for the high-water mark."""
        with self._lock:
            self._downloads += 1
            self._downloads_peak = max(self._downloads_peak, self._downloads)
        try:
            yield
        finally:
            with self._lock:
                self._downloads -= 1

    @contextmanager
    def stream(self) -> Iterator[int]:
        """Count a stream connection as open; gives the number of open ones, this one included."""
        with self._lock:
            self._streams += 1
            self._streams_peak = max(self._streams_peak, self._streams)
            number = self._streams
        try:
            yield number
        finally:
            with self._lock:
                self._streams -= 1

    def snapshot(self) -> dict[str, Any]:
        """Everything counted so far, as plain JSON values."""
        with self._lock:
            return {
                "requests": dict(self._requests),
                "statuses": dict(self._statuses),
                "media_paths": dict(self._paths),
                "user_agents": dict(self._agents),
                "last_event_ids": list(self._event_ids),
                "stream_connects": self._connects,
                "media_bytes": self._media_bytes,
                "events_sent": self._events_sent,
                "downloads_now": self._downloads,
                "downloads_peak": self._downloads_peak,
                "streams_now": self._streams,
                "streams_peak": self._streams_peak,
            }

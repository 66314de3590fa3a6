"""The stream's memory: the last events with their positions, as Kafka would keep them for a while.

Resuming follows the real service: an offset wins over a timestamp, a timestamp means the first event at or
after it, and whoever asks for something that is no longer kept silently starts at the end.
"""

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bot.minicommons.events import Event

TOPIC = "eqiad.mediawiki.recentchange"
IDLE_TOPIC = "codfw.mediawiki.recentchange"
FIRST_OFFSET = 5_000_000_000


@dataclass(frozen=True, slots=True)
class Item:
    """One event as it goes over the wire.

    Attributes:
        offset: Kafka offset.
        kafka_ms: Kafka time in milliseconds.
        lines: The three lines of the message, the last one with the empty line that ends it.
    """

    offset: int
    kafka_ms: int
    lines: tuple[bytes, bytes, bytes]


class Ring:
    """The last events, and a way to wait for the next.

    Args:
        keep: How many events are kept.
    """

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._items: list[Item] = []
        self._next_offset = FIRST_OFFSET
        self._dropped_until_ms = 0
        self._last_ms = 0
        self._changed = threading.Condition()

    def append(self, event: Event, kafka_ms: int) -> Item:
        """Give an event its position and keep it.

        Args:
            event: Event whose `meta` gets topic, partition and offset.
            kafka_ms: Time of its arrival; never goes back.

        Returns:
            What is sent.
        """
        with self._changed:
            self._last_ms = kafka_ms = max(kafka_ms, self._last_ms)
            offset, self._next_offset = self._next_offset, self._next_offset + 1
            event["meta"] |= {"topic": TOPIC, "partition": 0, "offset": offset}
            body = json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
            item = Item(
                offset,
                kafka_ms,
                (b"event: message\n", b"id: %s\n" % _event_id(kafka_ms), b"data: %s\n\n" % body),
            )
            self._items.append(item)
            if len(self._items) > self._keep + self._keep // 8:
                self._drop(len(self._items) - self._keep)
            self._changed.notify_all()
            return item

    def _drop(self, count: int) -> None:
        if count:
            self._dropped_until_ms = self._items[count - 1].kafka_ms
            del self._items[:count]

    def forget(self) -> None:
        """Drop everything kept, as if retention had passed over it."""
        with self._changed:
            self._drop(len(self._items))

    def wake(self) -> None:
        """Let everybody who waits look again."""
        with self._changed:
            self._changed.notify_all()

    def start(self, assignments: Sequence[Mapping[str, Any]], since_ms: int | None) -> int:
        """Where a new connection begins.

        Args:
            assignments: The decoded Last-Event-ID; empty where there is none.
            since_ms: `?since=`; ignored where there are assignments.

        Returns:
            The offset of the first event to send.
        """
        with self._changed:
            if not assignments:
                return self._next_offset if since_ms is None else self._at(since_ms)
            for assignment in assignments:
                if assignment.get("topic") != TOPIC:
                    continue
                offset = assignment.get("offset")
                if isinstance(offset, int) and not isinstance(offset, bool):
                    return offset if self._first <= offset <= self._next_offset else self._next_offset
                if "timestamp" in assignment:
                    return self._at(int(assignment["timestamp"]))
            return self._next_offset

    @property
    def _first(self) -> int:
        return self._next_offset - len(self._items)

    def _at(self, kafka_ms: int) -> int:
        if kafka_ms <= self._dropped_until_ms:
            return self._next_offset
        return next((item.offset for item in self._items if item.kafka_ms >= kafka_ms), self._next_offset)

    def read(self, offset: int, limit: int, timeout_s: float) -> list[Item]:
        """Events from an offset on; waits until there is one.

        Args:
            offset: First offset wanted.
            limit: At most so many.
            timeout_s: How long to wait at most.

        Returns:
            The events; empty after the time, or when woken.
        """
        with self._changed:
            if offset >= self._next_offset:
                self._changed.wait(timeout_s)
            start = max(0, offset - self._first)
            return self._items[start : start + limit]

    def __len__(self) -> int:
        """How many events are kept."""
        return len(self._items)


def _event_id(kafka_ms: int) -> bytes:
    # kafka-sse adds one millisecond, so that resuming does not repeat the event; it may skip its twins.
    assignments = [
        {"topic": TOPIC, "partition": 0, "timestamp": kafka_ms + 1},
        {"topic": IDLE_TOPIC, "partition": 0, "offset": -1},
    ]
    return json.dumps(assignments, separators=(",", ":")).encode()

"""Event ids of EventStreams: what they say, how to merge them, and where to resume from. Pure.

An id is a JSON array with one object per Kafka topic and partition, each with a `timestamp` (ms, Kafka's
time plus 1) or an `offset`; on resuming, `offset` wins where both are present, and `offset: -1` marks a
datacentre that has sent nothing yet. Because the timestamp is one past the event and only as fine as a
millisecond, resuming at it can skip events: `resume_id` steps back; repeats are dropped by `(wiki, log_id)`.
An id that is no such array is kept and sent back as it is.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_TIMESTAMP_MS = 253_402_300_799_999
_MAX_OFFSET = 2**63 - 1
NO_OFFSET = -1


@dataclass(frozen=True, slots=True)
class Assignment:
    """One entry of an event id.

    Attributes:
        topic: Kafka topic, `eqiad.mediawiki.recentchange`.
        partition: Kafka partition.
        timestamp_ms: Kafka time in milliseconds since 1970, None where the entry has none.
        offset: Kafka offset, None where the entry has none.
    """

    topic: str
    partition: int
    timestamp_ms: int | None = None
    offset: int | None = None


def parse_event_id(event_id: str) -> tuple[Assignment, ...]:
    """Read an event id.

    Args:
        event_id: The raw `id:` field.

    Returns:
        Its entries; empty if it is not an array of such objects.
    """
    try:
        entries = json.loads(event_id)
    except (ValueError, RecursionError):
        return ()
    if not isinstance(entries, list):
        return ()
    assignments = tuple(_assignment(entry) for entry in entries)
    known = tuple(assignment for assignment in assignments if assignment is not None)
    return known if len(known) == len(assignments) else ()


def _assignment(entry: Any) -> Assignment | None:
    if not isinstance(entry, dict):
        return None
    topic, partition = entry.get("topic"), entry.get("partition")
    timestamp_ms, offset = entry.get("timestamp"), entry.get("offset")
    if not isinstance(topic, str) or type(partition) is not int:
        return None
    if timestamp_ms is not None and not (
        type(timestamp_ms) is int and 0 <= timestamp_ms <= _MAX_TIMESTAMP_MS
    ):
        return None
    if offset is not None and not (type(offset) is int and NO_OFFSET <= offset <= _MAX_OFFSET):
        return None
    return Assignment(topic, partition, timestamp_ms, offset)


def format_event_id(assignments: Iterable[Assignment]) -> str:
    """Write an event id as EventStreams does.

    Args:
        assignments: Its entries.

    Returns:
        Compact JSON.
    """
    entries = []
    for assignment in assignments:
        entry: dict[str, str | int] = {"topic": assignment.topic, "partition": assignment.partition}
        if assignment.timestamp_ms is not None:
            entry["timestamp"] = assignment.timestamp_ms
        if assignment.offset is not None:
            entry["offset"] = assignment.offset
        entries.append(entry)
    return json.dumps(entries, separators=(",", ":"))


def event_time(event_id: str) -> datetime | None:
    """The time an id stands for.

    Args:
        event_id: A raw event id.

    Returns:
        The latest of its timestamps, in UTC; None if it has none.
    """
    latest_ms = _latest_ms(parse_event_id(event_id))
    return None if latest_ms is None else _EPOCH + timedelta(milliseconds=latest_ms)


def _latest_ms(assignments: Iterable[Assignment]) -> int | None:
    return max((a.timestamp_ms for a in assignments if a.timestamp_ms is not None), default=None)


def resume_id(event_id: str, overlap_s: float) -> str:
    """The Last-Event-ID that resumes after an event without skipping any.

    Args:
        event_id: Id of the last event that is safely stored.
        overlap_s: How far to step back, in seconds.

    Returns:
        The id with timestamps stepped back and without the offsets beside them, which would win. An entry
        with `offset: -1` gets the latest timestamp of the others: resuming an idle datacentre "at the end"
        would lose what it sends when the two swap roles in between. An offset without a timestamp stays.
    """
    assignments = parse_event_id(event_id)
    if not assignments:
        return event_id
    latest_ms = _latest_ms(assignments)
    back_ms = round(overlap_s * 1000)

    def resumed(assignment: Assignment) -> Assignment:
        timestamp_ms = assignment.timestamp_ms
        if timestamp_ms is None and assignment.offset in (None, NO_OFFSET):
            timestamp_ms = latest_ms
        if timestamp_ms is None:
            return assignment
        return Assignment(assignment.topic, assignment.partition, max(timestamp_ms - back_ms, 0))

    return format_event_id(resumed(assignment) for assignment in assignments)


def advance(known_id: str | None, new_id: str) -> str:
    """Merge a new event id into what is known, so that a position never moves backwards.

    Args:
        known_id: The position so far, None at first.
        new_id: Id of an event that came later.

    Returns:
        Per topic and partition the later of the two entries; a topic known before is never forgotten.
    """
    new = parse_event_id(new_id)
    known = parse_event_id(known_id) if known_id else ()
    if not new or not known:
        return new_id
    merged: dict[tuple[str, int], Assignment] = {}
    for assignment in (*known, *new):
        key = (assignment.topic, assignment.partition)
        merged[key] = _later(merged[key], assignment) if key in merged else assignment
    return format_event_id(merged.values())


def _later(one: Assignment, other: Assignment) -> Assignment:
    def rank(assignment: Assignment) -> tuple[int, int]:
        timestamp_ms = NO_OFFSET if assignment.timestamp_ms is None else assignment.timestamp_ms
        return timestamp_ms, NO_OFFSET if assignment.offset is None else assignment.offset

    return other if rank(other) >= rank(one) else one


__all__ = ["Assignment", "advance", "event_time", "format_event_id", "parse_event_id", "resume_id"]

"""Follow EventStreams and hand over what concerns our wiki, together with the position that covers it.

The contract: every batch carries the position after its last event, and the consumer stores both in one
transaction before it asks for the next batch. Only then does a reconnect resume from there, so nothing is
lost wherever the consumer dies; what comes twice is dropped by `(wiki, log_id)` in the store.

When the server cannot resume where we ask, it silently starts from the end. The first event after such a
reconnect shows it: a step of more than `jump_s` is handed over as a gap for the upload log to fill.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import requests

from bot.settings import StreamSettings, WikiSettings
from bot.stream.backoff import Backoff
from bot.stream.events import Ignored, edited_page, event_meta_time, may_concern, parse_event
from bot.stream.framing import parse_block
from bot.stream.position import advance, event_time, resume_id
from bot.stream.sse import Burst, EventSource
from storage.values import FileChange, Gap, StreamPosition, Upload

MAX_AHEAD_S = 300.0
"""Clocks may differ by so much."""
_ERROR_EVENT = (b"event: error", b"event:error")
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StreamBatch:
    """What is to be stored in one transaction.

    Attributes:
        uploads: New uploads, in the order of the stream; may repeat ones stored before.
        changes: Moves, deletions and restorations of files, known to us or not.
        event_id: Position after the last event that this batch covers; empty if the stream has no ids.
        event_time: Time of that event.
        jump: What the stream skipped before this batch, else None.
        counts: Since the previous batch: `events`, `uploads`, `changes`, and `dropped.<reason>`.
        edited: Watched pages that were edited.
    """

    uploads: tuple[Upload, ...]
    changes: tuple[FileChange, ...]
    event_id: str
    event_time: datetime
    jump: Gap | None
    counts: Mapping[str, int]
    edited: frozenset[str] = frozenset()


class UploadStream:
    """The uploads of one wiki out of the whole firehose; iterate over it for batches.

    Args:
        stream: Address, timeouts, intervals.
        wiki: The wiki that is followed.
        user_agent: Sent with every request.
        stop: Ends the iteration as soon as it is set.
        position: Where to resume; None starts live.
        watch: Edits of pages whose full title begins like this are told; None tells none.
        session: To ask with; a new one by default.

    Attributes:
        counts: Totals since the start, named as in `StreamBatch.counts`.
        last_event_at: `time.monotonic()` when the last event of any wiki arrived; None before the first.
    """

    def __init__(
        self,
        stream: StreamSettings,
        wiki: WikiSettings,
        user_agent: str,
        stop: threading.Event,
        position: StreamPosition | None = None,
        *,
        watch: str | None = None,
        session: requests.Session | None = None,
    ) -> None:
        self._watch = watch
        # EventStreams leaves all but control characters as they are. An edit that is missed all the same is
        # found by the next poll.
        self._watch_bytes = watch.encode() if watch else None
        self._settings = stream
        self._wiki = wiki.id
        self._wiki_bytes = wiki.id.encode()
        self._stored_id = position.event_id if position is not None else None
        self._stored_at: float | None = None
        self._newest: bytes | None = None
        self._connection = 0
        self._counts_given: Counter[str] = Counter()
        self._told: set[str] = set()
        self.counts: Counter[str] = Counter()
        self.last_event_at: float | None = None
        session = session or requests.Session()
        session.headers["User-Agent"] = user_agent
        self._source = EventSource(
            stream.url,
            stop=stop,
            session=session,
            last_id=self._resume_from(),
            connect_timeout_s=stream.connect_timeout_s,
            read_timeout_s=stream.read_timeout_s,
            backoff=Backoff(stream.backoff_initial_s, stream.backoff_max_s),
        )

    @property
    def connections(self) -> int:
        """How many connections were opened; all but the first are reconnects."""
        return self._source.connections

    @property
    def oversized(self) -> int:
        """Events dropped for their length; an upload among them is found by the reconciliation."""
        return self._source.oversized

    def lag_s(self, now: datetime) -> float | None:
        """How far the stream is behind.

        Args:
            now: The present, aware.

        Returns:
            Seconds between the last event's time and now; None before the first event.
        """
        newest = self._newest
        if newest is None:
            return None
        return (now - _time_of(newest, now)).total_seconds()

    def __iter__(self) -> Iterator[StreamBatch]:
        """Follow the stream until the stop event is set.

        Yields:
            A batch whenever something for us came, the stream jumped, or the position is due to be stored.

        Raises:
            ConfigError: The stream's address is none that can be asked.
        """
        for burst in self._source.bursts():
            batch = self._batch_of(burst)
            if batch is not None:
                yield batch
                # The consumer came back for more, so this batch is stored.
                self._stored_id = batch.event_id
                self._stored_at = time.monotonic()
                self._source.last_id = self._resume_from()

    def _resume_from(self) -> str | None:
        if not self._stored_id:
            return None
        return resume_id(self._stored_id, self._settings.resume_overlap_s)

    def _batch_of(self, burst: Burst) -> StreamBatch | None:
        now = time.monotonic()
        self.last_event_at = now
        uploads, changes = self._select(burst.blocks)
        edited = self._edited(burst.blocks)
        newest = next((block for block in reversed(burst.blocks) if _has_id(block)), None)
        if newest is not None:
            self._newest = newest
        jump = None
        if burst.connection != self._connection and newest is not None:
            self._connection = burst.connection
            jump = self._jump(burst)
        due = self._stored_at is None or now - self._stored_at >= self._settings.position_interval_s
        if not (uploads or changes or edited or jump or (due and newest is not None)):
            return None
        return self._batch(uploads, changes, jump, edited)

    def _edited(self, blocks: list[bytes]) -> frozenset[str]:
        if self._watch is None or self._watch_bytes is None:
            return frozenset()
        needle = self._watch_bytes
        titles = (edited_page(parse_block(block).data, self._wiki) for block in blocks if needle in block)
        return frozenset(title for title in titles if title and title.startswith(self._watch))

    def _select(self, blocks: list[bytes]) -> tuple[list[Upload], list[FileChange]]:
        uploads: list[Upload] = []
        changes: list[FileChange] = []
        self.counts["events"] += len(blocks)
        for block in blocks:
            if not may_concern(block, self._wiki_bytes):
                if block.startswith(_ERROR_EVENT):
                    self._drop("error_event", block, unexpected=True)
                else:
                    self.counts["dropped.by_bytes"] += 1
                continue
            found = parse_event(parse_block(block).data, self._wiki)
            if isinstance(found, Ignored):
                self._drop(found.reason, block, unexpected=found.unexpected)
            elif isinstance(found, Upload):
                uploads.append(found)
            else:
                changes.append(found)
        if uploads:
            self.counts["uploads"] += len(uploads)
        if changes:
            self.counts["changes"] += len(changes)
        return uploads, changes

    def _drop(self, reason: str, block: bytes, *, unexpected: bool) -> None:
        self.counts[f"dropped.{reason}"] += 1
        if unexpected and reason not in self._told:
            self._told.add(reason)
            log.warning(
                "stream_event_unexpected",
                extra={"reason": reason, "event": block[:2000].decode("utf-8", "replace")},
            )

    def _jump(self, burst: Burst) -> Gap | None:
        start = event_time(burst.resumed_from) if burst.resumed_from else None
        if start is None:
            return None
        first = next(block for block in burst.blocks if _has_id(block))
        end = _time_of(first, start)
        if (end - start).total_seconds() <= self._settings.jump_s:
            return None
        log.warning("stream_jumped", extra={"start": start.isoformat(), "end": end.isoformat()})
        return Gap(id=None, wiki=self._wiki, start=start, end=end, reason="jump")

    def _batch(
        self, uploads: list[Upload], changes: list[FileChange], jump: Gap | None, edited: frozenset[str]
    ) -> StreamBatch:
        event_id, at = self._stored_id or "", datetime.now(UTC)
        if self._newest is not None:
            new_id = parse_block(self._newest).event_id
            if new_id and not _is_ahead(new_id, at):
                event_id = advance(self._stored_id, new_id)
            at = min(event_time(event_id) or _time_of(self._newest, at), at + timedelta(seconds=MAX_AHEAD_S))
        counts = self.counts - self._counts_given
        self._counts_given = self.counts.copy()
        return StreamBatch(tuple(uploads), tuple(changes), event_id, at, jump, counts, edited)


def _is_ahead(event_id: str, now: datetime) -> bool:
    """Whether an id claims to come from the future: saved, it would hide every gap until then."""
    claimed = event_time(event_id)
    return claimed is not None and (claimed - now).total_seconds() > MAX_AHEAD_S


def _has_id(block: bytes) -> bool:
    return b"\nid:" in block or block.startswith(b"id:")


def _time_of(block: bytes, otherwise: datetime) -> datetime:
    """An event's time by its id, else by its own `meta.dt`."""
    raw = parse_block(block)
    by_id = event_time(raw.event_id) if raw.event_id else None
    return by_id or event_meta_time(raw.data) or otherwise


__all__ = ["StreamBatch", "UploadStream"]

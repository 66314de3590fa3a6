"""From the stream and the upload log into the store: the two ways an upload becomes a row.

Guarantee: the position moves in the transaction that stores the rows it covers, and a gap is closed only when
its last page is stored. So a kill at any moment costs a repetition, never an upload.
"""

import logging
import random
import threading
from collections.abc import Callable
from datetime import UTC, datetime

from bot.backoff import jittered
from bot.errors import BotError, ServiceDown
from bot.monitoring import Metrics
from bot.settings import Settings
from bot.stream.backfill import LogClient, read_gap, reconcile_gap, stale_gap, start_gap
from bot.stream.eventstreams import StreamBatch, UploadStream
from storage import file_changes, gaps, positions, uploads
from storage.engine import Database
from storage.errors import StoreError
from storage.values import Gap, Source, StreamPosition

log = logging.getLogger(__name__)

STREAM = "recentchange"
RECONCILE = "reconcile"
STORE_RETRY_S = 2.0
OUTAGE_CHECK_S = 30.0


class Listener:
    """Stores what the stream brings.

    Args:
        stream: The open stream.
        database: The store.
        metrics: Where events are counted.
        stop: Ends the waiting for a store that is away.
        stored: Called whenever new uploads were stored.
        gap_found: Called whenever a gap was stored.
        edited: Called with the watched pages that were edited.
    """

    def __init__(
        self,
        stream: UploadStream,
        database: Database,
        metrics: Metrics,
        stop: threading.Event,
        *,
        stored: Callable[[], None],
        gap_found: Callable[[], None],
        edited: Callable[[frozenset[str]], None] = lambda _titles: None,
    ) -> None:
        self._stream = stream
        self._database = database
        self._metrics = metrics
        self._stop = stop
        self._stored = stored
        self._gap_found = gap_found
        self._edited = edited

    def run(self) -> None:
        """Follow the stream until it is stopped."""
        for batch in self._stream:
            while not self._stop.is_set():
                try:
                    self._store(batch)
                    break
                except StoreError as error:
                    # The position has not moved either, so waiting loses nothing.
                    log.warning("service_failed", extra={"service": "store", "reason": str(error)})
                    self._metrics.service_failures.labels("store").inc()
                    self._stop.wait(STORE_RETRY_S)

    def _store(self, batch: StreamBatch) -> None:
        now = datetime.now(UTC)
        with self._database.transaction() as tx:
            added = uploads.add(tx, batch.uploads, now)
            file_changes.apply(tx, batch.changes, now)
            if batch.jump is not None:
                gaps.add(tx, batch.jump, now)
            positions.save(tx, STREAM, batch.event_id, batch.event_time, now)
        for fate, count in batch.counts.items():
            self._metrics.stream_events.labels(fate).inc(count)
        if added:
            self._metrics.uploads_added.labels(Source.STREAM.value).inc(added)
            self._stored()
        if batch.edited:
            self._edited(batch.edited)
        if batch.jump is not None:
            log.warning(
                "stream_jumped",
                extra={"start": batch.jump.start.isoformat(), "end": batch.jump.end.isoformat()},
            )
            self._gap_found()


class Backfiller:
    """Fills gaps from the upload log, and once an hour compares the last hours with it.

    Args:
        api: Answers `list=logevents`.
        database: The store.
        settings: Which wiki, and how often and far back to look.
        metrics: Where missed uploads are counted.
        stop: Ends the run.
        stored: Called whenever new uploads were stored.
    """

    def __init__(
        self,
        api: LogClient,
        database: Database,
        settings: Settings,
        metrics: Metrics,
        stop: threading.Event,
        *,
        stored: Callable[[], None],
    ) -> None:
        self._api = api
        self._database = database
        self._settings = settings
        self._metrics = metrics
        self._stop = stop
        self._stored = stored
        self._wake = threading.Event()
        self._stale_until: datetime | None = None
        self._rng = random.Random()

    def notify(self) -> None:
        """Say that a gap was stored, or that the run is to end."""
        self._wake.set()

    def plan_start(self, position: StreamPosition | None) -> None:
        """Store the gap between the last saved position and now; call it before listening begins.

        Args:
            position: Where the last run stopped; None on the very first start.
        """
        now = datetime.now(UTC)
        self._plan(start_gap(position, now, self._settings), now)

    def run(self) -> None:
        """Fill gaps until stopped."""
        settings = self._settings.backfill
        next_reconcile = datetime.now(UTC).timestamp() + settings.reconcile_every_s
        failures = 0
        while not self._stop.is_set():
            self._wake.clear()
            try:
                now = datetime.now(UTC)
                if now.timestamp() >= next_reconcile:
                    next_reconcile = now.timestamp() + settings.reconcile_every_s
                    self._plan(reconcile_gap(now, self._settings), now)
                self._plan_outage(now)
            except StoreError as error:
                self._service_failed("store", error)
            if not self._fill_all():
                failures += 1
                stream = self._settings.stream
                self._stop.wait(jittered(failures, stream.backoff_initial_s, stream.backoff_max_s, self._rng))
                continue
            failures = 0
            due_s = next_reconcile - datetime.now(UTC).timestamp()
            self._wake.wait(min(OUTAGE_CHECK_S, max(0.0, due_s)))

    def _plan(self, gap: Gap | None, now: datetime) -> None:
        if gap is not None:
            with self._database.transaction() as tx:
                gaps.add(tx, gap, now)

    def _plan_outage(self, now: datetime) -> None:
        """While the stream brings nothing, the log must: an outage of it delays no upload for long."""
        with self._database.read() as tx:
            position = positions.load(tx, STREAM)
        if position is None:
            return
        gap = stale_gap(position.event_time, self._stale_until, now, self._settings)
        if gap is not None:
            self._plan(gap, now)
            self._stale_until = gap.end

    def _fill_all(self) -> bool:
        """Fill every open gap; False where a service was away and it should be tried again."""
        try:
            with self._database.read() as tx:
                todo = gaps.open_gaps(tx)
            for gap in todo:
                self._fill(gap)
        except ServiceDown as error:
            self._service_failed(error.service, error)
            self._stop.wait(error.after_s or 0)
            return False
        except (BotError, StoreError) as error:
            self._service_failed("backfill", error)
            return False
        return True

    def _service_failed(self, service: str, error: Exception) -> None:
        self._metrics.service_failures.labels(service).inc()
        log.warning("service_failed", extra={"service": service, "reason": str(error)})

    def _fill(self, gap: Gap) -> None:
        assert gap.id is not None
        source = Source.RECONCILE if gap.reason == RECONCILE else Source.BACKFILL
        found = 0
        for page in read_gap(self._api, gap, source=source):
            if self._stop.is_set():
                return
            now = datetime.now(UTC)
            with self._database.transaction() as tx:
                added = uploads.add(tx, page.uploads, now)
                gaps.advance(tx, gap.id, start=page.done_until, found_missing=added)
                if not page.more:
                    gaps.close(tx, gap.id, now)
            found += added
            if added:
                self._metrics.uploads_added.labels(source.value).inc(added)
                self._stored()
        if source is Source.RECONCILE:
            self._metrics.missed_uploads.inc(found)
        log.info(
            "gap_filled", extra={"reason": gap.reason, "found": found, "start": gap.start, "end": gap.end}
        )

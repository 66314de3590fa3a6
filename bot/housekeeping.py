"""What must happen again and again beside the work: keep the lease, refresh the gauges, write the report.

The lease is what keeps a second daemon away; when it is lost the daemon must stop, so that failure is raised.
A store that is away for a moment is only logged: the next round tries again, well before the lease ends.
"""

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

from bot.errors import ServiceDown
from bot.monitoring import Metrics
from bot.proposals import Proposer
from bot.retention.purging import Purger
from bot.review.local_report import write_report
from bot.scoring import Scorer
from bot.settings import Settings
from bot.stream.eventstreams import UploadStream
from storage import hints, lease, reviews, status
from storage.engine import Database
from storage.errors import LeaseHeld, StoreError
from storage.values import Owner, StoreStatus

log = logging.getLogger(__name__)

GAUGE_INTERVAL_S = 1.0


class Housekeeper:
    """Repeats the chores until stopped.

    Args:
        settings: Intervals and folders.
        database: The store.
        owner: Who holds the lease.
        metrics: Whose gauges are refreshed.
        stream: Asked for its lag.
        scorer: Asked how busy it was.
        stop: Ends the run.
        on_status: Called with every fresh status; for the live line.
        purger: Removes kept pictures whose time is over; None: nothing is kept.
        proposer: Draws once a day what to review next; None: nothing is drawn.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        owner: Owner,
        metrics: Metrics,
        stream: UploadStream,
        scorer: Scorer,
        stop: threading.Event,
        on_status: Callable[[StoreStatus], None],
        purger: Purger | None = None,
        proposer: Proposer | None = None,
    ) -> None:
        self._settings = settings
        self._database = database
        self._owner = owner
        self._metrics = metrics
        self._stream = stream
        self._scorer = scorer
        self._stop = stop
        self._on_status = on_status
        self._purger = purger
        self._proposer = proposer
        self._reported: object = None

    def run(self) -> None:
        """Do the chores until stopped, and the report once more at the end.

        Raises:
            LeaseHeld: Where another daemon has taken over the database.
        """
        next_lease = next_report = time.monotonic()
        interval_s = GAUGE_INTERVAL_S
        while True:
            stopping = self._stop.wait(interval_s)
            now = time.monotonic()
            try:
                if now >= next_lease:
                    next_lease = now + self._settings.pipeline.lease_ttl_s / 3
                    self._renew()
                self._refresh_gauges()
                # Counting a store of millions takes a while: never spend more than a twentieth on it.
                interval_s = max(GAUGE_INTERVAL_S, 20 * (time.monotonic() - now))
                if stopping or now >= next_report:
                    next_report = now + self._settings.report.interval_s
                    self._write_report()
                self._purge()
                if self._proposer is not None:
                    self._proposer.round()
            except LeaseHeld:
                raise
            except (StoreError, ServiceDown) as error:
                self._metrics.service_failures.labels("housekeeping").inc()
                log.warning("service_failed", extra={"service": "housekeeping", "reason": str(error)})
            if stopping:
                return

    def _renew(self) -> None:
        with self._database.transaction() as tx:
            lease.renew(
                tx, owner=self._owner, now=datetime.now(UTC), ttl_s=self._settings.pipeline.lease_ttl_s
            )

    def _purge(self) -> None:
        if self._purger is not None:
            self._purger.round()

    def _refresh_gauges(self) -> None:
        with self._database.read() as tx:
            current = status.snapshot(tx, datetime.now(UTC))
        self._metrics.queue_depth.set(current.pending + current.claimed)
        lag_s = self._stream.lag_s(datetime.now(UTC))
        if lag_s is not None:
            self._metrics.stream_lag_s.set(lag_s)
        self._metrics.worker_restarts.set(self._scorer.pool.restarts)
        self._metrics.model_busy_s.set(self._scorer.batcher.stats().busy_s)
        self._metrics.stream_connections.set(self._stream.connections)
        self._on_status(current)

    def _write_report(self) -> None:
        with self._database.read() as tx:
            items = reviews.flagged(tx, self._settings.report.max_items)
            known = hints.of_items(tx, [item.item_id for item in items])
        if self._reported == (items, known):
            return
        write_report(
            items,
            self._settings.report.directory,
            page_url=self._settings.wiki.page_url,
            generated_at=datetime.now(UTC),
            hints=known,
        )
        self._reported = (items, known)

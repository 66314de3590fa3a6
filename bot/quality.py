"""The headline numbers of `metrics` for dashboards and the index page, counted every ten minutes at most.

Counting a store of millions takes seconds, and an estimate over 30 days does not change in one of them. The
daemon counts for its gauges in a thread of its own: no lease, claim or live line waits for it.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

from bot.monitoring import Metrics
from storage.engine import Database
from storage.errors import StoreError
from storage.estimates import Estimate
from storage.metric_values import Alert, Change, Measures
from storage.metrics import headline

log = logging.getLogger(__name__)

REFRESH_S: Final = 600.0
DAYS: Final = 30
ALERTS: Final = {Alert.NONE: 0, Alert.WATCH: 1, Alert.ALARM: 2, Alert.UNKNOWN: math.nan}


class Quality:
    """Remembers the headline numbers; used by one thread.

    Args:
        database: The store.
        clock: Tells the present.
        monotonic: Seconds that only grow.
    """

    def __init__(
        self,
        database: Database,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._clock = clock
        self._monotonic = monotonic
        self._known: tuple[Measures, Sequence[Change]] | None = None
        self._counted_at = 0.0

    def current(self) -> tuple[Measures, Sequence[Change]]:
        """The measures of the last 30 days, and what changed since the 30 before.

        Returns:
            What was counted at most ten minutes ago.

        Raises:
            StoreError: The store cannot be read.
        """
        if self._known is None or self._monotonic() - self._counted_at >= REFRESH_S:
            with self._database.read() as tx:
                self._known = headline(tx, self._clock(), DAYS)
            self._counted_at = self._monotonic()
        return self._known

    def run(self, metrics: Metrics, stop: threading.Event) -> None:
        """Keep the gauges fresh until stopped; a store that is away is asked again the next time.

        Args:
            metrics: Whose gauges.
            stop: Ends the run.
        """
        while not stop.is_set():
            try:
                self.publish(metrics)
            except StoreError as error:
                metrics.service_failures.labels("quality").inc()
                log.warning("service_failed", extra={"service": "quality", "reason": str(error)})
            stop.wait(REFRESH_S)

    def publish(self, metrics: Metrics) -> None:
        """Set the gauges.

        Args:
            metrics: Whose.

        Raises:
            StoreError: The store cannot be read.
        """
        measures, changes = self.current()
        for name in ("precision", "recall", "f1", "prevalence"):
            estimate: Estimate = getattr(measures, name)
            value = math.nan if estimate.value is None else estimate.value
            metrics.estimate.labels(name).set(value)
            metrics.estimate_low.labels(name).set(estimate.low)
            metrics.estimate_high.labels(name).set(estimate.high)
        metrics.review_load.labels("flagged").set(measures.flagged / DAYS)
        metrics.review_load.labels("asked").set(measures.chosen / DAYS)
        for change in changes:
            metrics.drift_alert.labels(change.what).set(ALERTS[change.alert])
            if change.what == "scores":
                metrics.score_drift.set(math.nan if change.index is None else change.index)


__all__ = ["Quality"]

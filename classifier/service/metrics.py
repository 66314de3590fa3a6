"""What the service tells Prometheus: rate, errors and duration by route, and how full it is.

The registry is its own, so that two services in one process do not mix. Labels hold templates of routes and
classes of status, never what a caller sent. Several processes share nothing: each answers its own numbers.
"""

from collections.abc import Iterable
from functools import partial
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from classifier.batching import Batcher
from classifier.service.memory_guard import MemoryGuard
from classifier.service.scoring import ScoringDesk
from classifier.service.upload import Spool

LATENCY_BUCKETS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
BATCH_BUCKETS: Final = (1, 2, 4, 8, 16, 32, 64)
_PREFIX: Final = "commonsbot_service"


class ServiceMetrics:
    """The numbers.

    Args:
        desk: Knows the queue and the cache.
        spool: Knows what is on the disk.
        batcher: Knows the batches.
        memory: Knows what is resident.
    """

    def __init__(self, desk: ScoringDesk, spool: Spool, batcher: Batcher, memory: MemoryGuard) -> None:
        self.registry = CollectorRegistry()
        counter = partial(Counter, registry=self.registry)
        gauge = partial(Gauge, registry=self.registry)
        self.requests = counter(
            f"{_PREFIX}_requests", "Requests answered", ["method", "route", "status_class"]
        )
        self.duration_s = Histogram(
            f"{_PREFIX}_request_duration_seconds",
            "From the head of a request to the end of its answer",
            ["route"],
            buckets=LATENCY_BUCKETS_S,
            registry=self.registry,
        )
        # Looking a label up takes longer than counting; there are as many as routes and kinds of answers.
        self._counting: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self.in_progress = gauge(f"{_PREFIX}_requests_in_progress", "Requests without an answer yet")
        self.problems = counter(f"{_PREFIX}_problems", "Answers and items without a score, by code", ["code"])
        self.shed = counter(f"{_PREFIX}_shed", "Requests refused because too much is waiting")
        self.files = counter(f"{_PREFIX}_files", "Files scored, from the cache or anew", ["label"])
        self.ready = gauge(f"{_PREFIX}_ready", "1 once the model has passed its self-test, 0 while draining")
        gauge(f"{_PREFIX}_queue_depth", "Files that wait for their turn").set_function(
            lambda: desk.admission.waiting
        )
        gauge(f"{_PREFIX}_files_running", "Files that are fetched, decoded or scored").set_function(
            lambda: desk.admission.running
        )
        gauge(f"{_PREFIX}_spool_bytes", "Bytes of requests on the disk").set_function(
            lambda: spool.used_bytes
        )
        gauge(
            f"{_PREFIX}_resident_bytes", "Resident memory of the process and its decode workers"
        ).set_function(lambda: memory.resident_bytes)
        gauge(f"{_PREFIX}_cache_entries", "Results that are remembered").set_function(lambda: len(desk.cache))
        self.registry.register(_Counts(desk, batcher))

    def seen(self, method: str, route: str, status: int, duration_s: float) -> None:
        """Count an answer.

        Args:
            method: Of the request.
            route: Its template.
            status: Of the answer; 499 where nobody waited for it.
            duration_s: How long it took, in seconds.
        """
        key = (method, route, status // 100)
        counting = self._counting.get(key)
        if counting is None:
            counting = self.requests.labels(method, route, f"{key[2]}xx"), self.duration_s.labels(route)
            self._counting[key] = counting
        counting[0].inc()
        counting[1].observe(duration_s)

    def problem(self, code: str) -> None:
        """Count something without a score.

        Args:
            code: Of the problem.
        """
        self.problems.labels(code).inc()
        if code == "overloaded":
            self.shed.inc()


class _Counts(Collector):
    """What others count already."""

    def __init__(self, desk: ScoringDesk, batcher: Batcher) -> None:
        self._cache = desk.cache
        self._batcher = batcher

    def collect(self) -> Iterable[CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily]:
        """Ask them."""
        stats = self._batcher.stats()
        counts = [
            (str(edge), float(sum(times for size, times in stats.sizes.items() if size <= edge)))
            for edge in BATCH_BUCKETS
        ]
        yield HistogramMetricFamily(
            f"{_PREFIX}_batch_size",
            "Frames in one call of the model",
            buckets=[*counts, ("+Inf", float(stats.batches))],
            sum_value=stats.frames,
        )
        for name, text, value in (
            ("model_busy_seconds", "Seconds spent in the model", stats.busy_s),
            ("cache_hits", "Files whose result was remembered", self._cache.hits),
            ("cache_misses", "Files that had to be scored", self._cache.added),
        ):
            yield CounterMetricFamily(f"{_PREFIX}_{name}", text, value=value)
        waiting = "Frames that wait for the model"
        yield GaugeMetricFamily(f"{_PREFIX}_frames_waiting", waiting, value=stats.waiting)


__all__ = ["ServiceMetrics"]

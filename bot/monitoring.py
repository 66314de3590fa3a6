"""What the daemon tells about itself over HTTP: `/metrics` for Prometheus, `/healthz` for a supervisor.

The metrics live in a registry of their own, so that two daemons in one test process do not mix. The server
answers on the configured loopback address only and never touches the database: it reports numbers that the
daemon keeps up to date, so a scrape costs nothing and cannot block the work.
"""

import json
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from bot.errors import ConfigError

log = logging.getLogger(__name__)

LATENCY_BUCKETS_S = (0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30, 60, 300, 1800, 21600)
STAGE_BUCKETS_S = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120)


class Metrics:
    """Every number the daemon publishes, named after Prometheus' conventions."""

    def __init__(self) -> None:
        self._shadow_shown: str | None = None
        self.registry = CollectorRegistry()
        counter = partial(Counter, registry=self.registry)
        gauge = partial(Gauge, registry=self.registry)
        histogram = partial(Histogram, registry=self.registry)
        self.stream_events = counter(
            "commonsbot_stream_events", "Events read, by what became of them", ["fate"]
        )
        self.stream_connections = gauge(
            "commonsbot_stream_connections", "Connections opened since the start; all but one are reconnects"
        )
        self.stream_lag_s = gauge(
            "commonsbot_stream_lag_seconds", "Now minus the time of the newest event read"
        )
        self.uploads_added = counter(
            "commonsbot_uploads_added", "Uploads stored, by how we learned of them", ["source"]
        )
        self.missed_uploads = counter(
            "commonsbot_missed_uploads", "Uploads the stream had not brought, found in the log"
        )
        self.queue_depth = gauge("commonsbot_queue_depth", "Uploads without an outcome")
        self.in_flight = gauge("commonsbot_in_flight", "Uploads being worked on now")
        self.outcomes = counter(
            "commonsbot_outcomes", "Recorded outcomes: nsfw, sfw, or the code of a skip", ["outcome"]
        )
        self.retries = counter("commonsbot_retries", "Attempts that will be repeated, by code", ["code"])
        self.latency_s = histogram(
            "commonsbot_latency_seconds",
            "From the event's arrival to its recorded outcome, first attempts only",
            buckets=LATENCY_BUCKETS_S,
        )
        self.stage_s = histogram(
            "commonsbot_stage_seconds", "Seconds per stage and upload", ["stage"], buckets=STAGE_BUCKETS_S
        )
        self.verdicts = counter(
            "commonsbot_verdicts", "Verdicts read: trusted, or why they do not count", ["fate"]
        )
        self.wiki_edits = counter(
            "commonsbot_wiki_edits", "Edits of report pages, by what became of them", ["fate"]
        )
        self.model_busy_s = gauge(
            "commonsbot_model_busy_seconds", "Seconds spent in the model since the start"
        )
        self.downloaded_bytes = counter("commonsbot_downloaded_bytes", "Bytes fetched from the media hosts")
        self.worker_restarts = gauge("commonsbot_decode_worker_restarts", "Decode workers replaced")
        shares = {
            "estimate": "Share of the last 30 days as estimated from verdicts; NaN where it is unknown",
            "estimate_low": "Lower end of its 95 % interval",
            "estimate_high": "Upper end of its 95 % interval",
        }
        self.estimate, self.estimate_low, self.estimate_high = (
            gauge(f"commonsbot_{name}", text, ["measure"]) for name, text in shares.items()
        )
        self.score_drift = gauge(
            "commonsbot_score_drift",
            "Population stability index of the scores, the last 30 days against the 30 before",
        )
        self.drift_alert = gauge(
            "commonsbot_drift_alert",
            "0 none, 1 watch, 2 alarm, NaN too little to compare: scores, flagged or skipped",
            ["what"],
        )
        self.shadow_scores = counter(
            "commonsbot_shadow_scores", "Uploads offered to the shadow, by what became of them", ["fate"]
        )
        self.model_role = gauge(
            "commonsbot_model_role",
            "1 for a model that scores, 0 for one that should and does not",
            ["role", "model"],
        )
        self.service_failures = counter(
            "commonsbot_service_failures", "Times a whole service did not answer", ["service"]
        )

    def show_shadow(self, name: str | None, scores: bool) -> None:
        """Tell which model watches.

        Args:
            name: Of the model; None: none.
            scores: Whether it does so now.
        """
        if name != self._shadow_shown and self._shadow_shown is not None:
            self.model_role.remove("shadow", self._shadow_shown)
        self._shadow_shown = name
        if name is not None:
            self.model_role.labels("shadow", name).set(scores)


@dataclass(frozen=True, slots=True)
class Health:
    """One answer to "is it alive?".

    Attributes:
        ok: Whether the supervisor should leave it alone.
        details: What a person wants to know, as plain JSON values.
    """

    ok: bool
    details: Mapping[str, Any]


class MonitoringServer:
    """Serves `/metrics` and `/healthz` from a thread of its own.

    Args:
        host: Loopback address to listen on.
        port: Port; 0 takes a free one.
        metrics: What is published.
        health: Asked at every `/healthz`; must be quick and thread-safe.

    Raises:
        ConfigError: Where the port cannot be had.
    """

    def __init__(self, host: str, port: int, metrics: Metrics, health: Callable[[], Health]) -> None:
        handler = _handler(metrics, health)
        try:
            self._server = ThreadingHTTPServer((host, port), handler)
        except OSError as error:
            raise ConfigError(
                f"monitoring.port: cannot listen on {host}:{port}: {error.strerror}. Is another daemon "
                "running? Choose another port, or set monitoring.enabled = false"
            ) from error
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="monitoring", daemon=True)

    @property
    def url(self) -> str:
        """Base address, with the real port."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()
        log.info("monitoring_started", extra={"url": self.url})

    def close(self) -> None:
        """Stop answering and free the port."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


def _handler(metrics: Metrics, health: Callable[[], Health]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 5

        def do_GET(self) -> None:
            path = self.path.split("?", 1)[0]
            if path == "/metrics":
                self._answer(200, CONTENT_TYPE_LATEST, generate_latest(metrics.registry))
            elif path == "/healthz":
                state = health()
                body = json.dumps({"ok": state.ok, **state.details}, default=str).encode()
                self._answer(200 if state.ok else 503, "application/json", body)
            else:
                self._answer(404, "text/plain; charset=utf-8", b"try /metrics or /healthz\n")

        def _answer(self, status: int, content_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
            log.debug("monitoring_request", extra={"request": format % args})

    return Handler

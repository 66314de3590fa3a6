"""The review's own thread: look at the switches, read verdicts, write rows, again and again.

Guarantee: it edits only while the stop page was found to say so within the last moments; what cannot be read
means stop. Whatever fails is logged, counted and tried again in the next round, because the store remembers
what is still to be read and written.
"""

import logging
import threading
import time
from collections.abc import Callable

from bot.errors import BotError, ServiceDown
from bot.monitoring import Metrics
from bot.review.control import ConfigReading, Level, WikiConfig, may_edit, parse_config
from bot.review.report import Publisher
from bot.review.templates import subpage
from bot.review.verdicts import VerdictReader
from bot.settings import ReviewSettings
from bot.wiki_values import ReviewWiki
from storage.errors import StoreError

log = logging.getLogger(__name__)

TICK_S = 1.0
FAILURE_PAUSE_S = 5.0
"""After the first failure; it doubles with each that follows at once."""
LONGEST_PAUSE_S = 300.0


class ReviewDesk:
    """Keeps the report and the verdicts up to date until stopped.

    Args:
        wiki: Where the report is.
        reader: Reads verdicts.
        publisher: Writes rows.
        settings: Intervals and local defaults.
        metrics: Where failures are counted.
        stop: Ends the run.
        set_level: Told the threshold level that the community chose.
        level: The level until then.
    """

    def __init__(
        self,
        wiki: ReviewWiki,
        reader: VerdictReader,
        publisher: Publisher,
        settings: ReviewSettings,
        metrics: Metrics,
        stop: threading.Event,
        *,
        set_level: Callable[[Level], None],
        level: Level,
    ) -> None:
        self._wiki = wiki
        self._reader = reader
        self._publisher = publisher
        self._settings = settings
        self._metrics = metrics
        self._stop = stop
        self._set_level = set_level
        self._defaults = WikiConfig(level=level, edit_interval_s=settings.edit_interval_s)
        self._reading = ConfigReading(self._defaults)
        self._may_edit = False
        self._looked_at: float | None = None
        self._failures = 0
        self._wake = threading.Event()
        self._lock = threading.Lock()
        self._edited: set[str] = set()
        self._switches = frozenset(subpage(wiki.bot_name, name) for name in ("Run", "Config.json"))

    def notify(self, titles: frozenset[str]) -> None:
        """Say that report pages were edited, so that nobody waits for the next poll.

        Args:
            titles: Their full titles.
        """
        with self._lock:
            self._edited |= titles
        self._wake.set()

    def run(self) -> None:
        """Work until stopped."""
        poll_at = 0.0
        while not self._stop.is_set():
            self._wake.clear()
            edited = self._take_edited()
            try:
                if edited & self._switches or self._switches_are_stale():
                    self._look_at_switches()
                if time.monotonic() >= poll_at or edited - self._switches:
                    self._reader.read(edited)
                    self._publisher.forget(self._reader.missing)
                    poll_at = time.monotonic() + self._settings.poll_interval_s
                if self._may_edit:
                    self._publisher.publish(self._reading, self._still_may_edit)
                self._failures = 0
                self._wait(TICK_S)
            except (BotError, StoreError) as error:
                self._looked_at, poll_at = None, 0.0
                with self._lock:
                    self._edited |= edited
                self._stop.wait(self._failed(error))

    def _wait(self, seconds: float) -> None:
        """Sleep, but not through a stop or an edit."""
        ends = time.monotonic() + seconds
        while not self._stop.is_set() and not self._wake.is_set() and time.monotonic() < ends:
            self._wake.wait(min(0.5, max(0.0, ends - time.monotonic())))

    def _take_edited(self) -> set[str]:
        with self._lock:
            edited, self._edited = self._edited, set()
        return edited

    def _switches_are_stale(self) -> bool:
        looked_at = self._looked_at
        return looked_at is None or time.monotonic() - looked_at >= self._settings.control_interval_s

    def _still_may_edit(self) -> bool:
        """Asked before every edit; a pass over many pages can take longer than people wait for a stop."""
        with self._lock:
            told = bool(self._edited & self._switches)
        if self._may_edit and (told or self._switches_are_stale()):
            self._look_at_switches()
        return self._may_edit and not self._stop.is_set()

    def _look_at_switches(self) -> None:
        """Read stop page and configuration in one question; unreadable means stop."""
        run, config = subpage(self._wiki.bot_name, "Run"), subpage(self._wiki.bot_name, "Config.json")
        try:
            found = self._wiki.read([run, config])
        except BotError:
            self._may_edit = False
            raise
        self._looked_at = time.monotonic()
        # In dry-run nothing is written whatever the page says, so one that is not there yet need not stop it.
        missing = found[run].revision_id is None
        allowed = may_edit(found[run].text) or (missing and self._settings.dry_run)
        if allowed != self._may_edit:
            log.info("review_switched", extra={"may_edit": allowed, "page": run})
        self._may_edit = allowed
        before = self._reading
        self._reading = parse_config(found[config].text, self._defaults, before.config)
        if self._reading != before:
            log.info(
                "review_configured",
                extra={"config": self._reading.config, "problems": self._reading.problems},
            )
        self._set_level(self._reading.config.level)

    def _failed(self, error: BotError | StoreError) -> float:
        """Tell, and say for how many seconds to leave wiki and store alone."""
        pause_s = min(FAILURE_PAUSE_S * 2.0**self._failures, LONGEST_PAUSE_S)
        self._failures = min(self._failures + 1, 10)
        pause_s = max(pause_s, getattr(error, "after_s", None) or 0.0)
        service = error.service if isinstance(error, ServiceDown) else type(error).__name__
        self._metrics.service_failures.labels(f"review.{service}").inc()
        log.warning(
            "review_failed", extra={"service": service, "reason": str(error), "again_in_s": round(pause_s, 1)}
        )
        return pause_s

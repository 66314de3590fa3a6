"""The lane beside the pipeline on which a shadow scores; no upload ever waits for it, or fails by it.

An upload has its outcome when it is offered here. It is taken, files and all, or left: by a hash of its id
where only a share is wanted, and by the length of the lane where the shadow is behind. Neither looks at a
score. Uploads that people are asked about are taken in any case: comparisons are made of those, and so stay
complete however busy the daemon is. Which of the others were taken is chance and load alone, and they are
marked as representative; only these stand for all uploads where a budget of flags is counted.

Whatever fails here, foreseen or not, costs one score and is counted; a shadow that cannot be loaded is told
in the log, in the metrics and by `status`.
"""

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from bot.errors import BotError
from bot.monitoring import Metrics
from bot.shadowing import Shadow, give_way, in_share, roles
from bot.upload import Downloaded
from classifier.errors import ClassifierError
from classifier.values import Level
from storage import shadow_runs, shadow_scores
from storage.engine import Database
from storage.errors import StoreError
from storage.model_registry import RegisteredModel
from storage.shadow_runs import FAILED, LOADING, SCORING, STOPPED
from storage.values import ClaimedUpload, Classification

log = logging.getLogger(__name__)

MAX_WAITING = 8
"""Uploads on the lane from which on the shadow counts as behind."""
MAX_WAITING_ASKED = 64
"""Those that people are asked about get so much room."""
MAX_WAITING_BYTES = 512 * 1024**2
"""Of files on the disk that only wait for the shadow."""
ROLES_INTERVAL_S = 30.0
TELL_INTERVAL_S = 5.0
_TICK_S = 0.5
_END_S = 5.0


class Fate(StrEnum):
    """What becomes of an upload that is offered."""

    SCORED = "scored"
    LEFT_OUT = "left_out"
    """Chance did not choose it."""
    BEHIND = "behind"
    """The lane was full."""
    NOT_READY = "not_ready"
    """The shadow is being loaded, or could not be."""
    FAILED = "failed"
    ENDED = "ended"
    """The daemon ended, or the shadow, before its turn came."""


@dataclass(frozen=True, slots=True)
class _Job:
    claimed: ClaimedUpload
    files: Downloaded
    size_bytes: int
    representative: bool


class ShadowLane:
    """Scores with the shadow that the registry names, and follows the registry.

    Args:
        database: The store.
        share: Of all uploads, which it scores, 0..1.
        open_shadow: Loads a model; called in a thread of low priority.
        discard: Deletes the files of an upload.
        metrics: Where fates are counted.
        stop: Ends the run.
        level: The level in use.
    """

    def __init__(
        self,
        database: Database,
        share: float,
        open_shadow: Callable[[RegisteredModel], Shadow],
        discard: Callable[[Downloaded], None],
        metrics: Metrics,
        stop: threading.Event,
        level: Level,
    ) -> None:
        self._database = database
        self._share = share
        self._open_shadow = open_shadow
        self._discard = discard
        self._metrics = metrics
        self._stop = stop
        self._level = level
        self._changed = threading.Condition()
        self._waiting: deque[_Job] = deque()
        self._bytes = 0
        self._wanted: RegisteredModel | None = None
        self._shadow: Shadow | None = None
        self._state, self._message = LOADING, ""
        self._counts: Counter[str] = Counter()
        self._tell_at = 0.0

    def offer(self, claimed: ClaimedUpload, files: Downloaded, asked: bool) -> bool:
        """Take an upload, or leave it; returns at once.

        Args:
            claimed: The upload; its score is recorded.
            files: Its files.
            asked: Whether people are asked about it.

        Returns:
            Whether it was taken: then the files are discarded here.
        """
        with self._changed:
            if self._wanted is None:
                return False
            if self._shadow is None or self._stop.is_set():
                self._count(Fate.NOT_READY)
                return False
            drawn = in_share(claimed.upload, self._share)
            room = len(self._waiting) < MAX_WAITING and self._bytes < MAX_WAITING_BYTES
            if not (drawn and room) and not (asked and len(self._waiting) < MAX_WAITING_ASKED):
                self._count(Fate.BEHIND if drawn or asked else Fate.LEFT_OUT)
                return False
            size_bytes = files.received_bytes
            self._waiting.append(_Job(claimed, files, size_bytes, representative=drawn and room))
            self._bytes += size_bytes
            self._changed.notify()
            return True

    def set_level(self, level: Level) -> None:
        """Follow the level in use: the shadow leaves films where it would leave them if it were active.

        Args:
            level: `cautious`, `balanced` or `sensitive`.
        """
        with self._changed:
            self._level = level
            if self._shadow is not None:
                self._shadow.set_level(level)

    def run(self) -> None:
        """Work until stopped."""
        executor = ThreadPoolExecutor(1, thread_name_prefix="shadow", initializer=give_way)
        look_at = 0.0
        try:
            while not self._stop.is_set():
                if time.monotonic() >= look_at:
                    self._follow_registry(executor)
                    look_at = time.monotonic() + ROLES_INTERVAL_S
                job = self._next()
                if job is not None:
                    self._do(executor, job)
                self._tell()
        finally:
            self._let_go()
            executor.shutdown(wait=False, cancel_futures=True)
            self._tell(STOPPED)

    def _follow_registry(self, executor: ThreadPoolExecutor) -> None:
        """Load the model that the registry wants, where it is another one than before."""
        try:
            wanted = roles(self._database, "").shadow
        except StoreError as error:
            log.warning("service_failed", extra={"service": "shadow", "reason": str(error)})
            return
        if _same(wanted, self._wanted):
            return
        self._let_go()
        self._tell(STOPPED)
        with self._changed:
            self._wanted = wanted
        if wanted is not None:
            self._load(executor, wanted)

    def _load(self, executor: ThreadPoolExecutor, wanted: RegisteredModel) -> None:
        """Load a shadow; it counts as loading until then, as failed if that does not work."""
        self._tell(LOADING)
        opening = executor.submit(self._open_shadow, wanted)
        if not self._ended(opening):
            opening.add_done_callback(_close_opened)  # it is too late for it
            return
        failure = opening.exception()
        if failure is not None:
            reason = str(failure) or type(failure).__name__
            log.error(
                "shadow_unavailable",
                extra={"model": wanted.name, "reason": reason},
                exc_info=_unforeseen(failure),
            )
            self._tell(FAILED, reason)
            return
        with self._changed:
            self._shadow = opening.result()
            self._shadow.set_level(self._level)
        log.info("shadow_scores", extra={"model": wanted.name, "weights": wanted.weights_sha256[:12]})
        self._tell(SCORING)

    def _next(self) -> _Job | None:
        with self._changed:
            if not self._waiting:
                self._changed.wait(_TICK_S)
            return self._waiting[0] if self._waiting else None

    def _do(self, executor: ThreadPoolExecutor, job: _Job) -> None:
        """Score one upload; it keeps its place on the lane until then."""
        shadow = self._shadow
        assert shadow is not None  # nothing is taken without one
        started = time.monotonic()
        scoring = executor.submit(shadow.classify, job.files.media_parts(), job.files.record())
        if not self._ended(scoring):
            shadow.close()  # its score fails soon
            wait([scoring], timeout=_END_S)
        with self._changed:
            if self._waiting and self._waiting[0] is job:
                self._waiting.popleft()
                self._bytes -= job.size_bytes
        self._discard(job.files)
        failure = scoring.exception() if scoring.done() else None
        if scoring.done() and failure is None:
            self._keep(job, scoring.result(), time.monotonic() - started)
        elif self._stop.is_set():
            self._count(Fate.ENDED)
        else:
            self._failed(job, failure)

    def _keep(self, job: _Job, classification: Classification, seconds: float) -> None:
        """Store a score; here and not in the other thread, which would be slow to free the store again."""
        try:
            with self._database.transaction() as tx:
                shadow_scores.add(
                    tx, job.claimed.id, classification, datetime.now(UTC), representative=job.representative
                )
        except StoreError as error:
            self._failed(job, error)
        else:
            self._count(Fate.SCORED)
            self._metrics.stage_s.labels("shadow").observe(seconds)

    def _failed(self, job: _Job, error: BaseException | None) -> None:
        self._count(Fate.FAILED)
        told = {
            "log_id": job.claimed.upload.log_id,
            "title": job.claimed.title,
            "reason": f"{type(error).__name__}: {error}",
        }
        log.warning("shadow_failed", extra=told, exc_info=_unforeseen(error))

    def _ended(self, future: "Future[Shadow] | Future[Classification]") -> bool:
        """Wait for a future; False where the daemon is stopped before it ends."""
        together: list[Future[Any]] = [future]
        while not future.done() and not self._stop.is_set():
            wait(together, timeout=_TICK_S)
        return future.done()

    def _let_go(self) -> None:
        """Part with the shadow, and with what still waits for it."""
        with self._changed:
            shadow, self._shadow = self._shadow, None
            waiting, self._bytes = list(self._waiting), 0
            self._waiting.clear()
            for _ in waiting:
                self._count(Fate.ENDED)
        for job in waiting:
            self._discard(job.files)
        if shadow is not None:
            shadow.close()

    def _count(self, fate: Fate) -> None:
        self._metrics.shadow_scores.labels(fate.value).inc()
        with self._changed:
            self._counts[fate.value] += 1

    def _tell(self, state: str | None = None, message: str = "") -> None:
        """Keep in the store how the shadow fares, for `status`.

        Args:
            state: The new state; None: as before, told once in a while.
            message: What goes with it.
        """
        wanted = self._wanted
        if wanted is None or (state is None and time.monotonic() < self._tell_at):
            return
        if state is not None:
            self._state, self._message = state, message
            self._metrics.show_shadow(None if state == STOPPED else wanted.name, state == SCORING)
        self._tell_at = time.monotonic() + TELL_INTERVAL_S
        with self._changed:
            added, self._counts = self._counts, Counter()
        try:
            with self._database.transaction() as tx:
                shadow_runs.tell(
                    tx,
                    wanted.name,
                    wanted.weights_sha256,
                    state=self._state,
                    now=datetime.now(UTC),
                    message=self._message,
                    added=added,
                )
        except StoreError as error:  # it is told next time
            log.warning("service_failed", extra={"service": "shadow", "reason": str(error)})
            with self._changed:
                self._counts += added


def _same(one: RegisteredModel | None, other: RegisteredModel | None) -> bool:
    if one is None or other is None:
        return one is other
    return (one.name, one.weights_sha256, one.thresholds) == (
        other.name,
        other.weights_sha256,
        other.thresholds,
    )


def _close_opened(opening: "Future[Shadow]") -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()


def _unforeseen(error: BaseException | None) -> BaseException | None:
    """What deserves a traceback."""
    return None if isinstance(error, BotError | ClassifierError | StoreError) else error


__all__ = ["MAX_WAITING", "MAX_WAITING_ASKED", "Fate", "ShadowLane"]

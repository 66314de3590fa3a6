"""The way of an upload from a pending row to a recorded outcome.

Guarantee: every upload that is claimed here ends in exactly one of three ways, each a single transaction:
an outcome (a score, or a skip with a code), a planned retry, or the claim given back. Whatever is killed in
between leaves a claim that expires. The collaborators are injected and may be fakes.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from bot.errors import BotError, RetryLater, ServiceDown, SkipUpload
from bot.media.schedule import End, Wait, next_step
from bot.monitoring import Metrics
from bot.recording import classified
from bot.sampling import Sampler
from bot.settings import PipelineSettings
from bot.upload import Downloaded, Rendition
from classifier.errors import DecodeError
from classifier.values import MediaPart, MediaScore
from storage import uploads
from storage.engine import Database
from storage.errors import LostClaim, StoreError, StoreUnavailable
from storage.values import (
    ClaimedUpload,
    Classification,
    ReviewDraw,
    ReviewReason,
    Skip,
)

log = logging.getLogger(__name__)

CLAIM_BATCH = 50
"""Claim as many as one question to the API can locate (`titles` takes 50)."""
STORE_RETRY_S = 2.0
SERVICE_PAUSE_S = 15.0
"""How long nothing is claimed after a service failed that named no time of its own: a full disk, say."""
LONGEST_PAUSE_S = 60.0


class Locates(Protocol):
    """Finds what to download; see `bot.media.locate.Locator`."""

    def locate(self, claimed: Sequence[ClaimedUpload]) -> Mapping[int, Rendition | BotError]:
        """Answer with a rendition or an error for every upload, by row id."""
        ...


class Downloads(Protocol):
    """Fetches and forgets files; see `bot.media.download.Downloader`."""

    def download(self, rendition: Rendition, *, may_have_holes: bool = False) -> Downloaded:
        """Fetch every part, or what is needed to begin with."""
        ...

    def discard(self, downloaded: Downloaded) -> None:
        """Delete what was fetched."""
        ...


Score = Callable[[Sequence[MediaPart]], MediaScore]
AfterScore = Callable[[ClaimedUpload, Sequence[MediaPart], MediaScore, bool], None]
"""Told of an upload whose score is recorded, while its files are there, and whether it is put up for review;
see `bot.retention.scored.ScoredPictures`."""


Watch = Callable[[ClaimedUpload, Downloaded, bool], bool]
"""Offered an upload whose score is recorded, and whether it is put up for review; says whether it takes the
files, and discards them later. Returns at once and raises nothing; see `bot.shadow_lane.ShadowLane.offer`."""


def _nothing(_claimed: ClaimedUpload, _parts: Sequence[MediaPart], _scored: MediaScore, _asked: bool) -> None:
    pass


def _nobody(_claimed: ClaimedUpload, _downloaded: Downloaded, _asked: bool) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Collaborators:
    """What the pipeline works with.

    Attributes:
        database: The store.
        locator: Finds renditions.
        downloader: Fetches them.
        score: Decodes and classifies local files.
        model_version_id: The row of the model that `score` uses.
        retry_after_s: Delays of the rendition schedule in seconds.
        metrics: Where outcomes are counted.
        after_score: Told of recorded scores; raises nothing that a file or a service can cause.
        sampler: Decides which uploads are reviewed; None: every flagged one, and no others.
        watch: Offered recorded uploads for a shadow.
    """

    database: Database
    locator: Locates
    downloader: Downloads
    score: Score
    model_version_id: int
    retry_after_s: tuple[float, ...]
    metrics: Metrics
    after_score: AfterScore = _nothing
    sampler: Sampler | None = None
    watch: Watch = _nobody


class Pipeline:
    """Claims pending uploads and carries each of them to its outcome.

    Args:
        work: The collaborators.
        settings: How much is on its way at once.
        worker: Name under which rows are claimed.
        threads: How many uploads are downloaded or scored at the same time.
    """

    def __init__(self, work: Collaborators, settings: PipelineSettings, *, worker: str, threads: int) -> None:
        self._work = work
        self._settings = settings
        self._worker = worker
        self._threads = threads
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._aborted = threading.Event()
        self._resume_at = 0.0
        self._prolong_at = 0.0

    def notify(self) -> None:
        """Say that new uploads were stored, so that nobody waits for the next poll."""
        self._wake.set()

    def stop(self) -> None:
        """Claim nothing more; `run` returns when what is on its way has ended or was given back."""
        self._stop.set()
        self._wake.set()

    def abort(self) -> None:
        """Stop, and read every further error as our own doing: what fails from now on is given back."""
        self._aborted.set()
        self.stop()

    def run(self) -> None:
        """Work until stopped.

        Claim as many as may be on their way, locate them with one question, and let the threads do the rest.
        """
        running: dict[Future[None], ClaimedUpload] = {}
        with ThreadPoolExecutor(self._threads, thread_name_prefix="upload") as executor:
            while not self._stop.is_set():
                self._wake.clear()
                running = _unfinished(running)
                self._work.metrics.in_flight.set(len(running))
                self._prolong(list(running.values()))
                free = self._settings.max_in_flight - len(running)
                pause_s = min(self._resume_at - time.monotonic(), self._settings.poll_interval_s)
                if pause_s > 0:
                    self._stop.wait(pause_s)
                    continue
                if free <= 0:
                    wait(running, timeout=self._settings.poll_interval_s, return_when=FIRST_COMPLETED)
                    continue
                claimed = self._claim(free)
                for ready in self._locate(claimed):
                    running[executor.submit(self._process, *ready)] = ready[0]
                if not claimed:
                    self._wake.wait(self._settings.poll_interval_s)
        _unfinished(running)

    def _prolong(self, running: Sequence[ClaimedUpload]) -> None:
        """Keep the claims of what waits for its turn; after a burst of long videos that can take hours."""
        if not running or time.monotonic() < self._prolong_at:
            return
        until = datetime.now(UTC) + timedelta(seconds=self._settings.claim_ttl_s)
        try:
            with self._work.database.transaction() as tx:
                uploads.prolong(tx, running, until)
        except StoreError as error:
            self._service_failed("store", error)
        else:
            self._prolong_at = time.monotonic() + self._settings.claim_ttl_s / 4

    def _claim(self, limit: int) -> list[ClaimedUpload]:
        try:
            with self._work.database.transaction() as tx:
                return uploads.claim(
                    tx,
                    worker=self._worker,
                    limit=min(limit, CLAIM_BATCH),
                    now=datetime.now(UTC),
                    ttl_s=self._settings.claim_ttl_s,
                )
        except StoreError as error:
            self._service_failed("store", error)
            return []

    def _locate(self, claimed: Sequence[ClaimedUpload]) -> list[tuple[ClaimedUpload, Rendition, float]]:
        """Sort the claimed uploads into those to download and those that are settled already."""
        if not claimed:
            return []
        started = time.monotonic()
        try:
            found = self._work.locator.locate(claimed)
        except ServiceDown as error:
            for upload in claimed:
                self._give_back(upload)
            self._pause(error)
            return []
        seconds = time.monotonic() - started
        ready = []
        for upload in claimed:
            answer = found[upload.id]
            if isinstance(answer, BotError):
                self._settle(upload, answer)
            else:
                ready.append((upload, answer, seconds))
        return ready

    def _process(self, claimed: ClaimedUpload, rendition: Rendition, locate_s: float) -> None:
        """Download, score and record one upload; runs in a thread of the pool."""
        if self._stop.is_set():
            self._give_back(claimed)
            return
        downloaded = None
        try:
            downloaded = self._work.downloader.download(rendition, may_have_holes=True)
            scored = self._work.score(downloaded.media_parts())
        except (BotError, DecodeError) as error:
            self._settle(claimed, error)
        except Exception as error:  # the one broad except: an unknown fault costs one upload
            log.exception("upload_failed", extra={"log_id": claimed.upload.log_id, "title": claimed.title})
            self._settle(claimed, RetryLater("internal_error", f"{type(error).__name__}: {error}"))
        else:
            if self._record(claimed, downloaded, scored, locate_s):
                downloaded = None
        finally:
            if downloaded is not None:
                self._work.downloader.discard(downloaded)

    def _record(self, claimed: ClaimedUpload, got: Downloaded, scored: MediaScore, locate_s: float) -> bool:
        """Record a score; whether somebody else discards the files."""
        now = datetime.now(UTC)
        timings = {
            "locate": locate_s,
            "download": got.transfer_s,
            **scored.timings_s,
            "total": (now - claimed.received_at).total_seconds(),
        }
        classification = classified(scored, self._work.model_version_id, got.record(), timings)
        asked = self._store(claimed, classification, now)
        if asked is None:
            return False
        self._count(claimed, scored.label, now)
        self._work.metrics.downloaded_bytes.inc(got.received_bytes)
        for stage, seconds in timings.items():
            self._work.metrics.stage_s.labels(stage).observe(seconds)
        log.info(
            "upload_scored",
            extra={
                "log_id": claimed.upload.log_id,
                "title": claimed.title,
                "label": scored.label,
                "score": round(scored.score, 6),
                "frames": len(scored.frames),
                "decoder": scored.summary.decoder,
                "rendition": got.rendition.kind,
                "seconds": round(timings["total"], 3),
            },
        )
        self._work.after_score(claimed, got.media_parts(), scored, asked)
        return self._work.watch(claimed, got, asked)

    def _store(self, claimed: ClaimedUpload, classification: Classification, now: datetime) -> bool | None:
        """Store the score; whether people are asked about it, None where nothing was stored."""
        if self._work.sampler is not None:
            return self._work.sampler.record(lambda to: self._commit(to, claimed), claimed, classification)
        draw = ReviewDraw(ReviewReason.FLAGGED, 1.0) if classification.label == "nsfw" else None
        if self._commit(lambda tx: uploads.score(tx, claimed, classification, now, review=draw), claimed):
            return draw is not None
        return None

    def _settle(self, claimed: ClaimedUpload, error: BotError | DecodeError) -> None:
        """Turn an error into a recorded skip, a planned retry, or a claim given back."""
        interrupted = self._stop.is_set() and isinstance(error, RetryLater)
        if self._aborted.is_set() or interrupted:
            self._give_back(claimed)
        elif isinstance(error, SkipUpload | DecodeError):
            self._skip(claimed, error.code, error.message)
        elif isinstance(error, RetryLater):
            self._plan_retry(claimed, error)
        else:
            self._give_back(claimed)
            self._pause(error)

    def _plan_retry(self, claimed: ClaimedUpload, error: RetryLater) -> None:
        attempts = claimed.attempts + 1
        step = next_step(attempts, self._work.retry_after_s, error.after_s)
        if isinstance(step, End):
            self._skip(claimed, error.code, f"{error.message} (gave up after {attempts} attempts)")
            return
        delay_s = step.after_s if isinstance(step, Wait) else 0.0
        due = datetime.now(UTC) + timedelta(seconds=delay_s)
        if self._commit(
            lambda tx: uploads.retry(
                tx, claimed, code=error.code, message=error.message, next_attempt_at=due
            ),
            claimed,
        ):
            self._work.metrics.retries.labels(error.code).inc()
            log.info(
                "upload_retry_planned",
                extra={
                    "log_id": claimed.upload.log_id,
                    "title": claimed.title,
                    "code": error.code,
                    "reason": error.message,
                    "attempts": attempts,
                    "after_s": round(delay_s, 1),
                },
            )

    def _skip(self, claimed: ClaimedUpload, code: str, message: str) -> None:
        now = datetime.now(UTC)
        if self._commit(lambda tx: uploads.skip(tx, claimed, Skip(code, message), now), claimed):
            self._count(claimed, code, now)
            log.info(
                "upload_skipped",
                extra={
                    "log_id": claimed.upload.log_id,
                    "title": claimed.title,
                    "code": code,
                    "reason": message,
                },
            )

    def _give_back(self, claimed: ClaimedUpload) -> None:
        self._commit(lambda tx: uploads.release(tx, [claimed]), claimed)

    def _commit(self, write: Callable[[uploads.Transaction], object], claimed: ClaimedUpload) -> bool:
        """Write in one transaction, waiting for a store that is away: what is worked out is not thrown away.

        Where it returns False nothing was written, and the claim belongs to somebody else or will expire.
        """
        while True:
            try:
                with self._work.database.transaction() as tx:
                    write(tx)
            except LostClaim:
                log.warning("claim_lost", extra={"log_id": claimed.upload.log_id, "title": claimed.title})
                return False
            except StoreError as error:
                self._service_failed("store", error)
                if not isinstance(error, StoreUnavailable) or self._stop.wait(STORE_RETRY_S):
                    return False
            else:
                return True

    def _count(self, claimed: ClaimedUpload, outcome: str, now: datetime) -> None:
        self._work.metrics.outcomes.labels(outcome).inc()
        if claimed.attempts == 0:
            self._work.metrics.latency_s.observe((now - claimed.received_at).total_seconds())

    def _pause(self, error: BotError) -> None:
        """Claim nothing for a while: what a service cannot serve now would only be given back again."""
        service = error.service if isinstance(error, ServiceDown) else "internal"
        asked_s = error.after_s if isinstance(error, ServiceDown) else None
        pause_s = SERVICE_PAUSE_S if asked_s is None else min(asked_s, LONGEST_PAUSE_S)
        if not self._stop.is_set():
            self._resume_at = max(self._resume_at, time.monotonic() + pause_s)
        self._service_failed(service, error)

    def _service_failed(self, service: str, error: Exception) -> None:
        self._work.metrics.service_failures.labels(service).inc()
        log.warning("service_failed", extra={"service": service, "reason": str(error)})


def _unfinished(futures: dict[Future[None], ClaimedUpload]) -> dict[Future[None], ClaimedUpload]:
    """Drop what is done; a future that failed is a bug of ours and must not be lost."""
    done = [future for future in futures if future.done()]
    for future in done:
        future.result()
    return {future: claimed for future, claimed in futures.items() if future not in done}

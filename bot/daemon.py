"""The daemon's life: start-up, the threads that do the work, and an orderly end.

Guarantee: after `run` returns, by a signal or by a failure, nothing is lost: what was read is stored with its
position, and what was claimed is either recorded or given back. A `kill -9` differs only in that claims stay
behind; the next start frees them, because the lease says that their holder is gone.

The threads: `listen` (stream to store), `backfill` (upload log to store), `pipeline` (store to outcome, with
a pool of its own), `housekeeping` (lease, gauges, report) and `quality` (estimates for the gauges). If one of
them fails, the daemon stops and says so: half a daemon that looks alive is worse than none.
"""

import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import psutil

from bot import preparing, probes, shadowing
from bot.api import Api
from bot.errors import ServiceDown
from bot.housekeeping import Housekeeper
from bot.level_in_use import LevelInUse
from bot.listening import STREAM, Backfiller, Listener
from bot.makers import model_version
from bot.media.download import Downloader
from bot.media.locate import Locator
from bot.monitoring import Health, Metrics, MonitoringServer
from bot.pipeline import Collaborators, Pipeline
from bot.proposals import open_proposer
from bot.quality import Quality
from bot.retention.assembly import open_deleted, open_purger, open_scored
from bot.retention.patrol import SuppressionPatrol
from bot.review.templates import subpage
from bot.sampling import open_sampler
from bot.scoring import Scorer
from bot.settings import ROOT, Settings
from bot.shadow_lane import ShadowLane
from bot.stream.eventstreams import UploadStream
from classifier.models import catalogue
from storage import lease, models, positions, uploads
from storage.engine import Database
from storage.model_registry import RegisteredModel
from storage.values import Owner, StoreStatus

if TYPE_CHECKING:
    from bot.wiki import Wiki

log = logging.getLogger(__name__)

SPARE_THREADS = 4
"""Uploads that wait for their scores while others download and decode: they let batches fill."""


def this_process() -> Owner:
    """The owner of a lease: this process, told apart from a later one with the same number.

    Returns:
        Host, process id and the process's start time.
    """
    started = datetime.fromtimestamp(psutil.Process().create_time(), UTC)
    return Owner(host=socket.gethostname(), pid=os.getpid(), started_at=started, token=uuid.uuid4().hex)


class Daemon:
    """Follows the stream and scores uploads until stopped.

    Args:
        settings: Everything that can be set.
        on_status: Called about once a second with the store's status.
    """

    def __init__(
        self, settings: Settings, *, on_status: Callable[[StoreStatus], None] = lambda _status: None
    ) -> None:
        self._settings = settings
        self._on_status = on_status
        self._stop = threading.Event()
        self.metrics = Metrics()

    def stop(self) -> None:
        """Ask for an orderly end; `run` returns within `pipeline.shutdown_s` and a little. Signal-safe."""
        self._stop.set()

    def run(self) -> None:
        """Work until stopped.

        Raises:
            ConfigError: Where something is missing or wrong at start.
            ServiceDown: Where the wiki cannot be reached at start.
            LeaseHeld: Where another daemon works on the database.
            ModelError: Where the weights cannot be had.
            Exception: Whatever ended one of the threads.
        """
        settings = self._settings
        user_agent = settings.user_agent
        probes.probe_folders(settings)
        database = Database.open(settings.store.url, ROOT)
        try:
            database.migrate()
            owner = self._take_lease(database)
            try:
                if self._wiki_answers():
                    scorer = self._scorer(database)
                    try:
                        self._work(database, owner, scorer, user_agent)
                    finally:
                        scorer.close()
            finally:
                with database.transaction() as tx:
                    uploads.release_of(tx, owner.token, crashed=False)
                    lease.release(tx, owner=owner)
        finally:
            database.close()
        log.info("daemon_stopped")

    def _scorer(self, database: Database) -> Scorer:
        """Load the active model: the promoted one, or where none was, the configured one."""
        settings = self._settings
        found = shadowing.roles(database, settings.classifier.model)
        chosen = settings.classifier.model_copy(update={"model": found.active})
        thresholds = found.thresholds
        weights = catalogue.card(found.active, chosen.cache_directory).weights_sha256
        if found.weights_sha256 not in (None, weights):
            log.warning(
                "active_model_changed",
                extra={
                    "model": found.active,
                    "reason": "not the weights that were promoted; its card counts",
                },
            )
            thresholds = {}
        scorer = Scorer.load(
            settings.model_copy(update={"classifier": chosen}), preparing.logged(), calibrated=thresholds
        )
        self.metrics.model_role.labels("active", found.active).set(1)
        return scorer

    def _wiki_answers(self) -> bool:
        """Wait for the wiki's own word on who it is; False where the stop was asked for meanwhile."""
        try:
            probes.probe_wiki(self._settings, self._stop)
        except ServiceDown:
            if not self._stop.is_set():
                raise
        return not self._stop.is_set()

    def _take_lease(self, database: Database) -> Owner:
        owner = this_process()
        now = datetime.now(UTC)
        with database.transaction() as tx:
            lease.acquire(tx, owner=owner, now=now, ttl_s=self._settings.pipeline.lease_ttl_s)
            # Whoever held claims before held the lease too, and is gone.
            freed = uploads.release_of(tx)
        log.info("daemon_started", extra={"pid": owner.pid, "claims_freed": freed})
        return owner

    def _work(self, database: Database, owner: Owner, scorer: Scorer, user_agent: str) -> None:
        settings = self._settings
        with database.transaction() as tx:
            version_id = models.register(tx, model_version(scorer), datetime.now(UTC))
            position = positions.load(tx, STREAM)
        api = Api(settings.api, settings.wiki.api_url, user_agent, self._stop)
        downloader = Downloader(settings.media, user_agent, self._stop)
        downloader.sweep()
        lane = self._shadow_lane(database, downloader)
        wiki = self._review_wiki()
        deleted = open_deleted(settings, database, wiki, api)
        pipeline = Pipeline(
            Collaborators(
                database,
                Locator(api, settings.media, settings.api.batch_titles),
                downloader,
                scorer.score,
                version_id,
                settings.media.retry_after_s,
                self.metrics,
                open_scored(settings, database, scorer.pool, deleted),
                sampler=open_sampler(settings.sampling),
                watch=lane.offer,
            ),
            settings.pipeline,
            worker=owner.token,
            threads=settings.decode.workers + settings.media.max_concurrent + SPARE_THREADS,
        )
        level = LevelInUse(database, "wiki" if wiki else "settings", scorer.set_level, lane.set_level)
        desk = None
        if wiki is None:
            level(settings.classifier.level)
        else:
            from bot.review.assembly import open_desk

            desk = open_desk(settings, wiki, api, database, self.metrics, self._stop, level, deleted)
        watch = subpage(settings.review.user) if desk is not None else None
        stream = UploadStream(settings.stream, settings.wiki, user_agent, self._stop, position, watch=watch)
        backfiller = Backfiller(api, database, settings, self.metrics, self._stop, stored=pipeline.notify)
        backfiller.plan_start(position)
        listener = Listener(
            stream,
            database,
            self.metrics,
            self._stop,
            stored=pipeline.notify,
            gap_found=backfiller.notify,
            edited=desk.notify if desk is not None else lambda _titles: None,
        )
        housekeeper = Housekeeper(
            settings,
            database,
            owner,
            self.metrics,
            stream,
            scorer,
            self._stop,
            self._on_status,
            open_purger(settings, database),
            open_proposer(settings.sampling, database),
        )
        monitoring = self._start_monitoring(stream)
        try:
            patrol = SuppressionPatrol(api, database, settings.wiki.id, self._stop)
            counting = partial(Quality(database).run, self.metrics, self._stop)
            parts: list[Callable[[], None]] = [listener.run, housekeeper.run, patrol.run, counting, lane.run]
            parts += [desk.run] if desk is not None else []
            self._run_threads(pipeline, backfiller, scorer, *parts)
        finally:
            if monitoring is not None:
                monitoring.close()

    def _review_wiki(self) -> "Wiki | None":
        """The session that the review works with; None where there is no review on-wiki."""
        settings = self._settings
        if not settings.review.enabled:
            return None
        # Imported here: a daemon without a report needs no pywikibot.
        from bot.review import assembly

        return assembly.connect(settings, log_in=not settings.review.dry_run, stop=self._stop)

    def _shadow_lane(self, database: Database, downloader: Downloader) -> ShadowLane:
        def load(wanted: RegisteredModel) -> shadowing.Shadow:
            return shadowing.open_shadow(self._settings, database, wanted)

        return ShadowLane(
            database,
            self._settings.shadow.share,
            load,
            downloader.discard,
            self.metrics,
            self._stop,
            self._settings.classifier.level,
        )

    def _run_threads(
        self,
        pipeline: Pipeline,
        backfiller: Backfiller,
        scorer: Scorer,
        *others: Callable[[], None],
    ) -> None:
        """Run every part in a thread until the stop is asked for or one of them ends by itself."""
        parts = (pipeline.run, backfiller.run, *others)
        # One thread each: on a small machine the default has fewer, and the last parts would never begin.
        with ThreadPoolExecutor(len(parts), thread_name_prefix="daemon") as executor:
            threads = [executor.submit(part) for part in parts]
            while not self._stop.is_set():
                ended, _ = wait(threads, timeout=0.2, return_when=FIRST_COMPLETED)
                if ended:
                    break
            self._stop.set()
            pipeline.stop()
            backfiller.notify()
            _, unfinished = wait(threads, timeout=self._settings.pipeline.shutdown_s)
            if unfinished:
                log.warning("work_aborted", extra={"reason": "did not end in time; it is given back"})
                pipeline.abort()
                scorer.close()
        _raise_first(threads)

    def _start_monitoring(self, stream: UploadStream) -> MonitoringServer | None:
        wanted = self._settings.monitoring
        if not wanted.enabled:
            return None
        started = time.monotonic()

        def health() -> Health:
            heard = stream.last_event_at
            silent_s = time.monotonic() - (started if heard is None else heard)
            ok = silent_s < wanted.unhealthy_after_s and not self._stop.is_set()
            lag_s = stream.lag_s(datetime.now(UTC))
            return Health(ok, {"stream_silent_s": round(silent_s, 1), "stream_lag_s": lag_s})

        server = MonitoringServer(wanted.host, wanted.port, self.metrics, health)
        server.start()
        return server


def _raise_first(threads: list[Future[None]]) -> None:
    for thread in threads:
        thread.result()

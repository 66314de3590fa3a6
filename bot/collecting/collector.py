"""Collect in batches: list categories, describe files, fetch pictures; each step is on the disk at once.

Whatever is killed, the next run goes on with what is known: no category is listed twice, no picture that is
here is fetched again. What fails for now is tried again in the same run, and once more by its original; what
fails for good is written down with its reason.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bot.collecting.collection import Collection
from bot.collecting.fetching import TRIES
from bot.collecting.plan import CollectingPlan
from bot.collecting.tree import Candidates, Walk, candidates, walk
from bot.collecting.values import LeftOut, Listing, Media, Outcome, Wiki
from bot.describing.values import Description
from bot.errors import BotError, RetryLater, ServiceDown, SkipUpload
from bot.upload import Rendition

_log = logging.getLogger(__name__)

BATCH = 50
RETRY_WAIT_S = 30.0
_MAX_RETRY_WAIT_S = 120.0

MEDIA_TYPE = "media_type"
"""The code of files of kinds that the plan does not take; another plan may."""

OnStep = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Collected:
    """What a run found out.

    Attributes:
        candidates: For each named category the files that may be taken, in the order of trying.
        left_out: What was left out before any file was asked for.
    """

    candidates: tuple[Candidates, ...]
    left_out: tuple[LeftOut, ...]


class Collector:
    """Carries a plan out into a collection.

    Args:
        collection: Opened.
        wiki: Whom to ask.
        media: Who fetches.
        plan: What to collect.
        stop: Ends all waiting when it is set.
        concurrent: Downloads at once (`settings.media.max_concurrent`).
        retry_wait_s: How long to wait before what failed is tried again, in seconds.
        on_step: Told how far it is.
    """

    def __init__(
        self,
        collection: Collection,
        wiki: Wiki,
        media: Media,
        plan: CollectingPlan,
        stop: threading.Event | None = None,
        *,
        concurrent: int = 2,
        retry_wait_s: float = RETRY_WAIT_S,
        on_step: OnStep | None = None,
    ) -> None:
        self._collection, self._wiki, self._media, self._plan = collection, wiki, media, plan
        self._stop = stop or threading.Event()
        self._concurrent = concurrent
        self._retry_wait_s = retry_wait_s
        self._on_step = on_step or (lambda _what, _done, _total: None)

    def run(self) -> Collected:
        """Collect until every named category has its limit, or no more files.

        Returns:
            Which files may be taken; what became of them is in the collection.

        Raises:
            ServiceDown: The wiki or its media cannot be reached; run again to go on.
            ConfigError: A category cannot be listed, or the disk not be written.
        """
        walks = self._walks()
        found, conflicts = candidates(walks, self._plan.seed)
        total = sum(min(one.plan.limit, len(one.titles)) for one in found)
        done = 0
        for one in found:
            done = self._collect(one, done, total)
        left_out = [*(entry for one in walks for entry in one.left_out), *conflicts]
        return Collected(found, tuple(left_out))

    def _walks(self) -> list[Walk]:
        asked = 0

        def listing_of(category: str) -> Listing:
            nonlocal asked
            known = self._collection.listings.get(category)
            if known is None:
                known = self._wiki.listing(category, self._plan.max_listed)
                self._collection.add_listing(category, known)
            asked += 1
            self._on_step(f"listing {category}", asked, 0)
            return known

        plan = self._plan
        return [walk(one, listing_of, plan.exclude, plan.max_categories) for one in plan.category]

    def _collect(self, wanted: Candidates, done: int, total: int) -> int:
        """Try candidates until the limit is reached; returns the number of pictures in all."""
        waiting = list(wanted.titles)
        failed: list[str] = []
        pictures: set[str] = set()
        while len(pictures) < wanted.plan.limit and (waiting or failed):
            if not waiting:
                self._wait()
                waiting, failed = failed, []
            missing = wanted.plan.limit - len(pictures)
            batch, waiting = self._next_batch(waiting, missing)
            self._process([title for title in batch if not self._is_settled(title)])
            for title in batch:
                outcome = self._collection.outcomes.get(title)
                if outcome is None or not outcome.is_final:
                    failed.append(title)
                elif outcome.file:
                    pictures.add(outcome.file)
            self._on_step(f"collecting {wanted.plan.name}", done + len(pictures), total)
        return done + len(pictures)

    def _next_batch(self, waiting: list[str], missing: int) -> tuple[list[str], list[str]]:
        """As many as may be needed; what is settled costs nothing and comes along."""
        count = open_ones = 0
        for title in waiting:
            settled = self._is_settled(title)
            open_ones += not settled
            if open_ones > min(BATCH, missing) or (settled and count >= missing):
                break
            count += 1
        count = max(count, 1)
        return waiting[:count], waiting[count:]

    def _is_settled(self, title: str) -> bool:
        """Whether it need not be asked for; a picture that somebody deleted here is fetched again."""
        outcome = self._collection.outcomes.get(title)
        if outcome is None or not outcome.is_final:
            return False
        if outcome.code == MEDIA_TYPE and outcome.description is not None:
            return outcome.description.media_type not in self._plan.media
        return not outcome.file or (self._collection.folder / outcome.file).is_file()

    def _process(self, titles: Sequence[str]) -> None:
        if not titles:
            return
        described = self._wiki.describe(titles)
        wanted: list[tuple[str, Description]] = []
        for title in titles:
            answer = described.get(title, RetryLater("rendition_unavailable", "The API said nothing of it."))
            if isinstance(answer, BotError):
                self._note_failure(title, answer, None)
            elif answer.media_type not in self._plan.media:
                message = f"Its media type is {answer.media_type or 'unknown'}."
                self._collection.add_outcome(Outcome(title, MEDIA_TYPE, message, "", answer))
            elif not self._note_known(title, answer):
                wanted.append((title, answer))
        found = self._media.locate([(answer, self._tries(title)) for title, answer in wanted])
        located: list[tuple[str, Description, Rendition]] = []
        for (title, answer), rendition in zip(wanted, found, strict=True):
            if isinstance(rendition, BotError):
                self._note_failure(title, rendition, answer)
            else:
                located.append((title, answer, rendition))
        self._fetch_all(located)

    def _note_known(self, title: str, described: Description) -> bool:
        """Whether a picture of the same bytes is here; then there is nothing to fetch."""
        before = self._collection.holding(described.sha1_hex or "")
        if before is None:
            return False
        self._collection.add_outcome(
            Outcome(title, "", "", before.file, described, before.rendition, before.fetched_at)
        )
        return True

    def _fetch_all(self, located: Sequence[tuple[str, Description, Rendition]]) -> None:
        first: dict[str, tuple[str, Description, Rendition]] = {}
        again: list[tuple[str, Description]] = []
        for title, described, rendition in located:
            if first.setdefault(described.sha1_hex or "", (title, described, rendition))[0] != title:
                again.append((title, described))
        with self._threads() as threads:
            jobs = {threads.submit(self._media.fetch, one[2]): one for one in first.values()}
            self._note_jobs(jobs)
        for title, described in again:
            if not self._note_known(title, described):
                failure = RetryLater("rendition_unavailable", "The same file under another title failed.")
                self._note_failure(title, failure, described)

    def _note_jobs(self, jobs: Mapping[Future[Path], tuple[str, Description, Rendition]]) -> None:
        """Write down what arrives at once; if a service goes down, also what is still under way."""
        down: ServiceDown | None = None
        waiting = list(jobs)
        while waiting:
            finished = wait(waiting, return_when=FIRST_COMPLETED).done
            for job in [one for one in waiting if one in finished]:
                title, described, rendition = jobs[job]
                try:
                    self._note_picture(title, described, rendition, job.result())
                except (SkipUpload, RetryLater) as error:
                    self._note_failure(title, error, described)
                except ServiceDown as error:
                    down = down or error
            waiting = [one for one in waiting if one not in finished]
            if down is not None:
                waiting = [one for one in waiting if not one.cancel()]
        if down is not None:
            raise down

    @contextmanager
    def _threads(self) -> Iterator[ThreadPoolExecutor]:
        """Threads that drop what they have not begun when the block ends early."""
        executor = ThreadPoolExecutor(self._concurrent, thread_name_prefix="collect")
        try:
            yield executor
        except BaseException:
            self._stop.set()
            raise
        finally:
            executor.shutdown(cancel_futures=True)

    def _note_picture(self, title: str, described: Description, rendition: Rendition, path: Path) -> None:
        part = rendition.parts[0]
        size_bytes = path.stat().st_size
        file = self._collection.take_in(path, described.sha1_hex or "", part.url)
        fetched = {
            "kind": rendition.kind,
            "url": part.url,
            "width_px": rendition.width_px,
            "bytes": size_bytes,
        }
        now = datetime.now(UTC).isoformat(timespec="seconds")
        outcome = Outcome(title, "", "", file, described, fetched, now)
        self._collection.add_outcome(outcome)
        self._collection.remember_picture(outcome)

    def _note_failure(self, title: str, error: BotError, described: Description | None) -> None:
        if isinstance(error, RetryLater):
            tries = self._tries(title) + 1
            outcome = Outcome(
                title, error.code, error.message, "", described, tries=tries if tries < TRIES else 0
            )
        elif isinstance(error, SkipUpload):
            outcome = Outcome(title, error.code, error.message, "", described)
        else:
            raise error
        self._collection.add_outcome(outcome)
        _log.info("not_collected", extra={"title": title, "code": outcome.code, "tries": outcome.tries})

    def _tries(self, title: str) -> int:
        outcome = self._collection.outcomes.get(title)
        return 0 if outcome is None else outcome.tries

    def _wait(self) -> None:
        self._on_step("waiting before failed files are tried again", 0, 0)
        if self._stop.wait(min(self._retry_wait_s, _MAX_RETRY_WAIT_S)):
            raise ServiceDown("collecting", "stopped; run again to go on")


__all__ = ["BATCH", "RETRY_WAIT_S", "Collected", "Collector", "OnStep"]

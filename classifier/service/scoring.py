"""From a file that was sent or named to its score, with a turn, a deadline and a cache.

The event loop waits; threads open, decode and score. A thread keeps its turn until it has really ended,
whatever has become of the request, so that no more is under way than was allowed.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress

from classifier.scoring import score_media
from classifier.service.admission import Admission
from classifier.service.answers import Scored, Wanted, maker, result_of
from classifier.service.cache import ResultCache, ResultKey
from classifier.service.cancelling import CancellingDecoder
from classifier.service.deadline import Deadline, DeadlineExceeded
from classifier.service.parts import ServiceLimits, ServiceParts
from classifier.service.sources import Fetched
from classifier.service.upload import Upload
from classifier.values import MediaScore

Opener = Callable[[], AbstractContextManager[Fetched]]
"""Brings a file in a worker thread; leaving the context deletes it."""

_FRAMES_PER_ENTRY = 8


class ScoringDesk:
    """Scores files for all requests.

    Args:
        parts: Model, decoder, thresholds.
        limits: How much may be under way.
    """

    def __init__(self, parts: ServiceParts, limits: ServiceLimits) -> None:
        self._parts = parts
        self.admission = Admission(limits.running, limits.waiting, limits.retry_after_s)
        # Whoever waits for a slow host must not keep files from the workers that are here already.
        self.fetching = Admission(max(1, limits.running // 2), limits.waiting, limits.retry_after_s)
        self.cache = ResultCache(limits.cache_entries)
        self.model = maker(parts.batcher.classifier, parts.model_version)
        self._threads = ThreadPoolExecutor(limits.running, thread_name_prefix="score")

    def key(self, sha256: str, wanted: Wanted) -> ResultKey:
        """What a result for these bytes depends on."""
        return ResultKey(sha256, self._parts.model_version, wanted.level, wanted.frames)

    def remembered(self, sha256: str, wanted: Wanted) -> Scored | None:
        """Look for a result.

        Args:
            sha256: Of the bytes.
            wanted: What is asked.

        Returns:
            The result, None where it is not remembered.
        """
        key = self.key(sha256, wanted)
        result = self.cache.get(key)
        return None if result is None else Scored(result, key.etag, timing={"cached": True})

    async def upload(
        self, upload: Upload, wanted: Wanted, deadline: Deadline, *, admitted: bool = False
    ) -> Scored:
        """Score a file that was sent.

        Args:
            upload: The file, complete.
            wanted: What is asked.
            deadline: Of the request.
            admitted: See `Admission.enter`.

        Returns:
            Its score.

        Raises:
            Problem: `overloaded`, `empty`.
            DeadlineExceeded: It was not done in time.
            ClassifierError: It cannot be decoded, or the model fails.
        """
        if upload.size and (known := self.remembered(upload.sha256, wanted)) is not None:
            return known
        return await self.file(upload.opened, wanted, deadline, admitted=admitted)

    async def named(
        self, opener: Opener, wanted: Wanted, deadline: Deadline, *, admitted: bool = False
    ) -> Scored:
        """Score a file that has to be fetched; only half of all turns may be spent on those.

        Args:
            opener: Fetches it.
            wanted: What is asked.
            deadline: Of the request.
            admitted: See `Admission.enter`.

        Returns:
            Its score.

        Raises:
            Exception: As `file`.
        """
        await self.fetching.enter(deadline, admitted=admitted)
        try:
            return await self.file(opener, wanted, deadline, admitted=True)
        finally:
            self.fetching.leave()

    async def file(
        self, opener: Opener, wanted: Wanted, deadline: Deadline, *, admitted: bool = False
    ) -> Scored:
        """Score a file that is still to be brought.

        Args:
            opener: Brings it.
            wanted: What is asked.
            deadline: Of the request.
            admitted: See `Admission.enter`.

        Returns:
            Its score.

        Raises:
            Exception: As `upload`, and whatever the opener raises.
        """
        asked_s = time.monotonic()
        await self.admission.enter(deadline, admitted=admitted)
        queued_s = time.monotonic() - asked_s
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Scored] = loop.create_future()
        job = self._threads.submit(self._work, opener, wanted, deadline, queued_s)

        def ended(_: object) -> None:
            # One call for both: each is a turn that this thread has to wait for.
            with suppress(RuntimeError):  # the loop may be gone when the last thread ends
                loop.call_soon_threadsafe(self._end, job, answer)

        job.add_done_callback(ended)
        try:
            async with asyncio.timeout(deadline.left_s):
                return await answer
        except TimeoutError:
            raise DeadlineExceeded from None
        finally:
            if not job.done():
                job.cancel()
                deadline.cancel()

    def score(self, fetched: Fetched, wanted: Wanted, deadline: Deadline) -> MediaScore:
        """Decode and score; blocks.

        Args:
            fetched: The file.
            wanted: What is asked.
            deadline: Ends it.

        Returns:
            The score.
        """
        return score_media(
            fetched.parts,
            CancellingDecoder(self._parts.decoder, deadline),
            self._parts.batcher,
            threshold=self._parts.thresholds[wanted.level],
            stop_early=self._parts.stop_early and not wanted.frames,
        )

    def close(self) -> None:
        """Take no more files; those under way go on."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _end(self, job: Future[Scored], answer: "asyncio.Future[Scored]") -> None:
        self.admission.leave()
        if answer.done():  # nobody waits any more
            return
        if job.cancelled():
            answer.cancel()
        elif (error := job.exception()) is not None:
            answer.set_exception(error)
        else:
            answer.set_result(job.result())

    def _work(self, opener: Opener, wanted: Wanted, deadline: Deadline, queued_s: float) -> Scored:
        deadline.check()
        began_s = time.monotonic()
        with opener() as fetched:
            opened_s = time.monotonic()
            timing = {"queue_s": queued_s, "fetch_s": opened_s - began_s}
            key = None if fetched.sha256 is None else self.key(fetched.sha256, wanted)
            result = None if key is None else self.cache.get(key)
            if result is not None:
                timing["cached"] = True
            else:
                score = self.score(fetched, wanted, deadline)
                result = result_of(score, wanted, self.model, fetched.sha256)
                timing |= {
                    "decode_cpu_s": score.timings_s["decode"],
                    "model_wait_s": score.timings_s["classify"],
                    "score_s": time.monotonic() - opened_s,
                    "cached": False,
                }
                if key is not None:
                    self.cache.put(key, result, 1 + len(result.get("frames", ())) // _FRAMES_PER_ENTRY)
            return Scored(result, None if key is None else key.etag, fetched.about, timing)


__all__ = ["Opener", "ScoringDesk"]

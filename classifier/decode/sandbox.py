"""The pool of decode workers: a file that crashes, hangs or explodes costs that file, never the daemon.

Workers are plain processes with a bare environment and without torch. The pool trusts nothing they say (see
`wire` and `stream`), and replaces a worker that dies, misbehaves or has done enough jobs.
"""

import contextlib
import logging
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType

from classifier.decode.limits import DecodeLimits
from classifier.decode.process import WorkerGone, WorkerProcess
from classifier.decode.segments import Segment
from classifier.decode.stream import DecodePoolClosed, DecodeStream, size_bytes
from classifier.errors import ClassifierError
from classifier.values import MediaPart

_log = logging.getLogger(__name__)

START_TIMEOUT_S = 120.0
_RESPAWN_PAUSE_S = 1.0


class DecodePool:
    """Decodes files in worker processes. Safe to use from several threads.

    Args:
        limits: What one file may cost.
        workers: How many processes.
    """

    def __init__(self, limits: DecodeLimits, workers: int = 2) -> None:
        if workers < 1:
            raise ValueError(f"{workers} decode workers")
        self._limits = limits
        self._workers = workers
        self._changed = threading.Condition()
        self._idle: list[WorkerProcess] = []
        self._waiting = 0
        self._all: set[WorkerProcess] = set()
        self._closed = False
        self._restarts = 0
        # One thread starts all workers and lives as long as the pool: on Linux a worker dies with the
        # *thread* that started it.
        self._starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="decode-starter")

    def __enter__(self) -> "DecodePool":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def worker_count(self) -> int:
        """How many worker processes there are at the moment."""
        with self._changed:
            return len(self._all)

    @property
    def workers(self) -> int:
        """How many worker processes there are meant to be."""
        return self._workers

    @property
    def idle_workers(self) -> int:
        """How many workers nobody has or waits for at the moment."""
        with self._changed:
            return max(len(self._idle) - self._waiting, 0)

    @property
    def restarts(self) -> int:
        """How many workers have been replaced, for whatever reason."""
        with self._changed:
            return self._restarts

    def pids(self) -> list[int]:
        """Process ids of the workers."""
        with self._changed:
            return sorted(worker.pid for worker in self._all)

    def start(self) -> None:
        """Start the workers and wait until each is ready.

        Raises:
            ClassifierError: Where one does not start; the message says why.
        """
        try:
            started = [self._starter.submit(self._spawn) for _ in range(self._workers)]
            for worker in [future.result() for future in started]:
                worker.wait_ready(START_TIMEOUT_S)
        except (OSError, WorkerGone) as error:
            self.close()
            memory = f"(it may use {self._limits.memory_bytes} bytes of memory)"
            raise ClassifierError(f"a decode worker does not start {memory}: {error}") from error

    def open(
        self, parts: Sequence[MediaPart], preprocessing: str, segment: Segment | None = None
    ) -> DecodeStream:
        """Begin to decode a file; waits for a free worker.

        Args:
            parts: Its parts, at least one.
            preprocessing: Id in `classifier.preprocess`.
            segment: Which part of a film to decode, see `DecodeStream.segments`; None for the whole file,
                which is all that can be had of several parts or of one that is fetched meanwhile.

        Returns:
            The stream of its frames; use it in a `with` statement or read it to the end.

        Raises:
            ClassifierError: Where the pool is closed (`DecodePoolClosed`) or workers do not start any more.
        """
        stream = self._open(parts, preprocessing, segment, wait=True)
        assert stream is not None
        return stream

    def open_if_idle(
        self, parts: Sequence[MediaPart], preprocessing: str, segment: Segment | None = None
    ) -> DecodeStream | None:
        """Begin to decode a file if there is a worker that nobody else waits for.

        Args:
            parts: As for `open`.
            preprocessing: As for `open`.
            segment: As for `open`.

        Returns:
            The stream of its frames, None where all workers are busy or wanted.

        Raises:
            ClassifierError: As for `open`.
        """
        return self._open(parts, preprocessing, segment, wait=False)

    def _open(
        self, parts: Sequence[MediaPart], preprocessing: str, segment: Segment | None, *, wait: bool
    ) -> DecodeStream | None:
        if not parts:
            raise ValueError("nothing to decode")
        if segment is not None and (len(parts) > 1 or parts[0].source is not None):
            raise ValueError("only a single file that is whole can be cut")
        job = [(str(part.path.absolute()), part.page, size_bytes(part.source)) for part in parts]
        while (worker := self._checkout(wait=wait)) is not None:
            try:
                worker.wait_ready(START_TIMEOUT_S)
                worker.send_job(job, preprocessing, segment)
            except WorkerGone as error:
                # It died while idle: no file is to blame. One that never got ready will not do better next
                # time.
                never_ready = not worker.is_ready
                self.give_back(worker, healthy=False)
                if never_ready and not self.is_closed:
                    raise ClassifierError(f"decode workers do not start any more: {error}") from error
                continue
            return DecodeStream(self, worker, self._limits, [part.source for part in parts], segment)
        return None

    def close(self) -> None:
        """End all workers, also those in the middle of a job, and wait until they are gone."""
        with self._changed:
            self._closed = True
            workers = list(self._all)
            self._changed.notify_all()
        for worker in workers:
            worker.kill()
        self._starter.shutdown(wait=True, cancel_futures=True)
        with self._changed:
            workers = list(self._all)
            self._all.clear()
            self._idle.clear()
        for worker in workers:
            worker.close()

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        with self._changed:
            return self._closed

    def give_back(self, worker: WorkerProcess, healthy: bool) -> None:
        """Take a worker back from a stream, replacing it where necessary; for `DecodeStream` only.

        Args:
            worker: The worker.
            healthy: Whether it may get another job.
        """
        if healthy and worker.jobs < self._limits.jobs_per_worker:
            with self._changed:
                if not self._closed:
                    self._idle.append(worker)
                    self._changed.notify()
                    return
        worker.close()
        with self._changed:
            self._all.discard(worker)
            if self._closed:
                return
            self._restarts += 1
        with contextlib.suppress(RuntimeError):  # the starter was shut down meanwhile
            self._starter.submit(self._respawn)

    def _checkout(self, *, wait: bool) -> WorkerProcess | None:
        with self._changed:
            if not wait and not self._closed and len(self._idle) <= self._waiting:
                return None
            self._waiting += 1
            while not self._idle and not self._closed:
                self._changed.wait()
            self._waiting -= 1
            if self._closed:
                raise DecodePoolClosed("the decode pool is closed")
            # The one used last is the one whose memory is warm.
            return self._idle.pop()

    def _spawn(self) -> WorkerProcess:
        worker = WorkerProcess(self._limits)
        with self._changed:
            if not self._closed:
                self._all.add(worker)
                self._idle.append(worker)
                self._changed.notify()
                return worker
        worker.close()
        raise WorkerGone("the pool was closed meanwhile")

    def _respawn(self) -> None:
        while not self.is_closed:
            try:
                self._spawn()
            except WorkerGone:
                return
            except OSError as error:
                _log.error("decode_worker_not_started", extra={"reason": str(error)})
                with self._changed:
                    self._changed.wait_for(lambda: self._closed, _RESPAWN_PAUSE_S)
            else:
                return


__all__ = ["START_TIMEOUT_S", "DecodePool", "DecodePoolClosed", "DecodeStream"]

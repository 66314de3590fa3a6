"""The pool of decode workers: a file that crashes, hangs or explodes costs that file, never the daemon.

Workers are plain processes with a bare environment and without torch. The pool trusts nothing they say (see
`wire`), watches the wall clock, and replaces a worker that dies, misbehaves or has done enough jobs.
"""

import contextlib
import logging
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType

from classifier.decode import wire
from classifier.decode.limits import DecodeLimits
from classifier.decode.picture import Report
from classifier.decode.process import WorkerGone, WorkerProcess, WorkerTimeout
from classifier.errors import ClassifierError, DecodeCode, DecodeError
from classifier.values import BlockSource, DecodeSummary, Frame, MediaPart

_log = logging.getLogger(__name__)

START_TIMEOUT_S = 120.0
# After an early stop, a worker that is deep in a decoder is not waited for longer than it takes to start
# another.
_STOP_GRACE_S = 2.0
_RESPAWN_PAUSE_S = 1.0


class DecodePoolClosed(ClassifierError):
    """The pool was closed before the job was done; the file is not to blame."""


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

    def open(self, parts: Sequence[MediaPart], preprocessing: str) -> "DecodeStream":
        """Begin to decode a file; waits for a free worker.

        Args:
            parts: Its parts, at least one.
            preprocessing: Id in `classifier.preprocess`.

        Returns:
            The stream of its frames; use it in a `with` statement or read it to the end.

        Raises:
            ClassifierError: Where the pool is closed (`DecodePoolClosed`) or workers do not start any more.
        """
        if not parts:
            raise ValueError("nothing to decode")
        job = [(str(part.path.absolute()), part.page, _size_bytes(part.source)) for part in parts]
        while True:
            worker = self._checkout()
            try:
                worker.wait_ready(START_TIMEOUT_S)
                worker.send_job(job, preprocessing)
            except WorkerGone as error:
                # It died while idle: no file is to blame. One that never got ready will not do better next
                # time.
                never_ready = not worker.is_ready
                self.give_back(worker, healthy=False)
                if never_ready and not self.is_closed:
                    raise ClassifierError(f"decode workers do not start any more: {error}") from error
                continue
            return DecodeStream(self, worker, self._limits, [part.source for part in parts])

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

    def _checkout(self) -> WorkerProcess:
        with self._changed:
            while not self._idle and not self._closed:
                self._changed.wait()
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


class DecodeStream:
    """The frames of one file, in lists of one to eight as they come. Leaving early stops the job.

    Made by `DecodePool.open`. The time the reader takes between lists does not count against the wall clock,
    and while it is busy the worker decodes ahead by no more than the shared area or the pipe holds, and one
    list. Where a part is not whole yet, the worker's questions for missing bytes are answered while the
    reader waits; that time counts neither against its CPU time nor against its wall clock, but the source
    bounds it.
    """

    def __init__(
        self,
        pool: DecodePool,
        worker: WorkerProcess,
        limits: DecodeLimits,
        sources: Sequence[BlockSource | None],
    ) -> None:
        self._pool = pool
        self._worker: WorkerProcess | None = worker
        self._limits = limits
        self._sources = sources
        self._sizes = [_size_bytes(source) for source in sources]
        # An honest worker asks for nothing twice.
        self._needs_left = sum(-(-(size or 0) // wire.NEED_BYTES) for size in self._sizes)
        self._waited_s = 0.0
        self._frames = 0
        self._status = wire.Status(Report(), 0.0)

    def __enter__(self) -> "DecodeStream":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[list[Frame]]:
        return self

    @property
    def summary(self) -> DecodeSummary:
        """What is known of the job; final after the last list or after `close`."""
        report = self._status.report
        return DecodeSummary(
            kind=report.kind,
            decoder=report.decoder,
            frames=self._frames,
            duration_s=report.duration_s,
            decode_s=self._status.cpu_s,
            truncated=report.truncated,
            mode=report.mode,
            largest_gap_s=report.largest_gap_s,
            covered_share=report.covered_share,
        )

    def __next__(self) -> list[Frame]:
        """The next list of frames.

        Raises:
            DecodeError: Where the file cannot be decoded (further).
            DecodePoolClosed: Where the pool was closed meanwhile.
            ClassifierError: Where the worker does not know the preprocessing.
            Exception: A source's own, where bytes that the decoder needs cannot be had.
            StopIteration: At the end.
        """
        worker = self._worker
        if worker is None:
            raise StopIteration
        try:
            header, values, pixels = self._receive(worker)
            while header.kind == wire.NEED:
                self._supply(worker, values)
                header, values, pixels = self._receive(worker)
            if header.kind == wire.FRAMES:
                frames = wire.unpack_frames(values, pixels)
                self._status = wire.unpack_status(values)
                self._frames += len(frames)
                if self._frames > self._limits.max_frames:
                    raise wire.WireError(f"{self._frames} frames")  # noqa: TRY301
                return frames
            if header.kind == wire.END:
                self._status = wire.unpack_status(values)
                self._release(healthy="retire" not in values)
                raise StopIteration
            if header.kind == wire.FAILED:
                code, message = wire.unpack_failure(values)
                self._release(healthy="retire" not in values)
                raise DecodeError(code, message)
            if header.kind == wire.BROKEN:
                self._release(healthy=True)
                raise ClassifierError(str(values.get("message")))
            raise wire.WireError(f"unexpected {header.kind!r}")  # noqa: TRY301
        except WorkerTimeout as error:
            self._release(healthy=False)
            message = f"decoding took longer than {self._limits.wall_s:g} s"
            raise DecodeError("timeout", message) from error
        except WorkerGone as error:
            raise self._blame(worker) from error
        except wire.WireError as error:
            _log.error("decode_worker_misbehaved", extra={"reason": str(error), "pid": worker.pid})
            self._release(healthy=False)
            raise DecodeError("undecodable", "the decoder answered nonsense") from error

    def close(self) -> None:
        """Stop the job if it is not done; does nothing after the end."""
        worker = self._worker
        if worker is None:
            return
        healthy = missed = False
        last = None
        with contextlib.suppress(WorkerGone, wire.WireError):
            worker.stop_job()
            deadline_s = time.monotonic() + _STOP_GRACE_S
            while last is None:
                header, values, _ = worker.receive(max(deadline_s - time.monotonic(), 0.0))
                if header.kind == wire.FRAMES:
                    missed = True
                elif header.kind == wire.NEED:
                    worker.answer_need(None)
                else:
                    healthy = "retire" not in values
                    last = wire.unpack_status(values) if header.kind == wire.END else self._status
        # A reader that has seen everything, and only did not ask for more, has not cut anything off.
        complete = last is not None and last is not self._status and not missed
        self._status = last or self._status
        self._status.report.truncated = self._status.report.truncated or not complete
        self._release(healthy)

    def _receive(self, worker: WorkerProcess) -> tuple[wire.Header, dict[str, object], bytearray]:
        began_s = time.monotonic()
        try:
            return worker.receive(max(self._limits.wall_s - self._waited_s, 0.0))
        finally:
            self._waited_s += time.monotonic() - began_s

    def _supply(self, worker: WorkerProcess, values: dict[str, object]) -> None:
        """Bring the bytes that the worker asks for; where they cannot be had, end the job."""
        part, offset, length = wire.unpack_need(values, self._sizes)
        self._needs_left -= 1
        if self._needs_left < 0:
            raise wire.WireError("it asks for the same bytes again and again")
        source = self._sources[part]
        assert source is not None  # it has a size
        until = None
        try:
            until = source.ensure(offset, length)
        finally:
            if until is None:
                with contextlib.suppress(WorkerGone, wire.WireError):
                    worker.answer_need(None)
                self.close()
        worker.answer_need(until)

    def _release(self, healthy: bool) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            self._pool.give_back(worker, healthy)

    def _blame(self, worker: WorkerProcess) -> ClassifierError:
        """Why the worker died in the middle of the job."""
        status = worker.exit_status()
        self._release(healthy=False)
        if self._pool.is_closed:
            return DecodePoolClosed("the decode pool was closed while the file was being decoded")
        code: DecodeCode = "undecodable"
        reason = f"exit status {status}"
        if status < 0:
            reason = signal.Signals(-status).name if -status in set(signal.Signals) else f"signal {-status}"
        message = f"the decoder crashed ({reason})"
        if status == -signal.SIGXCPU:
            code, message = "timeout", f"decoding took more than {self._limits.cpu_s:g} s of CPU time"
        _log.warning("decode_worker_died", extra={"pid": worker.pid, "reason": reason, "code": code})
        return DecodeError(code, message)


def _size_bytes(source: BlockSource | None) -> int | None:
    return None if source is None else source.size_bytes


__all__ = ["START_TIMEOUT_S", "DecodePool", "DecodePoolClosed", "DecodeStream"]

"""One decode job as its reader sees it: frames as they come, then what the decoder says of them.

Nothing that a worker says is trusted (see `wire`), and the wall clock is watched. Made by `DecodePool.open`.
"""

import contextlib
import logging
import signal
import time
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Protocol

from classifier.decode import wire
from classifier.decode.coverage import Looks
from classifier.decode.limits import DecodeLimits
from classifier.decode.picture import Report
from classifier.decode.process import WorkerGone, WorkerProcess, WorkerTimeout
from classifier.decode.segments import Segment
from classifier.errors import ClassifierError, DecodeCode, DecodeError
from classifier.values import BlockSource, DecodeSummary, Frame

_log = logging.getLogger(__name__)

# After an early stop, a worker that is deep in a decoder is not waited for longer than it takes to start
# another.
_STOP_GRACE_S = 2.0
# How soon a reader that waits for a worker takes note that its segment is not wanted any more.
_LEAVE_AFTER_S = 0.2


class DecodePoolClosed(ClassifierError):
    """The pool was closed before the job was done; the file is not to blame."""


class WorkerOwner(Protocol):
    """Where a stream has its worker from."""

    @property
    def is_closed(self) -> bool:
        """Whether all workers were ended on purpose."""
        ...

    def give_back(self, worker: WorkerProcess, healthy: bool) -> None:
        """Take the worker back.

        Args:
            worker: The worker.
            healthy: Whether it may get another job.
        """
        ...


class DecodeStream:
    """The frames of one file, in lists of one to eight as they come. Leaving early stops the job.

    The time the reader takes between lists does not count against the wall clock,
    and while it is busy the worker decodes ahead by no more than the shared area or the pipe holds, and one
    list. Where a part is not whole yet, the worker's questions for missing bytes are answered while the
    reader waits; that time counts neither against its CPU time nor against its wall clock, but the source
    bounds it.
    """

    def __init__(
        self,
        pool: WorkerOwner,
        worker: WorkerProcess,
        limits: DecodeLimits,
        sources: Sequence[BlockSource | None],
        segment: Segment | None = None,
    ) -> None:
        self._pool = pool
        self._worker: WorkerProcess | None = worker
        self._limits = limits
        self._sources = sources
        self._sizes = [size_bytes(source) for source in sources]
        # An honest worker asks for nothing twice.
        self._needs_left = sum(-(-(size or 0) // wire.NEED_BYTES) for size in self._sizes)
        self._segment = segment
        self._segments = segment.at_most if segment is not None and segment.index else 1
        self._unwanted = False
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

    @property
    def segments(self) -> int:
        """Into how many segments the film is cut; known from the first frames on, 1 where it is not cut."""
        return self._segments

    @property
    def looks(self) -> Looks | None:
        """What a segment's job has looked at, for `segments.merged`; known at its end."""
        return self._status.report.looks

    def leave(self) -> None:
        """End the iteration soon, as if there were no more frames; another thread may be iterating."""
        self._unwanted = True

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
        if worker is not None and self._unwanted:
            self.close()
        if worker is None or self._unwanted:
            raise StopIteration
        try:
            if not self._await(worker):
                self.close()
                raise StopIteration
            header, values, pixels = self._receive(worker)
            while header.kind == wire.NEED:
                self._supply(worker, values)
                header, values, pixels = self._receive(worker)
            if header.kind == wire.FRAMES:
                frames = wire.unpack_frames(values, pixels)
                self._note(values)
                self._frames += len(frames)
                if self._frames > self._limits.max_frames:
                    raise wire.WireError(f"{self._frames} frames")  # noqa: TRY301
                return frames
            if header.kind == wire.END:
                self._note(values)
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
            message = f"decoding took longer than {self._wall_s:g} s"
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

    @property
    def _wall_s(self) -> float:
        """How long the job may keep its reader waiting: its share of what the file may."""
        return self._limits.wall_s / self._segments

    def _await(self, worker: WorkerProcess) -> bool:
        """Wait for a message; False where nobody wants it any more."""
        began_s = time.monotonic()
        until_s = began_s + self._wall_s - self._waited_s
        while not self._unwanted and not worker.says_something(_LEAVE_AFTER_S):
            if time.monotonic() > until_s:
                break
        self._waited_s += time.monotonic() - began_s
        return not self._unwanted

    def _receive(self, worker: WorkerProcess) -> tuple[wire.Header, dict[str, object], bytearray]:
        began_s = time.monotonic()
        try:
            return worker.receive(max(self._wall_s - self._waited_s, 0.0))
        finally:
            self._waited_s += time.monotonic() - began_s

    def _note(self, values: dict[str, object]) -> None:
        """Take note of how the job stands.

        Raises:
            WireError: Where the film is cut otherwise than was asked or said before.
        """
        status = wire.unpack_status(values)
        told = status.report.segments
        if self._segment is not None and self._segment.index == 0 and not self._frames:
            most = self._segment.at_most
            self._segments = told
        else:
            most = self._segments
        if told > most or told != self._segments:
            raise wire.WireError(f"segments: {told} of {most}")
        self._status = status

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
            code, message = (
                "timeout",
                f"decoding took more than {self._limits.cpu_s / self._segments:g} s of CPU time",
            )
        _log.warning("decode_worker_died", extra={"pid": worker.pid, "reason": reason, "code": code})
        return DecodeError(code, message)


def size_bytes(source: BlockSource | None) -> int | None:
    """How large a part is that is not whole yet.

    Args:
        source: What brings the rest; None where it is whole.

    Returns:
        Bytes, None where it is whole.
    """
    return None if source is None else source.size_bytes


__all__ = ["DecodePoolClosed", "DecodeStream", "size_bytes"]

"""The worker process: reads jobs from its standard input, writes frames to its standard output.

Started by `sandbox` as `python -m classifier.decode.worker`, never by hand. It puts itself under the limits
before it reads a single hostile byte, and it cannot outlive the daemon: the end of its input means that the
daemon is gone, and on Linux the kernel kills it with the daemon even while a decoder hangs.

Whatever no decoder catches ends the process; the pool then starts another one.
"""

import ctypes
import dataclasses
import importlib
import json
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from classifier import jpeg
from classifier.decode import wire
from classifier.decode.area import WorkerArea
from classifier.decode.limits import DecodeLimits, allow_cpu, confine
from classifier.decode.picture import Report
from classifier.decode.remote import RemoteBlocks, SourceGone, Supply
from classifier.decode.segments import Segment
from classifier.errors import DecodeError, ModelError
from classifier.values import Frame, MediaPart

_PR_SET_PDEATHSIG = 1
# A reader that is fast waits this long at most for frames that are ready.
_FLUSH_AFTER_S = 0.2
_IDLE_AFTER_S = 5.0


@dataclass(frozen=True, slots=True)
class _Job:
    number: int
    parts: tuple[MediaPart, ...]
    preprocessing: str
    segment: Segment | None

    @property
    def jobs(self) -> int:
        """By how many jobs the file is decoded, as far as known before it is read."""
        return self.segment.at_most if self.segment is not None and self.segment.index else 1


@dataclass(slots=True)
class _Stopped:
    """Number of the last job whose reader has left; a stop that comes too late must not hit the next job."""

    number: int = 0


def main() -> None:
    """Serve jobs until the input ends."""
    output = _take_over_stdout()
    sys.excepthook = _Reporter(output)
    _die_with_parent(int(sys.argv[1]))
    limits = DecodeLimits(**json.loads(sys.argv[2]))
    area = WorkerArea(int(sys.argv[3]) if sys.argv[3] else None)
    _load_decoders(limits)
    confine(limits)
    jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
    stopped, supply = _Stopped(), Supply(output.write)
    threading.Thread(target=_listen, args=(jobs, stopped, area, supply), daemon=True).start()
    output.write(wire.pack(wire.READY, {}))
    while True:
        job = _next(jobs)
        allow_cpu(limits, job.jobs)
        for message in _messages(job, limits, stopped, area, supply):
            output.write(message)


def _next(jobs: queue.SimpleQueue[_Job]) -> _Job:
    """Wait for a job; a worker without one gives back the memory that it keeps warm for the next picture."""
    try:
        return jobs.get(timeout=_IDLE_AFTER_S)
    except queue.Empty:
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's
        if trim is not None:
            trim(0)
        return jobs.get()


def _messages(
    job: _Job, limits: DecodeLimits, stopped: _Stopped, area: WorkerArea, supply: Supply
) -> Iterator[bytes]:
    # The thread's clock, since one thread decodes: under a limit of CPU time, Linux moves the clock of the
    # process on with the scheduler's ticks only, and most pictures take less than one.
    started_s = time.thread_time()
    report = Report()
    try:
        for frames, noted, is_last in _batches(job, limits, report, stopped, area):
            slot = None
            if area.fits(frames[0]):
                slot = area.write(frames, lambda: stopped.number >= job.number)
                if slot is None:
                    report.truncated = True
                    break
            cpu_s = time.thread_time() - started_s
            packed = wire.pack_frames(frames, wire.Status(noted, cpu_s), slot)
            if is_last:
                # Both at once: the pool then need not be woken twice for a still picture.
                yield packed + wire.pack_end(wire.Status(report, cpu_s))
                return
            yield packed
    except SourceGone:
        # Nobody reads on. What ffmpeg remembers of the exception must not reach the next file.
        report.truncated = True
        yield wire.pack_end(wire.Status(report, time.thread_time() - started_s), retire=True)
    except DecodeError as error:
        failed = {"code": error.code, "message": error.message[:1000]}
        yield wire.pack(wire.FAILED, {**failed, "retire": True} if supply.gone else failed)
    except MemoryError:
        message = f"decoding needs more than {limits.memory_bytes} bytes of memory"
        yield wire.pack(wire.FAILED, {"code": "too_large", "message": message, "retire": True})
    except ModelError as error:
        yield wire.pack(wire.BROKEN, {"message": str(error)[:1000]})
    else:
        yield wire.pack_end(wire.Status(report, time.thread_time() - started_s))


def _batches(
    job: _Job, limits: DecodeLimits, report: Report, stopped: _Stopped, area: WorkerArea
) -> Iterator[tuple[list[Frame], Report, bool]]:
    """Frames in small lists as they come, so that scoring overlaps and a stop saves work; True: the last.

    With them goes the report as it was with the first of them, however far the decoder has got meanwhile.
    """
    from classifier import preprocess
    from classifier.decode.job import decode

    batch: list[Frame] = []
    noted, is_first, since_s = report, True, time.process_time()
    began_s = time.monotonic()
    # Of a file that is fetched as it is read, every frame may be the one that spares the rest of the bytes.
    has_holes = any(part.source is not None for part in job.parts)
    most_frames = wire.MAX_FRAMES_PER_MESSAGE
    for frame in decode(job.parts, preprocess.get(job.preprocessing), limits, report, job.segment):
        if stopped.number >= job.number:
            report.truncated = True
            break
        if batch and batch[0].pixels.shape != frame.pixels.shape:
            yield batch, noted, False  # a message holds frames of one shape; pages may have many
            batch, began_s = [], time.monotonic()
        if not batch:
            noted = dataclasses.replace(report)
        if is_first and report.segments > job.jobs:
            allow_cpu(limits, report.segments, since_s)
        is_first = False
        batch.append(frame)
        most = 1 if has_holes else min(area.fits(frame) or most_frames, most_frames)
        if len(batch) >= most or time.monotonic() - began_s > _FLUSH_AFTER_S:
            yield batch, noted, False
            batch, began_s = [], time.monotonic()
    if batch:
        yield batch, noted, True


def _listen(jobs: queue.SimpleQueue[_Job], stopped: _Stopped, area: WorkerArea, supply: Supply) -> None:
    """Take jobs, stops, slots and answers even while a job runs; without a parent, end at once."""
    for line in sys.stdin.buffer:
        values = json.loads(line)
        if "free" in values:
            area.free(values["free"])
        elif "stop" in values:
            stopped.number = values["stop"]
            area.wake()
        elif "until" in values:
            supply.answer(values["until"])
        else:
            area.begin_job()
            parts = tuple(
                MediaPart(Path(path), page, None if size is None else RemoteBlocks(number, size, supply.ask))
                for number, (path, page, size) in enumerate(values["parts"])
            )
            segment = Segment(*values["segment"]) if "segment" in values else None
            jobs.put(_Job(values["job"], parts, values["preprocessing"], segment))
    os._exit(0)


def _take_over_stdout() -> BinaryIO:
    """Keep the pipe for messages alone: libraries that print must not end up in the middle of one."""
    output = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return _Whole(output)  # type: ignore[return-value]


class _Whole:
    """Writes all of a message; an unbuffered file may take only a part of it."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw

    def write(self, content: bytes) -> None:
        rest = memoryview(content)
        while rest:
            rest = rest[self._raw.write(rest) :]


class _Reporter:
    """Tells the pool why the process ends; nobody reads its standard error."""

    def __init__(self, output: BinaryIO) -> None:
        self._output = output

    def __call__(
        self, kind: type[BaseException], error: BaseException, _traceback: TracebackType | None
    ) -> None:
        if not isinstance(error, BrokenPipeError):
            message = f"{kind.__name__}: {error}"[:1000]
            failed = {"code": "undecodable", "message": f"the decoder failed: {message}", "retire": True}
            self._output.write(wire.pack(wire.FAILED, failed))


def _die_with_parent(parent_pid: int) -> None:
    # The parent's end, not a signal sent to its whole group, is what ends a worker; otherwise a polite
    # shutdown would turn the files in its hands into undecodable ones.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:  # it died before we asked
        os._exit(0)


def _load_decoders(limits: DecodeLimits) -> None:
    """Load what every job needs; OpenCV, if a job needs it, reads limits and manners from the environment."""
    os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"] = str(limits.max_pixels)
    os.environ["OPENCV_LOG_LEVEL"] = "SILENT"
    os.environ["OPENCV_FFMPEG_LOGLEVEL"] = "-8"
    # Pillow's own alarm is set off by `check_picture` earlier, and by this for what hides behind a header.
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = limits.max_pixels
    importlib.import_module("classifier.decode.job")
    jpeg.equals_pillow()


if __name__ == "__main__":
    main()

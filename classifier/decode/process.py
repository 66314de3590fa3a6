"""One worker process as its pool sees it: start, send, receive with a deadline, kill."""

import contextlib
import dataclasses
import fcntl
import itertools
import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from classifier.decode import area, wire
from classifier.decode.limits import DecodeLimits
from classifier.decode.segments import Segment

_ROOT = Path(__file__).resolve().parent.parent.parent
# Room for some frames, so that the worker decodes on while the model is busy.
_PIPE_BYTES = 1024 * 1024
_KEPT_BYTES = 64 * 1024 * 1024
_KEPT_VARIABLES = ("PATH", "LANG", "LC_ALL", "TZ", "SYSTEMROOT", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")


class WorkerGone(Exception):
    """The process has ended, or does not answer as a worker does."""


class WorkerTimeout(WorkerGone):
    """The process said nothing for too long."""


class WorkerProcess:
    """A worker process.

    Args:
        limits: Passed on to it.

    Raises:
        OSError: Where the system starts no process.
    """

    def __init__(self, limits: DecodeLimits) -> None:
        self._area = area.PoolArea.create()
        try:
            self._process = _start(limits, self._area)
        except OSError:
            if self._area is not None:
                self._area.close()
            raise
        finally:
            if self._area is not None:
                self._area.handed_over()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input = self._process.stdin
        self._output = self._process.stdout
        with contextlib.suppress(AttributeError, OSError):  # Linux only, and within the user's allowance
            fcntl.fcntl(self._output.fileno(), fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        os.set_blocking(self._output.fileno(), False)
        self._poll = select.poll()
        self._poll.register(self._output.fileno(), select.POLLIN)
        self._takes_more = select.poll()
        self._takes_more.register(self._input.fileno(), select.POLLOUT)
        self._copied_slots = 0
        self._numbers = itertools.count(1)
        # Held while a file descriptor is in use: a closed one may be somebody else's the next moment.
        self._using = threading.Lock()
        self.pid = self._process.pid
        self.jobs = 0
        self.is_ready = False

    def wait_ready(self, timeout_s: float) -> None:
        """Wait until it has loaded its decoders; returns at once from the second call on.

        Args:
            timeout_s: How long to wait in seconds.

        Raises:
            WorkerGone: Where it ends instead, or takes too long; the message says why.
        """
        if self.is_ready:
            return
        try:
            header, values, _ = self.receive(timeout_s)
        except wire.WireError as error:
            raise WorkerGone(str(error)) from error
        if header.kind != wire.READY:
            raise WorkerGone(str(values.get("message", "it sent something else than its readiness")))
        self.is_ready = True

    def send_job(
        self,
        parts: Sequence[tuple[str, int | None, int | None]],
        preprocessing: str,
        segment: Segment | None = None,
    ) -> None:
        """Hand it a file.

        Args:
            parts: Absolute path, page and, for a part that is not whole yet, size in bytes of each part.
            preprocessing: Id in `classifier.preprocess`.
            segment: Which part of a film it is to decode; None for the whole.

        Raises:
            WorkerGone: Where it has ended.
        """
        self.jobs = next(self._numbers)
        self._copied_slots = 0
        job: dict[str, Any] = {"job": self.jobs, "parts": list(parts), "preprocessing": preprocessing}
        if segment is not None:
            job["segment"] = [segment.index, segment.at_most]
        self._send(job)

    def stop_job(self) -> None:
        """Ask it to end its present job soon; frames on their way still arrive.

        Raises:
            WorkerGone: Where it has ended.
        """
        self._send({"stop": self.jobs})

    def answer_need(self, until: int | None) -> None:
        """Answer its question for bytes.

        Args:
            until: Up to which byte (exclusive) they are there; None: they will not come.

        Raises:
            WorkerGone: Where it has ended.
            WireError: Where it asks, but does not read.
        """
        self._expect_reader()
        self._send({"until": until})

    def says_something(self, timeout_s: float) -> bool:
        """Wait until there is something to receive, be it the news that it has ended.

        Args:
            timeout_s: How long in seconds.

        Returns:
            False where there is nothing yet.
        """
        with self._using:
            return self._output.closed or bool(self._poll.poll(timeout_s * 1000))

    def receive(self, timeout_s: float) -> tuple[wire.Header, dict[str, Any], bytearray]:
        """Wait for its next message.

        Args:
            timeout_s: How long to wait for the whole message in seconds.

        Returns:
            Header, values and pixels.

        Raises:
            WorkerTimeout: Where the time is over.
            WorkerGone: Where it has ended.
            WireError: Where the message makes no sense.
        """
        deadline_s = time.monotonic() + timeout_s
        with self._using:
            header = wire.unpack_header(bytes(self._read(wire.HEADER.size, deadline_s)))
            values = wire.unpack_values(bytes(self._read(header.json_bytes, deadline_s)))
            pixels = self._read(header.pixel_bytes, deadline_s)
            if header.kind == wire.FRAMES and not pixels:
                pixels = self._copy(values)
        if self._copied_slots >= area.CREDIT_AFTER:
            self._give_back_slots()
        return header, values, pixels

    def exit_status(self) -> int:
        """Its exit status, negative for a signal; waits for it, after making sure that it ends."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(timeout=1.0)
        self.kill()
        return self._process.wait()

    def kill(self) -> None:
        """End it at once; another thread waiting for a message sees it gone."""
        self._process.kill()

    def close(self) -> None:
        """End it and give back everything it held; may be called twice."""
        self._process.kill()
        self._process.wait()
        with self._using:
            if self._area is not None:
                self._area.close()
            with contextlib.suppress(OSError):
                self._input.close()
            self._output.close()

    def _copy(self, values: dict[str, Any]) -> bytearray:
        """The pixels of a message that only names their slot."""
        place = wire.unpack_place(values, area.SLOTS, area.SLOT_BYTES)
        if place is None or self._area is None:
            raise wire.WireError("frames without pixels")
        self._copied_slots += 1
        return self._area.copy(*place)

    def _expect_reader(self) -> None:
        """One that does not read must not make the pool wait."""
        if not self._takes_more.poll(0):
            raise wire.WireError("it sends, but does not read")

    def _give_back_slots(self) -> None:
        self._expect_reader()
        # One that has ended has nothing to wait for.
        with contextlib.suppress(WorkerGone):
            self._send({"free": self._copied_slots})
        self._copied_slots = 0

    def _send(self, values: dict[str, Any]) -> None:
        rest = memoryview(json.dumps(values).encode("ascii") + b"\n")
        try:
            with self._using:
                while rest:
                    rest = rest[self._input.write(rest) :]
        except (OSError, ValueError) as error:
            raise WorkerGone(f"it takes no more jobs: {error}") from error

    def _read(self, size: int, deadline_s: float) -> bytearray:
        content = bytearray(size)
        rest = memoryview(content)
        if self._output.closed:
            raise WorkerGone("it was ended")
        try:
            while rest:
                received = self._output.readinto(rest)  # type: ignore[attr-defined]
                if received == 0:
                    raise WorkerGone("it ended")
                rest = rest[received or 0 :]
                if received is None:
                    left_ms = (deadline_s - time.monotonic()) * 1000
                    if left_ms <= 0 or not self._poll.poll(left_ms):
                        raise WorkerTimeout("no answer in time")
        except OSError as error:
            raise WorkerGone(f"it ended: {error}") from error
        return content


def _start(limits: DecodeLimits, shared: area.PoolArea | None) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [
            sys.executable,
            "-P",  # nothing from the working directory
            "-m",
            "classifier.decode.worker",
            str(os.getpid()),
            json.dumps(dataclasses.asdict(limits)),
            "" if shared is None else str(shared.fd),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        bufsize=0,
        env=_bare_environment(),
        cwd="/",
        pass_fds=() if shared is None else (shared.fd,),
        start_new_session=True,  # a Ctrl-C in the terminal is for the daemon to handle
    )


def _bare_environment() -> dict[str, str]:
    """What a worker needs; secrets in the daemon's environment are none of its business."""
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    return {
        **kept,
        "PYTHONPATH": str(_ROOT),
        "PYTHONUNBUFFERED": "1",
        # Every thread and arena reserves address space, which is limited; one thread is all a worker may use.
        "MALLOC_ARENA_MAX": "2",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "OPENCV_FOR_THREADS_NUM": "1",
        # A picture of 12 megapixels takes 48 MB, and getting them from the system page by page costs a
        # quarter of the time. So glibc keeps them from one picture to the next; an idle worker gives them
        # back.
        "MALLOC_TRIM_THRESHOLD_": str(_KEPT_BYTES),
        "MALLOC_MMAP_THRESHOLD_": str(_KEPT_BYTES // 2),
    }


__all__ = ["WorkerGone", "WorkerProcess", "WorkerTimeout"]

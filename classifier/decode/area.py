"""Shared memory between the pool and one worker: frames are written there and copied out once.

The pipe then carries a slot's number instead of its pixels. The worker may be in hostile hands, so the pool
never looks at the area by anything but a slot and a size that it has checked itself, and what it hands on is
its own copy. The area is sealed: a worker that could shrink it would kill the daemon at its next read. Where
a system has no sealed memory (anything but Linux), pixels go through the pipe.

A slot holds one message of frames. The worker fills slots in turn, as long as the pool has given back enough
of them, which is how it is kept from decoding ahead without end.
"""

import fcntl
import mmap
import os
import threading
from collections.abc import Callable, Sequence

from classifier.values import Frame

SLOTS = 4
SLOT_BYTES = 2 * 1024 * 1024
"""Eight frames of 224x224, seven of 299x299; memory that is never written to is never taken."""
CREDIT_AFTER = SLOTS // 2
"""So many slots are given back at a time: a still picture needs no answer."""
_BYTES = SLOTS * SLOT_BYTES


class PoolArea:
    """The pool's end: reads only.

    Args:
        fd: Of a sealed memory file of the right size; taken over.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._memory = mmap.mmap(fd, _BYTES, prot=mmap.PROT_READ)

    @classmethod
    def create(cls) -> "PoolArea | None":
        """Make an area; None where the system has nothing of the kind, or nothing left."""
        if not hasattr(os, "memfd_create") or not hasattr(fcntl, "F_ADD_SEALS"):
            return None
        try:
            fd = os.memfd_create("frames", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        except OSError:
            return None
        try:
            os.ftruncate(fd, _BYTES)
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
            return cls(fd)
        except OSError:
            os.close(fd)
            return None

    def handed_over(self) -> None:
        """Close the file descriptor, once the worker has got it; the mapping stays."""
        os.close(self.fd)

    def copy(self, slot: int, size_bytes: int) -> bytearray:
        """Take the content of a slot.

        Args:
            slot: Its number.
            size_bytes: How much of it.

        Returns:
            A copy that the worker cannot change any more.

        Raises:
            ValueError: Outside of the area.
        """
        if not (0 <= slot < SLOTS and 0 <= size_bytes <= SLOT_BYTES):
            raise ValueError(f"{size_bytes} bytes in slot {slot}")
        start = slot * SLOT_BYTES
        with memoryview(self._memory) as memory:
            return bytearray(memory[start : start + size_bytes])

    def close(self) -> None:
        """Give the memory back; may be called twice."""
        self._memory.close()


class WorkerArea:
    """The worker's end: writes, and keeps count of the slots that are free.

    Args:
        fd: As handed over by the pool; None where pixels go through the pipe.
    """

    def __init__(self, fd: int | None) -> None:
        self._memory = None if fd is None else mmap.mmap(fd, _BYTES)
        if fd is not None:
            os.close(fd)
        self._changed = threading.Condition()
        self._free = SLOTS
        self._next = 0

    def fits(self, frame: Frame) -> int:
        """How many frames of that size a slot holds; 0 where they have to go through the pipe."""
        return 0 if self._memory is None else SLOT_BYTES // max(frame.pixels.nbytes, 1)

    def write(self, frames: Sequence[Frame], is_stopped: Callable[[], bool]) -> int | None:
        """Put frames into the next slot, as soon as it is free.

        Args:
            frames: No more than fit.
            is_stopped: Whether nobody wants them any more; asked again after `wake`.

        Returns:
            The slot; None where it was stopped while waiting.
        """
        assert self._memory is not None
        with self._changed:
            self._changed.wait_for(lambda: self._free > 0 or is_stopped())
            if self._free == 0:
                return None
            self._free -= 1
            slot, self._next = self._next, (self._next + 1) % SLOTS
        at = slot * SLOT_BYTES
        for frame in frames:
            self._memory[at : at + frame.pixels.nbytes] = frame.pixels.tobytes()
            at += frame.pixels.nbytes
        return slot

    def free(self, slots: int) -> None:
        """The pool has copied that many slots."""
        with self._changed:
            self._free = min(self._free + slots, SLOTS)
            self._changed.notify_all()

    def begin_job(self) -> None:
        """A new job: the pool has copied all there was, and the first slot, whose memory is warm, is next."""
        with self._changed:
            self._free, self._next = SLOTS, 0

    def wake(self) -> None:
        """Ask again whether the job was stopped."""
        with self._changed:
            self._changed.notify_all()


__all__ = ["CREDIT_AFTER", "SLOTS", "SLOT_BYTES", "PoolArea", "WorkerArea"]

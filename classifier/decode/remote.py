"""A worker's view of a file that is not whole yet: what is missing is asked for before it is read.

The file on the disk has its full size and holes. A worker has no network; it asks its pool, which brings the
bytes into the file and says up to where it may read. What has been granted is remembered, so nothing is asked
for twice. A hole is never read: its zeros would be taken for damage, or for nothing to see.
"""

import io
import os
import queue
from collections.abc import Callable
from pathlib import Path

from classifier.decode import wire
from classifier.values import BlockSource


class SourceGone(Exception):
    """The missing bytes will not come: the pool has given up, or nobody wants the frames any more."""


class Supply:
    """A worker's questions for bytes and the answers to them, one at a time.

    Args:
        write: Sends a message to the pool.
    """

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self._answers: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self.gone = False

    def ask(self, part: int, offset: int, length: int) -> int:
        """Ask, and wait for the answer.

        Args:
            part: Number of the part of the job, from 0.
            offset: Where the bytes begin.
            length: How many.

        Returns:
            Up to which byte (exclusive) they are there.

        Raises:
            SourceGone: Where they will not come; the worker should then be replaced.
        """
        self._write(wire.pack_need(part, offset, length))
        until = self._answers.get()
        if until is None:
            self.gone = True
            raise SourceGone
        return until

    def answer(self, until: int | None) -> None:
        """Hand over what the pool answers.

        Args:
            until: As it came; None: the bytes will not come.
        """
        self._answers.put(until)


class RemoteBlocks:
    """`BlockSource` of a worker: asks in blocks, and only for what it has not been granted before.

    Args:
        part: Number of the part of the job, from 0.
        size_bytes: Size of the whole file.
        ask: As `Supply.ask`.
    """

    def __init__(self, part: int, size_bytes: int, ask: Callable[[int, int, int], int]) -> None:
        self._part = part
        self._ask = ask
        self._granted = bytearray(-(-size_bytes // wire.NEED_BYTES))
        self.size_bytes = size_bytes

    def ensure(self, offset: int, length: int) -> int:
        """See `BlockSource.ensure`.

        Raises:
            SourceGone: Where the bytes will not come.
        """
        first, last = offset // wire.NEED_BYTES, (offset + length - 1) // wire.NEED_BYTES
        while (missing := self._granted.find(0, first, last + 1)) >= 0:
            start = missing * wire.NEED_BYTES
            known = self._granted.find(1, missing, last + 1)
            end = min((known if known >= 0 else last + 1) * wire.NEED_BYTES, self.size_bytes)
            until = self._ask(self._part, start, end - start)
            # A last block that is only partly there is as good as missing, unless the file ends in it.
            whole = -(-until // wire.NEED_BYTES) if until >= self.size_bytes else until // wire.NEED_BYTES
            self._granted[missing:whole] = b"\1" * (whole - missing)
        ungranted = self._granted.find(0, first)
        return self.size_bytes if ungranted < 0 else ungranted * wire.NEED_BYTES


class BlockFile:
    """A file object for PyAV that asks its source before it reads.

    Args:
        path: The file with holes.
        source: Fills them.

    Raises:
        OSError: Where the file cannot be opened.
    """

    def __init__(self, path: Path, source: BlockSource) -> None:
        self._source = source
        self._position = 0
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def __del__(self) -> None:
        # PyAV does not close what it did not open, and lives as long as its container.
        if hasattr(self, "_fd"):
            os.close(self._fd)

    def read(self, size: int) -> bytes:
        """Read at the present position.

        Args:
            size: How many bytes at most.

        Returns:
            The bytes, none at the end of the file.

        Raises:
            OSError: Where the disk fails.
            Exception: The source's own.
        """
        size = min(size, self._source.size_bytes - self._position)
        if size <= 0:
            return b""
        self._source.ensure(self._position, size)
        content = os.pread(self._fd, size, self._position)
        self._position += len(content)
        return content

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move the position.

        Args:
            offset: In bytes.
            whence: As for `io.IOBase.seek`.

        Returns:
            The new position from the start.

        Raises:
            OSError: Where it would lie before the start.
        """
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._source.size_bytes}[whence]
        if origin + offset < 0:
            raise OSError("a position before the start of the file")
        self._position = origin + offset
        return self._position

    def tell(self) -> int:
        """The present position."""
        return self._position

    def seekable(self) -> bool:
        """Whether `seek` works."""
        return True


__all__ = ["BlockFile", "RemoteBlocks", "SourceGone", "Supply"]

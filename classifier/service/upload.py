"""A file that came in a request: small ones stay in memory, larger ones go to the disk as they come.

No name that a caller gave is ever part of a path. What is on the disk is deleted when the request ends.
"""

import asyncio
import hashlib
import itertools
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Final

from classifier.service.problems import Problem
from classifier.service.sources import Fetched
from classifier.values import MediaPart

KEPT_BYTES: Final = 128 * 1024
"""So much of a file may be in memory; a picture of 330 px is a quarter of it."""


class Spool:
    """The folder that files of requests go to, and how much of it is used. Safe to use from several threads.

    Args:
        directory: The folder; nobody else's.
        max_bytes: The most that all files together may have.
    """

    def __init__(self, directory: Path, max_bytes: int) -> None:
        self.directory = directory
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._used = 0

    def new_path(self) -> Path:
        """A name that nobody else has in the folder."""
        return self.directory / f"upload-{next(self._numbers)}"

    @property
    def used_bytes(self) -> int:
        """How much is on the disk now."""
        return self._used

    def reserve(self, size: int) -> None:
        """Ask for room.

        Args:
            size: Bytes; negative ones give room back.

        Raises:
            Problem: `overloaded`.
        """
        with self._lock:
            if size > 0 and self._used + size > self._max_bytes:
                raise Problem("overloaded", "too many large files are being worked on", retry_after_s=10)
            self._used += size


class Upload:
    """The bytes of one file.

    Args:
        spool: Where they go.
        max_bytes: The most they may be.
        kept_bytes: So many of them may be in memory.
    """

    def __init__(self, spool: Spool, max_bytes: int, kept_bytes: int = KEPT_BYTES) -> None:
        self._spool = spool
        self._max_bytes = max_bytes
        self._kept_bytes = kept_bytes
        self._held = bytearray()
        self._path: Path | None = None
        self._written = 0
        self._hash = hashlib.sha256()
        self.size = 0

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes so far, hexadecimal."""
        return self._hash.hexdigest()

    def add(self, content: bytes | memoryview) -> None:
        """Take bytes that came; see `spill`.

        Args:
            content: The next bytes.

        Raises:
            Problem: `too_large`.
        """
        self.size += len(content)
        if self.size > self._max_bytes:
            raise Problem("too_large", f"a file may have {self._max_bytes} bytes")
        self._hash.update(content)
        self._held += content

    async def spill(self) -> None:
        """Bring what is held to the disk if it is much; the event loop does not wait for the disk."""
        if len(self._held) > self._kept_bytes:
            held, self._held = self._held, bytearray()
            await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, self._write, held))

    @contextmanager
    def opened(self) -> Iterator[Fetched]:
        """Have the file on the disk; blocks, so for a worker thread.

        Yields:
            The file.

        Raises:
            Problem: `empty`.
        """
        if not self.size:
            raise Problem("empty", "the file has no bytes")
        held, self._held = self._held, bytearray()
        if held:
            self._write(held)
        assert self._path is not None
        try:
            yield Fetched((MediaPart(self._path),), self.sha256, {})
        finally:
            self.close()

    @contextmanager
    def mapped(self) -> Iterator[bytearray | mmap]:
        """Have the bytes as a buffer without reading them; large ones are mapped from the disk.

        Yields:
            The buffer.
        """
        if self._path is None:
            yield self._held
            return
        held, self._held = self._held, bytearray()
        if held:
            self._write(held)
        with self._path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as buffer:
            yield buffer

    def close(self) -> None:
        """Forget the bytes, and delete the file; may be called twice."""
        path, self._path = self._path, None
        self._held = bytearray()
        if path is not None:
            with suppress(OSError):
                path.unlink()
        self._spool.reserve(-self._written)
        self._written = 0

    def _write(self, content: bytearray) -> None:
        self._spool.reserve(len(content))
        self._written += len(content)
        try:
            mode = os.O_APPEND
            if self._path is None:
                self._path, mode = self._spool.new_path(), os.O_CREAT | os.O_EXCL
            # Not a file object: the other threads take the interpreter at every call of the system.
            number = os.open(self._path, os.O_WRONLY | mode, 0o600)
            try:
                rest = memoryview(content)
                while rest:
                    rest = rest[os.write(number, rest) :]
            finally:
                os.close(number)
        except OSError as error:
            detail = f"the service cannot keep the file: {error.strerror}"
            raise Problem("overloaded", detail, retry_after_s=10) from error


__all__ = ["KEPT_BYTES", "Upload"]

"""The folder of kept pictures: `AA/BB/<sha256>.jpg`, readable by nobody else, each there as a whole or not.

Whoever writes or removes holds the lock, in whatever process: else a picture could be removed for one upload
while it is being kept for another. A folder belongs to one database: another one's sweep would take all of
its pictures for leftovers.
"""

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from classifier import atomic_file

MEDIA_TYPE = "image/jpeg"
FOLDER_MODE = 0o700
LOCK_TIMEOUT_S = 30.0
_NAME = re.compile(r"[0-9a-f]{64}\.jpg|\.new-.+")
_OWNER = ".owner"
_HASH = re.compile(r"[0-9a-f]{64}")


class CopyFolder:
    """Pictures by the SHA-256 of their bytes; safe to share between threads and processes.

    Args:
        directory: Where; made with the first picture.
        owner: Name of the database whose pictures lie there.
    """

    def __init__(self, directory: Path, owner: str) -> None:
        self._directory = directory
        self._owner = owner

    @property
    def exists(self) -> bool:
        """Whether anything was ever kept."""
        return self._directory.is_dir()

    def path_of(self, sha256: str) -> Path:
        """Where a picture lies, or would.

        Args:
            sha256: Of its bytes.

        Returns:
            The path.

        Raises:
            ValueError: Where that is no hash: it becomes a path.
        """
        if not _HASH.fullmatch(sha256):
            raise ValueError(f"no SHA-256: {sha256!r}")
        return self._directory / sha256[:2] / sha256[2:4] / f"{sha256}.jpg"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep others from changing anything.

        Raises:
            OSError: Where the folder cannot be made, somebody else does not let go, or it is another
                database's.
        """
        self._make(self._directory)
        lock = FileLock(self._directory / ".lock", timeout=LOCK_TIMEOUT_S, mode=atomic_file.PRIVATE)
        try:
            lock.acquire()
        except Timeout as error:
            raise OSError(f"{self._directory} is in use by another process: {error}") from error
        try:
            self._check_owner()
            yield
        finally:
            lock.release()

    def write(self, content: bytes) -> str:
        """Put a picture in place; hold the lock.

        Args:
            content: The file.

        Returns:
            Its SHA-256.

        Raises:
            OSError: Where it cannot be written.
        """
        sha256 = hashlib.sha256(content).hexdigest()
        path = self.path_of(sha256)
        for folder in (path.parent.parent, path.parent):
            self._make(folder)
        if not path.exists():
            atomic_file.write(path, content)
            _to_disk(path.parent)
        return sha256

    def remove(self, sha256: str) -> None:
        """Remove a picture for good; hold the lock. One that is gone already is no error.

        Args:
            sha256: Of its bytes.

        Raises:
            OSError: Where it cannot be removed.
        """
        self._unlink(self.path_of(sha256))

    def names(self) -> Iterator[Path]:
        """Everything of ours in the folder, unfinished files included, in no order."""
        for path in self._directory.glob("??/??/*"):
            if _NAME.fullmatch(path.name) and not path.is_symlink():
                yield path

    def discard(self, path: Path) -> None:
        """Remove something that `names` found; hold the lock.

        Raises:
            OSError: Where it cannot be removed.
        """
        self._unlink(path)

    def _check_owner(self) -> None:
        path = self._directory / _OWNER
        try:
            owner = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            atomic_file.write(path, self._owner.encode())
            return
        if owner != self._owner:
            raise OSError(
                f"{self._directory} holds the pictures of {owner}, not of {self._owner}: choose another "
                f"retention.directory, or delete {_OWNER} in it if that database was moved"
            )

    def _unlink(self, path: Path) -> None:
        if not path.parent.is_dir():
            return
        path.unlink(missing_ok=True)
        # The row says that the picture is gone: that has to be true after a power cut as well.
        _to_disk(path.parent)
        with suppress(OSError):  # others are still in there
            path.parent.rmdir()
            path.parent.parent.rmdir()

    def _make(self, folder: Path) -> None:
        folder.mkdir(mode=FOLDER_MODE, parents=folder == self._directory, exist_ok=True)
        if folder == self._directory and folder.stat().st_mode & 0o077:
            folder.chmod(FOLDER_MODE)


def _to_disk(folder: Path) -> None:
    """Bring the folder's list of names to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


__all__ = ["MEDIA_TYPE", "CopyFolder"]

"""Files and folders that only their owner reads, whatever the process's umask says."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

FILE_MODE, FOLDER_MODE = 0o600, 0o700


def folder(path: Path) -> Path:
    """Make a folder and those above it that are not there.

    Args:
        path: The folder.

    Returns:
        The same path.

    Raises:
        OSError: Where it cannot be made.
    """
    if not path.is_dir():
        folder(path.parent)
        path.mkdir(mode=FOLDER_MODE, exist_ok=True)
    return path


def create(path: Path) -> IO[bytes]:
    """Open a new file to write; a former one is emptied.

    Args:
        path: The file; its folder is made where it is not there.

    Returns:
        The open file; hand it to `close`.

    Raises:
        OSError: Where it cannot be written.
    """
    folder(path.parent)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, FILE_MODE)
    os.fchmod(descriptor, FILE_MODE)
    return os.fdopen(descriptor, "wb")


def close(file: IO[bytes]) -> None:
    """Bring a file to the disk and close it."""
    file.flush()
    os.fsync(file.fileno())
    file.close()


@contextmanager
def created(path: Path) -> Iterator[IO[bytes]]:
    """A new file that is brought to the disk when the block ends."""
    file = create(path)
    try:
        yield file
    finally:
        close(file)


def same(source: Path, target: Path) -> None:
    """Let a picture appear under a second name, without a second copy where the disk can do that.

    Args:
        source: The file.
        target: Its further name.

    Raises:
        OSError: Where it can be neither linked nor copied.
    """
    folder(target.parent)
    target.unlink(missing_ok=True)
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)
        target.chmod(FILE_MODE)


__all__ = ["FILE_MODE", "FOLDER_MODE", "close", "create", "created", "folder", "same"]

"""Replace a file as a whole: who reads it sees the old content or the new, whatever is killed meanwhile.

The new content is written beside the file, brought to the disk and renamed.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

PRIVATE = 0o600
SHARED = 0o644
"""For a cache folder that should serve every user of the machine."""


@contextmanager
def replacing(target: Path, mode: int = PRIVATE) -> Iterator[IO[bytes]]:
    """Write a file bit by bit; nothing is replaced where the block raises.

    Args:
        target: The file; its folder has to be there.
        mode: Its permissions. Until it is in place it is private in any case.

    Yields:
        What to write to.

    Raises:
        OSError: Where it cannot be written.
    """
    descriptor, name = tempfile.mkstemp(dir=target.absolute().parent, prefix=".new-")
    beside = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.chmod(mode)
        beside.replace(target)
    except BaseException:
        with suppress(OSError):
            beside.unlink()
        raise


def write(target: Path, content: bytes, mode: int = PRIVATE) -> None:
    """Write a file whose content is at hand; otherwise like `replacing`."""
    with replacing(target, mode) as file:
        file.write(content)


__all__ = ["PRIVATE", "SHARED", "replacing", "write"]

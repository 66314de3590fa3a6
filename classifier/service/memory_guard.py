"""The last defence of the machine's memory: a service that has too much of it resident takes no new files.

Each limit of sizes and counts bounds what one request or one worker may use; this bounds what all of them
have come to, whatever they did. It is read now and then, so the limit should leave room for a moment.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import psutil
from starlette.concurrency import run_in_threadpool

from classifier.service.problems import Problem

LOOK_S: Final = 1.0
_RETRY_AFTER_S: Final = 5.0


def resident_bytes() -> int:
    """What this process and those it started have resident; what they share counts for each."""
    own = psutil.Process()
    total = 0
    for one in [own, *own.children(recursive=True)]:
        with suppress(psutil.Error):  # a worker may just have ended
            total += one.memory_info().rss
    return total


class MemoryGuard:
    """Says whether there is room for another file.

    Args:
        limit_bytes: So much may be resident.
        read: Measures it.
    """

    def __init__(self, limit_bytes: int, read: Callable[[], int] = resident_bytes) -> None:
        self._limit_bytes = limit_bytes
        self._read = read
        self.resident_bytes = 0

    async def watch(self) -> None:
        """Measure now and then, until cancelled."""
        while True:
            self.resident_bytes = await run_in_threadpool(self._read)
            await asyncio.sleep(LOOK_S)

    def check(self) -> None:
        """Go on only where there is room.

        Raises:
            Problem: `overloaded`.
        """
        if self.resident_bytes > self._limit_bytes:
            raise Problem("overloaded", "too much memory is in use", retry_after_s=_RETRY_AFTER_S)


__all__ = ["LOOK_S", "MemoryGuard", "resident_bytes"]

"""Who works now, who waits, and who is told to come back: a bounded queue in front of the workers.

Without a bound, a service that is asked for more than it can do answers everybody too late. Turns are given
in the order of asking. Lives on the event loop; nothing in here is safe to call from another thread.
"""

import asyncio
from collections import deque

from classifier.service.deadline import Deadline, DeadlineExceeded
from classifier.service.problems import Problem


class Admission:
    """Gives out turns.

    Args:
        running: How many may have a turn at once.
        waiting: How many may wait for one; those beyond are refused at once.
        retry_after_s: What the refused are told.
    """

    def __init__(self, running: int, waiting: int, retry_after_s: float) -> None:
        self._free = running
        self._max_waiting = waiting
        self._retry_after_s = retry_after_s
        self._queue: deque[asyncio.Future[None]] = deque()
        self._running = 0

    @property
    def waiting(self) -> int:
        """How many wait for a turn."""
        return len(self._queue)

    @property
    def running(self) -> int:
        """How many have a turn."""
        return self._running

    def check(self, turns: int = 1) -> None:
        """Refuse what does not fit in, before work is spent on it.

        Args:
            turns: How many turns will be asked for at once.

        Raises:
            Problem: `overloaded`.
        """
        if turns > self._free and len(self._queue) + turns - self._free > self._max_waiting:
            detail = f"{len(self._queue)} files wait already"
            raise Problem("overloaded", detail, retry_after_s=self._retry_after_s)

    async def enter(self, deadline: Deadline, *, admitted: bool = False) -> None:
        """Wait for a turn; whoever got one gives it back with `leave`.

        Args:
            deadline: Ends the waiting.
            admitted: Whether `check` was asked before: a batch is refused as a whole or not at all.

        Raises:
            Problem: `overloaded`.
            DeadlineExceeded: The turn did not come in time.
        """
        if not admitted:
            self.check()
        if self._free and not self._queue:
            self._free -= 1
            self._running += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        try:
            async with asyncio.timeout(deadline.left_s):
                await turn
        except BaseException as error:
            self._give_up(turn)
            if isinstance(error, TimeoutError):
                raise DeadlineExceeded from None
            raise

    def leave(self) -> None:
        """Give a turn back."""
        self._running -= 1
        self._free += 1
        self._next()

    def _next(self) -> None:
        while self._queue and self._free:
            turn = self._queue.popleft()
            if not turn.done():
                self._free -= 1
                self._running += 1
                turn.set_result(None)

    def _give_up(self, turn: "asyncio.Future[None]") -> None:
        if turn.done() and not turn.cancelled():
            self.leave()  # it came in the same moment
        elif turn in self._queue:
            self._queue.remove(turn)


__all__ = ["Admission"]

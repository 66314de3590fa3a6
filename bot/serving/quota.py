"""Pure: how much was asked in the last minute, and how much of a day's quota a worker holds."""

import math
from collections import deque
from datetime import date
from typing import Final

WINDOW_S: Final = 60
_MOST_HELD: Final = 100
_SHARE_HELD: Final = 100
"""A worker holds one part of so many of a day's quota at most."""


class MinuteWindow:
    """What was asked in the last sixty seconds, to the second; the clock is an argument.

    Args:
        limit: Files in any minute at most; None: no limit.
    """

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self._seconds: deque[tuple[int, int]] = deque()
        self._sum = 0

    def wait_s(self, cost: int, now_s: float) -> float:
        """How long to wait until more may be asked.

        Args:
            cost: Files.
            now_s: Present reading of a monotonic clock in seconds.

        Returns:
            Seconds: 0 where there is room, infinite where there will never be.
        """
        if self.limit is None or cost == 0:
            return 0.0
        if cost > self.limit:
            return math.inf
        self._forget(now_s)
        excess = self._sum + cost - self.limit
        free_at_s = now_s
        for second, count in self._seconds:
            if excess <= 0:
                break
            excess -= count
            free_at_s = second + 1 + WINDOW_S
        return free_at_s - now_s

    def add(self, cost: int, now_s: float) -> None:
        """Count what was asked.

        Args:
            cost: Files.
            now_s: As for `wait_s`.
        """
        if self.limit is None or cost == 0:
            return
        second = math.floor(now_s)
        if self._seconds and self._seconds[-1][0] >= second:
            second, before = self._seconds.pop()
            self._seconds.append((second, before + cost))
        else:
            self._seconds.append((second, cost))
        self._sum += cost

    def _forget(self, now_s: float) -> None:
        while self._seconds and self._seconds[0][0] + WINDOW_S + 1 <= now_s:
            self._sum -= self._seconds.popleft()[1]


class HeldShare:
    """What a worker has taken out of a token's day in advance, so that it need not ask for every file."""

    def __init__(self) -> None:
        self.day: date | None = None
        self.left = 0

    def use(self, cost: int, day: date) -> bool:
        """Use what is held.

        Args:
            cost: Files.
            day: The present day of UTC.

        Returns:
            Whether there was enough of that day.
        """
        if self.day != day or self.left < cost:
            return False
        self.left -= cost
        return True


def most_to_take(cost: int, per_day: int | None) -> int:
    """How much to take out of the store's count at once.

    Args:
        cost: Files that are needed.
        per_day: The quota; None: there is none.

    Returns:
        No less than `cost`; beyond it a hundredth of the quota at most, so that what idle workers hold,
        and what a killed one had, is little.
    """
    share = _MOST_HELD if per_day is None else min(_MOST_HELD, per_day // _SHARE_HELD)
    return max(cost, share)


__all__ = ["WINDOW_S", "HeldShare", "MinuteWindow", "most_to_take"]

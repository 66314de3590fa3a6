"""Wikimedia's limit of bits per second for all downloads together, as a token bucket.

The robot policy measures 25 Mbit/s over 10 s.  The bucket holds one tenth of such a window and is refilled
at nine tenths of the rate, so that a full bucket and all that flows into it stay within the limit in any
window.
"""

import threading
import time
from typing import Final

WINDOW_S: Final = 10.0
_BURST_SHARE: Final = 0.1


class TokenBucket:
    """Pure but for its own state: the clock is an argument.

    Args:
        max_bits_per_s: The limit, measured over `WINDOW_S`.
        now_s: Present reading of a monotonic clock in seconds.
    """

    def __init__(self, max_bits_per_s: float, now_s: float) -> None:
        bytes_per_s = max_bits_per_s / 8
        self.capacity_bytes = _BURST_SHARE * WINDOW_S * bytes_per_s
        self._refill_bytes_per_s = (1 - _BURST_SHARE) * bytes_per_s
        self._tokens = self.capacity_bytes
        self._read_at_s = now_s

    @property
    def largest_take_bytes(self) -> int:
        """The most that may be taken at once."""
        return max(1, int(self.capacity_bytes))

    def take(self, count: int, now_s: float) -> float:
        """Take tokens, on credit where there are not enough.

        Args:
            count: Bytes about to be read, at most `largest_take_bytes`.
            now_s: Present reading of the clock.

        Returns:
            Seconds to wait before those bytes may be read.
        """
        self._refill(now_s)
        self._tokens -= count
        return max(0.0, -self._tokens / self._refill_bytes_per_s)

    def give_back(self, count: int) -> None:
        """Return tokens that were not used.

        Args:
            count: Bytes that were taken and not read.
        """
        self._tokens = min(self.capacity_bytes, self._tokens + count)

    def _refill(self, now_s: float) -> None:
        elapsed_s = max(0.0, now_s - self._read_at_s)
        self._read_at_s = max(self._read_at_s, now_s)
        self._tokens = min(self.capacity_bytes, self._tokens + elapsed_s * self._refill_bytes_per_s)


class SharedRate:
    """One bucket for all threads, on the real clock.

    Args:
        max_bits_per_s: The limit.
    """

    def __init__(self, max_bits_per_s: float) -> None:
        self._bucket = TokenBucket(max_bits_per_s, time.monotonic())
        self._lock = threading.Lock()
        self.largest_take_bytes = self._bucket.largest_take_bytes

    def take(self, count: int) -> float:
        """Take tokens; see `TokenBucket.take`.

        Args:
            count: Bytes about to be read.

        Returns:
            Seconds to wait before reading them.
        """
        with self._lock:
            return self._bucket.take(count, time.monotonic())

    def give_back(self, count: int) -> None:
        """Return unused tokens.

        Args:
            count: Bytes that were taken and not read.
        """
        with self._lock:
            self._bucket.give_back(count)


__all__ = ["WINDOW_S", "SharedRate", "TokenBucket"]

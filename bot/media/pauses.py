"""Which media hosts are left alone until when: by their own Retry-After, or because they are dead."""

import random
import threading
import time
from typing import Final

from bot.backoff import jittered

MAX_PAUSE_S: Final = 3600.0
"""However long a server asks for, an hour later it is asked again."""

_UNREACHABLE_INITIAL_S: Final = 1.0
_UNREACHABLE_MAX_S: Final = 60.0


class HostPauses:
    """Pauses of hosts, shared by all downloads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._until_s: dict[str, float] = {}
        self._failures: dict[str, int] = {}
        self._rng = random.Random()

    def remaining_s(self, host: str) -> float:
        """How long the host is still to be left alone.

        Args:
            host: As in the address.

        Returns:
            Seconds, 0 where it may be asked.
        """
        with self._lock:
            return max(0.0, self._until_s.get(host, 0.0) - time.monotonic())

    def asked_for(self, host: str, seconds: float) -> None:
        """Note a host's Retry-After.

        Args:
            host: As in the address.
            seconds: What it asked for.
        """
        self._extend(host, min(seconds, MAX_PAUSE_S))

    def unreachable(self, host: str) -> float:
        """Note that a host cannot be reached.

        Args:
            host: As in the address.

        Returns:
            Seconds until it is tried again, longer with every failure in a row.
        """
        with self._lock:
            self._failures[host] = self._failures.get(host, 0) + 1
            failures = self._failures[host]
        wait_s = jittered(failures, _UNREACHABLE_INITIAL_S, _UNREACHABLE_MAX_S, self._rng)
        self._extend(host, wait_s)
        return wait_s

    def reached(self, host: str) -> None:
        """Note that a host answered.

        Args:
            host: As in the address.
        """
        with self._lock:
            self._failures.pop(host, None)

    def _extend(self, host: str, seconds: float) -> None:
        with self._lock:
            self._until_s[host] = max(self._until_s.get(host, 0.0), time.monotonic() + seconds)


__all__ = ["MAX_PAUSE_S", "HostPauses"]

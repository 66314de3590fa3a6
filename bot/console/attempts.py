"""How often somebody may enter a wrong token: guessing one is hopeless, but trying must not cost us work."""

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final

FAILURES: Final = 8
WINDOW_S: Final = 300.0
CLIENTS: Final = 10_000
"""So many addresses are remembered at most; the one heard of longest ago is forgotten first."""


class Attempts:
    """Counts failed logins by address; threads may share it.

    Args:
        monotonic: Seconds that only grow.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()
        self._lock = threading.Lock()

    def wait_s(self, client: str) -> float:
        """How long an address has to wait.

        Args:
            client: The address.

        Returns:
            Seconds; 0 where it may try.
        """
        with self._lock:
            recent = self._recent(client)
            if len(recent) < FAILURES:
                return 0.0
            return max(0.0, recent[0] + WINDOW_S - self._monotonic())

    def failed(self, client: str) -> None:
        """Note a failure.

        Args:
            client: The address.
        """
        with self._lock:
            recent = self._recent(client)
            recent.append(self._monotonic())
            self._failures[client] = recent
            self._failures.move_to_end(client)
            while len(self._failures) > CLIENTS:
                self._failures.popitem(last=False)

    def _recent(self, client: str) -> deque[float]:
        recent = self._failures.get(client, deque(maxlen=FAILURES))
        while recent and recent[0] <= self._monotonic() - WINDOW_S:
            recent.popleft()
        return recent


__all__ = ["FAILURES", "WINDOW_S", "Attempts"]

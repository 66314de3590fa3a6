"""How long a request may still take; whoever works for it asks now and then, in whatever thread."""

import threading
import time
from collections.abc import Callable


class DeadlineExceeded(Exception):
    """The request's time is over, or nobody waits for its answer any more."""


class Deadline:
    """The end of a request's time, which may come early. Safe to use from several threads.

    Args:
        timeout_s: Seconds from now.
    """

    def __init__(self, timeout_s: float) -> None:
        self._until_s = time.monotonic() + timeout_s
        self._changing = threading.Lock()
        self._cancelled = False
        self._on_cancel: list[Callable[[], None]] = []

    @property
    def left_s(self) -> float:
        """Seconds left; 0 once the time is over or the request was given up."""
        return 0.0 if self._cancelled else max(self._until_s - time.monotonic(), 0.0)

    @property
    def cancelled(self) -> bool:
        """Whether the request was given up."""
        return self._cancelled

    def check(self) -> None:
        """Go on only while somebody waits.

        Raises:
            DeadlineExceeded: The time is over, or the request was given up.
        """
        if self.left_s <= 0:
            raise DeadlineExceeded

    def cancel(self) -> None:
        """Give the request up: no time is left, and whoever asked to be told is told."""
        with self._changing:
            self._cancelled = True
            told, self._on_cancel = self._on_cancel, []
        for tell in told:
            tell()

    def on_cancel(self, tell: Callable[[], None]) -> None:
        """Be told when the request is given up; at once if it has been.

        Args:
            tell: Called once, from any thread; must be quick and raise nothing.
        """
        with self._changing:
            if not self._cancelled:
                self._on_cancel.append(tell)
                return
        tell()


__all__ = ["Deadline", "DeadlineExceeded"]

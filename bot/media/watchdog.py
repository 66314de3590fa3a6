"""End a transfer that outlasts its time, or the bot, wherever it hangs.

A read timeout only bounds the silence between two bytes: a server that sends one header byte every few
seconds would hold a download for ever.  So a watch knows the socket that its thread is reading from, and
shuts it down; the blocked read then ends at once.
"""

import socket
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Final, Protocol, Self

_POLL_S: Final = 0.2
_of_thread = threading.local()


class Patience(Protocol):
    """Somebody who waits for a transfer, and may give up."""

    @property
    def left_s(self) -> float:
        """Seconds for which they still wait; 0 once they do not."""
        ...


class Watch:
    """Watches over the transfers that its thread makes in a `with` block.

    Args:
        total_s: Seconds until everything in the block is shut down.
        stop: The same, as soon as it is set.
        patience: The same, as soon as nobody waits any more.
    """

    def __init__(self, total_s: float, stop: threading.Event, patience: Patience | None = None) -> None:
        self.total_s = total_s
        self._deadline_s = time.monotonic() + total_s
        self._stop = stop
        self._patience = patience
        self._over = threading.Event()
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="download-watch", daemon=True)

    def __enter__(self) -> Self:
        _of_thread.watch = self
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _of_thread.watch = None
        self._over.set()
        self._thread.join()

    @property
    def remaining_s(self) -> float:
        """Seconds that are left, never negative."""
        left_s = max(0.0, self._deadline_s - time.monotonic())
        return left_s if self._patience is None else min(left_s, self._patience.left_s)

    @property
    def ended(self) -> bool:
        """Whether the time is up or the bot is stopping."""
        return self._stop.is_set() or self.remaining_s <= 0

    def sleep(self, seconds: float) -> None:
        """Wait, but not longer than the watch lasts.

        Args:
            seconds: How long.
        """
        until_s = time.monotonic() + seconds
        while (left_s := min(until_s - time.monotonic(), self.remaining_s)) > 0:
            if self._stop.wait(left_s if self._patience is None else min(left_s, _POLL_S)):
                return

    def attach(self, connection: socket.socket | None) -> None:
        """Name the socket to shut down from now on.

        Args:
            connection: The socket that is about to be read.
        """
        with self._lock:
            self._socket = connection
        if self.ended:
            self._shut_down()

    def _run(self) -> None:
        while not self._over.wait(min(_POLL_S, self.remaining_s)):
            if self.ended:
                self._shut_down()
                return

    def _shut_down(self) -> None:
        with self._lock, suppress(OSError):
            if self._socket is not None:
                # The plain socket's own method: that of an SSL socket would drop its state under the reader.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


def attach(connection: socket.socket | None) -> None:
    """Tell the watch of this thread, if it has one, from which socket it is about to read.

    Args:
        connection: The socket.
    """
    watch: Watch | None = getattr(_of_thread, "watch", None)
    if watch is not None:
        watch.attach(connection)


__all__ = ["Patience", "Watch", "attach"]

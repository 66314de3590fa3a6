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
from typing import Any, ClassVar, Final, Self

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

_POLL_S: Final = 0.2
_of_thread = threading.local()


class Watch:
    """Watches over the transfers that its thread makes in a `with` block.

    Args:
        total_s: Seconds until everything in the block is shut down.
        stop: The same, as soon as it is set.
    """

    def __init__(self, total_s: float, stop: threading.Event) -> None:
        self.total_s = total_s
        self._deadline_s = time.monotonic() + total_s
        self._stop = stop
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
        return max(0.0, self._deadline_s - time.monotonic())

    @property
    def ended(self) -> bool:
        """Whether the time is up or the bot is stopping."""
        return self._stop.is_set() or self.remaining_s <= 0

    def sleep(self, seconds: float) -> None:
        """Wait, but not longer than the watch lasts.

        Args:
            seconds: How long.
        """
        if seconds > 0:
            self._stop.wait(min(seconds, self.remaining_s))

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


def _attach(connection: socket.socket | None) -> None:
    watch: Watch | None = getattr(_of_thread, "watch", None)
    if watch is not None:
        watch.attach(connection)


class _WatchedHTTPConnection(HTTPConnection):
    def getresponse(self) -> Any:
        _attach(self.sock)
        return super().getresponse()


class _WatchedHTTPSConnection(HTTPSConnection):
    def getresponse(self) -> Any:
        _attach(self.sock)
        return super().getresponse()


class _WatchedHTTPPool(HTTPConnectionPool):
    ConnectionCls = _WatchedHTTPConnection


class _WatchedHTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _WatchedHTTPSConnection


class WatchedAdapter(HTTPAdapter):
    """Connections of a requests session that tell the thread's watch which socket they read from."""

    _POOLS: ClassVar = {"http": _WatchedHTTPPool, "https": _WatchedHTTPSPool}

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Build the pools with watched connections; see `HTTPAdapter.init_poolmanager`."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._POOLS

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """Build a proxy's pools with watched connections; see `HTTPAdapter.proxy_manager_for`."""
        manager = super().proxy_manager_for(proxy, **kwargs)
        if not proxy.lower().startswith("socks"):
            manager.pool_classes_by_scheme = self._POOLS
        return manager


__all__ = ["Watch", "WatchedAdapter"]

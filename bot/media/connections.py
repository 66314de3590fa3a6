"""Connections that go where a gate allows, and tell the watch of their thread what they read from."""

import socket
from typing import Any, ClassVar

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.util.connection import create_connection

from bot.media.address_gate import AddressGate
from bot.media.watchdog import attach


def _connect(connection: HTTPConnection, gate: AddressGate) -> socket.socket:
    """Connect to one of the addresses that the gate has checked, with urllib3's own errors."""
    try:
        addresses = gate.addresses(connection.host, connection.port)
    except (socket.gaierror, UnicodeError) as error:
        raise NameResolutionError(connection.host, connection, _as_gaierror(error)) from error
    failure: OSError | None = None
    for address in addresses:
        try:
            return create_connection(
                (address, connection.port),
                connection.timeout,
                source_address=connection.source_address,
                socket_options=connection.socket_options,
            )
        except OSError as error:
            failure = error
    if isinstance(failure, TimeoutError):
        raise ConnectTimeoutError(connection, f"{connection.host}: timed out") from failure
    raise NewConnectionError(connection, f"{connection.host}: {failure}") from failure


def _as_gaierror(error: Exception) -> socket.gaierror:
    return error if isinstance(error, socket.gaierror) else socket.gaierror(str(error))


class _Watched(HTTPConnection):
    """A connection to an address that the gate has checked."""

    gate: ClassVar[AddressGate | None] = None

    def _new_conn(self) -> socket.socket:
        # Behind a proxy it is the proxy that looks the name up.
        if self.gate is None or self.proxy is not None:
            return super()._new_conn()
        return _connect(self, self.gate)

    def getresponse(self) -> Any:
        attach(self.sock)
        return super().getresponse()


class _WatchedHTTPS(_Watched, HTTPSConnection):
    """The same over TLS; the class of the others comes behind HTTPSConnection in its order of methods."""


def _pools(gate: AddressGate | None) -> dict[str, Any]:
    """Pools whose connections ask this gate: urllib3 makes both from their classes alone."""
    http = type("_Connection", (_Watched,), {"gate": gate})
    https = type("_Connection", (_WatchedHTTPS,), {"gate": gate})
    return {
        "http": type("_Pool", (HTTPConnectionPool,), {"ConnectionCls": http}),
        "https": type("_Pool", (HTTPSConnectionPool,), {"ConnectionCls": https}),
    }


class WatchedAdapter(HTTPAdapter):
    """Makes such connections.

    Args:
        gate: Says to which addresses connections may go; None leaves that to the system.
        options: Those of `HTTPAdapter`.
    """

    def __init__(self, gate: AddressGate | None = None, **options: Any) -> None:
        self._watched_pools = _pools(gate)
        super().__init__(**options)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Build the pools with watched connections; see `HTTPAdapter.init_poolmanager`."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._watched_pools

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """Build a proxy's pools with watched connections; see `HTTPAdapter.proxy_manager_for`."""
        manager = super().proxy_manager_for(proxy, **kwargs)
        if not proxy.lower().startswith("socks"):
            manager.pool_classes_by_scheme = self._watched_pools
        return manager


__all__ = ["WatchedAdapter"]

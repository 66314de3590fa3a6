"""Resolve a host once, check every answer, and connect to one of the addresses that were checked.

A check of the name, or of a first look-up, is worth nothing if the connection looks the name up again: DNS
may answer differently a moment later. So the connection is handed addresses, while certificate, SNI and Host
header still go by the name.
"""

import logging
import socket
from collections.abc import Collection, Sequence
from ipaddress import IPv4Network, IPv6Network
from typing import Final, Protocol

from bot.media.addresses import Network, is_public, is_within

logger = logging.getLogger(__name__)

_LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_LOOPBACK: Final = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))


class AddressRefused(Exception):
    """The name leads somewhere that is none of the public internet.

    Args:
        host: The name.
        address: The answer that was refused.
    """

    def __init__(self, host: str, address: str) -> None:
        super().__init__(f"{host} leads to {address}, which is no public address")
        self.host = host
        self.address = address


class Resolver(Protocol):
    """Looks names up."""

    def __call__(self, host: str, port: int) -> Sequence[str]:
        """Ask for all addresses of a name, in the order in which to try them.

        Args:
            host: The name.
            port: Where the connection will go.

        Returns:
            Addresses; never empty.

        Raises:
            socket.gaierror: There are none.
        """
        ...


def system_resolver(host: str, port: int) -> Sequence[str]:
    """The `Resolver` of the machine; see there."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class AddressGate:
    """Says to which addresses a connection to a host may go.

    Args:
        also: Networks that are not public and may be fetched from all the same.
        resolver: Looks names up.
    """

    def __init__(self, also: Collection[Network] = (), resolver: Resolver = system_resolver) -> None:
        self._also = tuple(also)
        self._resolver = resolver

    def addresses(self, host: str, port: int) -> Sequence[str]:
        """Resolve a host.

        Args:
            host: The name, which is on the list of hosts. One that spells loopback was put there on purpose,
                for a server of this machine, and may lead to loopback and nowhere else.
            port: Where the connection will go.

        Returns:
            All its addresses, each of which may be connected to.

        Raises:
            AddressRefused: One of them may not: none is used then, since somebody meddles with that name.
            socket.gaierror: The name is not known.
        """
        found = self._resolver(host, port)
        for address in found:
            if host in _LOOPBACK_NAMES:
                allowed = is_within(address, _LOOPBACK)
            else:
                allowed = is_public(address) or is_within(address, self._also)
            if not allowed:
                logger.error("address_refused", extra={"host": host, "address": address})
                raise AddressRefused(host, address)
        return found


__all__ = ["AddressGate", "AddressRefused", "Resolver", "system_resolver"]

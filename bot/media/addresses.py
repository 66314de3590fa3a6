"""Pure: which IP addresses lie on the public internet, and so may be fetched from.

A list of names says whom we mean to ask; who controls the DNS of a name, or sits between us and it, decides
where the name leads. The table is IANA's special-purpose registries (RFC 6890 and its updates), written out
here: what Python's `is_global` knows differs from version to version. Of IPv6 only the part that is given out
at all is public. An address that carries an IPv4 address in it is as public as that one, wherever a gateway
or the machine itself would take it apart.
"""

from collections.abc import Collection
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_NOT_PUBLIC_V4: Final = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # "this network"; on Linux 0.0.0.0 is the machine itself
            "10.0.0.0/8",
            "100.64.0.0/10",  # shared by customers of a provider (CGNAT)
            "127.0.0.0/8",
            "169.254.0.0/16",  # link-local, where clouds keep their metadata
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.31.196.0/24",
            "192.52.193.0/24",
            "192.88.99.0/24",  # relays of 6to4
            "192.168.0.0/16",
            "192.175.48.0/24",
            "198.18.0.0/15",  # benchmarks
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, and broadcast
        ),
    )
)
_GIVEN_OUT_V6: Final = IPv6Network("2000::/3")
_NOT_PUBLIC_V6: Final = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # protocols: Teredo, ORCHID, benchmarks
            "2001:db8::/32",
            "2620:4f:8000::/48",
            "3fff::/20",
        ),
    )
)
_CARRY_V4_LAST: Final = tuple(
    map(
        IPv6Network,
        (
            "::/96",  # compatible, given up long ago, and still understood here and there
            "::ffff:0:0/96",  # mapped: a socket connects to the IPv4 address
            "::ffff:0:0:0/96",  # translated
            "64:ff9b::/96",  # NAT64
        ),
    )
)
_SIX_TO_FOUR: Final = IPv6Network("2002::/16")


def is_public(address: str) -> bool:
    """Whether an address lies on the public internet.

    Args:
        address: As a resolver gives it: dotted, or IPv6, perhaps with a zone.

    Returns:
        False also for what is no address.
    """
    read = _read(address)
    return read is not None and not _is_special(_meant(read))


def is_within(address: str, networks: Collection[Network]) -> bool:
    """Whether an address, or the IPv4 address that it carries, lies in one of some networks.

    Args:
        address: As for `is_public`.
        networks: Of either family.

    Returns:
        False also for what is no address.
    """
    read = _read(address)
    if read is None:
        return False
    return any(
        one in network
        for one in (read, _meant(read))
        for network in networks
        if network.version == one.version
    )


def _read(text: str) -> Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _meant(address: Address) -> Address:
    """What an address means for whoever connects to it: the IPv4 address in it, or itself."""
    if isinstance(address, IPv6Address):
        number = int(address)
        if any(address in network for network in _CARRY_V4_LAST):
            return IPv4Address(number & 0xFFFFFFFF)
        if address in _SIX_TO_FOUR:
            return IPv4Address((number >> 80) & 0xFFFFFFFF)
    return address


def _is_special(address: Address) -> bool:
    if isinstance(address, IPv4Address):
        return any(address in network for network in _NOT_PUBLIC_V4)
    if address.scope_id is not None or address not in _GIVEN_OUT_V6:
        return True
    return any(address in network for network in _NOT_PUBLIC_V6)


__all__ = ["Address", "Network", "is_public", "is_within"]

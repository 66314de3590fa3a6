"""Which addresses are public, and what a gate lets a connection go to."""

import ipaddress
import socket
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.media.address_gate import AddressGate, AddressRefused, system_resolver
from bot.media.addresses import is_public, is_within

WIKIMEDIA = ("208.80.154.240", "185.15.59.240", "2620:0:861:ed1a::2:b", "2a02:ec80:300:ed1a::2:b")
NOT_PUBLIC_V4 = (
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.7",
    "203.0.113.7",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
)
JUST_OUTSIDE_V4 = (
    "1.0.0.0",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
)


@pytest.mark.parametrize("address", [*WIKIMEDIA, *JUST_OUTSIDE_V4, "8.8.8.8", "2001:4860:4860::8888"])
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        *NOT_PUBLIC_V4,
        "::",
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "2620:0:861:ed1a::2:b%eth0",
        "fec0::1",
        "fc00::1",
        "fd12:3456::1",
        "ff02::1",
        "100::1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "2001:2::1",
        "2001:db8::1",
        "3fff::1",
        "5f00::1",
        "64:ff9b:1::a00:1",
        "4000::1",
        "",
        "localhost",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "1.2.3.4 ",
        "1.2.3.4/32",
    ],
)
def test_everything_else_is_not(address: str) -> None:
    assert not is_public(address)


def carrying(address: str) -> list[str]:
    """IPv6 addresses that end up at an IPv4 address."""
    number = int(ipaddress.IPv4Address(address))
    prefixes = ("::ffff:0:0", "::ffff:0:0:0", "64:ff9b::", "::")
    return [
        *(str(ipaddress.IPv6Address(int(ipaddress.IPv6Address(one)) + number)) for one in prefixes),
        str(ipaddress.IPv6Address((0x2002 << 112) + (number << 80) + 1)),
        f"::ffff:{address}",
    ]


@pytest.mark.parametrize("address", NOT_PUBLIC_V4)
def test_what_carries_a_private_address_is_as_private(address: str) -> None:
    assert [one for one in carrying(address) if is_public(one)] == []


def test_what_carries_a_public_address_is_as_public() -> None:
    assert [one for one in carrying("208.80.154.240") if not is_public(one)] == []


@given(st.ip_addresses(v=4))
def test_no_address_is_public_that_python_calls_private_or_special(address: ipaddress.IPv4Address) -> None:
    special = (
        address.is_private
        or address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address.is_reserved
        or address.is_unspecified
    )
    assert not (is_public(str(address)) and special)
    assert is_public(f"::ffff:{address}") == is_public(str(address))


@given(st.ip_addresses(v=6))
def test_no_ipv6_address_is_public_that_python_calls_private_or_special(
    address: ipaddress.IPv6Address,
) -> None:
    special = not address.is_global or address.is_multicast or address.is_site_local
    meant = address.ipv4_mapped or address.sixtofour
    assert meant is not None or not (is_public(str(address)) and special)


@given(st.text(max_size=40))
def test_what_is_no_address_is_not_public(text: str) -> None:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        assert not is_public(text)
        assert not is_within(text, [ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0")])


class Resolver:
    """Answers with what the test wrote down, one answer after the other."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, int]] = []

    def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append((host, port))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def test_a_name_of_the_internet_passes_with_all_its_addresses_and_one_look_up() -> None:
    resolver = Resolver(WIKIMEDIA)
    assert AddressGate(resolver=resolver).addresses("upload.wikimedia.org", 443) == WIKIMEDIA
    assert resolver.asked == [("upload.wikimedia.org", 443)]


@pytest.mark.parametrize("bad", ["10.0.0.1", "::1", "::ffff:169.254.169.254", "nonsense"])
@pytest.mark.parametrize("place", [0, 2, 4])
def test_one_answer_that_is_not_public_spoils_all(bad: str, place: int) -> None:
    answers = [*WIKIMEDIA[:place], bad, *WIKIMEDIA[place:]]
    with pytest.raises(AddressRefused, match=r"upload\.wikimedia\.org leads to"):
        AddressGate(resolver=Resolver(answers)).addresses("upload.wikimedia.org", 443)


def test_inner_networks_pass_only_where_they_are_named() -> None:
    inner = [ipaddress.ip_network("10.1.0.0/16"), ipaddress.ip_network("fd00::/8")]
    gate = AddressGate(inner, Resolver(["10.1.2.3", "::ffff:10.1.2.3", "fd00::1", "208.80.154.240"]))
    assert len(gate.addresses("mirror.example.org", 443)) == 4
    with pytest.raises(AddressRefused):
        AddressGate(inner, Resolver(["10.2.0.1"])).addresses("mirror.example.org", 443)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1"])
def test_a_listed_loopback_host_leads_to_loopback_and_nowhere_else(host: str) -> None:
    gate = AddressGate(resolver=Resolver(["127.0.0.1", "::1"], ["208.80.154.240"], ["10.0.0.1"]))
    assert gate.addresses(host, 80) == ["127.0.0.1", "::1"]
    for _ in range(2):
        with pytest.raises(AddressRefused):
            gate.addresses(host, 80)


def test_the_systems_resolver_gives_each_address_once_and_fails_as_python_does() -> None:
    found = system_resolver("localhost", 80)
    assert len(set(found)) == len(found) > 0
    assert is_within(found[0], [ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128")])
    with pytest.raises((socket.gaierror, UnicodeError)):
        system_resolver("a" * 300, 80)

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.media.hosts import allowed_host

ALLOWED = ("upload.wikimedia.org", "thumb.wikimedia.org", "127.0.0.1:8080", "localhost:8080", "[::1]:8080")


@pytest.mark.parametrize(
    ("url", "host"),
    [
        (
            "https://upload.wikimedia.org/wikipedia/commons/a/ab/A_(b)%2C.jpg?utm_source=x",
            "upload.wikimedia.org",
        ),
        ("https://thumb.wikimedia.org", "thumb.wikimedia.org"),
        ("https://upload.wikimedia.org?x", "upload.wikimedia.org"),
        ("http://127.0.0.1:8080/a", "127.0.0.1:8080"),
        ("http://localhost:8080/a", "localhost:8080"),
        ("http://[::1]:8080/a", "[::1]:8080"),
        ("https://127.0.0.1:8080/a", "127.0.0.1:8080"),
    ],
)
def test_configured_hosts_pass(url: str, host: str):
    assert allowed_host(url, ALLOWED) == host


@pytest.mark.parametrize(
    "url",
    [
        "http://upload.wikimedia.org/a",
        "HTTPS://upload.wikimedia.org/a",
        "//upload.wikimedia.org/a",
        "ftp://upload.wikimedia.org/a",
        "file:///etc/passwd",
        "https:/upload.wikimedia.org/a",
        "https:upload.wikimedia.org/a",
        "https:///upload.wikimedia.org/a",
        "https://evil-upload.wikimedia.org/a",
        "https://upload.wikimedia.org.evil.example/a",
        "https://wikimedia.org/a",
        "https://Upload.wikimedia.org/a",
        "https://upload.wikimedia.org./a",
        "https://upload.wikimedia.org:443/a",
        "https://upload.wikimedia.org:8080/a",
        "https://upload.wikimedia.org:/a",
        "https://upload.wikimedia.org@evil.example/a",
        "https://user:password@upload.wikimedia.org/a",
        "https://@upload.wikimedia.org/a",
        "https://evil.example\\@upload.wikimedia.org/a",
        "https://upload.wikimedia.org\\@evil.example/a",
        "https://upload.wikimedia.org\\.evil.example/a",
        "https://upload.wikimedia.org/a\\b",
        "https://upload.wikimedia.org#@evil.example/a",
        "https://upload.wikimedia.org/a#b",
        "https://upload.wikimedia.org%00.evil.example/a",
        "https://upload.wikimedia.org%2eevil.example/a",
        "https://upload.wikimedia.org/a b",
        "https://upload.wikimedia.org/a\r\nHost: evil.example",
        " https://upload.wikimedia.org/a",
        "https://upload.wikimedia.org/a\n",
        "https://upload。wikimedia。org/a",
        "https://uрload.wikimedia.org/a",
        "http://127.0.0.1/a",
        "http://127.0.0.1:8081/a",
        "http://127.1:8080/a",
        "http://2130706433:8080/a",
        "http://0x7f000001:8080/a",
        "http://0177.0.0.1:8080/a",
        "http://127.0.0.1.:8080/a",
        "http://127.0.0.1:08080/a",
        "http://[0:0:0:0:0:0:0:1]:8080/a",
        "http://[::ffff:127.0.0.1]:8080/a",
        "http://[::1%25lo]:8080/a",
        "http://169.254.169.254/latest/meta-data",
        "",
    ],
)
def test_everything_that_is_not_exactly_a_configured_host_is_refused(url: str):
    assert allowed_host(url, ALLOWED) is None


@given(st.text(max_size=30), st.text(max_size=30))
def test_text_around_a_configured_host_never_passes(before: str, after: str):
    if before or (not after.startswith(("/", "?")) and after):
        assert allowed_host(f"https://{before}upload.wikimedia.org{after}", ALLOWED) is None


@given(st.integers(min_value=0, max_value=2**32 - 1))
def test_no_spelling_of_an_address_passes_unless_it_is_listed(number: int):
    for spelling in (str(number), hex(number), str(ipaddress.ip_address(number))):
        assert allowed_host(f"http://{spelling}/", ALLOWED) is None


def test_a_plain_http_host_passes_on_loopback_only_even_if_it_is_listed():
    assert allowed_host("http://evil.example/", ("evil.example",)) is None
    assert allowed_host("http://localhost.evil.example/", ("localhost.evil.example",)) is None
    assert allowed_host("http://localhost/", ("localhost",)) == "localhost"

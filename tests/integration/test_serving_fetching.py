"""What the service fetches for its callers, and what it never asks for, against real servers on loopback.

`NAME` is the allowed host; it has a real certificate and a resolver of the test, and its server stands at
127.0.0.2. What must not be reached stands at 127.0.0.1: the settings call only the former network fetchable.
"""

import hashlib
import ipaddress
import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from bot.minicommons.corpus import prepare_corpus
from bot.minicommons.plan import Corpus
from bot.minicommons.server import MiniCommons
from bot.serving.fetching import WikiSources, open_sources
from bot.settings import Settings, load_settings
from classifier.service.deadline import Deadline, DeadlineExceeded
from classifier.service.sources import SourceProblem
from tests.certificates import Certificate, certificate_for
from tests.daemon_process import settings_for
from tests.http_server import Answer, scripted_server

NAME = "media.example.org"
OUTSIDE, INSIDE = "127.0.0.2", "127.0.0.1"
BYTES = bytes(range(256)) * 400
PNG = {"Content-Type": "image/png"}
OK = Answer(200, BYTES, PNG)
SECRET = Answer(200, b"what nobody may see", PNG)


class FakeResolver:
    """Whatever the test says; the last answer stays. It knows every name, and notes which were looked up."""

    def __init__(self) -> None:
        self.answers: list[Sequence[str]] = [[OUTSIDE]]
        self.asked: list[str] = []

    def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


class Servers:
    """One at each address, with the same port and certificate: nothing but the address tells them apart."""

    def __init__(self, stack: ExitStack, certificate: Certificate) -> None:
        self.names: list[str | None] = []
        context = certificate.for_server(self.names)
        self.outside = stack.enter_context(scripted_server(OUTSIDE, context=context))
        self.inside = stack.enter_context(scripted_server(INSIDE, self.outside.port, context))

    def as_new(self) -> None:
        self.names.clear()
        for server, answer in ((self.outside, OK), (self.inside, SECRET)):
            server.asked.clear()
            server.answers.clear()
            server.answers["/a.png"] = [answer]


class Place:
    """Both servers, the resolver, and sources that may fetch from one of them."""

    def __init__(self, stack: ExitStack, folder: Path, servers: Servers) -> None:
        self.names, self.outside, self.inside = servers.names, servers.outside, servers.inside
        self.resolver = FakeResolver()
        self.host = f"{NAME}:{self.outside.port}"
        self.url = f"https://{self.host}/a.png"
        self.folder = folder
        self._stack = stack
        self.sources = self.opened()

    def opened(self, max_bytes: int = 1_000_000, **changes: Any) -> WikiSources:
        media = {
            "allowed_hosts": (self.host,),
            "private_networks": (ipaddress.ip_network(f"{OUTSIDE}/32"),),
            "directory": self.folder,
            "max_bits_per_s": 1e9,
            **changes,
        }
        loaded = load_settings(overrides={"identity": {"contact": "test@example.org"}})
        configured = loaded.model_copy(update={"media": loaded.media.model_copy(update=media)})
        return self._stack.enter_context(
            open_sources(configured, max_bytes=max_bytes, resolver=self.resolver)
        )

    def leftovers(self) -> list[Path]:
        return [path for path in self.folder.rglob("*") if path.is_file() and "lock" not in path.name]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return certificate_for(NAME, tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="module")
def servers(certificate: Certificate) -> Iterator[Servers]:
    with ExitStack() as stack:
        yield Servers(stack, certificate)


@pytest.fixture
def place(
    tmp_path: Path, certificate: Certificate, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Place]:
    servers.as_new()
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate.path))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with ExitStack() as stack:
        yield Place(stack, tmp_path / "media", servers)


def problem(sources: WikiSources, url: str, seconds: float = 20) -> SourceProblem:
    with pytest.raises(SourceProblem) as caught, sources.url(url, Deadline(seconds)):
        pass
    return caught.value


def test_what_lies_at_an_address_is_there_as_long_as_the_context(place: Place) -> None:
    with place.sources.url(place.url, Deadline(20)) as fetched:
        [part] = fetched.parts
        assert part.path.read_bytes() == BYTES
        assert part.path.stat().st_mode & 0o777 == 0o600
        assert fetched.sha256 == hashlib.sha256(BYTES).hexdigest()
        assert fetched.about == {"rendition": "original", "width_px": None, "bytes": len(BYTES)}
    assert place.leftovers() == []


def test_the_connection_goes_to_the_checked_address_and_still_by_the_name(place: Place) -> None:
    with place.sources.url(place.url, Deadline(20)):
        pass
    [asked] = place.outside.asked
    assert asked.headers["Host"] == place.host
    assert place.names == [NAME]
    assert place.resolver.asked == [NAME]


def test_a_certificate_of_another_name_is_refused(place: Place) -> None:
    other = f"other.example.org:{place.outside.port}"
    sources = place.opened(allowed_hosts=(other,))
    assert problem(sources, f"https://{other}/a.png").code == "source_unavailable"
    assert place.outside.asked == []


def test_an_answer_of_dns_that_changes_after_the_check_is_not_used(place: Place) -> None:
    place.resolver.answers = [[OUTSIDE], [INSIDE], [INSIDE]]
    with place.sources.url(place.url, Deadline(20)) as fetched:
        assert fetched.parts[0].path.read_bytes() == BYTES
    assert place.resolver.asked == [NAME]
    assert place.inside.asked == []


def test_every_new_connection_is_checked_again(place: Place) -> None:
    place.resolver.answers = [[OUTSIDE], [INSIDE]]
    for sources in (place.sources, place.opened()):
        if sources is place.sources:
            with sources.url(place.url, Deadline(20)):
                pass
        else:
            assert problem(sources, place.url).code == "host_not_allowed"
    assert place.inside.asked == []


PRIVATE = {
    "loopback": "127.0.0.1",
    "private": "10.0.0.1",
    "metadata of a cloud": "169.254.169.254",
    "shared by a provider": "100.64.0.1",
    "multicast": "224.0.0.1",
    "reserved": "240.0.0.1",
    "nowhere": "0.0.0.0",
    "IPv6 loopback": "::1",
    "IPv6 link-local": "fe80::1%1",
    "IPv6 unique local": "fd00::1",
    "mapped": "::ffff:127.0.0.1",
    "compatible": "::7f00:1",
    "6to4": "2002:7f00:1::1",
    "NAT64": "64:ff9b::7f00:1",
    "Teredo": "2001:0:7f00:1::1",
}


@pytest.mark.parametrize("address", PRIVATE.values(), ids=PRIVATE)
def test_an_allowed_name_that_leads_inside_is_not_asked(place: Place, address: str) -> None:
    for answers in ([address], [OUTSIDE, address], [address, OUTSIDE]):
        place.resolver.answers = [answers]
        error = problem(place.opened(), place.url)
        assert (error.code, error.status) == ("host_not_allowed", 403)
        assert address not in error.detail
    assert place.inside.asked == place.outside.asked == []


def refused(host: str, port: int) -> dict[str, str]:
    """Addresses that mean to get past the list of hosts, for an allowed `host` at `port`."""
    allowed = f"{host}:{port}"
    return {
        "no port": f"https://{host}/a.png",
        "another port": f"https://{host}:{port + 1}/a.png",
        "the default port": f"https://{host}:443/a.png",
        "port with a zero": f"https://{host}:0{port}/a.png",
        "empty port": f"https://{host}:/a.png",
        "plain http": f"http://{allowed}/a.png",
        "ftp": f"ftp://{allowed}/a.png",
        "file": "file:///etc/passwd",
        "gopher": f"gopher://{allowed}/_GET",
        "data": "data:image/png;base64,AAAA",
        "no scheme": f"//{allowed}/a.png",
        "relative": "/a.png",
        "suffix": f"https://{host}.example.net:{port}/a.png",
        "prefix": f"https://evil-{allowed}/a.png",
        "subdomain": f"https://sub.{allowed}/a.png",
        "parent": f"https://example.org:{port}/a.png",
        "user": f"https://user@{allowed}/a.png",
        "user and password": f"https://user:password@{allowed}/a.png",
        "empty user": f"https://@{allowed}/a.png",
        "host as user": f"https://{allowed}@127.0.0.1:{port}/a.png",
        "host as user, quoted": f"https://{host}%3A{port}%40127.0.0.1:{port}/a.png",
        "backslash": f"https://{allowed}\\@127.0.0.1:{port}/a.png",
        "backslash first": f"https://127.0.0.1:{port}\\@{allowed}/a.png",
        "backslashes for slashes": f"https:\\\\{allowed}\\a.png",
        "fragment": f"https://{allowed}/a.png#x",
        "fragment for a path": f"https://127.0.0.1:{port}#@{allowed}/a.png",
        "query for a path": f"https://127.0.0.1:{port}?@{allowed}/a.png",
        "trailing dot": f"https://{host}.:{port}/a.png",
        "capitals": f"https://{host.upper()}:{port}/a.png",
        "ideographic dots": f"https://{host.replace('.', '。')}:{port}/a.png",
        "full-width letters": f"https://ｍ{allowed[1:]}/a.png",
        "Cyrillic letter": f"https://{allowed.replace('e', 'е', 1)}/a.png",
        "punycode": f"https://xn--{allowed}/a.png",
        "quoted dot": f"https://{host.replace('.', '%2e', 1)}:{port}/a.png",
        "quoted NUL": f"https://{host}%00.example.net:{port}/a.png",
        "NUL": f"https://{host}\x00.example.net:{port}/a.png",
        "tab in the host": f"https://{host[:3]}\t{host[3:]}:{port}/a.png",
        "line break in the path": f"https://{allowed}/a.png\r\nHost: 127.0.0.1",
        "line break at the end": f"https://{allowed}/a.png\n",
        "line break in the host": f"https://{host}\r\n:{port}/a.png",
        "blank": f"https://{allowed}/a b.png",
        "blank first": f" https://{allowed}/a.png",
        "letters in the path": f"https://{allowed}/ä.png",
        "loopback": f"http://127.0.0.1:{port}/a.png",
        "loopback, https": f"https://127.0.0.1:{port}/a.png",
        "localhost": f"https://localhost:{port}/a.png",
        "decimal": f"https://2130706433:{port}/a.png",
        "hexadecimal": f"https://0x7f000001:{port}/a.png",
        "hexadecimal parts": f"https://0x7f.0x0.0x0.0x1:{port}/a.png",
        "octal": f"https://0177.0.0.1:{port}/a.png",
        "octal, whole": f"https://017700000001:{port}/a.png",
        "short": f"https://127.1:{port}/a.png",
        "shorter": f"https://0:{port}/a.png",
        "overflowing": f"https://4294967296:{port}/a.png",
        "IPv6": f"https://[::1]:{port}/a.png",
        "IPv6, mapped": f"https://[::ffff:127.0.0.1]:{port}/a.png",
        "IPv6, mapped, hexadecimal": f"https://[::ffff:7f00:1]:{port}/a.png",
        "IPv6 with a zone": f"https://[fe80::1%25lo]:{port}/a.png",
        "NAT64": f"https://[64:ff9b::7f00:1]:{port}/a.png",
        "metadata of a cloud": "http://169.254.169.254/latest/meta-data/",
        "nip.io": f"https://127.0.0.1.nip.io:{port}/a.png",
        "empty": "",
        "spaces": "   ",
        "surrogate": f"https://{allowed}/\ud800",
        "very long": f"https://{allowed}{'a' * 7000}",
    }


@pytest.mark.parametrize("case", refused(NAME, 4430))
def test_what_is_not_exactly_an_allowed_host_is_refused_before_anybody_is_asked(
    place: Place, case: str
) -> None:
    error = problem(place.sources, refused(NAME, place.outside.port)[case])
    assert (error.code, error.status) == ("host_not_allowed", 403)
    assert place.resolver.asked == place.outside.asked == place.inside.asked == []


REDIRECTS = [
    case
    for case, url in refused(NAME, 4430).items()
    # The others cannot stand in a header, or mean the allowed host there.
    if url.isascii() and not set(url) & {"\0", "\r", "\n"} and url == url.strip() != "" and url[0] != "/"
]


@pytest.mark.parametrize("case", REDIRECTS)
def test_a_redirect_to_it_is_not_followed_either(place: Place, case: str) -> None:
    location = refused(NAME, place.outside.port)[case]
    head = "HTTP/1.1 302 Found\r\nContent-Length: 0\r\nConnection: close\r\nLocation: "
    place.outside.answers["/a.png"] = [Answer(raw=f"{head}{location}\r\n\r\n".encode())]
    assert problem(place.sources, place.url).code == "host_not_allowed"
    assert len(place.outside.asked) == 1
    assert place.inside.asked == []
    assert place.resolver.asked == [NAME]


def test_redirects_among_allowed_hosts_are_followed_and_then_end(place: Place) -> None:
    place.outside.answers["/a.png"] = [Answer(302, headers={"Location": "/b.png"})]
    place.outside.answers["/b.png"] = [Answer(307, headers={"Location": f"https://{place.host}/c.png"})]
    place.outside.answers["/c.png"] = [OK]
    with place.sources.url(place.url, Deadline(20)) as fetched:
        assert fetched.parts[0].path.read_bytes() == BYTES
    place.outside.answers["/c.png"] = [Answer(301, headers={"Location": "/a.png"})]
    assert problem(place.sources, place.url).code == "rendition_unavailable"
    assert place.leftovers() == []


_HOSTILE = st.sampled_from(
    [
        *"@:/\\#?.%[]-",
        NAME,
        "127.0.0.1",
        "localhost",
        "https://",
        "http://",
        "://",
        "%40",
        "。",
        "\r\n",
        "\x00",
    ]
)


@given(parts=st.lists(st.one_of(_HOSTILE, st.text(max_size=6)), max_size=8), path=st.booleans())
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_only_exactly_the_allowed_host_is_ever_asked(place: Place, parts: list[str], path: bool) -> None:
    url = "".join(parts) + (f"{place.host}/a.png" if path else "")
    assume(not url.startswith((f"https://{place.host}/", f"https://{place.host}?")))
    assume(url != f"https://{place.host}")
    assert problem(place.sources, url).code == "host_not_allowed"
    assert place.resolver.asked == []


@given(
    path=st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="\\#"), max_size=40)
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_the_path_is_the_host_stays_the_allowed_one(place: Place, path: str) -> None:
    before = len(place.inside.asked)
    assert problem(place.sources, f"https://{place.host}/{path}").code == "deleted"
    assert set(place.resolver.asked) == {NAME}
    assert len(place.inside.asked) == before


@pytest.mark.parametrize("length", ["right", None])
def test_a_body_over_the_limit_is_left_at_the_limit(place: Place, length: str | None) -> None:
    place.outside.answers["/a.png"] = [Answer(200, b"x" * 5_000_000, PNG, length=length)]
    error = problem(place.opened(max_bytes=100_000), place.url)
    assert (error.code, error.status) == ("too_large", 413)
    assert place.leftovers() == []


def test_a_body_that_is_compressed_unasked_is_refused(place: Place) -> None:
    place.outside.answers["/a.png"] = [Answer(200, BYTES, {**PNG, "Content-Encoding": "gzip"})]
    assert problem(place.sources, place.url).code == "rendition_unavailable"


@pytest.mark.parametrize(
    ("status", "code", "answered"),
    [(404, "deleted", 404), (403, "source_forbidden", 502), (500, "rendition_unavailable", 503)],
)
def test_what_the_host_refuses_has_a_code_and_says_nothing_of_our_inside(
    place: Place, status: int, code: str, answered: int
) -> None:
    place.outside.answers["/a.png"] = [Answer(status)]
    error = problem(place.sources, place.url)
    assert (error.code, error.status) == (code, answered)
    assert (error.retry_after_s is not None) == (answered == 503)
    assert not any(part in error.detail for part in (NAME, OUTSIDE, "identity", str(place.folder)))


def test_a_host_that_cannot_be_reached_is_told_with_a_time_to_come_again(place: Place) -> None:
    closed = f"{NAME}:9"
    error = problem(place.opened(allowed_hosts=(closed,)), f"https://{closed}/a.png")
    assert (error.code, error.status) == ("source_unavailable", 503)
    assert error.retry_after_s is not None
    assert OUTSIDE not in error.detail


@pytest.mark.parametrize("held_after", [0, 1000])
def test_a_deadline_ends_a_transfer_that_hangs_and_nothing_stays(place: Place, held_after: int) -> None:
    hold = threading.Event()
    place.outside.answers["/a.png"] = [Answer(200, BYTES, PNG, hold=hold, held_after=held_after)]
    # Whoever missed the deadline would wait for the server, and then have the file.
    patient = place.opened(read_timeout_s=300)
    with pytest.raises(DeadlineExceeded), patient.url(place.url, Deadline(0.5)):
        pass
    assert place.leftovers() == []
    hold.set()


def test_whoever_gives_up_frees_the_transfer_for_the_next(place: Place) -> None:
    hold = threading.Event()
    place.outside.answers["/hang.png"] = [Answer(200, BYTES, PNG, hold=hold, held_after=1000)]
    sources = place.opened(max_concurrent=1, read_timeout_s=300)
    given_up = Deadline(60)
    threading.Timer(0.5, given_up.cancel).start()
    with pytest.raises(DeadlineExceeded), sources.url(f"https://{place.host}/hang.png", given_up):
        pass
    with sources.url(place.url, Deadline(20)) as fetched:
        assert fetched.sha256 is not None
    hold.set()


def test_who_waits_for_a_turn_in_vain_is_told_so(place: Place) -> None:
    sources = place.opened(max_concurrent=1)
    hold, began = threading.Event(), threading.Event()
    place.outside.answers["/hang.png"] = [Answer(200, BYTES, PNG, hold=hold)]

    def occupy() -> None:
        began.set()
        with sources.url(f"https://{place.host}/hang.png", Deadline(60)):
            pass

    thread = threading.Thread(target=occupy)
    thread.start()
    place.outside.wait_for_requests(1)
    with pytest.raises(DeadlineExceeded), sources.url(place.url, Deadline(0.5)):
        pass
    hold.set()
    thread.join(30)


def test_the_file_is_gone_even_if_whoever_used_it_failed(place: Place) -> None:
    with pytest.raises(ZeroDivisionError), place.sources.url(place.url, Deadline(20)):
        _ = 1 / 0
    assert place.leftovers() == []


def test_the_log_names_neither_addresses_nor_titles(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    place.outside.answers["/Secret_name.png"] = [
        Answer(500),
        Answer(302, headers={"Location": "http://10.0.0.1/Secret_name.png"}),
    ]
    for _ in range(2):
        problem(place.sources, f"https://{place.host}/Secret_name.png?Secret_name")
    problem(place.sources, "https://elsewhere.example/Secret_name.png")
    ours = [record for record in caplog.records if record.name.startswith(("bot.", "classifier."))]
    assert ours
    assert not any("Secret_name" in str(vars(record)) for record in ours)


TITLES = ("jpeg-progressive", "vp9", "moved")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return prepare_corpus(tmp_path_factory.mktemp("corpus"), TITLES)


@pytest.fixture
def commons(corpus: Corpus) -> Iterator[MiniCommons]:
    with MiniCommons(corpus) as server:
        server.publish_corpus(names=TITLES)
        yield server


@pytest.fixture
def wiki(commons: MiniCommons, tmp_path: Path) -> Iterator[tuple[Settings, WikiSources]]:
    configured = settings_for(commons, tmp_path)
    with open_sources(configured, max_bytes=10**9) as sources:
        yield configured, sources


def title_problem(sources: WikiSources, title: str) -> SourceProblem:
    with pytest.raises(SourceProblem) as caught, sources.title(title, Deadline(20)):
        pass
    return caught.value


def test_a_title_is_fetched_as_the_daemon_would_and_deleted(
    wiki: tuple[Settings, WikiSources], corpus: Corpus
) -> None:
    configured, sources = wiki
    title = corpus.specimen("jpeg-progressive").title
    with sources.title(title.replace(" ", "_"), Deadline(20)) as fetched:
        assert fetched.parts[0].path.stat().st_size == fetched.about["bytes"]
        assert (fetched.about["title"], fetched.about["rendition"]) == (title, "thumbnail")
        assert fetched.sha256 == hashlib.sha256(fetched.parts[0].path.read_bytes()).hexdigest()
    assert list(configured.media.directory.rglob("upload-*")) == []


@pytest.mark.parametrize(
    ("title", "code", "status"),
    [
        ("File:There is no such file.jpg", "deleted", 404),
        ("File:A|B.jpg", "deleted", 404),
        ("File:A\x00.jpg", "deleted", 404),
        ("File:../../../etc/passwd", "deleted", 404),
        ("User:Example", "invalid_title", 422),
        ("https://127.0.0.1/", "invalid_title", 422),
        ("File:", "invalid_title", 422),
        ("", "invalid_title", 422),
    ],
)
def test_a_title_that_names_no_file_has_a_code(
    wiki: tuple[Settings, WikiSources], title: str, code: str, status: int
) -> None:
    error = title_problem(wiki[1], title)
    assert (error.code, error.status) == (code, status)


def test_titles_of_many_requests_are_few_questions(
    wiki: tuple[Settings, WikiSources], commons: MiniCommons, corpus: Corpus
) -> None:
    sources, title = wiki[1], corpus.specimen("jpeg-progressive").title
    failures: list[BaseException] = []

    def fetch() -> None:
        try:
            with sources.title(title, Deadline(60)):
                pass
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=fetch) for _ in range(16)]
    before = asked_questions(commons)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert 1 <= asked_questions(commons) - before <= 8


def asked_questions(commons: MiniCommons) -> int:
    requests: dict[str, int] = commons.statistics()["requests"]
    return sum(count for kind, count in requests.items() if not kind.startswith("media"))


def test_a_wiki_that_is_away_is_told_with_a_time_to_come_again(
    tmp_path: Path, commons: MiniCommons, corpus: Corpus
) -> None:
    configured = settings_for(commons, tmp_path, wiki={"api_url": "http://127.0.0.1:9/w/api.php"})
    with open_sources(configured, max_bytes=10**9) as sources:
        error = title_problem(sources, corpus.specimen("vp9").title)
    assert (error.code, error.status) == ("source_unavailable", 503)
    assert error.retry_after_s is not None


def test_a_deadline_ends_the_question_to_a_wiki_that_hangs(tmp_path: Path, commons: MiniCommons) -> None:
    with scripted_server() as slow:
        hold = threading.Event()
        slow.answers["/w/api.php"] = [Answer(hold=hold)]
        configured = settings_for(commons, tmp_path, wiki={"api_url": slow.url("/w/api.php")})
        with (
            open_sources(configured, max_bytes=10**9) as sources,
            pytest.raises(DeadlineExceeded),
            sources.title("File:A.jpg", Deadline(0.5)),
        ):
            pass
        hold.set()


def test_processes_share_what_the_robot_policy_allows(tmp_path: Path, commons: MiniCommons) -> None:
    configured = settings_for(commons, tmp_path, media={"max_concurrent": 4, "max_bits_per_s": 20e6})
    with open_sources(configured, max_bytes=10**9, processes=4) as sources:
        assert (sources._media.max_concurrent, sources._media.max_bits_per_s) == (1, 5e6)


def test_a_folder_that_a_killed_process_left_is_removed(tmp_path: Path, commons: MiniCommons) -> None:
    configured = settings_for(commons, tmp_path)
    left = configured.media.directory / "serve-left"
    left.mkdir(parents=True)
    (left / "upload-x").write_bytes(b"x")
    with open_sources(configured, max_bytes=10**9):
        assert not left.exists()
    assert [path.name for path in configured.media.directory.iterdir() if path.is_dir()] == []

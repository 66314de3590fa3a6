"""Whatever goes wrong while saving: a clear error of the right family, and nothing doubled or dropped."""

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from http.cookies import SimpleCookie

import pytest

from bot.errors import ConfigError, ServiceDown
from bot.wiki import Wiki
from bot.wiki_values import PageText, RefusalCode, WriteRefused
from tests.fault_proxy import CUT_AFTER_SAVING, CUT_BEFORE_SAVING, Fault, FaultProxy, answering, fault_proxy
from tests.review_bot import UNTIL_IT_WORKS, connect, password_file
from tests.sandbox_wiki import SandboxWiki
from tests.sandbox_wiki.accounts import BLACKLISTED_TITLE, DISALLOWED_TEXT, SPAM_DOMAIN, WARNED_TEXT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def proxy(sandbox_wiki: SandboxWiki) -> Iterator[FaultProxy]:
    with fault_proxy(sandbox_wiki.base_url) as running:
        yield running


@pytest.fixture(scope="module")
def wiki(sandbox_wiki: SandboxWiki, proxy: FaultProxy, tmp_path_factory: pytest.TempPathFactory) -> Wiki:
    return connect(sandbox_wiki, tmp_path_factory.mktemp("bot"), api_url=proxy.api_url)


@pytest.fixture(autouse=True)
def no_faults_left(proxy: FaultProxy) -> None:
    proxy.heal()


@pytest.fixture
def unflagged(sandbox_wiki: SandboxWiki) -> Iterator[None]:
    """Filters and captchas let a flagged bot through."""
    sandbox_wiki.set_groups("ReviewBot", remove=["bot"])
    yield
    sandbox_wiki.set_groups("ReviewBot", add=["bot"])


def page_with(wiki: Wiki, sandbox: SandboxWiki, title: str, text: str = "rows") -> PageText:
    sandbox.edit("Reviewer", title, text)
    return wiki.read([title])[title]


def authors(wiki: Wiki, title: str) -> list[str | None]:
    return [revision.user for revision in wiki.history(title, None)]


def refused(wiki: Wiki, page: PageText, text: str = "new rows") -> RefusalCode:
    with pytest.raises(WriteRefused) as refusal:
        wiki.write(page, text, "bot")
    assert page.title in str(refusal.value)
    return refusal.value.code


def test_a_connection_cut_after_the_wiki_saved_counts_as_saved_once(
    wiki: Wiki, sandbox_wiki: SandboxWiki, proxy: FaultProxy
) -> None:
    page = page_with(wiki, sandbox_wiki, "Wiki failures/Cut after")
    proxy.fail("edit", CUT_AFTER_SAVING)
    saved = wiki.write(page, "new rows", "bot")
    assert saved == wiki.newest_revisions(["Wiki failures/Cut after"])["Wiki failures/Cut after"]
    assert authors(wiki, "Wiki failures/Cut after") == ["Reviewer", "ReviewBot"]
    assert proxy.actions().count("edit") == 1


def test_an_error_that_the_wiki_reports_after_saving_counts_as_saved(
    wiki: Wiki, sandbox_wiki: SandboxWiki, proxy: FaultProxy
) -> None:
    page = page_with(wiki, sandbox_wiki, "Wiki failures/Error after")
    error = json.dumps({"error": {"code": "hookaborted", "info": "too late"}}).encode()
    proxy.fail("edit", Fault(answer=(200, {"Content-Type": "application/json"}, error)))
    saved = wiki.write(page, "new rows", "bot")
    assert saved == wiki.newest_revisions(["Wiki failures/Error after"])["Wiki failures/Error after"]
    assert authors(wiki, "Wiki failures/Error after") == ["Reviewer", "ReviewBot"]


def test_a_page_created_by_an_edit_whose_answer_was_lost_is_found(wiki: Wiki, proxy: FaultProxy) -> None:
    proxy.fail("edit", CUT_AFTER_SAVING)
    saved = wiki.write(wiki.read(["Cut new"])["Cut new"], "rows \n", "bot")
    assert [revision.revision_id for revision in wiki.history("Cut new", None)] == [saved]


def test_a_saved_edit_is_found_below_a_humans_later_one(
    wiki: Wiki, sandbox_wiki: SandboxWiki, proxy: FaultProxy
) -> None:
    page = page_with(wiki, sandbox_wiki, "Wiki failures/Cut and edited")
    proxy.fail("edit", CUT_AFTER_SAVING)
    proxy.fail("query", Fault(), Fault(before=lambda: sandbox_wiki.edit("Reviewer", page.title, "human")))
    saved = wiki.write(page, "new rows", "bot")
    found = list(wiki.history(page.title, None))
    assert [revision.user for revision in found] == ["Reviewer", "ReviewBot", "Reviewer"]
    assert saved == found[1].revision_id


def test_when_even_looking_afterwards_fails_the_next_write_finds_the_edit(
    wiki: Wiki, sandbox_wiki: SandboxWiki, proxy: FaultProxy
) -> None:
    page = page_with(wiki, sandbox_wiki, "Wiki failures/Cut twice")
    proxy.fail("edit", CUT_AFTER_SAVING)
    proxy.fail("query", Fault(), *[answering(503)] * 100)
    with pytest.raises(ServiceDown, match="HTTP 503"):
        wiki.write(page, "new rows", "bot")
    proxy.heal()
    saved = wiki.write(page, "new rows", "bot")
    assert authors(wiki, "Wiki failures/Cut twice") == ["Reviewer", "ReviewBot"]
    assert saved == wiki.newest_revisions(["Wiki failures/Cut twice"])["Wiki failures/Cut twice"]


@pytest.mark.parametrize(
    "fault",
    [
        CUT_BEFORE_SAVING,
        answering(503, Retry_After="0"),
        answering(504),
        answering(429, Retry_After="0"),
        answering(200),
        answering(200, b""),
        answering(200, b"[1, 2]"),
        answering(200, b'{"edit": {"result": "Success"}}'),
        answering(200, json.dumps({"error": {"code": "internal_api_error_X", "info": "x"}}).encode()),
    ],
    ids=["cut", "503", "504", "429", "html", "empty", "list", "odd", "exception"],
)
def test_an_edit_that_never_arrived_is_made_by_a_later_try(
    sandbox_wiki: SandboxWiki, proxy: FaultProxy, wiki: Wiki, fault: Fault, request: pytest.FixtureRequest
) -> None:
    title = f"Never arrived {request.node.callspec.id}"
    page = page_with(wiki, sandbox_wiki, title)
    proxy.fail("edit", fault)
    wiki.write(page, "new rows", "bot")
    assert authors(wiki, title) == ["Reviewer", "ReviewBot"]


def test_a_server_that_stays_silent_while_saving_ends_as_saved_once(
    sandbox_wiki: SandboxWiki, proxy: FaultProxy, tmp_path_factory: pytest.TempPathFactory
) -> None:
    wiki = connect(
        sandbox_wiki,
        tmp_path_factory.mktemp("bot"),
        api_url=proxy.api_url,
        timeout_s=3,
        patience=UNTIL_IT_WORKS,
    )
    page = page_with(wiki, sandbox_wiki, "Wiki failures/Silent")
    released = threading.Event()
    proxy.fail("edit", Fault(hold=released))
    try:
        wiki.write(page, "new rows", "bot")
    finally:
        released.set()
    assert authors(wiki, "Wiki failures/Silent") == ["Reviewer", "ReviewBot"]


def test_reading_survives_a_short_failure_and_reports_a_long_one(wiki: Wiki, proxy: FaultProxy) -> None:
    proxy.fail("query", CUT_BEFORE_SAVING, answering(500))
    assert wiki.read(["Main Page"])["Main Page"].revision_id is not None
    proxy.fail("query", *[answering(502)] * 100)
    with pytest.raises(ServiceDown, match="wiki: HTTP 502"):
        wiki.read(["Main Page"])


def test_a_long_rest_that_the_server_asks_for_is_passed_on_instead_of_slept(
    wiki: Wiki, proxy: FaultProxy
) -> None:
    proxy.fail("query", answering(429, Retry_After="3600"))
    with pytest.raises(ServiceDown) as down:
        wiki.read(["Main Page"])
    assert down.value.after_s == 3600
    assert wiki.read(["Main Page"])["Main Page"].revision_id is not None


def test_a_read_only_wiki_is_down_and_says_why(wiki: Wiki, sandbox_wiki: SandboxWiki) -> None:
    page = page_with(wiki, sandbox_wiki, "Wiki failures/Read-only")
    with sandbox_wiki.switched(readonly="switching data centres"):
        with pytest.raises(ServiceDown, match="switching data centres"):
            wiki.write(page, "new rows", "bot")
        assert wiki.read([page.title])[page.title] == page
    wiki.write(page, "new rows", "bot")
    assert authors(wiki, page.title) == ["Reviewer", "ReviewBot"]


def test_a_lagged_wiki_is_down_until_it_has_caught_up(wiki: Wiki, sandbox_wiki: SandboxWiki) -> None:
    page = page_with(wiki, sandbox_wiki, "Wiki failures/Lagged")
    with sandbox_wiki.switched(maxlag_s=7), pytest.raises(ServiceDown, match="maxlag") as down:
        wiki.write(page, "new rows", "bot")
    assert down.value.after_s is not None
    wiki.write(page, "new rows", "bot")
    assert authors(wiki, page.title) == ["Reviewer", "ReviewBot"]


def test_a_rate_limit_is_transient(wiki: Wiki, sandbox_wiki: SandboxWiki) -> None:
    page = page_with(wiki, sandbox_wiki, "Wiki failures/Limited")
    other = page_with(wiki, sandbox_wiki, "Wiki failures/Limited, other page")
    limits = {"edit": {"user": (1, 600), "&can-bypass": False}}
    with sandbox_wiki.switched(rate_limits=limits):
        wiki.write(page, "new rows", "bot")
        with pytest.raises(ServiceDown, match="ratelimited"):
            wiki.write(other, "new rows", "bot")
    wiki.write(other, "new rows", "bot")
    assert authors(wiki, other.title) == ["Reviewer", "ReviewBot"]


@pytest.mark.usefixtures("unflagged")
def test_a_captcha_is_refused_without_asking_anybody(wiki: Wiki, sandbox_wiki: SandboxWiki) -> None:
    page = page_with(wiki, sandbox_wiki, "Wiki failures/Captcha")
    with sandbox_wiki.switched(captcha=True):
        assert refused(wiki, page) == "captcha"
    assert authors(wiki, "Wiki failures/Captcha") == ["Reviewer"]


@pytest.mark.parametrize("text", [DISALLOWED_TEXT, WARNED_TEXT])
def test_an_abuse_filter_is_not_argued_with(
    wiki: Wiki, sandbox_wiki: SandboxWiki, proxy: FaultProxy, text: str
) -> None:
    page = page_with(wiki, sandbox_wiki, f"Filtered {text}")
    proxy.heal()
    assert refused(wiki, page, text) == "abusefilter"
    assert proxy.actions().count("edit") == 1
    assert authors(wiki, page.title) == ["Reviewer"]


def test_a_blocked_account_is_told_from_a_broken_wiki(wiki: Wiki, sandbox_wiki: SandboxWiki) -> None:
    page = page_with(wiki, sandbox_wiki, "Wiki failures/Blocked")
    sandbox_wiki.block("ReviewBot")
    try:
        assert refused(wiki, page) == "blocked"
    finally:
        sandbox_wiki.unblock("ReviewBot")
    wiki.write(page, "new rows", "bot")
    assert authors(wiki, "Wiki failures/Blocked") == ["Reviewer", "ReviewBot"]


def test_protected_pages_and_titles_are_refused(wiki: Wiki, sandbox_wiki: SandboxWiki) -> None:
    admin = sandbox_wiki.client("Admin")
    sandbox_wiki.edit("Reviewer", "Protected", "rows")
    admin.act(action="protect", title="Protected", protections="edit=sysop", reason="sandbox")
    admin.act(action="protect", title="Never to be", protections="create=sysop", reason="sandbox")
    for page in wiki.read(["Protected", "Never to be"]).values():
        assert refused(wiki, page) == "protected"


def test_pages_of_the_interface_are_refused(wiki: Wiki) -> None:
    assert refused(wiki, wiki.read(["MediaWiki:Common.css"])["MediaWiki:Common.css"]) in {
        "protected",
        "no_right",
    }
    other = "User:Reviewer/common.js"
    assert refused(wiki, wiki.read([other])[other]) == "no_right"


def test_blacklists_are_refused(wiki: Wiki, sandbox_wiki: SandboxWiki) -> None:
    page = page_with(wiki, sandbox_wiki, "Wiki failures/Spam")
    assert refused(wiki, page, f"https://{SPAM_DOMAIN}/x") == "blacklisted"
    title = f"{BLACKLISTED_TITLE} x"
    assert refused(wiki, wiki.read([title])[title]) == "blacklisted"


def _forget_session(sandbox: SandboxWiki, proxy: FaultProxy) -> None:
    """Let the wiki lose the bot's session, and nobody else's."""
    cookies = SimpleCookie(next(asked.headers["Cookie"] for asked in reversed(proxy.asked)))
    session = next(cookie.value for name, cookie in cookies.items() if name.endswith("_BPsession"))
    with closing(sqlite3.connect(sandbox.site.folder / "data" / "wikicache.sqlite", timeout=60)) as database:
        gone = database.execute("delete from objectcache where keyname like ?", (f"%{session}%",))
        database.commit()
        assert gone.rowcount > 0


def test_a_session_lost_before_writing_is_renewed_once_and_the_edit_is_the_bots(
    wiki: Wiki, sandbox_wiki: SandboxWiki, proxy: FaultProxy
) -> None:
    page = page_with(wiki, sandbox_wiki, "Wiki failures/Logged out")
    proxy.fail("edit", Fault(before=lambda: _forget_session(sandbox_wiki, proxy)))
    wiki.write(page, "new rows", "bot")
    assert authors(wiki, "Wiki failures/Logged out") == ["Reviewer", "ReviewBot"]
    assert proxy.actions().count("login") == 1


def test_a_session_lost_before_reading_is_renewed_too(
    wiki: Wiki, sandbox_wiki: SandboxWiki, proxy: FaultProxy
) -> None:
    wiki.read(["Main Page"])
    _forget_session(sandbox_wiki, proxy)
    assert wiki.read(["Main Page"])["Main Page"].revision_id is not None
    assert proxy.actions().count("login") == 1


def test_many_threads_that_find_the_session_gone_sign_in_once(
    wiki: Wiki, sandbox_wiki: SandboxWiki, proxy: FaultProxy
) -> None:
    wiki.read(["Main Page"])
    _forget_session(sandbox_wiki, proxy)
    found: list[int | None] = []
    threads = [
        threading.Thread(target=lambda: found.extend(wiki.newest_revisions(["Main Page"]).values()))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(found) == 6 and None not in found
    assert proxy.actions().count("login") == 1


def test_a_session_that_cannot_be_renewed_is_refused_and_nothing_is_saved_anonymously(
    sandbox_wiki: SandboxWiki, proxy: FaultProxy, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("bot")
    wiki = connect(sandbox_wiki, folder, api_url=proxy.api_url)
    page = page_with(wiki, sandbox_wiki, "Wiki failures/Logged out for good")
    password_file(folder, f"('ReviewBot', BotPassword('sandbox', '{'x' * 32}'))\n")
    proxy.fail("edit", Fault(before=lambda: _forget_session(sandbox_wiki, proxy)))
    with pytest.raises(WriteRefused, match="does not let ReviewBot@sandbox in") as refusal:
        wiki.write(page, "new rows", "bot")
    assert refusal.value.code == "not_logged_in"
    with pytest.raises(ConfigError, match="does not let ReviewBot@sandbox in"):
        wiki.read(["Main Page"])
    history = sandbox_wiki.client(None).query(prop="revisions", titles=page.title, rvprop="user", rvlimit=10)[
        "pages"
    ][0]["revisions"]
    assert [revision["user"] for revision in history] == ["Reviewer"]

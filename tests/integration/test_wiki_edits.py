"""Reading and writing on a real wiki: what the history says afterwards is what counts."""

import dataclasses
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot.wiki import Wiki
from bot.wiki_values import EditConflict, PageText, WriteRefused
from tests.fault_proxy import Fault, FaultProxy, fault_proxy
from tests.review_bot import connect
from tests.sandbox_wiki import SandboxWiki

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


def read(wiki: Wiki, title: str) -> PageText:
    return wiki.read([title])[title]


def history(wiki: Wiki, title: str) -> list[tuple[str | None, str | None]]:
    return [(revision.user, revision.text) for revision in wiki.history(title, None)]


def test_pages_come_back_under_the_titles_that_were_asked_for(wiki: Wiki, sandbox_wiki: SandboxWiki) -> None:
    sandbox_wiki.edit("Newcomer", "Read me", "Straße\n")
    titles = ["Read me", "read_me", "Missing", "[[bad]]", "a|b", " "]
    pages = wiki.read(titles)
    assert list(pages) == titles
    assert pages["read_me"] == pages["Read me"]
    assert pages["Read me"].text == "Straße"
    made = pages["Read me"].edited_at
    assert made is not None and datetime.now(UTC) - made < timedelta(minutes=10)
    for absent in titles[2:]:
        assert (pages[absent].text, pages[absent].revision_id) == ("", None)
    assert wiki.newest_revisions(titles) == {title: pages[title].revision_id for title in titles}


def test_a_pass_over_unchanged_pages_is_one_request(wiki: Wiki, proxy: FaultProxy) -> None:
    titles = [f"User:ReviewBot/Review/2026-01-{day:02}" for day in range(1, 31)]
    wiki.newest_revisions(titles)
    proxy.heal()
    assert set(wiki.newest_revisions(titles).values()) == {None}
    assert proxy.actions() == ["query"]
    assert len(wiki.read(titles)) == 30
    assert proxy.actions() == ["query"] * 2


def test_many_large_pages_are_read_although_one_answer_cannot_hold_them(
    wiki: Wiki, sandbox_wiki: SandboxWiki
) -> None:
    titles = [f"Large {number}" for number in range(6)]
    for title in titles:
        sandbox_wiki.edit("Newcomer", title, f"{title} " + "x" * 2_000_000)
    pages = wiki.read(titles)
    assert [pages[title].text[:7] for title in titles] == titles
    assert len({pages[title].revision_id for title in titles}) == 6


def test_a_page_is_created_then_edited_as_a_bot(wiki: Wiki, sandbox_wiki: SandboxWiki) -> None:
    title = "User:ReviewBot/Created"
    first = wiki.write(read(wiki, title), "one\n", "first")
    page = read(wiki, title)
    assert (page.text, page.revision_id) == ("one", first)
    second = wiki.write(page, "two | with a pipe and Straße", "second | summary", minor=True)
    assert read(wiki, title).revision_id == second
    assert history(wiki, title) == [("ReviewBot", "one"), ("ReviewBot", "two | with a pipe and Straße")]
    changes = sandbox_wiki.client("Admin").query(
        list="recentchanges", rcprop="flags|comment|ids", rctitle=title, rclimit=5
    )["recentchanges"]
    newest = next(change for change in changes if change["revid"] == second)
    assert (newest["bot"], newest["minor"], newest["comment"]) == (True, True, "second | summary")


def test_the_same_text_is_not_saved_again(wiki: Wiki, proxy: FaultProxy) -> None:
    page = read(wiki, "Main Page")
    assert wiki.write(page, page.text + "\r\n \n", "nothing") == page.revision_id
    assert "edit" not in proxy.actions()


def test_a_dry_run_only_logs_what_it_would_change(
    sandbox_wiki: SandboxWiki, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    sandbox_wiki.edit("Newcomer", "Dry", "kept\nold")
    with fault_proxy(sandbox_wiki.base_url) as proxy:
        wiki = connect(sandbox_wiki, tmp_path, api_url=proxy.api_url, dry_run=True)
        assert wiki.write(read(wiki, "Dry"), "kept\nnew\nmore", "dry") is None
        assert "edit" not in proxy.actions()
    logged = next(record for record in caplog.records if record.message == "wiki_dry_run")
    assert (vars(logged)["lines_added"], vars(logged)["lines_removed"]) == (2, 1)
    assert "+new" in vars(logged)["diff"]
    assert read(wiki, "Dry").text == "kept\nold"


def test_a_human_edit_since_the_reading_is_a_conflict_and_stays(
    wiki: Wiki, sandbox_wiki: SandboxWiki
) -> None:
    title = "User:ReviewBot/Human"
    sandbox_wiki.edit("Reviewer", title, "a")
    page = read(wiki, title)
    sandbox_wiki.edit("Reviewer", title, "a human")
    with pytest.raises(EditConflict):
        wiki.write(page, "a bot", "late")
    assert history(wiki, title) == [("Reviewer", "a"), ("Reviewer", "a human")]


def test_a_human_who_saves_between_our_last_look_and_our_edit_is_not_overwritten(
    wiki: Wiki, sandbox_wiki: SandboxWiki, proxy: FaultProxy
) -> None:
    title = "User:ReviewBot/Race"
    sandbox_wiki.edit("Reviewer", title, "a")
    page = read(wiki, title)
    proxy.fail("edit", Fault(before=lambda: sandbox_wiki.edit("Reviewer", title, "a human")))
    with pytest.raises(EditConflict):
        wiki.write(page, "a bot", "too late")
    assert history(wiki, title)[-1] == ("Reviewer", "a human")


def test_another_process_of_our_account_that_is_quicker_is_not_overwritten_either(
    wiki: Wiki, sandbox_wiki: SandboxWiki, proxy: FaultProxy
) -> None:
    title = "User:ReviewBot/Own race"
    page = read(wiki, title)
    wiki.write(page, "a", "base")
    page = read(wiki, title)
    proxy.fail("edit", Fault(before=lambda: sandbox_wiki.edit("ReviewBot@sandbox", title, "a first")))
    with pytest.raises(EditConflict):
        wiki.write(page, "a second", "too late")
    assert [text for _, text in history(wiki, title)] == ["a", "a first"]


def test_edits_of_other_lines_at_the_same_moment_lose_nothing(
    wiki: Wiki, sandbox_wiki: SandboxWiki, proxy: FaultProxy
) -> None:
    title = "User:ReviewBot/Merge"
    lines = [f"row {number}" for number in range(9)]
    sandbox_wiki.edit("Reviewer", title, "\n".join(lines))
    page = read(wiki, title)
    humans, ours = "\n".join([*lines[:-1], "human"]), "\n".join(["bot", *lines[1:]])
    proxy.fail("edit", Fault(before=lambda: sandbox_wiki.edit("Reviewer", title, humans)))
    try:
        wiki.write(page, ours, "merged where the wiki has diff3")
    except EditConflict:
        assert read(wiki, title).text == humans
    else:
        assert read(wiki, title).text == "\n".join(["bot", *lines[1:-1], "human"])


def test_our_own_edit_since_the_reading_is_a_conflict_too(wiki: Wiki) -> None:
    title = "User:ReviewBot/Own"
    wiki.write(read(wiki, title), "base", "base")
    page = read(wiki, title)
    wiki.write(page, "first", "one thread")
    with pytest.raises(EditConflict):
        wiki.write(page, "second", "another thread")
    assert history(wiki, title) == [("ReviewBot", "base"), ("ReviewBot", "first")]


def test_writing_what_already_arrived_finds_it_instead_of_saving_it_twice(wiki: Wiki) -> None:
    title = "User:ReviewBot/Twice"
    page = read(wiki, title)
    saved = wiki.write(page, "rows", "first")
    assert wiki.write(page, "rows", "again, because the first answer was lost") == saved
    assert history(wiki, title) == [("ReviewBot", "rows")]


def test_a_page_deleted_since_the_reading_is_not_recreated(
    wiki: Wiki, sandbox_wiki: SandboxWiki, proxy: FaultProxy
) -> None:
    title = "User:ReviewBot/Deleted"
    sandbox_wiki.edit("Reviewer", title, "a")
    page = read(wiki, title)
    sandbox_wiki.delete(title)
    with pytest.raises(EditConflict):
        wiki.write(page, "a bot", "late")
    sandbox_wiki.restore(title)
    page = read(wiki, title)
    proxy.fail("edit", Fault(before=lambda: sandbox_wiki.delete(title)))
    with pytest.raises(EditConflict):
        wiki.write(page, "a bot", "too late")
    assert read(wiki, title).revision_id is None


def test_a_page_created_since_the_reading_is_not_overwritten(
    wiki: Wiki, sandbox_wiki: SandboxWiki, proxy: FaultProxy
) -> None:
    title = "User:ReviewBot/Quicker"
    page = read(wiki, title)
    proxy.fail("edit", Fault(before=lambda: sandbox_wiki.edit("Reviewer", title, "human")))
    for _ in range(2):
        with pytest.raises(EditConflict):
            wiki.write(page, "bot", "create")
    assert history(wiki, title) == [("Reviewer", "human")]


def test_history_goes_on_after_the_last_revision_seen_in_as_many_requests_as_it_takes(
    wiki: Wiki, sandbox_wiki: SandboxWiki
) -> None:
    title = "User:ReviewBot/Long"
    for number in range(55):
        sandbox_wiki.edit("Newcomer", title, f"text {number}")
    revisions = list(wiki.history(title, None))
    assert [revision.text for revision in revisions] == [f"text {number}" for number in range(55)]
    assert [r.parent_id for r in revisions] == [0, *(r.revision_id for r in revisions[:-1])]
    assert list(wiki.history(title, revisions[52].revision_id)) == revisions[53:]
    assert list(wiki.history(title, revisions[-1].revision_id)) == []
    assert list(wiki.history(title, 10**9)) == revisions
    assert list(wiki.history("Missing page", None)) == []


def test_one_revision_is_found_on_its_own_page_only(wiki: Wiki, sandbox_wiki: SandboxWiki) -> None:
    title = "User:ReviewBot/One of many"
    for text in ("first", "second", "third"):
        sandbox_wiki.edit("Newcomer", title, text)
    for revision in list(wiki.history(title, None)):
        assert wiki.revision("user:ReviewBot/One_of_many", revision.revision_id) == revision
        assert wiki.revision("Main Page", revision.revision_id) is None
    assert wiki.revision(title, 10**9) is None
    sandbox_wiki.delete(title)
    assert wiki.revision(title, revision.revision_id) is None


def test_hidden_texts_and_authors_are_told_from_empty_ones(wiki: Wiki, sandbox_wiki: SandboxWiki) -> None:
    title = "User:ReviewBot/Hidden"
    first = sandbox_wiki.edit("Newcomer", title, "secret")["newrevid"]
    second = sandbox_wiki.edit("Newcomer", title, "by somebody")["newrevid"]
    sandbox_wiki.edit(None, title, "")
    sandbox_wiki.edit("Newcomer", title, "new")
    sandbox_wiki.hide("revision", title, str(first), "content")
    sandbox_wiki.hide("revision", title, str(second), "user")
    found = list(wiki.history(title, None))
    assert [(r.text, r.user, r.anonymous) for r in found] == [
        (None, "Newcomer", False),
        ("by somebody", None, False),
        ("", "127.0.0.1", True),
        ("new", "Newcomer", False),
    ]
    assert [found[1].user_id, found[2].user_id] == [None, 0]


def test_accounts_come_back_with_groups_and_blocks(wiki: Wiki, sandbox_wiki: SandboxWiki) -> None:
    names = ["Reviewer", "patroller", "Uploader", "1.2.3.4", "No such account", "Bad#name"]
    sandbox_wiki.block("Uploader")
    try:
        users = wiki.users(names)
    finally:
        sandbox_wiki.unblock("Uploader")
    assert list(users) == names
    assert {"image-reviewer", "user", "*"} <= users["Reviewer"].groups
    assert "patroller" in users["patroller"].groups
    assert [user.blocked for user in users.values()] == [False, False, True, False, False, False]
    registered = users["Reviewer"].registered_at
    assert registered is not None and registered.tzinfo is not None
    for nobody in names[3:]:
        assert (users[nobody].user_id, users[nobody].groups) == (None, frozenset())


def test_an_edit_of_a_text_that_keeps_bots_away_is_refused(wiki: Wiki, sandbox_wiki: SandboxWiki) -> None:
    title = "User:ReviewBot/Nobots"
    sandbox_wiki.edit("Reviewer", title, "{{bots|deny=ReviewBot}}\nrows")
    with pytest.raises(WriteRefused, match="keeps bots away") as refusal:
        wiki.write(read(wiki, title), "new", "bot")
    assert refusal.value.code == "nobots"
    assert history(wiki, title) == [("Reviewer", "{{bots|deny=ReviewBot}}\nrows")]


def test_a_text_over_the_wikis_limit_is_refused(wiki: Wiki, proxy: FaultProxy) -> None:
    page = dataclasses.replace(read(wiki, "User:ReviewBot/Big"))
    with pytest.raises(WriteRefused) as refusal:
        wiki.write(page, "ß" * (wiki.max_page_bytes() // 2 + 1), "too big")
    assert refusal.value.code == "too_big"
    assert "edit" not in proxy.actions()

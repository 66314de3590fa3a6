"""Setting up the review's pages: shown first, written once, and never over what belongs to the community."""

import json
from typing import Any

import pytest

from bot.review.control import WikiConfig, may_edit, parse_config
from bot.review.messages import load_messages
from bot.review.setup import PageChange, apply_setup, plan_setup
from bot.review.templates import subpage
from bot.wiki_values import WriteRefused
from tests.fake_wiki import BOT, FakeWiki
from tests.review_office import review_settings

ENGLISH = load_messages("en")
RUN, CONFIG = subpage(BOT, "Run"), subpage(BOT, "Config.json")


def plan(wiki: FakeWiki, **changes: Any) -> list[PageChange]:
    return plan_setup(wiki, ENGLISH, review_settings(**changes), "cautious")


def apply(wiki: FakeWiki, changes: list[PageChange]) -> list[tuple[str, int | None]]:
    return list(apply_setup(wiki, changes, ENGLISH))


def test_everything_is_created_once_and_then_nothing_is_left_to_do() -> None:
    wiki = FakeWiki()
    changes = plan(wiki)
    done = apply(wiki, changes)
    assert [title for title, _ in done] == [change.page.title for change in changes]
    names = {title.removeprefix(subpage(BOT) + "/") for title, _ in done}
    assert names == {"item", "header", "footer", "Guide", "Run", "Config.json", "gadget.js", "gadget.css"}
    assert plan(wiki) == []
    assert may_edit(wiki.text(RUN))


def test_planning_costs_one_request_and_writes_nothing() -> None:
    wiki = FakeWiki()
    plan(wiki)
    assert dict(wiki.requests) == {"read": 1}
    assert wiki.titles() == []


def test_the_first_configuration_says_what_holds_already() -> None:
    wiki = FakeWiki()
    apply(wiki, plan(wiki, edit_interval_s=90.0))
    found = parse_config(wiki.text(CONFIG), WikiConfig(), WikiConfig())
    assert (found.problems, found.config) == ((), WikiConfig(level="cautious", edit_interval_s=90.0))


@pytest.mark.parametrize("interval_s", [0.0, 5.0, 7200.0])
def test_an_interval_that_nobody_may_set_on_wiki_does_not_break_the_page(interval_s: float) -> None:
    wiki = FakeWiki()
    apply(wiki, plan(wiki, edit_interval_s=interval_s))
    local = WikiConfig(level="balanced", edit_interval_s=interval_s)
    found = parse_config(wiki.text(CONFIG), local, local)
    assert not found.broken
    assert (found.config.level, found.config.edit_interval_s) == ("cautious", interval_s)
    assert "edit_interval_s" not in json.loads(wiki.text(CONFIG))


def test_what_the_community_wrote_on_its_own_pages_is_left_alone() -> None:
    wiki = FakeWiki()
    wiki.edit("Ann", RUN, "no")
    wiki.edit("Ann", CONFIG, "{}")
    wiki.edit("Ann", subpage(BOT, "item"), "old")
    changes = {change.page.title: change for change in plan(wiki)}
    assert RUN not in changes
    assert CONFIG not in changes
    shown = "\n".join(changes[subpage(BOT, "item")].diff())
    assert "-old" in shown
    apply(wiki, list(changes.values()))
    assert (wiki.text(RUN), wiki.text(CONFIG)) == ("no", "{}")


def test_a_refused_page_ends_it_and_the_next_call_goes_on_there() -> None:
    wiki = FakeWiki()
    script = subpage(BOT, "gadget.js")
    wiki.refusals[script] = "no_right"
    with pytest.raises(WriteRefused):
        apply(wiki, plan(wiki))
    wiki.refusals.clear()
    left = plan(wiki)
    assert left[0].page.title == script
    apply(wiki, left)
    assert plan(wiki) == []


def test_dry_run_writes_nothing() -> None:
    wiki = FakeWiki()
    wiki.dry_run = True
    assert {revision for _, revision in apply(wiki, plan(wiki))} == {None}
    assert wiki.titles() == []

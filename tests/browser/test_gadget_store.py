"""The whole loop with a browser in it: the bot's page, a person's clicks and keys, and the bot's store."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

pytest.importorskip("playwright", reason="no browser tests: playwright is not installed")

from bot.api import Api
from bot.monitoring import Metrics
from bot.review.context import Asks
from bot.review.control import ConfigReading, WikiConfig
from bot.review.messages import load_messages
from bot.review.report import Publisher
from bot.review.verdicts import VerdictReader
from bot.settings import load_settings
from storage import review_pages, reviews
from storage.engine import Database
from storage.review_values import ReviewState, VerdictCode
from tests.browser.report_page import Opener
from tests.review_bot import connect, review_settings
from tests.review_items import item_id, put_up
from tests.sandbox_wiki.accounts import REVIEWER

pytestmark = pytest.mark.slow
WIKI = "commonswiki"


def api_of(report: Opener) -> Asks:
    user_agent = "CommonsNsfwBotTests/1.0 (sandbox wiki)"
    return Api(load_settings().api, report.wiki.api_url, user_agent, min_interval_s=0)


def test_five_verdicts_given_in_the_browser_arrive_in_the_store_with_their_author(
    report: Opener, tmp_path: Path
) -> None:
    log_ids = [9001, 9002, 9003, 9004, 9005]
    now = datetime.now(UTC)
    database = Database.open("sqlite:///bot.sqlite3", tmp_path)
    database.migrate()
    put_up(database, dict.fromkeys(log_ids, 0.9), now=now - timedelta(minutes=1))
    wiki = connect(report.wiki, tmp_path)
    settings = review_settings()
    messages = load_messages("en")
    publisher = Publisher(wiki, api_of(report), database, WIKI, settings, messages, Metrics())
    reader = VerdictReader(wiki, database, WIKI, settings.trusted_groups, Metrics())
    publisher.publish(ConfigReading(WikiConfig(edit_interval_s=0)), lambda: True)
    with database.read() as tx:
        pages = [page.title for page in review_pages.pages(tx, WIKI) if page.rows]
    assert len(pages) == 1

    report.title = pages[0]
    page = report.open()
    page.verdict(item_id(9001), "nsfw-delete").click()
    page.expect_state(item_id(9001), "Saved")
    page.verdict(item_id(9002), "nsfw-keep").click()
    page.expect_state(item_id(9002), "Saved")
    page.comment(item_id(9003)).fill("a | b }} ~~~~")
    page.verdict(item_id(9003), "sfw").click()
    page.expect_state(item_id(9003), "Saved")
    for log_id, key in ((9004, "4"), (9005, "3")):
        page.row(item_id(log_id)).locator(".commons-review-controls").focus()
        page.press(key)
        page.expect_state(item_id(log_id), "Saved")

    recorded = reader.read()
    assert recorded is not None
    assert recorded.added == 5
    with database.read() as tx:
        standing = {log_id: reviews.standing(tx, item_id(log_id)) for log_id in log_ids}
    given = {log_id: standing[log_id].votes[0] for log_id in log_ids}
    assert {log_id: vote.code for log_id, vote in given.items()} == {
        9001: VerdictCode.NSFW_DELETE,
        9002: VerdictCode.NSFW_KEEP,
        9003: VerdictCode.SFW,
        9004: VerdictCode.UNSURE,
        9005: VerdictCode.SFW,
    }
    assert {vote.author for vote in given.values()} == {REVIEWER.name}
    assert all(vote.trusted and vote.blind for vote in given.values())
    assert given[9003].comment == "a | b }} ~~~~"
    assert [standing[log_id].state for log_id in log_ids] == [
        ReviewState.CLOSED,
        ReviewState.CLOSED,
        ReviewState.CLOSED,
        ReviewState.OPEN,
        ReviewState.CLOSED,
    ]
    database.close()

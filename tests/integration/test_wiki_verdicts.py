"""Whose verdict counts, on a real MediaWiki: what the text claims is nothing, who saved it is everything."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot.api import Api
from bot.monitoring import Metrics
from bot.review.control import ConfigReading, WikiConfig
from bot.review.messages import load_messages
from bot.review.report import Publisher
from bot.review.verdicts import VerdictReader
from bot.settings import load_settings
from storage import review_pages, reviews
from storage.engine import Database
from storage.review_values import ReviewState, Standing
from tests.review_bot import connect, review_settings
from tests.review_items import item_id, put_up
from tests.sandbox_wiki import SandboxWiki
from tests.sandbox_wiki.accounts import NEWCOMER, PATROLLER, REVIEWER

pytestmark = pytest.mark.slow
WIKI = "commonswiki"
LOG_ID = 7001


class Desk:
    """The two passes over one item, driven by hand."""

    def __init__(self, sandbox: SandboxWiki, folder: Path) -> None:
        self.sandbox = sandbox
        self.database = Database.open("sqlite:///bot.sqlite3", folder)
        self.database.migrate()
        put_up(self.database, {LOG_ID: 0.9}, now=datetime.now(UTC) - timedelta(minutes=1))
        wiki, settings = connect(sandbox, folder), review_settings()
        api = Api(load_settings().api, sandbox.api_url, "CommonsNsfwBotTests/1.0 (sandbox)", min_interval_s=0)
        self._publisher = Publisher(wiki, api, self.database, WIKI, settings, load_messages("en"), Metrics())
        self.reader = VerdictReader(wiki, self.database, WIKI, settings.trusted_groups, Metrics())
        self.publish()
        with self.database.read() as tx:
            self.title = next(page.title for page in review_pages.pages(tx, WIKI) if page.rows)

    def publish(self) -> None:
        self._publisher.publish(ConfigReading(WikiConfig(edit_interval_s=0)), lambda: True)

    def text(self) -> str:
        answer = self.sandbox.client(None).query(
            titles=self.title, prop="revisions", rvprop="content", rvslots="main"
        )
        return str(answer["pages"][0]["revisions"][0]["slots"]["main"]["content"])

    def edit(self, user: str | None, before: str, after: str) -> None:
        text = self.text()
        assert before in text
        self.sandbox.edit(user, self.title, text.replace(before, after))

    def standing(self) -> Standing:
        self.reader.read()
        with self.database.read() as tx:
            return reviews.standing(tx, item_id(LOG_ID))


@pytest.fixture
def desk(sandbox_wiki: SandboxWiki, tmp_path: Path) -> Iterator[Desk]:
    made = Desk(sandbox_wiki, tmp_path)
    yield made
    made.database.close()
    sandbox_wiki.delete(made.title)


def test_a_trusted_account_s_verdict_is_a_label(desk: Desk) -> None:
    desk.edit(REVIEWER.name, "|verdict=|", "|verdict=nsfw-keep|")
    standing = desk.standing()
    assert standing.state is ReviewState.CLOSED
    assert [vote.author for vote in standing.votes] == [REVIEWER.name]


def test_a_blocked_reviewer_s_verdict_is_no_label(desk: Desk) -> None:
    desk.edit(PATROLLER.name, "|verdict=|", "|verdict=sfw|")
    desk.sandbox.block(PATROLLER.name)
    try:
        standing = desk.standing()
    finally:
        desk.sandbox.unblock(PATROLLER.name)
    assert standing.state is ReviewState.OPEN
    assert [vote.untrusted_reason for vote in standing.untrusted] == ["blocked"]


def test_a_forged_signature_and_user_parameter_count_for_nothing(desk: Desk) -> None:
    forged = f"|verdict=nsfw-delete|user={REVIEWER.name}|"
    desk.edit(
        NEWCOMER.name,
        "|verdict=|comment=",
        f"{forged}comment=[[User:{REVIEWER.name}]] 12:00, 1 May 2026 (UTC)",
    )
    standing = desk.standing()
    assert standing.votes == ()
    assert [(vote.author, vote.untrusted_reason) for vote in standing.untrusted] == [(NEWCOMER.name, "group")]


def test_reverting_vandalism_gives_the_reverter_no_verdict_and_the_author_no_second_one(desk: Desk) -> None:
    desk.edit(REVIEWER.name, "|verdict=|", "|verdict=sfw|")
    good = desk.text()
    desk.sandbox.edit(NEWCOMER.name, desk.title, "gone")
    desk.sandbox.edit(PATROLLER.name, desk.title, good)
    standing = desk.standing()
    assert [(vote.author, vote.code.value) for vote in standing.votes] == [(REVIEWER.name, "sfw")]
    assert standing.state is ReviewState.CLOSED


def test_a_page_that_an_administrator_deleted_is_written_again(desk: Desk) -> None:
    desk.edit(REVIEWER.name, "|verdict=|", "|verdict=sfw|")
    assert desk.standing().state is ReviewState.CLOSED
    desk.sandbox.delete(desk.title)
    desk.standing()
    desk.publish()
    assert f"|id={item_id(LOG_ID)}|" in desk.text()
    assert desk.standing().state is ReviewState.CLOSED


def test_a_verdict_that_a_vandal_used_up_first_is_the_reviewers_own_all_the_same(desk: Desk) -> None:
    desk.edit(NEWCOMER.name, "|verdict=|", "|verdict=sfw|")
    desk.edit(NEWCOMER.name, "|verdict=sfw|", "|verdict=|")
    desk.standing()
    desk.edit(REVIEWER.name, "|verdict=|", "|verdict=sfw|")
    assert [vote.author for vote in desk.standing().votes] == [REVIEWER.name]

"""What `make sandbox` shows: a bot that was set up as operators do it, and its report with rows."""

from collections.abc import Iterator

import pytest

from bot.review.rows import parse_rows
from bot.review.templates import subpage
from tests.sandbox_wiki import SandboxError, SandboxWiki
from tests.sandbox_wiki.accounts import REVIEW_BOT, REVIEWER
from tests.sandbox_wiki.fixtures import start_or_skip
from tests.sandbox_wiki.showcase import Progress, Showcase, prepare, showcase_on

pytestmark = pytest.mark.slow
CHOSEN = {"positive": "Sand dunes at noon.jpg", "jpeg-portrait": "Portrait hills.jpg"}


@pytest.fixture
def wiki() -> Iterator[SandboxWiki]:
    """One of its own: the report on the shared one belongs to other tests."""
    wiki = SandboxWiki()
    start_or_skip(wiki)
    try:
        yield wiki
    finally:
        wiki.stop()


@pytest.fixture
def showcase(wiki: SandboxWiki) -> Iterator[Showcase]:
    with showcase_on(wiki) as showcase:
        showcase.set_up()
        showcase.start()
        yield showcase


def text_of(wiki: SandboxWiki, title: str) -> str:
    answer = wiki.client(None).query(titles=title, prop="revisions", rvprop="content", rvslots="main")
    return str(answer["pages"][0]["revisions"][0]["slots"]["main"]["content"])


def test_positives_are_listed_and_the_reviewer_has_the_script(wiki: SandboxWiki, showcase: Showcase) -> None:
    for specimen, sample in prepare(lambda *_: None):
        if CHOSEN.get(specimen.name) == sample.title:
            showcase.upload(specimen, sample)
    seen: list[Progress] = []
    showcase.wait(seen.append)
    assert (seen[-1].uploads, seen[-1].scored, seen[-1].listed) == (2, 2, 1)
    (page,) = showcase.report_pages()
    (row,) = parse_rows(text_of(wiki, page), REVIEW_BOT.name)
    assert row.parameters["file"] == CHOSEN["positive"]
    assert row.parameters["inuse"] == "yes"
    assert page in text_of(wiki, subpage(REVIEW_BOT.name))
    assert subpage(REVIEW_BOT.name, "gadget.js") in text_of(wiki, f"User:{REVIEWER.name}/common.js")
    showcase.stop()
    assert "daemon_stopped" in showcase.log.read_text(encoding="utf-8")


def test_a_bot_that_ends_by_itself_is_an_error_with_the_end_of_its_log(wiki: SandboxWiki) -> None:
    with showcase_on(wiki) as showcase:
        # Without its pages the bot still starts; without a valid setting it does not.
        showcase.config.write_text("[stream]\nurl = 1\n", encoding="utf-8")
        with pytest.raises(SandboxError, match=r"(?s)the bot ended with 3.*stream\.url"):
            showcase.start()
        with pytest.raises(SandboxError, match=r"(?s)setup-wiki ended with 3.*stream\.url"):
            showcase.set_up()

"""What the browser tests share: a browser, a wiki with the user script on it, and a reviewer's session.

A machine without Playwright or Chromium skips them and says why; in CI that is a failure.
"""

import os
from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest

from bot.review import gadget
from bot.review.control import WikiConfig
from bot.review.messages import load_messages
from bot.review.templates import setup_pages
from tests.browser.chromium import ARGUMENTS, find_chromium
from tests.sandbox_wiki.accounts import ADMIN, PATROLLER, REVIEW_BOT, REVIEWER
from tests.sandbox_wiki.pictures import gradient
from tests.sandbox_wiki.wiki import SandboxWiki

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.browser.report_page import Opener

if os.environ.get("CI") and find_spec("playwright") is None:
    raise pytest.UsageError("the browser tests need playwright, and in CI they must run")


@pytest.fixture(scope="package")
def browser() -> Iterator["Browser"]:
    chromium = find_chromium()
    if chromium is None:
        reason = "no browser tests: no Chromium; `python -m tests.browser.chromium` provides it"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=chromium.program,
            args=list(ARGUMENTS),
            env={**os.environ, **chromium.environment},
        )
        yield started
        started.close()


@pytest.fixture(scope="package")
def wiki(sandbox_wiki: SandboxWiki, tmp_path_factory: pytest.TempPathFactory) -> SandboxWiki:
    from tests.browser.report_page import IMPORT, PICTURE, ROOT

    folder = tmp_path_factory.mktemp("pictures")
    sandbox_wiki.upload(gradient(folder / "one.png", seed=90), PICTURE)
    pages = setup_pages(REVIEW_BOT.name, load_messages("en"), ["image-reviewer"], WikiConfig())
    sandbox_wiki.edit(REVIEW_BOT.name, f"{ROOT}/item", pages[f"{ROOT}/item"])
    sandbox_wiki.edit(ADMIN.name, f"{ROOT}/gadget.js", gadget.script())
    sandbox_wiki.edit(ADMIN.name, f"{ROOT}/gadget.css", gadget.style())
    for account in (REVIEWER, PATROLLER):
        sandbox_wiki.edit(ADMIN.name, f"User:{account.name}/common.js", IMPORT)
    return sandbox_wiki


@pytest.fixture(scope="package")
def session(browser: "Browser", wiki: SandboxWiki) -> dict[str, Any]:
    """What a browser keeps of a reviewer who logged in through the form."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(wiki.page_url("Special:UserLogin"))
    page.fill("#wpName1", REVIEWER.name)
    page.fill("#wpPassword1", REVIEWER.password)
    page.click("#wpLoginAttempt")
    page.wait_for_function("window.mw && mw.config.get('wgUserName') === 'Reviewer'", timeout=30_000)
    state: dict[str, Any] = dict(context.storage_state())
    context.close()
    return state


@pytest.fixture
def report(
    browser: "Browser", wiki: SandboxWiki, session: dict[str, Any], request: pytest.FixtureRequest
) -> Iterator["Opener"]:
    from tests.browser.report_page import Opener

    opener = Opener(browser, wiki, session, request.node.name.replace("[", " ").replace("]", ""))
    yield opener
    opener.close()

"""A report page in the browser, as a reviewer sees it: rows, buttons, keys, and what the page says.

The only module here that needs Playwright at import.
"""

import re
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import mwparserfromhell
from playwright.sync_api import Browser, BrowserContext, Locator, Page, Response, Route, expect

from tests.sandbox_wiki.accounts import ADMIN, REVIEW_BOT
from tests.sandbox_wiki.wiki import SandboxWiki

ROOT = f"User:{REVIEW_BOT.name}/Review"
TIMEOUT_MS = 30_000
ARTEFACTS = Path(__file__).parents[2] / "var/test-artefacts"
PICTURE = "Browser test one.png"
LEAD = "Uploads listed for scope review. Please look and leave a verdict."
IMPORT = f"importScript( '{ROOT}/gadget.js' );"
LABELS = {
    "nsfw-delete": "Explicit, consider deletion",
    "nsfw-keep": "Explicit, in scope",
    "sfw": "Not explicit",
    "unsure": "Unsure",
}


def row(item_id: str, file: str, *, at: str = "", verdict: str = "", comment: str = "") -> str:
    """One row's wikitext, with the parameters that matter to the script."""
    return (
        f"{{{{{ROOT}/item|id={item_id}|file={file}|at={at}|uploader=Uploader|edits=12|since=2024-05|groups="
        f"|others=0|inuse=|state=|verdict={verdict}|comment={comment}}}}}"
    )


def write_report(wiki: SandboxWiki, title: str, rows: Sequence[str]) -> None:
    """Store a report page as the bot would."""
    wiki.edit(REVIEW_BOT.name, title, LEAD + "\n\n" + "\n".join(rows) + "\n\nEnd of the page.\n")


def text_of(wiki: SandboxWiki, title: str) -> str:
    """A page's newest wikitext, by the API."""
    return str(history_of(wiki, title)[0]["slots"]["main"]["content"])


def history_of(
    wiki: SandboxWiki, title: str
) -> list[dict[str, Any]] | list[dict[str, dict[str, dict[str, str]]]]:
    """A page's revisions with author, comment and content, newest first."""
    answer = wiki.client(ADMIN.name).query(
        titles=title, prop="revisions", rvprop="ids|user|comment|content", rvslots="main", rvlimit=50
    )
    revisions: list[dict[str, Any]] = answer["pages"][0]["revisions"]
    return revisions


class ReportPage:
    """One open report page.

    Args:
        context: A browser session.
        wiki: The wiki it is on.
        title: The report page.
        query: Added to the address, such as `useskin=minerva`.
        loads_itself: Whether the account's own common.js loads the script; else it is loaded here.
    """

    def __init__(
        self,
        context: BrowserContext,
        wiki: SandboxWiki,
        title: str,
        query: str = "",
        *,
        loads_itself: bool = True,
    ) -> None:
        self.page: Page = context.new_page()
        self.page.set_default_timeout(TIMEOUT_MS)
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.conflicts = 0
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("response", self._count_conflict)
        self.page.goto(wiki.page_url(title) + (f"?{query}" if query else ""))
        if not loads_itself:
            self.page.evaluate(f"mw.loader.using( 'mediawiki.util' ).then( () => {{ {IMPORT} }} )")
        self.page.locator(".commons-review-bar").wait_for()

    def _count_conflict(self, response: Response) -> None:
        # Only what the event itself brings: asking the browser back from here would run beside the test's own
        # questions, and could end after them.
        if response.headers.get("mediawiki-api-error") == "editconflict":
            self.conflicts += 1

    def close(self) -> None:
        """Close it, whatever is not saved."""
        self.page.close(run_before_unload=False)

    def row(self, item_id: str) -> Locator:
        """The row of an item."""
        return self.page.locator(f".commons-review-item[data-id='{item_id}']")

    def verdict(self, item_id: str, verdict: str) -> Locator:
        """The button of a verdict, found by the name that a screen reader speaks."""
        return self.row(item_id).get_by_role("button", name=re.compile(f"^{re.escape(LABELS[verdict])}"))

    def button(self, item_id: str, name: str) -> Locator:
        """Another button of a row."""
        return self.row(item_id).get_by_role("button", name=name, exact=True)

    def comment(self, item_id: str) -> Locator:
        """The comment field of a row."""
        return self.row(item_id).get_by_role("textbox", name="Comment")

    def press(self, *keys: str) -> None:
        """Press keys wherever the focus is."""
        for key in keys:
            self.page.keyboard.press(key)

    def expect_state(self, item_id: str, text: str) -> None:
        """Wait until a row says something."""
        expect(self.row(item_id).locator(".commons-review-state")).to_contain_text(text, timeout=TIMEOUT_MS)

    def expect_pressed(self, item_id: str, verdict: str) -> None:
        """Wait until exactly this verdict is shown as chosen; empty means none."""
        for name in LABELS:
            expect(self.verdict(item_id, name)).to_have_attribute(
                "aria-pressed", str(name == verdict).lower()
            )

    def expect_conflicts(self, count: int) -> None:
        """Wait until this many edits were refused for a conflict."""
        waited_ms = 0
        while self.conflicts < count and waited_ms < TIMEOUT_MS:
            self.page.wait_for_timeout(50)
            waited_ms += 50
        assert self.conflicts == count, f"{self.conflicts} edit conflicts, not {count}"

    def expect_current(self, item_id: str) -> None:
        """Wait until the focus is on a row."""
        expect(self.row(item_id).locator(".commons-review-controls")).to_be_focused()

    def before_next_save(self, action: Callable[[], object]) -> None:
        """Do something after the script has read the page and before its edit reaches the wiki.

        Args:
            action: Called once, without arguments.
        """
        waiting = [action]

        def handle(route: Route) -> None:
            body = route.request.post_data or ""
            if "action=edit" in body and waiting:
                waiting.pop()()
            route.continue_()

        self.page.route("**/api.php", handle)

    def screenshot(self, name: str) -> Path:
        """Keep a picture of the page as it is."""
        ARTEFACTS.mkdir(parents=True, exist_ok=True)
        path = ARTEFACTS / f"{name}.png"
        self.page.screenshot(path=path)
        return path


class Opener:
    """Opens report pages of one test, each in a session of its own where asked for."""

    def __init__(self, browser: Browser, wiki: SandboxWiki, session: dict[str, Any], name: str) -> None:
        self.title = f"{ROOT}/2024-05-01/{name}"
        self.wiki = wiki
        self._browser = browser
        self._session = session
        self._open = ExitStack()

    def rows(self, *rows: str) -> None:
        """Store the report page."""
        write_report(self.wiki, self.title, rows)

    def open(self, query: str = "", logged_in: bool = True, **options: Any) -> ReportPage:
        """Open it as the reviewer."""
        context = self._browser.new_context(
            storage_state=self._session if logged_in else None,  # type: ignore[arg-type]
            **{"viewport": {"width": 1200, "height": 900}, **options},
        )
        self._open.callback(context.close)
        report = ReportPage(context, self.wiki, self.title, query, loads_itself=logged_in)
        self._open.callback(report.close)
        return report

    def close(self) -> None:
        """Close all."""
        self._open.close()

    def text(self) -> str:
        """The report page's newest wikitext."""
        return text_of(self.wiki, self.title)

    def parameters(self, item_id: str) -> dict[str, str]:
        """A row's parameters as the bot's parser reads them."""
        templates = mwparserfromhell.parse(self.text()).filter_templates(recursive=False)
        found = [one for one in templates if one.get("id").value.strip() == item_id]
        assert len(found) == 1, self.text()
        return {str(one.name).strip(): str(one.value).strip() for one in found[0].params}

    def edits(self) -> list[dict[str, Any]]:
        """The revisions after the bot's, oldest first."""
        return list(reversed(history_of(self.wiki, self.title)))[1:]

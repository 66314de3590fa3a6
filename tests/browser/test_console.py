"""The console in a real browser: by mouse, by key, on narrow screens, in the dark, and with axe's eyes."""

import pytest

pytest.importorskip("playwright", reason="no browser tests: playwright is not installed")

from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Literal

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, Request, Route, expect

from storage import reviews
from storage.console_queue import QueueFilter, page
from storage.metric_values import MediaKind
from storage.review_values import VerdictCode
from tests.console_site import ConsoleSite, console_site, served

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.slow

PAGES = (
    "",
    "review",
    "queue",
    "queue?state=open&title=disc",
    "scores",
    "quality?days=60",
    "models",
    "purges",
)
LOOKS = ((("console",), PAGES), (("console", "review"), ("review", "queue", "models")))
"""Scopes of a token, and the pages that look different with them."""
VIOLATIONS = {"resultTypes": ["violations"]}
NARROW = {"width": 360, "height": 740}
WIDE = {"width": 1200, "height": 900}
Scheme = Literal["light", "dark"]


class Visitor:
    """Somebody with a browser session; every complaint of the browser is an error.

    Args:
        browser: The browser.
        address: Of the console.
        options: Of the browser's context.
    """

    def __init__(self, browser: "Browser", address: str, **options: Any) -> None:
        self.context = browser.new_context(**{"viewport": WIDE, **options})
        self.context.set_default_timeout(20_000)
        self.page: Page = self.context.new_page()
        self.address = address
        self.complaints: list[str] = []
        self.asked_for: list[str] = []
        self.page.on("console", self._listen)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", self._note)

    def _listen(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def _note(self, request: Request) -> None:
        self.asked_for.append(request.url)

    def log_in(self, secret: str) -> "Visitor":
        """Fill in the login form."""
        self.open("login")
        self.page.get_by_label("Token").fill(secret)
        self.page.get_by_role("button", name="Log in").click()
        expect(self.page.get_by_role("heading", level=1)).to_have_text("Overview")
        return self

    def open(self, path: str = "") -> Page:
        """Go to a page of the console."""
        self.page.goto(f"{self.address}/{path}")
        return self.page

    def close(self) -> None:
        """Close it; nothing may have been complained about, and nothing loaded from elsewhere."""
        self.context.close()
        assert self.complaints == []
        assert [url for url in self.asked_for if not url.startswith(self.address)] == []


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleSite]:
    with console_site(tmp_path_factory.mktemp("console")) as made:
        yield made


@pytest.fixture(scope="module")
def address(site: ConsoleSite) -> Iterator[str]:
    with served(site) as at:
        yield at


@pytest.fixture
def visit(browser: "Browser", site: ConsoleSite, address: str) -> Iterator[Any]:
    """Opens browser sessions that are logged in with new tokens."""
    with ExitStack() as stack:

        def begin(account: str, *scopes: str, **options: Any) -> Visitor:
            visitor = Visitor(browser, address, **options)
            stack.callback(visitor.close)
            return visitor.log_in(site.token(account, *scopes))

        yield begin


def video(site: ConsoleSite) -> str:
    """The newest video that was put up for review."""
    with site.database.read() as tx:
        return page(tx, QueueFilter(medium=MediaKind.MOVING), account="x").entries[0].item_id


def codes(site: ConsoleSite, item_id: str) -> list[VerdictCode]:
    with site.database.read() as tx:
        return [verdict.code for verdict in reviews.verdicts_of(tx, item_id)]


def test_logging_in_and_out(browser: "Browser", site: ConsoleSite, address: str) -> None:
    visitor = Visitor(browser, address)
    visitor.open("queue?state=open")
    expect(visitor.page.get_by_role("heading", level=1)).to_have_text("Log in")
    visitor.page.get_by_label("Token").fill(site.token("Olga", "console"))
    visitor.page.keyboard.press("Enter")
    expect(visitor.page.get_by_role("heading", level=1)).to_have_text("Queue")
    expect(visitor.page.get_by_label("State")).to_have_value("open")
    visitor.page.get_by_role("button", name="Log out").click()
    expect(visitor.page.get_by_role("heading", level=1)).to_have_text("Log in")
    visitor.open()
    expect(visitor.page.get_by_role("heading", level=1)).to_have_text("Log in")
    visitor.close()


def test_the_queue_is_filtered_and_leads_to_a_story(site: ConsoleSite, visit: Any) -> None:
    visitor = visit("Olga", "console")
    shown = visitor.open("queue")
    expect(shown.get_by_role("row")).to_have_count(51)
    shown.get_by_label("Title contains").fill("red DISC")
    shown.get_by_label("Label").select_option("nsfw")
    shown.get_by_label("Order").select_option("highest")
    shown.get_by_role("button", name="Filter").click()
    titles = shown.locator("tbody th").all_inner_texts()
    assert titles
    assert all(title.startswith("File:Red disc") for title in titles)
    shown.locator("tbody th a").first.click()
    expect(shown.get_by_role("heading", level=1)).to_have_text(titles[0])
    expect(shown.get_by_role("heading", name="Scored", exact=True)).to_be_visible()
    wiki = shown.get_by_role("link", name="File page on the wiki")
    expect(wiki).to_have_attribute(
        "href", "https://commons.wikimedia.org/wiki/" + titles[0].replace(" ", "_")
    )


def test_a_videos_story_draws_its_frames(site: ConsoleSite, visit: Any) -> None:
    shown = visit("Olga", "console").open(f"items/{video(site)}")
    chart = shown.get_by_role("img", name="Scores of the frames")
    expect(chart).to_be_visible()
    expect(chart.locator("circle.dot")).to_have_count(45)
    shown.get_by_text("All scores as a table").click()
    expect(shown.get_by_role("region", name="All scores").get_by_role("row")).to_have_count(46)


def test_five_items_are_reviewed_with_the_keyboard_alone(site: ConsoleSite, visit: Any) -> None:
    visitor = visit("Kim")
    shown = visitor.page
    for _ in range(20):
        shown.keyboard.press("Tab")
        if shown.evaluate("document.activeElement.textContent") == "Review":
            break
    shown.keyboard.press("Enter")
    expect(shown.get_by_role("heading", level=1)).to_have_text("Review")
    given: dict[str, VerdictCode] = {}
    for key, code in zip("13241", ("nsfw-delete", "sfw", "nsfw-keep", "unsure", "nsfw-delete"), strict=True):
        item = shown.locator("[data-verdicts] input[name=item]").get_attribute("value")
        assert item is not None
        assert item not in given
        given[item] = VerdictCode(code)
        if key == "2":
            shown.keyboard.press("c")
            shown.keyboard.type("12 words, and no verdict")
            expect(shown.get_by_label("Comment")).to_have_value("12 words, and no verdict")
            shown.keyboard.press("Enter")  # must not choose the first verdict
            shown.keyboard.press("Escape")
        shown.keyboard.press(key)
        expect(shown.locator("[data-verdicts] input[name=item]")).not_to_have_value(item)
        expect(shown.get_by_role("status")).to_contain_text("Saved")
    for item, code in given.items():
        assert codes(site, item)[-1] is code
    with site.database.read() as tx:
        (comment,) = {
            verdict.comment
            for item in given
            for verdict in reviews.verdicts_of(tx, item)
            if verdict.author == "Kim" and verdict.comment
        }
    assert comment == "12 words, and no verdict"


def test_a_verdict_is_undone_by_key_and_an_item_skipped(site: ConsoleSite, visit: Any) -> None:
    shown = visit("Lea").open("review")
    field = shown.locator("[data-verdicts] input[name=item]")
    first = field.get_attribute("value")
    shown.keyboard.press("1")
    expect(field).not_to_have_value(str(first))
    second = field.get_attribute("value")
    shown.keyboard.press("u")
    expect(field).to_have_value(str(first))
    shown.keyboard.press("3")
    expect(shown.get_by_role("status")).to_contain_text("Saved: Not explicit")
    assert codes(site, str(first))[-2:] == [VerdictCode.NSFW_DELETE, VerdictCode.SFW]
    expect(field).to_have_value(str(second))
    shown.keyboard.press("n")
    expect(field).not_to_have_value(str(second))


def test_keys_can_be_switched_off_and_stay_off(site: ConsoleSite, visit: Any) -> None:
    shown = visit("Mio").open("review")
    field = shown.locator("[data-verdicts] input[name=item]")
    first = str(field.get_attribute("value"))
    before = codes(site, first)
    shown.get_by_text("Keys", exact=True).click()
    shown.get_by_role("checkbox").uncheck()
    for _ in range(2):
        shown.locator("main").focus()
        shown.keyboard.press("1")
        shown.keyboard.press("n")
        expect(field).to_have_value(first)
        shown.reload()
        shown.get_by_text("Keys", exact=True).click()
        expect(shown.get_by_role("checkbox")).not_to_be_checked()
    assert codes(site, first) == before


def test_no_file_is_shown_before_the_keys_work(visit: Any) -> None:
    """Whoever sees a file presses a key at once, however slowly the script comes."""
    shown = visit("Rita").page
    held: list[Route] = []
    shown.route("**/review.js", lambda route: held.append(route))
    with shown.expect_request("**/review.js"):
        shown.goto(f"{shown.url.rstrip('/')}/review", wait_until="commit")
    field = shown.locator("[data-verdicts] input[name=item]")
    shown.wait_for_timeout(300)
    assert field.count() == 0
    (script,) = held
    script.continue_()
    shown.unroute("**/review.js")
    field.wait_for(state="attached")
    first = str(field.get_attribute("value"))
    shown.keyboard.press("1")
    expect(field).not_to_have_value(first)


@pytest.mark.parametrize(("sign", "place"), [("&", "Digit1"), ("т", "KeyN"), ("n", "KeyB")])
def test_keys_work_on_other_keyboards(visit: Any, sign: str, place: str) -> None:
    """French digits need a shift, Cyrillic has no Latin letters; where letters moved, the sign counts."""
    shown = visit("Qin").open("review")
    field = shown.locator("[data-verdicts] input[name=item]")
    first = str(field.get_attribute("value"))
    event = {"key": sign, "code": place, "bubbles": True, "cancelable": True}
    shown.evaluate("event => document.body.dispatchEvent(new KeyboardEvent('keydown', event))", event)
    expect(field).not_to_have_value(first)


def test_a_shortcut_of_the_browser_is_no_verdict(site: ConsoleSite, visit: Any) -> None:
    shown = visit("Nia").open("review")
    field = shown.locator("[data-verdicts] input[name=item]")
    first = str(field.get_attribute("value"))
    before = codes(site, first)
    for combination in ("Control+1", "Alt+3", "Meta+2"):
        shown.keyboard.press(combination)
    expect(field).to_have_value(first)
    assert codes(site, first) == before


def test_the_picture_stays_blurred_until_it_is_asked_for(visit: Any) -> None:
    visitor = visit("Ola")
    shown = visitor.open("review")
    picture = shown.locator("[data-picture] img")
    expect(picture).to_have_attribute("alt", "The kept picture, grey and blurred beyond recognition")
    expect(picture).to_have_js_property("naturalWidth", 160)
    assert not any(url.endswith("/clear.jpg") for url in visitor.asked_for)
    shown.keyboard.press("p")
    expect(picture).to_have_js_property("naturalWidth", 640)
    button = shown.get_by_role("button", name="Blur the picture")
    expect(button).to_have_attribute("aria-pressed", "true")
    button.click()
    expect(picture).to_have_js_property("naturalWidth", 160)
    shown.keyboard.press("p")
    shown.keyboard.press("n")
    expect(shown.get_by_role("button", name="Show the picture clearly")).to_be_visible()
    expect(picture).to_have_js_property("naturalWidth", 160)  # the next one is blurred again


def test_reviewing_needs_no_script(browser: "Browser", site: ConsoleSite, visit: Any) -> None:
    shown = visit("Pia", java_script_enabled=False).open("review")
    first = str(shown.locator("[data-verdicts] input[name=item]").get_attribute("value"))
    shown.get_by_role("button", name="Show the picture clearly").click()
    expect(shown.locator("[data-picture] img")).to_have_attribute("alt", "The kept picture")
    shown.get_by_label("Comment").fill("words")
    shown.get_by_label("Comment").press("Enter")
    shown.get_by_role("button", name="Not explicit").click()
    expect(shown.get_by_role("status")).to_contain_text("Saved: Not explicit")
    assert codes(site, first)[-1] is VerdictCode.SFW


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_on_any_page(site: ConsoleSite, visit: Any, scheme: Scheme) -> None:
    for scopes, paths in LOOKS:
        visitor = visit("Axel", *scopes, color_scheme=scheme)
        for path in (*paths, f"items/{video(site)}"):
            shown = visitor.open(path)
            shown.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
            found = Axe().run(shown, options=VIOLATIONS).response["violations"]
            serious = [
                (one["id"], [node["html"] for node in one["nodes"][:3]])
                for one in found
                if one["impact"] in ("serious", "critical")
            ]
            assert serious == [], path


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_on_the_way_in(browser: "Browser", address: str, scheme: Scheme) -> None:
    visitor = Visitor(browser, address, color_scheme=scheme)
    found = Axe().run(visitor.open("login"), options=VIOLATIONS).response["violations"]
    assert [one["id"] for one in found if one["impact"] in ("serious", "critical")] == []
    visitor.close()


def test_nothing_sticks_out_of_a_narrow_screen(site: ConsoleSite, visit: Any) -> None:
    for scopes, paths in LOOKS:
        visitor = visit("Nat", *scopes, viewport=NARROW)
        for path in (*paths, f"items/{video(site)}"):
            shown = visitor.open(path)
            width = shown.evaluate("document.documentElement.scrollWidth")
            assert width <= NARROW["width"], path


def test_pages_and_charts_turn_dark_with_the_system(site: ConsoleSite, visit: Any) -> None:
    brightness = {}
    for scheme in ("light", "dark"):
        shown = visit("Dana", "console", color_scheme=scheme).open("quality?days=60")
        chart = shown.locator("figure img").first
        chart.scroll_into_view_if_needed()
        expect(chart).to_have_js_property("complete", True)
        assert chart.evaluate("image => image.naturalWidth") > 600
        brightness[scheme] = (
            shown.evaluate("getComputedStyle(document.body).backgroundColor"),
            shown.evaluate("getComputedStyle(document.body).color"),
            chart.screenshot(),
        )
    for light, dark in zip(brightness["light"], brightness["dark"], strict=True):
        assert light != dark


def test_the_policy_stops_what_is_inline(address: str, browser: "Browser") -> None:
    """The other tests rest on the browser's complaints: here is one."""
    visitor = Visitor(browser, address)
    added = '<img src="https://example.org/x.png"><p style="color: red">'
    visitor.open("login").evaluate("html => document.body.insertAdjacentHTML('beforeend', html)", added)
    expect(visitor.page.locator("p").last).to_be_attached()
    assert any("Content Security Policy" in complaint for complaint in visitor.complaints)
    visitor.context.close()

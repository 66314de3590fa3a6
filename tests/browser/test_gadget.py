"""The user script in a real browser on a real MediaWiki: by mouse, by key, in every skin and language."""

import pytest

pytest.importorskip("playwright", reason="no browser tests: playwright is not installed")

from pathlib import Path

from playwright.sync_api import expect

from tests.browser.report_page import LEAD, PICTURE, ROOT, Opener, row
from tests.sandbox_wiki.accounts import REVIEWER
from tests.sandbox_wiki.pictures import document, gradient

pytestmark = pytest.mark.slow


def test_five_items_by_mouse_and_by_key_become_the_reviewers_own_edits(report: Opener) -> None:
    before = [row(f"commonswiki-{number}", PICTURE) for number in range(1, 7)]
    report.rows(*before)
    page = report.open()
    page.verdict("commonswiki-1", "nsfw-delete").click()
    page.expect_state("commonswiki-1", "Saved: Explicit, consider deletion")
    page.comment("commonswiki-2").fill("in use on an article")
    page.verdict("commonswiki-2", "nsfw-keep").click()
    page.expect_state("commonswiki-2", "Saved")
    page.press("j")
    page.expect_current("commonswiki-3")
    page.press("3")
    page.expect_current("commonswiki-4")
    page.press("4", "1")
    page.expect_state("commonswiki-5", "Saved: Explicit, consider deletion")
    expect(page.page.locator(".commons-review-progress")).to_have_text("5 of 6 reviewed")
    expect(page.row("commonswiki-5").locator(".commons-review-given")).to_have_text(
        "Explicit, consider deletion"
    )

    edits = report.edits()
    assert [edit["user"] for edit in edits] == [REVIEWER.name] * 5
    assert [str(edit["comment"]).partition(" ([[")[0] for edit in edits] == [
        "Review of commonswiki-1: nsfw-delete",
        "Review of commonswiki-2: nsfw-keep",
        "Review of commonswiki-3: sfw",
        "Review of commonswiki-4: unsure",
        "Review of commonswiki-5: nsfw-delete",
    ]
    expected = "\n".join(
        [
            before[0].replace("verdict=|", "verdict=nsfw-delete|"),
            before[1].replace("verdict=|comment=", "verdict=nsfw-keep|comment=in use on an article"),
            before[2].replace("verdict=|", "verdict=sfw|"),
            before[3].replace("verdict=|", "verdict=unsure|"),
            before[4].replace("verdict=|", "verdict=nsfw-delete|"),
            before[5],
        ]
    )
    assert report.text() == f"{LEAD}\n\n{expected}\n\nEnd of the page."
    assert page.errors == []


def test_what_was_saved_is_shown_after_a_reload(report: Opener) -> None:
    report.rows(row("one-1", PICTURE, verdict="sfw", comment="a &#124; b &#38;lt; &#34;c&#34;"))
    page = report.open()
    page.expect_pressed("one-1", "sfw")
    expect(page.comment("one-1")).to_have_value('a | b &lt; "c"')


def test_undo_puts_back_what_stood_there_by_button_and_by_key(report: Opener) -> None:
    report.rows(row("one-1", PICTURE, verdict="unsure", comment="&#91;old&#93;"), row("two-2", PICTURE))
    before = report.text()
    page = report.open()
    page.comment("one-1").fill("new")
    page.verdict("one-1", "sfw").click()
    page.expect_state("one-1", "Saved: Not explicit")
    page.verdict("two-2", "nsfw-keep").click()
    page.expect_state("two-2", "Saved")
    page.press("u")
    page.expect_state("two-2", "Undone: open")
    page.expect_pressed("two-2", "")
    page.button("one-1", "Undo").click()
    page.expect_state("one-1", "Undone: Unsure")
    page.expect_pressed("one-1", "unsure")
    expect(page.comment("one-1")).to_have_value("[old]")
    assert report.text() == before
    page.press("u")
    expect(page.page.get_by_role("status")).to_have_text("Nothing to undo here.")
    assert len(report.edits()) == 4


def test_agreeing_with_a_verdict_that_stands_adds_a_plus_one(report: Opener) -> None:
    theirs = row("one-1", PICTURE, verdict="sfw", comment="see [[Commons:Scope|scope]]")
    report.rows(theirs)
    page = report.open()
    expect(page.comment("one-1")).to_have_value("see [[Commons:Scope|scope]]")
    page.verdict("one-1", "sfw").click()
    page.expect_state("one-1", "Agreed, with “+1” in the comment: Not explicit")
    assert theirs.replace("scope]]", "scope]] &#43;1") in report.text()
    page.press("u")
    page.expect_state("one-1", "Undone: Not explicit")
    assert theirs in report.text()


def test_keys_never_act_while_somebody_types(report: Opener) -> None:
    report.rows(row("one-1", PICTURE), row("two-2", PICTURE))
    page = report.open()
    page.press("j", "c")
    page.page.keyboard.type("1234jkup?c")
    expect(page.comment("one-1")).to_have_value("1234jkup?c")
    expect(page.comment("one-1")).to_be_focused()
    page.page.locator("input[name=search]").first.focus()
    page.page.keyboard.type("12j")
    expect(page.page.locator("#commons-review-help")).to_be_hidden()
    page.expect_pressed("one-1", "")
    page.comment("one-1").focus()
    page.press("Escape")
    page.expect_current("one-1")
    page.press("Control+1", "Alt+2")
    page.expect_pressed("one-1", "")
    assert report.edits() == []


def test_everything_can_be_done_with_the_keyboard_alone(report: Opener) -> None:
    report.rows(row("one-1", PICTURE), row("two-2", PICTURE, verdict="sfw"), row("three-3", PICTURE))
    page = report.open()
    page.press("?")
    expect(page.page.locator("#commons-review-help")).to_be_focused()
    page.press("Escape")
    expect(page.page.get_by_role("button", name="Help")).to_be_focused()
    page.press("j", "Tab")
    expect(page.verdict("one-1", "nsfw-delete")).to_be_focused()
    page.press("Tab", "Enter")
    page.expect_state("one-1", "Saved: Explicit, in scope")
    expect(page.page.get_by_role("status")).to_have_text(f"{PICTURE}. Saved: Explicit, in scope")
    expect(page.verdict("one-1", "nsfw-keep")).to_be_focused()
    page.press("2")
    page.expect_current("three-3")
    page.press("k")
    page.expect_current("two-2")
    page.press("c")
    page.page.keyboard.type("seen")
    page.press("Enter")
    page.expect_state("two-2", "Saved: Comment")
    page.press("Escape", "u")
    page.expect_state("two-2", "Undone")
    assert report.parameters("two-2")["comment"] == ""


def test_keys_can_be_switched_off_for_good(report: Opener) -> None:
    report.rows(row("one-1", PICTURE))
    page = report.open()
    page.page.get_by_role("button", name="Keyboard keys").click()
    page.page.reload()
    switch = page.page.get_by_role("button", name="Keyboard keys")
    expect(switch).to_have_attribute("aria-pressed", "false")
    page.press("j", "1", "?")
    expect(page.page.locator("#commons-review-help")).to_be_hidden()
    page.expect_pressed("one-1", "")


def test_a_preview_is_fetched_on_demand_and_covered_until_asked_again(report: Opener) -> None:
    report.rows(row("one-1", PICTURE, at="0:12"), row("two-2", "No such file.png"))
    page = report.open()
    assert not [address for address in page.requests if "/commons/" in address]
    page.button("one-1", "Preview").click()
    picture = page.row("one-1").get_by_role("img", name="Preview, blurred")
    picture.wait_for()
    page.button("one-1", "Show clearly").wait_for()
    assert picture.evaluate("image => image.naturalWidth") == 330
    assert "blur(18px) grayscale(1)" in picture.evaluate("image => getComputedStyle( image ).filter")
    page.button("one-1", "Show clearly").click()
    clear = page.row("one-1").get_by_role("img", name="Preview, shown clearly")
    assert clear.evaluate("image => image.style.filter") == ""
    page.press("p")
    expect(clear).to_be_hidden()
    page.press("p")
    expect(picture).to_be_visible()
    page.button("two-2", "Preview").click()
    expect(page.row("two-2")).to_contain_text("There is no preview of this file.")
    assert report.edits() == []


def test_the_preview_of_a_document_is_of_the_page_in_question(report: Opener, tmp_path: Path) -> None:
    report.wiki.upload(document(tmp_path / "three.pdf"), "Browser test.pdf")
    report.rows(row("one-1", "Browser test.pdf", at="p. 2"))
    page = report.open()
    page.button("one-1", "Preview").click()
    page.button("one-1", "Show clearly").wait_for()
    assert "page2-330px" in str(page.row("one-1").get_by_role("img").get_attribute("src"))


def test_visitors_without_an_account_get_no_buttons(report: Opener) -> None:
    report.rows(row("one-1", PICTURE))
    page = report.open(logged_in=False)
    expect(page.page.locator(".commons-review-bar")).to_have_text("Log in to give verdicts with one click.")
    assert page.row("one-1").get_by_role("button").count() == 0


@pytest.mark.parametrize("skin", ["vector", "vector-2022", "minerva"])
def test_it_works_in_every_skin(report: Opener, skin: str) -> None:
    report.rows(row("one-1", PICTURE), row("two-2", PICTURE))
    page = report.open(f"useskin={skin}")
    page.verdict("one-1", "sfw").click()
    page.expect_state("one-1", "Saved")
    page.page.wait_for_function("[ ...document.styleSheets ].some( one => /gadget.css/.test( one.href ) )")
    page.screenshot(f"gadget-{skin}")
    assert page.errors == []


@pytest.mark.parametrize(
    ("language", "label"), [("de-at", "Nicht explizit"), ("fr", "Non explicite"), ("es", "No explícito")]
)
def test_it_speaks_the_readers_language(report: Opener, language: str, label: str) -> None:
    report.rows(row("one-1", PICTURE))
    page = report.open(f"uselang={language}")
    expect(page.row("one-1").get_by_role("button", name=label)).to_be_visible()


def test_a_narrow_dark_screen_shows_everything_without_scrolling_sideways(report: Opener) -> None:
    report.title = f"{ROOT}/2024-05-02"
    report.rows(
        row("one-1", PICTURE, at="0:12"), row("two-2", PICTURE, verdict="sfw", comment="a statue, in use")
    )
    page = report.open("useskin=minerva", viewport={"width": 375, "height": 840}, color_scheme="dark")
    # MediaWiki 1.39 has no night mode yet: put the class there that newer skins put, and their background.
    page.page.evaluate("document.documentElement.classList.add( 'skin-theme-clientpref-os' )")
    page.page.add_style_tag(
        content="body, #mw-mf-page-center, .content, #content, .header-container, .minerva-header"
        "{ background: #101418 !important; color: #eaecf0 !important } h1 { color: #eaecf0 !important }"
        "a { color: #8cb4ff !important }"
    )
    page.button("one-1", "Preview").click()
    page.button("one-1", "Show clearly").wait_for()
    page.press("j")
    page.page.locator(".commons-review-bar").evaluate("bar => bar.scrollIntoView()")
    page.screenshot("gadget-narrow-dark")
    button = page.verdict("two-2", "nsfw-delete")
    assert button.evaluate("made => getComputedStyle( made ).color") == "rgb(234, 236, 240)"
    assert button.bounding_box()["height"] >= 44  # type: ignore[index]
    assert page.page.evaluate("document.documentElement.scrollWidth") <= 375


def test_the_screenshots_of_the_manual_can_be_made(report: Opener, tmp_path: Path) -> None:
    names = (
        "Sculpture garden, east wing.png",
        "Beach at dusk.png",
        "Untitled 0417.png",
        "Life drawing class.png",
    )
    for seed, name in enumerate(names):
        report.wiki.upload(gradient(tmp_path / f"{seed}.png", seed=60 * seed + 20), name)
    report.title = f"{ROOT}/2024-05-01"
    report.rows(*(row(f"commonswiki-{number}", name) for number, name in enumerate(names)))
    page = report.open("useskin=vector-2022", viewport={"width": 1100, "height": 940})
    page.comment("commonswiki-0").fill("statue, used in two articles")
    page.verdict("commonswiki-0", "nsfw-keep").click()
    page.expect_state("commonswiki-0", "Saved")
    page.button("commonswiki-1", "Preview").click()
    page.button("commonswiki-1", "Show clearly").wait_for()
    page.page.evaluate("scrollTo( 0, 0 )")
    assert page.screenshot("gadget-desktop").stat().st_size > 10_000

"""What a reviewer saves arrives once and whole, whoever else edits and whatever the wiki answers."""

import time

import pytest

pytest.importorskip("playwright", reason="no browser tests: playwright is not installed")

from playwright.sync_api import Route, expect

from tests.browser.report_page import PICTURE, Opener, ReportPage, row, write_report
from tests.sandbox_wiki.accounts import PATROLLER, REVIEWER

pytestmark = pytest.mark.slow


def test_undo_leaves_alone_what_somebody_changed_since(report: Opener) -> None:
    report.rows(row("one-1", PICTURE))
    page = report.open()
    page.verdict("one-1", "sfw").click()
    page.expect_state("one-1", "Saved")
    report.wiki.edit(
        PATROLLER.name, report.title, report.text().replace("verdict=sfw", "verdict=nsfw-delete")
    )
    page.press("u")
    page.expect_state("one-1", "Not saved: somebody set “Explicit, consider deletion” meanwhile")
    page.expect_pressed("one-1", "nsfw-delete")
    assert report.parameters("one-1")["verdict"] == "nsfw-delete"


def test_an_edit_between_loading_and_clicking_is_kept(report: Opener) -> None:
    report.rows(row("one-1", PICTURE), row("two-2", PICTURE))
    page = report.open()
    moved = f"Inserted above.\n{row('three-3', PICTURE)}\n" + report.text().replace("edits=12", "edits=13")
    report.wiki.edit(PATROLLER.name, report.title, moved)
    page.verdict("one-1", "sfw").click()
    page.expect_state("one-1", "Saved")
    head, tail = moved.split("id=one-1")
    assert report.text() == f"{head}id=one-1{tail.replace('verdict=|', 'verdict=sfw|', 1)}"


def test_an_edit_conflict_in_the_midst_of_saving_is_resolved(report: Opener) -> None:
    report.rows(row("one-1", PICTURE), row("two-2", PICTURE))
    page = report.open()
    meanwhile = report.text().replace("edits=12", "edits=99")

    def edit_in_another_second() -> None:
        # MediaWiki looks for others' edits after the base by whole seconds: one in the base's own second
        # is overwritten without a conflict, and there is nothing to test.
        time.sleep(1.1)
        report.wiki.edit(PATROLLER.name, report.title, meanwhile)

    page.before_next_save(edit_in_another_second)
    page.verdict("one-1", "sfw").click()
    page.expect_state("one-1", "Saved")
    page.expect_conflicts(1)
    assert report.text() == meanwhile.replace("verdict=|", "verdict=sfw|", 1)
    assert [edit["user"] for edit in report.edits()] == [PATROLLER.name, REVIEWER.name]


def test_a_verdict_that_somebody_gave_meanwhile_is_replaced_only_on_a_second_choice(report: Opener) -> None:
    report.rows(row("one-1", PICTURE))
    page = report.open()
    theirs = row("one-1", PICTURE, verdict="nsfw-keep", comment="look at [[Commons:Scope|scope]] first")
    write_report(report.wiki, report.title, [theirs])
    page.verdict("one-1", "sfw").click()
    page.expect_state("one-1", "Not saved: somebody set “Explicit, in scope” meanwhile")
    page.expect_pressed("one-1", "nsfw-keep")
    assert theirs in report.text()
    page.comment("one-1").fill("look at [[Commons:Scope|scope]] first")
    page.verdict("one-1", "sfw").click()
    page.expect_state("one-1", "Saved")
    assert theirs.replace("nsfw-keep", "sfw") in report.text()


def test_a_comment_that_somebody_wrote_meanwhile_is_not_overwritten(report: Opener) -> None:
    report.rows(row("one-1", PICTURE))
    page = report.open()
    write_report(report.wiki, report.title, [row("one-1", PICTURE, comment="theirs")])
    page.comment("one-1").fill("mine")
    page.button("one-1", "Save comment").click()
    page.expect_state("one-1", "Not saved: somebody set “theirs” meanwhile")
    expect(page.comment("one-1")).to_have_value("mine")
    assert report.parameters("one-1")["comment"] == "theirs"


def test_hurried_verdicts_in_two_tabs_do_not_undo_each_other(report: Opener) -> None:
    report.rows(*(row(f"n-{number}", PICTURE) for number in range(4)))
    first = report.open()
    second = ReportPage(first.page.context, report.wiki, report.title)
    for number in (0, 1):
        first.verdict(f"n-{number}", "sfw").click(no_wait_after=True)
        second.verdict(f"n-{number + 2}", "nsfw-keep").click(no_wait_after=True)
    for number in (0, 1):
        first.expect_state(f"n-{number}", "Saved")
        second.expect_state(f"n-{number + 2}", "Saved")
    verdicts = [report.parameters(f"n-{number}")["verdict"] for number in range(4)]
    assert verdicts == ["sfw", "sfw", "nsfw-keep", "nsfw-keep"]


def test_an_answer_that_got_lost_does_not_save_twice(report: Opener) -> None:
    report.rows(row("one-1", PICTURE))
    page = report.open()

    cuts: list[int] = []

    def cut(route: Route) -> None:
        if "action=edit" in (route.request.post_data or "") and not cuts:
            cuts.append(route.fetch().status)
            route.abort()
        else:
            route.continue_()

    page.page.route("**/api.php", cut)
    page.verdict("one-1", "sfw").click()
    page.expect_state("one-1", "Not saved: no connection to the wiki.")
    expect(page.page.locator(".commons-review-progress")).to_contain_text("Not saved: 1")
    page.verdict("one-1", "sfw").click()
    page.expect_state("one-1", "Saved")
    assert cuts == [200]
    assert len(report.edits()) == 1


def test_a_refusal_is_explained_and_nothing_is_lost(report: Opener) -> None:
    report.rows(row("one-1", PICTURE))
    page = report.open()
    with report.wiki.switched(readonly="Moving house"):
        page.verdict("one-1", "sfw").click()
        page.expect_state("one-1", "read-only")
    page.expect_pressed("one-1", "")
    page.verdict("one-1", "sfw").click()
    page.expect_state("one-1", "Saved")
    page.comment("one-1").fill("a remark")
    with report.wiki.switched(captcha=True):
        page.press("Enter")
        page.expect_state("one-1", "Not saved")
    expect(page.comment("one-1")).to_have_value("a remark")
    assert report.parameters("one-1")["comment"] == ""


def test_a_row_that_is_gone_is_said_to_be_gone(report: Opener) -> None:
    report.rows(row("one-1", PICTURE))
    page = report.open()
    write_report(report.wiki, report.title, [row("two-2", PICTURE)])
    page.verdict("one-1", "sfw").click()
    page.expect_state("one-1", "the row is no longer on the page")


def test_a_logged_out_session_saves_nothing(report: Opener) -> None:
    report.rows(row("one-1", PICTURE))
    page = report.open()
    page.page.context.clear_cookies()
    page.verdict("one-1", "sfw").click()
    page.expect_state("one-1", "Not saved")
    assert report.edits() == []

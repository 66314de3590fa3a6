"""The user script changes one row and nothing else, whatever stands in it and whatever is typed."""

import pytest

pytest.importorskip("playwright", reason="no browser tests: playwright is not installed")

from playwright.sync_api import expect

from bot.review import gadget
from bot.review.rows import parse_rows
from tests.browser.report_page import PICTURE, ROOT, Opener, row, text_of
from tests.sandbox_wiki.accounts import ADMIN, REVIEW_BOT, REVIEWER
from tests.sandbox_wiki.wiki import SandboxWiki

pytestmark = pytest.mark.slow


HOSTILE_COMMENTS = (
    "a | verdict=sfw | id=other",
    "}} {{Delete|1=x}} [[Category:Oops]] [[File:Browser test one.png]]",
    "~~~~ ~~~~~ {{subst:PAGENAME}} __NOTOC__ <nowiki> <!-- <script>alert(1)</script>",
    "\"><img src=x onerror=\"window.hacked=1\"> ' '' ''' =h= &amp; &#124; &lt;",
    "line one\nline two\u2028three\u0085four\tfive",
    "http://spam-domain.example RFC 1234 ISBN 1234567890 -{zh:x}- %7C #x *x :x ;x",
    "Grüße, 你好, مرحبا, 👩‍🔬 \u202egnp.exe \ud83d",
    "   ",
)
# The text of a page, and the text after "NEW" became the verdict of item x; None without such a row.
EDITS = {
    "{{User:B/Review/item|id=x|verdict=|comment=a {{tl|b|verdict=c}} [[d|verdict=e]]}}": (
        "{{User:B/Review/item|id=x|verdict=NEW|comment=a {{tl|b|verdict=c}} [[d|verdict=e]]}}"
    ),
    "{{ User:B/Review/item | id = x | verdict = sfw | comment = }}": (
        "{{ User:B/Review/item | id = x | verdict =NEW| comment = }}"
    ),
    "{{User:B/Review/item|id=x|comment=<nowiki>|verdict=unsure}}</nowiki>}} after": (
        "{{User:B/Review/item|id=x|comment=<nowiki>|verdict=unsure}}</nowiki>|verdict=NEW}} after"
    ),
    "{{User:B/Review/item|id=x|verdict=sfw|verdict=unsure}}": (
        "{{User:B/Review/item|id=x|verdict=sfw|verdict=NEW}}"
    ),
    "{{User:B/Review/item|id=xx|verdict=}}{{User:B/Review/item|id=x|verdict=}}": (
        "{{User:B/Review/item|id=xx|verdict=}}{{User:B/Review/item|id=x|verdict=NEW}}"
    ),
    "{{User:B/Review/item|id=x|verdict=}}\n{{User:B/Review/item|id=x|verdict=unsure}}": (
        "{{User:B/Review/item|id=x|verdict=NEW}}\n{{User:B/Review/item|id=x|verdict=NEW}}"
    ),
    "<!-- {{User:B/Review/item|id=x|verdict=}} -->\n<nowiki>{{User:B/Review/item|id=x}}</nowiki>": None,
    "{{User:B/Review/item|id=x|verdict=\n{{User:B/Review/other|id=x|verdict=}}": None,
    "{{User:B/Review/item|id=x|comment=[[oops}}": None,
    "": None,
}


def test_the_script_page_is_stored_as_it_was_written(wiki: SandboxWiki) -> None:
    assert text_of(wiki, f"{ROOT}/gadget.js").strip() == gadget.script().strip()
    assert text_of(wiki, f"{ROOT}/gadget.css").strip() == gadget.style().strip()
    answer = wiki.client(ADMIN.name).query(titles=f"{ROOT}/gadget.js", prop="templates|categories|images")
    assert not {"templates", "categories", "images"} & answer["pages"][0].keys()


def test_hostile_comments_stay_inside_their_parameter(report: Opener) -> None:
    report.rows(*(row(f"n-{number}", PICTURE) for number in range(len(HOSTILE_COMMENTS))))
    page = report.open()
    escaped: list[str] = page.page.evaluate(
        "texts => texts.map( text => mw.commonsReview.escapeValue( text ) )", list(HOSTILE_COMMENTS)
    )
    text = report.text()
    for number, value in enumerate(escaped):
        text = page.page.evaluate(
            "([text, id, value]) => mw.commonsReview.setParameters( text, id, { comment: value } ).text",
            [text, f"n-{number}", value],
        )
    report.wiki.edit(REVIEWER.name, report.title, text)
    assert report.text() == text.strip()
    assert text.count("\n") == len(HOSTILE_COMMENTS) + 3
    for number, value in enumerate(escaped):
        parameters = report.parameters(f"n-{number}")
        assert parameters["comment"] == value
        assert parameters["verdict"] == ""
    read = [one.comment for one in parse_rows(text, REVIEW_BOT.name)]
    assert read == page.page.evaluate(
        "values => values.map( value => mw.commonsReview.unescapeValue( value ) )", escaped
    )
    again = report.open()
    for number, comment in enumerate(HOSTILE_COMMENTS[:4]):
        expect(again.comment(f"n-{number}")).to_have_value(" ".join(comment.split()))
    expect(again.comment("n-4")).to_have_value("line one line two three four five")
    expect(again.comment("n-6")).to_have_value("Grüße, 你好, مرحبا, 👩‍🔬 gnp.exe")
    expect(again.comment("n-7")).to_have_value("")
    assert again.page.evaluate("window.hacked") is None
    shown = report.wiki.client(ADMIN.name).call(
        action="parse", page=report.title, prop="links|templates|categories|externallinks|images"
    )["parse"]
    assert shown["categories"] == shown["externallinks"] == shown["images"] == []
    assert [one["title"] for one in shown["templates"]] == [f"{ROOT}/item"]


def test_a_hostile_comment_typed_by_hand_is_saved_as_text(report: Opener) -> None:
    report.rows(row("one-1", PICTURE), row("two-2", PICTURE))
    before = report.text()
    page = report.open()
    page.comment("one-1").fill(HOSTILE_COMMENTS[1])
    page.press("Enter")
    page.expect_state("one-1", "Saved: Comment")
    expect(page.button("one-1", "Save comment")).to_be_hidden()
    assert report.text().split("\n")[3:] == before.split("\n")[3:]
    assert report.parameters("one-1")["verdict"] == ""
    assert "}" not in report.parameters("one-1")["comment"]


def test_only_the_row_with_that_id_is_changed(report: Opener) -> None:
    report.rows(row("one-1", PICTURE))
    page = report.open()
    for text, expected in EDITS.items():
        edited = page.page.evaluate(
            "text => mw.commonsReview.setParameters( text, 'x', { verdict: 'NEW' } )", text
        )
        assert (edited and edited["text"]) == expected

import os
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import ServiceDown
from bot.review.local_report import page_address, position, render_html, render_wikitext, write_report
from storage.review_values import NO_HINT, Hint, LookAlike, VerdictCode
from storage.values import FlaggedItem, FrameScore

NOW = datetime(2025, 5, 1, 12, 30, tzinfo=UTC)
PAGE_URL = "https://commons.wikimedia.org/wiki/{title}"
ITEM = FlaggedItem(
    "1",
    "File:Example 1.jpg",
    "commonswiki",
    "Uploader",
    0.91234,
    FrameScore(0.91234),
    1,
    "open_nsfw",
    NOW,
    NOW,
)


class Page(HTMLParser):
    """The page as a browser reads it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text.append(data)

    @property
    def links(self) -> list[str | None]:
        return [attributes["href"] for tag, attributes in self.tags if tag == "a"]


def html_of(*items: FlaggedItem, hint: Hint = NO_HINT, **summary: int) -> str:
    hints = dict.fromkeys([item.item_id for item in items], hint)
    return render_html(items, page_url=PAGE_URL, generated_at=NOW, summary=summary, hints=hints)


def wikitext_of(*items: FlaggedItem, hint: Hint = NO_HINT) -> str:
    hints = dict.fromkeys([item.item_id for item in items], hint)
    return render_wikitext(items, generated_at=NOW, summary={}, hints=hints)


def page_of(*items: FlaggedItem, hint: Hint = NO_HINT, **summary: int) -> Page:
    return Page(html_of(*items, hint=hint, **summary))


def test_a_row_names_file_score_position_uploader_time_and_model():
    page = page_of(replace(ITEM, worst=FrameScore(0.9, at_s=12.7), frame_count=10), flagged=3)
    text = " ".join("".join(page.text).split())
    assert page.links == ["https://commons.wikimedia.org/wiki/File:Example_1.jpg"]
    shown = (
        "0.912",
        "File:Example 1.jpg",
        "0:12",
        "10 frames scored",
        "Uploader",
        "2025-05-01 12:30",
        "open_nsfw",
    )
    for expected in (*shown, "flagged"):
        assert expected in text


def test_the_highest_score_comes_first_in_both_files(tmp_path: Path):
    items = [replace(ITEM, item_id=str(n), title=f"File:{n}.jpg", score=n / 10) for n in (3, 9, 5)]
    write_report(items, tmp_path / "r", page_url=PAGE_URL, generated_at=NOW)
    html, wikitext = ((tmp_path / "r" / f"index.{kind}").read_text() for kind in ("html", "wiki"))
    assert re.findall(r"wiki/File:(\d)", html) == ["9", "5", "3"]
    assert re.findall(r"\[\[:File:(\d)", wikitext) == ["9", "5", "3"]


def test_the_page_embeds_and_loads_nothing():
    page = page_of(ITEM)
    assert not {tag for tag, _ in page.tags} & {"img", "script", "iframe", "video", "object", "embed", "link"}
    assert not any(name in attributes for _, attributes in page.tags for name in ("src", "srcset", "onclick"))
    assert "refresh" not in {attributes.get("http-equiv") for _, attributes in page.tags}


def test_the_wording_advises_and_does_not_label():
    item = replace(ITEM, model="m")
    for text in (html_of(item), wikitext_of(item)):
        assert "scope review" in text
        assert not re.search(r"(?i)\bnsfw\b|porn|explicit|offen|violat|delete", text)


def test_a_hint_tells_of_the_other_file_with_its_link_and_what_was_decided_there():
    hint = Hint(LookAlike("File:Other one.jpg", VerdictCode.NSFW_KEEP, deleted=True), ("File:Gone.jpg",))
    page = page_of(ITEM, hint=hint)
    text = " ".join("".join(page.text).split())
    assert (
        "looks like File:Other one.jpg, which was judged “explicit, in scope”, and was deleted since" in text
    )
    assert "has the bytes of a file that was deleted before" in text
    assert page.links[1:] == [page_address(PAGE_URL, "File:Other one.jpg")]
    wikitext = wikitext_of(ITEM, hint=hint)
    assert "Gone" not in text + wikitext
    assert "looks like [[:File:Other one.jpg|File&#58;Other one.jpg]], which was judged" in wikitext


def test_nothing_flagged_is_said_in_both_files():
    assert "Nothing is waiting" in "".join(page_of().text)
    assert "Nothing is waiting" in wikitext_of()
    assert "<table" not in html_of()


NASTY = [
    "<script>",
    "\"'><img src=x>",
    "</bdi></a>",
    "{{ 7*7 }}",
    "{% raw %}",
    "]]",
    "[[File:A.jpg]]",
    "|-",
    "||",
]
NASTY += ["\n|}", "~~~~", "&lt;", "javascript:alert(1)", "\u202e", "\ud800", "\x00", "</style>"]
hostile = st.text(max_size=30) | st.lists(st.sampled_from(NASTY), max_size=5).map("".join)


@given(hostile, st.none() | hostile, hostile)
def test_hostile_names_add_no_element_and_no_attribute_to_the_page(title, user, model):
    hint = Hint(LookAlike(title, VerdictCode.SFW), (title,))
    page = page_of(replace(ITEM, title=title, user=user, model=model), hint=hint)
    plain = [tag for tag, _ in page_of(replace(ITEM, user="x"), hint=hint).tags if tag not in {"bdi", "span"}]
    assert [tag for tag, _ in page.tags if tag not in {"bdi", "span"}] == plain
    assert page.links[0].startswith("https://commons.wikimedia.org/wiki/")


def test_a_name_that_is_a_template_is_shown_as_it_is():
    assert "{{ 7*7 }}{% raw %}" in page_of(replace(ITEM, title="{{ 7*7 }}{% raw %}")).text


@given(hostile, st.none() | hostile, hostile)
def test_hostile_names_add_no_cell_row_or_markup_to_the_wikitext(title, user, model):
    hint = Hint(LookAlike(title, VerdictCode.SFW), (title,))
    text = wikitext_of(replace(ITEM, title=title, user=user, model=model), hint=hint)
    *_, separator, row, end = text.splitlines()
    assert (separator, end) == ("|-", "|}")
    assert row.count("||") == 5
    assert "{{" not in text
    assert "<" not in text.replace("<br />", "")
    assert text.count("<br />") == 2
    assert text.count("[[") == text.count("[[:")


@pytest.mark.parametrize(
    ("frame", "text"),
    [
        (FrameScore(1), "picture"),
        (FrameScore(1, page=2), "page 2"),
        (FrameScore(1, at_s=0), "0:00"),
        (FrameScore(1, at_s=12.9), "0:12"),
        (FrameScore(1, at_s=3723), "1:02:03"),
    ],
)
def test_a_position_is_a_page_or_a_time(frame: FrameScore, text: str):
    assert position(frame) == text


def test_titles_are_percent_encoded_in_addresses():
    address = page_address(PAGE_URL, 'File:a b"?#%&<ä>/c.jpg')
    assert address == "https://commons.wikimedia.org/wiki/File:a_b%22%3F%23%25%26%3C%C3%A4%3E/c.jpg"


def test_the_files_are_private_and_replaced_whole(tmp_path: Path):
    directory = tmp_path / "report"
    previous = os.umask(0)
    try:
        write_report([ITEM], directory, page_url=PAGE_URL, generated_at=NOW)
        before = (directory / "index.html").stat().st_ino
        write_report([], directory, page_url=PAGE_URL, generated_at=NOW + timedelta(hours=1))
    finally:
        os.umask(previous)
    assert sorted(path.name for path in directory.iterdir()) == ["index.html", "index.wiki"]
    assert directory.stat().st_mode & 0o777 == 0o700
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in directory.iterdir())
    assert (directory / "index.html").stat().st_ino != before


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ServiceDown, match=r"report\.directory"):
        write_report([], tmp_path / "file" / "r", page_url=PAGE_URL, generated_at=NOW)

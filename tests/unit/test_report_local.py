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


def page_of(*items: FlaggedItem, **summary: int) -> Page:
    return Page(render_html(items, page_url=PAGE_URL, generated_at=NOW, summary=summary))


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
    html = render_html([item], page_url=PAGE_URL, generated_at=NOW, summary={})
    wikitext = render_wikitext([item], generated_at=NOW, summary={})
    for text in (html, wikitext):
        assert "scope review" in text
        assert not re.search(r"(?i)\bnsfw\b|porn|explicit|offen|violat|delete", text)


def test_nothing_flagged_is_said_in_both_files():
    assert "Nothing is waiting" in "".join(page_of().text)
    assert "Nothing is waiting" in render_wikitext([], generated_at=NOW, summary={})
    assert "<table" not in render_html([], page_url=PAGE_URL, generated_at=NOW, summary={})


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
    html = render_html(
        [replace(ITEM, title=title, user=user, model=model)], page_url=PAGE_URL, generated_at=NOW, summary={}
    )
    plain = [tag for tag, _ in page_of(replace(ITEM, user="x")).tags if tag not in {"bdi", "span"}]
    page = Page(html)
    assert [tag for tag, _ in page.tags if tag not in {"bdi", "span"}] == plain
    assert page.links[0].startswith("https://commons.wikimedia.org/wiki/")


def test_a_name_that_is_a_template_is_shown_as_it_is():
    assert "{{ 7*7 }}{% raw %}" in page_of(replace(ITEM, title="{{ 7*7 }}{% raw %}")).text


@given(hostile, st.none() | hostile, hostile)
def test_hostile_names_add_no_cell_row_or_markup_to_the_wikitext(title, user, model):
    text = render_wikitext([replace(ITEM, title=title, user=user, model=model)], generated_at=NOW, summary={})
    *_, separator, row, end = text.splitlines()
    assert (separator, end) == ("|-", "|}")
    assert row.count("||") == 5
    assert "{{" not in text
    assert "<" not in text
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

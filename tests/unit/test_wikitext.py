import html
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.review.wikitext import escape, file_link, printable

HARMLESS = re.compile(r"(?:[^\W_]|[ .,()]|&#[0-9]+;)*")
MARKS = [
    "[[",
    "]]",
    "{{",
    "}}",
    "|",
    "||",
    "~~~~",
    "<",
    ">",
    "__TOC__",
    "__NOTOC__",
    "-{",
    "}-",
    "//",
    "''",
    "=",
]
MARKS += [
    "http://x.example",
    "mailto:a@b",
    "*",
    "#REDIRECT",
    ":",
    ";",
    "&lt;",
    "&#91;",
    "%5B",
    "<nowiki>",
    "-->",
]
MARKS += ["!!", "{{!}}", "{|", "|}", "----", "＿＿目次＿＿", "File:", "[[File:A.jpg]]"]
SPACED = [
    "RFC 1",
    "ISBN 0123456789",
    "PMID 1",
    " ",
    "\n",
    "\r",
    "\t",
    "\u202e",
    "\u2028",
    "\x7f",
    "\ud800",
    "\u200d",
]
markup = st.lists(st.sampled_from([*MARKS, *SPACED]) | st.text(max_size=6), max_size=12).map("".join)


@given(markup)
@example("[[File:Bad.jpg|thumb]]{{Delete}}~~~~")
def test_only_letters_digits_spaces_and_references_are_left(text: str):
    escaped = escape(text)
    assert HARMLESS.fullmatch(escaped), escaped
    for mark in ("[[", "{{", "}}", "|", "~~~", "<", ">", "\n", "__", "-{", "//", "''", "==", "*", ":"):
        assert mark not in escaped


@given(markup)
def test_the_reader_sees_what_was_written_but_for_invisible_characters(text: str):
    assert html.unescape(escape(text)) == printable(text)


@given(markup)
def test_what_was_escaped_can_be_escaped_again_without_becoming_markup(text: str):
    assert HARMLESS.fullmatch(escape(escape(text)))


@pytest.mark.parametrize("text", ["RFC 1149", "see ISBN 0123456789", "PMID 1"])
def test_numbers_do_not_become_magic_links(text: str):
    assert not re.search(r"(?:RFC|PMID|ISBN)\s+[0-9]", escape(text))


def test_persian_names_and_emoji_keep_their_joiners_and_their_link():
    assert file_link("File:می\u200cخواهم.jpg") == "[[:File:می&#8204;خواهم.jpg|File&#58;می&#8204;خواهم.jpg]]"


@given(markup)
def test_printable_is_one_line_without_direction_tricks(text: str):
    shown = printable(text)
    assert shown == shown.strip()
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]", shown)
    shown.encode()


@pytest.mark.parametrize(
    ("title", "link"),
    [
        ("File:Example.jpg", "[[:File:Example.jpg|File&#58;Example.jpg]]"),
        ("File:A (b), c.jpg", "[[:File:A (b), c.jpg|File&#58;A (b), c.jpg]]"),
        ("File:Äbc 日本.png", "[[:File:Äbc 日本.png|File&#58;Äbc 日本.png]]"),
        ("File:It's__TOC__.jpg", "[[:File:It&#39;s&#95;&#95;TOC&#95;&#95;.jpg|"
         "File&#58;It&#39;s&#95;&#95;TOC&#95;&#95;.jpg]]"),
    ],
)  # fmt: skip
def test_a_file_is_linked_and_never_embedded(title: str, link: str):
    assert file_link(title) == link


@given(markup)
def test_no_title_breaks_out_of_its_link_or_embeds_anything(name: str):
    link = file_link(f"File:{name}")
    if link.startswith("["):
        inner = re.fullmatch(r"\[\[:([^\[\]{}|<>\n~]*)\|([^\[\]{}|<>\n~:]*)\]\]", link)
        assert inner, link
        assert "__" not in inner[1]
        assert "''" not in inner[1]
    else:
        assert HARMLESS.fullmatch(link)


NO_TITLES = ["", "File:", "File:A|B.jpg", "File:A]].jpg", "File:A#b.jpg", "File:A\nB.jpg", "File:a%5Bb.jpg"]
NO_TITLES += [
    "File:&lt;.jpg",
    "File:~~~~.jpg",
    "File:{{A}}.jpg",
    "File:\u202egpj.exe",
    "bare",
    "File:" + "ä" * 128,
]


@pytest.mark.parametrize("title", NO_TITLES)
def test_what_mediawiki_would_not_take_for_a_title_is_shown_and_not_linked(title: str):
    assert "[[" not in file_link(title)

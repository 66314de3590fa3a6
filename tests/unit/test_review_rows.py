import html
import re
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.review.merging import new_page
from bot.review.rows import (
    FACTS,
    HINTED,
    MAX_COMMENT_CHARS,
    OPINION,
    ReviewRow,
    parse_rows,
    render_row,
    shuffled,
)
from bot.review.wikitext import printable
from storage.review_values import Hint, LookAlike, VerdictCode
from storage.values import FrameScore, ReviewReason

BOT = "Review_Bot".replace("_", " ")
START = f"{{{{User:{BOT}/Review/item|"
MARKS = [
    *(
        "[[",
        "]]",
        "{{",
        "}}",
        "{{{",
        "}}}",
        "|",
        "||",
        "~~~",
        "~~~~~",
        "<",
        ">",
        "__TOC__",
        "-{",
        "}-",
        "''",
        "=",
    ),
    *(
        "//",
        "[[Category:X]]",
        "[[de:X]]",
        "{{subst:x}}",
        "<nowiki>",
        "</nowiki>",
        "<!--",
        "-->",
        "|verdict=sfw",
    ),
    "}}\n{{User:Review Bot/Review/item|id=a-1|verdict=sfw}}",
    *(
        "&lt;",
        "&#91;",
        "%5B",
        "#",
        "*",
        ":",
        ";",
        "RFC 1",
        "ISBN 0123456789",
        "http://x.example",
        "\n",
        "\t",
        " ",
    ),
    *("\u202e", "\u2066", "\u200b", "\u00ad", "\u2028", "\x00", "\ud800", "\ufffe", "{{!}}", "----", "__"),
    *("É", "ß", "漢", "👩‍🔬"),
]
SPACES_AND_DIRECTIONS = (
    "\u0085\u00a0\u1680\u180e\u2028\u2029\u202f\u205f\u3000\u200e\u200f\u202a\u202b\u202c\u202d\u202e"
)
PARTS_OF_ROWS = [START, START + "id=w-1|verdict=", "}", "{", "id=w-2|"]
nasty = st.lists(st.sampled_from(MARKS) | st.text(max_size=6), max_size=10).map("".join)
TITLE_CHARACTERS = st.characters(
    exclude_characters="#<>[]|{}\x7f\ufffd" + SPACES_AND_DIRECTIONS,
    exclude_categories=["Cc", "Cs", "Zs", "Zl", "Zp"],
).filter(lambda c: ord(c) & 0xFFFE != 0xFFFE and not 0xFDD0 <= ord(c) <= 0xFDEF)
real_titles = st.text(TITLE_CHARACTERS | st.sampled_from(" .,-()'&+~_"), min_size=1, max_size=60).map(
    lambda name: " ".join(name.replace("_", " ").split()) or "A"
)
titles = (real_titles | nasty).map(lambda name: f"File:{name}")
rows = st.builds(
    ReviewRow,
    item_id=st.from_regex(r"[a-z]{1,8}-[0-9]{1,9}", fullmatch=True),
    title=titles,
    worst=st.builds(
        FrameScore, st.just(0.9), at_s=st.none() | st.floats(0, 9999), page=st.none() | st.integers(1, 900)
    ),
    uploader=st.none() | nasty,
    uploader_edits=st.none() | st.integers(0, 10**7),
    uploader_since=st.none() | st.dates(),
    uploader_groups=st.lists(nasty, max_size=3).map(tuple),
    other_flagged=st.integers(0, 99),
    in_use=st.none() | st.booleans(),
    states=st.frozensets(st.sampled_from(["deleted", "overwritten", "moved"])),
    verdict=st.none() | st.sampled_from(list(VerdictCode)),
    comment=nasty,
    score=st.none() | st.floats(0, 1),
    reason=st.none() | st.sampled_from(list(ReviewReason)),
    hint=st.builds(
        Hint,
        st.none() | st.builds(LookAlike, titles, st.sampled_from(list(VerdictCode)), st.booleans()),
        st.lists(titles, max_size=2).map(tuple),
    ),
)


def row(item_id: str = "w-1", **changes: object) -> ReviewRow:
    return ReviewRow(**{"item_id": item_id, "title": "File:A.jpg", "worst": FrameScore(0.9), **changes})  # type: ignore[arg-type]


@given(rows)
def test_what_is_written_is_read_back_the_same(wanted: ReviewRow) -> None:
    (found,) = parse_rows(render_row(wanted, BOT), BOT)
    assert (found.item_id, found.verdict) == (wanted.item_id, wanted.verdict)
    if len(printable(wanted.comment)) <= MAX_COMMENT_CHARS:
        assert found.comment == printable(wanted.comment)
    assert found.parameters["file"] == printable(wanted.title.removeprefix("File:"))
    assert found.parameters["uploader"] == printable(wanted.uploader or "")
    assert found.parameters["groups"] == printable(", ".join(wanted.uploader_groups))
    assert found.shows_score == (wanted.score is not None or wanted.reason is not None)
    like = wanted.hint.look_alike
    if like is not None:
        assert found.parameters["like"] == printable(like.title.removeprefix("File:"))
        assert (found.parameters["judged"], "likestate" in found.parameters) == (like.verdict, like.deleted)
    assert ("like" in found.parameters, "deletedas" in found.parameters) == (
        like is not None,
        wanted.hint.deleted_as != (),
    )
    assert found.shows_hint == any(found.parameters.get(name) for name in HINTED)
    assert not found.damaged
    assert not found.locked


@given(rows)
@example(row(title="File:~~~~.jpg", uploader="{{subst:x}}", comment="[[Category:X]]"))
def test_a_row_is_one_line_and_one_template_whose_values_cannot_act(wanted: ReviewRow) -> None:
    line = render_row(wanted, BOT)
    assert line.startswith(START)
    assert line.endswith("}}")
    assert len(line.splitlines()) == 1
    inside = line[len(START) : -2]
    names = [part.partition("=")[0] for part in inside.split("|")]
    assert names[:12] == ["id", *FACTS, *OPINION]
    assert set(names[12:]) <= {"score", "reason", *HINTED}
    for part in inside.split("|"):
        value = re.sub(r"&#[0-9]+;", "", part.partition("=")[2])
        assert not re.search(r"[\[\]{}<>~'\"=|&#*;]|__|//|-\{|\}-", value)


@given(real_titles)
@example("soft\u00adhyphen.jpg")
@example("ISBN 0123456789.jpg")
def test_the_title_that_a_link_gets_is_the_file_s_own(name: str) -> None:
    value = re.search(r"\|file=([^|]*)\|", render_row(row(title=f"File:{name}"), BOT))
    assert value
    assert re.sub(r"&#([0-9]+);", lambda match: chr(int(match[1])), value[1]) == name


@given(st.lists(rows, max_size=6, unique_by=lambda wanted: wanted.item_id))
def test_hostile_values_never_change_the_number_of_rows(wanted: list[ReviewRow]) -> None:
    found = parse_rows(new_page(wanted, BOT), BOT)
    assert [each.item_id for each in found] == [each.item_id for each in wanted]


@given(
    st.lists(
        st.sampled_from([*MARKS, START, START + "id=w-1|verdict=", "}}", "}", "{", "id=w-2|"])
        | st.text(max_size=8),
        max_size=25,
    )
)
def test_no_text_makes_reading_fail(parts: list[str]) -> None:
    text = "".join(parts)
    found = parse_rows(text, BOT)
    assert all(0 <= one.start < one.end <= len(text) for one in found)
    assert all(one.end <= two.start for one, two in pairwise(found))


SFW = START + "id=w-1|verdict=sfw|comment="


@pytest.mark.parametrize(
    ("text", "verdict", "comment"),
    [
        (SFW + "ok}}", "sfw", "ok"),
        (START + "id=w-1|comment=ok|verdict=sfw}}", "sfw", "ok"),
        (START + "id= w-1 \n| verdict = SFW \n| comment = ok \n}}", "sfw", "ok"),
        (START + "id=w-1|verdict= Nsfw-Keep <!-- sure -->|comment=}}", "nsfw-keep", ""),
        (START + "id=w-1|verdict=sfw|verdict=unsure|comment=}}", "unsure", ""),
        (SFW + "{{tl|x|verdict=unsure}} and [[A|b]]}}", "sfw", "{{tl|x|verdict=unsure}} and [[A|b]]"),
        (SFW + "two\nlines\n\nand more}}", "sfw", "two lines and more"),
        (SFW + "a &amp; b &#91;x&#93; &nosuch; &}}", "sfw", "a & b [x] &nosuch; &"),
        (SFW + "<nowiki>|verdict=unsure}}</nowiki>}}", "sfw", "<nowiki>|verdict=unsure}}</nowiki>"),
        (SFW + "[[broken {{{x}}", "sfw", "[[broken {{{x}}"),
        ("{{ user:review_Bot/Review/Item |id=w-1|verdict=sfw|comment=}}", "sfw", ""),
        ("{{:User:Review Bot/Review/item|id=w-1|verdict=sfw|comment=}}", "sfw", ""),
        ("{{Benutzer:Review Bot/Review/item|id=w-1|verdict=sfw|comment=}}", "sfw", ""),
        ("{|\n|-\n| " + SFW + "}}", "sfw", ""),
        ("{{collapse|" + SFW + "}}}}", "sfw", ""),
        ("<div><nowiki>" + SFW + "}}", "sfw", ""),
        (SFW + "" + "[[x" * 900 + "}}", "sfw", "[[x" * 900),
    ],
)  # fmt: skip
def test_a_row_is_read_however_people_leave_it(text: str, verdict: str, comment: str) -> None:
    (found,) = parse_rows(text, BOT)
    assert (found.item_id, found.verdict, found.comment) == ("w-1", VerdictCode(verdict), comment)


@pytest.mark.parametrize("word", ["nsfw", "delete", "sfw!", "nsfw delete", "{{sfw}}", "yes", "s fw"])
def test_a_word_that_is_no_code_is_kept_and_is_no_verdict(word: str) -> None:
    (found,) = parse_rows(f"{START}id=w-1|verdict={word}|comment=}}}}", BOT)
    assert found.verdict is None
    assert found.word == word


@pytest.mark.parametrize(
    "text",
    [
        "<!-- " + START + "id=w-1|verdict=sfw}} -->",
        "<nowiki>" + START + "id=w-1|verdict=sfw}}</nowiki>",
        START + "verdict=sfw}}",
        START + "id=|verdict=sfw}}",
        START + "id=[[x]]|verdict=sfw}}",
        "{{User:Other Bot/Review/item|id=w-1|verdict=sfw}}",
        "{{User:Review Bot/Review/items|id=w-1|verdict=sfw}}",
        "{{Review Bot/Review/item|id=w-1|verdict=sfw}}",
    ],
)
def test_what_is_no_row_is_not_read_as_one(text: str) -> None:
    assert parse_rows(text, BOT) == []


@pytest.mark.parametrize("end", ["", "}", " }", "  "])
def test_a_row_that_lost_its_braces_is_read_and_takes_no_other_with_it(end: str) -> None:
    second_line = START + "id=w-2|verdict=unsure|comment=}}"
    text = f"{SFW}{{{{tl|x}}}} y{end}\n{second_line}\n{{{{end}}}}"
    first, second = parse_rows(text, BOT)
    assert (first.item_id, first.word, first.comment, first.damaged) == ("w-1", "sfw", "{{tl|x}} y", True)
    assert (second.item_id, second.word, second.damaged) == ("w-2", "unsure", False)


def test_a_row_quoted_in_a_comment_is_a_part_of_that_comment() -> None:
    (found,) = parse_rows(f"{START}id=w-1|verdict=sfw|comment=as {START}id=w-2|verdict=unsure}}}}}}}}", BOT)
    assert found.item_id == "w-1"


def test_a_row_is_found_at_its_place() -> None:
    line = START + "id=w-1|verdict=sfw}}"
    (found,) = parse_rows(f"before {line}}}}} after", BOT)
    assert (found.start, found.end, found.source) == (len("before "), len("before ") + len(line), line)


def test_the_order_of_rows_depends_on_seed_and_id_alone() -> None:
    many = [row(f"w-{number}") for number in range(50)]
    order = [each.item_id for each in shuffled(many, "page")]
    assert order == [each.item_id for each in shuffled(reversed(many), "page")]
    assert order != [each.item_id for each in many]
    assert order != [each.item_id for each in shuffled(many, "other page")]
    part = [each.item_id for each in shuffled(many[::2], "page")]
    assert part == [item_id for item_id in order if item_id in set(part)]


def test_a_long_comment_is_put_back_in_part() -> None:
    (found,) = parse_rows(render_row(row(comment="x" * 2000), BOT), BOT)
    assert found.comment == "x" * (MAX_COMMENT_CHARS - 1) + "…"


@pytest.mark.parametrize(
    ("frame", "value"),
    [
        (FrameScore(0.9, 12.9), "0:12"),
        (FrameScore(0.9, 3723.0), "1:02:03"),
        (FrameScore(0.9, None, 2), "p. 2"),
        (FrameScore(0.9), ""),
    ],
)
def test_the_position_is_written_plainly(frame: FrameScore, value: str) -> None:
    assert f"|at={value}|" in render_row(row(worst=frame), BOT)


@pytest.mark.parametrize("item_id", ["", "a|b", "a}}", "a__TOC__b", "-a", "a b", "a\n"])
def test_an_id_that_could_act_is_refused(item_id: str) -> None:
    with pytest.raises(ValueError, match="id"):
        row(item_id)


def test_every_entity_that_the_bot_writes_is_numeric() -> None:
    line = render_row(row(title="File:A & B <x>.jpg", comment='"quoted" & more'), BOT)
    assert html.unescape(line).count("&") == 2
    assert not re.search(r"&(?!#[0-9]+;)", line)

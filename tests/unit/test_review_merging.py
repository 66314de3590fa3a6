import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.review.merging import footer_call, header_call, merge_page, new_page
from bot.review.rows import ReviewRow, parse_rows, render_row
from storage.review_values import VerdictCode
from storage.values import FrameScore, ReviewReason

BOT = "TestBot"
START = f"{{{{User:{BOT}/Review/item|"


def row(number: int, **changes: object) -> ReviewRow:
    values = {"item_id": f"w-{number}", "title": f"File:{number}.jpg", "worst": FrameScore(0.9), **changes}
    return ReviewRow(**values)  # type: ignore[arg-type]


ROWS = [row(number) for number in range(1, 5)]
LINES = [render_row(each, BOT) for each in ROWS]
PAGE = new_page(ROWS, BOT)


def ids(text: str) -> list[str]:
    return [found.item_id for found in parse_rows(text, BOT)]


def judged(number: int, verdict: str, comment: str = "") -> str:
    return LINES[number - 1].replace("verdict=|comment=", f"verdict={verdict}|comment={comment}")


def test_a_new_page_has_header_rows_and_footer() -> None:
    assert PAGE.splitlines() == [header_call(BOT), *LINES, footer_call(BOT)]


def test_facts_are_refreshed_and_opinions_stay() -> None:
    text = PAGE.replace(LINES[1], judged(2, "sfw", "see [[x]] ~ {{tl|y}}"))
    wanted = [ROWS[0], row(2, uploader="New|Name", in_use=True, states=frozenset({"deleted"})), *ROWS[2:]]
    merged = merge_page(text, wanted, BOT)
    assert "|verdict=sfw|comment=see [[x]] ~ {{tl|y}}}}" in merged
    found = parse_rows(merged, BOT)[1]
    assert (found.parameters["uploader"], found.parameters["inuse"], found.parameters["state"]) == (
        "New|Name", "yes", "deleted",
    )  # fmt: skip
    assert merged.replace(merged.splitlines()[2], LINES[1]) == PAGE


@pytest.mark.parametrize("word", ["", "unsure", "nsfw???"])
def test_what_a_person_wrote_is_never_replaced_by_what_the_store_knows(word: str) -> None:
    text = PAGE.replace(LINES[0], judged(1, word, "mine"))
    wanted = [row(1, verdict=VerdictCode.SFW, comment="stored"), *ROWS[1:]]
    assert merge_page(text, wanted, BOT) == text


def test_a_missing_row_comes_back_in_its_place_with_the_stored_verdict() -> None:
    wanted = [ROWS[0], row(2, verdict=VerdictCode.SFW, comment="stored"), *ROWS[2:]]
    merged = merge_page(PAGE.replace(LINES[1] + "\n", ""), wanted, BOT)
    assert ids(merged) == ["w-1", "w-2", "w-3", "w-4"]
    found = parse_rows(merged, BOT)[1]
    assert (found.verdict, found.comment) == (VerdictCode.SFW, "stored")


@pytest.mark.parametrize("gone", [[1], [4], [1, 2], [3, 4], [1, 3], [1, 2, 3, 4]])
def test_missing_rows_come_back_in_order(gone: list[int]) -> None:
    text = PAGE
    for number in gone:
        text = text.replace(LINES[number - 1] + "\n", "")
    assert merge_page(text, ROWS, BOT) == PAGE


def test_a_blanked_page_comes_back_as_a_whole() -> None:
    assert merge_page("", ROWS, BOT) == PAGE


def test_rows_that_people_reordered_stay_where_they_are() -> None:
    text = "\n".join([header_call(BOT), "== mine ==", *reversed(LINES), "bye", footer_call(BOT)]) + "\n"
    assert merge_page(text, ROWS, BOT) == text


def test_rows_that_people_reformatted_keep_their_form() -> None:
    text = PAGE.replace(LINES[0], LINES[0].replace("|", "\n | ").replace("=", " = ").replace("}}", "\n}}"))
    merged = merge_page(text, [row(1, other_flagged=7), *ROWS[1:]], BOT)
    assert merged == text.replace("others = 0", "others = 7", 1)


def test_doubles_that_nobody_wrote_into_go_away() -> None:
    text = PAGE.replace(LINES[3], LINES[3] + "\n" + LINES[0] + "\n" + judged(1, "sfw"))
    merged = merge_page(text, ROWS, BOT)
    assert ids(merged) == ["w-2", "w-3", "w-4", "w-1"]
    assert parse_rows(merged, BOT)[3].verdict is VerdictCode.SFW


def test_doubles_that_people_wrote_into_all_stay() -> None:
    text = PAGE.replace(
        LINES[3], "\n".join([LINES[3], judged(1, "unsure"), judged(1, "", "a remark"), judged(1, "?")])
    )
    merged = merge_page(text, ROWS, BOT)
    assert [(found.word, found.comment) for found in parse_rows(merged, BOT) if found.item_id == "w-1"] == [
        ("unsure", ""), ("", "a remark"), ("?", ""),
    ]  # fmt: skip


def test_a_double_with_a_person_s_own_parameter_stays() -> None:
    text = PAGE.replace(LINES[3], LINES[3] + "\n" + LINES[0].replace("}}", "|note=x}}"))
    assert "|note=x}}" in merge_page(text, ROWS, BOT)


def test_rows_of_other_ids_stay_as_they_are() -> None:
    strange = f"{START}id=w-99|verdict=sfw}}}}"
    text = PAGE.replace(LINES[0], LINES[0] + "\n" + strange)
    assert merge_page(text, ROWS, BOT) == text


def test_a_row_that_lost_its_braces_gets_them_back_with_its_verdict() -> None:
    text = PAGE.replace(LINES[1], judged(2, "sfw", "x")[:-2])
    assert merge_page(text, ROWS, BOT) == PAGE.replace(LINES[1], judged(2, "sfw", "x"))


def test_a_row_with_excessive_markup_is_read_but_not_rewritten() -> None:
    text = PAGE.replace(LINES[1], judged(2, "sfw", "[[" * 500))
    assert merge_page(text, [ROWS[0], row(2, other_flagged=9), *ROWS[2:]], BOT) == text


def test_parameters_that_people_removed_come_back_in_their_place() -> None:
    text = PAGE.replace(LINES[0], START + "id=w-1|comment=x}}")
    assert merge_page(text, ROWS, BOT).splitlines()[1] == judged(1, "", "x")


def test_score_and_reason_come_and_go_as_they_are_disclosed() -> None:
    open_row = row(1, score=0.91, reason=ReviewReason.AUDIT)
    shown = merge_page(PAGE, [open_row, *ROWS[1:]], BOT)
    assert shown.splitlines()[1] == LINES[0][:-2] + "|score=0.91|reason=audit}}"
    assert merge_page(shown, ROWS, BOT) == PAGE


def test_header_and_footer_come_back_and_text_between_stays() -> None:
    text = "intro\n" + "\n\n".join(LINES) + "\n<!-- " + footer_call(BOT) + " -->"
    merged = merge_page(text, ROWS, BOT)
    assert merged == f"{header_call(BOT)}\n{text}\n{footer_call(BOT)}\n"


def test_rows_do_not_come_back_inside_a_comment() -> None:
    text = f"<!-- {LINES[0]}\n{footer_call(BOT)} -->\n"
    merged = merge_page(text, ROWS, BOT)
    assert ids(merged) == ["w-1", "w-2", "w-3", "w-4"]
    assert merge_page(merged, ROWS, BOT) == merged


PARTS = [
    *LINES,
    *(line + "\n" for line in LINES),
    *(line[:-2] + "\n" for line in LINES),
    *(judged(1, "sfw", "a"), judged(2, "nsfw-keep"), judged(1, "unsure")),
    *(START, START + "id=w-1|verdict=sfw", "|comment=hello", "|verdict=nsfw-delete", "|id=w-3"),
    *("}}", "{{", "}", "\n", "<!--", "-->", "<nowiki>", "</nowiki>", "[[", "{|", "{{tl|x}}", "text", " "),
    *(header_call(BOT), footer_call(BOT)),
]
pages = st.lists(st.sampled_from(PARTS) | st.text(max_size=5), max_size=20).map("".join)


@given(pages)
def test_after_a_merge_every_item_is_there_and_a_second_merge_changes_nothing(text: str) -> None:
    merged = merge_page(text, ROWS, BOT)
    assert set(ids(merged)) >= {each.item_id for each in ROWS}
    assert merge_page(merged, ROWS, BOT) == merged


@given(pages)
def test_a_merge_never_loses_a_verdict_or_a_comment(text: str) -> None:
    before = [(each.item_id, each.word, each.comment) for each in parse_rows(text, BOT) if each.has_opinion]
    after = [(each.item_id, each.word, each.comment) for each in parse_rows(merge_page(text, ROWS, BOT), BOT)]
    for opinion in before:
        assert after.count(opinion) >= before.count(opinion)


@given(pages)
def test_a_merge_invents_no_opinion(text: str) -> None:
    before = [(each.item_id, each.word, each.comment) for each in parse_rows(text, BOT)]
    after = [(each.item_id, each.word, each.comment) for each in parse_rows(merge_page(text, ROWS, BOT), BOT)]
    assert {each for each in after if each[1] or each[2]} <= set(before)


@given(pages)
@example(START + "<nowiki>" + LINES[0][:-2] + "\n</nowiki>")
def test_what_stands_outside_the_rows_stays(text: str) -> None:
    def outside(page: str) -> str:
        kept, at = [], 0
        for found in parse_rows(page, BOT):
            kept.append(page[at : found.start])
            at = found.end
        left = "".join([*kept, page[at:]])
        return "".join(left.replace(header_call(BOT), "").replace(footer_call(BOT), "").split())

    assert outside(merge_page(text, ROWS, BOT)) == outside(text)

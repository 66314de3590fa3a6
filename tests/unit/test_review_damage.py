"""The writing pass against people, vandals, and a wiki that refuses or does not answer."""

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from bot.errors import ServiceDown
from bot.wiki_values import RefusalCode
from storage.review_values import ReviewState, VerdictCode
from tests.fake_wiki import BOT, down
from tests.review_items import item_id
from tests.review_office import DAY, INDEX, Office, opened

SECOND = f"{DAY}/2"


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    """Four rows on two pages."""
    with opened(tmp_path, rows_per_page=2) as made:
        made.put_up(range(1, 5))
        made.pass_by()
        assert (len(made.ids()), len(made.ids(SECOND))) == (2, 2)
        yield made


def here(office: Office) -> int:
    """The number of an item on the first page."""
    return int(office.ids()[0].rpartition("-")[2])


def there(office: Office) -> int:
    """The number of an item on the second page."""
    return int(office.ids(SECOND)[0].rpartition("-")[2])


def cut(office: Office, number: int, title: str = DAY) -> str:
    """Take a row off a page by hand; returns the row."""
    line = office.line(number, title)
    office.wiki.edit("Bea", title, office.wiki.text(title).replace(line + "\n", ""))
    return line


def paste(office: Office, line: str, title: str = SECOND) -> None:
    """Put a row on a page by hand."""
    footer = f"{{{{User:{BOT}/Review/footer}}}}"
    office.wiki.edit("Bea", title, office.wiki.text(title).replace(footer, f"{line}\n{footer}"))


def test_a_row_moved_to_another_page_stays_there(office: Office) -> None:
    number = here(office)
    paste(office, cut(office, number))
    for _ in range(3):
        office.pass_by()
        assert office.places(number) == [SECOND]
    assert office.entry(number).page_title == SECOND
    office.give("Ann", number, "sfw", title=SECOND)
    office.pass_by()
    assert office.entry(number).state is ReviewState.CLOSED


def test_a_move_is_followed_while_the_other_page_may_not_be_edited_yet(office: Office) -> None:
    office.set(edit_interval_s=60)
    office.wait(61)
    number = here(office)
    office.give("Ann", there(office), "sfw", title=SECOND)
    office.read()
    office.publish()
    paste(office, cut(office, number))
    office.wait(5)
    office.read()
    office.publish()
    assert office.places(number) == [SECOND]
    office.pass_by()
    assert office.places(number) == [SECOND]


@pytest.mark.parametrize("paste_first", [False, True])
def test_a_move_in_two_edits_with_a_pass_in_between_leaves_one_row(office: Office, paste_first: bool) -> None:
    number = here(office)
    line = office.line(number)
    if paste_first:
        paste(office, line)
        office.pass_by()
        assert len(office.places(number)) == 1
        cut(office, number)
    else:
        cut(office, number)
        office.pass_by()
        paste(office, line)
    office.pass_by()
    office.pass_by()
    assert len(office.places(number)) == 1
    assert office.places(number) == [office.entry(number).page_title]


def test_a_copy_with_somebody_s_words_wins_over_the_empty_row(office: Office) -> None:
    number = here(office)
    paste(office, office.edited_line(number, "", "look at frame 3"))
    office.pass_by()
    office.pass_by()
    assert office.places(number) == [SECOND]
    assert office.row(number, SECOND).comment == "look at frame 3"


def test_copies_with_different_words_both_stay_because_people_wrote_them(office: Office) -> None:
    number = here(office)
    office.give("Ann", number, "", "mine")
    paste(office, office.line(number).replace("comment=mine", "comment=yours"))
    office.pass_by()
    office.pass_by()
    assert office.places(number) == [DAY, SECOND]
    assert (office.row(number).comment, office.row(number, SECOND).comment) == ("mine", "yours")


def test_a_blanked_page_comes_back_with_the_verdicts_that_stood(office: Office) -> None:
    number = here(office)
    office.give("Ann", number, "sfw", "fine")
    office.pass_by()
    office.wiki.edit("Newcomer", DAY, "")
    office.pass_by()
    assert len(office.ids()) == 2
    assert (office.row(number).word, office.row(number).comment) == ("sfw", "fine")
    office.pass_by()
    assert [(one.author, one.code) for one in office.verdicts(number)] == [("Ann", VerdictCode.SFW)]


def test_a_deleted_page_is_made_anew_and_verdicts_on_it_count(office: Office) -> None:
    number = here(office)
    before = office.ids()
    office.wiki.delete(DAY)
    office.pass_by()
    assert office.ids() == before
    office.give("Ann", number, "sfw")
    office.pass_by()
    office.give("Bea", number, "nsfw-keep")
    office.pass_by()
    assert [one.author for one in office.verdicts(number)] == ["Ann", "Bea"]


def test_a_page_moved_away_is_filled_again(office: Office) -> None:
    before = office.ids()
    office.wiki.delete(DAY)
    office.wiki.edit("Newcomer", DAY, "#REDIRECT [[User:Newcomer/Mine]]")
    office.pass_by()
    assert office.ids() == before
    assert "REDIRECT" not in office.wiki.text(DAY)


def test_doubled_rows_become_one(office: Office) -> None:
    number = here(office)
    paste(office, office.line(number), DAY)
    assert office.ids().count(item_id(number)) == 2
    office.pass_by()
    assert office.ids().count(item_id(number)) == 1


def test_what_people_write_around_the_rows_stays(office: Office) -> None:
    office.wiki.edit("Bea", DAY, f"== Hello ==\n{office.wiki.text(DAY)}\n'''bye'''")
    office.put_up([9])
    office.give("Ann", here(office), "sfw")
    office.pass_by()
    text = office.wiki.text(DAY)
    assert text.startswith("== Hello ==\n")
    assert text.endswith("'''bye'''")


def test_an_edit_conflict_is_tried_again_and_loses_nothing(office: Office) -> None:
    number, other = here(office), int(office.ids()[1].rpartition("-")[2])
    office.give("Ann", number, "sfw")
    office.wait(61)
    office.read()

    def meanwhile(title: str) -> None:
        if title == DAY:
            office.wiki.before_write = None
            office.give("Bea", other, "nsfw-delete", "see this")

    office.wiki.before_write = meanwhile
    office.publish()
    assert office.edits("conflict") == 1
    assert not office.row(number).shows_score
    office.read()
    office.publish()
    assert office.row(number).shows_score
    office.pass_by()
    assert [one.author for one in office.verdicts(other)] == ["Bea"]
    assert office.row(other).comment == "see this"


def test_a_verdict_that_the_wiki_merged_with_our_edit_is_read_all_the_same(office: Office) -> None:
    number, other = here(office), int(office.ids()[1].rpartition("-")[2])
    office.give("Ann", number, "sfw")
    office.wait(61)
    office.read()

    def meanwhile(title: str) -> None:
        if title == DAY:
            office.wiki.while_saving = None
            office.give("Bea", other, "nsfw-delete")

    office.wiki.while_saving = meanwhile
    office.publish()
    assert office.row(number).shows_score
    assert office.row(other).word == "nsfw-delete"
    office.pass_by()
    assert [(one.author, one.trusted) for one in office.verdicts(other)] == [("Bea", True)]


@pytest.mark.parametrize("code", get_args(RefusalCode))
def test_a_refused_page_rests_while_the_others_go_on(office: Office, code: RefusalCode) -> None:
    office.wiki.refusals[DAY] = code
    office.wiki.saved.clear()
    for title in (DAY, SECOND):
        office.give("Ann", here(office) if title == DAY else there(office), "sfw", title=title)
    for _ in range(3):
        office.pass_by()
    assert office.edits(code) == 1
    assert SECOND in office.wiki.saved
    assert DAY not in office.wiki.saved
    office.wiki.refusals.clear()
    office.wait(600)
    office.pass_by()
    assert office.row(here(office)).shows_score


def test_nobots_on_a_page_is_obeyed(office: Office) -> None:
    office.wiki.edit("Bea", DAY, "{{nobots}}\n" + office.wiki.text(DAY))
    office.give("Ann", here(office), "sfw")
    office.pass_by()
    assert not office.row(here(office)).shows_score
    assert office.edits("nobots") == 1


@pytest.mark.parametrize("skipped", [(), ("autopatrolled",)])
def test_rows_that_a_full_page_cannot_take_go_to_another(tmp_path: Path, skipped: tuple[str, ...]) -> None:
    with opened(tmp_path) as office:
        office.set(skipped_groups=skipped)
        office.put_up([1, 2])
        office.pass_by()
        office.give("Ann", 1, "sfw")
        office.pass_by()
        office.wiki.size_limit = 10_000
        office.wiki.edit("Newcomer", DAY, office.wiki.text(DAY) + "\n" + "x" * 9_000)
        office.restart()
        office.put_up(range(3, 13))
        for _ in range(3):
            office.wait(700)
            office.pass_by()
        for number in range(1, 13):
            assert office.places(number) == [office.entry(number).page_title]
        assert office.edits("too_big") >= 1
        assert all(len(office.wiki.text(title)) <= 10_000 for title in office.wiki.titles())


def test_a_wiki_that_fails_in_the_middle_of_a_pass_doubles_and_loses_nothing(office: Office) -> None:
    office.give("Ann", here(office), "sfw")
    office.give("Ann", there(office), "sfw", title=SECOND)
    office.wiki.failing[f"write:{SECOND}"] = down()
    office.wiki.saved.clear()
    with pytest.raises(ServiceDown):
        office.pass_by()
    office.wiki.failing.clear()
    office.pass_by()
    office.pass_by()
    assert office.wiki.saved.count(DAY) == 1
    assert office.wiki.saved.count(SECOND) == 1
    assert sorted([*office.ids(), *office.ids(SECOND)]) == [item_id(number) for number in range(1, 5)]


def test_a_page_that_always_fails_does_not_keep_the_others_waiting(office: Office) -> None:
    office.wiki.failing[f"write:{DAY}"] = down()
    office.give("Ann", here(office), "sfw")
    office.give("Ann", there(office), "sfw", title=SECOND)
    for _ in range(2):
        with pytest.raises(ServiceDown):
            office.pass_by()
    assert office.row(there(office), SECOND).shows_score


@pytest.mark.parametrize("method", ["read", "users", "newest"])
def test_no_row_is_lost_whatever_does_not_answer(office: Office, method: str) -> None:
    office.put_up([9], uploader="Somebody")
    office.wiki.failing[method] = down()
    with pytest.raises(ServiceDown):
        office.pass_by()
    office.wiki.failing.clear()
    office.pass_by()
    assert len(office.places(9)) == 1


def test_files_that_cannot_be_asked_about_only_delay(office: Office) -> None:
    office.put_up([9])
    office.asks.failing = down("commons")
    with pytest.raises(ServiceDown):
        office.pass_by()
    office.asks.failing = None
    office.pass_by()
    assert len(office.places(9)) == 1


def test_a_stop_in_the_middle_of_a_pass_ends_it(office: Office) -> None:
    office.give("Ann", here(office), "sfw")
    office.give("Ann", there(office), "sfw", title=SECOND)
    office.read()
    office.wiki.saved.clear()
    answers = iter([True, True])
    office.wait(61)
    office.publisher.publish(office.reading, lambda: next(answers, False))
    assert len(office.wiki.saved) == 1
    assert INDEX not in office.wiki.saved


def test_a_lost_confirmation_costs_no_second_edit(office: Office) -> None:
    office.give("Ann", here(office), "sfw")
    office.wiki.failing["revision"] = down()
    office.wait(61)
    with pytest.raises(ServiceDown):
        office.read()
    del office.wiki.failing["revision"]
    office.read()
    office.wiki.failing["revision"] = down()
    office.publish()
    office.wiki.failing.clear()
    office.wiki.saved.clear()
    for _ in range(2):
        office.pass_by()
    assert DAY not in office.wiki.saved


def test_an_unknown_row_is_nobody_s_and_stays(office: Office) -> None:
    forged = office.line(here(office)).replace(item_id(here(office)), "commonswiki-999999")
    paste(office, forged, DAY)
    office.pass_by()
    assert "commonswiki-999999" in office.ids()
    assert office.line(here(office)) in office.wiki.text(DAY)

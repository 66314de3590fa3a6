from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.review.control import ConfigProblem
from bot.review.index_page import IndexNumbers, PageNumbers, Precision, render_archive, render_index
from bot.review.messages import LANGUAGES, load_messages
from bot.review.pages import (
    FILL_SHARE,
    PageLoad,
    PageStanding,
    Waiting,
    day_of,
    day_title,
    finished_pages,
    place_items,
)

BOT = "TestBot"
MAY_DAY = date(2025, 5, 1)
NOW = datetime(2025, 5, 1, 12, tzinfo=UTC)
ENGLISH = load_messages("en")


def waiting(count: int, day: date = MAY_DAY, size_bytes: int = 100, prefix: str = "w") -> list[Waiting]:
    return [Waiting(f"{prefix}-{number}", day, size_bytes) for number in range(count)]


def place(
    items: list[Waiting], pages: list[PageLoad] | None = None, rows: int = 100, limit: int = 10**6
) -> dict[str, str]:
    return place_items(items, pages or [], bot_name=BOT, rows_per_page=rows, max_page_bytes=limit)


def test_items_fill_the_pages_of_their_day_in_order() -> None:
    titles = list(place(waiting(5), rows=2).values())
    first = f"User:{BOT}/Review/2025-05-01"
    assert titles == [first, first, f"{first}/2", f"{first}/2", f"{first}/3"]


def test_items_of_another_day_go_on_its_page() -> None:
    placed = place([*waiting(1), *waiting(1, date(2025, 5, 2), prefix="v")])
    assert set(placed.values()) == {day_title(BOT, MAY_DAY), day_title(BOT, date(2025, 5, 2))}


def test_pages_that_are_there_are_filled_up_first() -> None:
    pages = [PageLoad(day_title(BOT, MAY_DAY), 99, 5000), PageLoad(day_title(BOT, MAY_DAY, 2), 10, 5000)]
    assert (
        list(place(waiting(3), pages).values())
        == [day_title(BOT, MAY_DAY)] + [day_title(BOT, MAY_DAY, 2)] * 2
    )


def test_archived_pages_take_nothing_and_their_numbers_are_not_used_again() -> None:
    pages = [PageLoad(day_title(BOT, MAY_DAY, 2), 1, 10, archived=True)]
    assert list(place(waiting(1), pages).values()) == [day_title(BOT, MAY_DAY, 3)]


def test_the_wiki_s_page_size_is_kept_with_room_for_what_people_write() -> None:
    placed = place(waiting(10, size_bytes=99), limit=800)
    assert sorted(placed.values()).count(day_title(BOT, MAY_DAY)) == 800 * FILL_SHARE // 100


def test_a_row_larger_than_a_page_gets_one_of_its_own() -> None:
    assert len(set(place(waiting(3, size_bytes=5000), limit=1000).values())) == 3


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 400)), max_size=60),
    st.integers(1, 10),
    st.integers(500, 5000),
)
def test_no_page_gets_too_many_rows_or_bytes(items: list[tuple[int, int]], rows: int, limit: int) -> None:
    todo = [Waiting(f"w-{n}", MAY_DAY + timedelta(days=day), size) for n, (day, size) in enumerate(items)]
    placed = place(todo, rows=rows, limit=limit)
    assert list(placed) == [item.item_id for item in todo]
    for title in set(placed.values()):
        on_page = [item for item in todo if placed[item.item_id] == title]
        assert len(on_page) <= rows
        assert len(on_page) == 1 or sum(item.size_bytes + 1 for item in on_page) <= limit * FILL_SHARE
        assert {day_title(BOT, item.day) for item in on_page} == {
            title.partition("/2025")[0] + title[title.index("/2025") :][:11]
        }


@pytest.mark.parametrize("number", [1, 2, 30])
def test_a_title_tells_its_day_and_number(number: int) -> None:
    assert day_of(BOT, day_title(BOT, MAY_DAY, number)) == (MAY_DAY, number)


@pytest.mark.parametrize(
    "name", ["", "/Guide", "/2025-13-01", "/2025-05-01/x", "/2025-05-01/0", "/2025-05-01/2/3", "x/2025-05-01"]
)
def test_other_titles_are_no_dated_pages(name: str) -> None:
    assert day_of(BOT, f"User:{BOT}/Review{name}") is None


@pytest.mark.parametrize(
    ("undecided", "rows", "age_s", "archived"),
    [(0, 5, 100, True), (0, 5, 99, False), (1, 5, 900, False), (0, 0, 900, False)],
)
def test_a_page_is_archived_when_all_is_decided_and_has_rested(
    undecided: int, rows: int, age_s: int, archived: bool
) -> None:
    page = PageStanding("P", undecided, rows, NOW - timedelta(seconds=age_s))
    assert finished_pages([page], NOW, 100) == (["P"] if archived else [])


def index(**changes: object) -> str:
    values = {"open": 12, "disputed": 3, "done": 45, "precision": None, "pages": (), **changes}
    return render_index(IndexNumbers(**values), BOT, ENGLISH, NOW)  # type: ignore[arg-type]


def test_the_index_tells_numbers_pages_and_how_to_stop_the_bot() -> None:
    page = day_title(BOT, MAY_DAY)
    text = index(precision=Precision(0.824, 0.75, 0.881, 120), pages=[PageNumbers(page, 7, 2, 91)])
    assert "* Open: 12\n* Disputed: 3\n* Done: 45" in text
    assert "82 %" in text
    assert "75 % to 88 %" in text
    assert "120 reviews" in text
    assert f"| [[{page}]] || 7 || 2 || 91" in text
    assert f"[[User:{BOT}/Review/Run]]" in text
    assert "2025-05-01 12:00" in text


def test_without_reviews_there_is_no_estimate_and_without_pages_no_table() -> None:
    text = index()
    assert "Too few reviews" in text
    assert "{|" not in text


def test_a_broken_configuration_is_told_and_its_keys_cannot_act() -> None:
    text = index(
        config_broken=True,
        problems=[ConfigProblem("bad_value", "level"), ConfigProblem("unknown_key", "[[Category:X]]{{x}}")],
    )
    assert "last valid settings" in text
    assert "value not allowed: <code>level</code>" in text
    assert "[[Category" not in text
    assert "{{" not in text


def test_unknown_keys_alone_are_no_broken_configuration() -> None:
    assert "last valid settings" not in index(problems=[ConfigProblem("unknown_key", "x")])


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_can_say_everything(language: str) -> None:
    numbers = IndexNumbers(
        1,
        2,
        3,
        Precision(0.5, 0.4, 0.6, 9),
        [PageNumbers("User:B/Review/2025-05-01", 1, 0, 0)],
        True,
        [ConfigProblem("not_json")],
        True,
    )
    text = render_index(numbers, BOT, load_messages(language), NOW)
    assert "50 %" in text
    assert "{" not in text.replace("{|", "")


def test_the_archive_lists_its_pages() -> None:
    assert render_archive(["User:B/Review/2025-05-01"], ENGLISH).endswith(
        "\n* [[User:B/Review/2025-05-01]]\n"
    )

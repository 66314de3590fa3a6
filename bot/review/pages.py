"""Pure: which item goes on which dated page, and which pages are finished.

An item stays on the page it was placed on, or on the one to which a person moved it: pages are archived one
by one, and links to rows stay right.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from bot.review.templates import subpage

FILL_SHARE: Final = 0.5
"""How much of the wiki's page size the bot fills; the rest is for verdicts and comments."""

_DAY: Final = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:/([1-9][0-9]{0,5}))?")


@dataclass(frozen=True, slots=True)
class Waiting:
    """An item that has no page yet.

    Attributes:
        item_id: Its public id.
        day: The day under which it is to be listed.
        size_bytes: Length of its row in UTF-8.
    """

    item_id: str
    day: date
    size_bytes: int


@dataclass(frozen=True, slots=True)
class PageLoad:
    """How full a page is.

    Attributes:
        title: Full title.
        rows: Rows on it.
        size_bytes: Its length in UTF-8.
        archived: Whether it is archived and takes no more rows.
    """

    title: str
    rows: int
    size_bytes: int
    archived: bool = False


@dataclass(frozen=True, slots=True)
class PageStanding:
    """What the archive decision needs.

    Attributes:
        title: Full title.
        undecided: Rows that are open or disputed.
        rows: All rows.
        last_change_at: When anything on it changed last.
    """

    title: str
    undecided: int
    rows: int
    last_change_at: datetime


def day_title(bot_name: str, day: date, number: int = 1) -> str:
    """Title of a dated page.

    Args:
        bot_name: The bot's account.
        day: Its day.
        number: Counts the pages of that day from 1; the first one has none in its title.
    """
    return subpage(bot_name, f"{day:%Y-%m-%d}" + (f"/{number}" if number > 1 else ""))


def day_of(bot_name: str, title: str) -> tuple[date, int] | None:
    """The day and number of a dated page.

    Args:
        bot_name: The bot's account.
        title: A full title.

    Returns:
        Both, or None where it is another page.
    """
    match = _DAY.fullmatch(title.removeprefix(subpage(bot_name) + "/"))
    if match is None or not title.startswith(subpage(bot_name) + "/"):
        return None
    try:
        return date.fromisoformat(match[1]), int(match[2] or 1)
    except ValueError:
        return None


def place_items(
    waiting: Iterable[Waiting],
    pages: Iterable[PageLoad],
    *,
    bot_name: str,
    rows_per_page: int,
    max_page_bytes: int,
) -> dict[str, str]:
    """Give every waiting item a page.

    Args:
        waiting: Items without a page, in any order; their order decides who comes first.
        pages: The pages that exist or are planned, archived ones too: their numbers are not used again.
        bot_name: The bot's account.
        rows_per_page: At most so many rows.
        max_page_bytes: The wiki's limit; half of it is filled.

    Returns:
        Full title by item id. A row larger than a page gets a page of its own.
    """
    limit_bytes = int(max_page_bytes * FILL_SHARE)
    loads: dict[date, dict[int, PageLoad]] = defaultdict(dict)
    for page in pages:
        found = day_of(bot_name, page.title)
        if found:
            loads[found[0]][found[1]] = page
    placed: dict[str, str] = {}
    for item in waiting:
        if item.item_id in placed:
            continue
        numbered = loads[item.day]
        size = item.size_bytes + 1
        number = next(
            (
                number
                for number, page in sorted(numbered.items())
                if not page.archived and page.rows < rows_per_page and page.size_bytes + size <= limit_bytes
            ),
            max(numbered, default=0) + 1,
        )
        title = day_title(bot_name, item.day, number)
        before = numbered.get(number) or PageLoad(title, 0, 0)
        numbered[number] = PageLoad(title, before.rows + 1, before.size_bytes + size)
        placed[item.item_id] = title
    return placed


def finished_pages(pages: Sequence[PageStanding], now: datetime, archive_after_s: float) -> list[str]:
    """Which pages can be archived.

    Args:
        pages: Pages that are not archived yet.
        now: The present.
        archive_after_s: So long nothing may have changed.

    Returns:
        Titles of pages with rows that are all decided, and that have rested long enough.
    """
    rest = timedelta(seconds=archive_after_s)
    return [
        page.title
        for page in pages
        if page.rows > 0 and page.undecided == 0 and now - page.last_change_at >= rest
    ]


__all__ = [
    "FILL_SHARE",
    "PageLoad",
    "PageStanding",
    "Waiting",
    "day_of",
    "day_title",
    "finished_pages",
    "place_items",
]

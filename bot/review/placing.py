"""Every flagged item gets its page in the store before anything is written, so it never stands on two.

Uploads by people whom the community trusts are left out; they never keep others from being placed, and in
quiet times nothing is asked of the wiki.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from bot.review.context import Context
from bot.review.control import WikiConfig
from bot.review.entry_rows import review_row
from bot.review.page_writer import utc_now
from bot.review.pages import PageLoad, Waiting, place_items
from bot.review.rows import render_row
from bot.wiki_values import ReviewWiki
from storage import review_pages
from storage.engine import Database
from storage.review_values import PageKind, PageState, ReviewEntry

PLACE_AT_ONCE: Final = 1000
ROW_BYTES: Final = 600
"""A row whose page was not read yet is taken to be so long."""
FACTS_BYTES: Final = 300
"""What the facts about file and uploader add to a row at most, as a rule."""
ANEW_AFTER: Final = timedelta(hours=1)
"""So often everything that was left out is looked at again: groups change."""
SETTLED_AFTER: Final = timedelta(minutes=10)
"""Younger items may still be overtaken by ones that were stored later with an earlier time."""


class Placer:
    """Gives waiting items their pages; used by one thread.

    Args:
        wiki: Asked for uploaders' groups.
        database: The store.
        wiki_id: Database name of that wiki.
        rows_per_page: At most so many rows.
        clock: Tells the present.
        hints_within_s: For so long an item waits for what is found about files like its own: a row that was
            written without it would have to wait for the page's next edit.
    """

    def __init__(
        self,
        wiki: ReviewWiki,
        database: Database,
        wiki_id: str,
        rows_per_page: int,
        clock: Callable[[], datetime] = utc_now,
        hints_within_s: float = 0.0,
    ) -> None:
        self._wiki = wiki
        self._database = database
        self._wiki_id = wiki_id
        self._rows_per_page = rows_per_page
        self._clock = clock
        self._hints_within = timedelta(seconds=hints_within_s)
        self._sizes: dict[str, int] = {}
        self._skipped_groups: frozenset[str] = frozenset()
        self._groups: dict[str, frozenset[str]] = {}
        self._after: str | None = None
        self._anew_at: datetime | None = None

    def note_size(self, title: str, size_bytes: int) -> None:
        """Tell how long a page is.

        Args:
            title: Its full title.
            size_bytes: Its length in UTF-8.
        """
        self._sizes[title] = size_bytes

    def begin_anew(self) -> None:
        """Look at everything that waits, however long ago it was looked at: something waits again."""
        self._after = None

    def place(self, config: WikiConfig) -> None:
        """Give every waiting item that is not to be left out its page.

        Args:
            config: Says whose uploads are left out.

        Raises:
            ServiceDown: The wiki does not answer.
        """
        self._begin_anew(config)
        after = self._after
        # Where nobody is left out, nothing that waits was ever looked at before.
        settled = bool(self._skipped_groups)
        while True:
            with self._database.read() as tx:
                waiting = review_pages.unplaced(tx, PLACE_AT_ONCE, after=after)
            ripe = [entry for entry in waiting if self._clock() - entry.scored_at >= self._hints_within]
            self._give_pages(self._without_skipped(ripe))
            for entry in waiting:
                settled = settled and self._clock() - entry.scored_at >= SETTLED_AFTER
                if settled:
                    self._after = entry.item_id
            if len(waiting) < PLACE_AT_ONCE:
                return
            after = waiting[-1].item_id

    def _begin_anew(self, config: WikiConfig) -> None:
        now, groups = self._clock(), frozenset(config.skipped_groups)
        if self._anew_at is None or now >= self._anew_at or groups != self._skipped_groups:
            self._after, self._groups = None, {}
            self._anew_at, self._skipped_groups = now + ANEW_AFTER, groups

    def _without_skipped(self, entries: Sequence[ReviewEntry]) -> list[ReviewEntry]:
        if not self._skipped_groups:
            return list(entries)
        unknown = {entry.uploader for entry in entries if entry.uploader} - self._groups.keys()
        if unknown:
            infos = self._wiki.users(sorted(unknown))
            self._groups |= {name: info.groups for name, info in infos.items()}
        return [
            entry
            for entry in entries
            if entry.uploader is None or not self._groups[entry.uploader] & self._skipped_groups
        ]

    def _give_pages(self, entries: Sequence[ReviewEntry]) -> None:
        if not entries:
            return
        with self._database.read() as tx:
            known = review_pages.pages(tx, self._wiki_id, open_only=False)
        loads = [
            PageLoad(
                page.title,
                page.rows,
                self._sizes.get(page.title, page.rows * ROW_BYTES),
                page.state is PageState.ARCHIVED,
            )
            for page in known
            if page.kind is PageKind.ITEM
        ]
        placed = place_items(
            [self._waiting(entry) for entry in entries],
            loads,
            bot_name=self._wiki.bot_name,
            rows_per_page=self._rows_per_page,
            max_page_bytes=self._wiki.max_page_bytes(),
        )
        with self._database.transaction() as tx:
            for title in dict.fromkeys(placed.values()):
                ids = [item_id for item_id, page in placed.items() if page == title]
                review_pages.place(tx, self._wiki_id, title, ids, self._clock())

    def _waiting(self, entry: ReviewEntry) -> Waiting:
        row = render_row(review_row(entry, Context(), blind=False), self._wiki.bot_name)
        return Waiting(entry.item_id, entry.scored_at.date(), len(row.encode()) + FACTS_BYTES)

"""The pages that are the bot's as a whole: the index says where the review stands, the archive what is done.

They are written only where they would say something else, or where somebody changed them; the time that the
index tells is no reason for an edit, after a restart neither.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from bot.quality import Quality
from bot.review.control import ConfigProblem, ConfigReading
from bot.review.index_page import (
    PRECISION_DAYS,
    IndexNumbers,
    PageNumbers,
    Precision,
    render_archive,
    render_index,
)
from bot.review.messages import Messages
from bot.review.page_writer import WRITTEN, PageWriter, utc_now
from bot.review.pages import PageStanding, finished_pages
from bot.review.templates import subpage
from bot.settings import ReviewSettings
from bot.wiki_values import ReviewWiki
from storage import estimates, review_pages
from storage.engine import Database
from storage.review_values import PageKind, PageState, ReviewPage

LOOK_AGAIN: Final = timedelta(seconds=60)
"""So often the estimates are counted anew where no item changed: their window moves on."""


@dataclass(frozen=True, slots=True)
class _Written:
    """What a page said when it was last brought up to date, and the revision up to which it had been seen."""

    text: str
    revision_id: int | None


class Overview:
    """Keeps index and archive up to date; used by one thread.

    Args:
        wiki: Where the pages are.
        database: The store.
        wiki_id: Database name of that wiki.
        settings: When pages are archived.
        messages: The texts.
        writer: Saves pages.
        clock: Tells the present.
    """

    def __init__(
        self,
        wiki: ReviewWiki,
        database: Database,
        wiki_id: str,
        settings: ReviewSettings,
        messages: Messages,
        writer: PageWriter,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._wiki = wiki
        self._database = database
        self._wiki_id = wiki_id
        self._settings = settings
        self._messages = messages
        self._writer = writer
        self._clock = clock
        self._quality = Quality(database, clock)
        self._written: dict[str, _Written] = {}
        self._looked: tuple[Sequence[ReviewPage], Sequence[ConfigProblem], bool] | None = None
        self._look_again_at: datetime | None = None

    def forget(self, titles: Collection[str]) -> None:
        """Write pages anew that are gone.

        Args:
            titles: Their full titles.
        """
        for title in titles:
            self._written.pop(title, None)
        self._looked = None

    def publish(self, reading: ConfigReading, may_edit: Callable[[], bool]) -> None:
        """Archive what is finished, and write what changed.

        Args:
            reading: The on-wiki configuration, and what is wrong with it.
            may_edit: Asked before every edit.

        Raises:
            ServiceDown: The wiki does not answer.
        """
        known = self._known()
        if self._archive_finished(known, may_edit):
            known = self._known()
        self._write_archive(known, reading, may_edit)
        self._write_index(known, reading, may_edit)

    def _known(self) -> list[ReviewPage]:
        with self._database.read() as tx:
            return review_pages.pages(tx, self._wiki_id, open_only=False)

    def _archive_finished(self, known: Sequence[ReviewPage], may_edit: Callable[[], bool]) -> bool:
        standings = [
            PageStanding(
                page.title, page.open + page.disputed, page.rows, page.last_change_at or page.created_at
            )
            for page in known
            if page.kind is PageKind.ITEM and page.state is PageState.OPEN
        ]
        finished = finished_pages(standings, self._clock(), self._settings.archive_after_s)
        if not finished or not may_edit():
            return False
        with self._database.transaction() as tx:
            for title in finished:
                review_pages.archive(tx, self._wiki_id, title)
        return True

    def _write_archive(
        self, known: Sequence[ReviewPage], reading: ConfigReading, may_edit: Callable[[], bool]
    ) -> None:
        title = subpage(self._wiki.bot_name, "Archive")
        archived = [page.title for page in known if _is_archived(page)]
        if not archived and all(page.title != title for page in known):
            return
        page = self._page(title, PageKind.ARCHIVE)
        text = render_archive(sorted(archived, reverse=True), self._messages)
        if self._writer.may_be_edited(page, reading.config.edit_interval_s):
            self._write(page, text, str.rstrip, "summary.archive", may_edit)

    def _write_index(
        self, known: Sequence[ReviewPage], reading: ConfigReading, may_edit: Callable[[], bool]
    ) -> None:
        now = self._clock()
        looked = (known, reading.problems, reading.broken)
        if looked == self._looked and self._look_again_at is not None and now < self._look_again_at:
            return
        page = self._page(subpage(self._wiki.bot_name), PageKind.INDEX)
        if not self._writer.may_be_edited(page, reading.config.edit_interval_s):
            return
        text = render_index(self._numbers(known, reading, now), self._wiki.bot_name, self._messages, now)
        if self._write(page, text, _timeless, "summary.index", may_edit):
            self._looked, self._look_again_at = looked, now + LOOK_AGAIN

    def _numbers(self, known: Sequence[ReviewPage], reading: ConfigReading, now: datetime) -> IndexNumbers:
        with self._database.read() as tx:
            numbers = estimates.numbers(tx, now, PRECISION_DAYS)
        precision = None
        if numbers.precision is not None:
            precision = Precision(numbers.precision, numbers.low, numbers.high, numbers.n)
        return IndexNumbers(
            open=numbers.open,
            disputed=numbers.disputed,
            done=numbers.closed,
            precision=precision,
            pages=[
                PageNumbers(page.title, page.open, page.disputed, page.closed)
                for page in sorted(known, key=lambda page: page.title, reverse=True)
                if page.kind is PageKind.ITEM and page.state is PageState.OPEN
            ],
            has_archive=any(_is_archived(page) for page in known),
            problems=reading.problems,
            config_broken=reading.broken,
            recall=self._recall(),
        )

    def _recall(self) -> Precision | None:
        """Rounded as it is shown and counted rarely, so that it alone seldom makes an edit."""
        recall = self._quality.current()[0].recall
        return None if recall.value is None else Precision(recall.value, recall.low, recall.high, recall.n)

    def _write(
        self,
        page: ReviewPage,
        text: str,
        content: Callable[[str], str],
        summary: str,
        may_edit: Callable[[], bool],
    ) -> bool:
        """Write a page as a whole where its content is another; False where that has to be tried again."""
        title, wanted = page.title, content(text)
        if self._written.get(title) == _Written(wanted, page.last_seen_revision_id):
            return True
        current = self._wiki.read([title])[title]
        if current.revision_id is None or content(current.text) != wanted:
            if not may_edit():
                return False
            if self._writer.write(current, text, self._messages.text(summary)) not in WRITTEN:
                return False
            page = self._page(title, page.kind)
        self._written[title] = _Written(wanted, page.last_seen_revision_id)
        return True

    def _page(self, title: str, kind: PageKind) -> ReviewPage:
        with self._database.read() as tx:
            page = review_pages.find(tx, self._wiki_id, title)
        if page is None:
            with self._database.transaction() as tx:
                review_pages.add(tx, self._wiki_id, title, kind, self._clock())
                page = review_pages.find(tx, self._wiki_id, title)
        assert page is not None
        return page


def _is_archived(page: ReviewPage) -> bool:
    return page.kind is PageKind.ITEM and page.state is PageState.ARCHIVED


def _timeless(text: str) -> str:
    """The index without its last line, which only tells when it was written."""
    return text.rstrip().rpartition("\n")[0].rstrip()

"""Writing pass: the flagged items become rows on dated pages, and the index says where they stand.

Guarantee: an item is placed in the store before it is written, so it never stands on two pages; a page is
merged with what stands there now and never replaced, so nothing a person wrote is lost; and an edit is made
only where something changes, at most one per page and interval.
"""

import hashlib
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from bot.monitoring import Metrics
from bot.review.context import Asks, Context, gather
from bot.review.control import ConfigReading, WikiConfig
from bot.review.entry_rows import review_row
from bot.review.index_page import (
    PRECISION_DAYS,
    IndexNumbers,
    PageNumbers,
    Precision,
    render_archive,
    render_index,
)
from bot.review.merging import merge_page
from bot.review.messages import Messages
from bot.review.pages import PageLoad, PageStanding, Waiting, finished_pages, place_items, settled
from bot.review.rows import parse_rows, render_row, shuffled
from bot.review.templates import subpage
from bot.settings import ReviewSettings
from bot.wiki_values import EditConflict, PageText, ReviewWiki, WriteRefused
from storage import estimates, file_changes, review_pages
from storage.engine import Database
from storage.review_values import PageKind, PageState, ReviewEntry, ReviewPage

log = logging.getLogger(__name__)

PLACE_AT_ONCE = 1000
ROW_BYTES = 600
"""A row whose page was not read yet is taken to be so long."""
FACTS_BYTES = 300
"""What the facts about file and uploader add to a row at most, as a rule."""
REFUSED_PAUSE = timedelta(minutes=10)
"""How long a page is left alone that the wiki would not take: asking again changes nothing."""


@dataclass(frozen=True, slots=True)
class _Synced:
    """What a page looked like when it was last brought up to date.

    Attributes:
        digest: Of everything in the store that the page shows.
        revision_id: The revision up to which it had been read then.
    """

    digest: str
    revision_id: int | None


class Publisher:
    """Keeps the report pages up to date; used by one thread.

    Args:
        wiki: Where the pages are.
        api: Asked about the files.
        database: The store.
        wiki_id: Database name of that wiki.
        settings: Rows per page and archiving.
        messages: The texts.
        metrics: Where edits are counted.
    """

    def __init__(
        self,
        wiki: ReviewWiki,
        api: Asks,
        database: Database,
        wiki_id: str,
        settings: ReviewSettings,
        messages: Messages,
        metrics: Metrics,
    ) -> None:
        self._wiki = wiki
        self._api = api
        self._database = database
        self._wiki_id = wiki_id
        self._settings = settings
        self._messages = messages
        self._metrics = metrics
        self._synced: dict[str, _Synced] = {}
        self._sizes: dict[str, int] = {}
        self._refused: dict[str, datetime] = {}

    def publish(self, reading: ConfigReading, may_edit: Callable[[], bool]) -> None:
        """Bring every page up to date that needs it and may be edited again.

        Args:
            reading: The on-wiki configuration.
            may_edit: Asked before every edit.

        Raises:
            ServiceDown: The wiki does not answer; the next pass goes on where this one stopped.
            StoreError: The store is away; likewise.
        """
        config = reading.config
        self._place(config)
        for page, entries, text in self._due_pages(config):
            if not may_edit():
                return
            self._bring_up_to_date(page, entries, text, config)
        self._archive_finished(may_edit, config)
        if may_edit():
            self._write_index(reading)

    def _place(self, config: WikiConfig) -> None:
        with self._database.read() as tx:
            waiting = review_pages.unplaced(tx, PLACE_AT_ONCE)
            known = review_pages.pages(tx, self._wiki_id, open_only=False)
        waiting = self._without_skipped(waiting, config.skipped_groups)
        if not waiting:
            return
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
            [self._waiting(entry) for entry in waiting],
            loads,
            bot_name=self._wiki.bot_name,
            rows_per_page=self._settings.rows_per_page,
            max_page_bytes=self._wiki.max_page_bytes(),
        )
        now = datetime.now(UTC)
        with self._database.transaction() as tx:
            for title in sorted(set(placed.values())):
                ids = [item_id for item_id, page in placed.items() if page == title]
                review_pages.place(tx, self._wiki_id, title, ids, now)

    def _waiting(self, entry: ReviewEntry) -> Waiting:
        row = render_row(review_row(entry, Context(), blind=False), self._wiki.bot_name)
        return Waiting(entry.item_id, entry.scored_at.date(), len(row.encode()) + FACTS_BYTES)

    def _without_skipped(
        self, entries: Sequence[ReviewEntry], skipped_groups: Collection[str]
    ) -> list[ReviewEntry]:
        """The community may leave out uploads by people it trusts."""
        if not skipped_groups or not entries:
            return list(entries)
        uploaders = self._wiki.users(sorted({entry.uploader for entry in entries if entry.uploader}))
        return [
            entry
            for entry in entries
            if entry.uploader is None or not uploaders[entry.uploader].groups & set(skipped_groups)
        ]

    def _due_pages(self, config: WikiConfig) -> list[tuple[ReviewPage, list[ReviewEntry], PageText]]:
        """Pages whose rows or text changed and that may be edited again, each with its present text."""
        now = datetime.now(UTC)
        due = []
        with self._database.read() as tx:
            for page in review_pages.pages(tx, self._wiki_id):
                if page.kind is PageKind.ITEM and self._may_be_edited(page, config, now):
                    entries = review_pages.rows_of(tx, self._wiki_id, page.title)
                    state = _Synced(_digest(entries, config.blind), page.last_seen_revision_id)
                    if entries and self._synced.get(page.title) != state:
                        due.append(page)
        if not due:
            return []
        texts = self._wiki.read([page.title for page in due])
        self._follow_moved_rows(due, texts)
        with self._database.read() as tx:
            return [
                (page, review_pages.rows_of(tx, self._wiki_id, page.title), texts[page.title]) for page in due
            ]

    def _may_be_edited(self, page: ReviewPage, config: WikiConfig, now: datetime) -> bool:
        refused_at = self._refused.get(page.title)
        if refused_at is not None and now - refused_at < REFUSED_PAUSE:
            return False
        written_at = page.last_written_at
        return written_at is None or now - written_at >= timedelta(seconds=config.edit_interval_s)

    def _follow_moved_rows(self, due: Sequence[ReviewPage], texts: Mapping[str, PageText]) -> None:
        """Rows that people moved between these pages stay where people put them."""
        found = {
            page.title: {row.item_id for row in parse_rows(texts[page.title].text, self._wiki.bot_name)}
            for page in due
        }
        with self._database.transaction() as tx:
            planned = {
                entry.item_id: page.title
                for page in due
                for entry in review_pages.rows_of(tx, self._wiki_id, page.title)
            }
            for item_id, title in settled(planned, found).items():
                if title != planned[item_id]:
                    review_pages.move(tx, self._wiki_id, title, [item_id])

    def _bring_up_to_date(
        self, page: ReviewPage, entries: Sequence[ReviewEntry], current: PageText, config: WikiConfig
    ) -> None:
        facts = gather(
            self._api,
            self._wiki,
            [entry.title for entry in entries],
            [entry.uploader for entry in entries if entry.uploader],
        )
        self._note_suppressions(entries, facts)
        rows = shuffled((review_row(entry, facts, blind=config.blind) for entry in entries), page.title)
        text = merge_page(current.text, rows, self._wiki.bot_name)
        before = {row.item_id for row in parse_rows(current.text, self._wiki.bot_name)}
        added = sum(entry.item_id not in before for entry in entries)
        summary = self._messages.text("summary.rows", added=added, changed=len(entries) - added)
        self._sizes[page.title] = len(text.encode())
        seen = self._write(page.title, current, text, summary)
        if seen is not None:
            digest = _digest(entries, config.blind)
            self._synced[page.title] = _Synced(digest, seen.last_seen_revision_id)

    def _note_suppressions(self, entries: Sequence[ReviewEntry], facts: Context) -> None:
        hidden = [
            entry for entry in entries if entry.title in facts.files and facts.files[entry.title].suppressed
        ]
        if not hidden:
            return
        now = datetime.now(UTC)
        with self._database.transaction() as tx:
            for entry in hidden:
                file_changes.note_suppressed(tx, entry.wiki, entry.title, now, now)

    def _write(self, title: str, current: PageText, text: str, summary: str) -> ReviewPage | None:
        """Save a page and remember it; None where it has to be tried again."""
        try:
            revision_id = self._wiki.write(current, text, summary)
        except EditConflict:
            self._metrics.wiki_edits.labels("conflict").inc()
            log.info("report_conflict", extra={"page": title})
            return None
        except WriteRefused as error:
            self._metrics.wiki_edits.labels(error.code).inc()
            self._refused[title] = datetime.now(UTC)
            log.error("report_refused", extra={"page": title, "code": error.code, "reason": str(error)})
            return None
        self._refused.pop(title, None)
        now = datetime.now(UTC)
        with self._database.transaction() as tx:
            if revision_id is not None:
                review_pages.mark_written(
                    tx, self._wiki_id, title, revision_id, now, based_on=current.revision_id
                )
            page = review_pages.find(tx, self._wiki_id, title)
        fate = "dry_run" if revision_id is None else "same" if revision_id == current.revision_id else "saved"
        self._metrics.wiki_edits.labels(fate).inc()
        log.info("report_written", extra={"page": title, "fate": fate, "revision": revision_id})
        return page

    def _archive_finished(self, may_edit: Callable[[], bool], config: WikiConfig) -> None:
        now = datetime.now(UTC)
        with self._database.read() as tx:
            known = review_pages.pages(tx, self._wiki_id, open_only=False)
        standings = [
            PageStanding(
                page.title, page.open + page.disputed, page.rows, page.last_change_at or page.created_at
            )
            for page in known
            if page.kind is PageKind.ITEM and page.state is PageState.OPEN
        ]
        finished = finished_pages(standings, now, self._settings.archive_after_s)
        if not finished or not may_edit():
            return
        with self._database.transaction() as tx:
            for title in finished:
                review_pages.archive(tx, self._wiki_id, title)
        archived = [
            page.title for page in known if page.kind is PageKind.ITEM and page.state is PageState.ARCHIVED
        ]
        text = render_archive(sorted({*archived, *finished}, reverse=True), self._messages)
        self._write_whole(
            subpage(self._wiki.bot_name, "Archive"), PageKind.ARCHIVE, text, "summary.archive", config
        )

    def _write_index(self, reading: ConfigReading) -> None:
        now = datetime.now(UTC)
        title = subpage(self._wiki.bot_name)
        with self._database.read() as tx:
            page = review_pages.find(tx, self._wiki_id, title)
            if page is not None and not self._may_be_edited(page, reading.config, now):
                return
            numbers = estimates.numbers(tx, now, PRECISION_DAYS)
            known = review_pages.pages(tx, self._wiki_id, open_only=False)
        items = [page for page in known if page.kind is PageKind.ITEM]
        precision = None
        if numbers.precision is not None:
            precision = Precision(numbers.precision, numbers.low, numbers.high, numbers.n)
        index = IndexNumbers(
            open=numbers.open,
            disputed=numbers.disputed,
            done=numbers.closed,
            precision=precision,
            pages=[
                PageNumbers(page.title, page.open, page.disputed, page.closed)
                for page in sorted(items, key=lambda page: page.title, reverse=True)
                if page.state is PageState.OPEN
            ],
            has_archive=any(page.state is PageState.ARCHIVED for page in items),
            problems=reading.problems,
            config_broken=reading.broken,
        )
        state = _Synced(hashlib.sha256(repr(index).encode()).hexdigest(), None)
        if self._synced.get(title) == state:
            return
        text = render_index(index, self._wiki.bot_name, self._messages, now)
        if self._write_whole(title, PageKind.INDEX, text, "summary.index", reading.config):
            self._synced[title] = state

    def _write_whole(self, title: str, kind: PageKind, text: str, summary: str, config: WikiConfig) -> bool:
        """Write a page that is the bot's as a whole; False where it has to be tried again."""
        now = datetime.now(UTC)
        with self._database.transaction() as tx:
            review_pages.add(tx, self._wiki_id, title, kind, now)
            page = review_pages.find(tx, self._wiki_id, title)
        assert page is not None
        if not self._may_be_edited(page, config, now):
            return False
        current = self._wiki.read([title])[title]
        return self._write(title, current, text, self._messages.text(summary)) is not None


def _digest(entries: Sequence[ReviewEntry], blind: bool) -> str:
    """Changes whenever the store has something new to show on a page."""
    return hashlib.sha256(repr((blind, entries)).encode()).hexdigest()

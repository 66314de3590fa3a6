"""Writing pass: the flagged items become rows on dated pages, and the index says where they stand.

Guarantee: an item is placed in the store before it is written, so it never stands on two pages; a page is
merged with what stands there now and never replaced, so nothing a person wrote is lost; and an edit is made
only where something changes, at most one per page and interval. A pass that finds nothing to do asks the
wiki nothing.
"""

import hashlib
import logging
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from bot.monitoring import Metrics
from bot.review.context import Asks, Context, FindsDeleted, gather
from bot.review.control import ConfigReading, WikiConfig
from bot.review.entry_rows import review_row, wanted_hint
from bot.review.merging import merge_page
from bot.review.messages import Messages
from bot.review.moved_rows import settle, without_rows
from bot.review.overview import Overview
from bot.review.page_writer import WRITTEN, PageWriter, utc_now
from bot.review.placing import Placer
from bot.review.rows import FoundRow, ReviewRow, parse_rows, render_row, shuffled
from bot.settings import ReviewSettings
from bot.wiki_values import PageText, ReviewWiki
from storage import file_changes, review_lookup, review_pages
from storage.engine import Database
from storage.review_values import NO_HINT, Hint, PageKind, ReviewEntry, ReviewPage, ReviewState

log = logging.getLogger(__name__)

LOOK_AGAIN: Final = timedelta(seconds=60)
"""So often a page's rows are compared with the store where no verdict says that they changed."""
ASK_AGAIN: Final = timedelta(hours=6)
"""So often the wiki is asked about the files of a page on which nothing else changes."""

_REDIRECT: Final = re.compile(r"\s*#[^\s\[#*:;]+\s*:?\s*\[\[")
_EDIT_COUNT: Final = re.compile(r"\|edits=[0-9]*(?=\|)")


@dataclass(frozen=True, slots=True)
class _Look:
    """What tells cheaply whether a page may have to change, and when its rows were compared last."""

    page: ReviewPage
    config: WikiConfig
    at: datetime


@dataclass(frozen=True, slots=True)
class _Synced:
    """What a page looked like when it was last brought up to date.

    Attributes:
        digest: Of everything in the store that the page shows.
        hints: The hints that were shown then, as the store had them, by item.
        revision_id: The revision up to which it had been read then.
        at: When that was.
    """

    digest: str
    hints: Mapping[str, Hint]
    revision_id: int | None
    at: datetime


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
        deleted: Asked about deleted files with the bytes of listed ones; None: nobody asks.
        hints_within_s: See `Placer`.
        clock: Tells the present.
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
        *,
        deleted: FindsDeleted | None = None,
        hints_within_s: float = 0.0,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._wiki = wiki
        self._api = api
        self._deleted = deleted
        self._database = database
        self._wiki_id = wiki_id
        self._messages = messages
        self._clock = clock
        self._writer = PageWriter(wiki, database, wiki_id, metrics, clock)
        self._placer = Placer(wiki, database, wiki_id, settings.rows_per_page, clock, hints_within_s)
        self._overview = Overview(wiki, database, wiki_id, settings, messages, self._writer, clock)
        self._synced: dict[str, _Synced] = {}
        self._looks: dict[str, _Look] = {}
        self._tried_at: dict[str, datetime] = {}

    def forget(self, titles: Collection[str]) -> None:
        """Write pages anew that are gone from the wiki.

        Args:
            titles: Their full titles.
        """
        for title in titles:
            self._synced.pop(title, None)
            self._looks.pop(title, None)
        self._overview.forget(titles)

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
        self._placer.place(config)
        due, changed = self._due_pages(config)
        if due and may_edit():
            self._bring_up_to_date(due, changed, config, may_edit)
        self._overview.publish(reading, may_edit)

    def _due_pages(self, config: WikiConfig) -> tuple[list[str], list[str]]:
        """Titles of changed pages: those that may be edited now, least recently tried first; and the rest."""
        now = self._clock()
        due, resting = [], []
        with self._database.read() as tx:
            for page in review_pages.pages(tx, self._wiki_id):
                look = self._looks.get(page.title)
                known = look is not None and (look.page, look.config) == (page, config)
                if page.kind is not PageKind.ITEM or (known and look and now - look.at < LOOK_AGAIN):
                    continue
                entries = review_pages.rows_of(tx, self._wiki_id, page.title)
                if not entries and page.last_written_revision_id is None:
                    continue
                if self._is_synced(page, entries, config, now):
                    self._looks[page.title] = _Look(page, config, now)
                elif self._writer.may_be_edited(page, config.edit_interval_s):
                    due.append(page.title)
                else:
                    resting.append(page.title)
        # A page with which something is wrong must not keep the others waiting.
        oldest = datetime.min.replace(tzinfo=now.tzinfo)
        return sorted(due, key=lambda title: self._tried_at.get(title, oldest)), resting

    def _is_synced(
        self, page: ReviewPage, entries: Sequence[ReviewEntry], config: WikiConfig, now: datetime
    ) -> bool:
        synced = self._synced.get(page.title)
        return (
            synced is not None
            and now - synced.at < ASK_AGAIN
            and synced.revision_id == page.last_seen_revision_id
            and synced.digest == self._digest(entries, config.blind)
            and synced.hints == _hints_of(entries, synced.hints, config)
        )

    def _bring_up_to_date(
        self, due: Sequence[str], resting: Sequence[str], config: WikiConfig, may_edit: Callable[[], bool]
    ) -> None:
        facts = self._gather(self._entries(due).values(), Context(), config)
        texts = dict(self._wiki.read([*due, *resting]))
        surplus = self._follow_moved_rows(texts)
        due = [*due, *self._editable(surplus.keys() - {*due, *resting}, config)]
        rows = self._entries(due)
        facts = self._gather(rows.values(), facts, config)
        for title in due:
            if not may_edit():
                return
            self._tried_at[title] = self._clock()
            cleared = without_rows(texts[title].text, surplus.get(title, ()), self._wiki.bot_name)
            # Somebody moved the page away: what stands behind a redirect is not shown.
            cleared = "" if _REDIRECT.match(cleared) else cleared
            self._write(texts[title], cleared, rows[title], facts, config)

    def _editable(self, titles: Collection[str], config: WikiConfig) -> list[str]:
        with self._database.read() as tx:
            found = [review_pages.find(tx, self._wiki_id, title) for title in sorted(titles)]
        return [
            page.title
            for page in found
            if page is not None and self._writer.may_be_edited(page, config.edit_interval_s)
        ]

    def _entries(self, titles: Sequence[str]) -> dict[str, list[ReviewEntry]]:
        with self._database.read() as tx:
            return {title: review_pages.rows_of(tx, self._wiki_id, title) for title in titles}

    def _gather(
        self, pages: Collection[Sequence[ReviewEntry]], known: Context, config: WikiConfig
    ) -> Context:
        """Facts about all rows, asking only for what is not known yet."""
        entries = [entry for page in pages for entry in page]
        hinted = [entry for entry in entries if config.hints and wanted_hint(entry)]
        wikis = {entry.title: entry.wiki for entry in entries}
        for entry in hinted:
            if entry.hint.look_alike is not None:
                wikis.setdefault(entry.hint.look_alike.title, entry.wiki)
        titles = [title for title in wikis if title not in known.files]
        people = [
            entry.uploader for entry in entries if entry.uploader and entry.uploader not in known.uploaders
        ]
        found = gather(self._api, self._wiki, titles, people)
        self._note_suppressions(wikis, found)
        return known | found | Context(deleted=self._still_deleted(hinted))

    def _still_deleted(self, hinted: Sequence[ReviewEntry]) -> Mapping[str, Sequence[str]]:
        """Files are restored, and their traces hidden: only what the wiki still says goes on a page."""
        if self._deleted is None:
            return {}
        hashes = {entry.sha1 for entry in hinted if entry.sha1 and entry.hint.deleted_as}
        return {sha1: self._deleted.titles(sha1) for sha1 in sorted(hashes)}

    def _note_suppressions(self, wikis: Mapping[str, str], facts: Context) -> None:
        hidden = [title for title, file in facts.files.items() if file.suppressed]
        if not hidden:
            return
        now = self._clock()
        with self._database.transaction() as tx:
            for title in hidden:
                if file_changes.note_suppressed(tx, wikis[title], title, now, now):
                    log.info("file_suppressed", extra={"wiki": wikis[title]})

    def _follow_moved_rows(self, texts: dict[str, PageText]) -> Mapping[str, Collection[str]]:
        """Rows that people moved stay where people put them; returns the copies that are to go, by page.

        Pages on which an item should stand that was found elsewhere are read too, and added to the texts.
        """
        found = {title: parse_rows(page.text, self._wiki.bot_name) for title, page in texts.items()}
        with self._database.read() as tx:
            ids = {row.item_id for rows in found.values() for row in rows}
            homes = review_lookup.homes(tx, self._wiki_id, ids)
        elsewhere = sorted(set(homes.values()) - texts.keys())
        if elsewhere:
            for title, page in self._wiki.read(elsewhere).items():
                texts[title] = page
                found[title] = parse_rows(page.text, self._wiki.bot_name)
        settlement = settle(homes, found)
        if settlement.moves:
            with self._database.transaction() as tx:
                for item_id, title in settlement.moves.items():
                    review_pages.move(tx, self._wiki_id, title, [item_id])
            log.info("report_rows_moved", extra={"count": len(settlement.moves)})
        return settlement.surplus

    def _write(
        self,
        current: PageText,
        cleared: str,
        entries: Sequence[ReviewEntry],
        facts: Context,
        config: WikiConfig,
    ) -> None:
        title = current.title
        wanted = shuffled(
            (review_row(entry, facts, blind=config.blind, hints=config.hints) for entry in entries), title
        )
        text = merge_page(cleared, wanted, self._wiki.bot_name)
        self._placer.note_size(title, len(text.encode()))
        before = {row.item_id: row for row in parse_rows(current.text, self._wiki.bot_name)}
        if current.revision_id is not None and not self._is_due(current.text, cleared, wanted, text, before):
            fate, text = "same", current.text
        else:
            fate = self._writer.write(current, text, self._summary(before, text))
        if fate in WRITTEN:
            self._remember(title, entries, text, config)
        elif fate == "too_big" and current.revision_id is not None:
            self._make_room(title, [entry for entry in entries if entry.item_id not in before])

    def _is_due(
        self,
        current: str,
        cleared: str,
        wanted: Sequence[ReviewRow],
        text: str,
        before: Mapping[str, FoundRow],
    ) -> bool:
        """Whether a page has to change.

        People edit all day, and files become look-alikes of what was reviewed since; that alone is no reason
        for an edit of ours.
        """
        quiet = [
            row if row.item_id not in before or before[row.item_id].shows_hint else replace(row, hint=NO_HINT)
            for row in wanted
        ]
        if quiet != wanted:
            text = merge_page(cleared, quiet, self._wiki.bot_name)
        return _EDIT_COUNT.sub("", text) != _EDIT_COUNT.sub("", current)

    def _remember(self, title: str, entries: Sequence[ReviewEntry], text: str, config: WikiConfig) -> None:
        with self._database.read() as tx:
            page = review_pages.find(tx, self._wiki_id, title)
        shown = {row.item_id for row in parse_rows(text, self._wiki.bot_name) if row.shows_hint}
        self._synced[title] = _Synced(
            self._digest(entries, config.blind),
            _hints_of(entries, shown, config),
            page.last_seen_revision_id if page is not None else None,
            self._clock(),
        )

    def _summary(self, before: Mapping[str, FoundRow], text: str) -> str:
        after = {row.item_id: row.source for row in parse_rows(text, self._wiki.bot_name)}
        added = len(after.keys() - before.keys())
        changed = sum(item_id in before and before[item_id].source != row for item_id, row in after.items())
        return self._messages.text("summary.rows", added=added, changed=changed)

    def _make_room(self, title: str, missing: Sequence[ReviewEntry]) -> None:
        """People filled the page: nothing more goes there, and what is not on it yet goes elsewhere."""
        self._placer.note_size(title, self._wiki.max_page_bytes())
        undecided = [entry.item_id for entry in missing if entry.state is not ReviewState.CLOSED]
        with self._database.transaction() as tx:
            count = review_pages.unplace(tx, self._wiki_id, title, undecided)
        self._placer.begin_anew()
        log.warning("report_page_full", extra={"page": title, "items_moved_on": count})

    def _digest(self, entries: Sequence[ReviewEntry], blind: bool) -> str:
        """Changes whenever the store has something new to show on a page."""
        rows = (review_row(entry, Context(), blind=blind) for entry in entries)
        lines = sorted(render_row(row, self._wiki.bot_name) for row in rows)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _hints_of(
    entries: Sequence[ReviewEntry], item_ids: Collection[str], config: WikiConfig
) -> dict[str, Hint]:
    """The hints that some of the items should have, by what the store knows."""
    return {
        entry.item_id: wanted_hint(entry) if config.hints else NO_HINT
        for entry in entries
        if entry.item_id in item_ids
    }


__all__ = ["Publisher"]

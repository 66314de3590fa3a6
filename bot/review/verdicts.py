"""Reading pass: what people wrote on the report pages becomes verdicts in the store.

Guarantee: the verdicts of a pass and how far each page was read are stored in one transaction, so a pass that
is cut off is simply repeated; the same revision read twice changes nothing. A pass over pages that nobody
touched costs one request per 50 pages. After a long absence the histories are read piece by piece, all pages
up to the same revision, so that rows which moved between them are still recognised.
"""

import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from typing import Final

from bot.monitoring import Metrics
from bot.review.rows import parse_rows
from bot.review.trust import trust
from bot.review.verdict_parser import read_verdicts
from bot.review.verdict_values import HistoryReading, IntroducedVerdict, PageHistory
from bot.wiki_values import ReviewWiki, UserInfo
from storage import review_lookup, review_pages, reviews
from storage.engine import Database
from storage.review_values import (
    PageKind,
    PageState,
    ReviewEntry,
    ReviewPage,
    Verdict,
    VerdictSource,
    VerdictsRecorded,
)

log = logging.getLogger(__name__)


REVISIONS_AT_ONCE: Final = 100
"""Of one page; each comes with its whole text."""
PASSES_WITHOUT_ARCHIVE: Final = 20
"""Archived pages are looked at now and then only; edits of them are also told by the stream."""


class VerdictReader:
    """Reads the report pages' histories since they were last read.

    Args:
        wiki: Where the pages are.
        database: The store.
        wiki_id: Database name of that wiki.
        trusted_groups: Groups whose members' verdicts count.
        metrics: Where verdicts are counted.
    """

    def __init__(
        self,
        wiki: ReviewWiki,
        database: Database,
        wiki_id: str,
        trusted_groups: Sequence[str],
        metrics: Metrics,
    ) -> None:
        self._wiki = wiki
        self._database = database
        self._wiki_id = wiki_id
        self._trusted_groups = frozenset(trusted_groups)
        self._metrics = metrics
        self._passes = 0
        self._missing: frozenset[str] = frozenset()

    @property
    def missing(self) -> frozenset[str]:
        """Titles of the bot's pages that the last pass found gone from the wiki."""
        return self._missing

    def read(self, edited: Collection[str] = ()) -> VerdictsRecorded | None:
        """Read every page that has changed.

        Args:
            edited: Titles known to have been edited; archived ones are looked at if they are among these.

        Returns:
            What was stored; None where no page has changed.

        Raises:
            ServiceDown: The wiki does not answer; what was stored is whole, and nothing is lost.
            StoreError: The store is away; likewise.
        """
        changed, self._missing = self._look(edited)
        recorded: VerdictsRecorded | None = None
        while changed:
            piece, left = self._read_piece(changed)
            recorded = piece if recorded is None else _together(recorded, piece)
            with self._database.read() as tx:
                found = [review_pages.find(tx, self._wiki_id, title) for title in left]
            changed = [page for page in found if page is not None]
        self._passes += 1
        return recorded

    def _look(self, edited: Collection[str]) -> tuple[list[ReviewPage], frozenset[str]]:
        """The pages with rows that have changed, and those that are gone."""
        with_archived = self._passes % PASSES_WITHOUT_ARCHIVE == 0
        with self._database.read() as tx:
            pages = [
                page
                for page in review_pages.pages(tx, self._wiki_id, open_only=False)
                if page.state is PageState.OPEN or with_archived or page.title in edited
            ]
        newest = self._wiki.newest_revisions([page.title for page in pages]) if pages else {}
        changed = [page for page in pages if newest[page.title] not in (None, page.last_seen_revision_id)]
        with self._database.transaction() as tx:
            for page in changed:
                revision_id = newest[page.title]
                if page.kind is not PageKind.ITEM and revision_id is not None:
                    # There is nothing to read on it; the writing pass puts it right.
                    review_pages.mark_seen(tx, self._wiki_id, page.title, revision_id)
        gone = frozenset(
            page.title
            for page in pages
            if newest[page.title] is None
            and page.state is PageState.OPEN
            and page.last_written_revision_id is not None
        )
        return [page for page in changed if page.kind is PageKind.ITEM], gone

    def _read_piece(self, pages: Sequence[ReviewPage]) -> tuple[VerdictsRecorded, list[str]]:
        """Store what is new on some pages up to one revision; returns the pages with more to read, too."""
        histories, left = _cut([self._history(page) for page in pages])
        ids = {row.item_id for text in _texts(histories) for row in parse_rows(text, self._wiki.bot_name)}
        with self._database.read() as tx:
            # Wherever they stand: a row that was copied here keeps its uploader and its earlier verdicts.
            entries = review_lookup.entries(tx, ids)
            earlier = review_lookup.verdicts(tx, ids)
        reading = read_verdicts(histories, self._wiki.bot_name, earlier)
        people = sorted({verdict.author for verdict in reading.verdicts if not verdict.anonymous})
        accounts = self._wiki.users(people) if people else {}
        verdicts = [
            self._judged(verdict, accounts.get(verdict.author), entries) for verdict in reading.verdicts
        ]
        now = datetime.now(UTC)
        with self._database.transaction() as tx:
            recorded = reviews.add_verdicts(tx, verdicts, now)
            for history in histories:
                if history.revisions:
                    newest = history.revisions[-1].revision_id
                    review_pages.mark_seen(tx, self._wiki_id, history.title, newest)
        self._tell(verdicts, reading, recorded)
        return recorded, left

    def _history(self, page: ReviewPage) -> PageHistory:
        """The next revisions of a page: one more than are read at once, where there are so many."""
        seen = page.last_seen_revision_id
        # A wiki may also tell earlier ones of the same second, or all where the last one seen is gone.
        later = (
            revision
            for revision in self._wiki.history(page.title, seen)
            if seen is None or revision.revision_id > seen
        )
        revisions = tuple(islice(later, REVISIONS_AT_ONCE + 1))
        base = self._wiki.revision(page.title, seen) if seen is not None and revisions else None
        base_text = "" if seen is None else base.text if base is not None else None
        tags = {revision.revision_id: revision.tags for revision in revisions}
        return PageHistory(page.title, base_text, seen, revisions, tags)

    def _judged(
        self, verdict: IntroducedVerdict, author: UserInfo | None, entries: dict[str, ReviewEntry]
    ) -> Verdict:
        entry = entries.get(verdict.item_id)
        trusted, reason = trust(
            verdict,
            author,
            entry.uploader if entry is not None else None,
            self._trusted_groups,
            bot_name=self._wiki.bot_name,
        )
        return Verdict(
            item_id=verdict.item_id,
            code=verdict.code,
            comment=verdict.comment,
            author=verdict.author,
            author_id=verdict.author_id or None,
            author_groups=tuple(sorted(author.groups)) if author is not None else (),
            trusted=trusted,
            untrusted_reason=reason,
            blind=verdict.blind,
            hinted=verdict.hinted,
            revision_id=verdict.revision_id,
            given_at=verdict.made_at,
            source=VerdictSource.WIKI,
        )

    def _tell(self, verdicts: Sequence[Verdict], reading: HistoryReading, recorded: VerdictsRecorded) -> None:
        for verdict in verdicts:
            self._metrics.verdicts.labels(verdict.untrusted_reason or "trusted").inc()
            log.info(
                "verdict_read",
                extra={
                    "item": verdict.item_id,
                    "code": verdict.code.value,
                    "author": verdict.author,
                    "trusted": verdict.trusted,
                    "reason": verdict.untrusted_reason,
                    "revision": verdict.revision_id,
                },
            )
        for change in reading.uncounted:
            self._metrics.verdicts.labels(change.reason).inc()
            log.info(
                "verdict_not_counted",
                extra={"item": change.item_id, "reason": change.reason, "revision": change.revision_id},
            )
        if recorded.unknown:
            log.warning("verdict_on_unknown_item", extra={"count": recorded.unknown})


def _cut(histories: Sequence[PageHistory]) -> tuple[list[PageHistory], list[str]]:
    """Leave for later what is newer than any page can be read now, and say on which pages there is more."""
    limits = [
        history.revisions[REVISIONS_AT_ONCE - 1].revision_id
        for history in histories
        if len(history.revisions) > REVISIONS_AT_ONCE
    ]
    if not limits:
        return list(histories), []
    kept = [
        replace(
            history,
            revisions=[revision for revision in history.revisions if revision.revision_id <= min(limits)],
        )
        for history in histories
    ]
    more = zip(histories, kept, strict=True)
    return kept, [whole.title for whole, part in more if len(part.revisions) < len(whole.revisions)]


def _texts(histories: Iterable[PageHistory]) -> Iterable[str]:
    for history in histories:
        yield history.base_text or ""
        yield from (revision.text or "" for revision in history.revisions)


def _together(first: VerdictsRecorded, second: VerdictsRecorded) -> VerdictsRecorded:
    return VerdictsRecorded(
        first.added + second.added,
        first.repeated + second.repeated,
        first.unknown + second.unknown,
        {**first.changed, **second.changed},
    )

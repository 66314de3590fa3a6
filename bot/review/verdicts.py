"""Reading pass: what people wrote on the report pages becomes verdicts in the store.

Guarantee: the verdicts of a pass and how far each page was read are stored in one transaction, so a pass that
is cut off is simply repeated; the same revision read twice changes nothing. A pass over pages that nobody
touched costs one request per 50 pages.
"""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime

from bot.monitoring import Metrics
from bot.review.trust import trust
from bot.review.verdict_parser import read_verdicts
from bot.review.verdict_values import HistoryReading, IntroducedVerdict, PageHistory
from bot.wiki_values import ReviewWiki, UserInfo
from storage import review_pages, reviews
from storage.engine import Database
from storage.review_values import (
    PageKind,
    ReviewEntry,
    ReviewPage,
    Verdict,
    VerdictSource,
    VerdictsRecorded,
)

log = logging.getLogger(__name__)


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

    def read(self) -> VerdictsRecorded | None:
        """Read every open page that has changed.

        Returns:
            What was stored; None where no page has changed.

        Raises:
            ServiceDown: The wiki does not answer; nothing was stored, nothing is lost.
            StoreError: The store is away; likewise.
        """
        changed = self._changed_pages()
        if not changed:
            return None
        histories = [self._history(page) for page in changed]
        with self._database.read() as tx:
            entries = {
                entry.item_id: entry
                for page in changed
                for entry in review_pages.rows_of(tx, self._wiki_id, page.title)
            }
            earlier = [verdict for item_id in entries for verdict in reviews.verdicts_of(tx, item_id)]
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
        return recorded

    def _changed_pages(self) -> list[ReviewPage]:
        with self._database.read() as tx:
            pages = [page for page in review_pages.pages(tx, self._wiki_id) if page.kind is PageKind.ITEM]
        if not pages:
            return []
        newest = self._wiki.newest_revisions([page.title for page in pages])
        return [page for page in pages if newest[page.title] not in (None, page.last_seen_revision_id)]

    def _history(self, page: ReviewPage) -> PageHistory:
        seen = page.last_seen_revision_id
        revisions = tuple(self._wiki.history(page.title, seen))
        base = self._wiki.revision(page.title, seen) if seen is not None else None
        base_text = "" if seen is None else base.text if base is not None else None
        return PageHistory(page.title, base_text, seen, revisions)

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

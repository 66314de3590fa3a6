"""One edit of one of the bot's pages: when it may be made, what became of it, and how the store hears of it.

Guarantee: an edit counts as read only where it followed directly upon what had been read, so that a verdict
which somebody saved in the same moment is still read; and a page that the wiki would not take is left alone
for a while, and the others go on.
"""

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from bot.errors import ServiceDown
from bot.monitoring import Metrics
from bot.wiki_values import EditConflict, PageText, ReviewWiki, WriteRefused
from storage import review_pages
from storage.engine import Database
from storage.review_values import ReviewPage

log = logging.getLogger(__name__)

REFUSED_PAUSE: Final = timedelta(minutes=10)
"""How long a page is left alone that the wiki would not take: asking again changes nothing."""
WRITTEN: Final = frozenset({"saved", "same", "dry_run"})
"""Fates of an edit after which the page says what it should; the others mean that it was not saved."""
_UNKNOWN: Final = 0
"""No revision has this id, so nothing counts as read."""


def utc_now() -> datetime:
    """The present."""
    return datetime.now(UTC)


class PageWriter:
    """Saves pages; used by one thread.

    Args:
        wiki: Where the pages are.
        database: The store.
        wiki_id: Database name of that wiki.
        metrics: Where edits are counted.
        clock: Tells the present.
    """

    def __init__(
        self,
        wiki: ReviewWiki,
        database: Database,
        wiki_id: str,
        metrics: Metrics,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._wiki = wiki
        self._database = database
        self._wiki_id = wiki_id
        self._metrics = metrics
        self._clock = clock
        self._refused: dict[str, datetime] = {}

    def may_be_edited(self, page: ReviewPage, interval_s: float) -> bool:
        """Whether the page is not to rest.

        Args:
            page: The page.
            interval_s: At most one edit in so many seconds.

        Returns:
            False too soon after an edit, or after a refusal.
        """
        now = self._clock()
        refused_at = self._refused.get(page.title)
        if refused_at is not None and now - refused_at < REFUSED_PAUSE:
            return False
        written_at = page.last_written_at
        return written_at is None or now - written_at >= timedelta(seconds=interval_s)

    def write(self, current: PageText, text: str, summary: str) -> str:
        """Save a page that is known to the store, and remember it.

        Args:
            current: The page as it was read.
            text: What it is to say.
            summary: The edit summary.

        Returns:
            Its fate: one of `WRITTEN`, `conflict`, or the code of a refusal.

        Raises:
            ServiceDown: The wiki does not answer; it was not saved.
        """
        title = current.title
        try:
            revision_id = self._wiki.write(current, text, summary)
        except EditConflict:
            return self._told(title, "conflict", logging.INFO)
        except WriteRefused as error:
            self._refused[title] = self._clock()
            return self._told(title, error.code, logging.ERROR, reason=str(error))
        self._refused.pop(title, None)
        if revision_id is None:
            return self._told(title, "dry_run", logging.INFO)
        if revision_id == current.revision_id:
            return self._told(title, "same", logging.DEBUG)
        follows = self._predecessor(title, revision_id)
        with self._database.transaction() as tx:
            review_pages.mark_written(tx, self._wiki_id, title, revision_id, self._clock(), based_on=follows)
        return self._told(title, "saved", logging.INFO, revision=revision_id)

    def _predecessor(self, title: str, revision_id: int) -> int | None:
        """What our revision really followed upon: the wiki may have merged it with somebody else's."""
        try:
            saved = self._wiki.revision(title, revision_id)
        except ServiceDown:
            saved = None
        return _UNKNOWN if saved is None else saved.parent_id or None

    def _told(self, title: str, fate: str, level: int, **fields: object) -> str:
        self._metrics.wiki_edits.labels(fate).inc()
        log.log(level, "report_edit", extra={"page": title, "fate": fate, **fields})
        return fate

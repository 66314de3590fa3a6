"""Ask the wiki whether files that we keep something of were suppressed meanwhile.

Suppressions stand in no public log, and report pages are looked at only while they are open; so whoever keeps
pictures has to ask. What is found is noted as a change of the file, and the next round of the housekeeping
removes the pictures, about a second later. Files whose pictures are gone are still named, in exports and in
hints: every round asks about some hundreds of those as well, and begins anew at the end.
"""

import logging
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from bot.errors import BotError
from bot.retention.reuploads import Asks
from storage import file_changes, kept_copies, review_lookup
from storage.engine import Database
from storage.errors import StoreError

log = logging.getLogger(__name__)

EVERY_S = 600.0
TITLES_A_QUESTION = 50
REVIEWED_A_ROUND = 500
"""Of the files that people were ever asked about: 72,000 a day, in ten questions a round."""


class SuppressionPatrol:
    """Looks again and again, in a thread of its own.

    Args:
        api: Asked about files.
        database: Where pictures and changes are recorded.
        wiki: Database name of the wiki.
        stop: Ends the run.
        every_s: Seconds between two rounds.
    """

    def __init__(
        self, api: Asks, database: Database, wiki: str, stop: threading.Event, every_s: float = EVERY_S
    ) -> None:
        self._api = api
        self._database = database
        self._wiki = wiki
        self._stop = stop
        self._every_s = every_s
        self._after = 0

    def run(self) -> None:
        """Look until stopped; a wiki or a store that is away is asked again in the next round."""
        while not self._stop.wait(self._every_s):
            try:
                self.look()
            except (BotError, StoreError) as error:
                log.warning("service_failed", extra={"service": "retention", "reason": str(error)})

    def look(self) -> int:
        """Ask about every file of which a picture is kept, and about the next of those that were reviewed.

        Returns:
            How many were found suppressed that were not known to be.

        Raises:
            BotError: Where the wiki does not answer.
            StoreError: Where the store is away.
        """
        with self._database.read() as tx:
            kept = kept_copies.titles(tx, self._wiki)
            reviewed = review_lookup.titles(tx, self._wiki, self._after, REVIEWED_A_ROUND)
        titles = [*kept, *sorted({title for _, title in reviewed if title} - set(kept))]
        found = 0
        for begin in range(0, len(titles), TITLES_A_QUESTION):
            asked = titles[begin : begin + TITLES_A_QUESTION]
            question: dict[str, str | int] = {"prop": "imageinfo", "iiprop": "timestamp"}
            hidden = hidden_titles(self._api.query({**question, "titles": "|".join(asked)}), asked)
            now = datetime.now(UTC)
            if hidden:
                with self._database.transaction() as tx:
                    for title in hidden:
                        found += file_changes.note_suppressed(tx, self._wiki, title, now, now)
        self._after = reviewed[-1][0] if len(reviewed) == REVIEWED_A_ROUND else 0
        if found:
            log.info("files_suppressed", extra={"count": found})
        return found


def hidden_titles(answer: Mapping[str, Any], asked: Sequence[str]) -> list[str]:
    """Which files the wiki hides.

    Args:
        answer: To a question with `prop=imageinfo`, in `formatversion=2`.
        asked: The titles in the question.

    Returns:
        Those of them whose newest version is hidden or suppressed.
    """
    query = answer.get("query", {})
    spelling = {entry["from"]: entry["to"] for entry in query.get("normalized", ())}
    hidden = {
        page["title"]
        for page in query.get("pages", ())
        if (page.get("imageinfo") or [{}])[0].keys() & {"filehidden", "suppressed"}
    }
    return [title for title in asked if spelling.get(title, title) in hidden]


__all__ = ["SuppressionPatrol", "hidden_titles"]

"""Deleted files with the bytes of an upload: what the wiki tells everybody, and no more.

`list=filearchive` takes one hash a question, so only what people are asked about is looked up, and an answer
holds for an hour. MediaWiki answers anonymous readers, too (tests/integration/test_wiki_reuploads.py); a wiki
may still refuse. Then the next session is tried, and when all are refused nobody asks until the next start.

A title is told only if the public log tells of its deletion: an account with more rights is shown files that
others may not know of.
"""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from bot.api import ApiError
from storage import refusals
from storage.engine import Database

log = logging.getLogger(__name__)

SERVICE = "reuploads"
MAX_TITLES = 5
KEPT_S = 3600.0
_KEPT_ANSWERS = 2000
_REFUSED = frozenset({"permissiondenied", "readapidenied", "badvalue", "unknown_list"})
"""Not allowed, or not known to this wiki; everything else is about one question."""


class Asks(Protocol):
    """Asks the wiki; see `bot.api.Api` and `bot.wiki.Wiki`."""

    def query(self, params: Mapping[str, str | int]) -> Mapping[str, Any]:
        """Ask `action=query` once."""
        ...


class DeletedFiles:
    """Looks deleted files up; threads may share it.

    Args:
        sessions: Whom to ask, the first that the wiki answers.
        database: Where a refusal is noted, for `status`.
    """

    def __init__(self, sessions: Sequence[Asks], database: Database) -> None:
        self._sessions = list(sessions)
        self._database = database
        self._lock = threading.Lock()
        self._answers: OrderedDict[str, tuple[float, tuple[str, ...]]] = OrderedDict()
        self._answered = False

    def titles(self, sha1: str) -> tuple[str, ...]:
        """The titles under which bytes were deleted, as far as everybody may know.

        Args:
            sha1: Their SHA-1 in base 36.

        Returns:
            Full titles, each once; none where the wiki does not let us ask.

        Raises:
            ServiceDown: Where the wiki does not answer.
            StoreError: Where a refusal cannot be noted.
        """
        with self._lock:
            asked_at, found = self._answers.get(sha1, (float("-inf"), ()))
            sessions = tuple(self._sessions)
        if time.monotonic() - asked_at < KEPT_S:
            return found
        for session in sessions:
            try:
                found = self._asked(session, sha1)
            except ApiError as error:
                if error.code in _REFUSED:
                    self._refused(session, error)
                    continue
                log.warning("reupload_unknown", extra={"sha1": sha1, "reason": str(error)})
                found = ()
            self._keep(sha1, found)
            return found
        return ()

    def _asked(self, session: Asks, sha1: str) -> tuple[str, ...]:
        question: dict[str, str | int] = {"list": "filearchive", "fasha1base36": sha1, "falimit": MAX_TITLES}
        titles = deleted_titles(session.query(question))
        return tuple(title for title in titles if self._is_public(session, title))

    def _is_public(self, session: Asks, title: str) -> bool:
        question: dict[str, str | int] = {
            "list": "logevents",
            "letitle": title,
            "letype": "delete",
            "leprop": "title|type",
            "lelimit": MAX_TITLES,
        }
        events = _rows(session.query(question), "logevents")
        return any(event.get("title") == title and not _is_hidden(event) for event in events)

    def _keep(self, sha1: str, found: tuple[str, ...]) -> None:
        with self._lock:
            first, self._answered = not self._answered, True
            self._answers[sha1] = (time.monotonic(), found)
            self._answers.move_to_end(sha1)
            while len(self._answers) > _KEPT_ANSWERS:
                self._answers.popitem(last=False)
        if first:
            with self._database.transaction() as tx:
                refusals.clear(tx, SERVICE)

    def _refused(self, session: Asks, error: ApiError) -> None:
        with self._lock:
            if session not in self._sessions:
                return  # another thread has told
            self._sessions.remove(session)
            last = not self._sessions
        if not last:
            log.info("reuploads_refused", extra={"reason": str(error), "next": "another session is tried"})
            return
        log.warning("reuploads_off", extra={"reason": str(error)})
        with self._database.transaction() as tx:
            refusals.note(tx, SERVICE, str(error), datetime.now(UTC))


def deleted_titles(answer: Mapping[str, Any]) -> list[str]:
    """Read an answer about deleted files.

    Args:
        answer: To `list=filearchive`, in `formatversion=2`.

    Returns:
        Titles, each once, in the order of the answer; hidden and suppressed files are left out.
    """
    found = [file.get("title") for file in _rows(answer, "filearchive") if not _is_hidden(file)]
    return list(dict.fromkeys(title for title in found if isinstance(title, str) and title))


def _rows(answer: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    query = answer.get("query")
    rows = query.get(name) if isinstance(query, dict) else None
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _is_hidden(row: Mapping[str, Any]) -> bool:
    return any(row.get(mark) for mark in ("filehidden", "suppressed", "actionhidden"))


__all__ = ["MAX_TITLES", "SERVICE", "Asks", "DeletedFiles", "deleted_titles"]

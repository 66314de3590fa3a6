"""Reading and writing pages through a signed-in session: the review's wiki without its transport.

Three things about MediaWiki make `write` longer than one request. Edits that touch different lines are merged
without a word, and two edits of the same account may not conflict at all, so edits are serialised in this
process and the newest revision is looked at right before each. A page deleted meanwhile is recreated unless
told otherwise. And an exception does not mean "not saved": the answer may have been lost after the wiki had
committed the edit, so the history is read before anything is tried again or reported as failed.
"""

import difflib
import logging
import random
import threading
import time
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final, Protocol, TypeVar

from bot.api import ApiError
from bot.backoff import jittered
from bot.errors import ConfigError, ServiceDown
from bot.exclusion import may_edit
from bot.wiki_answers import (
    Answer,
    as_mediawiki,
    batches,
    canonical,
    canonical_titles,
    newest_ids,
    page_texts,
    revisions,
    unknown_user,
    user_infos,
)
from bot.wiki_errors import refused
from bot.wiki_identity import Account
from bot.wiki_values import EditConflict, PageText, ReviewWiki, Revision, UserInfo

logger = logging.getLogger(__name__)

_T = TypeVar("_T")
_TEXTS_A_REQUEST: Final = 50
_USERS_A_REQUEST: Final = 50
_IDS_A_REQUEST: Final = {False: 50, True: 500}
_LONGEST_WAIT_S: Final = 30.0
_SHOWN_DIFF_LINES: Final = 40
_WRITING: Final = threading.Lock()
"""Around every edit of this process, whatever object it comes from."""


class Session(Protocol):
    """One try of one request, as the bot's account."""

    def ask(self, parameters: Mapping[str, str | int]) -> Answer:
        """Send a request that changes nothing.

        Args:
            parameters: Without format and assertions.

        Returns:
            The answer in `formatversion=2`.

        Raises:
            ApiError: The API refused it for good.
            ConfigError: The session was lost, and the wiki no longer lets the account in.
            ServiceDown: Transient.
        """
        ...

    def act(self, parameters: Mapping[str, str | int]) -> Answer:
        """Send a request that changes something, with a token and the assertion of the account.

        Args:
            parameters: Without format, token and assertions.

        Returns:
            As `ask`.

        Raises:
            ApiError: As `ask`.
            ConfigError: As `ask`.
            ServiceDown: As `ask`; the change may have been made nevertheless.
        """
        ...


@dataclass(frozen=True)
class Patience:
    """How long a failing wiki is asked again before the caller hears of it.

    Attributes:
        budget_s: No new try begins later than so many seconds after the first.
        first_wait_s: The first wait in seconds; later ones double.
        stop: Ends every wait.
    """

    budget_s: float = 45.0
    first_wait_s: float = 1.0
    stop: threading.Event = field(default_factory=threading.Event)

    def insist(self, action: Callable[[], _T]) -> _T:
        """Do it, again and again while it is transient and the budget lasts.

        Args:
            action: What is tried; it may be called several times.

        Returns:
            What it returned.

        Raises:
            ServiceDown: The last failure.
        """
        deadline = time.monotonic() + self.budget_s
        for attempt in count(1):
            try:
                return action()
            except ServiceDown as problem:
                wait_s = jittered(attempt, self.first_wait_s, _LONGEST_WAIT_S, random.Random())
                if problem.after_s is not None:
                    wait_s = max(wait_s, problem.after_s)
                if time.monotonic() + wait_s > deadline or self.stop.wait(wait_s):
                    raise
                logger.info("wiki_retry", extra={"reason": str(problem), "attempt": attempt})
        raise AssertionError("the loop ends by returning or raising")


class WikiPages(ReviewWiki):
    """The review's wiki over a session; threads may share it.

    Args:
        session: Sends single requests.
        account: Who that is.
        max_page_bytes: The wiki's `maxarticlesize`.
        dry_run: Log edits instead of making them.
        patience: Budget for trying again.
    """

    def __init__(
        self,
        session: Session,
        account: Account,
        max_page_bytes: int,
        *,
        dry_run: bool = True,
        patience: Patience | None = None,
    ) -> None:
        self._session = session
        self._account = account
        self._max_page_bytes = max_page_bytes
        self._dry_run = dry_run
        self._patience = patience or Patience()

    @property
    def bot_name(self) -> str:
        """Name of the account that edits."""
        return self._account.name

    def max_page_bytes(self) -> int:
        """The wiki's `maxarticlesize` in bytes."""
        return self._max_page_bytes

    def query(self, params: Mapping[str, str | int]) -> Mapping[str, Any]:
        """Ask `action=query` once, as the bot's account; as `bot.api.Api.query`.

        Args:
            params: Without format and assertions.

        Returns:
            The whole answer.

        Raises:
            ApiError: The API refused it for good.
            ServiceDown: Transient.
        """
        return self._patience.insist(lambda: self._session.ask({"action": "query", **params}))

    def read(self, titles: Sequence[str]) -> Mapping[str, PageText]:
        """Read pages, 50 a request; see `ReviewWiki.read`."""
        found: dict[str, PageText] = {}
        for batch in batches(titles, _TEXTS_A_REQUEST):
            spelling: dict[str, str] = {}
            pages: dict[str, PageText] = {}
            for answer in self._continued(
                prop="revisions", rvprop="ids|timestamp|content", rvslots="main", titles="|".join(batch)
            ):
                with as_mediawiki():
                    spelling.update(canonical_titles(answer))
                    pages.update({page.title: page for page in page_texts(answer)})
            found.update(_as_asked(batch, spelling, pages))
        return {title: found.get(title, PageText(title, "", None, None)) for title in titles}

    def newest_revisions(self, titles: Sequence[str]) -> Mapping[str, int | None]:
        """The newest revision ids only; see `ReviewWiki.newest_revisions`."""
        found: dict[str, int | None] = {}
        for batch in batches(titles, _IDS_A_REQUEST["apihighlimits" in self._account.rights]):
            found.update(self._patience.insist(lambda batch=batch: self._newest(batch)))  # type: ignore[misc]
        return {title: found.get(title) for title in titles}

    def history(self, title: str, after_revision_id: int | None) -> Iterator[Revision]:
        """Walk a page's revisions, oldest first; see `ReviewWiki.history`."""
        start = {} if after_revision_id is None else {"rvstartid": after_revision_id}
        try:
            found = self._history(title, start)
            yield from (revision for revision in found if revision.revision_id != after_revision_id)
        except ApiError as error:
            if error.code != "badid_rvstartid":
                raise
            # That revision is gone for good, so nothing says which of the page's are later.
            yield from self._history(title, {})

    def revision(self, title: str, revision_id: int) -> Revision | None:
        """One revision of a page; see `ReviewWiki.revision`."""
        try:
            # The bounds only mean their moments, so others of the same second come along.
            found = list(self._history(title, {"rvstartid": revision_id, "rvendid": revision_id}))
        except ApiError as error:
            if error.code not in {"badid_rvstartid", "badid_rvendid"}:
                raise
            return None
        return next((revision for revision in found if revision.revision_id == revision_id), None)

    def users(self, names: Sequence[str]) -> Mapping[str, UserInfo]:
        """Look accounts up, 50 a request; see `ReviewWiki.users`."""
        found: dict[str, UserInfo] = {}
        for batch in batches(names, _USERS_A_REQUEST):
            for answer in self._continued(
                list="users",
                usprop="groups|implicitgroups|blockinfo|editcount|registration",
                ususers="|".join(batch),
            ):
                with as_mediawiki():
                    found.update(user_infos(answer))
        return {name: found.get(name) or found.get(canonical(name)) or unknown_user(name) for name in names}

    def write(self, page: PageText, text: str, summary: str, *, minor: bool = False) -> int | None:
        """Save a page that was read before; see `ReviewWiki.write`."""
        text = _as_saved(text)
        if page.revision_id is not None and text == _as_saved(page.text):
            return page.revision_id
        if not may_edit(page.text, self.bot_name):
            raise refused("nobots", "not asked", page.title)
        if len(text.encode()) > self._max_page_bytes:
            raise refused("contenttoobig", f"{self._max_page_bytes} bytes are allowed", page.title)
        if self._dry_run:
            _log_dry_run(page, text, summary)
            return None
        parameters = self._edit(page, text, summary, minor=minor)
        with _WRITING:
            try:
                return self._patience.insist(lambda: self._write_once(page, text, parameters))
            except ConfigError as error:
                raise refused("notloggedin", str(error), page.title) from error

    def _edit(self, page: PageText, text: str, summary: str, *, minor: bool) -> Mapping[str, str | int]:
        parameters: dict[str, str | int] = {
            "action": "edit",
            "title": page.title,
            "text": text,
            "summary": summary,
            "minor" if minor else "notminor": 1,
            "watchlist": "nochange",
        }
        if "bot" in self._account.rights:
            parameters["bot"] = 1
        # With basetimestamp beside it, MediaWiki would let the account overwrite itself, and let anybody be
        # overwritten within the same second; baserevid alone is exact (EditPage::internalAttemptSave).
        base = (
            {"createonly": 1} if page.revision_id is None else {"nocreate": 1, "baserevid": page.revision_id}
        )
        return {**parameters, **base}

    def _write_once(self, page: PageText, text: str, parameters: Mapping[str, str | int]) -> int:
        """Save unless the page changed; whatever goes wrong, say so only if the text is not there."""
        if self._newest([page.title])[page.title] != page.revision_id:
            saved = self._own_revision(page, text)
            if saved is None:
                raise EditConflict(page.title)
            return saved
        try:
            return self._save(page, parameters)
        except (ApiError, ServiceDown) as error:
            saved = self._own_revision(page, text)
            if saved is not None:
                logger.warning("wiki_saved_despite_error", extra={"title": page.title, "reason": str(error)})
                return saved
            if isinstance(error, ApiError):
                raise refused(error.code, error.info, page.title) from error
            raise

    def _save(self, page: PageText, parameters: Mapping[str, str | int]) -> int:
        with as_mediawiki():
            edit = self._session.act(parameters)["edit"]
            if edit["result"] != "Success":
                captcha = edit.get("captcha")
                raise ApiError(
                    "captcha" if captcha else str(edit.get("code", edit["result"])),
                    str(edit.get("info") or edit.get("spamblacklist") or captcha or edit),
                )
            if edit.get("nochange") and page.revision_id is not None:
                return page.revision_id
            saved = int(edit["newrevid"])
            if edit["oldrevid"] != (page.revision_id or 0):
                # Somebody was quicker, and the wiki merged other lines of theirs with ours.
                logger.warning("wiki_edit_merged", extra={"title": page.title, "revision_id": saved})
        logger.info("wiki_saved", extra={"title": page.title, "revision_id": saved})
        return saved

    def _own_revision(self, page: PageText, text: str) -> int | None:
        """Our revision with that text among those after the one that was read."""
        with_same_text = [
            revision.revision_id
            for revision in self.history(page.title, page.revision_id)
            if revision.user == self.bot_name
            and revision.text is not None
            and _as_saved(revision.text) == text
        ]
        return with_same_text[-1] if with_same_text else None

    def _newest(self, titles: Sequence[str]) -> Mapping[str, int | None]:
        """One request, tried once."""
        answer = self._session.ask({"action": "query", "prop": "info", "titles": "|".join(titles)})
        with as_mediawiki():
            found = newest_ids(answer)
            spelling = canonical_titles(answer)
        return {title: found.get(spelling.get(title, title)) for title in titles}

    def _history(self, title: str, bounds: Mapping[str, int]) -> Iterator[Revision]:
        for answer in self._continued(
            prop="revisions",
            rvprop="ids|user|userid|timestamp|content|flags|tags",
            rvslots="main",
            rvdir="newer",
            rvlimit=_TEXTS_A_REQUEST,
            titles=title,
            **bounds,
        ):
            with as_mediawiki():
                found = list(revisions(answer))
            yield from found

    def _continued(self, **parameters: str | int) -> Iterator[Answer]:
        """Ask, and follow `continue` to its end."""
        more: Mapping[str, str | int] = {}
        while True:
            asked = {"action": "query", **parameters, **more}
            answer = self._patience.insist(lambda asked=asked: self._session.ask(asked))  # type: ignore[misc]
            yield answer
            following = answer.get("continue")
            if not isinstance(following, dict):
                return
            more = following


def _as_asked(
    asked: Sequence[str], spelling: Mapping[str, str], pages: Mapping[str, PageText]
) -> Iterator[tuple[str, PageText]]:
    for title in asked:
        page = pages.get(spelling.get(title, title))
        if page is not None:
            yield title, page


def _as_saved(text: str) -> str:
    """As MediaWiki stores it: line feeds, composed characters, nothing blank at the end."""
    return unicodedata.normalize("NFC", text.replace("\r\n", "\n")).rstrip()


def _log_dry_run(page: PageText, text: str, summary: str) -> None:
    before, after = page.text.splitlines(), text.splitlines()
    changed = list(difflib.unified_diff(before, after, "wiki", "bot", n=0, lineterm=""))
    logger.info(
        "wiki_dry_run",
        extra={
            "title": page.title,
            "summary": summary,
            "lines_added": sum(line.startswith("+") for line in changed[2:]),
            "lines_removed": sum(line.startswith("-") for line in changed[2:]),
            "diff": "\n".join(changed[:_SHOWN_DIFF_LINES]),
        },
    )


__all__ = ["Patience", "Session", "WikiPages"]

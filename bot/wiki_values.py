"""What the review talks to a wiki with: frozen values, one Protocol, and the ways in which an edit can fail.

`bot/wiki.py` implements the Protocol with pywikibot; tests of pure review code use a hand-written fake.
Nothing here imports pywikibot.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from bot.errors import BotError

RefusalCode = Literal[
    "blocked", "protected", "abusefilter", "captcha", "blacklisted", "nobots", "not_logged_in", "no_right",
    "too_big", "other",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class PageText:
    """A page as it stands now.

    Attributes:
        title: Full title.
        text: Wikitext of the newest revision; empty where the page does not exist.
        revision_id: The newest revision; None where the page does not exist.
        edited_at: Time of that revision; None where the page does not exist.
    """

    title: str
    text: str
    revision_id: int | None
    edited_at: datetime | None


@dataclass(frozen=True, slots=True)
class Revision:
    """One revision of a page's history.

    Attributes:
        title: Full title of the page.
        revision_id: Its id.
        parent_id: The revision before it; 0 for the first one.
        user: Its author; None where hidden.
        user_id: The author's id; 0 for IP and temporary accounts without one, None where hidden.
        anonymous: Whether the author is an IP or a temporary account.
        made_at: Its time.
        text: Its wikitext; None where hidden or suppressed.
        tags: Change tags, such as `mw-rollback`.
    """

    title: str
    revision_id: int
    parent_id: int
    user: str | None
    user_id: int | None
    anonymous: bool
    made_at: datetime
    text: str | None
    tags: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class UserInfo:
    """What the wiki says of an account.

    Attributes:
        name: Canonical name.
        user_id: Its id; None for IP addresses and names that do not exist.
        groups: Explicit and implicit groups.
        blocked: Whether it is blocked now (partial blocks included).
        edit_count: Edits; None where unknown.
        registered_at: Registration; None where unknown.
    """

    name: str
    user_id: int | None
    groups: frozenset[str]
    blocked: bool
    edit_count: int | None
    registered_at: datetime | None


class WriteRefused(BotError):
    """The wiki will not take this edit, however often it is tried.

    Args:
        code: Stable code for metrics.
        title: The page.
        message: What the wiki said and what to do.
    """

    def __init__(self, code: RefusalCode, title: str, message: str) -> None:
        super().__init__(f"{title}: {message}")
        self.code: RefusalCode = code
        self.title = title


class EditConflict(BotError):
    """Somebody edited the page since it was read: read it again, merge, and write then.

    Args:
        title: The page.
    """

    def __init__(self, title: str) -> None:
        super().__init__(f"{title}: somebody else edited it meanwhile")
        self.title = title


class ReviewWiki(Protocol):
    """The wiki as the review sees it. Transient failures are `bot.errors.ServiceDown`."""

    @property
    def bot_name(self) -> str:
        """Name of the account that edits."""
        ...

    def read(self, titles: Sequence[str]) -> Mapping[str, PageText]:
        """Read pages, as few requests as possible; missing pages come back without a revision.

        Args:
            titles: Full titles.

        Returns:
            One value per title asked for, keyed by it.
        """
        ...

    def newest_revisions(self, titles: Sequence[str]) -> Mapping[str, int | None]:
        """The newest revision ids only: what a reading pass asks when nothing may have changed.

        Args:
            titles: Full titles, any number; 50 a request (500 with apihighlimits).

        Returns:
            Revision id per title; None where the page does not exist.
        """
        ...

    def history(self, title: str, after_revision_id: int | None) -> Iterator[Revision]:
        """Walk a page's revisions, oldest first.

        Args:
            title: Full title.
            after_revision_id: The last one seen; None walks from the first.

        Yields:
            Every later revision with its text.
        """
        ...

    def revision(self, title: str, revision_id: int) -> Revision | None:
        """One revision of a page.

        Args:
            title: Full title.
            revision_id: Its id.

        Returns:
            The revision; None where the page has none of that id (any more).
        """
        ...

    def users(self, names: Sequence[str]) -> Mapping[str, UserInfo]:
        """Look accounts up, 50 a request.

        Args:
            names: User names as they stand in revisions.

        Returns:
            One value per name asked for.
        """
        ...

    def write(self, page: PageText, text: str, summary: str, *, minor: bool = False) -> int | None:
        """Save a page that was read before.

        A page that existed is never created anew, and one that did not is never overwritten. The edit counts
        against what was read: if the page changed since, nothing is saved.

        Args:
            page: What was read; says what the edit is based on.
            text: The new wikitext.
            summary: The edit summary.
            minor: Whether it is marked as minor.

        Returns:
            The new revision id; the old one where the text is the same; None in dry-run.

        Raises:
            EditConflict: The page changed since it was read.
            WriteRefused: The wiki will not take it.
            ServiceDown: Transient; whether it was saved has been checked by reading again.
        """
        ...

    def max_page_bytes(self) -> int:
        """The wiki's `maxarticlesize` in bytes, read from siteinfo."""
        ...

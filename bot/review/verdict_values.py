"""The frozen values of reading verdicts from page histories, and who counts as the same person."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from bot.wiki_values import Revision
from storage.review_values import VerdictCode

REMARK_ONLY: Final = "remark_only"
"""Why a stored verdict does not count whose author only changed the comment beside it."""


@dataclass(frozen=True, slots=True)
class PageHistory:
    """What is new in the history of one page.

    Attributes:
        title: Full title.
        base_text: Its text at the last revision that was read; None where that is hidden; empty where the
            history starts with the page itself.
        base_revision_id: That revision; None where the history starts with the page itself.
        revisions: The later ones, oldest first.
        tags: Change tags by revision id, as far as they were asked for.
    """

    title: str
    base_text: str | None
    base_revision_id: int | None
    revisions: Sequence[Revision]
    tags: Mapping[int, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class IntroducedVerdict:
    """A verdict and the revision that introduced it.

    Attributes:
        item_id: The row's id; whether there is such an item is for the store to say.
        code: The decision; `unsure` where it was withdrawn.
        comment: The comment beside it.
        author: The revision's author.
        author_id: Its user id; 0 for accounts without one.
        anonymous: Whether that is an IP or a temporary account.
        revision_id: The revision.
        made_at: Its time.
        blind: Whether score and reason were hidden in the row that the author saw.
        hinted: Whether a hint at another file was in it.
        withdrawn: Whether the author took back an own verdict.
        remark_only: Whether only the comment beside somebody else's verdict was changed.
    """

    item_id: str
    code: VerdictCode
    comment: str
    author: str
    author_id: int
    anonymous: bool
    revision_id: int
    made_at: datetime
    blind: bool
    hinted: bool = False
    withdrawn: bool = False
    remark_only: bool = False


@dataclass(frozen=True, slots=True)
class UncountedChange:
    """A change of a row's verdict that is nobody's verdict.

    Attributes:
        item_id: The row's id.
        word: What stands there now.
        reason: `unattributable`, `restored`, `invalid` (not a verdict's code) or `contradictory` (several
            different ones for one item at once).
        title: The page.
        revision_id: The revision.
        author: Its author; None where hidden or uncertain.
    """

    item_id: str
    word: str
    reason: str
    title: str
    revision_id: int
    author: str | None


@dataclass(frozen=True, slots=True)
class HistoryReading:
    """What a reading pass found.

    Attributes:
        verdicts: In the order of the revisions; at most one per item and revision.
        uncounted: For metrics and the log.
    """

    verdicts: tuple[IntroducedVerdict, ...]
    uncounted: tuple[UncountedChange, ...]


def person_of(name: str, user_id: int | None) -> Hashable:
    """What identifies a person: the id, which survives renaming, or the name where there is none.

    Args:
        name: User name.
        user_id: Its id; None or 0 for none.
    """
    return user_id or canonical_name(name)


def canonical_name(name: str) -> str:
    """A user name as MediaWiki stores it.

    Args:
        name: In any of the forms that MediaWiki takes for the same.
    """
    plain = " ".join(name.replace("_", " ").split())
    return plain[:1].upper() + plain[1:]


__all__ = [
    "REMARK_ONLY",
    "HistoryReading",
    "IntroducedVerdict",
    "PageHistory",
    "UncountedChange",
    "canonical_name",
    "person_of",
]

"""The frozen values of a review: where an item stands and what people decided about it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class ReviewState(StrEnum):
    """Where a review item stands."""

    OPEN = "open"
    DISPUTED = "disputed"
    CLOSED = "closed"


class VerdictCode(StrEnum):
    """What a reviewer decided."""

    NSFW_DELETE = "nsfw-delete"
    NSFW_KEEP = "nsfw-keep"
    SFW = "sfw"
    UNSURE = "unsure"


class VerdictSource(StrEnum):
    """Where a verdict was given."""

    WIKI = "wiki"
    CONSOLE = "console"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One person's decision on one review item; never changed once it is stored.

    Attributes:
        item_id: Public id of the review item.
        code: The decision.
        comment: Free text, may be empty.
        author: Author of the revision that introduced it.
        author_id: The author's user id on the wiki; None on the console.
        author_groups: The author's groups at that time.
        trusted: Whether it counts as a label.
        untrusted_reason: Why it does not, such as `group`, `blocked`, `uploader`; None where it does.
        blind: Whether score and reason were hidden from the author.
        revision_id: The revision that introduced it; None on the console.
        given_at: Time of that revision.
        source: Wiki or console.
        id: Row id; None before it is stored.
        supersedes_id: Row id of the same person's verdict before this one.
        recorded_at: When we stored it; None before.
    """

    item_id: str
    code: VerdictCode
    comment: str
    author: str
    author_id: int | None
    author_groups: tuple[str, ...]
    trusted: bool
    untrusted_reason: str | None
    blind: bool
    revision_id: int | None
    given_at: datetime
    source: VerdictSource
    id: int | None = None
    supersedes_id: int | None = None
    recorded_at: datetime | None = None

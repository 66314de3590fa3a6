"""The frozen values of a review: where an item stands, on which page, and what people decided about it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from storage.values import ChangeKind, FrameScore, ReviewReason


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


class PageKind(StrEnum):
    """What a report page holds."""

    ITEM = "item"
    ARCHIVE = "archive"
    INDEX = "index"


class PageState(StrEnum):
    """Whether a report page is still kept up to date."""

    OPEN = "open"
    ARCHIVED = "archived"


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
        hinted: Whether a hint at another file stood beside the row.
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
    hinted: bool = False
    id: int | None = None
    supersedes_id: int | None = None
    recorded_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """What an item's verdicts come to; `storage.standing` has the rule.

    Attributes:
        state: Open, disputed or closed.
        votes: The latest verdict of every person whose verdict counts, in the order given.
        untrusted: The latest verdict of every person that does not count, in the order given.
        verdict: The vote to show: the latest decision, or the latest `unsure` where there is none.
    """

    state: ReviewState = ReviewState.OPEN
    votes: tuple[Verdict, ...] = ()
    untrusted: tuple[Verdict, ...] = ()
    verdict: Verdict | None = None


@dataclass(frozen=True, slots=True)
class VerdictsRecorded:
    """What became of the verdicts of one reading pass.

    Attributes:
        added: Newly stored, trusted or not.
        repeated: From revisions that had been read before.
        unknown: About ids of no item; dropped.
        changed: Items whose state changed, with their new state.
    """

    added: int
    repeated: int
    unknown: int
    changed: Mapping[str, ReviewState] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FileSignal:
    """What an administrator did to a reviewed file: a weak signal, never a verdict.

    Attributes:
        kind: Deletion, restoration or suppression.
        title: The file's title at that time.
        user: Who did it; None where hidden.
        at: When it was done; for a suppression, when it was noticed.
    """

    kind: ChangeKind
    title: str
    user: str | None
    at: datetime


@dataclass(frozen=True, slots=True)
class LookAlike:
    """A reviewed file that another one looks like, as it stands now.

    Attributes:
        title: Its present title.
        verdict: What all who decided say.
        deleted: Whether the latest log entry about it is a deletion.
    """

    title: str
    verdict: VerdictCode
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class Hint:
    """What is known of files like an upload: shown to people, never a label.

    Attributes:
        look_alike: The nearest reviewed file that it looks like; None where there is none.
        deleted_as: Titles of deleted files with the same bytes.
    """

    look_alike: LookAlike | None = None
    deleted_as: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return self.look_alike is not None or bool(self.deleted_as)


NO_HINT = Hint()


@dataclass(frozen=True, slots=True)
class ReviewEntry:
    """All that a row on a report page needs from the store.

    Attributes:
        item_id: Public id of the item.
        wiki: Database name of the file's wiki.
        title: Present title of the file.
        uploaded_as: Its title when it was uploaded.
        uploader: Who uploaded this version; None where hidden.
        score: Score in 0..1; not to be shown while the review is blind.
        reason: Why it was chosen; not to be shown while the review is blind.
        worst: The frame that gave the score, with its position or page.
        logged_at: When it was uploaded.
        scored_at: When it was scored.
        standing: What people decided so far, and the state that follows.
        other_flagged: How many other uploads by the same uploader were flagged; 0 where that is hidden.
        deleted: Whether the latest log entry about it is a deletion. One old version deleted looks the same
            in the log, so the API has the last word.
        suppressed: Whether it was found suppressed after it was last restored.
        overwritten: Whether a later upload under its title has other bytes.
        page_title: The report page it was placed on; None before.
        sha1: Of its bytes, in base 36; None where unknown.
        hint: What is known of files like it.
    """

    item_id: str
    wiki: str
    title: str
    uploaded_as: str
    uploader: str | None
    score: float
    reason: ReviewReason
    worst: FrameScore
    logged_at: datetime
    scored_at: datetime
    standing: Standing
    other_flagged: int
    deleted: bool
    suppressed: bool
    overwritten: bool
    page_title: str | None
    sha1: str | None = None
    hint: Hint = NO_HINT

    @property
    def state(self) -> ReviewState:
        """Where the item stands."""
        return self.standing.state

    @property
    def verdict(self) -> Verdict | None:
        """The vote to show."""
        return self.standing.verdict

    @property
    def moved(self) -> bool:
        """Whether the file has another title than when it was uploaded."""
        return self.title != self.uploaded_as


@dataclass(frozen=True, slots=True)
class ReviewPage:
    """A report page, how far it was read, and what stands on it.

    Attributes:
        wiki: Database name of the wiki that the page is on.
        title: Full title.
        kind: Rows, archive or index.
        state: Open, or archived.
        created_at: When it was first planned.
        last_seen_revision_id: The newest revision whose verdicts are stored; None before the first.
        last_written_revision_id: The newest revision of our own; None before the first.
        last_written_at: When that was written.
        open: Rows that wait for a decision.
        disputed: Rows whose reviewers disagree.
        closed: Rows that are decided.
        last_change_at: When the state of one of its rows changed last; None where none ever did.
    """

    wiki: str
    title: str
    kind: PageKind
    state: PageState
    created_at: datetime
    last_seen_revision_id: int | None = None
    last_written_revision_id: int | None = None
    last_written_at: datetime | None = None
    open: int = 0
    disputed: int = 0
    closed: int = 0
    last_change_at: datetime | None = None

    @property
    def rows(self) -> int:
        """How many items were placed on it."""
        return self.open + self.disputed + self.closed

    @property
    def finished(self) -> bool:
        """Whether it has rows and all of them are decided."""
        return self.rows > 0 and self.rows == self.closed

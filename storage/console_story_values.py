"""The frozen values of one upload's story: what the store knows of it, in the order in which it happened."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from storage.kept_copies import Purge
from storage.review_values import Hint, ReviewState, Standing, Verdict
from storage.values import ChangeKind, FileChange, FrameScore, ReviewReason


@dataclass(frozen=True, slots=True)
class UploadStory:
    """The upload itself and how it was processed.

    Attributes:
        wiki: Database name of the wiki.
        log_id: Log id of the upload.
        action: What the log entry says.
        title: Present title.
        uploaded_as: Title at the time of the upload.
        user: Who uploaded it; None where hidden.
        sha1: In base 36; None where hidden.
        logged_at: Time of the log entry.
        source: How we learned of it.
        received_at: When it was stored.
        state: `pending`, `claimed` or `done`.
        attempts: How many were made.
        crashes: Attempts that ended without a word.
        last_code: Code of the last attempt that failed; None where none did.
        last_message: What it said.
        next_attempt_at: When the next one is due, where it waits.
        outcome: `scored` or `skipped`; None before.
        outcome_code: Why it was skipped.
        outcome_message: In a sentence.
        finished_at: When it was done; None before.
    """

    wiki: str
    log_id: int
    action: str
    title: str
    uploaded_as: str
    user: str | None
    sha1: str | None
    logged_at: datetime
    source: str
    received_at: datetime
    state: str
    attempts: int
    crashes: int
    last_code: str | None
    last_message: str | None
    next_attempt_at: datetime
    outcome: str | None
    outcome_code: str | None
    outcome_message: str | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class StoredScore:
    """A score by one model version.

    Attributes:
        model: Name of the model.
        weights_sha256: Of its weights.
        preprocessing: Id of the preprocessing.
        engine: What ran it.
        score: Of the file.
        label: `nsfw` or `sfw`.
        threshold: That was compared with.
        frames: All that were scored, by position.
        worst: The one that gave the score.
        rendition: What was downloaded, as plain values.
        decoder: That read it.
        timings_s: Seconds by stage.
        coverage: How much of a video was looked at; None for single pictures.
        created_at: When it was made.
        decided: Whether it is the one that the upload's outcome and review rest on.
    """

    model: str
    weights_sha256: str
    preprocessing: str
    engine: str
    score: float
    label: str
    threshold: float
    frames: Sequence[FrameScore]
    worst: FrameScore
    rendition: Mapping[str, Any]
    decoder: str
    timings_s: Mapping[str, Any]
    coverage: Mapping[str, Any] | None
    created_at: datetime
    decided: bool


@dataclass(frozen=True, slots=True)
class StoredDraw:
    """What the upload drew when it was scored.

    Attributes:
        stratum: That it was drawn from.
        probability: With which it was to be chosen.
        draw: The number drawn, 0..1.
        chosen: Whether people are asked about it.
        drawn_at: When.
    """

    stratum: str
    probability: float
    draw: float
    chosen: bool
    drawn_at: datetime


@dataclass(frozen=True, slots=True)
class ReviewStory:
    """That people are asked about it, and what they said.

    Attributes:
        item_id: Public id.
        reason: Why it was chosen.
        probability: With which it was chosen.
        stratum: That it was drawn from; None where it was not drawn.
        state: Where it stands.
        created_at: When it was put up.
        state_changed_at: When its state changed last; None where it never did.
        page_title: The report page; None before it was placed on one.
        page_written_at: When the bot last edited that page; None where it never did.
        page_revision_id: That edit.
        verdicts: Every one ever given, in order.
        standing: What they come to.
    """

    item_id: str
    reason: ReviewReason
    probability: float
    stratum: str | None
    state: ReviewState
    created_at: datetime
    state_changed_at: datetime | None
    page_title: str | None
    page_written_at: datetime | None
    page_revision_id: int | None
    verdicts: Sequence[Verdict]
    standing: Standing


@dataclass(frozen=True, slots=True)
class CopyStory:
    """A reduced picture that is kept, or was.

    Attributes:
        sha256: Of the file.
        size_bytes: Of the file.
        at_s: Position in a video; None for still pictures.
        kept_at: Since when.
        expires_at: When it is to be removed.
        purged_at: When it was removed; None while it is there.
    """

    sha256: str
    size_bytes: int
    at_s: float | None
    kept_at: datetime
    expires_at: datetime
    purged_at: datetime | None


@dataclass(frozen=True, slots=True)
class Story:
    """Everything about one upload.

    Attributes:
        upload: The upload.
        scores: The deciding one first, then by time.
        draw: What it drew; None where it drew nothing.
        review: None where nobody is asked about it.
        changes: What happened to the file since, in order.
        hint: What is known of files like it; there is none where nobody is asked about it.
        copies: Reduced pictures, in order.
        purges: Their removals, in order.
    """

    upload: UploadStory
    scores: Sequence[StoredScore]
    draw: StoredDraw | None
    review: ReviewStory | None
    changes: Sequence[FileChange]
    hint: Hint
    copies: Sequence[CopyStory]
    purges: Sequence[Purge]

    @property
    def suppressed(self) -> bool:
        """Whether the wiki hides the file: suppressed, and not restored since."""
        return is_suppressed(self.changes)


def is_suppressed(changes: Sequence[FileChange]) -> bool:
    """Whether the wiki hides a file.

    Args:
        changes: What happened to it, in order.

    Returns:
        Whether it was suppressed and not restored since.
    """
    kinds = [change.kind for change in changes if change.kind in (ChangeKind.SUPPRESS, ChangeKind.RESTORE)]
    return bool(kinds) and kinds[-1] is ChangeKind.SUPPRESS


__all__ = [
    "CopyStory",
    "ReviewStory",
    "StoredDraw",
    "StoredScore",
    "Story",
    "UploadStory",
    "is_suppressed",
]

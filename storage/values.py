"""The frozen values that go into and come out of the store; no ORM row ever leaves this package.

Times are timezone-aware UTC datetimes, sizes are bytes, durations are seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class UploadAction(StrEnum):
    """What a `log_type=upload` entry says happened (EventStreams' `log_action`)."""

    UPLOAD = "upload"
    OVERWRITE = "overwrite"
    REVERT = "revert"


class Source(StrEnum):
    """How we learned of an upload."""

    STREAM = "stream"
    BACKFILL = "backfill"
    RECONCILE = "reconcile"


class ChangeKind(StrEnum):
    """What happened to a file after its upload."""

    MOVE = "move"
    DELETE = "delete"
    RESTORE = "restore"
    SUPPRESS = "suppress"


@dataclass(frozen=True, slots=True)
class Upload:
    """One upload log entry: one version of one file.

    Attributes:
        wiki: Database name of the wiki, `commonswiki`.
        log_id: The wiki's log id; `(wiki, log_id)` is the natural key.
        action: What the log entry says.
        title: Full title with spaces, `File:Example.jpg`.
        user: Uploader's name; None where the wiki hides it.
        sha1: Base 36, 31 characters, as the event carries it; None where it is hidden.
        file_timestamp: The version's own timestamp (`img_timestamp`); None where unknown.
        logged_at: Time of the log entry.
        source: How we learned of it.
    """

    wiki: str
    log_id: int
    action: UploadAction
    title: str
    user: str | None
    sha1: str | None
    file_timestamp: datetime | None
    logged_at: datetime
    source: Source = Source.STREAM


@dataclass(frozen=True, slots=True)
class FileChange:
    """A move, deletion, restoration or suppression of a file; kept only for files we know.

    Attributes:
        wiki: Database name of the wiki.
        log_id: The wiki's log id, unique per wiki.
        kind: What happened.
        title: Full title the entry is about.
        target_title: Where a move led to, else None.
        user: Who did it; None where hidden.
        logged_at: Time of the log entry.
    """

    wiki: str
    log_id: int
    kind: ChangeKind
    title: str
    target_title: str | None
    user: str | None
    logged_at: datetime


@dataclass(frozen=True, slots=True)
class ClaimedUpload:
    """An upload that one worker holds until its claim expires.

    Attributes:
        id: Row id in the store.
        upload: What is to be scored.
        title: The file's present title (it may have been moved since the upload).
        attempts: Finished attempts before this one.
        claim: Token that proves the claim when the outcome is recorded.
        received_at: When the row was first stored.
        crashes: Earlier claims that ended without a word: they expired, or the daemon died.
    """

    id: int
    upload: Upload
    title: str
    attempts: int
    claim: str
    received_at: datetime
    crashes: int = 0


@dataclass(frozen=True, slots=True)
class StreamPosition:
    """Where a stream was read up to.

    Attributes:
        stream: Name of the stream, `recentchange`.
        event_id: Raw `Last-Event-ID` of the last event whose uploads are stored (JSON array).
        event_time: Time of that event.
        saved_at: When the position was stored.
    """

    stream: str
    event_id: str
    event_time: datetime
    saved_at: datetime


@dataclass(frozen=True, slots=True)
class Gap:
    """A stretch of the upload log to be read through the API.

    Attributes:
        id: Row id; None before it is stored.
        wiki: Database name of the wiki.
        start: First instant to read.
        end: Last instant to read.
        reason: `start`, `stale`, `jump` or `reconcile`.
        found_missing: Uploads this gap added that the stream had not brought.
    """

    id: int | None
    wiki: str
    start: datetime
    end: datetime
    reason: str
    found_missing: int = 0


@dataclass(frozen=True, slots=True)
class FrameScore:
    """The score of one picture of a file.

    Attributes:
        score: Probability-like score in 0..1.
        at_s: Position in a video or animation in seconds; None for still pictures.
        page: 1-based page of a document; None for single pictures.
    """

    score: float
    at_s: float | None = None
    page: int | None = None


@dataclass(frozen=True, slots=True)
class Classification:
    """A score and everything needed to say how it came about.

    Attributes:
        model_version_id: Row id from `storage.models.register`.
        score: Score of the file, the maximum over its frames, in 0..1.
        label: `nsfw` or `sfw`.
        threshold: The threshold that was compared with.
        frames: Every picture that was scored, in order of time or page.
        worst: The frame that gave the score.
        rendition: What was downloaded: url, width_px, kind, bytes.
        decoder: Which decoder read it: `pillow`, `opencv`, `pyav`.
        timings_s: Seconds per stage: `locate`, `download`, `decode`, `classify`, `total`.
        coverage: How much of a video or animation was looked at, as plain values; None for single pictures.
    """

    model_version_id: int
    score: float
    label: str
    threshold: float
    frames: tuple[FrameScore, ...]
    worst: FrameScore
    rendition: Mapping[str, str | int | float | None]
    decoder: str
    timings_s: Mapping[str, float] = field(default_factory=dict)
    coverage: Mapping[str, str | float | bool | None] | None = None


@dataclass(frozen=True, slots=True)
class Skip:
    """An upload that could not be scored; never to be read as safe.

    Attributes:
        code: Stable code, such as `audio`, `deleted`, `too_large`, `undecodable`.
        message: One sentence for the operator.
    """

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """The maker of a score, as stored with it.

    Attributes:
        name: Catalogue name, `open_nsfw`.
        architecture: Name of the network.
        weights_sha256: Hash of the weights file.
        preprocessing: Id of the preprocessing.
        engine: What runs it, `torch-fp32`.
        libraries: Versions of the libraries that take part in a score.
        card: The whole model card as plain JSON values.
    """

    name: str
    architecture: str
    weights_sha256: str
    preprocessing: str
    engine: str
    libraries: Mapping[str, str]
    card: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class FlaggedItem:
    """One row of the local report.

    Attributes:
        item_id: Stable id of the review item.
        title: Present title of the file.
        wiki: Database name of the wiki.
        user: Uploader; None where hidden.
        score: Score in 0..1.
        worst: Frame that gave the score.
        frame_count: How many frames were scored.
        model: Name of the model.
        logged_at: When it was uploaded.
        scored_at: When it was scored.
    """

    item_id: str
    title: str
    wiki: str
    user: str | None
    score: float
    worst: FrameScore
    frame_count: int
    model: str
    logged_at: datetime
    scored_at: datetime


def public_id(wiki: str, log_id: int) -> str:
    """The public id of an upload's review item.

    It follows from the log entry alone, so that a database restored from a backup cannot put the same upload
    on the wiki twice under two ids; and it tells nothing of score or reason.

    Args:
        wiki: Database name of the wiki.
        log_id: Of the upload's log entry.

    Returns:
        An id such as `commonswiki-330498118`.
    """
    return f"{wiki}-{log_id}"


class ReviewReason(StrEnum):
    """Why an upload was chosen for review."""

    FLAGGED = "flagged"
    AUDIT = "audit"
    UNCERTAIN = "uncertain"
    NEAR_DUPLICATE = "near_duplicate"


@dataclass(frozen=True, slots=True)
class ReviewDraw:
    """The decision that a scored upload is to be reviewed.

    Attributes:
        reason: Why.
        inclusion_probability: The probability with which it was chosen, over 0 and at most 1; estimates
            of precision and recall are weighted with its inverse.
        stratum: The stratum it was drawn from, where the sample is stratified.
    """

    reason: ReviewReason
    inclusion_probability: float
    stratum: str | None = None


@dataclass(frozen=True, slots=True)
class Owner:
    """The process that runs the daemon.

    Attributes:
        host: Host name.
        pid: Process id on that host.
        started_at: When the process was created; tells a reused process id apart.
        token: Unguessable name of this very run; the lease is renewed and released with it.
    """

    host: str
    pid: int
    started_at: datetime
    token: str


@dataclass(frozen=True, slots=True)
class Lease:
    """The right of one daemon to work on a database.

    Attributes:
        owner: Who holds it.
        acquired_at: Since when.
        heartbeat_at: Last sign of life.
        expires_at: When others may take it.
    """

    owner: Owner
    acquired_at: datetime
    heartbeat_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """One comparison of the last hours with the upload log.

    Attributes:
        run_at: When it was finished.
        wiki: Database name of the wiki.
        window_start: First instant compared.
        window_end: Last instant compared.
        found_missing: Uploads that the stream had not brought.
    """

    run_at: datetime
    wiki: str
    window_start: datetime
    window_end: datetime
    found_missing: int


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """What the store holds, at one instant.

    Attributes:
        pending: Uploads that wait, including those that wait for their next attempt.
        claimed: Uploads somebody works on.
        scored: Uploads that ended in a score.
        skipped: Uploads that ended in a code, by code.
        flagged: Review items whose reason is `flagged`.
        oldest_unfinished_at: Time of the oldest log entry that has no outcome yet.
        next_due_at: When something is next due; None where nothing waits.
        position: The stream position saved last.
        open_gaps: Gaps still to be read.
        missed_uploads: Uploads found through gaps of every reason, ever.
        last_reconciliation: The latest finished one.
        last_model: The model used last, with the first 12 digits of its weights' hash.
        uploads_last_hour: Uploads stored in the last hour.
        uploads_last_day: Uploads stored in the last 24 hours.
        daemon: The lease, where a daemon holds one.
        refusals: What the wiki does not let us do, with what it said.
    """

    pending: int
    claimed: int
    scored: int
    skipped: Mapping[str, int]
    flagged: int
    oldest_unfinished_at: datetime | None
    next_due_at: datetime | None
    position: StreamPosition | None
    open_gaps: int
    missed_uploads: int
    last_reconciliation: Reconciliation | None
    last_model: str | None
    uploads_last_hour: int
    uploads_last_day: int
    daemon: Lease | None
    refusals: Mapping[str, str] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """All uploads ever stored."""
        return self.pending + self.claimed + self.scored + sum(self.skipped.values())

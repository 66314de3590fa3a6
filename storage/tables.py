"""The tables, as one picture of what is kept.

The database is the queue: an upload that is not `done` is work. What promises 2, 4 and 5 demand is said
here where a table can say it: an upload that is done has an outcome, a verdict is never rewritten, and a
review item has the probability with which it was chosen. Rows stay inside `storage/`.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Double,
    ForeignKey,
    Index,
    MetaData,
    SmallInteger,
    String,
    UniqueConstraint,
    event,
    false,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, Mapper, ORMExecuteState, Session, mapped_column

from storage.columns import TABLE_OPTIONS, BigId, CleanText, Code, Title, Token, UserName, UtcDateTime, Wiki
from storage.errors import AppendOnly

PENDING, CLAIMED, DONE = "pending", "claimed", "done"
SCORED, SKIPPED = "scored", "skipped"
# Two lanes, so that a storm of retries cannot starve fresh uploads, nor the other way round.
FRESH, RETRY = 0, 1


class Base(DeclarativeBase):
    """Root of all tables; constraints get names, so that migrations can speak of them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {datetime: UtcDateTime(), float: Double()}  # noqa: RUF012 - SQLAlchemy's own form


class PositionRow(Base):
    """How far a stream was read; committed together with the uploads it covers."""

    __tablename__ = "stream_position"
    __table_args__ = (TABLE_OPTIONS,)

    stream: Mapped[str] = mapped_column(String(64), primary_key=True)
    event_id: Mapped[str] = mapped_column(CleanText)
    event_time: Mapped[datetime]
    saved_at: Mapped[datetime]


class GapRow(Base):
    """A stretch of the upload log that is still to be read, or was."""

    __tablename__ = "gap"
    __table_args__ = (Index(None, "done_at"), TABLE_OPTIONS)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    wiki: Mapped[str] = mapped_column(Wiki)
    first_start_at: Mapped[datetime]
    start_at: Mapped[datetime]
    end_at: Mapped[datetime]
    reason: Mapped[str] = mapped_column(Code)
    created_at: Mapped[datetime]
    done_at: Mapped[datetime | None]
    found_missing: Mapped[int] = mapped_column(default=0)


class ReconciliationRow(Base):
    """One finished comparison with the upload log."""

    __tablename__ = "reconciliation"
    __table_args__ = (Index(None, "run_at"), TABLE_OPTIONS)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    run_at: Mapped[datetime]
    wiki: Mapped[str] = mapped_column(Wiki)
    window_start: Mapped[datetime]
    window_end: Mapped[datetime]
    found_missing: Mapped[int]


class UploadRow(Base):
    """One upload log entry and where it stands."""

    __tablename__ = "upload"
    __table_args__ = (
        UniqueConstraint("wiki", "log_id"),
        CheckConstraint("state <> 'done' OR outcome IS NOT NULL", name="done_has_outcome"),
        CheckConstraint("state <> 'claimed' OR claim IS NOT NULL", name="claimed_has_claim"),
        Index(None, "state", "lane", "next_attempt_at"),
        Index(None, "state", "claim_expires_at"),
        Index(None, "state", "logged_at"),
        Index(None, "state", "outcome", "outcome_code"),
        Index(None, "wiki", "current_title"),
        Index(None, "received_at"),
        TABLE_OPTIONS,
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    wiki: Mapped[str] = mapped_column(Wiki)
    log_id: Mapped[int] = mapped_column(BigInteger)
    action: Mapped[str] = mapped_column(String(16))
    title: Mapped[str] = mapped_column(Title)
    current_title: Mapped[str] = mapped_column(Title)
    user: Mapped[str | None] = mapped_column(UserName)
    sha1: Mapped[str | None] = mapped_column(String(40))
    file_timestamp: Mapped[datetime | None]
    logged_at: Mapped[datetime]
    source: Mapped[str] = mapped_column(String(16))
    received_at: Mapped[datetime]

    state: Mapped[str] = mapped_column(String(16))
    lane: Mapped[int] = mapped_column(SmallInteger)
    attempts: Mapped[int]
    crashes: Mapped[int]
    next_attempt_at: Mapped[datetime]
    last_code: Mapped[str | None] = mapped_column(Code)
    last_message: Mapped[str | None] = mapped_column(CleanText)
    claim: Mapped[str | None] = mapped_column(Token)
    claimed_by: Mapped[str | None] = mapped_column(String(255))
    claim_expires_at: Mapped[datetime | None]

    outcome: Mapped[str | None] = mapped_column(String(16))
    outcome_code: Mapped[str | None] = mapped_column(Code)
    outcome_message: Mapped[str | None] = mapped_column(CleanText)
    finished_at: Mapped[datetime | None]


class FileChangeRow(Base):
    """A move, deletion, restoration or suppression of a file that we know."""

    __tablename__ = "file_change"
    __table_args__ = (UniqueConstraint("wiki", "log_id"), Index(None, "wiki", "title"), TABLE_OPTIONS)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    wiki: Mapped[str] = mapped_column(Wiki)
    log_id: Mapped[int] = mapped_column(BigInteger)
    kind: Mapped[str] = mapped_column(String(16))
    title: Mapped[str] = mapped_column(Title)
    target_title: Mapped[str | None] = mapped_column(Title)
    user: Mapped[str | None] = mapped_column(UserName)
    logged_at: Mapped[datetime]
    recorded_at: Mapped[datetime]


class FileChangeUploadRow(Base):
    """Which uploads a change was about; titles cannot tell later: files move, and titles are used again."""

    __tablename__ = "file_change_upload"
    __table_args__ = (Index(None, "file_change_id"), TABLE_OPTIONS)

    upload_id: Mapped[int] = mapped_column(
        BigId, ForeignKey("upload.id"), primary_key=True, autoincrement=False
    )
    file_change_id: Mapped[int] = mapped_column(
        BigId, ForeignKey("file_change.id"), primary_key=True, autoincrement=False
    )


class ModelVersionRow(Base):
    """Who makes a score; every difference that can change one makes a row of its own."""

    __tablename__ = "model_version"
    __table_args__ = (UniqueConstraint("content_sha256"), TABLE_OPTIONS)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    content_sha256: Mapped[str] = mapped_column(Token)
    name: Mapped[str] = mapped_column(String(128))
    architecture: Mapped[str] = mapped_column(String(128))
    weights_sha256: Mapped[str] = mapped_column(Token)
    preprocessing: Mapped[str] = mapped_column(String(128))
    engine: Mapped[str] = mapped_column(String(64))
    libraries: Mapped[dict[str, Any]] = mapped_column(JSON)
    card: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[datetime]
    last_used_at: Mapped[datetime]


class ClassificationRow(Base):
    """A score by one model version, and how it came about."""

    __tablename__ = "classification"
    __table_args__ = (
        UniqueConstraint("upload_id", "model_version_id"),
        CheckConstraint("score >= 0 AND score <= 1", name="score_in_range"),
        Index(None, "model_version_id"),
        Index(None, "label", "score"),
        # All that `storage.metric_rows` counts by: the rows themselves are wide, and there are millions.
        Index("ix_classification_counted", "created_at", "model_version_id", "score", "label", "upload_id"),
        TABLE_OPTIONS,
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    upload_id: Mapped[int] = mapped_column(BigId, ForeignKey("upload.id"))
    model_version_id: Mapped[int] = mapped_column(BigId, ForeignKey("model_version.id"))
    score: Mapped[float]
    label: Mapped[str] = mapped_column(String(16))
    threshold: Mapped[float]
    worst: Mapped[dict[str, Any]] = mapped_column(JSON)
    frame_count: Mapped[int]
    frames: Mapped[list[Any]] = mapped_column(JSON)
    rendition: Mapped[dict[str, Any]] = mapped_column(JSON)
    decoder: Mapped[str] = mapped_column(String(64))
    timings_s: Mapped[dict[str, Any]] = mapped_column(JSON)
    coverage: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    created_at: Mapped[datetime]


class ReviewPageRow(Base):
    """A report page on the wiki: how far it was read and written."""

    __tablename__ = "review_page"
    __table_args__ = (UniqueConstraint("wiki", "title"), Index(None, "state"), TABLE_OPTIONS)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    wiki: Mapped[str] = mapped_column(Wiki)
    title: Mapped[str] = mapped_column(Title)
    kind: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[datetime]
    last_seen_revision_id: Mapped[int | None] = mapped_column(BigInteger)
    last_written_revision_id: Mapped[int | None] = mapped_column(BigInteger)
    last_written_at: Mapped[datetime | None]


class ReviewItemRow(Base):
    """An upload that people are asked about, and the probability with which it was chosen.

    `state` follows from the verdicts and is kept in step with them; `uploader` is the upload's, repeated here
    because a prolific uploader has many uploads and few flagged ones.
    """

    __tablename__ = "review_item"
    __table_args__ = (
        UniqueConstraint("upload_id"),
        UniqueConstraint("item_id"),
        CheckConstraint(
            "inclusion_probability > 0 AND inclusion_probability <= 1", name="inclusion_probability_in_range"
        ),
        Index(None, "classification_id"),
        Index(None, "reason", "state"),
        Index(None, "state", "created_at"),
        Index(None, "page_id", "state", "created_at"),
        Index(None, "reason", "created_at"),
        Index(None, "uploader", "reason"),
        TABLE_OPTIONS,
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    item_id: Mapped[str] = mapped_column(String(96))
    upload_id: Mapped[int] = mapped_column(BigId, ForeignKey("upload.id"))
    classification_id: Mapped[int] = mapped_column(BigId, ForeignKey("classification.id"))
    reason: Mapped[str] = mapped_column(String(32))
    inclusion_probability: Mapped[float]
    stratum: Mapped[str | None] = mapped_column(Code)
    state: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[datetime]
    page_id: Mapped[int | None] = mapped_column(BigId, ForeignKey("review_page.id"))
    row_order: Mapped[int | None]
    uploader: Mapped[str | None] = mapped_column(UserName)
    state_changed_at: Mapped[datetime | None]


class VerdictRow(Base):
    """One person's decision on one item: append only (see the guards below and the SQLite triggers)."""

    __tablename__ = "verdict"
    __table_args__ = (
        # Reading the same revision again changes nothing; verdicts from the console have no revision.
        UniqueConstraint("review_item_id", "revision_id"),
        CheckConstraint("NOT trusted OR untrusted_reason IS NULL", name="trusted_without_reason"),
        Index(None, "supersedes_id"),
        Index(None, "given_at"),
        TABLE_OPTIONS,
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    review_item_id: Mapped[int] = mapped_column(BigId, ForeignKey("review_item.id"))
    code: Mapped[str] = mapped_column(String(32))
    comment: Mapped[str] = mapped_column(CleanText)
    author: Mapped[str] = mapped_column(UserName)
    author_id: Mapped[int | None] = mapped_column(BigInteger)
    author_groups: Mapped[list[Any]] = mapped_column(JSON)
    trusted: Mapped[bool]
    untrusted_reason: Mapped[str | None] = mapped_column(Code)
    blind: Mapped[bool]
    hinted: Mapped[bool] = mapped_column(server_default=false())
    revision_id: Mapped[int | None] = mapped_column(BigInteger)
    given_at: Mapped[datetime]
    recorded_at: Mapped[datetime]
    source: Mapped[str] = mapped_column(String(16))
    supersedes_id: Mapped[int | None] = mapped_column(BigId, ForeignKey("verdict.id"))


class LeaseRow(Base):
    """Which daemon works on this database; at most one row."""

    __tablename__ = "daemon_lease"
    __table_args__ = (TABLE_OPTIONS,)

    name: Mapped[str] = mapped_column(String(16), primary_key=True)
    token: Mapped[str] = mapped_column(Token)
    host: Mapped[str] = mapped_column(String(255))
    pid: Mapped[int]
    started_at: Mapped[datetime]
    acquired_at: Mapped[datetime]
    heartbeat_at: Mapped[datetime]
    expires_at: Mapped[datetime]


@event.listens_for(VerdictRow, "before_update")
@event.listens_for(VerdictRow, "before_delete")
def _refuse_change(_mapper: Mapper[VerdictRow], _connection: object, row: VerdictRow) -> None:
    raise AppendOnly(f"verdict {row.id} cannot be changed or deleted: add one that supersedes it")


@event.listens_for(Session, "do_orm_execute")
def _refuse_bulk_change(state: ORMExecuteState) -> None:
    changes = state.is_update or state.is_delete
    if changes and any(mapper.class_ is VerdictRow for mapper in state.all_mappers):
        raise AppendOnly("verdicts cannot be changed or deleted: add one that supersedes it")

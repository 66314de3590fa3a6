"""The tables of the feedback loop: draws, kept pictures, hashes, and which model was trusted when.

As in `storage.tables`, what the promises demand is said where a table can say it: every draw has its
probability, and what was purged or promoted is never rewritten. Rows stay inside `storage/`.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    LargeBinary,
    SmallInteger,
    String,
    UniqueConstraint,
    event,
)
from sqlalchemy.orm import Mapped, Mapper, ORMExecuteState, Session, mapped_column

from storage.columns import TABLE_OPTIONS, BigId, CleanText, Code, Token, UserName
from storage.errors import AppendOnly
from storage.tables import Base


class SamplingPlanRow(Base):
    """With which probabilities uploads were drawn from some time on, and why with these."""

    __tablename__ = "sampling_plan"
    __table_args__ = (Index(None, "effective_at"), TABLE_OPTIONS)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    made_at: Mapped[datetime]
    effective_at: Mapped[datetime]
    daily_budget: Mapped[int]
    key_fingerprint: Mapped[str] = mapped_column(Token)
    strata: Mapped[list[Any]] = mapped_column(JSON)
    evidence: Mapped[dict[str, Any]] = mapped_column(JSON)


class SampleDrawRow(Base):
    """What a scored upload drew: kept for all of them, so that every estimate can be audited."""

    __tablename__ = "sample_draw"
    __table_args__ = (
        CheckConstraint("probability > 0 AND probability <= 1", name="probability_in_range"),
        CheckConstraint("draw >= 0 AND draw < 1", name="draw_in_range"),
        Index(None, "drawn_at"),
        Index(None, "stratum", "chosen"),
        Index(None, "classification_id"),
        TABLE_OPTIONS,
    )

    upload_id: Mapped[int] = mapped_column(
        BigId, ForeignKey("upload.id"), primary_key=True, autoincrement=False
    )
    classification_id: Mapped[int] = mapped_column(BigId, ForeignKey("classification.id"))
    plan_id: Mapped[int | None] = mapped_column(BigId, ForeignKey("sampling_plan.id"))
    stratum: Mapped[str] = mapped_column(Code)
    probability: Mapped[float]
    draw: Mapped[float]
    chosen: Mapped[bool]
    drawn_at: Mapped[datetime]


class KeptCopyRow(Base):
    """A reduced picture of an upload on our disk; the row stays when the picture goes."""

    __tablename__ = "kept_copy"
    __table_args__ = (
        UniqueConstraint("upload_id", "sha256"),
        Index(None, "sha256"),
        Index(None, "purged_at", "expires_at"),
        TABLE_OPTIONS,
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    upload_id: Mapped[int] = mapped_column(BigId, ForeignKey("upload.id"))
    sha256: Mapped[str] = mapped_column(Token)
    media_type: Mapped[str] = mapped_column(String(64))
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    at_s: Mapped[float | None]
    kept_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    purged_at: Mapped[datetime | None]


class PurgeRow(Base):
    """A kept picture that was removed, why and by whom: append only."""

    __tablename__ = "purge"
    __table_args__ = (Index(None, "upload_id"), Index(None, "purged_at"), TABLE_OPTIONS)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    upload_id: Mapped[int] = mapped_column(BigId, ForeignKey("upload.id"))
    sha256: Mapped[str] = mapped_column(Token)
    reason: Mapped[str] = mapped_column(Code)
    purged_by: Mapped[str] = mapped_column(UserName)
    purged_at: Mapped[datetime]


class ModelStandingRow(Base):
    """That a model became candidate, shadow, active or retired: append only, the latest row counts."""

    __tablename__ = "model_standing"
    __table_args__ = (Index(None, "name", "since"), Index(None, "since"), TABLE_OPTIONS)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    name: Mapped[str] = mapped_column(String(128))
    weights_sha256: Mapped[str] = mapped_column(Token)
    standing: Mapped[str] = mapped_column(String(16))
    since: Mapped[datetime]
    set_by: Mapped[str] = mapped_column(UserName)
    note: Mapped[str] = mapped_column(CleanText)
    thresholds: Mapped[dict[str, Any]] = mapped_column(JSON)
    evidence: Mapped[dict[str, Any]] = mapped_column(JSON)


class ShadowScoreRow(Base):
    """What a model that only watches says of an upload; apart from the scores that decide, by construction.

    `representative` tells that chance alone chose the upload; the others were scored because people are asked
    about them.
    """

    __tablename__ = "shadow_score"
    __table_args__ = (
        UniqueConstraint("upload_id", "model_version_id"),
        CheckConstraint("score >= 0 AND score <= 1", name="score_in_range"),
        # All that a budget is counted by; the rows themselves are wide.
        Index("ix_shadow_score_counted", "model_version_id", "representative", "created_at", "score"),
        TABLE_OPTIONS,
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    upload_id: Mapped[int] = mapped_column(BigId, ForeignKey("upload.id"))
    model_version_id: Mapped[int] = mapped_column(BigId, ForeignKey("model_version.id"))
    score: Mapped[float]
    label: Mapped[str] = mapped_column(String(16))
    threshold: Mapped[float]
    representative: Mapped[bool]
    worst: Mapped[dict[str, Any]] = mapped_column(JSON)
    frame_count: Mapped[int]
    decoder: Mapped[str] = mapped_column(String(64))
    timings_s: Mapped[dict[str, Any]] = mapped_column(JSON)
    coverage: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    created_at: Mapped[datetime]


class ShadowRunRow(Base):
    """How a shadow fares: one row a model, kept up to date by the daemon."""

    __tablename__ = "shadow_run"
    __table_args__ = (TABLE_OPTIONS,)

    name: Mapped[str] = mapped_column(String(128), primary_key=True)
    weights_sha256: Mapped[str] = mapped_column(Token, primary_key=True)
    state: Mapped[str] = mapped_column(String(16))
    message: Mapped[str] = mapped_column(CleanText)
    counts: Mapped[dict[str, Any]] = mapped_column(JSON)
    begun_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class LevelChoiceRow(Base):
    """Which level of sensitivity was in use from some time on: append only, the latest row counts."""

    __tablename__ = "level_choice"
    __table_args__ = (TABLE_OPTIONS,)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    level: Mapped[str] = mapped_column(String(16))
    source: Mapped[str] = mapped_column(String(16))
    since: Mapped[datetime]


class PictureHashRow(Base):
    """The perceptual hash of a scored picture, 256 bits."""

    __tablename__ = "picture_hash"
    __table_args__ = (TABLE_OPTIONS,)

    upload_id: Mapped[int] = mapped_column(
        BigId, ForeignKey("upload.id"), primary_key=True, autoincrement=False
    )
    pdq: Mapped[bytes] = mapped_column(LargeBinary(32))
    quality: Mapped[int] = mapped_column(SmallInteger)
    created_at: Mapped[datetime]


class FileMarkRow(Base):
    """A hint about an upload, such as that the same file was deleted before; never a label."""

    __tablename__ = "file_mark"
    __table_args__ = (UniqueConstraint("upload_id", "kind"), TABLE_OPTIONS)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    upload_id: Mapped[int] = mapped_column(BigId, ForeignKey("upload.id"))
    kind: Mapped[str] = mapped_column(Code)
    detail: Mapped[dict[str, Any]] = mapped_column(JSON)
    noted_at: Mapped[datetime]


APPEND_ONLY: tuple[type[Base], ...] = (PurgeRow, ModelStandingRow, LevelChoiceRow)


def _refuse_change(_mapper: Mapper[Any], _connection: object, row: Base) -> None:
    raise AppendOnly(f"{row.__tablename__} is append only")


for _table in APPEND_ONLY:
    event.listen(_table, "before_update", _refuse_change)
    event.listen(_table, "before_delete", _refuse_change)


@event.listens_for(Session, "do_orm_execute")
def _refuse_bulk_change(state: ORMExecuteState) -> None:
    if not (state.is_update or state.is_delete):
        return
    for mapper in state.all_mappers:
        if mapper.class_ in APPEND_ONLY:
            raise AppendOnly(f"{mapper.class_.__tablename__} is append only")

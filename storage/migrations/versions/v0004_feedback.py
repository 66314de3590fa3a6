"""The feedback loop: draws, kept pictures, hashes, and which model was trusted when.

Tables are added, and an index of what is counted of scores; nothing that exists is touched.

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

from storage.columns import TABLE_OPTIONS, BigId, CleanText, UserName, UtcDateTime

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_APPEND_ONLY = ("purge", "model_standing")


def upgrade() -> None:
    """Add the tables."""
    op.create_index(
        op.f("ix_classification_counted"),
        "classification",
        ["created_at", "model_version_id", "score", "label", "upload_id"],
    )
    op.create_table(
        "sampling_plan",
        sa.Column("id", BigId, nullable=False),
        sa.Column("made_at", UtcDateTime(), nullable=False),
        sa.Column("effective_at", UtcDateTime(), nullable=False),
        sa.Column("daily_budget", sa.Integer(), nullable=False),
        sa.Column("key_fingerprint", sa.String(length=64), nullable=False),
        sa.Column("strata", sa.JSON(), nullable=False),
        sa.Column("evidence", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sampling_plan")),
        **TABLE_OPTIONS,
    )
    op.create_index(op.f("ix_sampling_plan_effective_at"), "sampling_plan", ["effective_at"])
    op.create_table(
        "sample_draw",
        sa.Column("upload_id", BigId, nullable=False, autoincrement=False),
        sa.Column("classification_id", BigId, nullable=False),
        sa.Column("plan_id", BigId, nullable=True),
        sa.Column("stratum", sa.String(length=64), nullable=False),
        sa.Column("probability", sa.Double(), nullable=False),
        sa.Column("draw", sa.Double(), nullable=False),
        sa.Column("chosen", sa.Boolean(), nullable=False),
        sa.Column("drawn_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint("draw >= 0 AND draw < 1", name=op.f("ck_sample_draw_draw_in_range")),
        sa.CheckConstraint(
            "probability > 0 AND probability <= 1", name=op.f("ck_sample_draw_probability_in_range")
        ),
        sa.ForeignKeyConstraint(
            ["classification_id"], ["classification.id"], name=op.f("fk_sample_draw_classification_id")
        ),
        sa.ForeignKeyConstraint(["plan_id"], ["sampling_plan.id"], name=op.f("fk_sample_draw_plan_id")),
        sa.ForeignKeyConstraint(["upload_id"], ["upload.id"], name=op.f("fk_sample_draw_upload_id")),
        sa.PrimaryKeyConstraint("upload_id", name=op.f("pk_sample_draw")),
        **TABLE_OPTIONS,
    )
    op.create_index(op.f("ix_sample_draw_classification_id"), "sample_draw", ["classification_id"])
    op.create_index(op.f("ix_sample_draw_drawn_at"), "sample_draw", ["drawn_at"])
    op.create_index(op.f("ix_sample_draw_stratum_chosen"), "sample_draw", ["stratum", "chosen"])
    op.create_table(
        "kept_copy",
        sa.Column("id", BigId, nullable=False),
        sa.Column("upload_id", BigId, nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("media_type", sa.String(length=64), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("at_s", sa.Double(), nullable=True),
        sa.Column("kept_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.Column("purged_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["upload_id"], ["upload.id"], name=op.f("fk_kept_copy_upload_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_kept_copy")),
        sa.UniqueConstraint("upload_id", "sha256", name=op.f("uq_kept_copy_upload_id_sha256")),
        **TABLE_OPTIONS,
    )
    op.create_index(op.f("ix_kept_copy_purged_at_expires_at"), "kept_copy", ["purged_at", "expires_at"])
    op.create_index(op.f("ix_kept_copy_sha256"), "kept_copy", ["sha256"])
    op.create_table(
        "purge",
        sa.Column("id", BigId, nullable=False),
        sa.Column("upload_id", BigId, nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=False),
        sa.Column("purged_by", UserName, nullable=False),
        sa.Column("purged_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["upload_id"], ["upload.id"], name=op.f("fk_purge_upload_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_purge")),
        **TABLE_OPTIONS,
    )
    op.create_index(op.f("ix_purge_purged_at"), "purge", ["purged_at"])
    op.create_index(op.f("ix_purge_upload_id"), "purge", ["upload_id"])
    op.create_table(
        "model_standing",
        sa.Column("id", BigId, nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("weights_sha256", sa.String(length=64), nullable=False),
        sa.Column("standing", sa.String(length=16), nullable=False),
        sa.Column("since", UtcDateTime(), nullable=False),
        sa.Column("set_by", UserName, nullable=False),
        sa.Column("note", CleanText(), nullable=False),
        sa.Column("thresholds", sa.JSON(), nullable=False),
        sa.Column("evidence", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_model_standing")),
        **TABLE_OPTIONS,
    )
    op.create_index(op.f("ix_model_standing_name_since"), "model_standing", ["name", "since"])
    op.create_index(op.f("ix_model_standing_since"), "model_standing", ["since"])
    op.create_table(
        "picture_hash",
        sa.Column("upload_id", BigId, nullable=False, autoincrement=False),
        sa.Column("pdq", sa.LargeBinary(length=32), nullable=False),
        sa.Column("quality", sa.SmallInteger(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["upload_id"], ["upload.id"], name=op.f("fk_picture_hash_upload_id")),
        sa.PrimaryKeyConstraint("upload_id", name=op.f("pk_picture_hash")),
        **TABLE_OPTIONS,
    )
    op.create_table(
        "file_mark",
        sa.Column("id", BigId, nullable=False),
        sa.Column("upload_id", BigId, nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.Column("noted_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["upload_id"], ["upload.id"], name=op.f("fk_file_mark_upload_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_file_mark")),
        sa.UniqueConstraint("upload_id", "kind", name=op.f("uq_file_mark_upload_id_kind")),
        **TABLE_OPTIONS,
    )
    if op.get_bind().dialect.name == "sqlite":
        # Below the ORM's guard in storage.feedback_tables, for whoever comes with another tool.
        for table in _APPEND_ONLY:
            for verb in ("UPDATE", "DELETE"):
                op.execute(
                    f"CREATE TRIGGER {table}_refuses_{verb.lower()} BEFORE {verb} ON {table} "
                    f"BEGIN SELECT RAISE(ABORT, '{table} is append only'); END"
                )

"""Scores of shadows, how they fare, and which level of sensitivity was in use.

Tables are added; nothing that exists is touched.

Revision ID: 0006
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op

from storage.columns import TABLE_OPTIONS, BigId, CleanText, UtcDateTime

revision = "0006"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables."""
    op.create_table(
        "shadow_score",
        sa.Column("id", BigId, nullable=False),
        sa.Column("upload_id", BigId, nullable=False),
        sa.Column("model_version_id", BigId, nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("label", sa.String(length=16), nullable=False),
        sa.Column("threshold", sa.Double(), nullable=False),
        sa.Column("representative", sa.Boolean(), nullable=False),
        sa.Column("worst", sa.JSON(), nullable=False),
        sa.Column("frame_count", sa.Integer(), nullable=False),
        sa.Column("decoder", sa.String(length=64), nullable=False),
        sa.Column("timings_s", sa.JSON(), nullable=False),
        sa.Column("coverage", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint("score >= 0 AND score <= 1", name=op.f("ck_shadow_score_score_in_range")),
        sa.ForeignKeyConstraint(["upload_id"], ["upload.id"], name=op.f("fk_shadow_score_upload_id")),
        sa.ForeignKeyConstraint(
            ["model_version_id"], ["model_version.id"], name=op.f("fk_shadow_score_model_version_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shadow_score")),
        sa.UniqueConstraint(
            "upload_id", "model_version_id", name=op.f("uq_shadow_score_upload_id_model_version_id")
        ),
        **TABLE_OPTIONS,
    )
    op.create_index(
        op.f("ix_shadow_score_counted"),
        "shadow_score",
        ["model_version_id", "representative", "created_at", "score"],
    )
    op.create_table(
        "shadow_run",
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("weights_sha256", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("message", CleanText(), nullable=False),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("begun_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("name", "weights_sha256", name=op.f("pk_shadow_run")),
        **TABLE_OPTIONS,
    )
    op.create_table(
        "level_choice",
        sa.Column("id", BigId, nullable=False),
        sa.Column("level", sa.String(length=16), nullable=False),
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.Column("since", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_level_choice")),
        **TABLE_OPTIONS,
    )
    if op.get_bind().dialect.name == "sqlite":
        # Below the ORM's guard in storage.feedback_tables, for whoever comes with another tool.
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER level_choice_refuses_{verb.lower()} BEFORE {verb} ON level_choice "
                "BEGIN SELECT RAISE(ABORT, 'level_choice is append only'); END"
            )

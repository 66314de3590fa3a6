"""Tokens of the prediction API and the console, and what they used on each day.

Tables are added; nothing that exists is touched.

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op

from storage.columns import TABLE_OPTIONS, BigId, CleanText, UserName, UtcDateTime

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables."""
    op.create_table(
        "api_token",
        sa.Column("id", BigId, nullable=False),
        sa.Column("secret_sha256", sa.String(length=64), nullable=False),
        sa.Column("account", UserName, nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("note", CleanText(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=True),
        sa.Column("revoked_at", UtcDateTime(), nullable=True),
        sa.Column("last_used_at", UtcDateTime(), nullable=True),
        sa.Column("per_minute", sa.Integer(), nullable=True),
        sa.Column("per_day", sa.Integer(), nullable=True),
        sa.CheckConstraint(
            "per_minute IS NULL OR per_minute > 0", name=op.f("ck_api_token_per_minute_positive")
        ),
        sa.CheckConstraint("per_day IS NULL OR per_day > 0", name=op.f("ck_api_token_per_day_positive")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_token")),
        sa.UniqueConstraint("secret_sha256", name=op.f("uq_api_token_secret_sha256")),
        **TABLE_OPTIONS,
    )
    op.create_table(
        "api_usage",
        sa.Column("token_id", BigId, nullable=False, autoincrement=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("used", sa.Integer(), nullable=False),
        sa.CheckConstraint("used >= 0", name=op.f("ck_api_usage_used_not_negative")),
        sa.ForeignKeyConstraint(["token_id"], ["api_token.id"], name=op.f("fk_api_usage_token_id")),
        sa.PrimaryKeyConstraint("token_id", "day", name=op.f("pk_api_usage")),
        **TABLE_OPTIONS,
    )

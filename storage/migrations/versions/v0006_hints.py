"""Hints at other files are shown to reviewers: whether one stood beside a verdict, and what the wiki refuses.

No hint was shown before, so no verdict was given beside one.

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op

from storage.columns import TABLE_OPTIONS, CleanText, UtcDateTime

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add a column and a table; no table is rebuilt."""
    op.add_column("verdict", sa.Column("hinted", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_table(
        "refusal",
        sa.Column("service", sa.String(length=64), nullable=False),
        sa.Column("reason", CleanText(), nullable=False),
        sa.Column("refused_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("service", name=op.f("pk_refusal")),
        **TABLE_OPTIONS,
    )

"""How much of a video or animation was looked at stands beside its score.

Scores from before have no coverage: it was not measured, which is not the same as complete.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; no table is rebuilt."""
    op.add_column("classification", sa.Column("coverage", sa.JSON(), nullable=True))

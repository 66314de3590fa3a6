"""A second draw of uploads that were scored, by what the models are unsure of, beside the first one.

Draws from before have no second one, and their probabilities stand.

Revision ID: 0008
Revises: 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; no table is rebuilt."""
    op.add_column("sample_draw", sa.Column("proposal_probability", sa.Double(), nullable=True))
    op.add_column("sample_draw", sa.Column("proposal_draw", sa.Double(), nullable=True))

"""Report pages, where items stand on them, and which uploads a change of a file was about.

Columns are added without rebuilding a table: on SQLite a rebuild would drop the rows that verdicts refer to,
and with a table its triggers.

Revision ID: 0002
Revises: 0001
"""

from collections import defaultdict
from datetime import datetime

import sqlalchemy as sa
from alembic import op

from storage.columns import TABLE_OPTIONS, BigId, Title, UserName, UtcDateTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_BATCH = 1000


def upgrade() -> None:
    _create_tables()
    _add_columns()
    _link_changes(op.get_bind())
    _settle_items(op.get_bind())


def _create_tables() -> None:
    op.create_table(
        "review_page",
        sa.Column("id", BigId, nullable=False),
        sa.Column("wiki", sa.String(length=64), nullable=False),
        sa.Column("title", Title, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("last_seen_revision_id", sa.BigInteger()),
        sa.Column("last_written_revision_id", sa.BigInteger()),
        sa.Column("last_written_at", UtcDateTime()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_review_page")),
        sa.UniqueConstraint("wiki", "title", name=op.f("uq_review_page_wiki_title")),
        **TABLE_OPTIONS,
    )
    op.create_index(op.f("ix_review_page_state"), "review_page", ["state"])
    op.create_table(
        "file_change_upload",
        sa.Column("upload_id", BigId, nullable=False, autoincrement=False),
        sa.Column("file_change_id", BigId, nullable=False, autoincrement=False),
        sa.ForeignKeyConstraint(["upload_id"], ["upload.id"], name=op.f("fk_file_change_upload_upload_id")),
        sa.ForeignKeyConstraint(
            ["file_change_id"], ["file_change.id"], name=op.f("fk_file_change_upload_file_change_id")
        ),
        sa.PrimaryKeyConstraint("upload_id", "file_change_id", name=op.f("pk_file_change_upload")),
        **TABLE_OPTIONS,
    )
    op.create_index(op.f("ix_file_change_upload_file_change_id"), "file_change_upload", ["file_change_id"])


def _add_columns() -> None:
    constraint = op.f("fk_review_item_page_id")
    if op.get_bind().dialect.name == "sqlite":
        # Alembic has no other way on SQLite than the rebuild.
        op.execute(
            "ALTER TABLE review_item ADD COLUMN page_id INTEGER "
            f"CONSTRAINT {constraint} REFERENCES review_page (id)"
        )
    else:
        op.add_column("review_item", sa.Column("page_id", BigId))
        op.create_foreign_key(constraint, "review_item", "review_page", ["page_id"], ["id"])
    op.add_column("review_item", sa.Column("row_order", sa.Integer()))
    op.add_column("review_item", sa.Column("uploader", UserName))
    op.add_column("review_item", sa.Column("state_changed_at", UtcDateTime()))
    for columns in (["page_id", "state", "created_at"], ["reason", "created_at"], ["uploader", "reason"]):
        op.create_index(op.f("ix_review_item_" + "_".join(columns)), "review_item", columns)


def _link_changes(connection: sa.Connection) -> None:
    """Replay the changes in their order: each was about the uploads that bore its title then."""
    change = sa.table(
        "file_change", *map(sa.column, ("id", "wiki", "log_id", "kind", "title", "target_title")),
        sa.column("logged_at", UtcDateTime()),
    )  # fmt: skip
    upload = sa.table(
        "upload", *map(sa.column, ("id", "wiki", "title")), sa.column("logged_at", UtcDateTime())
    )
    # The first change of any upload was about its first title.
    known = sa.select(change.c.wiki, change.c.title).distinct().subquery()
    bearers: defaultdict[tuple[str, str], dict[int, datetime]] = defaultdict(dict)
    for row in connection.execute(
        sa.select(upload.c.id, upload.c.wiki, upload.c.title, upload.c.logged_at).join(
            known, (known.c.wiki == upload.c.wiki) & (known.c.title == upload.c.title)
        )
    ):
        bearers[row.wiki, row.title][row.id] = row.logged_at
    links = []
    for row in connection.execute(sa.select(change).order_by(change.c.logged_at, change.c.log_id)).all():
        there = bearers[row.wiki, row.title]
        about = {number: at for number, at in there.items() if at <= row.logged_at}
        links += [{"upload_id": number, "file_change_id": row.id} for number in about]
        if row.kind == "move" and row.target_title is not None:
            for number in about:
                del there[number]
            bearers[row.wiki, row.target_title].update(about)
    link = sa.table("file_change_upload", sa.column("upload_id"), sa.column("file_change_id"))
    for start in range(0, len(links), _BATCH):
        connection.execute(sa.insert(link), links[start : start + _BATCH])


def _settle_items(connection: sa.Connection) -> None:
    """Repeat the uploader, and bring the state, which 0001 never changed, in step with the verdicts."""
    upload = sa.table("upload", sa.column("id"), sa.column("user"))
    item = sa.table(
        "review_item", *map(sa.column, ("id", "upload_id", "uploader", "state")),
        sa.column("state_changed_at", UtcDateTime()),
    )  # fmt: skip
    uploader = sa.select(upload.c.user).where(upload.c.id == item.c.upload_id).scalar_subquery()
    connection.execute(sa.update(item).values(uploader=uploader))

    verdict = sa.table(
        "verdict", *map(sa.column, ("id", "review_item_id", "code", "author", "author_id", "revision_id")),
        sa.column("trusted", sa.Boolean()), sa.column("given_at", UtcDateTime()),
    )  # fmt: skip
    standing: defaultdict[int, dict[int | str, str]] = defaultdict(dict)
    last = {}
    for row in connection.execute(
        sa.select(verdict)
        .where(verdict.c.trusted)
        .order_by(verdict.c.given_at, sa.func.coalesce(verdict.c.revision_id, 0), verdict.c.id)
    ):
        person = row.author if row.author_id is None else row.author_id
        standing[row.review_item_id][person] = row.code
        last[row.review_item_id] = row.given_at
    for number, codes in standing.items():
        decisions = set(codes.values()) - {"unsure"}
        if decisions:
            state = "closed" if len(decisions) == 1 else "disputed"
            values = {"state": state, "state_changed_at": last[number]}
            connection.execute(sa.update(item).where(item.c.id == number).values(values))

"""Upgrading a database that revision 0001 filled; its rows name their columns, for the code has moved on."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, column, insert, table, text

from storage import file_changes, models, review_pages, reviews, schema
from storage.engine import Database
from storage.errors import StoreError
from storage.review_values import FileSignal, ReviewState, VerdictCode
from storage.tables import Base
from storage.values import ChangeKind
from tests.review_items import give, item_id, verdict
from tests.storage_database import NOW, SERVER_URL, WIKI, after, empty_server, model_version

CODES = {
    1: [(7, "sfw", 10, True)],
    2: [(7, "sfw", 10, True), (8, "nsfw-delete", 11, True)],
    3: [(7, "unsure", 10, True)],
    4: [(9, "sfw", 10, False)],
    5: [(7, "nsfw-keep", 20, True), (7, "sfw", 30, True), (8, "sfw", 25, True)],
    6: [],
}
STATES = {1: "closed", 2: "disputed", 3: "open", 4: "open", 5: "closed", 6: "open"}


@pytest.fixture
def old(tmp_path: Path) -> Iterator[Database]:
    """A database at revision 0001, with rows in it."""
    if SERVER_URL is not None:
        empty_server(SERVER_URL)
    database = Database.open(SERVER_URL or "sqlite:///bot.sqlite3", tmp_path)
    with database.transaction() as tx:
        command.upgrade(schema.alembic_config(tx.connection()), "0001")
    with database.transaction() as tx:
        model = models.register(tx, model_version(), NOW)
        for number in CODES:
            _item(tx.connection(), number, model)
        for number, verdicts in CODES.items():
            for author_id, code, revision, trusted in verdicts:
                _verdict(tx.connection(), number, author_id, code, revision, trusted)
        _change(tx.connection(), 1, "delete", "File:1", 100)
        _change(tx.connection(), 2, "restore", "File:1", 110)
        _change(tx.connection(), 3, "move", "File:1", 120, "File:New")
        _change(tx.connection(), 4, "delete", "File:New", 130)
        _change(tx.connection(), 5, "delete", "File:1", 140)
        _change(tx.connection(), 6, "delete", "File:2", -500)
    yield database
    database.close()


def _insert(connection: Connection, name: str, **values: Any) -> None:
    types = Base.metadata.tables[name].c
    connection.execute(insert(table(name, *(column(key, types[key].type) for key in values))), values)


def _item(connection: Connection, number: int, model: int) -> None:
    _insert(
        connection,
        "upload",
        id=number,
        wiki=WIKI,
        log_id=number,
        action="upload",
        title=f"File:{number}",
        current_title="File:New" if number == 1 else f"File:{number}",
        user=None if number == 6 else f"U{number}",
        logged_at=after(number),
        source="stream",
        received_at=NOW,
        state="done",
        lane=0,
        attempts=1,
        crashes=0,
        next_attempt_at=NOW,
        outcome="scored",
        finished_at=NOW,
    )
    _insert(
        connection,
        "classification",
        id=number,
        upload_id=number,
        model_version_id=model,
        score=0.9,
        label="nsfw",
        threshold=0.8,
        worst={"score": 0.9, "at_s": 1.5, "page": None},
        frame_count=1,
        frames=[],
        rendition={},
        decoder="pillow",
        timings_s={},
        created_at=NOW,
    )
    _insert(
        connection,
        "review_item",
        id=number,
        item_id=item_id(number),
        upload_id=number,
        classification_id=number,
        reason="flagged",
        inclusion_probability=1.0,
        state="open",
        created_at=NOW,
    )


def _verdict(
    connection: Connection, number: int, author_id: int, code: str, revision: int, trusted: bool
) -> None:
    _insert(
        connection,
        "verdict",
        review_item_id=number,
        code=code,
        comment="",
        author=f"A{author_id}",
        author_id=author_id,
        author_groups=["sysop"],
        trusted=trusted,
        blind=True,
        revision_id=revision,
        given_at=after(revision),
        recorded_at=NOW,
        source="wiki",
    )


def _change(
    connection: Connection, log_id: int, kind: str, title: str, seconds: float, target: str | None = None
) -> None:
    _insert(
        connection,
        "file_change",
        wiki=WIKI,
        log_id=1000 + log_id,
        kind=kind,
        title=title,
        target_title=target,
        user="Admin",
        logged_at=after(seconds),
        recorded_at=NOW,
    )


def test_an_upgraded_database_has_exactly_the_tables_of_the_code(old: Database) -> None:
    old.migrate()
    with old.read() as tx:
        assert compare_metadata(MigrationContext.configure(tx.connection()), Base.metadata) == []


def test_states_follow_from_the_verdicts_that_were_there(old: Database) -> None:
    old.migrate()
    with old.transaction() as tx:
        waiting = {entry.item_id: entry for entry in review_pages.unplaced(tx, 10)}
        assert set(waiting) == {item_id(n) for n, state in STATES.items() if state != "closed"}
        review_pages.place(tx, WIKI, "User:Bot/Review/1", [item_id(n) for n in CODES], NOW)
        (page,) = review_pages.pages(tx, WIKI)
        for number, state in STATES.items():
            assert reviews.standing(tx, item_id(number)).state == state
    assert (page.open, page.disputed, page.closed, page.last_change_at) == (3, 1, 2, after(30))


def test_items_keep_their_data_and_learn_their_uploader(old: Database) -> None:
    old.migrate()
    with old.read() as tx:
        entries = {entry.item_id: entry for entry in review_pages.unplaced(tx, 10)}
        assert len(reviews.verdicts_of(tx, item_id(5))) == 3
    assert (entries[item_id(2)].uploader, entries[item_id(6)].uploader) == ("U2", None)
    assert (entries[item_id(2)].score, entries[item_id(2)].worst.at_s) == (0.9, 1.5)


def test_changes_find_the_uploads_they_were_about(old: Database) -> None:
    old.migrate()
    with old.read() as tx:
        assert file_changes.signals_of(tx, item_id(1)) == [
            FileSignal(ChangeKind.DELETE, "File:1", "Admin", after(100)),
            FileSignal(ChangeKind.RESTORE, "File:1", "Admin", after(110)),
            FileSignal(ChangeKind.DELETE, "File:New", "Admin", after(130)),
        ]
        assert file_changes.signals_of(tx, item_id(2)) == []


@pytest.mark.skipif(SERVER_URL is not None, reason="the triggers are SQLite's")
@pytest.mark.parametrize("statement", ["UPDATE verdict SET code = 'nsfw-delete'", "DELETE FROM verdict"])
def test_verdicts_are_append_only_after_the_upgrade_too(old: Database, statement: str) -> None:
    old.migrate()
    with pytest.raises(StoreError, match="append only"), old.transaction() as tx:
        tx.execute(text(statement))


def test_the_upgraded_database_goes_on_where_it_was(old: Database) -> None:
    old.migrate()
    old.migrate()
    recorded = give(
        old, verdict(3, VerdictCode.SFW), verdict(1, VerdictCode.SFW, author_id=7, revision_id=10)
    )
    assert (recorded.added, recorded.repeated, recorded.changed) == (1, 1, {item_id(3): ReviewState.CLOSED})
    with pytest.raises(StoreError, match="refused"), old.transaction() as tx:
        tx.execute(text("UPDATE review_item SET page_id = 12345"))

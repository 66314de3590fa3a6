import os
import stat
import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, inspect, text

from storage import status, uploads
from storage.columns import storable
from storage.engine import Database
from storage.errors import SchemaError, StoreError, StoreUnavailable
from storage.tables import Base
from tests.storage_database import (
    NOW,
    SERVER_URL,
    classification,
    database_url,
    empty_server,
    fresh_database,
    upload,
)

sqlite_only = pytest.mark.skipif(SERVER_URL is not None, reason="about SQLite's file")


def empty(tmp_path: Path) -> Database:
    if SERVER_URL is not None:
        empty_server(SERVER_URL)
    return Database.open(SERVER_URL or "sqlite:///deep/down/bot.sqlite3", tmp_path)


def test_migrations_build_exactly_the_tables_of_the_code(tmp_path: Path) -> None:
    database = empty(tmp_path)
    database.migrate()
    with database.read() as tx:
        connection = tx.connection()
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
        names = set(inspect(connection).get_table_names())
    database.close()
    assert names == {*Base.metadata.tables, "alembic_version"}


def test_a_database_before_and_after_migration_answers_a_probe(tmp_path: Path) -> None:
    database = empty(tmp_path)
    assert database.probe().endswith("no tables yet, writable")
    database.migrate()
    assert database.probe().endswith("schema 0005, writable")
    database.close()


def test_migrating_twice_and_from_several_threads_at_once_is_harmless(tmp_path: Path) -> None:
    databases = [empty(tmp_path)]
    databases += [Database.open(SERVER_URL or "sqlite:///deep/down/bot.sqlite3", tmp_path) for _ in range(3)]
    failures: list[Exception] = []
    barrier = threading.Barrier(len(databases))

    def migrate(database: Database) -> None:
        barrier.wait(30)
        try:
            database.migrate()
        except StoreError as error:
            failures.append(error)

    threads = [threading.Thread(target=migrate, args=(database,)) for database in databases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    databases[0].migrate()
    with databases[0].transaction() as tx:
        assert uploads.add(tx, [upload(1)], NOW) == 1
    for database in databases:
        database.close()


def test_a_database_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    with fresh_database(tmp_path) as database:
        with database.transaction() as tx:
            tx.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        with pytest.raises(SchemaError, match=r"9999.*newer version.*Update the program"):
            database.migrate()


@sqlite_only
def test_the_file_is_created_with_its_folder_for_the_owner_alone(tmp_path: Path) -> None:
    previous = os.umask(0)
    try:
        database = Database.open("sqlite:///var/deep/bot.sqlite3", tmp_path)
        database.migrate()
    finally:
        os.umask(previous)
    folder = tmp_path / "var" / "deep"
    with database.transaction() as tx:
        uploads.add(tx, [upload(1)], NOW)
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert modes == dict.fromkeys(("bot.sqlite3", "bot.sqlite3-wal", "bot.sqlite3-shm"), 0o600)
    database.close()


@sqlite_only
def test_every_connection_has_the_log_the_keys_and_the_patience(tmp_path: Path) -> None:
    with fresh_database(tmp_path) as database, database.transaction() as tx:
        values = [
            tx.scalar(text(f"PRAGMA {name}"))
            for name in ("journal_mode", "foreign_keys", "busy_timeout", "synchronous")
        ]
    assert values == ["wal", 1, 10000, 1]


@pytest.mark.skipif("mysql" in (SERVER_URL or "") or "mariadb" in (SERVER_URL or ""), reason="no such mode")
def test_a_reader_cannot_write(tmp_path: Path) -> None:
    with fresh_database(tmp_path) as database:
        with pytest.raises(StoreError), database.read() as tx:
            uploads.add(tx, [upload(1)], NOW)
        with database.transaction() as tx:
            assert uploads.add(tx, [upload(1)], NOW) == 1


def test_a_reader_sees_one_instant(tmp_path: Path) -> None:
    with fresh_database(tmp_path) as database, database.read() as reader:
        assert status.snapshot(reader, NOW).pending == 0
        with database.transaction() as tx:
            uploads.add(tx, [upload(1)], NOW)
        assert status.snapshot(reader, NOW).pending == 0


def test_rows_must_refer_to_rows_that_exist(tmp_path: Path) -> None:
    with fresh_database(tmp_path) as database:
        with database.transaction() as tx:
            uploads.add(tx, [upload(1)], NOW)
            (claimed,) = uploads.claim(tx, worker="w", limit=1, now=NOW, ttl_s=60)
        with pytest.raises(StoreError, match="refused"), database.transaction() as tx:
            uploads.score(tx, claimed, classification(12345), NOW, review=None)


@sqlite_only
def test_a_writer_that_reads_first_does_not_fail_when_another_wrote_meanwhile(tmp_path: Path) -> None:
    with fresh_database(tmp_path) as database:
        started, finished = threading.Event(), threading.Event()

        def other() -> None:
            started.set()
            with database.transaction() as tx:
                uploads.add(tx, [upload(2)], NOW)
            finished.set()

        thread = threading.Thread(target=other)
        with database.transaction() as tx:
            status.snapshot(tx, NOW)
            thread.start()
            assert started.wait(30)
            assert uploads.add(tx, [upload(1)], NOW) == 1
            assert not finished.is_set()
        thread.join(30)
        with database.read() as tx:
            assert status.snapshot(tx, NOW).pending == 2


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("not a url", "not a database URL"),
        ("sqlite://", "needs an SQLite file"),
        ("sqlite:///:memory:", "needs an SQLite file"),
        ("oracle://scott:tiger@db/x", "not supported"),
        ("sqlite+nosuch:///x", "no driver"),
    ],
)
def test_an_unusable_url_is_named_without_its_password(tmp_path: Path, url: str, message: str) -> None:
    with pytest.raises(StoreError, match=message) as caught:
        Database.open(url, tmp_path)
    assert "tiger" not in str(caught.value)


def test_a_server_that_is_away_is_named_without_its_password(tmp_path: Path) -> None:
    pytest.importorskip("psycopg")
    database = Database.open("postgresql://bot:secret@127.0.0.1:1/bot", tmp_path)
    with pytest.raises(StoreUnavailable, match=r"bot:\*\*\*@127\.0\.0\.1:1") as caught:
        database.migrate()
    assert "secret" not in str(caught.value)


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("these are notes, not a database\n" * 100)
    database = Database.open("sqlite:///notes.txt", tmp_path)
    with pytest.raises(StoreError, match=r"notes\.txt.*not a database"):
        database.migrate()


def test_a_folder_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailable, match=r"store\.url"):
        Database.open("sqlite:///file/bot.sqlite3", tmp_path)


def test_a_database_without_tables_says_what_to_do(tmp_path: Path) -> None:
    database = empty(tmp_path)
    with pytest.raises(StoreError), database.read() as tx:
        status.snapshot(tx, NOW)
    database.close()


def test_tables_have_names_that_every_database_accepts() -> None:
    for table in Base.metadata.tables.values():
        for thing in (*table.constraints, *table.indexes):
            assert len(str(thing.name)) <= 63


def test_storable_text_keeps_everything_else() -> None:
    assert storable("Ünïcode 😀 \t\n") == "Ünïcode 😀 \t\n"
    assert storable("a\x00b\ud83d") == "a\ufffdb\ufffd"


@sqlite_only
def test_the_database_made_by_hand_is_the_one_opened_again(tmp_path: Path) -> None:
    with fresh_database(tmp_path) as database, database.transaction() as tx:
        uploads.add(tx, [upload(1)], NOW)
    again = Database.open(database_url(tmp_path), Path("/"))
    again.migrate()
    with again.read() as tx:
        assert status.snapshot(tx, NOW).pending == 1
    again.close()
    plain = create_engine(database_url(tmp_path))
    with plain.connect() as connection:
        assert connection.scalar(text("SELECT logged_at FROM upload")) == "2026-03-01 12:00:00.123456"
    plain.dispose()

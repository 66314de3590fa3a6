"""One database, two doors: `transaction()` to write and `read()` for a consistent picture.

SQLite lets one writer in at a time. A transaction that starts by reading and writes later fails at once
with "database is locked" when somebody else wrote in between, whatever the timeout; so writers announce
themselves with BEGIN IMMEDIATE and wait their turn, and readers cannot write at all. No network call
belongs inside either block.
"""

import logging
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text, update
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    InterfaceError,
    NoSuchModuleError,
    OperationalError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session

from storage import (
    access_tables,  # noqa: F401 - so that the metadata knows all tables
    feedback_tables,  # noqa: F401 - likewise
    schema,
)
from storage.errors import StoreError, StoreUnavailable
from storage.tables import LeaseRow

logger = logging.getLogger(__name__)

BUSY_TIMEOUT_S = 10.0
SUPPORTED = ("sqlite", "postgresql", "mysql", "mariadb")
_WRITES = "storage_writes"


class Database:
    """An open database; safe to share between threads, not across a fork."""

    def __init__(self, engine: Engine, url: URL) -> None:
        self._engine = engine
        self._writer = engine.execution_options(**{_WRITES: True})
        self._reader = engine if _is_sqlite(url) else _snapshot_reader(engine, url)
        self._url = url

    @classmethod
    def open(cls, url: str, root: Path) -> "Database":
        """Open a database, creating an SQLite file (mode 0600) and its folder where there is none.

        Args:
            url: Any SQLAlchemy URL for SQLite, PostgreSQL, MariaDB or MySQL.
            root: Where relative SQLite paths start.

        Returns:
            The database; call `migrate()` before anything else.

        Raises:
            StoreError: The URL is not usable; the message says why.
            StoreUnavailable: The file or its folder cannot be created.
        """
        parsed = _parse(url, root)
        if _is_sqlite(parsed):
            _create_private_file(parsed)
        try:
            if _is_sqlite(parsed):
                engine = create_engine(parsed, connect_args={"timeout": BUSY_TIMEOUT_S})
                event.listen(engine, "connect", _prepare_sqlite)
                event.listen(engine, "begin", _begin_sqlite)
            else:
                engine = create_engine(
                    parsed, isolation_level="READ COMMITTED", pool_pre_ping=True, pool_recycle=3600
                )
        except (NoSuchModuleError, ModuleNotFoundError, ArgumentError) as error:
            raise StoreError(
                f"store.url {_public(parsed)}: no driver for it ({error}). "
                "PostgreSQL and MariaDB need `pip install commons-nsfw-bot[scale]`"
            ) from error
        return cls(engine, parsed)

    @property
    def name(self) -> str:
        """The URL without its password."""
        return _public(self._url)

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """Write: everything in the block is committed together, or nothing on any exception.

        Yields:
            A session for the query modules of this package.

        Raises:
            StoreUnavailable: The database cannot be reached or written, or stayed locked; try again later.
            StoreError: The database refused what was written.
        """
        with self._translated(), Session(self._writer, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Read one consistent picture; writing inside fails.

        Yields:
            A session for the query modules of this package.

        Raises:
            StoreUnavailable: The database cannot be reached.
        """
        with self._translated(), Session(self._reader, expire_on_commit=False) as session:
            yield session

    def migrate(self) -> None:
        """Bring the tables up to date; safe when several processes start at once.

        Raises:
            SchemaError: A newer version of the program made this database, or the migration failed.
            StoreUnavailable: The database cannot be reached or written.
        """
        with self._translated(), self._writer.connect() as connection, schema.exclusive(connection):
            schema.upgrade(connection, self.name)

    def probe(self) -> str:
        """Check that the database answers and can be written.

        Returns:
            One line for people: kind and version, where it is, its schema revision.

        Raises:
            StoreUnavailable: It cannot be reached or written.
        """
        with self._translated(), self._writer.begin() as connection:
            revision = schema.current_revision(connection)
            if revision is not None:
                connection.execute(update(LeaseRow).where(text("1 = 0")).values(pid=0))
            version = ".".join(str(part) for part in connection.dialect.server_version_info or ())
            state = f"schema {revision}" if revision else "no tables yet"
            return f"{connection.dialect.name} {version}, {self.name}, {state}, writable"

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (OperationalError, InterfaceError) as error:
            raise StoreUnavailable(
                f"{self.name}: {error.orig}. Check that the database is reachable, writable, migrated and "
                "not full; nothing recorded so far is lost"
            ) from error
        except PoolTimeoutError as error:
            raise StoreUnavailable(f"{self.name}: all connections are in use: {error}") from error
        except DBAPIError as error:
            raise StoreError(f"{self.name}: the database refused a statement: {error.orig}") from error


def _parse(url: str, root: Path) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise StoreError(
            "store.url is not a database URL; expected something like sqlite:///var/bot.sqlite3"
        ) from error
    backend = parsed.get_backend_name()
    if backend not in SUPPORTED:
        raise StoreError(
            f"store.url {_public(parsed)}: {backend} is not supported, only {', '.join(SUPPORTED)}"
        )
    if backend in ("mysql", "mariadb"):
        return parsed.update_query_dict({"charset": "utf8mb4"})
    if backend == "postgresql":
        return parsed.set(drivername="postgresql+psycopg") if "+" not in parsed.drivername else parsed
    database = parsed.database or ":memory:"
    if database == ":memory:" or database.startswith("file:"):
        raise StoreError(f"store.url {_public(parsed)}: the store needs an SQLite file with a plain path")
    return parsed.set(database=str(root / database))


def _public(url: URL) -> str:
    return url.render_as_string(hide_password=True)


def _is_sqlite(url: URL) -> bool:
    return url.get_backend_name() == "sqlite"


def _snapshot_reader(engine: Engine, url: URL) -> Engine:
    """Several statements of one reader see the same instant, as they do on SQLite."""
    options: dict[str, Any] = {"isolation_level": "REPEATABLE READ"}
    if url.get_backend_name() == "postgresql":
        options["postgresql_readonly"] = True
    return engine.execution_options(**options)


def _create_private_file(url: URL) -> None:
    path = Path(str(url.database))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # SQLite gives its -wal and -shm files the mode of the main one.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise StoreUnavailable(
            f"{_public(url)}: {error.strerror}: {path}. Choose another place with store.url"
        ) from error


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    """The connect hook: our own BEGIN, write-ahead log, foreign keys, patience."""
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout = {int(BUSY_TIMEOUT_S * 1000)}")
    connection.execute("PRAGMA foreign_keys = ON")
    # WAL with NORMAL survives a killed process; a power cut can cost the newest transactions, but always
    # position and uploads together, so that the stream brings them again.
    connection.execute("PRAGMA synchronous = NORMAL")
    mode = _switch_to_wal(connection)
    if mode != "wal":
        logger.warning("store_without_wal", extra={"journal_mode": mode})


def _switch_to_wal(connection: sqlite3.Connection) -> str:
    """Switching needs the file for a moment alone, and SQLite does not wait for that by itself."""
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            return str(connection.execute("PRAGMA journal_mode = WAL").fetchone()[0])
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _begin_sqlite(connection: Connection) -> None:
    writes = bool(connection.get_execution_options().get(_WRITES))
    connection.exec_driver_sql(f"PRAGMA query_only = {'OFF' if writes else 'ON'}")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

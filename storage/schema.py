"""Alembic migrations, run by the program itself on start: no alembic.ini, no command to remember.

Two processes may start at once, so the migration runs under a lock: SQLite's write lock, PostgreSQL's and
MariaDB's advisory locks. Whoever comes second finds nothing left to do.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, text

from storage.errors import SchemaError, StoreUnavailable

logger = logging.getLogger(__name__)

MIGRATIONS = Path(__file__).resolve().parent / "migrations"
LOCK_WAIT_S = 60
_LOCK_NAME = "commons-nsfw-bot-schema"
_LOCK_KEY = 0x636E736677  # the same for PostgreSQL, which wants a number


def alembic_config(connection: Connection | None = None) -> Config:
    """Alembic's configuration, made in code so that it works from an installed package.

    Args:
        connection: The connection that migrations run on, inside the caller's transaction.

    Returns:
        The configuration; `storage/migrations/env.py` takes the connection from its attributes.
    """
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def current_revision(connection: Connection) -> str | None:
    """The schema revision of a database.

    Args:
        connection: Any connection to it.

    Returns:
        The revision, or None where the database has no tables of ours yet.
    """
    return MigrationContext.configure(connection).get_current_revision()


@contextmanager
def exclusive(connection: Connection) -> Iterator[None]:
    """One transaction that nobody else can migrate in.

    Args:
        connection: A fresh connection of the writing engine.

    Yields:
        Nothing; the transaction is committed at the end of the block.

    Raises:
        StoreUnavailable: Another process has been migrating for too long.
    """
    dialect = connection.dialect.name
    with connection.begin():
        if dialect == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
        if dialect not in ("mysql", "mariadb"):
            yield
            return
        # MariaDB commits at every CREATE TABLE, so its lock belongs to the connection.
        parameters = {"name": _LOCK_NAME, "wait_s": LOCK_WAIT_S}
        if connection.scalar(text("SELECT GET_LOCK(:name, :wait_s)"), parameters) != 1:
            raise StoreUnavailable(
                "another process has been migrating this database for a minute; look at it"
            )
        try:
            yield
        finally:
            connection.execute(text("SELECT RELEASE_LOCK(:name)"), {"name": _LOCK_NAME})


def upgrade(connection: Connection, name: str) -> None:
    """Run the migrations that are missing.

    Args:
        connection: A connection inside `exclusive`.
        name: The database as messages call it.

    Raises:
        SchemaError: The database was made by a newer version, or a migration failed.
    """
    config = alembic_config(connection)
    scripts = ScriptDirectory.from_config(config)
    before, head = current_revision(connection), scripts.get_current_head()
    if before == head:
        logger.debug("store_schema_current", extra={"revision": head})
        return
    if before is not None and before not in {script.revision for script in scripts.walk_revisions()}:
        raise SchemaError(
            f"{name}: its tables are at revision {before}, which this version ({head}) does not know: a "
            "newer version made this database. Update the program, or choose another database with store.url"
        )
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise SchemaError(f"{name}: the tables cannot be brought from {before} to {head}: {error}") from error
    logger.info("store_migrated", extra={"revision_before": before, "revision": head})

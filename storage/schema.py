"""Alembic migrations, run by the program itself on start: no alembic.ini, no command to remember.

Two processes may start at once, so the migration runs under a lock: SQLite's write lock, PostgreSQL's and
MariaDB's advisory locks. Whoever comes second finds nothing left to do.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text

from storage.errors import SchemaError, StoreUnavailable

if TYPE_CHECKING:
    from alembic.config import Config

logger = logging.getLogger(__name__)

MIGRATIONS = Path(__file__).resolve().parent / "migrations"
LOCK_WAIT_S = 60
_LOCK_NAME = "commons-nsfw-bot-schema"
_LOCK_KEY = 0x636E736677  # the same for PostgreSQL, which wants a number


def alembic_config(connection: Connection | None = None) -> "Config":
    """Alembic's configuration, made in code so that it works from an installed package.

    Args:
        connection: The connection that migrations run on, inside the caller's transaction.

    Returns:
        The configuration; `storage/migrations/env.py` takes the connection from its attributes.
    """
    from alembic.config import Config

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
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return found


def newest_revision() -> str:
    """The schema revision of this version of the program, by the names of the migrations' files.

    Alembic would have to be loaded, and every migration with it, to say the same; most commands find
    nothing to migrate, and would wait a fifth of a second for that.
    """
    newest = max(path.name for path in (MIGRATIONS / "versions").glob("v[0-9]*_*.py"))
    return newest.removeprefix("v").partition("_")[0]


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
    before, head = current_revision(connection), newest_revision()
    if before == head:
        logger.debug("store_schema_current", extra={"revision": head})
        return
    from alembic import command
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    config = alembic_config(connection)
    scripts = ScriptDirectory.from_config(config)
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

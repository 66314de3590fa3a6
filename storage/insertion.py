"""Insert rows that may be there already, safely beside other writers, on every supported database.

`INSERT` and "do nothing if the unique key exists" is one statement everywhere, but each database spells it
differently; asking first and inserting later would race.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.orm import Session
from sqlalchemy.sql.dml import Insert

from storage.errors import StoreError
from storage.tables import Base


def insert_new(tx: Session, row_type: type[Base], rows: Sequence[Mapping[str, Any]]) -> int:
    """Insert the rows whose unique keys are not taken; the others are dropped silently.

    Args:
        tx: A session of `Database.transaction()`.
        row_type: The table's class.
        rows: Column values; every row has the same columns. Sorted by unique key, so that two writers
            with overlapping rows wait for each other in one order and cannot deadlock.

    Returns:
        How many were really inserted.
    """
    if not rows:
        return 0
    statement = _insert_or_ignore(tx.get_bind().dialect.name, row_type)
    # Core, not ORM: executemany at full speed, and a row count that the database itself gives; SQLAlchemy
    # drops that of an INSERT unless it is asked to keep it.
    counted = statement.inline().execution_options(preserve_rowcount=True)
    return tx.connection().execute(counted, list(rows)).rowcount


def _insert_or_ignore(dialect: str, row_type: type[Base]) -> Insert:
    table = Base.metadata.tables[row_type.__tablename__]
    match dialect:
        case "sqlite":
            return sqlite.insert(table).on_conflict_do_nothing()
        case "postgresql":
            return postgresql.insert(table).on_conflict_do_nothing()
        case "mysql" | "mariadb":
            # IGNORE would also shorten an overlong value in silence; our columns are wider than what
            # MediaWiki allows. ON DUPLICATE KEY UPDATE would count repeats as rows.
            return mysql.insert(table).prefix_with("IGNORE")
        case _:
            raise StoreError(f"{dialect} is not supported")

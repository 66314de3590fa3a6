"""Column types that mean the same on SQLite, PostgreSQL and MariaDB.

SQLite and MariaDB know no time zones and MariaDB drops microseconds unless asked; here every time goes
in as an aware datetime and comes out as aware UTC with microseconds. Text that carries bytes which
PostgreSQL refuses (NUL, lone surrogates: a decoder's message can hold anything) is cleaned on its way in.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, DateTime, Integer, String, Text
from sqlalchemy.dialects import mysql
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

# Binary collation: MariaDB's default would take File:A.jpg and File:a.jpg for the same title.
TABLE_OPTIONS: dict[str, Any] = {
    f"{dialect}_{key}": value
    for dialect in ("mysql", "mariadb")
    for key, value in (("engine", "InnoDB"), ("charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
}

# SQLite gives row ids only to INTEGER primary keys.
BigId = BigInteger().with_variant(Integer(), "sqlite")


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime, stored as UTC with microseconds."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """The native type: with a time zone on PostgreSQL, with microseconds on MariaDB."""
        if dialect.name in ("mysql", "mariadb"):
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(DateTime(timezone=dialect.name == "postgresql"))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert to UTC.

        Raises:
            ValueError: Where the datetime has no time zone: guessing one would shift it silently.
        """
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a datetime without a time zone cannot be stored: {value!r}")
        utc = value.astimezone(UTC)
        return utc if dialect.name == "postgresql" else utc.replace(tzinfo=None)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], datetime | None] | None:
        """Read what SQLite keeps, which is text, as aware in one step; the rest as every decorated type.

        Commands that read a hundred thousand times would spend a third of their time here otherwise.
        """
        return _from_text if dialect.name == "sqlite" else super().result_processor(dialect, coltype)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Make it aware again."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _from_text(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(f"{value}+00:00")


class CleanString(TypeDecorator[str]):
    """Short text of foreign origin, cleaned as `CleanText`; the length is in characters."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Replace what a database could refuse."""
        return None if value is None else storable(value)


class CleanText(TypeDecorator[str]):
    """Free text of any origin: NUL and lone surrogates become U+FFFD, the rest stays."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Replace what a database could refuse."""
        return None if value is None else storable(value)


def storable(text: str) -> str:
    """Replace NUL and lone surrogates by U+FFFD.

    Args:
        text: Any string.

    Returns:
        A string that every database stores and gives back unchanged.
    """
    return text.replace("\x00", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


Wiki = String(64)
# MediaWiki: a title has at most 255 bytes and a namespace prefix comes on top; 1,200 bytes in utf8mb4 are
# still within what InnoDB indexes.
Title = CleanString(300)
UserName = CleanString(255)
Code = String(64)
Token = String(64)

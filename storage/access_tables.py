"""The tables of the prediction API's tokens: who may ask, and how much was asked on a day."""

from datetime import date, datetime
from typing import Any

from sqlalchemy import JSON, CheckConstraint, ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from storage.columns import TABLE_OPTIONS, BigId, CleanText, Token, UserName
from storage.tables import Base


class ApiTokenRow(Base):
    """A token somebody was given; the row stays when it is revoked, the secret is never in it."""

    __tablename__ = "api_token"
    __table_args__ = (
        UniqueConstraint("secret_sha256"),
        CheckConstraint("per_minute IS NULL OR per_minute > 0", name="per_minute_positive"),
        CheckConstraint("per_day IS NULL OR per_day > 0", name="per_day_positive"),
        TABLE_OPTIONS,
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    secret_sha256: Mapped[str] = mapped_column(Token)
    account: Mapped[str] = mapped_column(UserName)
    scopes: Mapped[list[Any]] = mapped_column(JSON)
    note: Mapped[str] = mapped_column(CleanText)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    per_minute: Mapped[int | None]
    per_day: Mapped[int | None]


class ApiUsageRow(Base):
    """How many files a token has had scored on a day of UTC; all workers of the service share the row."""

    __tablename__ = "api_usage"
    __table_args__ = (CheckConstraint("used >= 0", name="used_not_negative"), TABLE_OPTIONS)

    token_id: Mapped[int] = mapped_column(
        BigId, ForeignKey("api_token.id"), primary_key=True, autoincrement=False
    )
    day: Mapped[date] = mapped_column(primary_key=True)
    used: Mapped[int]

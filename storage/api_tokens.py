"""Tokens of the prediction API and the console: given out once, found by their hash, counted by the day.

Only SHA-256 of a secret is stored. A slow password hash (bcrypt, argon2) makes the guesses of somebody who
stole the table expensive, which matters where people choose the secret; ours are 256 random bits, of which
no share can ever be tried, and a slow hash would only make every request expensive. For the same reason no
salt is needed: no two secrets are equal, and no table of their hashes can be prepared.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Final

from sqlalchemy import CursorResult, delete, or_, select, update
from sqlalchemy.orm import Session

from storage.access_tables import ApiTokenRow, ApiUsageRow
from storage.insertion import insert_new

PREFIX: Final = "cnb_"
"""Begins every secret, so that scanners for leaked secrets and people know one when they see it."""
USAGE_KEPT: Final = timedelta(days=90)
"""What was used on a day is forgotten after so long."""
USE_NOTED_EVERY: Final = timedelta(minutes=1)

_RANDOM_BYTES: Final = 32
_SECRET: Final = re.compile(PREFIX + "[A-Za-z0-9_-]{43}")


class Scope(StrEnum):
    """What a token is good for; none of them includes another."""

    CLASSIFY = "classify"
    CONSOLE = "console"
    REVIEW = "review"


@dataclass(frozen=True, slots=True)
class ApiToken:
    """A token, without its secret.

    Attributes:
        id: Row id, by which it is revoked.
        account: Wiki user name of whoever has it; author of the verdicts it gives.
        scopes: What it is good for.
        note: What it is for, in somebody's words.
        created_at: When it was made.
        expires_at: From when on it is refused; None: never.
        revoked_at: Since when it is refused; None: it is not.
        last_used_at: The last use, to within a minute.
        per_minute: Files a minute at most; None: what the settings say of tokens that name nothing.
        per_day: Files a day of UTC at most; None: likewise.
    """

    id: int
    account: str
    scopes: frozenset[Scope]
    note: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    per_minute: int | None
    per_day: int | None

    def is_valid(self, now: datetime) -> bool:
        """Whether it is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A new token with its secret, which nobody can read again.

    Attributes:
        token: What is stored.
        secret: What its owner sends as `Authorization: Bearer …`; kept out of `repr`, thus out of logs.
    """

    token: ApiToken
    secret: str = field(repr=False)


def add(
    tx: Session,
    *,
    account: str,
    scopes: Collection[Scope],
    now: datetime,
    note: str = "",
    expires_at: datetime | None = None,
    per_minute: int | None = None,
    per_day: int | None = None,
) -> IssuedToken:
    """Make a token.

    Args:
        tx: A session of `Database.transaction()`.
        account: Wiki user name, spelt as the wiki does.
        scopes: What it is good for; at least one.
        now: The present.
        note: What it is for.
        expires_at: When it ends; None: never.
        per_minute: Files a minute at most; None: what the settings say.
        per_day: Files a day of UTC at most; None: likewise.

    Returns:
        The token and its secret.

    Raises:
        ValueError: No account or no scope.
    """
    if not account or not scopes:
        raise ValueError("a token needs an account and at least one scope")
    secret = PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)
    row = ApiTokenRow(
        secret_sha256=_hash(secret),
        account=account,
        scopes=sorted(scopes),
        note=note,
        created_at=now,
        expires_at=expires_at,
        per_minute=per_minute,
        per_day=per_day,
    )
    tx.add(row)
    tx.flush()
    return IssuedToken(_token(row), secret)


def looks_like_one(secret: str) -> bool:
    """Whether this may be a secret of ours: what is not need not be looked up."""
    return _SECRET.fullmatch(secret) is not None


def find(tx: Session, secret: str) -> ApiToken | None:
    """The token with this secret.

    Args:
        tx: Any session of the database.
        secret: As it was sent; anything at all.

    Returns:
        The token, which may be expired or revoked (`ApiToken.is_valid`); None where there is none.
    """
    wanted = _hash(secret)
    row = tx.scalars(select(ApiTokenRow).where(ApiTokenRow.secret_sha256 == wanted)).one_or_none()
    # The index compares hashes, of which a guesser cannot choose the beginning, so its timing tells nothing
    # of a secret; the comparison that decides takes the same time for all.
    if row is None or not hmac.compare_digest(row.secret_sha256, wanted):
        return None
    return _token(row)


def by_id(tx: Session, token_id: int) -> ApiToken | None:
    """The token with this row id, which may be expired or revoked; None where there is none."""
    row = tx.get(ApiTokenRow, token_id)
    return None if row is None else _token(row)


def listed(tx: Session) -> list[ApiToken]:
    """All tokens, the revoked and expired ones too, the oldest first."""
    return [_token(row) for row in tx.scalars(select(ApiTokenRow).order_by(ApiTokenRow.id))]


def revoke(tx: Session, token_id: int, now: datetime) -> bool:
    """End a token for good.

    Args:
        tx: A session of `Database.transaction()`.
        token_id: Row id.
        now: The present.

    Returns:
        Whether there is such a token; revoking one twice changes nothing.
    """
    row = tx.get(ApiTokenRow, token_id, with_for_update=True)
    if row is None:
        return False
    row.revoked_at = row.revoked_at or now
    return True


def note_use(tx: Session, token_id: int, now: datetime) -> bool:
    """Note that a token was used, once a minute at most.

    Args:
        tx: A session of `Database.transaction()`.
        token_id: Row id.
        now: The present.

    Returns:
        Whether it was written; False where another worker has done so within the minute.
    """
    is_old = or_(ApiTokenRow.last_used_at.is_(None), ApiTokenRow.last_used_at <= now - USE_NOTED_EVERY)
    result = tx.execute(
        update(ApiTokenRow)
        .where(ApiTokenRow.id == token_id, is_old)
        .values(last_used_at=now)
        .execution_options(synchronize_session=False)
    )
    assert isinstance(result, CursorResult)
    return result.rowcount == 1


def begin_day(tx: Session, token_id: int, day: date) -> None:
    """Count a token's use on a day from 0 on, unless it is being counted; forget days long gone.

    Belongs in a transaction of its own: on MariaDB, whoever finds the row there already shares a lock on it,
    and two who then want it alone would wait for each other.

    Args:
        tx: A session of `Database.transaction()`.
        token_id: Row id.
        day: A day of UTC.
    """
    if insert_new(tx, ApiUsageRow, [{"token_id": token_id, "day": day, "used": 0}]):
        tx.execute(
            delete(ApiUsageRow)
            .where(ApiUsageRow.token_id == token_id, ApiUsageRow.day < day - USAGE_KEPT)
            .execution_options(synchronize_session=False)
        )


def take(tx: Session, token_id: int, day: date, *, least: int, most: int, per_day: int | None) -> int:
    """Take files out of a day's quota, which all workers share.

    Args:
        tx: A session of `Database.transaction()`.
        token_id: Row id.
        day: A day of UTC, which was begun.
        least: So many are needed.
        most: So many are taken where there are enough, to ask less often; `give_back` returns the rest.
        per_day: The quota; None: there is none, and the use is only counted.

    Returns:
        How many were taken: between `least` and `most`, or 0 where `least` are not left.
    """
    used = _used(tx, token_id, day)
    left = most if per_day is None else per_day - used
    if left < least:
        return 0
    taken = min(most, left)
    _set_used(tx, token_id, day, used + taken)
    return taken


def give_back(tx: Session, token_id: int, day: date, count: int) -> None:
    """Return what was taken and not used.

    Args:
        tx: A session of `Database.transaction()`.
        token_id: Row id.
        day: The day it was taken from.
        count: Files.
    """
    _set_used(tx, token_id, day, max(0, _used(tx, token_id, day) - count))


def usage(tx: Session, day: date) -> Mapping[int, int]:
    """Files taken on a day of UTC, by token; those that used nothing are left out."""
    rows = tx.execute(select(ApiUsageRow.token_id, ApiUsageRow.used).where(ApiUsageRow.day == day))
    return {token_id: used for token_id, used in rows if used}


def _used(tx: Session, token_id: int, day: date) -> int:
    """The day's count, locked until the transaction ends, so that two workers cannot both read it."""
    used = tx.scalar(
        select(ApiUsageRow.used)
        .where(ApiUsageRow.token_id == token_id, ApiUsageRow.day == day)
        .with_for_update()
    )
    if used is None:
        raise ValueError(f"nothing is counted of token {token_id} on {day} yet: see begin_day")
    return used


def _set_used(tx: Session, token_id: int, day: date, used: int) -> None:
    tx.execute(
        update(ApiUsageRow)
        .where(ApiUsageRow.token_id == token_id, ApiUsageRow.day == day)
        .values(used=used)
        .execution_options(synchronize_session=False)
    )


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _token(row: ApiTokenRow) -> ApiToken:
    return ApiToken(
        id=row.id,
        account=row.account,
        scopes=frozenset(Scope(scope) for scope in row.scopes),
        note=row.note,
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
        per_minute=row.per_minute,
        per_day=row.per_day,
    )


__all__ = [
    "PREFIX",
    "ApiToken",
    "IssuedToken",
    "Scope",
    "add",
    "begin_day",
    "by_id",
    "find",
    "give_back",
    "listed",
    "looks_like_one",
    "note_use",
    "revoke",
    "take",
    "usage",
]

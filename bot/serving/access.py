"""Whom the prediction API and the console let in: bearer tokens of the store, and quotas.

The quota of a day is counted in the store, so that workers and restarts share it; that of a minute by each
worker for itself, because it is there to keep a burst off the model, and a write for every request would
cost more than the burst. While the store is away nobody is let in who was not seen a moment ago.
"""

import hashlib
import ipaddress
import logging
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Final

from bot.errors import ConfigError
from bot.serving.quota import HeldShare, MinuteWindow, most_to_take
from bot.serving.settings import AccessSettings
from classifier.service.access import AccessDenied, Caller
from storage import api_tokens
from storage.api_tokens import ApiToken
from storage.engine import Database
from storage.errors import StoreError

logger = logging.getLogger(__name__)

REMEMBERED_S: Final = 5.0
"""A token that was found is believed for so long: that is how late a revocation takes effect."""
MAX_REMEMBERED: Final = 1024

_STORE_AWAY_S: Final = 5.0
_NOTE_USE_S: Final = api_tokens.USE_NOTED_EVERY.total_seconds()


class _Meter:
    """What one token uses in this process; its lock is held while the store is asked for more."""

    def __init__(self, per_minute: int | None) -> None:
        self.lock = threading.Lock()
        self.window = MinuteWindow(per_minute)
        self.held = HeldShare()
        self.noted_at_s = -math.inf


class TokenAccess:
    """Implements `classifier.service.access.Access` with the tokens of the store; threads share it.

    Args:
        database: Where the tokens are; migrated.
        settings: What those without a token may do, and which quotas tokens have that name none.
        now: The present, which decides on ends and days.
        monotonic: A clock in seconds, which decides on minutes.
    """

    def __init__(
        self,
        database: Database,
        settings: AccessSettings,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._settings = settings
        self._now = now
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._remembered: OrderedDict[bytes, tuple[ApiToken, float]] = OrderedDict()
        self._meters: dict[int, _Meter] = {}
        self._anonymous = _Meter(settings.anonymous_per_minute)

    def admit_at_once(self, token: str | None, *, scope: str, cost: int) -> Caller | None:
        """Let a request in without asking the store; see `Access.admit_at_once`.

        Args:
            token: What stood behind `Authorization: Bearer`.
            scope: What it wants to do.
            cost: Files it wants scored.

        Returns:
            Who it is; None where the store has to be asked, or another thread is asking it.

        Raises:
            AccessDenied: It may not.
        """
        if token is None:
            return self._admit_anonymous(scope, cost)
        known = self._remembered_lately(_key(token))
        if known is None:
            return None
        meter = self._meter_of(known, scope)
        if not meter.lock.acquire(blocking=False):
            return None
        try:
            return _caller(known) if self._count_held(meter, cost) else None
        finally:
            meter.lock.release()

    def admit(self, token: str | None, *, scope: str, cost: int) -> Caller:
        """Let a request in, and count it; see `Access.admit`.

        Args:
            token: What stood behind `Authorization: Bearer`.
            scope: What it wants to do.
            cost: Files it wants scored.

        Returns:
            Who it is.

        Raises:
            AccessDenied: It may not; with 503 where the store cannot tell.
        """
        if token is None:
            return self._admit_anonymous(scope, cost)
        with _store_needed():
            known = self._find(token)
            meter = self._meter_of(known, scope)
            with meter.lock:
                if not self._count_held(meter, cost):
                    self._count(known, meter, cost)
        return _caller(known)

    def close(self) -> None:
        """Give back what was taken out of the day's quotas and not used."""
        with self._lock:
            meters = dict(self._meters)
        try:
            with self._database.transaction() as tx:
                for token_id, meter in meters.items():
                    with meter.lock:
                        if meter.held.day is not None and meter.held.left:
                            api_tokens.give_back(tx, token_id, meter.held.day, meter.held.left)
                        meter.held = HeldShare()
        except StoreError as error:
            logger.warning("quota_not_given_back", extra={"reason": str(error)})

    def _admit_anonymous(self, scope: str, cost: int) -> Caller:
        if not self._settings.anonymous:
            raise AccessDenied(401, "unauthorized", "A token is needed: Authorization: Bearer TOKEN.")
        if scope != api_tokens.Scope.CLASSIFY:
            raise AccessDenied(401, "unauthorized", f"A token with the scope {scope!r} is needed.")
        meter = self._anonymous
        with meter.lock:
            now_s = self._monotonic()
            _refuse_burst(meter.window, cost, now_s)
            meter.window.add(cost, now_s)
        return Caller("anonymous", frozenset({api_tokens.Scope.CLASSIFY.value}))

    def _find(self, secret: str) -> ApiToken:
        """Look a token up, not more often than every few seconds; unknown ones are not remembered."""
        if not api_tokens.looks_like_one(secret):
            raise _unknown()
        key, now_s = _key(secret), self._monotonic()
        if (remembered := self._remembered_lately(key)) is not None:
            return remembered
        with self._database.read() as tx:
            found = api_tokens.find(tx, secret)
        with self._lock:
            self._remembered.pop(key, None)
            if found is not None:
                self._remembered[key] = (found, now_s)
            while len(self._remembered) > MAX_REMEMBERED:
                self._remembered.popitem(last=False)
        if found is None:
            raise _unknown()
        return found

    def _remembered_lately(self, key: bytes) -> ApiToken | None:
        with self._lock:
            remembered = self._remembered.get(key)
        if remembered is None or self._monotonic() - remembered[1] >= REMEMBERED_S:
            return None
        return remembered[0]

    def _meter_of(self, known: ApiToken, scope: str) -> _Meter:
        """What a token uses, if it is good for that."""
        if not known.is_valid(self._now()):
            raise _unknown()
        if scope not in known.scopes:
            raise AccessDenied(403, "forbidden", f"The token lacks the scope {scope!r}.")
        with self._lock:
            return self._meters.setdefault(known.id, _Meter(self._per_minute(known)))

    def _count_held(self, meter: _Meter, cost: int) -> bool:
        """Count against what this process holds; False, and nothing counted, where that is not enough."""
        now_s = self._monotonic()
        _refuse_burst(meter.window, cost, now_s)
        if now_s - meter.noted_at_s >= _NOTE_USE_S:
            return False
        if cost and not meter.held.use(cost, self._now().date()):
            return False
        meter.window.add(cost, now_s)
        return True

    def _count(self, token: ApiToken, meter: _Meter, cost: int) -> None:
        """Take the cost out of both quotas, or out of none."""
        now, now_s = self._now(), self._monotonic()
        if cost and not meter.held.use(cost, now.date()):
            self._take(token, meter, cost, now)
        meter.window.add(cost, now_s)
        if now_s - meter.noted_at_s >= _NOTE_USE_S:
            with self._database.transaction() as tx:
                api_tokens.note_use(tx, token.id, now)
            meter.noted_at_s = now_s

    def _take(self, token: ApiToken, meter: _Meter, cost: int, now: datetime) -> None:
        per_day, today, held = self._per_day(token), now.date(), meter.held
        left = held.left if held.day == today else 0
        if held.day != today:
            with self._database.transaction() as tx:
                api_tokens.begin_day(tx, token.id, today)
        with self._database.transaction() as tx:
            if held.day is not None and held.day != today and held.left:
                api_tokens.give_back(tx, token.id, held.day, held.left)
            needed = cost - left
            most = most_to_take(needed, per_day)
            taken = api_tokens.take(tx, token.id, today, least=needed, most=most, per_day=per_day)
        held.day, held.left = today, left + taken
        if not held.use(cost, today):
            midnight = datetime.combine(today + timedelta(days=1), datetime.min.time(), UTC)
            never = per_day is not None and cost > per_day
            raise AccessDenied(
                429,
                "quota_exceeded",
                f"The token's quota is {per_day} files a day of UTC, and {cost} more are too many.",
                None if never else (midnight - now).total_seconds(),
            )

    def _per_minute(self, token: ApiToken) -> int | None:
        return token.per_minute or self._settings.per_minute or None

    def _per_day(self, token: ApiToken) -> int | None:
        return token.per_day or self._settings.per_day or None


def _key(secret: str) -> bytes:
    # The hash: that comparing keys takes longer the more is equal tells nothing of a secret then.
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def _caller(known: ApiToken) -> Caller:
    return Caller(known.account, known.scopes)


def _unknown() -> AccessDenied:
    return AccessDenied(401, "unauthorized", "The token is not known, expired or revoked.")


def check_doors(settings: AccessSettings, host: str) -> None:
    """Refuse to serve everybody on a network by mistake.

    Args:
        settings: Who is let in.
        host: What the service is about to be bound to.

    Raises:
        ConfigError: Others than this machine could ask without a token, and nobody said that they may.
    """
    if settings.anonymous and not settings.anonymous_beyond_loopback and not _is_loopback(host):
        raise ConfigError(
            f"access.anonymous lets everybody in who reaches {host}. Serve on 127.0.0.1 only, or set "
            "access.anonymous = false and give out tokens, or allow it with "
            "access.anonymous_beyond_loopback = true"
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _refuse_burst(window: MinuteWindow, cost: int, now_s: float) -> None:
    wait_s = window.wait_s(cost, now_s)
    if wait_s > 0:
        detail = f"The quota is {window.limit} files a minute, and {cost} more are too many."
        raise AccessDenied(429, "quota_exceeded", detail, wait_s if math.isfinite(wait_s) else None)


@contextmanager
def _store_needed() -> Iterator[None]:
    try:
        yield
    except StoreError as error:
        logger.error("access_store_away", extra={"reason": str(error)})
        detail = "Tokens cannot be checked at the moment."
        raise AccessDenied(503, "access_unavailable", detail, _STORE_AWAY_S) from error


__all__ = ["MAX_REMEMBERED", "REMEMBERED_S", "TokenAccess", "check_doors"]

"""How long to wait before a connection is tried again. Pure but for its random numbers.

Waits double from attempt to attempt and are spread, so that many clients do not return together; what the
server asks for (Retry-After, the stream's `retry:` field) is a lower bound and never undercut.
"""

import random
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from bot.backoff import jittered

MAX_RETRY_AFTER_S = 3600.0
"""A mistyped Retry-After of weeks must not silence the bot; after an hour one more try hurts nobody."""


class Backoff:
    """The waits between attempts.

    Args:
        initial_s: About the first wait.
        max_s: Upper bound of the waits that we choose.
        rng: Source of the jitter.
    """

    def __init__(self, initial_s: float, max_s: float, rng: random.Random | None = None) -> None:
        self._initial_s = initial_s
        self._max_s = max_s
        self._rng = rng or random.Random()
        self._failures = 0
        self._retry_s = 0.0

    def reset(self) -> None:
        """The connection works: the next wait is short again."""
        self._failures = 0

    def obey_retry_field(self, retry_ms: int) -> None:
        """Take the stream's `retry:` field as lower bound from now on.

        Args:
            retry_ms: Its value; more than `max_s` counts as `max_s`.
        """
        self._retry_s = min(retry_ms / 1000, self._max_s)

    def next_delay_s(self, *, retry_after_s: float | None = None, hopeless: bool = False) -> float:
        """Count a failure and say how long to wait.

        Args:
            retry_after_s: What the Retry-After header asked for.
            hopeless: Nothing will change soon (404, 403, a page instead of a stream): wait the longest.

        Returns:
            Seconds: half to all of the doubled wait, and at least what the server asked for.
        """
        self._failures += 1
        initial_s = self._max_s if hopeless else self._initial_s
        delay_s = jittered(self._failures, initial_s, self._max_s, self._rng)
        asked_s = max(self._retry_s, min(retry_after_s or 0.0, MAX_RETRY_AFTER_S))
        return delay_s if delay_s >= asked_s else asked_s * self._rng.uniform(1.0, 1.1)


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Read a Retry-After header.

    Args:
        value: The header: whole seconds or an HTTP date; None where it is missing.
        now: The present, aware.

    Returns:
        Seconds from now, never negative; None where there is nothing readable.
    """
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value[:12])
    try:
        when = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max((when - now).total_seconds(), 0.0)


__all__ = ["MAX_RETRY_AFTER_S", "Backoff", "parse_retry_after"]

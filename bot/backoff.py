"""How long to wait before asking again: what the server says, else a jittered exponential.

Pure: the clock and the random source are arguments, so every wait can be reproduced in a test.
"""

import random
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_DELAY_SECONDS = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,9})?")


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Read a Retry-After header, both forms of RFC 9110 section 10.2.3.

    Args:
        value: The header's value, or None where it is missing. Fractions of a second, which the RFC does
            not know but servers send, are read too.
        now: Present time, timezone-aware.

    Returns:
        Seconds from now, never negative; None where there is no readable value.
    """
    if value is None:
        return None
    text = value.strip()
    if _DELAY_SECONDS.fullmatch(text):
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())


def jittered(attempt: int, initial_s: float, max_s: float, rng: random.Random) -> float:
    """The wait before try number `attempt + 1`: exponential, capped, with the upper half at random.

    Half of the wait is fixed so that a crowd of clients backs off for certain; the other half is random
    so that they do not come back at once.

    Args:
        attempt: Failed tries in a row, from 1.
        initial_s: Wait after the first failure in seconds, before the jitter.
        max_s: Upper bound of any wait in seconds.
        rng: Source of the jitter.

    Returns:
        Seconds, in `[base / 2, base]` with `base = min(max_s, initial_s * 2 ** (attempt - 1))`.
    """
    exponent = min(max(attempt - 1, 0), 64)
    base: float = min(max_s, initial_s * 2.0**exponent)
    return base / 2 + rng.random() * base / 2


__all__ = ["jittered", "parse_retry_after"]

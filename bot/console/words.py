"""Pure: numbers, times and codes as the pages word them."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from bot.metric_tables import share
from storage.review_values import ReviewState, VerdictCode
from storage.values import ReviewReason

VERDICTS: Final[Mapping[VerdictCode, str]] = {
    VerdictCode.NSFW_DELETE: "Explicit, consider deletion",
    VerdictCode.NSFW_KEEP: "Explicit, in scope",
    VerdictCode.SFW: "Not explicit",
    VerdictCode.UNSURE: "Unsure",
}
"""As on the report pages, in the order of their keys."""
REASONS: Final[Mapping[ReviewReason, str]] = {
    ReviewReason.FLAGGED: "score above the threshold",
    ReviewReason.AUDIT: "random sample",
    ReviewReason.UNCERTAIN: "score near the threshold",
    ReviewReason.NEAR_DUPLICATE: "similar to a reviewed file",
}
STATES: Final[Mapping[ReviewState, str]] = {
    ReviewState.OPEN: "open",
    ReviewState.DISPUTED: "disputed",
    ReviewState.CLOSED: "decided",
}


def moment(at: datetime) -> str:
    """A time to the second, in UTC."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def minute(at: datetime) -> str:
    """A time to the minute, in UTC."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M}"


def duration(length: timedelta | float) -> str:
    """How long something takes or has taken.

    Args:
        length: A time or seconds, not negative.

    Returns:
        Such as `4 seconds`, `12 minutes`, `3 hours`, `5 days`.
    """
    seconds = length.total_seconds() if isinstance(length, timedelta) else length
    for size, unit in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= 2 * size or (unit == "minute" and seconds >= 90):
            count = round(seconds / size)
            return f"{count} {unit}s"
    count = max(0, round(seconds))
    return f"{count} second" + ("" if count == 1 else "s")


def ago(at: datetime, now: datetime) -> str:
    """How long ago something was; what lies ahead because clocks differ is `just now`."""
    seconds = (now - at).total_seconds()
    return "just now" if seconds < 1 else f"{duration(seconds)} ago"


def until(at: datetime, now: datetime) -> str:
    """When something will be."""
    seconds = (at - now).total_seconds()
    return "now" if seconds < 1 else f"in {duration(seconds)}"


def number(value: int) -> str:
    """A count with its thousands told apart by thin spaces."""
    return f"{value:,}".replace(",", "\u202f")


def percent(value: float | None) -> str:
    """A share; empty where it is not known."""
    if value is None:
        return ""
    return f"{value * 100:.2f} %" if value < 0.1 else f"{value * 100:.1f} %"


def bytes_of(size: int) -> str:
    """A file's size."""
    return (
        f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.0f} kB" if size >= 1e3 else f"{size} bytes"
    )


__all__ = [
    "REASONS",
    "STATES",
    "VERDICTS",
    "ago",
    "bytes_of",
    "duration",
    "minute",
    "moment",
    "number",
    "percent",
    "share",
    "until",
]

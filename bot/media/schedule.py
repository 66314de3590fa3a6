"""When a rendition that is not there yet is tried again, and when that ends.

Wikimedia renders a thumbnail on its first request and transcodes a video within hours, so "not there" is
mostly "not there yet".  With the schedule (60, 300, 1800, 21600, 86400) an upload is tried at once, then
after each of these five waits; a sixth failure leads to one last try with the fallback (the original file,
if it may be fetched), and when that fails too the upload ends in the code of its last error:

    failed tries   1        2        3        4        5        6          7
    next           Wait 60  Wait 300 …                 Wait 86400 Fallback  End

Pure: the store holds the number of failed tries, the pipeline turns the answer into a stored time.
The locator asks `is_fallback` to know which of the tries this one is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

MISSING_TRIES = 2
"""A page or version that is missing is a lagging replica's doing: seconds, not a day.  After this many
failed tries it counts as deleted."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Try the same again.

    Attributes:
        after_s: Seconds from now.
    """

    after_s: float


@dataclass(frozen=True, slots=True)
class Fallback:
    """Try again at once; the locator will offer the fallback."""


@dataclass(frozen=True, slots=True)
class End:
    """No try is left: record the code of the last error."""


def next_step(
    attempts: int, schedule: Sequence[float], asked_s: float | None = None
) -> Wait | Fallback | End:
    """Say what follows a transient failure.

    Args:
        attempts: Failed tries of this upload so far, the one that just failed included (so from 1).
        schedule: Waits in seconds, `settings.media.retry_after_s`.
        asked_s: What the server asked for (`RetryLater.after_s`) in seconds. It can only lengthen a wait, up
            to the schedule's longest: a server that says "0" must not use up all tries within a second, one
            that says "a year" must not keep an upload open for ever.

    Returns:
        `Wait`, once `Fallback`, then `End`.
    """
    if attempts <= len(schedule):
        wait_s = schedule[max(attempts, 1) - 1]
        return Wait(max(wait_s, min(asked_s or 0.0, max(schedule))))
    if attempts == len(schedule) + 1:
        return Fallback()
    return End()


def is_fallback(attempts: int, schedule: Sequence[float]) -> bool:
    """Whether the try that now begins is the one with the fallback.

    Args:
        attempts: Failed tries before this one (`ClaimedUpload.attempts`).
        schedule: As for `next_step`.
    """
    return attempts == len(schedule) + 1


def is_exhausted(attempts: int, schedule: Sequence[float]) -> bool:
    """Whether the fallback was tried as well.

    Args:
        attempts: Failed tries before this one (`ClaimedUpload.attempts`).
        schedule: As for `next_step`.
    """
    return attempts > len(schedule) + 1


__all__ = ["MISSING_TRIES", "End", "Fallback", "Wait", "is_exhausted", "is_fallback", "next_step"]

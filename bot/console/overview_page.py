"""The first page: whether the daemon runs, how far behind it is, what waits and what went wrong."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from starlette.requests import Request
from starlette.responses import Response

from bot.console.visits import Visit
from bot.console.words import duration
from storage.console_overview import WINDOWS, HourCount, Overview, hourly, overview

Mood = Literal["good", "watch", "bad"]


@dataclass(frozen=True, slots=True)
class Light:
    """One line that says whether something is as it should be.

    Attributes:
        name: What it is about.
        text: How it stands.
        mood: How to show it; the text says the same.
        detail: More about it.
    """

    name: str
    text: str
    mood: Mood
    detail: str


def show(_request: Request, visit: Visit) -> Response:
    """Make the page."""
    console = visit.console
    now = console.clock()
    with console.database.read() as tx:
        found = overview(tx, now)
    silent_after_s = console.settings.monitoring.unhealthy_after_s
    values = {
        "found": found,
        "lights": [daemon_light(found), stream_light(found, silent_after_s), queue_light(found)],
        "hours": hours(visit),
        "names": dict(zip(WINDOWS, ("5 minutes", "hour", "day"), strict=True)),
    }
    return visit.page("overview", "Overview", values)


def hours(visit: Visit) -> list[HourCount]:
    """The last day by hours, counted twice a minute at most."""
    console = visit.console

    def count() -> list[HourCount]:
        with console.database.read() as tx:
            return hourly(tx, console.clock())

    return console.hours.get("hours", count)


def daemon_light(found: Overview) -> Light:
    """Whether a daemon works on the database, by its last sign of life.

    Args:
        found: The state of things.

    Returns:
        The line.
    """
    lease = found.daemon
    if lease is None:
        return Light("Daemon", "not running", "bad", "the last one ended in order; nothing is scored")
    where = f"{lease.owner.host}, process {lease.owner.pid}"
    silent = found.now - lease.heartbeat_at
    if found.now >= lease.expires_at:
        return Light("Daemon", f"silent for {duration(silent)}", "bad", f"{where}; nothing is scored")
    runs = duration(found.now - lease.acquired_at)
    return Light("Daemon", "running", "good", f"{where}, for {runs}; last sign {duration(silent)} ago")


def stream_light(found: Overview, silent_after_s: float) -> Light:
    """How far behind the event stream is.

    Args:
        found: The state of things.
        silent_after_s: From which silence on it counts as broken.

    Returns:
        The line.
    """
    position = found.position
    if position is None:
        return Light("Event stream", "never connected", "bad", "no event was read yet")
    lag = max(timedelta(), found.now - position.event_time)
    mood: Mood = "good" if lag.total_seconds() < silent_after_s else "bad"
    saved = duration(max(timedelta(), found.now - position.saved_at))
    return Light("Event stream", f"{duration(lag)} behind", mood, f"position saved {saved} ago")


def queue_light(found: Overview) -> Light:
    """How much is unfinished, and for how long.

    Args:
        found: The state of things.

    Returns:
        The line.
    """
    waiting = sum(part.count for part in found.queue)
    if not waiting:
        return Light("Queue", "empty", "good", "every upload has its outcome")
    fresh = [part.oldest_at for part in found.queue if part.fresh and part.oldest_at is not None]
    oldest = found.now - min(fresh) if fresh else timedelta()
    mood: Mood = "watch" if oldest > timedelta(minutes=30) else "good"
    detail = f"the oldest fresh one was uploaded {duration(oldest)} ago" if fresh else "retries only"
    return Light("Queue", f"{waiting} unfinished", mood, detail)


__all__ = ["Light", "daemon_light", "hours", "queue_light", "show", "stream_light"]

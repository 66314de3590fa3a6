"""Replays what an upload drew from the secret key: who has it can show that nothing was picked by hand."""

from dataclasses import dataclass

from rich.markup import escape
from rich.table import Table

from bot.proposals import start_of
from bot.sampling import fingerprint
from storage.draw_audit import DrawRecord
from storage.sampling import opened

TOLERANCE = 1e-6
"""A day's draws follow from each other, so their rounding adds up."""


@dataclass(frozen=True, slots=True)
class Replay:
    """What the key says about an upload's draws.

    Attributes:
        record: What is stored.
        own_key: Whether the day was planned under this key.
        first: The first draw by the key.
        second: The second one; None where none is stored.
    """

    record: DrawRecord
    own_key: bool
    first: float
    second: float | None

    @property
    def holds(self) -> bool:
        """Whether both draws and the choice are what they have to be."""
        stored = self.record
        chosen = stored.draw < stored.probability
        follows = _same(self.first, stored.draw)
        if stored.second is not None and self.second is not None:
            chosen = chosen or stored.second.draw < stored.second.probability
            follows = follows and _same(self.second, stored.second.draw)
        return follows and chosen == stored.chosen


def replay(record: DrawRecord, key: bytes) -> Replay:
    """Draw again.

    Args:
        record: What is stored.
        key: The secret that draws follow from.

    Returns:
        What the key says.
    """
    day = record.day.date().isoformat()
    first = (opened(key, day, record.lane).turn - record.before) % 1.0
    second = None if record.second is None else (start_of(key, day) - record.second.before) % 1.0
    return Replay(record, record.key_fingerprint in (None, fingerprint(key)), first, second)


def table(found: Replay) -> Table:
    """Lay out for a terminal what an upload drew.

    Args:
        found: The replay.

    Returns:
        A table of two columns.
    """
    stored = found.record
    shown = Table(box=None, show_header=False)
    shown.add_column(style="bold")
    shown.add_column()
    shown.add_row("file", escape(stored.title))
    shown.add_row("drawn", f"{stored.drawn_at:%Y-%m-%d %H:%M:%S} UTC, plan {stored.plan_id}")
    shown.add_row("stratum", stored.stratum)
    shown.add_row("first draw", _draw(stored.probability, stored.draw, found.first))
    if stored.second is not None and found.second is not None:
        shown.add_row("second draw", _draw(stored.second.probability, stored.second.draw, found.second))
    else:
        shown.add_row("second draw", "none")
    chance = stored.inclusion_probability
    asked = "nobody was asked about it" if chance is None else f"put up for review, weighted 1 / {chance:.6g}"
    shown.add_row("outcome", ("chosen" if stored.chosen else "not chosen") + f"; {asked}")
    key = f"{stored.key_fingerprint or 'unknown'}" + ("" if found.own_key else ": NOT the one in key_file")
    shown.add_row("key", key)
    verdict = "[green]follows from the key[/]" if found.holds else "[bold red]does NOT follow from the key[/]"
    shown.add_row("replay", verdict)
    return shown


def _draw(probability: float, stored: float, replayed: float) -> str:
    word = "below" if stored < probability else "not below"
    again = "the same" if _same(stored, replayed) else f"{replayed:.9f}"
    return f"{stored:.9f} is {word} the probability {probability:.6g}; replayed: {again}"


def _same(first: float, second: float) -> bool:
    apart = abs(first - second)
    return min(apart, 1 - apart) < TOLERANCE


__all__ = ["Replay", "replay", "table"]

"""What somebody who waits for `classify` sees: how far one long file is, or how many of several are done."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from bot.review.wikitext import printable
from bot.timeline_values import clock
from classifier.values import DecodeSummary, Frame

_NAME_LENGTH = 40


class Watcher:
    """Is told what happens and draws it; threads share it.

    Args:
        bars: Where to draw.
        total: How many files there are.
    """

    def __init__(self, bars: Progress, total: int) -> None:
        self._bars = bars
        self._alone, self._total, self._done = total == 1, total, 0
        self._task = bars.add_task("scoring", total=None if self._alone else total, where="")
        self._lock = threading.Lock()
        self._frames = 0
        self._at_s = 0.0
        self._duration_s: float | None = None

    def step(self, what: str, name: str) -> None:
        """Say what is being done with a file.

        Args:
            what: Such as `downloading`.
            name: The file as given.
        """
        if self._alone:
            shown = printable(name)
            short = shown if len(shown) <= _NAME_LENGTH else f"{shown[: _NAME_LENGTH - 1]}…"
            self._bars.update(self._task, description=f"{what} {escape(short)}")

    def frame(self, frame: Frame, _score: float) -> None:
        """Move on to a frame.

        Args:
            frame: The frame that was just scored.
        """
        with self._lock:
            self._frames += 1
            self._at_s = max(self._at_s, frame.at_s or 0.0)
            self._draw()

    def decoded(self, summary: DecodeSummary) -> None:
        """Take note of the length.

        Args:
            summary: How decoding stands.
        """
        with self._lock:
            self._duration_s = summary.duration_s

    def done(self) -> None:
        """Count a file as finished."""
        with self._lock:
            self._done += 1
            if not self._alone:
                where = f"{self._done} of {self._total} files"
                self._bars.update(self._task, completed=self._done, where=where)

    def _draw(self) -> None:
        if not self._alone or self._at_s <= 0:
            return
        frames = "frame" if self._frames == 1 else "frames"
        of = "" if self._duration_s is None else f" of {clock(self._duration_s)}"
        self._bars.update(
            self._task,
            completed=self._at_s,
            total=self._duration_s,
            where=f"{clock(self._at_s)}{of}, {self._frames} {frames}",
        )


@contextmanager
def watched(console: Console | None, total: int) -> Iterator[Watcher]:
    """Draw progress while files are scored; nothing without a terminal.

    Args:
        console: Where to draw; None draws nothing.
        total: How many files there are.

    Yields:
        What to tell.
    """
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[where]}"),
        TimeElapsedColumn(),
    )
    disabled = console is None or not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=disabled) as bars:
        yield Watcher(bars, total)


__all__ = ["Watcher", "watched"]

"""One line at the bottom of a terminal that says what the daemon is doing; nothing without a terminal."""

from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from storage.values import StoreStatus


class StatusLine:
    """Shows the last status it was given.

    Args:
        console: Where to draw; without a terminal nothing is drawn.
    """

    def __init__(self, console: Console) -> None:
        self._live = Live(
            Text("starting…", style="dim"), console=console, refresh_per_second=4, transient=True
        )
        self._enabled = console.is_terminal

    def __enter__(self) -> Self:
        if self._enabled:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._enabled:
            self._live.stop()

    def show(self, status: StoreStatus) -> None:
        """Draw a new line.

        Args:
            status: What to show.
        """
        if self._enabled:
            self._live.update(Text(f" {describe(status)} ", style="reverse"))


def describe(status: StoreStatus) -> str:
    """A status in one line.

    Args:
        status: What to show.

    Returns:
        The line, without colours.
    """
    if status.position is None:
        heard = "no event yet"
    else:
        age_s = max(0.0, (datetime.now(UTC) - status.position.event_time).total_seconds())
        heard = f"stream {age_s:.0f} s behind"
    skipped = sum(status.skipped.values())
    return (
        f"{heard} · {status.pending + status.claimed} waiting · {status.scored} scored · "
        f"{status.flagged} flagged · {skipped} skipped"
    )

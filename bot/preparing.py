"""What an operator sees while a model is exported and tried for the first time, which takes a minute."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from classifier.engines.values import OnStep

logger = logging.getLogger(__name__)


def logged() -> OnStep:
    """Log each kind of step once, for a daemon that nobody watches.

    Returns:
        What to call at each step.
    """
    told: set[str] = set()

    def tell(what: str, _done: int, _total: int) -> None:
        if what not in told:
            told.add(what)
            logger.info("model_preparing", extra={"step": what})

    return tell


@contextmanager
def shown(console: Console, title: str) -> Iterator[OnStep]:
    """Draw a progress bar while something is being prepared; nothing without a terminal.

    Args:
        console: Where to draw.
        title: What stands there before the first step.

    Yields:
        What to call at each step.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task(title, total=None)

        def tell(what: str, done: int, total: int) -> None:
            bars.update(task, description=f"{title}: {what}", completed=done, total=total)

        yield tell


__all__ = ["logged", "shown"]

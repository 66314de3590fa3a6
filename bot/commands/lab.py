"""`lab`: compare architectures and options on a drawn task, and write a page about it."""

from pathlib import Path
from typing import Annotated

import typer

from bot import interrupts
from bot.commands.edges import ConfigOption, configured, err, explained, fail, out
from bot.commands.extras import needing


def lab(
    plan: Annotated[Path, typer.Option(help="What is compared.")] = Path("config/lab/full.toml"),
    output: Annotated[Path, typer.Option("--out", help="Folder for the page.")] = Path("docs/lab"),
    work: Annotated[Path, typer.Option(help="Folder for task, runs and evaluations.")] = Path("var/lab"),
    config: ConfigOption = None,
) -> None:
    """Compare architectures and options over several seeds on a drawn, harmless task.

    An interrupted laboratory goes on where it was when it is called again.
    """
    with explained(), needing("train"):
        from bot.lab import making
        from bot.lab import plan as plans
        from bot.preparing import shown

        wanted, settings = plans.read(plan), configured(config)
        try:
            with interrupts.raised(), shown(err, "lab") as tell:
                page = making.make(wanted, making.Place(work, output), settings, tell)
        except interrupts.Interrupted as interrupted:
            fail(interrupted.exit_code, "interrupted. Call it again to go on")
        out.print(f"{page}", soft_wrap=True, highlight=False, markup=False)


__all__ = ["lab"]

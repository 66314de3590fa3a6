"""`search`: try a training configuration with other settings; the same command goes on after a break."""

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from bot import interrupts
from bot.commands.edges import EXIT_FAILED, err, explained, fail, out
from bot.commands.extras import needing
from bot.commands.training import ClassesOption, DataOption, SetOption, with_options

if TYPE_CHECKING:
    from classifier.training.search.outcome import Outcome
    from classifier.training.search.processes import OnCount
    from classifier.training.search.space import SearchConfig
    from classifier.training.search.trials import OnTrial
    from classifier.training.watching import Standing

_SHOWN = 10


def search(
    config: Annotated[Path, typer.Option("--config", "-c", help="What to search: config/search/*.toml.")],
    output: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Where study, runs and report go.")],
    data: DataOption = None,
    classes: ClassesOption = None,
    trials: Annotated[
        int | None, typer.Option(min=1, help="How many in all; more than before goes on.")
    ] = None,
    processes: Annotated[int, typer.Option(min=1, max=256, help="How many trials at once.")] = 1,
    settings: SetOption = None,
) -> None:
    """Search for good settings; whatever is interrupted or killed goes on with the same command.

    Writes a report (HTML, Markdown, JSON) and the best trial's configuration. The exit code is 1 where no
    trial is complete.
    """
    with explained(), needing("train"):
        from classifier.training import config as configs
        from classifier.training.search import outcome, report, space
        from classifier.training.search import processes as searching
        from classifier.training.watching import hush

        wanted = space.load(config)
        base = with_options(wanted.base, data, classes, settings or [])
        wanted = wanted.with_base(base).with_trials(trials or wanted.trials)
        dataset = configs.read_dataset(base)
        hush()
        err.print(_plan(wanted, output, processes))
        try:
            with interrupts.raised(), _watched(wanted) as (watch, count):
                searching.search(wanted, dataset, output, processes=processes, watch=watch, count=count)
        except interrupts.Interrupted as interrupted:
            again = shlex.join(["python", "-m", "bot", *sys.argv[1:]])
            fail(interrupted.exit_code, f"interrupted. Go on with: {again}")
        found = outcome.read(wanted, output)
        page = report.write(found, output)
    out.print(_table(found))
    out.print(str(page), soft_wrap=True, highlight=False, markup=False)
    if found.best is None:
        fail(EXIT_FAILED, f"no trial is complete; {page} tells why")


def _plan(wanted: "SearchConfig", folder: Path, processes: int) -> Table:
    from classifier.training.search.report import told

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    goal = "the largest" if wanted.maximises else "the smallest"
    rows = [
        ("search", wanted.base.name),
        ("for", f"{goal} {wanted.monitor}"),
        ("trials", f"{wanted.trials}, {processes} at once, {wanted.sampler}, given up by {wanted.pruner}"),
        *((key, told(parameter)) for key, parameter in wanted.space.items()),
        ("folder", str(folder)),
    ]
    for name, value in rows:
        table.add_row(name, Text(value))
    return table


def _table(found: "Outcome") -> Table:
    from classifier.training.search.report import number, setting, summary

    table = Table(box=None, pad_edge=False, title=Text(summary(found)), title_justify="left")
    table.add_column("trial", justify="right")
    table.add_column(found.search.monitor.replace("_", " "), justify="right")
    table.add_column("settings", overflow="fold")
    for trial in found.ranked[:_SHOWN]:
        values = ", ".join(f"{key} {setting(value)}" for key, value in trial.params.items())
        table.add_row(str(trial.number), number(trial.value), Text(values))
    return table


@contextmanager
def _watched(wanted: "SearchConfig") -> Iterator[tuple["OnTrial", "OnCount"]]:
    """Draw how many trials are over, and how far the one of this process is; else a line for each."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[where]}"),
        TimeElapsedColumn(),
    )
    draws = err.is_terminal
    with Progress(*columns, console=err, transient=True, disable=not draws) as bars:
        task = bars.add_task("trials", total=wanted.trials, where="")
        over = -1

        def watch(number: int, standing: "Standing | None") -> None:
            if standing is not None:
                where = (
                    f"trial {number}: epoch {standing.epoch} of {standing.epochs}, loss {standing.loss:.4f}"
                )
                bars.update(task, where=where)

        def count(done: int, total: int) -> None:
            nonlocal over
            bars.update(task, completed=done)
            if done != over and not draws:
                err.print(f"{done} of {total} trials", highlight=False)
            over = done

        yield watch, count


__all__ = ["search"]

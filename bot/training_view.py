"""What `train` shows: what it is about to do, how far it is, and the figures that came out."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from classifier.datasets.values import Dataset
from classifier.training import seeds as seed_runs
from classifier.training.config import TrainConfig
from classifier.training.folder import RunRecord
from classifier.training.seeds import Summary

if TYPE_CHECKING:
    from classifier.training.watching import OnStanding, Standing


def plan_table(config: TrainConfig, dataset: Dataset, folder: Path) -> Table:
    """Lay out what is about to be trained.

    Args:
        config: The run's.
        dataset: On what.
        folder: Where to.

    Returns:
        A table of two columns.
    """
    optimizer, training = config.optimizer, config.training
    model = [f"{key} {value}" for key, value in config.model.items() if key in ("name", "pretrained", "head")]
    length = f"at most {training.epochs} epochs, batches of {training.batch}"
    if training.patience:
        length += f", ends after {training.patience} without gain"
    counts = Counter((item.split, item.label) for item in dataset.items)
    pictures = "; ".join(
        f"{split}: " + ", ".join(f"{counts[split, label]} {label}" for label in dataset.classes)
        for split in ("train", "validation")
    )
    devices = training.devices or "all"
    facts = (
        ("run", config.name),
        ("model", ", ".join(model)),
        ("data", f"{dataset.name} ({pictures})"),
        ("prepared by", config.data.preprocessing),
        (
            "minimises",
            f"{config.loss.kind} by {optimizer.name}, {optimizer.schedule} rate {optimizer.rate:g}",
        ),
        ("length", length),
        ("keeps", f"the {training.keep} epoch by {training.monitor}"),
        ("device", f"{training.accelerator}, {devices} of them, {training.precision}"),
        ("folder", str(folder)),
    )
    return _facts(facts)


def result_table(record: RunRecord, monitor: str) -> Table:
    """Lay out what came out of a run.

    Args:
        record: A finished run's.
        monitor: The figure that decided.

    Returns:
        A table.
    """
    assert record.result is not None
    result = record.result
    table = Table(box=None, pad_edge=False, title=f"{record.name}, seed {record.seed}", title_justify="left")
    table.add_column("of the kept epoch")
    table.add_column("", justify="right")
    for name, value in sorted(result.figures.items(), key=lambda pair: (pair[0] != monitor, pair[0])):
        mark = " (decides)" if name == monitor else ""
        table.add_row(name.replace("_", " ") + mark, f"{value:.4f}")
    table.add_row("kept epoch", f"{result.kept_epoch} of {result.epochs}")
    table.add_row("seconds", f"{result.seconds:.0f}")
    return table


def seeds_table(summary: Summary) -> Table:
    """Lay out figures over seeds: mean and Student's 95 % interval, then each.

    Args:
        summary: Of the runs.

    Returns:
        A table.
    """
    table = Table(box=None, pad_edge=False, title=f"{summary.name}, {len(summary.runs)} seeds")
    table.title_justify = "left"
    table.add_column("of the kept epoch")
    table.add_column("mean, 95 % interval", justify="right")
    for run in summary.runs:
        table.add_column(f"seed {run.seed}", justify="right")
    for name, title, found in seed_runs.titled(summary):
        table.add_row(title, seed_runs.shown(found), *(f"{run.figures[name]:.4f}" for run in summary.runs))
    return table


@contextmanager
def watched(console: Console, title: str, monitor: str) -> Iterator["OnStanding"]:
    """Draw how far a run is; without a terminal, a line after every epoch.

    Args:
        console: Where to draw.
        title: Which run.
        monitor: The figure to show beside the loss.

    Yields:
        What to tell.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}"),
        TimeElapsedColumn(),
    )
    draws = console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=not draws) as bars:
        task = bars.add_task(f"{title}: preparing", total=None, figures="")

        def tell(standing: "Standing") -> None:
            where = f"{title}: epoch {standing.epoch} of {standing.epochs}"
            figures = _figures(standing, monitor)
            bars.update(
                task,
                description=where,
                completed=standing.batch,
                total=standing.batches,
                figures=figures,
            )
            if standing.is_epoch_end and not draws:
                console.print(f"{where}: {figures}", soft_wrap=True, highlight=False, markup=False)

        yield tell


def _figures(standing: "Standing", monitor: str) -> str:
    loss = f"loss {standing.loss:.4f}"
    found = standing.figures.get(monitor)
    return loss if found is None else f"{loss}, {monitor.replace('_', ' ')} {found:.4f}"


def _facts(facts: tuple[tuple[str, str], ...]) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in facts:
        table.add_row(name, Text(value))  # as it is: names and paths may look like markup
    return table


__all__ = ["plan_table", "result_table", "seeds_table", "watched"]

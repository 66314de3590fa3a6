"""Runs of one configuration that differ by seed, side by side in one folder, and what they say together.

FOLDER/seed-0/ ...   a run each, see `folder`
FOLDER/config.toml   what they share, to go on with seeds that were not begun
FOLDER/seeds.json    which seeds belong together, and figures with their spread over them
FOLDER/seeds.md      the same for people

Whether one setting is better than another can only be said where seeds alone move the figures less. No torch.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from classifier import atomic_file
from classifier.evaluation.comparison import Spread, spread
from classifier.evaluation.markdown import escaped, table
from classifier.training import config as configs
from classifier.training import folder as folders
from classifier.training.config import TrainConfig
from classifier.training.errors import TrainingError

PLAN_NAME: Final = "seeds.json"
TABLE_NAME: Final = "seeds.md"
NOTE: Final = (
    "Means over seeds with Student's 95 % interval, of the kept epochs. The validation set decided which "
    "these are, so its figures flatter: they are for choosing between settings on the same data."
)


@dataclass(frozen=True, slots=True)
class SeedRun:
    """A finished run.

    Attributes:
        seed: Its own.
        folder: Name of its folder, beside the summary.
        epochs: How many were trained.
        kept_epoch: Whose weights are kept.
        seconds: Spent in training.
        weights_sha256: Of its weights.
        figures: Of the kept epoch.
    """

    seed: int
    folder: str
    epochs: int
    kept_epoch: int
    seconds: float
    weights_sha256: str
    figures: dict[str, float]


@dataclass(frozen=True, slots=True)
class Summary:
    """Runs that differ by seed.

    Attributes:
        name: What they share.
        monitor: The figure that decided what was kept.
        seeds: All that are wanted, finished or not.
        runs: Those that are finished.
        figures: Mean and interval over these.
    """

    name: str
    monitor: str
    seeds: tuple[int, ...]
    runs: tuple[SeedRun, ...]
    figures: dict[str, Spread]

    @property
    def missing(self) -> tuple[int, ...]:
        """Seeds without a finished run."""
        finished = {run.seed for run in self.runs}
        return tuple(seed for seed in self.seeds if seed not in finished)


def folder_of(folder: Path, seed: int) -> Path:
    """Where the run of a seed lies."""
    return folder / f"seed-{seed}"


def is_begun(folder: Path) -> bool:
    """Whether a run's folder holds a run, finished or not."""
    return (folder / folders.RUN_NAME).exists()


def require_same(config: TrainConfig, folder: Path) -> None:
    """Make sure that a folder, if it holds a run, holds one of this very configuration.

    Args:
        config: The run's, seed included.
        folder: Its folder.

    Raises:
        TrainingError: Where it holds another run; the message names the first key that differs.
    """
    path = folder / folders.CONFIG_NAME
    if not is_begun(folder):
        return
    before = configs.load(path)
    if difference := _difference(before.model_dump(mode="json"), config.model_dump(mode="json")):
        raise TrainingError(
            f"{path}: is of a run with other settings ({difference}); choose another name or folder"
        )


def plan(config: TrainConfig, folder: Path, seeds: Sequence[int]) -> None:
    """Note down which runs are wanted, so that whoever goes on after a break knows.

    Args:
        config: What they share; its seed is left open.
        folder: Where they lie.
        seeds: All of them.

    Raises:
        TrainingError: Where a run of other settings is there.
    """
    for seed in seeds:
        require_same(configs.with_seed(config, seed), folder_of(folder, seed))
    folder.mkdir(parents=True, exist_ok=True)
    text = configs.to_toml(configs.with_seed(config, seeds[0]))
    atomic_file.write(folder / folders.CONFIG_NAME, text.encode(), atomic_file.SHARED)
    write(summarise(config, folder, seeds), folder)


def planned(folder: Path) -> tuple[TrainConfig, tuple[int, ...]]:
    """Read what `plan` noted.

    Args:
        folder: Where the runs lie.

    Returns:
        What they share, and the seeds.

    Raises:
        TrainingError: Where the folder holds no plan.
    """
    path = folder / PLAN_NAME
    try:
        seeds = tuple(json.loads(path.read_bytes())["seeds"])
    except OSError as error:
        raise TrainingError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, TypeError, KeyError) as error:
        raise TrainingError(f"{path}: does not tell the seeds: {error}") from error
    if not seeds or not all(type(seed) is int for seed in seeds):
        raise TrainingError(f"{path}: seeds: have to be whole numbers")
    return configs.load(folder / folders.CONFIG_NAME), seeds


def summarise(config: TrainConfig, folder: Path, seeds: Sequence[int]) -> Summary:
    """Gather the finished runs.

    Args:
        config: What they share.
        folder: Where they lie.
        seeds: All that are wanted.

    Returns:
        The summary; figures that are in every run, and are numbers in each.

    Raises:
        TrainingError: Where a run's record is damaged.
    """
    runs = []
    for seed in seeds:
        path = folder_of(folder, seed)
        result = folders.read(path).result if is_begun(path) else None
        if result is not None:
            figures = {name: value for name, value in result.figures.items() if math.isfinite(value)}
            runs.append(
                SeedRun(
                    seed,
                    path.name,
                    result.epochs,
                    result.kept_epoch,
                    result.seconds,
                    result.weights_sha256,
                    figures,
                )
            )
    shared = [name for name in (runs[0].figures if runs else ()) if all(name in r.figures for r in runs)]
    spreads = {name: spread([run.figures[name] for run in runs]) for name in shared}
    return Summary(config.name, config.training.monitor, tuple(seeds), tuple(runs), spreads)


def write(summary: Summary, folder: Path) -> None:
    """Write `seeds.json` and `seeds.md`, replacing former ones."""
    text = json.dumps(asdict(summary), indent=2) + "\n"
    atomic_file.write(folder / PLAN_NAME, text.encode(), atomic_file.SHARED)
    atomic_file.write(folder / TABLE_NAME, render(summary).encode(), atomic_file.SHARED)


def render(summary: Summary) -> str:
    """The summary in Markdown."""
    header = ("Figure", "Mean", *(f"Seed {run.seed}" for run in summary.runs))
    rows = [
        (escaped(title), shown(found), *(f"{run.figures[name]:.4f}" for run in summary.runs))
        for name, title, found in titled(summary)
    ]
    epochs = ("Kept epoch", "", *(f"{run.kept_epoch} of {run.epochs}" for run in summary.runs))
    open_ones = ", ".join(map(str, summary.missing))
    remark = f"\nNot finished: seeds {open_ones}.\n" if open_ones else ""
    return f"# {escaped(summary.name)}\n\n{NOTE}\n\n{table(header, [*rows, epochs])}{remark}"


def titled(summary: Summary) -> list[tuple[str, str, Spread]]:
    """Name, heading and spread of each figure, the one that decided first."""
    names = sorted(summary.figures, key=lambda name: (name != summary.monitor, name))
    return [
        (
            name,
            name.replace("_", " ") + (" (decides)" if name == summary.monitor else ""),
            summary.figures[name],
        )
        for name in names
    ]


def shown(found: Spread) -> str:
    """Mean and interval, such as `0.9312 ± 0.0140`."""
    if found.mean is None:
        return "–"
    return f"{found.mean:.4f}" if found.half is None else f"{found.mean:.4f} ± {found.half:.4f}"


def _difference(before: dict[str, Any], now: dict[str, Any], inside: str = "") -> str:
    for key in (*before, *(key for key in now if key not in before)):
        old, new = before.get(key), now.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            if found := _difference(old, new, f"{inside}{key}."):
                return found
        elif old != new:
            return f"{inside}{key}: {old!r}, not {new!r}"
    return ""


__all__ = [
    "NOTE",
    "PLAN_NAME",
    "TABLE_NAME",
    "SeedRun",
    "Summary",
    "folder_of",
    "is_begun",
    "plan",
    "planned",
    "render",
    "require_same",
    "shown",
    "summarise",
    "titled",
    "write",
]

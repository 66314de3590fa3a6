"""`train`: one run, or several that differ by seed; it, or `--resume`, goes on after a break."""

import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bot import interrupts
from bot.commands.edges import err, explained, fail, out
from bot.commands.extras import needing

if TYPE_CHECKING:
    from classifier.datasets.values import Dataset
    from classifier.training.config import TrainConfig

RUNS_FOLDER = Path("var/runs")

DataOption = Annotated[
    Path | None,
    typer.Option("--data", metavar="MANIFEST", help="What to train on; instead of data.manifest."),
]
ClassesOption = Annotated[
    str | None,
    typer.Option(
        "--classes", help="The negative and the positive label, divided by a comma; instead of data.classes."
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Another setting: training.epochs=5. Repeatable."),
]


def train(
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="What to train: config/train/*.toml.")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Go on with this run, or with these seeds.")
    ] = None,
    data: DataOption = None,
    classes: ClassesOption = None,
    output: Annotated[
        Path, typer.Option("--out", metavar="RUNS_FOLDER", help="Runs go to RUNS_FOLDER/NAME/seed-N.")
    ] = RUNS_FOLDER,
    settings: SetOption = None,
    seed: Annotated[list[int] | None, typer.Option(min=0, help="Of a run. Repeatable.")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="So many runs, with the seeds 0, 1, 2 …")] = None,
) -> None:
    """Train a model; each run gets a folder with weights, figures, and all it takes to repeat it.

    With several seeds a table of means and intervals is written beside the runs.
    """
    _check_usage(config, resume, [data, classes, settings, seed, seeds])
    with explained(), needing("train"):
        if resume is not None:
            _go_on(resume)
            return
        assert config is not None
        wanted = configured_training(config, data, classes, settings or [])
        numbers = tuple(seed or range(seeds or 0)) or (wanted.training.seed,)
        _train(wanted, output / wanted.name, numbers)


def configured_training(
    path: Path, data: Path | None, classes: str | None, settings: Sequence[str]
) -> "TrainConfig":
    """Read a training configuration and lay the command line over it.

    Args:
        path: The file.
        data: Another manifest.
        classes: Other labels, divided by a comma.
        settings: Each `section.key=value`.

    Returns:
        The configuration.

    Raises:
        TrainingError: Where the file or a setting is wrong.
    """
    from classifier.training import config as configs

    return with_options(configs.load(path), data, classes, settings)


def with_options(
    config: "TrainConfig", data: Path | None, classes: str | None, settings: Sequence[str]
) -> "TrainConfig":
    """Lay the command line over a configuration; arguments and errors as for `configured_training`."""
    from classifier.training import overrides
    from classifier.training.errors import TrainingError

    try:
        changes = dict(overrides.parse(setting) for setting in settings)
    except TrainingError as error:
        raise typer.BadParameter(str(error), param_hint="--set") from error
    if changes:
        config = overrides.applied(config, changes, "--set")
    if classes is not None:
        names = [name.strip() for name in classes.split(",")]
        config = overrides.applied(config, {"data.classes": names}, "--classes")
    return config if data is None else overrides.applied(config, {"data.manifest": str(data)}, "--data")


def _check_usage(config: Path | None, resume: Path | None, others: Sequence[object]) -> None:
    if (config is None) == (resume is None):
        raise typer.BadParameter("name either --config or --resume")
    if resume is not None and any(other is not None for other in others):
        raise typer.BadParameter(
            "goes on with the settings, data and seeds it began with", param_hint="--resume"
        )
    *_, seed, seeds = others
    if seed is not None and seeds is not None:
        raise typer.BadParameter("name either --seed or --seeds")
    if isinstance(seed, list) and len(set(seed)) < len(seed):
        raise typer.BadParameter("the same seed twice", param_hint="--seed")


def _go_on(folder: Path) -> None:
    from classifier.training import config as configs
    from classifier.training import folder as folders
    from classifier.training import seeds as seed_runs

    if (folder / seed_runs.PLAN_NAME).exists():
        config, seeds = seed_runs.planned(folder)
        _train(config, folder, seeds)
        return
    folders.read(folder)  # says what is wrong with another folder
    config = configs.load(folder / folders.CONFIG_NAME)
    _train_one(config, configs.read_dataset(config), folder)


def _train(config: "TrainConfig", folder: Path, numbers: Sequence[int]) -> None:
    from bot.training_view import seeds_table
    from classifier.training import config as configs
    from classifier.training import seeds as seed_runs
    from classifier.training.ranks import is_first_process

    dataset = configs.read_dataset(config)
    if len(numbers) == 1:
        seed = numbers[0]
        _train_one(configs.with_seed(config, seed), dataset, seed_runs.folder_of(folder, seed))
        return
    seed_runs.plan(config, folder, numbers)
    for seed in numbers:
        one, path = configs.with_seed(config, seed), seed_runs.folder_of(folder, seed)
        if config.training.devices == 1:
            _train_one(one, dataset, path, resumed_by=folder)
        else:
            _train_apart(folder, one)
        summary = seed_runs.summarise(config, folder, numbers)
        seed_runs.write(summary, folder)
    if is_first_process():
        out.print(seeds_table(summary))
        _say(f"{folder / seed_runs.TABLE_NAME}")


def _train_one(
    config: "TrainConfig", dataset: "Dataset", folder: Path, *, resumed_by: Path | None = None
) -> None:
    """Train, or go on; `resumed_by` is the folder to name for going on after a break."""
    from bot.training_view import plan_table, result_table, watched
    from classifier.training import seeds as seed_runs
    from classifier.training.ranks import is_first_process
    from classifier.training.starting import start_or_go_on
    from classifier.training.watching import Watcher, hush

    hush()
    shows = is_first_process()
    if shows:
        err.print(plan_table(config, dataset, folder))
    try:
        with (
            interrupts.raised(),
            watched(err, f"seed {config.training.seed}", config.training.monitor) as tell,
        ):
            watcher = Watcher(tell)
            record = start_or_go_on(config, dataset, folder, callbacks=[watcher])
    except interrupts.Interrupted as interrupted:
        if not shows:
            raise SystemExit(interrupted.exit_code) from None
        again = resumed_by or folder
        how = f"python -m bot train --resume {shlex.quote(str(again))}"
        begun = seed_runs.is_begun(folder) or resumed_by is not None
        fail(interrupted.exit_code, f"interrupted. Go on with: {how}" if begun else "interrupted")
    if shows:
        out.print(result_table(record, config.training.monitor))
        _say(f"{folder}")


def _train_apart(folder: Path, config: "TrainConfig") -> None:
    """Train in a process of its own: with several devices Lightning takes part in this program's start."""
    from classifier.training import folder as folders
    from classifier.training.errors import TrainingError

    if folder.name != config.name:  # where the other process will look
        raise TrainingError(f"{folder}: with several devices it has to be called {config.name}")
    command = [sys.executable, "-m", "bot", "train", "--config", str(folder / folders.CONFIG_NAME)]
    command += ["--out", str(folder.parent), "--seed", str(config.training.seed)]
    try:
        with interrupts.raised(), subprocess.Popen(command) as process:
            try:
                code = process.wait()
            except interrupts.Interrupted:
                process.terminate()
                raise
    except interrupts.Interrupted as interrupted:
        raise SystemExit(interrupted.exit_code) from None
    if code:
        raise SystemExit(code)


def _say(text: str) -> None:
    out.print(text, soft_wrap=True, highlight=False, markup=False)


__all__ = ["SetOption", "configured_training", "train", "with_options"]

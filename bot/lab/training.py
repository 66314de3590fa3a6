"""All runs of a laboratory, as many side by side as there are cores, each on one thread.

One thread a run is the most work for the electricity, and the weights do not depend on how many cores there
are. A run that was finished before is left as it is; an interrupted one goes on.
"""

import contextlib
import io
import logging
import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from pathlib import Path

from classifier.datasets.values import Dataset
from classifier.engines.values import OnStep
from classifier.training import config as configs
from classifier.training import seeds as seed_runs
from classifier.training.config import TrainConfig


def train_all(
    configurations: Sequence[TrainConfig],
    seeds: Sequence[int],
    dataset: Dataset,
    folder: Path,
    processes: int,
    tell: OnStep,
) -> dict[str, list[Path]]:
    """Train every configuration with every seed.

    Args:
        configurations: One a name; the slowest should come first, so that no core is idle at the end.
        seeds: Of each.
        dataset: Training and validation items.
        folder: Where the runs' folders go.
        processes: How many runs side by side.
        tell: Told how many are finished.

    Returns:
        By name, the runs' folders in the order of the seeds.

    Raises:
        TrainingError: Where a run fails, or its folder holds another one.
        ClassifierError: As for `classifier.training.run.train`.
    """
    places = {
        (config.name, seed): seed_runs.folder_of(folder / config.name, seed)
        for config in configurations
        for seed in seeds
    }
    tell("training", 0, len(places))
    with _pool(processes) as pool:
        running: list[Future[None]] = [
            pool.submit(_train, configs.with_seed(config, seed), dataset, places[config.name, seed])
            for config in configurations
            for seed in seeds
        ]
        for done, finished in enumerate(as_completed(running), start=1):
            finished.result()
            tell("training", done, len(places))
    return {config.name: [places[config.name, seed] for seed in seeds] for config in configurations}


@contextlib.contextmanager
def _pool(processes: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that end with this one's first error, whatever they are at: a run can be gone on with."""
    pool = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), initializer=_begin)
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for worker in multiprocessing.active_children():  # a run could take minutes more
            worker.terminate()
        raise
    pool.shutdown()


def _begin() -> None:
    """Leave Ctrl-C to the process that somebody talks to."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _train(config: TrainConfig, dataset: Dataset, folder: Path) -> None:
    from classifier.training.starting import start_or_go_on
    from classifier.training.watching import hush

    logging.getLogger().setLevel(logging.WARNING)
    hush()
    with contextlib.redirect_stdout(io.StringIO()):  # Lightning's remarks, once a run
        start_or_go_on(config, dataset, folder)


__all__ = ["train_all"]

"""Starts a run, or goes on with it where its folder holds one: the same call after a break does the rest."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from classifier.datasets.values import Dataset
from classifier.errors import ClassifierError
from classifier.training import folder as folders
from classifier.training.config import TrainConfig
from classifier.training.ranks import is_first_process
from classifier.training.run import Build, resume, train
from classifier.training.seeds import is_begun, require_same
from classifier.training.trainer import Callback


def start_or_go_on(
    config: TrainConfig,
    dataset: Dataset,
    folder: Path,
    *,
    build: Build | None = None,
    callbacks: Sequence[Callback] = (),
) -> folders.RunRecord:
    """Train until the end, from wherever it stands.

    Args:
        config: What to do.
        dataset: Training and validation items.
        folder: Where everything goes. A finished run of this configuration is left as it is. A run that
            could not take a step leaves no folder behind, so that it can be tried again after a correction.
        build: As for `run.train`.
        callbacks: As for `run.train`.

    Returns:
        What was done; `result` is there.

    Raises:
        TrainingError: Where the folder holds something else, or as for `run.train`.
        DatasetError: As for `run.train`.
        ModelError: As for `run.train`.
    """
    if is_begun(folder):
        # The others' first look can be before or after the first process has written this.
        require_same(config, folder)
        return resume(folder, dataset, build=build, callbacks=callbacks)
    is_new = is_first_process() and not (folder.exists() and any(folder.iterdir()))
    try:
        return train(config, dataset, folder, build=build, callbacks=callbacks)
    except ClassifierError:
        if is_new and not _has_stepped(folder):
            shutil.rmtree(folder, ignore_errors=True)
        raise


def _has_stepped(folder: Path) -> bool:
    return any((folder / name).exists() for name in (folders.LAST_NAME, folders.METRICS_NAME))


__all__ = ["start_or_go_on"]

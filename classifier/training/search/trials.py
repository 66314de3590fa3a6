"""One trial is one run: a folder with the configuration it can be repeated with. A process does many."""

import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from optuna.trial import TrialState

from classifier.datasets.values import Dataset
from classifier.training import config as configs
from classifier.training import folder as folders
from classifier.training.errors import TrainingError
from classifier.training.run import Build
from classifier.training.search import study as studies
from classifier.training.search.pruning import GiveUp
from classifier.training.search.space import SearchConfig
from classifier.training.seeds import is_begun
from classifier.training.starting import start_or_go_on
from classifier.training.watching import Standing, Watcher

_log = logging.getLogger(__name__)

OnTrial = Callable[[int, Standing | None], None]
"""Is told the number of the trial and how far it is; None: it is over."""


@dataclass(frozen=True, slots=True)
class Job:
    """What every process of a search has to know.

    Attributes:
        search: What is searched.
        dataset: Training and validation items.
        folder: The search's.
        threads: Of torch in a process; 0 leaves that alone.
        build: Makes the network; None: what the configuration names.
    """

    search: SearchConfig
    dataset: Dataset
    folder: Path
    threads: int = 0
    build: Build | None = None


def work(
    job: Job, process: int = 0, *, watch: OnTrial | None = None, goes_on: Callable[[], bool] | None = None
) -> int:
    """Do trials until none is left.

    Args:
        job: What to do.
        process: Number of this process.
        watch: Is told how far it is.
        goes_on: Asked before each trial.

    Returns:
        How many were done.

    Raises:
        TrainingError: Where the study cannot be used.
        DatasetError: Where the data is not fit for training. This and what follows would end every trial, so
            the trial is left to whoever goes on after a correction.
        ModelError: Where the network cannot be built.
    """
    study = studies.Study(job.search, job.folder, process)
    done = 0
    while goes_on is None or goes_on():
        claim = study.claim()
        if claim is None:
            break
        try:
            _do(job, study, claim, watch)
        finally:
            claim.lock.release(force=True)
        done += 1
    return done


def _do(job: Job, study: studies.Study, claim: studies.Claim, watch: OnTrial | None) -> None:
    place = claim.place
    gives_up = GiveUp(
        claim.trial, job.search.monitor, lambda epoch: claim.trial.set_user_attr(studies.PRUNED_AT, epoch)
    )
    callbacks = [gives_up, *([Watcher(lambda at: watch(place, at))] if watch else [])]
    try:
        if is_begun(claim.folder):
            config = configs.load(claim.folder / folders.CONFIG_NAME)
        else:
            config = studies.config_of(claim, job.search, job.threads)
        with warnings.catch_warnings():
            # An epoch that was reported before a kill is reported again, with the same figure.
            warnings.filterwarnings("ignore", message=r".*already reported.*")
            record = start_or_go_on(config, job.dataset, claim.folder, build=job.build, callbacks=callbacks)
    except (TrainingError, torch.OutOfMemoryError) as error:
        # Too large a batch for this GPU is found out here, too.
        study.tell(claim, TrialState.FAIL, error=str(error))
        _log.warning("trial_failed", extra={"trial": place, "reason": str(error)})
    else:
        _tell(job, study, claim, record)
    if watch:
        watch(place, None)


def _tell(job: Job, study: studies.Study, claim: studies.Claim, record: folders.RunRecord) -> None:
    assert record.result is not None
    is_pruned = studies.PRUNED_AT in claim.trial.user_attrs
    if is_pruned:
        study.tell(claim, TrialState.PRUNED)
    else:
        study.tell(claim, TrialState.COMPLETE, record.result.figures[job.search.monitor])
    _log.info("trial_finished", extra={"trial": claim.place, "state": "pruned" if is_pruned else "complete"})


__all__ = ["Job", "OnTrial", "work"]

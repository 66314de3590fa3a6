"""The trials of a search in SQLite, shared by several processes, of which any may be killed at any time.

A process asks for a trial under one lock, so that none is done twice and not one too many is begun. As long
as it works at the trial it holds another lock, which the system takes away from whoever is killed: a trial
that runs but is not locked is lost, is marked as failed, and is tried again with the same values, seed and
folder, from where it stood. That holds for processes of one machine.
"""

import sqlite3
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import optuna
from filelock import FileLock, Timeout
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState

from classifier.training.config import TrainConfig
from classifier.training.errors import TrainingError
from classifier.training.order import seed_of
from classifier.training.search import samplers
from classifier.training.search.space import SearchConfig

STUDY_NAME: Final = "study.sqlite3"
TRIALS_NAME: Final = "trials"
MAX_ATTEMPTS: Final = 3
"""A trial that ends its process every time, for want of memory for example, must not do so forever."""
_LOCK_NAME: Final = "study.lock"
_BUSY_S: Final = 60
PLACE, SEED, ATTEMPT, RETRY_OF, REPORTED, PRUNED_AT, ERROR = (
    "place",
    "seed",
    "attempt",
    "retry_of",
    "reported",
    "pruned_at",
    "error",
)
"""What a trial carries beside its values. Its place is its number, had no process ever been killed: values,
seed and folder follow from it, so that a kill changes nothing."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A trial that this process works at.

    Attributes:
        trial: Optuna's.
        place: Its number among those that are no repetitions.
        labels: What was chosen, by key.
        seed: The trial's own.
        folder: Its run's, which may hold what a killed process left.
        lock: Held until it is told how the trial ended.
    """

    trial: optuna.Trial
    place: int
    labels: dict[str, Any]
    seed: int
    folder: Path
    lock: FileLock


class Study:
    """The trials of a search.

    Args:
        search: What is searched.
        folder: The search's.
        process: Number of this process, from 0; samplers that learn draw by it.

    Raises:
        TrainingError: Where the database cannot be used, or a library is missing.
    """

    def __init__(self, search: SearchConfig, folder: Path, process: int = 0) -> None:
        self._search, self._folder = search, folder
        self._lock = FileLock(folder / _LOCK_NAME)
        (folder / TRIALS_NAME).mkdir(parents=True, exist_ok=True)
        self._distributions = {
            key: samplers.distribution_of(parameter) for key, parameter in search.space.items()
        }
        with self._lock, _explained(folder):
            self._study = _opened(search, folder)
            count = len(self._study.trials)
            self._study.sampler = samplers.sampler_of(search, process, count, PLACE)
            if search.sampler == "grid" and not count:
                for point in search.grid():
                    self._study.enqueue_trial(point)

    @property
    def stored(self) -> optuna.Study:
        """Optuna's own."""
        return self._study

    def trials(self) -> list[FrozenTrial]:
        """All trials as they are now."""
        with _explained(self._folder):
            return self._study.get_trials(deepcopy=False)

    def claim(self) -> Claim | None:
        """Take a trial to work at; those that killed processes left come first.

        Returns:
            The trial; None where all are done or being worked at.

        Raises:
            TrainingError: Where the database cannot be used.
        """
        with self._lock, _explained(self._folder):
            self._free_lost()
            trials = self._study.get_trials(deepcopy=False)
            if begun(trials) >= self._search.trials:
                return None
            is_waiting = any(trial.state is TrialState.WAITING for trial in trials)
            if self._search.sampler == "grid" and not is_waiting:
                return None
            return self._taken(self._study.ask(), fresh_before=len(_fresh(trials)))

    def tell(self, claim: Claim, state: TrialState, value: float | None = None, error: str = "") -> None:
        """Say how a trial ended, and let it go.

        Args:
            claim: The trial.
            state: `COMPLETE`, `PRUNED` or `FAIL`.
            value: Of the figure that is searched for; of `COMPLETE`.
            error: Why it failed.
        """
        with _explained(self._folder):
            if error:
                claim.trial.set_user_attr(ERROR, error)
            self._study.tell(claim.trial, value, state=state)
        claim.lock.release()

    def lost(self) -> int:
        """How many trials are unfinished although nobody works at them."""
        with self._lock:
            trials = self.trials()
            return sum(trial.state is TrialState.RUNNING and self._is_lost(trial) for trial in trials)

    def _taken(self, trial: optuna.Trial, fresh_before: int) -> Claim:
        """Within the lock: whoever looks for lost trials must not see this one without its own."""
        lock = self._lock_of(trial.number)
        lock.acquire(timeout=0)
        if PLACE not in trial.user_attrs:
            trial.set_user_attr(SEED, seed_of(self._search.seed, fresh_before) % 2**32)
            trial.set_user_attr(PLACE, fresh_before)
        for key, distribution in self._distributions.items():
            _suggest(trial, key, distribution)
        attributes = trial.user_attrs
        for epoch, value in attributes.get(REPORTED, ()):
            trial.report(value, epoch)
        place = attributes[PLACE]
        folder = self._folder / TRIALS_NAME / folder_name(place)
        return Claim(trial, place, trial.params, attributes[SEED], folder, lock)

    def _free_lost(self) -> None:
        trials = self._study.get_trials(deepcopy=False)
        retried = {trial.user_attrs.get(RETRY_OF) for trial in trials}
        for trial in trials:
            if trial.state is not TrialState.RUNNING or not self._is_lost(trial):
                continue
            attempt = trial.user_attrs.get(ATTEMPT, 1)
            # Asked for first: killed between both, the next one finds it asked for already.
            if attempt < MAX_ATTEMPTS and trial.number not in retried and PLACE in trial.user_attrs:
                again = {
                    **trial.user_attrs,
                    ATTEMPT: attempt + 1,
                    RETRY_OF: trial.number,
                    REPORTED: sorted(trial.intermediate_values.items()),
                }
                self._study.enqueue_trial(trial.params, user_attrs=again)
            self._study.tell(trial.number, state=TrialState.FAIL)

    def _is_lost(self, trial: FrozenTrial) -> bool:
        lock = self._lock_of(trial.number)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return False
        lock.release()
        return True

    def _lock_of(self, number: int) -> FileLock:
        return FileLock(self._folder / TRIALS_NAME / f".{number:04d}.lock", is_singleton=False)


def begun(trials: list[FrozenTrial]) -> int:
    """How many trials were begun, one that was tried again counted once, and only when it is again."""
    retried = {trial.user_attrs.get(RETRY_OF) for trial in trials}
    return sum(
        trial.state is not TrialState.WAITING and trial.number not in retried and PLACE in trial.user_attrs
        for trial in trials
    )


def folder_name(place: int) -> str:
    """Of the run of a trial."""
    return f"trial-{place:04d}"


def _fresh(trials: list[FrozenTrial]) -> list[FrozenTrial]:
    """Those that were begun and do not repeat others."""
    return [t for t in trials if PLACE in t.user_attrs and RETRY_OF not in t.user_attrs]


def _suggest(trial: optuna.Trial, key: str, distribution: BaseDistribution) -> None:
    if isinstance(distribution, CategoricalDistribution):
        trial.suggest_categorical(key, distribution.choices)
    elif isinstance(distribution, IntDistribution):
        trial.suggest_int(key, distribution.low, distribution.high, step=distribution.step)
    elif isinstance(distribution, FloatDistribution):
        low, high, step = distribution.low, distribution.high, distribution.step
        trial.suggest_float(key, low, high, step=step, log=distribution.log)


def config_of(claim: Claim, search: SearchConfig, threads: int) -> TrainConfig:
    """The configuration of a claimed trial.

    Args:
        claim: The trial.
        search: What is searched.
        threads: Of torch, unless the search's configuration says how many; 0 leaves that alone.

    Raises:
        TrainingError: Where values that are each right do not go together.
    """
    config = search.config_of(claim.labels, claim.place, claim.seed)
    if config.training.threads or not threads:
        return config
    return config.model_copy(update={"training": config.training.model_copy(update={"threads": threads})})


def _opened(search: SearchConfig, folder: Path) -> optuna.Study:
    path = folder.absolute() / STUDY_NAME
    with closing(sqlite3.connect(path, timeout=_BUSY_S)) as connection:
        connection.execute("PRAGMA schema_version")  # says what Optuna would bury in SQLAlchemy's words
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        storage = optuna.storages.RDBStorage(
            f"sqlite:///{path}",
            engine_kwargs={"connect_args": {"timeout": _BUSY_S}},
        )
    return optuna.create_study(
        study_name="search",
        storage=storage,
        pruner=samplers.pruner_of(search),
        direction="maximize" if search.maximises else "minimize",
        load_if_exists=True,
    )


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except (optuna.exceptions.StorageInternalError, sqlite3.Error) as error:
        reason = " ".join(str(error.__cause__ or error).split())
        raise TrainingError(f"{folder / STUDY_NAME}: cannot be used: {reason}") from error


__all__ = ["Claim", "Study", "begun", "config_of"]

"""What a study says, as plain values: trials, the best of them, and which keys mattered."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from optuna.trial import FrozenTrial, TrialState

from classifier.errors import ClassifierError
from classifier.training import folder as folders
from classifier.training.search import study as studies
from classifier.training.search.space import SearchConfig, Value
from classifier.training.seeds import is_begun

State = Literal["complete", "pruned", "failed", "killed", "running", "waiting"]

_STATES: dict[TrialState, State] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}
_ENOUGH = 4
"""Fewer finished trials say nothing about what mattered."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial.

    Attributes:
        number: Its place among the trials; a repetition of a killed one has the same.
        attempt: From 1.
        state: How it ended; `killed` was tried again.
        value: Of the figure that is searched for: the kept epoch's, or the last one's of a pruned trial.
        params: What was chosen, by key.
        reported: Epoch, from 1, and figure after it.
        seed: Of its run.
        folder: Of its run, below the search's.
        epochs: How many were trained; None where it is not over.
        seconds: Likewise.
        error: Why it failed.
    """

    number: int
    attempt: int
    state: State
    value: float | None
    params: Mapping[str, Value]
    reported: tuple[tuple[int, float], ...]
    seed: int
    folder: str
    epochs: int | None
    seconds: float | None
    error: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """A search.

    Attributes:
        search: What was searched.
        trials: As they were begun, those left out that were not.
        importances: Share of the figure's variance by key, largest first; empty with too few trials.
    """

    search: SearchConfig
    trials: tuple[Trial, ...]
    importances: Mapping[str, float]

    @property
    def ranked(self) -> tuple[Trial, ...]:
        """The complete ones, the best first; of equals the earliest."""
        sign = -1 if self.search.maximises else 1
        done = [trial for trial in self.trials if trial.state == "complete" and trial.value is not None]
        return tuple(sorted(done, key=lambda trial: (sign * (trial.value or 0.0), trial.number)))

    @property
    def best(self) -> Trial | None:
        """The best one."""
        return self.ranked[0] if self.ranked else None

    def count(self, state: State) -> int:
        """How many trials ended so."""
        return sum(trial.state == state for trial in self.trials)


def read(search: SearchConfig, folder: Path) -> Outcome:
    """Read a search.

    Args:
        search: What was searched.
        folder: Its folder.

    Returns:
        What it says now.

    Raises:
        TrainingError: Where the study cannot be used.
    """
    study = studies.Study(search, folder)
    found = study.trials()
    retried = {trial.user_attrs.get(studies.RETRY_OF) for trial in found}
    trials = tuple(
        _trial(trial, search, folder, trial.number in retried)
        for trial in found
        if studies.PLACE in trial.user_attrs
    )
    return Outcome(search, trials, _importances(study, search, trials))


def _trial(trial: FrozenTrial, search: SearchConfig, folder: Path, is_retried: bool) -> Trial:
    attributes: dict[str, Any] = trial.user_attrs
    name = studies.folder_name(attributes[studies.PLACE])
    result = _result(folder / studies.TRIALS_NAME / name)
    reported = tuple(sorted(trial.intermediate_values.items()))
    value = trial.value
    if value is None and trial.state is TrialState.PRUNED and reported:
        value = reported[-1][1]
    return Trial(
        number=attributes[studies.PLACE],
        attempt=attributes.get(studies.ATTEMPT, 1),
        state="killed" if is_retried else _STATES[trial.state],
        value=value,
        params={
            key: search.space[key].value_of(label)
            for key, label in trial.params.items()
            if key in search.space
        },
        reported=reported,
        seed=attributes[studies.SEED],
        folder=f"{studies.TRIALS_NAME}/{name}",
        epochs=None if result is None or is_retried else result.epochs,
        seconds=None if result is None or is_retried else result.seconds,
        error=attributes.get(studies.ERROR, ""),
    )


def _result(folder: Path) -> folders.Result | None:
    try:
        return folders.read(folder).result if is_begun(folder) else None
    except ClassifierError:  # somebody cleaned up; the study knows what matters
        return None


def _importances(study: studies.Study, search: SearchConfig, trials: tuple[Trial, ...]) -> dict[str, float]:
    values = {trial.value for trial in trials if trial.state == "complete"}
    if sum(trial.state == "complete" for trial in trials) < _ENOUGH or len(values) < 2:
        return {}
    from optuna import importance

    evaluator = importance.FanovaImportanceEvaluator(seed=search.seed)
    found = importance.get_param_importances(study.stored, evaluator=evaluator)
    return {key: share for key, share in found.items() if math.isfinite(share)}


__all__ = ["Outcome", "State", "Trial", "read"]

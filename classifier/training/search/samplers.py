"""What to try next and what to give up early, by name.

Optuna's random sampler draws from one stream per process, so what trial 7 is would depend on how many
processes there are. Here it depends on seed, place and key alone.
"""

import importlib.util
import warnings
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial

from classifier.training.errors import TrainingError
from classifier.training.order import seed_of
from classifier.training.search.space import Parameter, SearchConfig


class RandomByPlace(optuna.samplers.BaseSampler):
    """Draws independently and evenly, by the trial's place.

    Args:
        seed: Of the search.
        place: Attribute of a trial that tells it.
    """

    def __init__(self, seed: int, place: str) -> None:
        self._seed, self._place = seed, place

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """No parameter depends on another one."""
        del study, trial
        return {}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: Mapping[str, BaseDistribution]
    ) -> dict[str, Any]:
        """As above."""
        del study, trial, search_space
        return {}

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Draw one value."""
        del study
        rng = np.random.default_rng(
            (self._seed, trial.user_attrs[self._place], zlib.crc32(param_name.encode()))
        )
        at = param_distribution
        if isinstance(at, CategoricalDistribution):
            return at.choices[int(rng.integers(len(at.choices)))]
        assert isinstance(at, FloatDistribution | IntDistribution)
        if at.step is not None and not at.log:
            steps = round((at.high - at.low) / at.step)
            return min(at.low + int(rng.integers(steps + 1)) * at.step, at.high)
        if at.log:
            drawn = float(np.exp(rng.uniform(np.log(at.low), np.log(at.high))))
        else:
            drawn = float(rng.uniform(at.low, at.high))
        return min(max(drawn, at.low), at.high)


def sampler_of(search: SearchConfig, process: int, trials: int, place: str) -> optuna.samplers.BaseSampler:
    """Make the sampler of one process.

    Args:
        search: The search.
        process: The process's number.
        trials: How many trials there are already: who goes on must not draw the same again.
        place: Attribute of a trial that tells its place.

    Returns:
        The sampler.

    Raises:
        TrainingError: Where it needs a library that is not there.
    """
    if search.sampler in ("random", "grid"):
        return RandomByPlace(search.seed, place)
    seed = seed_of(search.seed, process, trials) % 2**32
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if search.sampler == "tpe":
            return optuna.samplers.TPESampler(seed=seed, constant_liar=True)
        if importlib.util.find_spec("cmaes") is None:
            raise TrainingError("search.sampler: cmaes needs the package cmaes: pip install cmaes")
        return optuna.samplers.CmaEsSampler(seed=seed)


def pruner_of(search: SearchConfig) -> optuna.pruners.BasePruner:
    """Make the pruner."""
    if search.pruner == "median":
        return optuna.pruners.MedianPruner(search.startup_trials, n_warmup_steps=search.warmup_epochs + 1)
    if search.pruner == "hyperband":
        shortest = search.warmup_epochs + 1
        return optuna.pruners.HyperbandPruner(shortest, max(search.longest_epochs, shortest))
    return optuna.pruners.NopPruner()


def distribution_of(parameter: Parameter) -> BaseDistribution:
    """The same values in Optuna's words."""
    if parameter.choices is not None:
        return CategoricalDistribution(parameter.labels)
    low, high, step = parameter.low, parameter.high, parameter.step
    assert low is not None and high is not None
    if parameter.kind == "int":
        return IntDistribution(int(low), int(high), step=int(step or 1))
    return FloatDistribution(float(low), float(high), log=parameter.kind == "log", step=step)


__all__ = ["RandomByPlace", "distribution_of", "pruner_of", "sampler_of"]

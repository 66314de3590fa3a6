"""What is searched: a training configuration, the values to try for some keys, and how to choose among them.

Every end of every range is laid over the configuration and checked before anything starts, so that a search
does not find out at night that a key is misspelt.
"""

import json
import math
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from classifier.training import config as configs
from classifier.training import overrides, toml_file
from classifier.training.config import TrainConfig
from classifier.training.errors import TrainingError

Value = bool | int | float | str | list[int]
Sampler = Literal["random", "grid", "tpe", "cmaes"]
Pruner = Literal["none", "median", "hyperband"]

MAX_GRID: Final = 10_000
_FIXED: Final = (
    *("name", "data.manifest", "data.classes"),
    *("training.seed", "training.monitor", "training.devices", "training.keep"),
)
"""What all trials have to share, or what the search sets itself."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Parameter(_Section):
    """The values to try for one key.

    Attributes:
        kind: `float` and `int` are even between both ends, `log` between their logarithms; `categorical` is
            one of some.
        low: The lower end, which can be chosen itself, as the upper one can.
        high: The upper end.
        step: Distance of values that can be chosen; of `float` and `int`, which has 1 by default.
        points: How many values a grid has; of `float` and `log`.
        choices: Of `categorical`.
    """

    kind: Literal["float", "int", "log", "categorical"]
    low: int | float | None = None
    high: int | float | None = None
    step: Annotated[int | float, Field(gt=0)] | None = None
    points: Annotated[int, Field(ge=2)] | None = None
    choices: tuple[Value, ...] | None = None

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        if self.kind == "categorical":
            if not self.choices or len(set(self.labels)) < len(self.labels):
                raise ValueError("categorical needs choices, each once")
            if (self.low, self.high, self.step, self.points) != (None, None, None, None):
                raise ValueError("categorical has choices and nothing else")
            return self
        if self.choices is not None:
            raise ValueError(f"choices belong to categorical, not to {self.kind}")
        if self.low is None or self.high is None or self.low >= self.high:
            raise ValueError(f"{self.kind} needs low and high, low below high")
        self._check_range(self.low, self.high)
        return self

    def _check_range(self, low: float, high: float) -> None:
        if self.kind == "log" and low <= 0:
            raise ValueError("low: a logarithm needs more than 0")
        if self.kind == "int" and not all(type(end) is int for end in (low, high, self.step or 1)):
            raise ValueError("int has whole numbers")
        if self.kind == "int" and self.points:
            raise ValueError("points belong to float and log; int has a step")
        if self.step is None:
            return
        if self.kind == "log" or self.points:
            raise ValueError("step goes neither with log nor with points")
        steps = (high - low) / self.step
        if abs(steps - round(steps)) > 1e-6:
            raise ValueError("step: high is no whole number of steps from low")

    @property
    def labels(self) -> tuple[bool | int | float | str, ...]:
        """The choices as Optuna takes them: lists are written as text."""
        return tuple(json.dumps(value) if isinstance(value, list) else value for value in self.choices or ())

    def value_of(self, label: bool | int | float | str) -> Value:
        """The value that a label stands for."""
        for value, known in zip(self.choices or (), self.labels, strict=True):
            if known == label and type(known) is type(label):
                return value
        return label

    @property
    def ends(self) -> tuple[Value, ...]:
        """The values that all others lie between."""
        if self.choices is not None:
            return self.choices
        assert self.low is not None and self.high is not None
        return self.low, self.high

    @property
    def grid(self) -> tuple[bool | int | float | str, ...] | None:
        """The values a grid has, as labels; None where nobody said how many."""
        if self.choices is not None:
            return self.labels
        assert self.low is not None and self.high is not None
        low, high = self.low, self.high
        step = self.step or (1 if self.kind == "int" else None)
        if step is not None:
            return tuple(low + place * step for place in range(round((high - low) / step) + 1))
        if self.points is None:
            return None
        shares = [place / (self.points - 1) for place in range(self.points)]
        if self.kind == "log":
            inner = [low * (high / low) ** share for share in shares]
        else:
            inner = [low + share * (high - low) for share in shares]
        # Rounding must not leave the range.
        return tuple(min(max(value, low), high) for value in inner)


class SearchConfig(_Section):
    """A search.

    Attributes:
        base: What all trials share; its seed has no meaning, each trial has its own.
        space: Parameters by key, such as `optimizer.rate`.
        sampler: How values are chosen: `random`, the default, or every point of a `grid`, or by what came out
            so far (`tpe`, `cmaes`).
        pruner: Which trials are given up early: those below the `median` of the others at the same epoch, or
            those that lose a round of `hyperband`, or `none`.
        trials: How many.
        seed: Of all that is drawn. With `random` trial 7 is the same whatever the others are.
        startup_trials: Finished trials before the first one is given up; of `median`.
        warmup_epochs: Epochs that every trial gets.
    """

    base: TrainConfig
    space: Mapping[str, Parameter] = Field(min_length=1)
    sampler: Sampler = "random"
    pruner: Pruner = "median"
    trials: Annotated[int, Field(ge=1)] = 20
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    startup_trials: Annotated[int, Field(ge=1)] = 5
    warmup_epochs: Annotated[int, Field(ge=0)] = 1

    @property
    def monitor(self) -> str:
        """The figure that is searched for."""
        return self.base.training.monitor

    @property
    def maximises(self) -> bool:
        """Whether more of it is better."""
        return not self.monitor.endswith("loss")

    @property
    def longest_epochs(self) -> int:
        """The most epochs that a trial may have."""
        searched = self.space.get("training.epochs")
        return self.base.training.epochs if searched is None else int(max(map(_number, searched.ends)))

    def grid(self) -> Iterator[dict[str, bool | int | float | str]]:
        """Every point of the grid, as labels by key."""
        values = [parameter.grid or () for parameter in self.space.values()]
        for point in product(*values):
            yield dict(zip(self.space, point, strict=True))

    def config_of(self, labels: Mapping[str, Any], number: int, seed: int) -> TrainConfig:
        """The configuration of a trial.

        Args:
            labels: What was chosen, by key.
            number: The trial's.
            seed: Its own.

        Returns:
            What to train.

        Raises:
            TrainingError: Where values that are each right do not go together.
        """
        changes: dict[str, Any] = {key: self.space[key].value_of(label) for key, label in labels.items()}
        named = {"name": f"{self.base.name}-{number:04d}", "training.seed": seed}
        return overrides.applied(self.base, {**changes, **named}, f"trial {number}")

    def with_trials(self, trials: int) -> "SearchConfig":
        """The same search with another length."""
        return self.model_copy(update={"trials": trials})

    def with_base(self, base: TrainConfig) -> "SearchConfig":
        """The same search around another configuration; its keys are checked again."""
        changed = self.model_copy(update={"base": base})
        _check_keys(changed, base.name)
        return changed


def load(path: Path) -> SearchConfig:
    """Read a search's file: a training configuration with the table `[search]`.

    `search.base` names another training configuration, relative to this file, over which the rest is laid.

    Args:
        path: A TOML file.

    Returns:
        The search; a manifest's path is absolute.

    Raises:
        TrainingError: Where a file cannot be read, or a key is unknown, missing or wrong.
    """
    table = toml_file.read(path)
    search = table.pop("search", None)
    if not isinstance(search, dict):
        raise TrainingError(f"{path}: search: the table is missing")
    base = _base(path, table, search.pop("base", None))
    try:
        found = SearchConfig.model_validate(
            {**search, "base": base, "space": _flat(search.get("space", {}), str(path))}
        )
    except ValidationError as error:
        problems = [_told(problem) for problem in error.errors()]
        raise TrainingError(f"{path}: {'; '.join(problems)}") from error
    _check_keys(found, str(path))
    return found


def _base(path: Path, table: dict[str, Any], base: object) -> TrainConfig:
    folder = path.absolute().parent
    if isinstance(table.get("data"), dict) and table["data"].get("manifest"):
        table["data"]["manifest"] = str(folder / str(table["data"]["manifest"]))
    if base is None:
        return configs.parse(table, str(path))
    if not isinstance(base, str):
        raise TrainingError(f"{path}: search.base: has to be a file's name")
    changes = {}
    for key, value in table.items():
        inner = value.items() if isinstance(value, dict) else ()
        changes.update({f"{key}.{name}": one for name, one in inner} or {key: value})
    return overrides.applied(configs.load(folder / base), changes, str(path))


def _flat(space: object, file: str, inside: str = "") -> dict[str, Any]:
    """Parameters by their whole key, whether it was written in quotes or not."""
    if not isinstance(space, dict):
        raise TrainingError(f"{file}: search.space.{inside or '?'}: has to be a table with a kind")
    found: dict[str, Any] = {}
    for key, value in space.items():
        whole = f"{inside}.{key}" if inside else key
        is_parameter = isinstance(value, dict) and not isinstance(value.get("kind", {}), dict)
        found |= {whole: value} if is_parameter else _flat(value, file, whole)
    return found


def _check_keys(search: SearchConfig, file: str) -> None:
    """Lay the ends of each parameter over the base, one at a time."""
    if search.base.training.devices > 1:
        raise TrainingError(f"{file}: training.devices: a trial has one device; search in more processes")
    for key, parameter in search.space.items():
        if key in _FIXED:
            raise TrainingError(f"{file}: search.space: {key}: all trials share it")
        for value in parameter.ends:
            overrides.applied(search.base, {key: value}, f"{file}: search.space")
        if search.sampler == "grid" and parameter.grid is None:
            raise TrainingError(f"{file}: search.space: {key}: a grid needs points, or a step")
    if search.sampler == "grid":
        size = math.prod(len(parameter.grid or ()) for parameter in search.space.values())
        if size > MAX_GRID:
            raise TrainingError(f"{file}: search.space: a grid of {size} points is more than {MAX_GRID}")


def _told(problem: Any) -> str:
    reason = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        reason = "unknown key"
    return f"search.{'.'.join(map(str, problem['loc']))}: {reason}"


def _number(value: Value) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


__all__ = ["Parameter", "Pruner", "Sampler", "SearchConfig", "Value", "load"]

"""What a laboratory compares: one base configuration, and for each run what differs from it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from classifier.datasets import proxy
from classifier.training import config as configs
from classifier.training import overrides, toml_file
from classifier.training.config import TrainConfig
from classifier.training.errors import TrainingError

Share = Annotated[float, Field(ge=0, le=1)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TaskPlan(_Section):
    """The task, see `classifier.datasets.proxy.ProxySettings`.

    Attributes:
        count: How many pictures.
        seed: Of the drawing.
        side_px: Pictures are squares of this size.
        clutter: Objects beside the two that are always there, on average.
        decoy_share: Share of pictures with a striped polygon.
        noise_share: Share of labels that are wrong.
        copy_share: Share of pictures that are altered copies of others.
    """

    count: Annotated[int, Field(ge=100)] = 2000
    seed: Annotated[int, Field(ge=0)] = 0
    side_px: Annotated[int, Field(ge=24, le=512)] = 48
    clutter: Annotated[float, Field(ge=0)] = 1.0
    decoy_share: Share = 0.2
    noise_share: Share = 0.03
    copy_share: Share = 0.05

    def settings(self) -> proxy.ProxySettings:
        """As the drawing takes it."""
        values = self.model_dump(exclude={"side_px"})
        return proxy.ProxySettings(sizes_px=((self.side_px, self.side_px),), **values)


class LabPlan(_Section):
    """What is compared.

    Attributes:
        title: Of the page.
        notes: What explains a figure, below the table of architectures.
        seeds: Each configuration is trained once with each.
        architectures: Names of runs that are compared with each other.
        plain: The run that the options are laid upon.
        options: Names of runs that are compared with `plain`.
        dissected: The run that is looked at closely: attacks and worst errors.
        doubting: The run whose doubts rank the labels; empty: `dissected`.
        defence: What its preprocessing is defended with, see `classifier.models.defence`.
        task: What is learned.
        base: A training configuration that all share; names, data and seeds are filled in.
        runs: By name, what differs, as `section.key`.
    """

    title: str
    notes: tuple[str, ...] = ()
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = (0, 1, 2)
    architectures: Annotated[tuple[str, ...], Field(min_length=1)]
    plain: str
    options: tuple[str, ...] = ()
    dissected: str
    doubting: str = ""
    defence: str = "jpeg:75+median:3"
    task: TaskPlan = TaskPlan()
    base: Mapping[str, Any]
    runs: Mapping[str, Mapping[str, Any]]

    @model_validator(mode="after")
    def _names_fit(self) -> Self:
        if len(set(self.seeds)) < len(self.seeds) or not self.seeds:
            raise ValueError("seeds: at least one, and none twice")
        wanted = (*self.architectures, self.plain, *self.options, self.dissected, self.doubts)
        for name in wanted:
            if name not in self.runs:
                raise ValueError(f"runs.{name}: is missing, but named above")
        for name in self.runs:
            if name not in wanted:
                raise ValueError(f"runs.{name}: belongs neither to architectures nor to options")
        return self

    @property
    def doubts(self) -> str:
        """The run whose doubts rank the labels."""
        return self.doubting or self.dissected

    def configurations(self, manifest: Path) -> tuple[TrainConfig, ...]:
        """One configuration for each name, seeds left out.

        Args:
            manifest: Of training and validation items.

        Returns:
            In the order of the runs.

        Raises:
            TrainingError: Where a setting is unknown or wrong; the message names run and key.
        """
        return tuple(self._configuration(name, manifest) for name in self.runs)

    def _configuration(self, name: str, manifest: Path) -> TrainConfig:
        source = f"runs.{name}"
        side = {"preprocessing": f"imagenet-v1@{self.task.side_px}", "classes": list(proxy.CLASSES)}
        table = {"data": {**side, **self.base.get("data", {})}}
        base = configs.parse({**self.base, **table, "name": name}, source)
        settings = {key: _plain(value) for key, value in self.runs[name].items()}
        return overrides.applied(base, {**settings, "data.manifest": str(manifest.absolute())}, source)


def read(path: Path) -> LabPlan:
    """Read a plan.

    Args:
        path: TOML.

    Returns:
        The plan; whether its training settings are right is known once they are made.

    Raises:
        TrainingError: Where the file cannot be read, or a key is unknown or wrong.
    """
    table = toml_file.read(path)
    try:
        return LabPlan.model_validate(table)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise TrainingError(f"{path}: {where + ': ' if where else ''}{first['msg']}") from error


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


__all__ = ["LabPlan", "TaskPlan", "read"]

"""What a run is made of: one TOML file, read once into a frozen value.

An unknown key is an error that names the file and the key. The resolved configuration, defaults included, is
written back as TOML into the run's folder, so that it can be used again as it is. Nothing here needs torch.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from classifier import preprocess
from classifier.datasets import manifest
from classifier.datasets.values import DEFAULT_CLASSES, Dataset
from classifier.errors import ModelError
from classifier.models.freezing import FreezingSchedule
from classifier.models.model_config import ModelConfig
from classifier.training import toml_file
from classifier.training.devices import check_fit, checked_strategy
from classifier.training.errors import TrainingError

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Scalar = bool | int | float | str
Monitor = Literal[
    "validation_loss",
    "validation_accuracy",
    "validation_f1",
    "validation_pr_auc",
    "validation_roc_auc",
]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DataConfig(_Section):
    """What is trained on, and what a picture looks like when the network gets it.

    Attributes:
        manifest: Of the training and validation items; relative paths start from the file that says so.
            Empty: whoever starts the run names it.
        classes: The negative and the positive label.
        preprocessing: Id in `classifier.preprocess`: what validation and, later, the daemon make of a
            picture. It decides the size and the order of the channels.
        shapes: `square` pictures as the preprocessing leaves them, or `buckets`, which keep the whole picture
            in its shape, for networks that take any.
        area_px: Square root of the largest area with `buckets`; 0: the preprocessing's side.
        reduced_jpeg_px: JPEGs are decoded at a fraction of their size as long as that many pixels of the
            shorter side are left; 0: never.
        max_pixels: Larger pictures are an error.
        require_verified: Whether every item must carry the hash that `dataset build` found when it decoded
            the file in a confined process. Switch it off for files of your own making only.
        workers: Processes that decode; 0: none beside the main one. Changes speed alone.
    """

    manifest: str = ""
    classes: tuple[str, str] = DEFAULT_CLASSES
    preprocessing: str = "imagenet-v1"
    shapes: Literal["square", "buckets"] = "square"
    area_px: Annotated[int, Field(ge=0, le=4096)] = 0
    reduced_jpeg_px: Annotated[int, Field(ge=0)] = 0
    max_pixels: Count = 120_000_000
    require_verified: bool = True
    workers: Annotated[int, Field(ge=0, le=256)] = 0

    @field_validator("preprocessing")
    @classmethod
    def _known_preprocessing(cls, name: str) -> str:
        try:
            preprocess.get(name)
        except ModelError as error:
            raise ValueError(str(error)) from error
        return name


class AugmentConfig(_Section):
    """How training pictures are varied; the defaults leave them as they are.

    Attributes:
        flip: Chance of a mirrored picture.
        flip_vertical: Chance of one upside down.
        rotate_deg: Largest turn either way.
        shift: Largest shift, as a share of the side.
        shear_deg: Largest shear either way.
        crop_min_share: Smallest share of the area that a random crop keeps; 1: no random crop. Not with
            `buckets`, which never crop.
        brightness: Largest relative change.
        contrast: Likewise.
        saturation: Likewise.
        hue: Largest turn of the colour circle, 0..0.5.
        greyscale: Chance of a picture without colour.
        blur: Chance of a slightly blurred one.
        erase: Chance that a rectangle of 2 to 20 % of the area is painted over.
    """

    flip: Share = 0.0
    flip_vertical: Share = 0.0
    rotate_deg: Annotated[float, Field(ge=0, le=180)] = 0.0
    shift: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    shear_deg: Annotated[float, Field(ge=0, le=45)] = 0.0
    crop_min_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    brightness: Share = 0.0
    contrast: Share = 0.0
    saturation: Share = 0.0
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    greyscale: Share = 0.0
    blur: Share = 0.0
    erase: Share = 0.0


class LossConfig(_Section):
    """What is minimised.

    Attributes:
        kind: `cross_entropy`, or the margin of an SVM, `hinge` or `squared_hinge` (Tang 2013).
        label_smoothing: Share of each label that goes to the other; of `cross_entropy` only.
        class_weights: `balanced` makes both classes count alike, whatever their numbers.
    """

    kind: Literal["cross_entropy", "hinge", "squared_hinge"] = "cross_entropy"
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    class_weights: Literal["none", "balanced"] = "none"

    @model_validator(mode="after")
    def _smoothing_fits(self) -> Self:
        if self.label_smoothing and self.kind != "cross_entropy":
            raise ValueError("label_smoothing belongs to cross_entropy")
        return self


class OptimizerConfig(_Section):
    """How it is minimised.

    Attributes:
        name: `adam`, `adamw` or `sgd`.
        rate: Learning rate.
        weight_decay: L2; decoupled with `adamw`. Biases and normalisation layers are left out.
        momentum: Of `sgd`.
        warmup_steps: Steps in which the rate rises from almost nothing.
        schedule: `constant`, or `cosine` down to `final_share` of the rate at the last step.
        final_share: Of `cosine`.
        gradient_clip: Largest norm of the gradient; 0: any.
    """

    name: Literal["adam", "adamw", "sgd"] = "adam"
    rate: Positive = 0.003
    weight_decay: NotNegative = 0.0
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    schedule: Literal["constant", "cosine"] = "constant"
    final_share: Share = 0.0
    gradient_clip: NotNegative = 0.0


class SvmConfig(_Section):
    """The machine of `model.head = "svm"`; balanced class weights or sampling hold for it too.

    Attributes:
        c: How much a picture on the wrong side counts against a wide margin.
        folds: Of the cross-validation that calibrates it; near-duplicates and sources are not divided.
    """

    c: Positive = 1.0
    folds: Annotated[int, Field(ge=2, le=20)] = 5


class TrainingConfig(_Section):
    """How long, on what, and what is kept.

    Attributes:
        epochs: At most; 0 leaves the network as it begins, which only the head `svm` makes sense of.
        batch: Pictures of a batch at most; of each process with several devices.
        accumulate: Batches whose gradients make one step.
        seed: Of everything that is drawn.
        sampling: `shuffle` shows each picture once an epoch, `balanced` both classes equally often,
            `weighted` both classes equally often and within each its pictures as often as their weights say.
        ema_decay: Of an exponential moving average of the weights, which is then what is validated and kept;
            0: none.
        freezing: Which parts train from which epoch on, counted from 0, such as `head@0, late@2, early@5`;
            empty: all from the start. See `classifier.models.freezing`.
        monitor: The figure that decides which epoch is best and when to stop.
        patience: Epochs without an improvement after which to stop; 0: never.
        min_delta: What counts as an improvement.
        keep: Whether the weights of the `best` or of the `last` epoch are the run's result.
        checkpoint_every_steps: Steps between two checkpoints within an epoch; 0: at its end only.
        deterministic: Whether only algorithms are used that give equal results every time.
        precision: Lightning's name; `bf16-mixed` also works on a CPU, `16-mixed` is for GPUs.
        accelerator: Lightning's name.
        devices: How many; 0: all that there are (one process on a CPU).
        strategy: Lightning's name; see `devices`.
        threads: Of torch on the CPU; 0 leaves it alone. Other numbers may round differently.
    """

    epochs: Annotated[int, Field(ge=0)] = 30
    batch: Count = 64
    accumulate: Count = 1
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    sampling: Literal["shuffle", "balanced", "weighted"] = "shuffle"
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.0
    freezing: str = ""
    monitor: Monitor = "validation_loss"
    patience: Annotated[int, Field(ge=0)] = 0
    min_delta: NotNegative = 0.0
    keep: Literal["best", "last"] = "best"
    checkpoint_every_steps: Annotated[int, Field(ge=0)] = 0
    deterministic: bool = True
    precision: Literal["32-true", "16-mixed", "bf16-mixed"] = "32-true"
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    devices: Annotated[int, Field(ge=0)] = 1
    strategy: str = "auto"
    threads: Annotated[int, Field(ge=0)] = 0

    @field_validator("strategy")
    @classmethod
    def _known_strategy(cls, strategy: str) -> str:
        return checked_strategy(strategy)

    @field_validator("freezing")
    @classmethod
    def _known_schedule(cls, schedule: str) -> str:
        try:
            return FreezingSchedule.parse(schedule).name if schedule else ""
        except ModelError as error:
            raise ValueError(str(error)) from error


class TrainConfig(_Section):
    """A run.

    Attributes:
        name: For people; the run's folder and its card carry it.
        model: What to build, as `classifier.models.model_config.ModelConfig` names it; empty where whoever
            starts the run brings a network.
        data: What to train on.
        augment: How pictures are varied.
        loss: What is minimised.
        optimizer: How.
        training: How long and on what.
        svm: The head that is fitted to the features of the trained network, with `model.head = "svm"`.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    model: Mapping[str, Scalar | list[int]] = Field(default_factory=dict)
    data: DataConfig = DataConfig()
    augment: AugmentConfig = AugmentConfig()
    loss: LossConfig = LossConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    training: TrainingConfig = TrainingConfig()
    svm: SvmConfig = SvmConfig()

    @field_validator("model")
    @classmethod
    def _known_model(cls, model: Mapping[str, Scalar | list[int]]) -> Mapping[str, Scalar | list[int]]:
        try:
            return ModelConfig.from_values(model).to_values() if model else model
        except ModelError as error:
            raise ValueError(str(error)) from error

    @property
    def architecture(self) -> ModelConfig:
        """The model, as `build_model` takes it."""
        return ModelConfig.from_values(self.model)

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.data.shapes == "buckets":
            if self.augment.crop_min_share < 1:
                raise ValueError("augment.crop_min_share: buckets never crop")
            if self.training.sampling != "shuffle":
                raise ValueError("training.sampling: with buckets use loss.class_weights instead")
        head = self.model.get("head", "linear")
        if not self.training.epochs and head != "svm":
            raise ValueError("training.epochs: without any, only model.head = 'svm' can be fitted")
        if (head == "hinge") != (self.loss.kind != "cross_entropy") and self.model:
            raise ValueError("loss.kind: a hinge loss belongs to model.head = 'hinge', and to no other")
        check_fit(self.training)
        if self.training.checkpoint_every_steps and self.training.accumulate > 1:
            raise ValueError("training.checkpoint_every_steps: not together with training.accumulate")
        return self


def load(path: Path) -> TrainConfig:
    """Read a configuration.

    Args:
        path: A TOML file.

    Returns:
        The configuration; its manifest's path is absolute.

    Raises:
        TrainingError: Where the file cannot be read, or a key is unknown, missing or wrong.
    """
    config = parse(toml_file.read(path), str(path))
    if not config.data.manifest:
        return config
    return with_manifest(config, path.absolute().parent / config.data.manifest)


def parse(table: Mapping[str, Any], file: str) -> TrainConfig:
    """Check a table of settings.

    Args:
        table: As TOML gives it.
        file: Where it comes from, for messages.

    Returns:
        The configuration.

    Raises:
        TrainingError: Where a key is unknown, missing or wrong.
    """
    try:
        return TrainConfig.model_validate(table)
    except ValidationError as error:
        problems = [_told(problem["loc"], problem["type"], problem["msg"]) for problem in error.errors()]
        raise TrainingError(f"{file}: {'; '.join(problems)}") from error


def with_manifest(config: TrainConfig, path: Path) -> TrainConfig:
    """The same run on another manifest."""
    data = config.data.model_copy(update={"manifest": str(path.absolute())})
    return config.model_copy(update={"data": data})


def with_seed(config: TrainConfig, seed: int) -> TrainConfig:
    """The same run with other random numbers."""
    training = config.training.model_copy(update={"seed": seed})
    return config.model_copy(update={"training": training})


def read_dataset(config: TrainConfig) -> Dataset:
    """Read what the configuration says to train on.

    Args:
        config: The configuration.

    Returns:
        The dataset, fit for training.

    Raises:
        TrainingError: Where no manifest is named.
        DatasetError: Where the manifest is not fit for training.
    """
    if not config.data.manifest:
        raise TrainingError(f"{config.name}: no manifest is named (data.manifest)")
    return manifest.read(Path(config.data.manifest), config.data.classes).for_training()


def to_toml(config: TrainConfig) -> str:
    """The resolved configuration, every default written out."""
    lines = []
    tables = config.model_dump(mode="json")
    for key, value in tables.items():
        if not isinstance(value, dict):
            lines.append(f"{key} = {_value(value)}")
    for section, values in tables.items():
        if isinstance(values, dict):
            lines += ["", f"[{section}]", *(f"{json.dumps(k)} = {_value(v)}" for k, v in values.items())]
    return "\n".join(lines) + "\n"


def _value(value: Scalar | list[Scalar]) -> str:
    # JSON's strings, numbers, booleans and lists are TOML's, but for escaped surrogates and the delete sign.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _told(place: tuple[int | str, ...], kind: str, message: str) -> str:
    reason = "unknown key" if kind == "extra_forbidden" else message.removeprefix("Value error, ")
    key = ".".join(map(str, place))
    return f"{key}: {reason}" if key else reason


__all__ = [
    "AugmentConfig",
    "DataConfig",
    "LossConfig",
    "Monitor",
    "OptimizerConfig",
    "SvmConfig",
    "TrainConfig",
    "TrainingConfig",
    "load",
    "parse",
    "read_dataset",
    "to_toml",
    "with_manifest",
    "with_seed",
]

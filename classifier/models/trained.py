"""A finished run's folder as a model: its card, its verified weights, its network, and what scores.

The folder alone says what the network is, so nothing but it has to be kept, and weights that are not those
which `run.json` names are never used: a score names its maker by their hash.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, get_args

from classifier import preprocess
from classifier.errors import ModelError
from classifier.models.model_config import ModelConfig
from classifier.training import config as configs
from classifier.training import folder as folders
from classifier.training.config import TrainConfig
from classifier.training.folder import RunRecord
from classifier.values import Level, ModelCard

if TYPE_CHECKING:
    from torch import nn

    from classifier.engines.torch_engine import TorchEngine

DEFAULT_THRESHOLDS: Final[Mapping[Level, float]] = MappingProxyType(
    {"cautious": 0.95, "balanced": 0.8, "sensitive": 0.5}
)
"""Of a model for which none were chosen on data; the card says so."""
NOT_STATED: Final = "not stated"


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """What a finished run is as a model.

    Attributes:
        card: Who makes its scores.
        config: What its network is made of.
        weights: Its safetensors file; not verified yet, see `content`.
    """

    card: ModelCard
    config: ModelConfig
    weights: Path

    def content(self) -> bytes:
        """Read the weights.

        Returns:
            The bytes of the safetensors file; exactly those that were checked.

        Raises:
            ModelError: Where they are missing, or not those that the run has noted.
        """
        try:
            content = self.weights.read_bytes()
        except OSError as error:
            raise ModelError(f"{self.weights}: cannot be read: {error.strerror or error}") from error
        if hashlib.sha256(content).hexdigest() != self.card.weights_sha256:
            raise ModelError(
                f"{self.weights}: not the weights that {folders.RUN_NAME} names (wrong SHA-256): the file "
                "is damaged or was changed"
            )
        return content


def read(
    folder: Path,
    *,
    name: str = "",
    thresholds: Mapping[Level, float] | None = None,
    licence: str = NOT_STATED,
    source: str = "",
) -> TrainedModel:
    """Read what a run's folder says; needs no torch.

    Args:
        folder: A finished run's.
        name: Of the model; empty: the run's.
        thresholds: Those that were chosen, by level; `DEFAULT_THRESHOLDS` hold for the others.
        licence: SPDX identifier of the weights, as their owner states it.
        source: Where the model comes from, told before what the run itself says.

    Returns:
        The model.

    Raises:
        TrainingError: Where the folder holds no run.
        ModelError: Where the run is not finished or names no network, or the thresholds are none.
    """
    record = folders.read(folder)
    path = folder / folders.RUN_NAME
    if record.result is None:
        raise ModelError(f"{path}: the run is not finished yet: resume it first")
    config = configs.load(folder / folders.CONFIG_NAME)
    if not config.model:
        raise ModelError(
            f"{folder / folders.CONFIG_NAME}: names no network (model.name): it was brought by other code, "
            "which alone can load the weights"
        )
    try:
        card = _card(config, record, name or config.name, thresholds or {}, licence, source)
    except (KeyError, TypeError) as error:
        raise ModelError(f"{path}: is not a run's record: {error!r}") from error
    return TrainedModel(card, config.architecture, folder / folders.WEIGHTS_NAME)


def network(folder: Path) -> "nn.Module":
    """Build the network of a finished run from its folder alone.

    Args:
        folder: The run's.

    Returns:
        The network in eval mode: float32 (n, 3, h, w), 0..255, channels as the preprocessing leaves them, to
        logits (n, 2), of which the second is the positive class. Bit for bit the one that was validated.

    Raises:
        TrainingError: As `read`.
        ModelError: As `read`, and where the weights are damaged or do not fit.
    """
    from classifier.models.configured import restore

    model = read(folder)
    return restore(model.config, model.content())


def load(folder: Path, threads: int = 0) -> "TorchEngine":
    """Load a finished run as the reference engine: what is evaluated, and what every other is compared with.

    Args:
        folder: The run's.
        threads: Threads of one prediction; 0 leaves the number to the library.

    Returns:
        The classifier; its card carries the run's name and the thresholds of `DEFAULT_THRESHOLDS`.

    Raises:
        TrainingError: As `network`.
        ModelError: As `network`.
    """
    model = read(folder)
    return build(model.content(), model.card, model.config, threads)


def build(content: bytes, card: ModelCard, config: ModelConfig, threads: int = 0) -> "TorchEngine":
    """Make the reference engine of verified weights.

    Args:
        content: The safetensors file.
        card: The model's card.
        config: What the network is made of.
        threads: As for `load`.

    Returns:
        The classifier.

    Raises:
        ModelError: Where the weights do not fit.
    """
    from classifier.engines.torch_engine import TorchEngine
    from classifier.models.configured import restore

    return TorchEngine(restore(config, content), card, threads)


def checked_thresholds(chosen: Mapping[Level, float]) -> dict[Level, float]:
    """Complete and check thresholds.

    Args:
        chosen: Some or all of them, by level.

    Returns:
        One for each level.

    Raises:
        ModelError: Where a level is unknown, a threshold is not between 0 and 1, or a more cautious level
            would flag more.
    """
    if unknown := sorted(chosen.keys() - set(get_args(Level))):
        raise ModelError(f"unknown level {unknown[0]!r}; known: {', '.join(get_args(Level))}")
    thresholds: dict[Level, float] = {**DEFAULT_THRESHOLDS, **chosen}
    for level, value in thresholds.items():
        if not 0 < value < 1:
            raise ModelError(f"the threshold of {level} has to be between 0 and 1, not {value}")
    if not thresholds["cautious"] >= thresholds["balanced"] >= thresholds["sensitive"]:
        told = ", ".join(f"{level} {value:g}" for level, value in thresholds.items())
        raise ModelError(f"cautious must not flag more than balanced, nor that more than sensitive: {told}")
    return thresholds


def _card(
    config: TrainConfig,
    record: RunRecord,
    name: str,
    chosen: Mapping[Level, float],
    licence: str,
    source: str,
) -> ModelCard:
    assert record.result is not None
    data = f"trained on {record.data['name']}, content hash {record.data['hash']}"
    return ModelCard(
        name=name,
        architecture=_architecture(config.architecture, record.result.parameters),
        weights_sha256=record.result.weights_sha256,
        preprocessing=config.data.preprocessing,
        input_px=preprocess.get(config.data.preprocessing).input_px,
        thresholds=checked_thresholds(chosen),
        licence=licence,
        source=f"{source}{'; ' if source else ''}run {record.name} of {record.started}, {data}",
        failure_modes=_failure_modes(config, record, chosen),
    )


def _architecture(model: ModelConfig, parameters: int) -> str:
    parts = [model.name, f"{parameters / 1e6:.1f} M parameters"]
    if model.pooling != "average":
        parts.append("spatial pyramid pooling " + "-".join(map(str, model.pyramid_levels)))
    if model.attention != "none":
        parts.append(f"{model.attention} attention")
    if model.head != "linear":
        parts.append(f"{model.head} head")
    return ", ".join(parts)


def _failure_modes(config: TrainConfig, record: RunRecord, chosen: Mapping[Level, float]) -> tuple[str, ...]:
    negative, positive = config.data.classes
    modes = [
        f"Trained on {record.data['name']} to tell {positive!r} from {negative!r}, and not measured on "
        "anything else: what it makes of other pictures is unknown until it is evaluated on them.",
    ]
    if missing := [level for level in DEFAULT_THRESHOLDS if level not in chosen]:
        modes.append(f"No threshold was chosen on data for: {', '.join(missing)}.")
    if config.loss.kind != "cross_entropy":
        modes.append("Trained by margin: scores rank pictures, but are no chances until they are calibrated.")
    if config.data.shapes == "buckets":
        modes.append(
            "Trained on whole pictures in their own shape, but scored on what its preprocessing leaves of "
            "them, a square: its validation figures do not hold for that."
        )
    modes.append(
        "Changes that people hardly see can move a score from one end to the other, unless an evaluation of "
        "its robustness says otherwise."
    )
    modes.append("Single frames are judged: sound, text, motion and context do not count.")
    return tuple(modes)


__all__ = [
    "DEFAULT_THRESHOLDS",
    "NOT_STATED",
    "TrainedModel",
    "build",
    "checked_thresholds",
    "load",
    "network",
    "read",
]

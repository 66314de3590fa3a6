"""How to train on from the deployed model: its network, weights and preprocessing, by what feedback needs."""

from pathlib import Path
from typing import Any

from classifier.datasets.values import DEFAULT_CLASSES
from classifier.errors import ModelError
from classifier.models import added, catalogue
from classifier.models.model_config import ModelConfig
from classifier.training import config as configs
from classifier.training.config import TrainConfig
from classifier.values import ModelCard


def from_weights(
    config: TrainConfig, card: ModelCard, cache_directory: Path | None, file: Path
) -> TrainConfig:
    """A training configuration that goes on from a model's weights.

    Args:
        config: How to train; its model and preprocessing are replaced.
        card: The model's.
        cache_directory: Where models are kept.
        file: Manifest to train on.

    Returns:
        The configuration. Both classes are shown equally often, and pictures by their weights; with buckets,
        which have no such sampling, classes are weighed in the loss and the pictures' weights do not count.

    Raises:
        ModelError: Where the weights are not here, or the network is none of ours.
        TrainingError: Where the rest of the configuration does not go with that model.
    """
    network = _network(card.name, cache_directory)
    path = catalogue.fetch(card.name, cache_directory)
    table: dict[str, Any] = config.model_dump()
    dropout = float(config.model.get("dropout", network.dropout))  # type: ignore[arg-type]
    table["model"] = {**network.to_values(), "pretrained": str(path), "dropout": dropout}
    table["data"] |= {"manifest": str(file), "preprocessing": card.preprocessing, "classes": DEFAULT_CLASSES}
    if (network.head == "hinge") != (config.loss.kind != "cross_entropy"):
        table["loss"] |= {"kind": "hinge" if network.head == "hinge" else "cross_entropy"}
        table["loss"] |= {"label_smoothing": 0.0} if network.head == "hinge" else {}
    if config.data.shapes == "square":
        table["training"]["sampling"] = "weighted"
    else:
        table["loss"]["class_weights"] = "balanced"
    return configs.parse(table, f"{config.name}, with the network of {card.name}")


def _network(name: str, cache_directory: Path | None) -> ModelConfig:
    if (found := added.find(name, cache_directory)) is not None:
        return found.architecture
    if name in catalogue.published():
        return ModelConfig(name)
    raise ModelError(
        f"{name} cannot be trained on: only its scores are ours, not its network. Make another model active "
        "first (models promote)"
    )


__all__ = ["from_weights"]

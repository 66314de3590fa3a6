"""The last step of a run with `model.head = "svm"`: a machine is fitted to the features of what was trained.

Features are taken of training pictures as they are scored, not as they are varied, and folds divide neither
near-duplicates nor sources. All of it follows from weights, data and seed, so whoever was killed in here and
resumes gets an equal head. The figures told afterwards are of the network with that head.
"""

import logging
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from safetensors.torch import load as safetensors_state
from torch import Tensor, nn

from classifier.datasets.near import connected, duplicate_groups, first_of_equals
from classifier.datasets.values import Dataset
from classifier.models import svm_head
from classifier.models.configured import ConfiguredNetwork
from classifier.training.config import TrainConfig
from classifier.training.data import Pictures, plain_loader
from classifier.training.errors import TrainingError
from classifier.training.folder import Row
from classifier.training.keeping import weights_bytes
from classifier.training.module import validation_figures
from classifier.training.objective import plain_loss_of
from classifier.training.order import in_order

_log = logging.getLogger(__name__)

_MAX_FEATURE_BYTES = 4 * 1024**3
"""Of all features in double precision; fitting holds them about twice."""


def is_wanted(config: TrainConfig) -> bool:
    """Whether the run ends with fitting a machine."""
    return config.model.get("head") == "svm"


def require(network: nn.Module, dataset: Dataset, config: TrainConfig) -> None:
    """Find out before anything is trained whether a machine can be fitted afterwards.

    Args:
        network: What is about to be trained.
        dataset: Training and validation items.
        config: The run's.

    Raises:
        TrainingError: Where the network is not of this project, has too many features, or there are fewer
            independent pictures of a class than folds.
        ModelError: Where scikit-learn is missing.
    """
    svm_head.require_sklearn()
    if not isinstance(network, ConfiguredNetwork):
        raise TrainingError(f"{config.name}: model.head = 'svm' needs a network of this project")
    training = dataset.part("train")
    size_bytes = 8 * len(training) * network.head.in_features
    if size_bytes > _MAX_FEATURE_BYTES:
        raise TrainingError(
            f"{config.name}: the support vector machine would need {size_bytes / 1e9:.0f} GB for "
            f"{network.head.in_features} features of {len(training)} pictures; fewer model.pyramid_levels, "
            "or model.pooling = 'average', make them fewer"
        )
    independent: dict[str, set[str]] = {label: set() for label in dataset.classes}
    for item, group in zip(training.items, _groups(training), strict=True):
        independent[item.label].add(group)
    for label, groups in independent.items():
        if len(groups) < config.svm.folds:
            raise TrainingError(
                f"{config.name}: svm.folds = {config.svm.folds}, but the training pictures labelled "
                f"{label!r} come from {len(groups)} sources, near-duplicates taken as one"
            )


def fit_head(
    network: nn.Module,
    content: bytes,
    dataset: Dataset,
    config: TrainConfig,
    *,
    device: torch.device,
    progress: bool = False,
) -> tuple[bytes, Row]:
    """Fit the head to the features of the kept weights, and look at what has become of the network.

    Args:
        network: What was trained; is left on the CPU with the kept weights and the fitted head.
        content: The kept weights as safetensors.
        dataset: Training and validation items.
        config: The run's.
        device: Where the network computes.
        progress: Whether to show a bar.

    Returns:
        The network's weights as safetensors, and its figures on the validation set.

    Raises:
        ModelError: Where the features cannot be fitted.
        DatasetError: Where a picture cannot be read.
    """
    assert isinstance(network, ConfiguredNetwork)  # `require` has seen to that
    training = dataset.part("train")
    network.load_state_dict(safetensors_state(content))
    network.eval().to(device)
    try:
        with torch.inference_mode():
            features, targets = _features(network, training, config, progress)
        fitted = svm_head.fit(
            features,
            targets,
            groups=_groups(training),
            c=config.svm.c,
            balanced=config.loss.class_weights == "balanced" or config.training.sampling != "shuffle",
            folds=config.svm.folds,
            seed=config.training.seed,
        )
        svm_head.install(network, fitted)
        with torch.inference_mode():
            figures = _figures(network, dataset.part("validation"), config, progress)
    finally:
        network.cpu()
    _log.info(
        "svm_fitted", extra={"run": config.name, "pictures": len(targets), "features": len(fitted.weight)}
    )
    return weights_bytes(network), figures


def _features(
    network: ConfiguredNetwork, dataset: Dataset, config: TrainConfig, progress: bool
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Features (n, head.in_features) and targets (n,), in the order of the items."""
    pictures = Pictures(dataset, config.data)
    order = [
        draw.item
        for batch in in_order(len(dataset), config.training.batch, pictures.buckets)
        for draw in batch
    ]
    found = np.empty((len(dataset), network.head.in_features), np.float32)
    done = 0
    for pixels, _ in _batches(network, pictures, config, "features" if progress else ""):
        found[order[done : done + len(pixels)]] = network.features(pixels).float().cpu().numpy()
        done += len(pixels)
    return found, np.asarray(pictures.targets)


def _figures(network: ConfiguredNetwork, dataset: Dataset, config: TrainConfig, progress: bool) -> Row:
    shown = "validation" if progress else ""
    batches = _batches(network, Pictures(dataset, config.data), config, shown)
    parts = [(network(pixels).float().cpu(), targets) for pixels, targets in batches]
    logits, targets = (torch.cat(column) for column in zip(*parts, strict=True))
    loss = float(plain_loss_of(config.loss)(logits, targets))
    scores: NDArray[np.float32] = logits.softmax(1)[:, 1].numpy()
    return {"validation_loss": loss, **validation_figures(scores, targets.numpy())}


def _batches(
    network: ConfiguredNetwork, pictures: Pictures, config: TrainConfig, shown: str
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches as float32 (n, 3, h, w) where the network is, and their targets."""
    loader = plain_loader(pictures, config.training.batch, config.data.workers)
    batches: Iterable[tuple[Tensor, Tensor]] = loader
    device = network.head.weight.device
    for pixels, targets in track(batches, shown, len(loader), disable=not shown):
        yield pixels.to(device).float(), targets


def _groups(dataset: Dataset) -> list[str]:
    """What must not be divided, near-duplicates and sources, by the number of its first item."""
    sources = first_of_equals(item.source or None for item in dataset.items)
    return [str(first) for first in connected(duplicate_groups(dataset.items), sources).tolist()]


__all__ = ["fit_head", "is_wanted"]

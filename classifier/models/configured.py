"""From a config to a network: trunk, pooling, dropout and head, the same shape whatever it is made of.

The convention is that of `architectures`: float32 (n, 3, h, w), 0..255, channels as its preprocessing leaves
them, to logits (n, 2) of which the second is NSFW, with the normalisation inside. So whatever is built here
is scored, exported and quantised like every other network; a hinge loss or a support vector machine is how
the last layer came about, not another way to run.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from classifier.errors import ModelError
from classifier.models import architectures, starting_weights, trunks
from classifier.models.model_config import PRETRAINED_WORDS, ModelConfig
from classifier.models.pyramid import SpatialPyramidPooling

_CLASSES = 2
_OWN_PREFIX = "trunk."


class AveragePooling(nn.Module):
    """The mean of a feature map."""

    def forward(self, features: Tensor) -> Tensor:
        """Pool (n, channels, h, w) to (n, channels)."""
        return features.mean((2, 3))


class ConfiguredNetwork(nn.Module):
    """A network of the laboratory.

    Args:
        config: What it is made of; kept for whoever writes it down.
        trunk: Its layers, with their starting weights.
    """

    mean: Tensor
    deviation: Tensor | None

    def __init__(self, config: ModelConfig, trunk: trunks.Trunk) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("mean", trunk.mean, persistent=False)
        self.register_buffer("deviation", trunk.deviation, persistent=False)
        self.trunk = trunk.layers
        self.pooling: nn.Module = nn.Identity() if trunk.is_pooled else AveragePooling()
        self.neck: nn.Module = trunk.neck or nn.Identity()
        size = trunk.channels if trunk.neck is None else cast(nn.Linear, trunk.neck[0]).out_features
        head = trunk.head
        if config.pooling == "spatial_pyramid":
            self.pooling = pyramid = SpatialPyramidPooling(config.pyramid_levels)
            # A hidden layer over all cells would be the largest part of the network by far.
            self.neck, size, head = nn.Identity(), trunk.channels * pyramid.cells, None
        self.dropout = nn.Dropout(config.dropout)
        self.head = head or nn.Linear(size, _CLASSES)

    def features(self, pixels: Tensor) -> Tensor:
        """Compute what the head sees, for a head that is found elsewhere.

        Args:
            pixels: float32 (n, 3, h, w), 0..255. Of any size where a pyramid pools; the other poolings take
                any size too, though only `input_px` was meant.

        Returns:
            float32 (n, head.in_features).
        """
        pixels = pixels - self.mean
        if self.deviation is not None:
            pixels = pixels / self.deviation
        return cast(Tensor, self.neck(self.pooling(self.trunk(pixels))))

    def forward(self, pixels: Tensor) -> Tensor:
        """Compute the logits: as `features`, to float32 (n, 2)."""
        return cast(Tensor, self.head(self.dropout(self.features(pixels))))


@dataclass(frozen=True, slots=True)
class ModelInput:
    """What a model wants to be fed.

    Attributes:
        preprocessing: Id in `classifier.preprocess`.
        input_px: Side of its square pictures in pixels.
    """

    preprocessing: str
    input_px: int


def model_input(config: ModelConfig, input_px: int = 224) -> ModelInput:
    """Find the preprocessing that belongs to a model.

    Args:
        config: The model.
        input_px: Side of its pictures; another one than 224 is for small networks on small pictures.

    Raises:
        ModelError: Where the network is unknown, or takes only one size.
    """
    if config.is_timm or config.name != "open_nsfw":
        usual = architectures.IMAGENET_PREPROCESSING
        if not config.is_timm:
            usual = architectures.describe(config.name).preprocessing
        return ModelInput(usual if input_px == 224 else f"{usual}@{input_px}", input_px)
    described = architectures.describe(config.name)
    if input_px != described.input_px:
        raise ModelError(f"{config.name} takes pictures of {described.input_px} px, not {input_px}")
    return ModelInput(described.preprocessing, described.input_px)


def build_model(
    config: ModelConfig, *, seed: int | None = None, cache_directory: Path | None = None
) -> ConfiguredNetwork:
    """Build a model with its starting weights; asks the network only for `torchvision` and `timm`.

    Args:
        config: What to build. `pretrained` may name a file that `save` wrote for the same config: then all
            of it is loaded, the head too.
        seed: Chooses what is drawn, and leaves others' random numbers alone; None: torch's state does.
        cache_directory: Where the weights of open_nsfw are kept; None: the user's cache folder.

    Returns:
        The network in eval mode, all parameters trainable.

    Raises:
        ModelUnreachable: Where weights cannot be downloaded; it says how to provide the file.
        ModelError: Where a part is unknown, or weights are missing or do not fit.
    """
    if seed is None:
        return _build(config, cache_directory)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _build(config, cache_directory)


def _build(config: ModelConfig, cache_directory: Path | None) -> ConfiguredNetwork:
    own = None
    if config.pretrained not in PRETRAINED_WORDS:
        state = starting_weights.read_file(Path(config.pretrained))
        own = state if any(name.startswith(_OWN_PREFIX) for name in state) else None
    start = config if own is None else without_start(config)
    network = ConfiguredNetwork(config, trunks.make(start, cache_directory)).eval()
    if own is not None:
        _load_all(network, own, config.pretrained)
    return network


def without_start(config: ModelConfig) -> ModelConfig:
    """The same model with nothing to load first, for weights that come from elsewhere."""
    return replace(config, pretrained="none")


def save(network: ConfiguredNetwork) -> bytes:
    """Write a network's weights down as safetensors; equal weights give equal bytes."""
    return safetensors.torch.save(
        {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    )


def restore(config: ModelConfig, content: bytes) -> ConfiguredNetwork:
    """Build a trained model from its config and weights alone: needs no starting weights and no network.

    Args:
        config: What it was built from.
        content: What `save` gave; the caller has verified its hash.

    Returns:
        The network in eval mode; its scores are those of the one that was saved, bit for bit.

    Raises:
        ModelError: Where the weights are not safetensors or do not fit.
    """
    try:
        state = safetensors.torch.load(content)
    except safetensors.SafetensorError as error:
        raise ModelError(f"{config.name}: the weights are not a safetensors file: {error}") from error
    network = build_model(without_start(config), seed=0)
    network.config = config
    _load_all(network, state, f"the weights of {config.name}")
    return network


def _load_all(network: ConfiguredNetwork, state: starting_weights.State, source: str) -> None:
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:500]
        raise ModelError(f"{source}: was saved from another model than this config: {reason}") from error


__all__ = [
    "AveragePooling",
    "ConfiguredNetwork",
    "ModelConfig",
    "ModelInput",
    "build_model",
    "model_input",
    "restore",
    "save",
    "without_start",
]

"""A known network taken apart: what makes features, what pools them, and what lies between that and the head.

So that another pooling, another head or a schedule for freezing can be asked for without a word about each
architecture. Weights are loaded while the network is still whole, when its names are those of the files.
"""

from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import torch
from torch import Tensor, nn

from classifier.errors import ModelError, ModelUnreachable
from classifier.models import architectures, attention, starting_weights
from classifier.models.model_config import TIMM_PREFIX, ModelConfig
from classifier.models.open_nsfw import MEAN_BGR, OpenNsfw
from classifier.torch_compat import import_torchvision


@dataclass(frozen=True, slots=True)
class Trunk:
    """A network without its head.

    Attributes:
        layers: Normalised pictures to a map (n, channels, h, w), or to vectors where `is_pooled`.
        channels: Of the map.
        mean: Of the pictures it was made for, float32 (1, 3, 1, 1), in 0..255.
        deviation: Likewise; None where it was not used.
        neck: What lies between the mean of the map and the head, with weights of its own; None: nothing.
        head: The head that came with the starting weights, to be kept; None where there was none that fits.
        is_pooled: Whether the layers end with a pooling of their own.
    """

    layers: nn.Module
    channels: int
    mean: Tensor
    deviation: Tensor | None
    neck: nn.Sequential | None = None
    head: nn.Linear | None = None
    is_pooled: bool = False


def make(config: ModelConfig, cache_directory: Path | None = None) -> Trunk:
    """Build the trunk of a model, with its starting weights and its attention in place.

    Args:
        config: The model.
        cache_directory: Where the weights of open_nsfw are kept; None: the user's cache folder.

    Raises:
        ModelError: Where a part is unknown or weights are missing or do not fit.
    """
    if config.is_timm:
        return _timm(config)
    describe = architectures.describe(config.name)
    network = architectures.build(config.name)
    # torchvision's names have no prefix of ours; the head's neither.
    whole = network if isinstance(network, OpenNsfw) else network.get_submodule("backbone")
    head = describe.head.removeprefix("backbone.")
    keeps_head = False
    state = _starting_state(config, cache_directory)
    if state is not None:
        keeps_head = starting_weights.load(whole, state, head, config.pretrained)
    if config.attention != "none":
        attention.insert(config.name, whole, config.attention, config.attention_reduction)
    if isinstance(whole, OpenNsfw):
        return _open_nsfw(whole, keeps_head)
    return _torchvision(whole, whole.get_submodule(head) if keeps_head else None)


def _starting_state(config: ModelConfig, cache_directory: Path | None) -> starting_weights.State | None:
    if config.pretrained == "none":
        return None
    if config.pretrained == "torchvision":
        return starting_weights.from_torchvision(config.name)
    if config.pretrained == "open_nsfw":
        return starting_weights.from_open_nsfw(cache_directory)
    return starting_weights.read_file(Path(config.pretrained))


def _open_nsfw(whole: OpenNsfw, keeps_head: bool) -> Trunk:
    stem = nn.Sequential(OrderedDict(conv=whole.stem, relu=whole.relu, pool=whole.pool))
    layers = nn.Sequential(OrderedDict(stem=stem, stages=whole.stages))
    mean = torch.tensor(MEAN_BGR).view(1, 3, 1, 1)
    return Trunk(layers, whole.head.in_features, mean, None, head=whole.head if keeps_head else None)


def _torchvision(whole: nn.Module, head: nn.Module | None) -> Trunk:
    mean, deviation = (
        torch.tensor(channels).view(1, 3, 1, 1) * 255
        for channels in (architectures.IMAGENET_MEAN_RGB, architectures.IMAGENET_DEVIATION_RGB)
    )
    parts = dict(whole.named_children())
    if "features" not in parts:
        stem = nn.Sequential(OrderedDict((name, parts[name]) for name in ("conv1", "bn1", "relu", "maxpool")))
        stages = ((name, parts[name]) for name in ("layer1", "layer2", "layer3", "layer4"))
        layers = nn.Sequential(OrderedDict([("stem", stem), *stages]))
        channels = cast(int, parts["fc"].in_features)
        return Trunk(layers, channels, mean, deviation, head=_linear(head))
    classifier = cast(nn.Sequential, parts["classifier"])
    first = next(layer for layer in classifier if isinstance(layer, nn.Linear | nn.Conv2d))
    channels = first.in_features if isinstance(first, nn.Linear) else first.in_channels
    # MobileNetV3 has a hidden layer before the last, with weights of its own that are worth keeping.
    neck = nn.Sequential(classifier[0], classifier[1]) if first is classifier[0] else None
    return Trunk(parts["features"], channels, mean, deviation, neck, _linear(head))


def _linear(head: nn.Module | None) -> nn.Linear | None:
    """SqueezeNet's head is left: it is trained below a rectifier, and means something else without it."""
    return head if isinstance(head, nn.Linear) else None


class _TimmMap(nn.Module):
    """A model of timm that stops before it pools."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pictures: Tensor) -> Tensor:
        """Map (n, 3, h, w) to (n, channels, h, w)."""
        return cast(Tensor, cast(Any, self.model).forward_features(pictures))


def _timm(config: ModelConfig) -> Trunk:
    timm = import_timm()
    model = _timm_model(timm, config)
    settings = model.default_cfg
    head = model.get_submodule(settings["classifier"]) if isinstance(settings["classifier"], str) else None
    keeps_head = False
    if config.pretrained not in ("none", "timm"):
        state = starting_weights.read_file(Path(config.pretrained))
        keeps_head = starting_weights.load(model, state, settings["classifier"], config.pretrained)
    model.reset_classifier(0)
    mean, deviation = (torch.tensor(settings[what]).view(1, 3, 1, 1) * 255 for what in ("mean", "std"))
    if config.pooling == "average":
        channels = int(getattr(model, "head_hidden_size", None) or model.num_features)
        kept = _linear(head) if keeps_head else None
        return Trunk(model, channels, mean, deviation, head=kept, is_pooled=True)
    channels = int(model.num_features)
    _check_map(model, channels, config.name)
    return Trunk(_TimmMap(model), channels, mean, deviation)


def _timm_model(timm: ModuleType, config: ModelConfig) -> Any:
    name = config.name.removeprefix(TIMM_PREFIX)
    if name.partition(".")[0] not in timm.list_models():
        raise ModelError(f"timm {timm.__version__} knows no model {name!r}")
    try:
        model = timm.create_model(name, pretrained=config.pretrained == "timm", num_classes=2)
    except (OSError, RuntimeError, ValueError) as error:
        raise ModelUnreachable(
            f"timm cannot make {name} with its weights ({error}). Bring the file here and name it "
            f'(pretrained = "PATH/model.safetensors"), or begin without weights: pretrained = "none"'
        ) from error
    return model.eval()


def _check_map(model: Any, channels: int, name: str) -> None:
    with torch.no_grad():
        found = model.forward_features(torch.zeros(1, *model.default_cfg["input_size"]))
    if found.ndim != 4 or found.shape[1] != channels:
        raise ModelError(f"{name} makes no map of features that a spatial pyramid could be laid on")


def import_timm() -> ModuleType:
    """Import timm, which only the laboratory needs.

    Raises:
        ModelError: Where it is not installed; it says how to install it.
    """
    try:
        import_torchvision()  # timm imports it, too, and knows no help
        import timm
    except ModuleNotFoundError as error:
        raise ModelError(
            f"models of timm need the package {error.name}: python -m pip install 'commons-nsfw-bot[train]' "
            "(or: python -m pip install timm)"
        ) from error
    return timm


__all__ = ["Trunk", "import_timm", "make"]

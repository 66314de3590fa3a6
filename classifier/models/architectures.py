"""The networks that can be built by name: to be trained in the laboratory, exported, and measured in the zoo.

Every network keeps one convention, whatever its family: pictures as float32 0..255 in, two logits out, and
everything between (scaling, mean, deviation) inside the module. So whoever runs it needs to know nothing but
the name of its preprocessing. No weights are loaded here: a built network is either bare, for weights that
are loaded next, or seeded, for tests and for measuring speed and memory, which do not depend on the weights.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from classifier.errors import ModelError
from classifier.models.open_nsfw import OpenNsfw
from classifier.torch_compat import import_torchvision

IMAGENET_PREPROCESSING = "imagenet-v1"
"""Shorter side to 256 px (bilinear with antialiasing), centre crop 224 px, RGB."""
IMAGENET_MEAN_RGB = (0.485, 0.456, 0.406)
"""Mean of ImageNet's pictures per channel, scaled to 0..1; the figures that torchvision's weights use."""
IMAGENET_DEVIATION_RGB = (0.229, 0.224, 0.225)
"""Standard deviation, likewise."""

_SEEDED_PICTURES, _SEEDED_PX = 8, 160
_SEEDED_MARGIN = 2.0
"""Standard deviation of the difference of a seeded network's logits: scores then spread over most of 0..1."""


class ImageNetNetwork(nn.Module):
    """One of torchvision's classification networks with its normalisation inside.

    Args:
        backbone: Maps normalised float32 (n, 3, h, w), RGB, to logits (n, classes). Its state has
            torchvision's names, prefixed with `backbone.`.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        for name, channels in (("mean", IMAGENET_MEAN_RGB), ("deviation", IMAGENET_DEVIATION_RGB)):
            scaled = torch.tensor(channels).view(1, 3, 1, 1) * 255
            self.register_buffer(name, scaled, persistent=False)
        self.backbone = backbone

    def forward(self, pixels: Tensor) -> Tensor:
        """Compute the logits.

        Args:
            pixels: float32 (n, 3, 224, 224), 0..255, RGB.

        Returns:
            float32 (n, classes).
        """
        return cast(Tensor, self.backbone((pixels - self.mean) / self.deviation))


@dataclass(frozen=True, slots=True)
class Architecture:
    """A network's shape, before it has weights.

    Attributes:
        name: Under which `build` knows it.
        preprocessing: Id in `classifier.preprocess` of what it wants to be fed.
        input_px: Side of the square input in pixels.
        head: Name of the last layer in the built module, the one that is trained anew for other classes.
    """

    name: str
    preprocessing: str
    input_px: int
    head: str


_ARCHITECTURES = {
    architecture.name: architecture
    for architecture in (
        Architecture("open_nsfw", "open_nsfw-v1", 224, "head"),
        Architecture("resnet50", IMAGENET_PREPROCESSING, 224, "backbone.fc"),
        Architecture("squeezenet1_0", IMAGENET_PREPROCESSING, 224, "backbone.classifier.1"),
        Architecture("squeezenet1_1", IMAGENET_PREPROCESSING, 224, "backbone.classifier.1"),
        Architecture("mobilenet_v2", IMAGENET_PREPROCESSING, 224, "backbone.classifier.1"),
        Architecture("mobilenet_v3_large", IMAGENET_PREPROCESSING, 224, "backbone.classifier.3"),
        Architecture("efficientnet_b0", IMAGENET_PREPROCESSING, 224, "backbone.classifier.1"),
    )
}


def known() -> tuple[str, ...]:
    """The names that the other functions accept."""
    return tuple(_ARCHITECTURES)


def describe(name: str) -> Architecture:
    """What is known about a network without building it.

    Raises:
        ModelError: Where there is none of that name.
    """
    try:
        return _ARCHITECTURES[name]
    except KeyError:
        raise ModelError(f"unknown network {name!r}; known: {', '.join(_ARCHITECTURES)}") from None


def build(name: str, *, seed: int | None = None, classes: int = 2) -> nn.Module:
    """Build a network.

    Args:
        name: One of `known`.
        seed: Chooses the weights, so that equal seeds give equal networks; statistics of batch
            normalisation and the size of the logits are then settled on drawn pictures, as training
            would. None: bare, with the library's initial weights, for weights that are loaded next.
        classes: Logits a picture; 2 everywhere in this project (0: safe, 1: NSFW), 1000 to load
            published ImageNet weights before the head is exchanged. `open_nsfw` has 2.

    Returns:
        A module in eval mode; float32 (n, 3, input_px, input_px), 0..255, channels as its preprocessing
        leaves them, to logits (n, classes).

    Raises:
        ModelError: Where there is no network of that name, or it cannot have so many classes.
    """
    architecture = describe(name)
    make = _open_nsfw if name == "open_nsfw" else _from_torchvision
    if seed is None:
        return make(name, classes).eval()
    # Others' random numbers must not depend on whether a network was built in between.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = make(name, classes).eval()
        with torch.no_grad():
            _settle(network, architecture)
    return network


def _open_nsfw(name: str, classes: int) -> nn.Module:
    if classes != 2:
        raise ModelError(f"{name} has 2 classes, not {classes}")
    return OpenNsfw()


def _from_torchvision(name: str, classes: int) -> nn.Module:
    models = import_torchvision().models
    get_model = cast(Callable[..., nn.Module], models.get_model)
    return ImageNetNetwork(get_model(name, weights=None, num_classes=classes))


def _settle(network: nn.Module, architecture: Architecture) -> None:
    """Give a random network the ranges of a trained one: else activations grow or vanish layer by layer.

    Then quantising would measure nothing but the explosion, and numbers too small for the processor's fast
    path would falsify the speed.
    """
    pictures = _drawn_pictures(_SEEDED_PICTURES, _SEEDED_PX)
    layers = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # a plain mean over the batches seen
        layer.train()
    network(pictures)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
        layer.eval()
        assert layer.running_var is not None
        # A channel that happened to be still on the drawn pictures would be blown up on all others.
        layer.running_var.clamp_min_(layer.running_var.mean())
    head = network.get_submodule(architecture.head)
    assert isinstance(head, nn.Linear | nn.Conv2d) and head.bias is not None
    torch.nn.init.zeros_(head.bias)
    if isinstance(head, nn.Conv2d):
        # SqueezeNet rectifies its logits; above zero, so that they stay what they are.
        torch.nn.init.constant_(head.bias, 3 * _SEEDED_MARGIN)
    logits = network(pictures)
    spread = (logits - logits.mean(0)).std()
    head.weight.mul_(_SEEDED_MARGIN / 2**0.5 / spread.clamp_min(1e-12))
    head.bias.add_(network(pictures).mean() - network(pictures).mean(0))


def _drawn_pictures(count: int, side: int) -> Tensor:
    """Draw coloured clouds, coarse to fine like photographs: float32 (count, 3, side, side), 0..255."""
    pictures = torch.zeros(count, 3, side, side)
    for cells in (2, 5, 14, 56, side):
        noise = torch.randn(count, 3, cells, cells)
        pictures += interpolate(noise, size=(side, side), mode="bilinear") / cells**0.5
    contrast = torch.rand(count, 1, 1, 1) * 50 + 30
    brightness = torch.rand(count, 3, 1, 1) * 160 + 48
    return (pictures * contrast + brightness).clamp(0, 255).round()

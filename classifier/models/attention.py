"""Attention blocks for networks that have none, put where the papers put them, changing nothing at first.

Squeeze-and-excitation (Hu et al., arXiv:1709.01507) weighs channels; CBAM (Woo et al., arXiv:1807.06521)
weighs channels and then places. Both end in a gate. Here a gate is twice a sigmoid and its last layer begins
at zero: it is exactly 1, so that pretrained weights give exactly the output that they gave before, and
training moves the gates from there to either side. (The papers' plain sigmoid would halve every feature.)

Where, by kind of block:

- residual bottlenecks (ResNet, open_nsfw): at the end of the branch, before the sum, as in both papers;
- inverted residuals (MobileNet, EfficientNet): on the expanded features, before they are projected down,
  where MobileNetV3 and EfficientNet have their own squeeze-and-excitation;
- SqueezeNet's fire modules: behind each.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from functools import partial
from typing import Literal, cast

import torch
from torch import Tensor, nn

from classifier.errors import ModelError
from classifier.models.open_nsfw import Bottleneck
from classifier.torch_compat import import_torchvision

Attention = Literal["se", "cbam"]
_SMALLEST_HIDDEN = 4
_HAVE_SE = ("mobilenet_v3", "efficientnet")


class SqueezeExcitation(nn.Module):
    """Weighs channels by what the whole map holds.

    Args:
        channels: Of the map.
        reduction: How many times narrower the hidden layer is.
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.gate = _channel_gate(channels, reduction)

    def forward(self, features: Tensor) -> Tensor:
        """Weigh: (n, channels, h, w) to the same shape."""
        return features * _open(self.gate(features.mean((2, 3), keepdim=True)))


class Cbam(nn.Module):
    """Weighs channels by their mean and maximum, then places by theirs.

    Args:
        channels: Of the map.
        reduction: How many times narrower the hidden layer of the channels' gate is.
    """

    _KERNEL_PX = 7

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.channel_gate = _channel_gate(channels, reduction)
        self.place_gate = nn.Conv2d(2, 1, self._KERNEL_PX, padding=self._KERNEL_PX // 2)
        _begin_at_zero(self.place_gate)

    def forward(self, features: Tensor) -> Tensor:
        """Weigh: (n, channels, h, w) to the same shape."""
        mean, highest = features.mean((2, 3), keepdim=True), features.amax((2, 3), keepdim=True)
        features = features * _open(self.channel_gate(mean) + self.channel_gate(highest))
        places = torch.cat([features.mean(1, keepdim=True), features.amax(1, keepdim=True)], 1)
        return features * _open(self.place_gate(places))


_BLOCKS: dict[str, Callable[[int, int], nn.Module]] = {"se": SqueezeExcitation, "cbam": Cbam}


def insert(name: str, network: nn.Module, kind: Attention, reduction: int = 16) -> int:
    """Put blocks into a network, in place; its output stays what it is.

    Args:
        name: Of the architecture, for what it has already.
        network: One of torchvision's or open_nsfw, or its trunk.
        kind: Which blocks.
        reduction: See the blocks.

    Returns:
        How many blocks were put in.

    Raises:
        ModelError: Where the network has such blocks from the start, or no place for them is known.
    """
    if kind == "se" and name.startswith(_HAVE_SE):
        raise ModelError(f"{name} has squeeze-and-excitation of its own: ask for attention cbam or none")
    sites = [site for module in network.modules() for site in _sites(module)]
    if not sites:
        raise ModelError(f"{name}: it is not known where attention belongs in it: ask for attention none")
    for put in sites:
        put(lambda channels: _BLOCKS[kind](channels, reduction))
    return len(sites)


_Make = Callable[[int], nn.Module]


def _sites(module: nn.Module) -> Iterator[Callable[[_Make], None]]:
    """The places right below one module, each as what puts a block there."""
    models = import_torchvision().models
    if isinstance(module, models.resnet.Bottleneck):
        yield partial(_behind, module, "bn3", cast(int, module.bn3.num_features))
    elif isinstance(module, Bottleneck):
        yield partial(_behind, module, "expand", module.expand.out_channels)
    elif isinstance(module, models.mobilenetv2.InvertedResidual):
        # Its projection is a convolution and a normalisation, two steps of the sequence.
        yield partial(_before_projection, module.conv, 2)
    elif isinstance(module, models.mobilenetv3.InvertedResidual | models.efficientnet.MBConv):
        yield partial(_before_projection, module.block, 1)
    for child_name, child in module.named_children():
        if isinstance(child, models.squeezenet.Fire):
            channels = child.expand1x1.out_channels + child.expand3x3.out_channels
            yield partial(_behind, module, child_name, channels)


def _behind(parent: nn.Module, layer_name: str, channels: int, make: _Make) -> None:
    layer = parent.get_submodule(layer_name)
    setattr(parent, layer_name, nn.Sequential(OrderedDict(layer=layer, attention=make(channels))))


def _before_projection(sequence: nn.Sequential, steps: int, make: _Make) -> None:
    convolution = next(layer for layer in sequence[-steps].modules() if isinstance(layer, nn.Conv2d))
    sequence.insert(len(sequence) - steps, make(convolution.in_channels))


def _channel_gate(channels: int, reduction: int) -> nn.Sequential:
    if reduction < 1:
        raise ModelError(f"the hidden layer of attention cannot be {reduction} times narrower")
    hidden = max(channels // reduction, _SMALLEST_HIDDEN)
    last = nn.Conv2d(hidden, channels, 1)
    _begin_at_zero(last)
    # Features are positive, so a rectifier in so narrow a layer may be shut for every picture, and for ever.
    return nn.Sequential(nn.Conv2d(channels, hidden, 1), nn.SiLU(), last)


def _begin_at_zero(layer: nn.Conv2d) -> None:
    nn.init.zeros_(layer.weight)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)


def _open(gate: Tensor) -> Tensor:
    return 2 * torch.sigmoid(gate)


__all__ = ["Attention", "Cbam", "SqueezeExcitation", "insert"]

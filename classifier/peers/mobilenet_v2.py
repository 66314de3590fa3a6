"""MobileNetV2 as Keras lays it out, with nsfwjs' three-layer head; and its weights from Keras' order of axes.

torchvision's network is not the same one: Keras pads strided convolutions at the right and the bottom only,
and its batch normalisation adds 0.001 to the variance.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import safetensors
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from classifier.engines.torch_engine import TorchEngine
from classifier.errors import ModelError
from classifier.peers.grouped_logits import GroupedLogits
from classifier.peers.tensorflowjs import Weights
from classifier.values import ModelCard

_KERAS_EPSILON = 1e-3


@dataclass(frozen=True, slots=True)
class Layout:
    """How wide and deep the network is.

    Attributes:
        stem: Channels of the first convolution.
        blocks: Expansion, channels and stride of each inverted residual; the first one has no expansion.
        last: Channels of the last convolution.
        hidden: Units of the hidden layers of the head.
        classes: Units of its last layer.
    """

    stem: int
    blocks: tuple[tuple[int, int, int], ...]
    last: int
    hidden: tuple[int, ...]
    classes: int


def _repeated(*stages: tuple[int, int, int, int]) -> tuple[tuple[int, int, int], ...]:
    """Expansion, channels, blocks and stride of each stage, as the paper's table has them."""
    return tuple(
        (expansion, channels, stride if number == 0 else 1)
        for expansion, channels, blocks, stride in stages
        for number in range(blocks)
    )


NSFWJS = Layout(
    stem=32,
    blocks=_repeated(
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    ),
    last=1280,
    hidden=(256, 128),
    classes=5,
)
"""Width 1.0, as in nsfwjs' `mobilenet_v2`."""


class _ConvNorm(nn.Module):
    """Convolution, batch normalisation and, unless it is linear, ReLU6."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, linear: bool = False
    ) -> None:
        super().__init__()
        # Strided ones are padded by hand: Keras does it at two of the four sides.
        padding = kernel // 2 if stride == 1 else 0
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(outputs, eps=_KERAS_EPSILON)
        self._linear = linear

    def forward(self, maps: Tensor) -> Tensor:
        if self.conv.stride[0] == 2:
            maps = functional.pad(maps, (0, 1, 0, 1))
        maps = self.norm(self.conv(maps))
        return maps if self._linear else functional.relu6(maps)


class _Block(nn.Module):
    """An inverted residual."""

    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int, expands: bool) -> None:
        super().__init__()
        inner = inputs * expansion
        self.expand = _ConvNorm(inputs, inner, 1) if expands else nn.Identity()
        self.depthwise = _ConvNorm(inner, inner, 3, stride, groups=inner)
        self.project = _ConvNorm(inner, outputs, 1, linear=True)
        self._adds = stride == 1 and inputs == outputs

    def forward(self, maps: Tensor) -> Tensor:
        found: Tensor = self.project(self.depthwise(self.expand(maps)))
        return maps + found if self._adds else found


class KerasMobileNetV2(nn.Module):
    """The network.

    Args:
        layout: Its sizes.
    """

    def __init__(self, layout: Layout = NSFWJS) -> None:
        super().__init__()
        self.stem = _ConvNorm(3, layout.stem, 3, stride=2)
        widths = [layout.stem, *(channels for _, channels, _ in layout.blocks)]
        self.blocks = nn.ModuleList(
            _Block(widths[number], channels, expansion, stride, expands=number > 0)
            for number, (expansion, channels, stride) in enumerate(layout.blocks)
        )
        self.last = _ConvNorm(widths[-1], layout.last, 1)
        sizes = [layout.last, *layout.hidden, layout.classes]
        self.head = nn.ModuleList(nn.Linear(inputs, outputs) for inputs, outputs in itertools.pairwise(sizes))

    def forward(self, pictures: Tensor) -> Tensor:
        """Map float32 (n, 3, h, w), RGB, 0..1, to logits (n, classes)."""
        maps = self.stem(pictures)
        for block in self.blocks:
            maps = block(maps)
        found: Tensor = self.last(maps).mean(dim=(2, 3))
        for layer in self.head[:-1]:
            found = functional.relu(layer(found))
        logits: Tensor = self.head[-1](found)
        return logits


def to_safetensors(weights: Weights, layout: Layout = NSFWJS) -> bytes:
    """Bring Keras' weights into torch's order of axes.

    Args:
        weights: By Keras' names.
        layout: The network they should fit.

    Returns:
        A safetensors file with the state dict of `KerasMobileNetV2`. Equal input gives equal bytes.

    Raises:
        ModelError: Where weights are missing, left over or of another shape.
    """
    network = KerasMobileNetV2(layout)
    expected = network.state_dict()
    state: dict[str, Tensor] = {}
    named = list(_names(network))
    if strangers := sorted(set(weights) - {keras for _, keras in named}):
        raise ModelError(f"the published weights are not of this network: it has no {strangers[0]}")
    for name, keras in named:
        if keras not in weights:
            raise ModelError(f"the published weights are not of this network: {keras} is missing")
        array = torch.from_numpy(np.ascontiguousarray(_turned(keras, weights[keras])))
        if array.shape != expected[name].shape:
            shapes = f"{tuple(array.shape)}, not {tuple(expected[name].shape)}"
            raise ModelError(f"the published weights are not of this network: {keras} is {shapes}")
        state[name] = array
    return safetensors.torch.save(state)


def load(
    content: bytes, card: ModelCard, scored: tuple[int, ...], threads: int = 0, layout: Layout = NSFWJS
) -> TorchEngine:
    """Build the engine from converted weights.

    Args:
        content: The safetensors file; the caller has verified its hash.
        card: The model's card.
        scored: Numbers of the classes whose probabilities add up to the score.
        threads: As for `TorchEngine`.
        layout: The network's sizes.

    Returns:
        The engine; its network is a `GroupedLogits`.

    Raises:
        ModelError: Where the content does not fit the network.
    """
    network = KerasMobileNetV2(layout)
    try:
        found = network.load_state_dict(safetensors.torch.load(content), strict=False)
    except (RuntimeError, safetensors.SafetensorError) as error:
        raise ModelError(f"{card.name}: the weights do not fit the network: {error}") from error
    lacking = [name for name in found.missing_keys if not name.endswith("num_batches_tracked")]
    if lacking or found.unexpected_keys:
        raise ModelError(
            f"{card.name}: the weights do not fit the network: {lacking or found.unexpected_keys}"
        )
    return TorchEngine(GroupedLogits(network, layout.classes, scored), card, threads)


def _names(network: KerasMobileNetV2) -> Iterator[tuple[str, str]]:
    """Every weight's name in torch and in Keras."""
    yield from _conv_names("stem", "Conv1/kernel", "bn_Conv1")
    for number, block in enumerate(network.blocks):
        prefix = f"block_{number}" if number else "expanded_conv"
        for part in ("expand", "depthwise", "project"):
            if isinstance(getattr(block, part), nn.Identity):
                continue
            kernel = "depthwise_kernel" if part == "depthwise" else "kernel"
            keras = f"{prefix}_{part}"
            yield from _conv_names(f"blocks.{number}.{part}", f"{keras}/{kernel}", f"{keras}_BN")
    yield from _conv_names("last", "Conv_1/kernel", "Conv_1_bn")
    for number in range(len(network.head)):
        yield f"head.{number}.weight", f"dense_{number + 1}/kernel"
        yield f"head.{number}.bias", f"dense_{number + 1}/bias"


def _conv_names(name: str, kernel: str, norm: str) -> Iterator[tuple[str, str]]:
    yield f"{name}.conv.weight", kernel
    for torch_name, keras_name in (
        ("weight", "gamma"),
        ("bias", "beta"),
        ("running_mean", "moving_mean"),
        ("running_var", "moving_variance"),
    ):
        yield f"{name}.norm.{torch_name}", f"{norm}/{keras_name}"


def _turned(keras: str, array: NDArray[np.float32]) -> NDArray[np.float32]:
    """From Keras' (height, width, inputs, outputs) to torch's (outputs, inputs, height, width)."""
    if keras.endswith("/depthwise_kernel") and array.ndim == 4:
        return array.transpose(2, 3, 0, 1)
    if array.ndim == 4:
        return array.transpose(3, 2, 0, 1)
    return array.T


__all__ = ["NSFWJS", "KerasMobileNetV2", "Layout", "load", "to_safetensors"]

"""Give the channels of an activation similar ranges, because one scale has to serve them all.

A channel whose values are small beside the others' is rounded to a few steps. Between two convolutions a
channel can be made larger and the weights that read it smaller without changing any score, as long as
everything between is homogeneous (rectifier, pooling, sums of such tensors). Along a residual stream one
factor holds for all its blocks. Weights have a scale per output channel, so what produces a channel does not
mind; what reads it does, so the factor is a compromise between the activation's and the weights' ranges.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from classifier.engines.quantise_graph import constants, consumers, look_inside
from classifier.values import Pixels

_PASSING_TYPES = ("Relu", "MaxPool", "AveragePool", "GlobalAveragePool", "ReduceMean", "Flatten", "Add")
"""Layers that keep channels apart and commute with a positive factor; `Add` of two activations."""
_LEANINGS = (0.0, 0.2, 0.35, 0.5, 0.7, 1.0)
"""How much a factor leans on the activations' ranges, and how much on the weights'; all pairs are tried."""
_LIMIT = 64.0
_ACTIVATION_STEPS, _WEIGHT_STEPS = 255, 127
_TINY = 1e-20


@dataclass(frozen=True, slots=True)
class _Channels:
    """What an activation's channels are like: float64 arrays (channels,).

    Attributes:
        largest: The largest absolute value of a picture, averaged over pictures so that none decides alone.
        power: Mean square.
    """

    largest: NDArray[np.float64]
    power: NDArray[np.float64]


@dataclass
class _Group:
    """Tensors whose channels have to be scaled alike, with the convolutions around them."""

    tensors: list[str] = field(default_factory=list)
    producers: list[onnx.NodeProto] = field(default_factory=list)
    readers: list[onnx.NodeProto] = field(default_factory=list)


def equalise(model: onnx.ModelProto, pixels: Pixels) -> None:
    """Rescale the channels of a graph in place; scores stay the same but for the rounding of fp32.

    Args:
        model: The fp32 graph.
        pixels: uint8 (n, height, width, 3), to see which ranges channels have.
    """
    known = constants(model)
    groups = [group for group in _groups(model) if _can_be_scaled(group, known)]
    seen = _channels_seen(model, [name for group in groups for name in group.tensors], pixels)
    for group in groups:
        largest = np.max([seen[name].largest for name in group.tensors], axis=0)
        power = np.max([seen[name].power for name in group.tensors], axis=0)
        factor = _best_factor(largest, power, [known[node.input[1]] for node in group.readers])
        for node in group.producers:
            for name in node.input[1:3]:
                _scale(known, name, 1 / factor, axis=0)
        for node in group.readers:
            _scale(known, node.input[1], factor, axis=1)
    for tensor in model.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(known[tensor.name], tensor.name))


def _best_factor(
    largest: NDArray[np.float64], power: NDArray[np.float64], readers: Sequence[NDArray[np.generic]]
) -> NDArray[np.float64]:
    """Choose what each channel is divided by, among compromises of different leaning.

    Args:
        largest: float64 (channels,), the activation's largest values.
        power: float64 (channels,), its mean squares.
        readers: Weights (outputs, channels, ...) of the layers that read it.

    Returns:
        float64 (channels,), positive.
    """
    rows = [_rows(weights) for weights in readers]
    relative = [np.abs(r) / np.abs(r).max(axis=1, keepdims=True).clip(_TINY) for r in rows]
    reading = np.max([r.max(axis=0) for r in relative], axis=0)
    used = (largest > 0) & (reading > 0)
    best, least = np.ones(len(largest)), np.inf
    for activations_lean in _LEANINGS:
        for weights_lean in _LEANINGS:
            factor = np.ones(len(largest))
            factor[used] = largest[used] ** activations_lean / reading[used] ** weights_lean
            middle = np.exp(np.log(factor[used]).mean()) if used.any() else 1.0
            factor = (factor / middle).clip(1 / _LIMIT, _LIMIT)
            noise = sum(_noise(r * factor, largest / factor, power / factor**2) for r in rows)
            if noise < least:
                best, least = factor, noise
    return best


def _noise(weights: NDArray[np.float64], largest: NDArray[np.float64], power: NDArray[np.float64]) -> float:
    """Estimate what rounding adds to a layer's outputs, as a share of their power, averaged over outputs.

    Args:
        weights: (outputs, channels), root of the summed squares over the window.
        largest: (channels,), largest input values.
        power: (channels,), mean squares of the inputs.
    """
    step = largest.max() / _ACTIVATION_STEPS
    weight_steps = np.abs(weights).max(axis=1) / _WEIGHT_STEPS
    signal = (weights**2 @ power).clip(_TINY)
    of_activations = step**2 * (weights**2).sum(axis=1)
    of_weights = weight_steps**2 * power.sum()
    return float(((of_activations + of_weights) / signal).mean())


def _rows(weights: NDArray[np.generic]) -> NDArray[np.float64]:
    """(outputs, channels): the root of the mean square over the window."""
    wide = weights.astype(np.float64).reshape(*weights.shape[:2], -1)
    return np.asarray(np.sqrt((wide**2).mean(axis=2)))


def _groups(model: onnx.ModelProto) -> list[_Group]:
    """Sort the activations into groups: everything that is joined by homogeneous layers."""
    parent: dict[str, str] = {}

    def find(name: str) -> str:
        while parent.setdefault(name, name) != name:
            name = parent[name]
        return name

    made_here = {name for node in model.graph.node for name in node.output}
    for node in model.graph.node:
        if node.op_type in _PASSING_TYPES:
            for name in node.input:
                if name in made_here:
                    parent[find(name)] = find(node.output[0])
    groups: dict[str, _Group] = {}
    for node in model.graph.node:
        for name in node.output:
            group = groups.setdefault(find(name), _Group())
            group.tensors.append(name)
            if node.op_type not in _PASSING_TYPES or any(i not in made_here for i in node.input[:2]):
                group.producers.append(node)
    readers = consumers(model)
    for group in groups.values():
        for name in group.tensors:
            group.readers += [node for node in readers.get(name, []) if node.op_type not in _PASSING_TYPES]
    return list(groups.values())


def _can_be_scaled(group: _Group, known: dict[str, NDArray[np.generic]]) -> bool:
    """Whether everything around is a plain layer whose weights nobody else has."""
    if not group.producers or not group.readers:
        return False
    return all(_is_plain(node, known) and node.op_type == "Conv" for node in group.producers) and all(
        _is_plain(node, known) and node.input[0] in group.tensors for node in group.readers
    )


def _is_plain(node: onnx.NodeProto, known: dict[str, NDArray[np.generic]]) -> bool:
    """A convolution of one group, or a linear layer whose weights are (outputs, inputs)."""
    attributes = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
    if node.op_type == "Conv":
        return attributes.get("group", 1) == 1 and all(name in known for name in node.input[1:])
    return node.op_type == "Gemm" and attributes.get("transB") == 1 and node.input[1] in known


def _channels_seen(model: onnx.ModelProto, tensors: Sequence[str], pixels: Pixels) -> dict[str, _Channels]:
    """Look at the channels of some activations, given as (n, channels, ...)."""
    largest: dict[str, NDArray[np.float64]] = {}
    power: dict[str, NDArray[np.float64]] = {}
    for batch in look_inside(model, tensors, pixels):
        for name, values in batch.items():
            wide = values.reshape(*values.shape[:2], -1)
            largest[name] = largest.get(name, 0.0) + np.abs(wide).max(axis=2).sum(axis=0, dtype=np.float64)
            power[name] = power.get(name, 0.0) + np.square(wide).mean(axis=2).sum(axis=0, dtype=np.float64)
    return {name: _Channels(largest[name] / len(pixels), power[name] / len(pixels)) for name in largest}


def _scale(known: dict[str, NDArray[np.generic]], name: str, factor: NDArray[np.float64], axis: int) -> None:
    values = known[name].astype(np.float64)
    shape = [1] * values.ndim
    shape[axis] = -1
    known[name] = (values * factor.reshape(shape)).astype(np.float32)

"""Take back the shift that rounding gives to each channel's mean.

Rounded weights and activations err at random, but the errors of one channel do not cancel: activations after
a rectifier are never negative, so a weight that is rounded up raises the whole channel. Each convolution is
run twice on the calibration pictures, exact and rounded, with the exact input; the difference of the means
goes into its bias. This costs nothing at run time.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from classifier.engines.quantise_graph import constants, look_inside
from classifier.values import Pixels

_SUFFIX = "_rounded"
_LARGEST_BIAS_STEPS = 2**28
"""An eighth of what an int32 holds."""
_WEIGHT_STEPS = 127


@dataclass(frozen=True, slots=True)
class _Pair:
    """Tensors with the means per channel of one convolution's output, exact and rounded."""

    node: str
    exact: str
    rounded: str


def correct(model: onnx.ModelProto, quantised: onnx.ModelProto, pixels: Pixels) -> onnx.ModelProto:
    """Correct the biases of every convolution that was quantised.

    Args:
        model: The fp32 graph that was quantised; not changed.
        quantised: What came of it, in QDQ form, its nodes and weights named as in the fp32 graph.
        pixels: uint8 (n, height, width, 3).

    Returns:
        The fp32 graph with biases that fit the rounded weights: to be quantised again, of no use by itself.
    """
    paired, pairs = _paired(model, quantised)
    shift: dict[str, NDArray[np.float64]] = {pair.node: np.zeros(1) for pair in pairs}
    wanted = [name for pair in pairs for name in (pair.exact, pair.rounded)]
    for batch in look_inside(paired, wanted, pixels):
        for pair in pairs:
            difference = batch[pair.rounded].astype(np.float64) - batch[pair.exact]
            shift[pair.node] = shift[pair.node] + difference.sum(axis=(0, 2, 3))
    corrected = onnx.ModelProto()
    corrected.CopyFrom(model)
    known = constants(corrected)
    for node in corrected.graph.node:
        if node.name not in shift:
            continue
        name = f"{node.name}_corrected_bias"
        before = known[node.input[2]].astype(np.float64) if len(node.input) > 2 else np.zeros(1)
        value = (before - shift[node.name] / len(pixels)).astype(np.float32)
        corrected.graph.initializer.append(numpy_helper.from_array(value, name))
        del node.input[2:]
        node.input.append(name)
    return corrected


def leave_room(model: onnx.ModelProto, input_steps: Mapping[str, float]) -> None:
    """Lift the weights of dead channels, in place, so that their biases fit an int32 of the weights' steps.

    Training leaves channels that give a constant, with weights near 1e-17. A step of such weights is so small
    that the constant would be cut off. One weight that changes the channel by a ten-thousandth prevents that.

    Args:
        model: The fp32 graph, before it is quantised.
        input_steps: What one step of an activation is worth, by the tensor's name.
    """
    known = constants(model)
    lifted: dict[str, NDArray[np.generic]] = {}
    for node in model.graph.node:
        if node.op_type != "Conv" or len(node.input) < 3 or node.input[0] not in input_steps:
            continue
        weights = known[node.input[1]].astype(np.float64)
        bias, step = np.abs(known[node.input[2]].astype(np.float64)), input_steps[node.input[0]]
        least = bias * _WEIGHT_STEPS / (_LARGEST_BIAS_STEPS * step)
        flat = weights.reshape(len(weights), -1)
        dead = np.flatnonzero(np.abs(flat).max(axis=1) < least)
        flat[dead, 0] = least[dead]
        lifted[node.input[1]] = flat.reshape(weights.shape).astype(np.float32)
    for tensor in model.graph.initializer:
        if tensor.name in lifted:
            tensor.CopyFrom(numpy_helper.from_array(lifted[tensor.name], tensor.name))


def _paired(model: onnx.ModelProto, quantised: onnx.ModelProto) -> tuple[onnx.ModelProto, list[_Pair]]:
    """Put a rounded twin beside every convolution, reading the same exact input."""
    paired = onnx.ModelProto()
    paired.CopyFrom(model)
    rounded = {node.name: node for node in quantised.graph.node}
    producer = {name: node for node in quantised.graph.node for name in node.output}
    known = constants(quantised)
    pairs = []
    for node in model.graph.node:
        twin = rounded.get(node.name)
        if node.op_type != "Conv" or twin is None:
            continue
        sources = [producer[name] for name in twin.input[:2] if name in producer]
        if [source.op_type for source in sources] != ["DequantizeLinear"] * 2:
            continue
        activation, weights = sources
        scale, zero_point = (known[name] for name in activation.input[1:3])
        prefix = node.name + _SUFFIX
        for name, value in (("scale", scale), ("zero", zero_point), ("weight", _dequantised(weights, known))):
            paired.graph.initializer.append(numpy_helper.from_array(value, f"{prefix}_{name}"))
        scaling = [f"{prefix}_scale", f"{prefix}_zero"]
        steps = [
            helper.make_node("QuantizeLinear", [node.input[0], *scaling], [f"{prefix}_q"]),
            helper.make_node("DequantizeLinear", [f"{prefix}_q", *scaling], [f"{prefix}_x"]),
            helper.make_node("Conv", [f"{prefix}_x", f"{prefix}_weight", *node.input[2:]], [f"{prefix}_y"]),
            helper.make_node("GlobalAveragePool", [f"{prefix}_y"], [f"{prefix}_mean"]),
            helper.make_node("GlobalAveragePool", [node.output[0]], [f"{prefix}_exact_mean"]),
        ]
        steps[2].attribute.extend(node.attribute)
        paired.graph.node.extend(steps)
        pairs.append(_Pair(node.name, f"{prefix}_exact_mean", f"{prefix}_mean"))
    return paired, pairs


def _dequantised(node: onnx.NodeProto, known: dict[str, NDArray[np.generic]]) -> NDArray[np.float32]:
    """The weights (outputs, inputs, height, width) as int8 has them; symmetric, so the zero point is 0."""
    values, scale = (known[name].astype(np.float32) for name in node.input[:2])
    return values * scale.reshape(-1, *(1,) * (values.ndim - 1))

"""Let the first convolution of a graph read the picture's bytes themselves, so that int8 loses nothing there.

What an exporter writes between the picture and the first convolution (cast, transposition, mean, deviation)
is arithmetic on whole numbers of 0..255. It goes into the convolution's weights and bias. The convolution's
padding stood for the mean of each channel; it becomes a real frame of that colour. The scores stay the same.
"""

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from classifier.engines.quantise_graph import constants, consumers, drop_unused, fresh_names
from classifier.values import Pixels

FLOAT_PICTURE = "picture_for_rounding"
"""The tensor that the first convolution reads: float32 (n, 3, h, w), bytes times `STEP`."""
STEP = 1.0005
"""What one step of `FLOAT_PICTURE` is worth. Bytes divided by it and rounded are the same bytes, so nothing
is lost. With exactly 1, OpenVINO (2026.4) sees that rounding changes nothing, leaves it out, and then runs
the whole convolution in fp32."""

SCALING_NODE = "picture_scale"
"""The layer that makes `FLOAT_PICTURE`; not to be rounded itself."""

_BYTES, _FLOATS = "picture_framed", "picture_float"
_ARITHMETIC = {"Sub", "Add", "Mul", "Div"}
_LAYOUT = {"Cast", "Transpose", "Identity"}


def fold(model: onnx.ModelProto) -> bool:
    """Rewrite the beginning of a graph in place.

    Args:
        model: With one input, uint8 (n, height, width, 3), and height and width known.

    Returns:
        Whether it was; False where the graph begins in a way that is not understood, and was left alone.
    """
    found = _way_in(model)
    if found is None:
        return False
    chain, conv, gain, offset = found
    shape = [dimension.dim_value for dimension in model.graph.input[0].type.tensor_type.shape.dim]
    pads = next((list(a.ints) for a in conv.attribute if a.name == "pads"), [0, 0, 0, 0])
    if len(shape) != 4 or not all(shape[1:]) or min(pads) < 0:
        return False
    _move_into_weights(model, conv, gain, offset)
    for node in chain:
        model.graph.node.remove(node)
    frame_colour = np.asarray(np.rint(-offset / gain).clip(0, 255), dtype=np.uint8)
    frame = _add_frame(model, frame_colour, pads, (shape[1], shape[2]))
    for attribute in conv.attribute:
        if attribute.name == "pads":
            attribute.ints[:] = [0, 0, 0, 0]
    to_float = int(onnx.TensorProto.FLOAT)
    scaling = [
        helper.make_node("Cast", [_BYTES], [_FLOATS], "picture_cast", to=to_float),
        helper.make_node("Mul", [_FLOATS, "picture_step"], [FLOAT_PICTURE], SCALING_NODE),
    ]
    for position, node in enumerate([*frame, *scaling]):
        model.graph.node.insert(position, node)
    _store(model, "picture_step", np.array(STEP, dtype=np.float32))
    conv.input[0] = FLOAT_PICTURE
    drop_unused(model)
    return True


def skip_scaling(model: onnx.ModelProto) -> None:
    """Let a quantised graph round the bytes without multiplying them first, in place; the same comes out."""
    scaled = next((node for node in model.graph.node if FLOAT_PICTURE in node.output), None)
    readers = consumers(model).get(FLOAT_PICTURE, [])
    if scaled is None or any(node.op_type != "QuantizeLinear" for node in readers):
        return
    for node in readers:
        node.input[0] = _FLOATS
    model.graph.node.remove(scaled)


def _way_in(
    model: onnx.ModelProto,
) -> tuple[list[onnx.NodeProto], onnx.NodeProto, NDArray[np.float64], NDArray[np.float64]] | None:
    """Follow the picture to the first convolution: the nodes between, and value = gain * byte + offset."""
    readers, known = consumers(model), constants(model)
    tensor = model.graph.input[0].name
    chain: list[onnx.NodeProto] = []
    gain, offset = np.ones(3), np.zeros(3)
    while True:
        following = readers.get(tensor, [])
        if len(following) != 1:
            return None
        node = following[0]
        if node.op_type == "Conv":
            understood = node.input[1] in known and known[node.input[1]].shape[1] == 3
            return (chain, node, gain, offset) if understood and len(readers[node.input[1]]) == 1 else None
        if node.op_type in _ARITHMETIC and node.input[0] == tensor:
            value = known.get(node.input[1])
            if value is None or value.size not in (1, 3):
                return None
            # A value per channel, whether the channels are in front or behind at this place.
            per_channel = np.broadcast_to(value.astype(np.float64).reshape(-1), (3,))
            if node.op_type in ("Sub", "Add"):
                offset = offset - per_channel if node.op_type == "Sub" else offset + per_channel
            else:
                factor = per_channel if node.op_type == "Mul" else 1 / per_channel
                gain, offset = gain * factor, offset * factor
        elif node.op_type not in _LAYOUT:
            return None
        chain.append(node)
        tensor = node.output[0]


def _move_into_weights(
    model: onnx.ModelProto, conv: onnx.NodeProto, gain: NDArray[np.float64], offset: NDArray[np.float64]
) -> None:
    known = constants(model)
    weights = known[conv.input[1]].astype(np.float64)
    bias = known[conv.input[2]].astype(np.float64) if len(conv.input) > 2 else np.zeros(len(weights))
    bias = bias + (weights * offset[None, :, None, None]).sum(axis=(1, 2, 3))
    weights = weights * gain[None, :, None, None] / STEP
    names = fresh_names(model, ("first_weight", "first_bias"))
    for name, value in zip(names, (weights, bias), strict=True):
        _store(model, name, value.astype(np.float32))
    del conv.input[1:]
    conv.input.extend(names)


def _add_frame(
    model: onnx.ModelProto, colour: Pixels, pads: list[int], size: tuple[int, int]
) -> list[onnx.NodeProto]:
    """Nodes that put a frame around the picture and bring the channels to the front.

    The frame is concatenated: `Pad` knows one value for all channels, and copies three bytes at a time.
    """
    top, left, bottom, right = pads
    height, width = size
    picture = model.graph.input[0].name
    nodes: list[onnx.NodeProto] = []
    if any(pads):
        nodes.append(helper.make_node("Shape", [picture], ["picture_count"], "picture_count", start=0, end=1))
        nodes.append(
            helper.make_node(
                "Concat", ["picture_count", "frame_ones"], ["frame_shape"], "frame_shape", axis=0
            )
        )
        _store(model, "frame_ones", np.ones(3, dtype=np.int64))
    for axis, (before, after) in ((2, (left, right)), (1, (top, bottom))):
        parts = []
        for side, length in (("before", before), ("after", after)):
            if side == "after":
                parts.append(picture)
            if not length:
                continue
            name = f"frame_{axis}_{side}"
            extent = (height, length) if axis == 2 else (length, width + left + right)
            _store(model, name, np.broadcast_to(colour, (1, *extent, 3)).copy())
            nodes.append(helper.make_node("Expand", [name, "frame_shape"], [f"{name}_n"], f"{name}_n"))
            parts.append(f"{name}_n")
        if len(parts) > 1:
            picture = f"picture_framed_{axis}"
            nodes.append(helper.make_node("Concat", parts, [picture], picture, axis=axis))
    nodes.append(helper.make_node("Transpose", [picture], [_BYTES], "picture_channels", perm=[0, 3, 1, 2]))
    return nodes


def _store(model: onnx.ModelProto, name: str, value: NDArray[np.generic]) -> None:
    model.graph.initializer.append(numpy_helper.from_array(value, name))

"""What the steps of quantisation ask of an ONNX graph, and how they look into it while it runs."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import onnx
import onnxruntime
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnxruntime.capi import onnxruntime_pybind11_state as library

from classifier.values import Pixels

GRAPH_ERRORS = (
    DecodeError,
    onnx.checker.ValidationError,
    onnx.shape_inference.InferenceError,
    library.Fail,
    library.InvalidArgument,
    library.InvalidGraph,
    library.NotImplemented,
    library.RuntimeException,
)
"""What onnx and ONNX Runtime raise for a broken graph; these have no common root but `Exception`."""
_BATCH = 4
"""Every activation of a batch is in memory at once: about 25 MB a picture with open_nsfw."""
_ERRORS_ONLY = 3


def consumers(model: onnx.ModelProto) -> dict[str, list[onnx.NodeProto]]:
    """The nodes that read each tensor."""
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    return readers


def constants(model: onnx.ModelProto) -> dict[str, NDArray[np.generic]]:
    """The tensors that do not depend on the picture."""
    known = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            known[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    return known


def fresh_names(model: onnx.ModelProto, wanted: Sequence[str]) -> list[str]:
    """Names for new tensors, made longer where the graph has them already."""
    taken = {name for node in model.graph.node for name in (*node.input, *node.output)}
    taken |= {tensor.name for tensor in model.graph.initializer}
    names = []
    for name in wanted:
        while name in taken:
            name += "_"
        names.append(name)
    return names


def drop_unused(model: onnx.ModelProto) -> None:
    """Remove the stored tensors that nothing reads any more, in place."""
    read = consumers(model)
    unused = [tensor for tensor in model.graph.initializer if tensor.name not in read]
    for tensor in unused:
        model.graph.initializer.remove(tensor)


def look_inside(
    model: onnx.ModelProto, tensors: Iterable[str], pixels: Pixels
) -> Iterator[dict[str, NDArray[np.float32]]]:
    """Run a graph on pictures and yield some of its tensors.

    Args:
        model: The graph; not changed.
        tensors: Names of float32 tensors.
        pixels: uint8 array (n, height, width, 3).

    Yields:
        For each batch the tensors by name.
    """
    names = sorted(set(tensors))
    if not names:
        return
    tapped = onnx.ModelProto()
    tapped.CopyFrom(model)
    del tapped.graph.output[:]
    tapped.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
    session = onnxruntime.InferenceSession(
        tapped.SerializeToString(), session_options(), providers=["CPUExecutionProvider"]
    )
    for start in range(0, len(pixels), _BATCH):
        values = session.run(names, {model.graph.input[0].name: pixels[start : start + _BATCH]})
        yield dict(zip(names, values, strict=True))


def run(content: bytes, pixels: Pixels, batch: int = 16) -> NDArray[np.float32]:
    """Score pictures with a graph: uint8 (n, height, width, 3) to float32 (n,)."""
    session = onnxruntime.InferenceSession(content, session_options(), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    parts = [session.run(None, {name: pixels[i : i + batch]})[0] for i in range(0, len(pixels), batch)]
    return np.concatenate(parts)


def session_options() -> onnxruntime.SessionOptions:
    """Quiet about what a graph in the making still lacks."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    return options

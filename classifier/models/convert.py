"""Turn the published ONNX graph of open_nsfw into safetensors: numbers are copied, nothing is executed.

Needed once, when the weights are fetched; kept apart so that a daemon with cached weights never
imports `onnx`.
"""

from collections.abc import Iterator

import numpy as np
import onnx
import safetensors.torch
import torch
from numpy.typing import NDArray
from onnx import numpy_helper

from classifier.errors import ModelError
from classifier.models.open_nsfw import OpenNsfw


def open_nsfw_safetensors(graph: bytes) -> bytes:
    """Convert the graph's weights.

    Args:
        graph: The bytes of `open-nsfw.onnx`; the caller has verified their hash.

    Returns:
        A safetensors file with the state dict of `OpenNsfw`. Equal input gives equal bytes.

    Raises:
        ModelError: Where the graph is not that of open_nsfw.
    """
    model = onnx.load_model_from_string(graph)
    state: dict[str, torch.Tensor] = {}
    network = OpenNsfw()
    layers = [
        (name, layer)
        for name, layer in network.named_modules()
        if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear)
    ]
    found = list(_weights(model.graph))
    if len(found) != len(layers):
        raise ModelError(f"the ONNX file has {len(found)} weighted layers, open_nsfw has {len(layers)}")
    for (name, layer), (weight, bias) in zip(layers, found, strict=True):
        if weight.shape != tuple(layer.weight.shape):
            raise ModelError(f"{name}: shape {weight.shape}, expected {tuple(layer.weight.shape)}")
        state[f"{name}.weight"] = torch.from_numpy(weight.copy())
        state[f"{name}.bias"] = torch.from_numpy(bias.copy())
    return safetensors.torch.save(state)


def _weights(graph: onnx.GraphProto) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Weight and bias of each convolution, then of the final layer, in the graph's order."""
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Conv":
            yield arrays[node.input[1]], arrays[node.input[2]]
    final = [
        arrays[name]
        for node in graph.node
        if node.op_type in {"MatMul", "Add"}
        for name in node.input
        if name in arrays
    ]
    if len(final) != 2:
        raise ModelError("the ONNX file does not end in one fully connected layer")
    yield final[0].T, final[1]

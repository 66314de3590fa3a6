"""The ONNX graph: one form for every network, and equal bytes for equal networks."""

import onnx
import pytest
import torch
from torch import nn

from classifier.engines import graph
from classifier.errors import ModelError
from tests import tiny_model


def test_equal_networks_give_equal_bytes_and_others_do_not() -> None:
    assert graph.export(tiny_model.network(), tiny_model.SIDE_PX) == tiny_model.content()
    assert tiny_model.content(seed=1) != tiny_model.content()


def test_pictures_come_in_as_bytes_and_scores_go_out() -> None:
    model = onnx.load_model_from_string(tiny_model.content())
    (pixels,), (score,) = model.graph.input, model.graph.output
    assert (pixels.name, score.name) == ("pixels", "score")
    assert pixels.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert score.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    dimensions = [part.dim_param or part.dim_value for part in pixels.type.tensor_type.shape.dim]
    assert dimensions == ["n", 32, 32, 3]


def test_the_quantiser_finds_the_shape_of_every_convolution() -> None:
    model = onnx.load_model_from_string(tiny_model.content())
    known = {value.name for value in model.graph.value_info}
    outputs = {node.output[0] for node in model.graph.node if node.op_type == "Conv"}
    assert len(outputs) == 2
    assert outputs <= known


def test_batch_normalisation_is_folded_away() -> None:
    model = onnx.load_model_from_string(tiny_model.content())
    assert "BatchNormalization" not in {node.op_type for node in model.graph.node}


class _NotExportable(nn.Module):
    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return torch.linalg.eigvals(pixels[:, 0, :2, :2]).real


def test_a_network_that_cannot_be_exported_is_named() -> None:
    with pytest.raises(ModelError, match="_NotExportable cannot be exported"):
        graph.export(_NotExportable(), tiny_model.SIDE_PX)

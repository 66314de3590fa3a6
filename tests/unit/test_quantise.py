"""Quantisation step by step: what must not change a score does not, and what shall help does."""

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from classifier.engines import (
    drift,
    graph,
    quantise,
    quantise_bias,
    quantise_equalise,
    quantise_input,
    quantise_ranges,
    quantise_rounding,
    strides,
)
from classifier.engines.quantise_graph import constants, run
from classifier.engines.values import VerificationSet
from classifier.errors import ModelError
from tests import tiny_model

PICTURES = tiny_model.pictures(48, seed=3)


class _Residual(nn.Module):
    """A block whose end is only looked at in every other place, with channels of very different size."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.inner = nn.Conv2d(8, 8, 3, padding=1)
        self.outer = nn.Conv2d(8, 8, 1)
        self.shortcut = nn.Conv2d(8, 12, 1, stride=2)
        self.reduce = nn.Conv2d(8, 12, 1, stride=2)
        self.head = nn.Linear(12, 2)
        with torch.no_grad():
            self.inner.weight *= torch.logspace(-3, 1, 8).view(-1, 1, 1, 1)
            self.outer.weight /= torch.logspace(-3, 1, 8).view(1, -1, 1, 1)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.stem(pixels / 64 - 2))
        x = torch.relu(x + self.outer(torch.relu(self.inner(x))))
        x = torch.relu(self.shortcut(x) + torch.relu(self.reduce(x)))
        return self.head(x.mean((2, 3)))


def _residual() -> onnx.ModelProto:
    torch.manual_seed(4)
    return onnx.load_model_from_string(graph.export(_Residual().eval(), 32))


def _evaluation(count: int = 64) -> VerificationSet:
    pixels = tiny_model.pictures(count, seed=8)
    return VerificationSet(pixels, run(tiny_model.content(), pixels))


def _quantised(model: onnx.ModelProto) -> np.ndarray:
    return run(model.SerializeToString(), PICTURES)


def test_int8_scores_stay_near_and_the_outside_of_the_graph_does_not_change() -> None:
    evaluation = _evaluation()
    made = quantise.quantise(tiny_model.content(), PICTURES, evaluation, tiny_model.CARD.thresholds)
    scores = run(made.content, evaluation.pixels)
    report = drift.measure(evaluation.reference, scores, tiny_model.CARD.thresholds)
    assert drift.refusal("int8", report) == ""
    assert made.fp32_layers == ()
    model = onnx.load_model_from_string(made.content)
    onnx.checker.check_model(model)
    assert [(value.name, value.type) for value in model.graph.input] == [
        (value.name, value.type) for value in onnx.load_model_from_string(tiny_model.content()).graph.input
    ]
    assert [value.name for value in model.graph.output] == ["score"]


def test_convolutions_read_bytes_and_the_head_stays_fp32() -> None:
    made = quantise.quantise(tiny_model.content(), PICTURES, _evaluation(), tiny_model.CARD.thresholds)
    model = onnx.load_model_from_string(made.content)
    producers = {name: node.op_type for node in model.graph.node for name in node.output}
    for node in model.graph.node:
        if node.op_type == "Conv":
            assert [producers[name] for name in node.input] == ["DequantizeLinear"] * 3
        if node.op_type == "Gemm":
            assert "DequantizeLinear" not in [producers.get(name) for name in node.input]
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    rounded = [node.input[0] for node in model.graph.node if node.op_type == "DequantizeLinear"]
    assert sorted(stored[name].dtype.name for name in rounded if name in stored) == [
        "int32",
        "int32",
        "int8",
        "int8",
    ]


def test_equal_input_gives_equal_bytes() -> None:
    first, second = (
        quantise.quantise(tiny_model.content(), PICTURES, _evaluation(), tiny_model.CARD.thresholds)
        for _ in range(2)
    )
    assert first.content == second.content


def test_layers_go_back_to_fp32_only_where_scores_are_off_and_never_make_it_worse() -> None:
    evaluation = _evaluation()
    shifted = VerificationSet(evaluation.pixels, (evaluation.reference * 0.98).astype(np.float32))
    plain = quantise.quantise(tiny_model.content(), PICTURES, evaluation, tiny_model.CARD.thresholds)
    helped = quantise.quantise(tiny_model.content(), PICTURES, shifted, tiny_model.CARD.thresholds)
    assert helped.fp32_layers
    exact = run(tiny_model.content(), PICTURES)
    assert (
        np.abs(run(helped.content, PICTURES) - exact).mean()
        < np.abs(run(plain.content, PICTURES) - exact).mean()
    )


@pytest.mark.parametrize("content", [b"", b"not a graph", tiny_model.content()[:-100]])
def test_what_is_no_graph_is_refused(content: bytes) -> None:
    with pytest.raises(ModelError, match="cannot be quantised"):
        quantise.quantise(content, PICTURES, _evaluation(), tiny_model.CARD.thresholds)


def test_reading_bytes_changes_no_score_not_even_at_the_edge() -> None:
    model = onnx.load_model_from_string(tiny_model.content())
    # White pictures differ most from the mean, which is what lies beyond the edge.
    pictures = np.concatenate(
        [PICTURES, np.full((1, 32, 32, 3), 255, np.uint8), np.zeros((1, 32, 32, 3), np.uint8)]
    )
    before = run(tiny_model.content(), pictures)
    assert quantise_input.fold(model)
    assert np.abs(run(model.SerializeToString(), pictures) - before).max() < 1e-5


def test_every_byte_survives_its_rounding() -> None:
    values = np.arange(256, dtype=np.float32)
    assert np.array_equal(np.rint(values / np.float32(quantise_input.STEP)), values)


def test_a_beginning_that_is_not_understood_is_left_alone() -> None:
    model = _residual()
    node = next(node for node in model.graph.node if node.op_type == "Sub")
    node.op_type = "Pow"
    before = model.SerializeToString()
    assert not quantise_input.fold(model)
    assert model.SerializeToString() == before


def test_skipping_early_changes_no_score_and_computes_less(monkeypatch: pytest.MonkeyPatch) -> None:
    skip_early = strides.skip_early
    with monkeypatch.context() as patched:  # the export does it already
        patched.setattr(strides, "skip_early", lambda _model: 0)
        model = _residual()
    before = _quantised(model)
    assert skip_early(model) > 0
    assert np.abs(_quantised(model) - before).max() < 1e-6
    found = {
        node.name.split("/")[2]: [list(a.ints) for a in node.attribute if a.name == "strides"]
        for node in model.graph.node
        if node.op_type == "Conv"
    }
    assert found["shortcut"] == found["reduce"] == [[1, 1]]
    assert found["inner"] == [[2, 2]]
    assert found["stem"] == [[1, 1]]


def test_a_tensor_that_somebody_reads_in_full_is_not_thinned() -> None:
    model = _residual()
    reduce = next(node for node in model.graph.node if "reduce" in node.name)
    next(a for a in reduce.attribute if a.name == "strides").ints[:] = [1, 1]
    assert strides.skip_early(model) == 0


def test_equal_ranges_change_no_score_and_bring_small_channels_up() -> None:
    model = _residual()
    before = _quantised(model)
    spread_before = _spread_of_rows(model, "inner")
    quantise_equalise.equalise(model, PICTURES)
    assert np.abs(_quantised(model) - before).max() < 1e-5
    assert _spread_of_rows(model, "inner") < spread_before / 10


def test_biases_take_back_what_rounded_weights_shift() -> None:
    maker = quantise._Maker.prepare(tiny_model.content(), PICTURES)
    rounded = maker._rounded(maker.model, 0.7, ())
    # A clumsy rounding that raises every weight shifts every channel.
    for tensor in rounded.graph.initializer:
        value = numpy_helper.to_array(tensor)
        if value.dtype == np.int8 and value.ndim == 4:
            tensor.CopyFrom(numpy_helper.from_array(np.minimum(value, 121) + np.int8(6), tensor.name))
    corrected = quantise_bias.correct(maker.model, rounded, PICTURES)
    stored = {tensor.name: tensor for tensor in rounded.graph.initializer}
    exact, better = constants(maker.model), constants(corrected)
    conv = {node.name: node for node in corrected.graph.node if node.op_type == "Conv"}
    assert stored
    for node in maker.model.graph.node:
        if node.op_type == "Conv":
            assert (better[conv[node.name].input[2]] < exact[node.input[2]]).mean() > 0.5


def test_constants_of_dead_channels_fit_their_int32() -> None:
    model = _residual()
    weights = next(tensor for tensor in model.graph.initializer if tensor.name.endswith("inner.weight"))
    value = numpy_helper.to_array(weights).copy()
    value[0] = 1e-17
    weights.CopyFrom(numpy_helper.from_array(value, weights.name))
    before = _quantised(model)
    name = next(node.input[0] for node in model.graph.node if "inner" in node.name and node.op_type == "Conv")
    quantise_bias.leave_room(model, {name: 0.01})
    known = constants(model)
    bias = next(value for name, value in known.items() if name.endswith("inner.bias"))
    lifted = known[weights.name]
    assert abs(bias[0]) / (np.abs(lifted[0]).max() / 127 * 0.01) < 2**30
    assert np.array_equal(lifted[1:], value[1:])
    assert np.abs(_quantised(model) - before).max() < 1e-3


def test_a_range_leaves_out_what_is_rare_and_keeps_what_is_not() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(0, 1, 200_000), [40.0]]).astype(np.float32)
    low, high = quantise_ranges.least_error(values, (float(values.min()), 40.0))
    assert high < 35
    assert low < -3
    even = rng.uniform(0, 1, 20000).astype(np.float32)
    assert quantise_ranges.least_error(even, (0.0, 1.0)) == pytest.approx((0.0, 1.0))
    assert quantise_ranges.least_error(even, (0.0, 0.0)) == (0.0, 0.0)


def test_weights_rounded_together_err_less_where_inputs_are_alike() -> None:
    rng = np.random.default_rng(1)
    common = rng.normal(100, 30, (4000, 1))
    inputs = common + rng.normal(0, 3, (4000, 40))
    weights = rng.normal(0, 1, (16, 40))
    step = np.abs(weights).max(axis=1, keepdims=True) / 20
    together = quantise_rounding.round_together(weights, step, inputs[:2000]) * step
    nearest = np.rint(weights / step) * step
    unseen = inputs[2000:]
    assert (
        np.square(unseen @ (together - weights).T).mean()
        < np.square(unseen @ (nearest - weights).T).mean() / 20
    )


def _spread_of_rows(model: onnx.ModelProto, layer: str) -> float:
    weights = next(v for name, v in constants(model).items() if name.endswith(f"{layer}.weight"))
    largest = np.abs(weights).reshape(len(weights), -1).max(axis=1)
    return float(largest.max() / largest.min())

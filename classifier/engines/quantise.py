"""From an fp32 graph to one int8 graph that ONNX Runtime and OpenVINO both run fast (QDQ form).

Activations are unsigned and weights signed bytes, per output channel: the pair that both libraries have fast
kernels for. The last layer and what follows it stay fp32: they cost nothing, and softmax of rounded logits is
coarse. What keeps the scores near the reference's, by how much it helps with open_nsfw: channels of similar
range (`quantise_equalise`), biases that take back what rounding shifts (`quantise_bias`), ranges that cut off
the rarest values (`quantise_ranges`), first weights rounded together (`quantise_rounding`) and pictures that
are not rounded at all (`quantise_input`). Should the scores be off nevertheless, the layers whose weights do
most harm go back to fp32.

Needs onnx and onnxruntime, not torch. Equal input and versions give equal bytes.
"""

import json
import logging
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from classifier.engines import (
    drift,
    quantise_bias,
    quantise_equalise,
    quantise_input,
    quantise_ranges,
    quantise_rounding,
)
from classifier.engines.quantise_graph import GRAPH_ERRORS, constants, consumers, drop_unused, run
from classifier.engines.quantise_ranges import Ends
from classifier.engines.values import DriftReport, VerificationSet
from classifier.errors import ModelError
from classifier.values import Level, Pixels

_log = logging.getLogger(__name__)

QUANTISED_TYPES = (
    "Add", "AveragePool", "Clip", "Concat", "Conv", "MaxPool", "Mul", "Relu", "Sigmoid",
)  # fmt: skip
MAX_FP32_LAYERS = 6
"""More of open_nsfw's 54 layers would cost too much of the speed for int8 to be worth having."""

_WEIGHTED_TYPES = ("Conv", "Gemm", "MatMul")
_SWALLOWED_TYPES = ("Relu", "Clip")
"""Layers that a range beginning at zero, or ending at six, does the work of."""
_RANGE_SHARES = (0.5, 0.7, 0.9)
"""Tried out: see `quantise_ranges.Ends.between`."""
_HOPELESS = 10
"""Times the bound: what is so far off is not saved by a few layers."""


@dataclass(frozen=True, slots=True)
class Quantised:
    """An int8 graph.

    Attributes:
        content: The ONNX file.
        fp32_layers: Names of the convolutions that were left in fp32 because the scores suffered.
    """

    content: bytes
    fp32_layers: tuple[str, ...]


def quantise(
    graph: bytes, calibration: Pixels, evaluation: VerificationSet, thresholds: Mapping[Level, float]
) -> Quantised:
    """Quantise a graph.

    Everything is fitted on the calibration pictures; the evaluation only tells whether layers have to go back
    to fp32, which of them is again decided by calibration.

    Args:
        graph: fp32 ONNX: `pixels`, uint8 (n, px, px, 3), to `score`, float32 (n,).
        calibration: uint8 (m, px, px, 3).
        evaluation: Other pictures, with the reference's scores.
        thresholds: Score from which a file is flagged, per level.

    Returns:
        The best that was found; whether that is good enough is for the caller to judge.

    Raises:
        ModelError: Where the graph cannot be quantised.
    """
    try:
        maker = _Maker.prepare(graph, calibration)
        best = min((maker.attempt(share) for share in _RANGE_SHARES), key=lambda attempt: attempt.error)
        report = _measured(best, evaluation, thresholds)
        if drift.refusal("int8", report) and report.mean < _HOPELESS * drift.INT8_MEAN:
            best = _with_fp32_layers(maker, best, evaluation, thresholds)
    except (*GRAPH_ERRORS, RuntimeError, ValueError, KeyError, np.linalg.LinAlgError) as error:
        raise ModelError(f"the graph cannot be quantised: {error}") from error
    return Quantised(best.content, best.fp32_layers)


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One way of quantising, and the mean difference from fp32 on the calibration pictures."""

    share: float
    fp32_layers: tuple[str, ...]
    content: bytes
    error: float


@dataclass(frozen=True, slots=True)
class _Maker:
    """What is found out once about a graph, and the making of attempts.

    Attributes:
        model: The fp32 graph, folded and equalised.
        reads_bytes: Whether the first convolution reads the picture's bytes.
        ends: Ranges of the activations.
        head: Names of the last layer with weights and of what follows it, which stay fp32.
        calibration: The calibration pictures.
        wanted: float32 (m,), the fp32 scores of them.
    """

    model: onnx.ModelProto
    reads_bytes: bool
    ends: Mapping[str, Ends]
    head: tuple[str, ...]
    calibration: Pixels
    wanted: NDArray[np.float32]

    @classmethod
    def prepare(cls, graph: bytes, calibration: Pixels) -> "_Maker":
        """Rewrite a graph so that it suffers less from rounding, and measure its activations."""
        model = onnx.load_model_from_string(graph)
        if not any(node.op_type in _WEIGHTED_TYPES for node in model.graph.node):
            raise ValueError("it has no layer with weights")
        model = _cleaned(model)
        reads_bytes = quantise_input.fold(model)
        model = _cleaned(model)
        # A part is enough to see which channels are large.
        quantise_equalise.equalise(model, calibration[::4])
        swallowed = _swallowed(model)
        ends = quantise_ranges.measure(model, _activations(model) - swallowed.keys(), calibration)
        # The quantiser looks up the ranges of these too, without making use of them.
        ends |= {name: ends[follower] for name, follower in swallowed.items()}
        steps = {name: _step(both) for name, both in ends.items() if _step(both) > 0}
        if reads_bytes:
            steps[quantise_input.FLOAT_PICTURE] = quantise_input.STEP
        quantise_bias.leave_room(model, steps)
        return cls(
            model=model,
            reads_bytes=reads_bytes,
            ends=ends,
            head=_head(model),
            calibration=calibration,
            wanted=run(graph, calibration),
        )

    def attempt(self, share: float, fp32_layers: tuple[str, ...] = ()) -> _Attempt:
        """Quantise with ranges at a share of the way between their ends, and measure."""
        first = self._rounded(self.model, share, fp32_layers)
        corrected = quantise_bias.correct(self.model, first, self.calibration[::3])
        model = self._rounded(corrected, share, fp32_layers)
        quantise_input.skip_scaling(model)
        drop_unused(model)
        content: bytes = model.SerializeToString(deterministic=True)
        error = self._error(content)
        _log.debug("int8_attempted", extra={"share": share, "fp32_layers": fp32_layers, "error": error})
        return _Attempt(share, fp32_layers, content, error)

    def error_with(self, share: float, fp32_layers: tuple[str, ...]) -> float:
        """Roughly what an attempt would give: without corrected biases, on a part of the pictures."""
        model = self._rounded(self.model, share, fp32_layers)
        return self._error(model.SerializeToString(), every=4)

    def _error(self, content: bytes, every: int = 1) -> float:
        return float(np.abs(run(content, self.calibration[::every]) - self.wanted[::every]).mean())

    def _rounded(self, model: onnx.ModelProto, share: float, fp32_layers: Collection[str]) -> onnx.ModelProto:
        """Insert the roundings into a graph that has this one's nodes."""
        with tempfile.TemporaryDirectory(prefix="commons-nsfw-bot-") as directory:
            ranges, made = Path(directory) / "ranges.json", Path(directory) / "int8.onnx"
            ranges.write_text(json.dumps(_as_cache(self.ends, share)))
            quantize_static(
                model,
                made,
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=list(QUANTISED_TYPES),
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                nodes_to_exclude=[*self.head, quantise_input.SCALING_NODE, *fp32_layers],
                calibrate_method=CalibrationMethod.MinMax,
                extra_options={"TensorQuantOverrides": self._overrides()},
                calibration_cache_path=ranges,
            )
            rounded = onnx.load_model(made)
        if self.reads_bytes:
            quantise_rounding.round_first(self.model, rounded, quantise_input.FLOAT_PICTURE, self.calibration)
        return rounded

    def _overrides(self) -> dict[str, list[dict[str, object]]]:
        if not self.reads_bytes:
            return {}
        exact: dict[str, object] = {
            "scale": np.array(quantise_input.STEP, np.float32),
            "zero_point": np.array(0, np.uint8),
        }
        return {quantise_input.FLOAT_PICTURE: [exact]}


def _with_fp32_layers(
    maker: _Maker, best: _Attempt, evaluation: VerificationSet, thresholds: Mapping[Level, float]
) -> _Attempt:
    """Give the most harmful layers back to fp32, one more at a time, until the scores are near enough."""
    convolutions = [node.name for node in maker.model.graph.node if node.op_type == "Conv"]
    errors = {name: maker.error_with(best.share, (name,)) for name in convolutions if name not in maker.head}
    by_gain = sorted(errors, key=errors.__getitem__)[:MAX_FP32_LAYERS]
    chosen: tuple[str, ...] = ()
    for name in by_gain:
        chosen = (*chosen, name)
        attempt = maker.attempt(best.share, chosen)
        if attempt.error < best.error:
            best = attempt
        if not drift.refusal("int8", _measured(best, evaluation, thresholds)):
            break
    return best


def _measured(
    attempt: _Attempt, evaluation: VerificationSet, thresholds: Mapping[Level, float]
) -> DriftReport:
    return drift.measure(evaluation.reference, run(attempt.content, evaluation.pixels), thresholds)


def _head(model: onnx.ModelProto) -> tuple[str, ...]:
    """The last layer with weights, and all that depends on it."""
    last = [node for node in model.graph.node if node.op_type in _WEIGHTED_TYPES][-1]
    names, reached = [last.name], set(last.output)
    for node in model.graph.node:
        if reached.intersection(node.input):
            names.append(node.name)
            reached.update(node.output)
    return tuple(names)


def _activations(model: onnx.ModelProto) -> set[str]:
    """The float tensors around layers that are quantised."""
    floats = {
        info.name
        for info in model.graph.value_info
        if info.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    }
    names: set[str] = set()
    for node in model.graph.node:
        if node.op_type in QUANTISED_TYPES:
            names.update(node.input)
            names.update(node.output)
    return (names & floats) - constants(model).keys()


def _swallowed(model: onnx.ModelProto) -> dict[str, str]:
    """Tensors that only a rectifier reads, and what it makes of them: the pair gets one rounding."""
    return {
        name: readers[0].output[0]
        for name, readers in consumers(model).items()
        if len(readers) == 1 and readers[0].op_type in _SWALLOWED_TYPES and readers[0].input[0] == name
    }


def _step(ends: Ends) -> float:
    low, high = ends.between(0)
    return (high - low) / 255


def _cleaned(model: onnx.ModelProto) -> onnx.ModelProto:
    """Fold constants and write down all shapes, as the quantiser asks for."""
    with tempfile.TemporaryDirectory(prefix="commons-nsfw-bot-") as directory:
        before, after = Path(directory) / "before.onnx", Path(directory) / "after.onnx"
        onnx.save_model(model, before)
        quant_pre_process(before, after, skip_symbolic_shape=True)
        return onnx.load_model(after)


def _as_cache(ends: Mapping[str, Ends], share: float) -> dict[str, object]:
    """The form in which `quantize_static` takes ranges that were measured elsewhere."""
    ranges = {name: both.between(share) for name, both in ends.items()}
    return {
        "CLS": "TensorsData",
        "calibration_method": {"CLS": "CalibrationMethod", "value": "CalibrationMethod.MinMax"},
        "data": {
            name: {"CLS": "TensorData", "lowest": low, "highest": high}
            for name, (low, high) in ranges.items()
        },
    }

"""The real model in int8, on the whole evaluation set: the promise about its scores, in every library."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch

from classifier import preprocess
from classifier.engines import calibration, drift, graph, procedural, quantise, sets_cache, torch_int8
from classifier.engines.calibration import CalibrationSets
from classifier.engines.quantise import Quantised
from classifier.engines.quantise_graph import run
from classifier.engines.values import DriftReport
from classifier.models import open_nsfw as network
from classifier.training import adversarial
from tests.model_weights import open_nsfw

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

MADE_BY = (calibration, procedural, adversarial, preprocess, network)


@lru_cache(maxsize=1)
def _sets() -> CalibrationSets:
    """The sets that the cache keeps for exports, where they are younger than the code that makes them."""
    model = open_nsfw()
    path = sets_cache.location(model.card, None)
    changed = max(Path(str(module.__file__)).stat().st_mtime for module in MADE_BY)
    if path.exists() and path.stat().st_mtime > changed:
        return sets_cache.get(model, None)
    sets = calibration.make_sets(model.network, model.card.preprocessing, model.card.input_px)
    sets_cache.keep(path, sets)
    return sets


@lru_cache(maxsize=1)
def _quantised() -> Quantised:
    model = open_nsfw()
    content = graph.export(model.network, model.card.input_px)
    return quantise.quantise(content, _sets().calibration, _sets().evaluation, model.card.thresholds)


def _report(scores: np.ndarray) -> DriftReport:
    return drift.measure(_sets().evaluation.reference, scores, open_nsfw().card.thresholds)


def test_the_evaluation_set_has_enough_pictures_and_enough_high_scores() -> None:
    sets = _sets()
    assert len(sets.evaluation.reference) >= 500
    assert (sets.evaluation.reference >= 0.5).sum() >= 50
    assert 128 <= len(sets.calibration) <= 256
    assert len(sets.verification.reference) == calibration.VERIFICATION_PICTURES
    assert (sets.verification.reference >= 0.5).sum() >= 12


def test_onnx_runtime_meets_the_bounds_with_every_layer_in_int8() -> None:
    report = _report(run(_quantised().content, _sets().evaluation.pixels))
    assert drift.refusal("int8", report) == "", report
    assert _quantised().fp32_layers == ()


def test_openvino_meets_the_bounds_with_the_same_file() -> None:
    openvino = pytest.importorskip("openvino")
    core = openvino.Core()
    options = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(core.read_model(_quantised().content), "CPU", options)
    pixels = _sets().evaluation.pixels
    scores = np.concatenate([compiled(pixels[i : i + 16])[0].copy() for i in range(0, len(pixels), 16)])
    assert drift.refusal("int8", _report(scores)) == ""


def test_openvino_runs_every_convolution_in_int8() -> None:
    openvino = pytest.importorskip("openvino")
    core = openvino.Core()
    options = {"INFERENCE_PRECISION_HINT": "f32", "PERF_COUNT": True}
    request = core.compile_model(core.read_model(_quantised().content), "CPU", options).create_infer_request()
    request.infer({0: _sets().evaluation.pixels[:1]})
    kernels = [node.exec_type for node in request.get_profiling_info() if node.node_type == "Convolution"]
    assert len(kernels) == 53
    assert all(kernel.endswith("I8") for kernel in kernels), kernels


def test_torch_runs_its_own_int8_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "open_nsfw.pt"
    torch_int8.quantise(open_nsfw().network, _sets().calibration[::4], path)
    scorer = torch.jit.load(path)
    # Its scores miss the bounds, which is why no such export is kept; that it is the same model still shows.
    with torch.inference_mode():
        scores = scorer(torch.from_numpy(_sets().verification.pixels)).numpy()
    assert scores.shape == (len(_sets().verification.pixels),)
    assert scores.dtype == np.float32
    assert np.abs(scores - _sets().verification.reference).mean() < 0.1

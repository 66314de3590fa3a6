"""ONNX Runtime and OpenVINO: the reference's scores, whatever the batch, and clear words else."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from classifier.engines import graph
from classifier.engines.opening import open_engine
from classifier.engines.values import EngineId
from classifier.errors import ModelError
from classifier.values import Classifier
from tests import tiny_model

LIBRARIES = ("onnxruntime", "openvino")


@pytest.fixture(params=LIBRARIES)
def engine(request: pytest.FixtureRequest) -> EngineId:
    return EngineId(request.param, "fp32")


@pytest.fixture
def classifier(engine: EngineId, tmp_path: Path) -> Classifier:
    return open_engine(engine, tiny_model.exported(tmp_path), threads=1)


def test_the_scores_are_the_reference_s(classifier: Classifier, engine: EngineId) -> None:
    pixels = tiny_model.pictures(24)
    scores = classifier.predict(pixels)
    assert scores.dtype == np.float32
    assert np.ptp(scores) > 0.2
    np.testing.assert_allclose(scores, tiny_model.reference(pixels), rtol=0, atol=1e-5)
    assert (classifier.engine, classifier.card) == (str(engine), tiny_model.CARD)


def test_a_score_does_not_depend_on_the_batch_it_travels_in(classifier: Classifier) -> None:
    pixels = tiny_model.pictures(16)
    alone = np.concatenate([classifier.predict(picture[None]) for picture in pixels])
    for size in range(2, 17):
        parts = [classifier.predict(pixels[start : start + size]) for start in range(0, 16, size)]
        np.testing.assert_allclose(np.concatenate(parts), alone, rtol=0, atol=1e-6)
    order = np.random.default_rng(0).permutation(16)
    np.testing.assert_allclose(classifier.predict(pixels[order]), alone[order], rtol=0, atol=1e-6)


def test_the_same_batch_gives_the_same_bits(classifier: Classifier) -> None:
    pixels = tiny_model.pictures(5)
    np.testing.assert_array_equal(classifier.predict(pixels), classifier.predict(pixels))


def test_scores_stay_what_they_are_when_the_next_batch_is_scored(classifier: Classifier) -> None:
    first = classifier.predict(tiny_model.pictures(4, seed=1))
    kept = first.copy()
    classifier.predict(tiny_model.pictures(4, seed=2))
    np.testing.assert_array_equal(first, kept)


def test_several_threads_get_their_own_scores(classifier: Classifier) -> None:
    batches = [tiny_model.pictures(count, seed=count) for count in range(1, 9)] * 4
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(classifier.predict, batches))
    for pixels, scores in zip(batches, found, strict=True):
        np.testing.assert_allclose(scores, tiny_model.reference(pixels), rtol=0, atol=1e-5)


def test_read_only_and_flipped_arrays_are_scored_like_any_other(classifier: Classifier) -> None:
    pixels = tiny_model.pictures(2)
    expected = classifier.predict(pixels.copy())
    flipped = np.ascontiguousarray(pixels[:, :, :, ::-1])[:, :, :, ::-1]
    pixels.flags.writeable = False
    np.testing.assert_array_equal(classifier.predict(pixels), expected)
    np.testing.assert_array_equal(classifier.predict(flipped), expected)


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((32, 32, 3), np.uint8),
        np.zeros((0, 32, 32, 3), np.uint8),
        np.zeros((1, 16, 32, 3), np.uint8),
        np.zeros((1, 32, 32, 3), np.float32),
    ],
)
def test_other_shapes_and_types_are_refused(classifier: Classifier, bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"expected uint8 \(n, 32, 32, 3\)"):
        classifier.predict(bad)


class _NotANumber(nn.Module):
    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        # The square root of what is below zero; a constant would be folded away with its pictures.
        return torch.sqrt(-1 - pixels.mean((2, 3)))[:, :2]


def test_a_score_that_is_not_a_number_is_an_error_and_never_safe(engine: EngineId, tmp_path: Path) -> None:
    content = graph.export(_NotANumber(), tiny_model.SIDE_PX)
    classifier = open_engine(engine, tiny_model.file_graph(tmp_path / "graph.onnx", content))
    with pytest.raises(ModelError, match="not a number"):
        classifier.predict(tiny_model.pictures(1))


def _foreign_graph() -> bytes:
    """A graph of somebody else: float pictures in, two logits out."""
    made = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["x"], ["y"])],
        "foreign",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 2])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["n", 2])],
    )
    opset = [onnx.helper.make_opsetid("", graph.OPSET)]
    return onnx.helper.make_model(made, opset_imports=opset, ir_version=8).SerializeToString()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"not a graph at all", "cannot read it.*python -m bot models export tiny"),
        (b"", "python -m bot models export tiny|not exported by this project"),
        (_foreign_graph(), "not exported by this project"),
    ],
    ids=["noise", "empty", "foreign"],
)
def test_a_file_that_is_no_such_graph_is_refused_with_what_to_do(
    engine: EngineId, tmp_path: Path, content: bytes, words: str
) -> None:
    with pytest.raises(ModelError, match=words):
        open_engine(engine, tiny_model.file_graph(tmp_path / "graph.onnx", content))


def test_half_a_graph_is_refused(engine: EngineId, tmp_path: Path) -> None:
    content = tiny_model.content()[: len(tiny_model.content()) // 2]
    with pytest.raises(ModelError, match=r"graph\.onnx"):
        open_engine(engine, tiny_model.file_graph(tmp_path / "graph.onnx", content))


@pytest.mark.parametrize("library", LIBRARIES)
def test_running_a_graph_loads_one_library_and_no_telemetry(library: str, tmp_path: Path) -> None:
    graph = tiny_model.exported(tmp_path)
    program = f"""
import sys, numpy as np
from pathlib import Path
from classifier.engines.opening import open_engine
from classifier.engines.values import EngineId, ExportedGraph
from classifier.values import ModelCard
card = ModelCard("tiny", "", "", "", 32, {{}}, "", "")
graph = ExportedGraph(card, Path({str(graph.path)!r}), "onnx", "fp32", {graph.sha256!r})
open_engine(EngineId({library!r}, "fp32"), graph).predict(np.zeros((1, 32, 32, 3), np.uint8))
names = {{name.partition(".")[0] for name in sys.modules}}
wanted = {{"torch", "onnx", "safetensors", "onnxruntime", "openvino", "openvino_telemetry", "nncf"}}
print(*sorted(names & wanted))
if sys.modules.get("openvino.tools.ovc"):
    print("and the tools that report every import to the vendor")
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.stdout.split() == [library], ended.stderr

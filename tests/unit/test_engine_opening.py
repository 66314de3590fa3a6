"""Opening an engine: only what fits, only what is sound, and clear words where the library is missing."""

import dataclasses
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from classifier.engines import artefacts, opening
from classifier.engines.scorer import Scorer
from classifier.engines.torch_engine import TorchEngine
from classifier.engines.values import ENGINES, EngineId, ExportedGraph
from classifier.errors import ModelError
from classifier.models import catalogue, weights
from tests import tiny_model
from tests.model_weights import open_nsfw

ONNX_FP32 = EngineId("onnxruntime", "fp32")


def _torchscript(folder: Path) -> ExportedGraph:
    path = folder / "graph.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scorer = torch.jit.trace(Scorer(tiny_model.network()), torch.from_numpy(tiny_model.pictures(2)))
        torch.jit.save(scorer, path)
    sha256 = artefacts.sha256_of(path.read_bytes())
    return ExportedGraph(tiny_model.CARD, path, "torchscript", "int8", sha256)


def test_everything_that_is_installed_counts() -> None:
    assert opening.installed() == ENGINES


def test_a_missing_library_is_named_with_what_to_do_instead(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert {engine.library for engine in opening.installed()} == {"torch", "openvino"}
    with pytest.raises(ModelError, match=r"pip install onnxruntime`.*openvino-int8"):
        opening.open_engine(ONNX_FP32, tiny_model.exported(tmp_path))


def test_a_library_that_cannot_be_imported_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "classifier.engines.onnxruntime_engine", None)
    with pytest.raises(ModelError, match=r"cannot be imported.*--force-reinstall onnxruntime"):
        opening.open_engine(ONNX_FP32, tiny_model.exported(tmp_path))


def test_a_changed_file_is_never_opened(tmp_path: Path) -> None:
    graph = tiny_model.exported(tmp_path)
    graph.path.write_bytes(tiny_model.content(seed=1))
    with pytest.raises(ModelError, match="wrong SHA-256"):
        opening.open_engine(ONNX_FP32, graph)
    graph.path.unlink()
    with pytest.raises(ModelError, match="cannot be read"):
        opening.open_engine(ONNX_FP32, graph)


@pytest.mark.parametrize(
    ("engine", "change"),
    [
        (ONNX_FP32, {"precision": "int8"}),
        (ONNX_FP32, {"format": "torchscript"}),
        (EngineId("torch", "fp32"), {}),
    ],
)
def test_a_graph_of_another_form_is_refused(engine: EngineId, change: dict[str, str], tmp_path: Path) -> None:
    graph = dataclasses.replace(tiny_model.exported(tmp_path), **change)
    with pytest.raises(ModelError, match="cannot run"):
        opening.open_engine(engine, graph)


def test_torchscript_is_opened_as_int8(tmp_path: Path) -> None:
    classifier = opening.open_engine(EngineId("torch", "int8"), _torchscript(tmp_path))
    pixels = tiny_model.pictures(5)
    np.testing.assert_allclose(classifier.predict(pixels), tiny_model.reference(pixels), rtol=0, atol=1e-6)
    assert classifier.engine == "torch-int8"
    assert isinstance(classifier, TorchEngine)
    with pytest.raises(ModelError, match="use torch-fp32"):
        _ = classifier.network


def test_torchscript_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "graph.pt").write_bytes(b"PK\x03\x04 not really")
    with pytest.raises(ModelError, match="cannot read the exported int8 model"):
        TorchEngine.from_torchscript(tmp_path / "graph.pt", tiny_model.CARD)


def test_the_reference_is_opened_from_its_weights() -> None:
    open_nsfw()
    card = catalogue.card("open_nsfw")
    path = weights.default_cache_directory() / catalogue.weights_source("open_nsfw").filename
    graph = ExportedGraph(card, path, "safetensors", "fp32", card.weights_sha256)
    classifier = opening.open_engine(EngineId("torch", "fp32"), graph)
    black = np.zeros((1, 224, 224, 3), np.uint8)
    np.testing.assert_array_equal(classifier.predict(black), open_nsfw().predict(black))

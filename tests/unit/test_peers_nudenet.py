"""NudeNet's form on a tiny detector made here; the package itself is under the AGPL and not needed."""

import importlib.util
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from classifier import preprocess
from classifier.errors import ModelError
from classifier.peers import door, nudenet

PLACE_PX = 160


def detector(path: Path, rows: int = 22, batch: object = "batch") -> Path:
    """Four places; the confidence of three classes is the mean of one channel there, that of others is 0."""
    weights = np.zeros((rows, 3, 1, 1), np.float32)
    for channel, name in enumerate(("FACE_FEMALE", "BELLY_EXPOSED", "FEMALE_BREAST_EXPOSED")):
        weights[4 + nudenet.CLASSES.index(name), channel] = 1
    weights[:4, :, 0, 0] = 300  # boxes, in pixels: must never be taken for a confidence
    nodes = [
        helper.make_node(
            "AveragePool", ["images"], ["places"], kernel_shape=[PLACE_PX] * 2, strides=[PLACE_PX] * 2
        ),
        helper.make_node("Conv", ["places", "weights"], ["found"]),
        helper.make_node("Reshape", ["found", "shape"], ["output0"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [batch, 3, "height", "width"])],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, [batch, rows, "places"])],
        [
            numpy_helper.from_array(weights, "weights"),
            numpy_helper.from_array(np.array([0, rows, -1]), "shape"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path


def test_the_surest_exposed_part_anywhere_is_the_score(tmp_path: Path) -> None:
    model = nudenet.open_graph(detector(tmp_path / "tiny.onnx"), threads=1)
    pixels = np.zeros((3, 320, 320, 3), np.uint8)
    pixels[0, :, :, :2] = 255  # a face and a belly, everywhere
    pixels[1, :PLACE_PX, :PLACE_PX, 2] = 51
    pixels[2, :PLACE_PX, :PLACE_PX, 2] = 51
    pixels[2, PLACE_PX:, PLACE_PX:, 2] = 204
    np.testing.assert_allclose(model.predict(pixels), [0, 0.2, 0.8], atol=1e-4)
    everything = model.confidences(pixels)
    assert everything.shape == (3, len(nudenet.CLASSES))
    assert everything[0, nudenet.CLASSES.index("BELLY_EXPOSED")] == pytest.approx(1)


def test_from_a_picture_to_a_score(tmp_path: Path) -> None:
    model = nudenet.open_graph(detector(tmp_path / "tiny.onnx"), threads=1)
    way = preprocess.get(model.card.preprocessing)
    red = way.prepare(Image.new("RGB", (640, 320), (255, 0, 0)))  # the third channel, blue being the first
    assert model.predict(red[None])[0] == pytest.approx(1)
    assert (way.input_px, model.engine) == (model.card.input_px, "onnxruntime-fp32")


def test_a_graph_of_another_form_is_refused(tmp_path: Path) -> None:
    pixels = np.zeros((1, 320, 320, 3), np.uint8)
    with pytest.raises(ModelError, match="18 classes were expected"):
        nudenet.open_graph(detector(tmp_path / "more.onnx", rows=23), threads=1).predict(pixels)
    (tmp_path / "none.onnx").write_bytes(b"nothing")
    with pytest.raises(ModelError, match=r"none\.onnx: ONNX Runtime .* cannot read it"):
        nudenet.open_graph(tmp_path / "none.onnx")
    one_at_a_time = nudenet.open_graph(detector(tmp_path / "one.onnx", batch=1), threads=1)
    with pytest.raises(ModelError, match="nudenet: onnxruntime-fp32 failed"):
        one_at_a_time.predict(np.repeat(pixels, 2, axis=0))
    with pytest.raises(ValueError, match="expected uint8"):
        one_at_a_time.predict(pixels[:, :100])


def test_a_missing_package_is_named_with_its_licence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.path", [])
    monkeypatch.setattr("sys.meta_path", [])
    with pytest.raises(ModelError, match=r"AGPL-3\.0.*pip install --no-deps nudenet==3\.4\.2"):
        nudenet.load()


def test_another_version_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "nudenet"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('its code is never run')")
    detector(package / "320n.onnx")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModelError, match=r"is not that of nudenet==3\.4\.2"):
        door.load("nudenet")


def test_the_classes_that_count_are_all_exposed_parts() -> None:
    assert set(nudenet.SCORED) < set(nudenet.CLASSES)
    assert all(name.endswith("_EXPOSED") for name in nudenet.SCORED)


if importlib.util.find_spec("nudenet") is not None:

    def test_the_published_graph_agrees_with_the_package_but_for_opencvs_rounding() -> None:
        """Only where somebody has installed it, on two pictures of nothing in which it sees something."""
        from nudenet import NudeDetector

        from classifier.engines.procedural import picture

        model, theirs = nudenet.load(threads=1), NudeDetector()
        way = preprocess.get(model.card.preprocessing)
        for index in (31, 51):
            rgb = picture(3, index)
            found = {entry["class"]: entry["score"] for entry in theirs.detect(rgb[:, :, ::-1].copy())}
            best = model.confidences(way.prepare_array(rgb, "rgb")[None])[0]
            assert found
            for name, score in found.items():
                assert best[nudenet.CLASSES.index(name)] == pytest.approx(score, abs=0.01)

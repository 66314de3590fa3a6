"""Exporting the real default model: made in a process of its own, verified, cached, refused when off."""

import dataclasses
import json
import subprocess
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from classifier import engines, predict, preprocess
from classifier.engines import artefacts, bundles, drift, exporting, graph, making, opening, sets_cache
from classifier.engines.calibration import CalibrationSets
from classifier.engines.scorer import Scorer
from classifier.engines.values import EngineId, ExportedGraph, VerificationSet
from classifier.errors import ModelError
from classifier.models import catalogue, weights
from classifier.models.architectures import build
from classifier.training.adversarial import gradient_picture
from tests.model_weights import SOURCE, open_nsfw, positive

pytestmark = pytest.mark.slow

CARD = catalogue.card("open_nsfw")
ORT_FP32, OV_FP32 = EngineId("onnxruntime", "fp32"), EngineId("openvino", "fp32")


@lru_cache(maxsize=1)
def small_sets() -> CalibrationSets:
    """Scores from 0 to 1 without the minutes that the real sets take: one positive, faded in."""
    prepare = preprocess.get(CARD.preprocessing)
    plain, sure = gradient_picture(320, 240, 0).astype(float), positive()
    faded = [np.rint(plain + share * (sure - plain)).astype(np.uint8) for share in np.linspace(0, 1, 24)]
    drawn = [gradient_picture(320, 240, seed) for seed in range(24)]
    pixels = np.stack([prepare.prepare_array(picture, "rgb") for picture in faded + drawn])
    scored = VerificationSet(pixels, open_nsfw().predict(pixels))
    return CalibrationSets(calibration=pixels, evaluation=scored, verification=scored)


def prepared_cache(folder: Path) -> Path:
    """A cache with the weights, and with the small sets where the real ones would be kept."""
    open_nsfw()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SOURCE.filename).symlink_to(weights.default_cache_directory() / SOURCE.filename)
    sets_cache.keep(sets_cache.location(CARD, folder), small_sets())
    return folder


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared_cache(tmp_path_factory.mktemp("export") / "models")


TOLD: list[tuple[str, int, int]] = []
"""What the one real export told of its progress."""


@pytest.fixture(scope="module")
def exported(cache: Path) -> ExportedGraph:
    return exporting.export(
        "open_nsfw", ORT_FP32, cache_directory=cache, progress=lambda *step: TOLD.append(step)
    )


@pytest.fixture
def without_torch(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "torch", None)
        yield


def test_an_export_is_verified_and_says_so(exported: ExportedGraph) -> None:
    report = exported.drift
    assert report is not None
    assert (report.pictures, drift.refusal("fp32", report)) == (48, "")
    assert report.max < drift.FP32_MAX
    assert {"exporter", "torch", "onnx"} == exported.made_with.keys()
    verification = artefacts.read_verification(exported)
    np.testing.assert_array_equal(verification.reference, small_sets().verification.reference)


def test_what_is_exported_is_taken_from_the_cache(cache: Path, exported: ExportedGraph) -> None:
    def never(what: str, done: int, total: int) -> None:
        raise AssertionError(f"{what} is made again")

    for engine in (ORT_FP32, OV_FP32):  # they read the same file
        assert exporting.export("open_nsfw", engine, cache_directory=cache, progress=never) == exported


def test_an_export_of_other_versions_is_made_again_where_it_can_be(
    exported: ExportedGraph, cache: Path, tmp_path: Path, without_torch: None
) -> None:
    (tmp_path / "models").mkdir()
    older = dataclasses.replace(exported, made_with={"exporter": "0", "torch": "1.0", "onnx": "1.0"})
    kept = artefacts.put(older, artefacts.read(exported), None, cache_directory=tmp_path)
    assert exporting.available(CARD, ORT_FP32, cache_directory=tmp_path) == kept
    (tmp_path / SOURCE.filename).touch()
    assert exporting.available(CARD, ORT_FP32, cache_directory=tmp_path) == kept
    del sys.modules["torch"]
    assert exporting.available(CARD, ORT_FP32, cache_directory=tmp_path) is None
    (tmp_path / SOURCE.filename).unlink()  # without weights it cannot be made again
    assert exporting.available(CARD, ORT_FP32, cache_directory=tmp_path) == kept


@pytest.mark.parametrize("library", ["onnxruntime", "openvino"])
def test_the_whole_model_scores_like_the_reference_whatever_the_batch(
    exported: ExportedGraph, library: str
) -> None:
    classifier = opening.open_engine(EngineId(library, "fp32"), exported)
    pixels = small_sets().evaluation.pixels[8:40:2]
    alone = np.concatenate([classifier.predict(picture[None]) for picture in pixels])
    assert np.ptp(alone) > 0.9
    np.testing.assert_allclose(alone, open_nsfw().predict(pixels), rtol=0, atol=drift.FP32_MAX)
    for size in (2, 3, 5, 7, 16):
        parts = [classifier.predict(pixels[start : start + size]) for start in range(0, 16, size)]
        np.testing.assert_allclose(np.concatenate(parts), alone, rtol=0, atol=1e-5)
    order = np.random.default_rng(0).permutation(16)
    np.testing.assert_allclose(classifier.predict(pixels[order]), alone[order], rtol=0, atol=1e-5)


def test_an_export_that_scores_differently_is_refused_and_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = prepared_cache(tmp_path / "models")
    other = graph.export(build("open_nsfw", seed=0), CARD.input_px)
    monkeypatch.setattr(graph, "export", lambda network, input_px: other)
    with pytest.raises(ModelError, match=r"onnxruntime-fp32 is refused.*too far from the reference"):
        making.make("open_nsfw", ORT_FP32, cache_directory=cache)
    assert exporting.available(CARD, ORT_FP32, cache_directory=cache) is None
    assert list(artefacts.directory(cache).glob("*/manifest.json")) == []


@dataclasses.dataclass
class _Quantised:
    content: bytes
    fp32_layers: tuple[str, ...] = ("stem",)


def test_int8_is_made_from_the_verified_fp32_graph_and_says_which_layers_are_not(
    cache: Path, exported: ExportedGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unchanged(content: bytes, calibration: np.ndarray, evaluation: object, thresholds: object) -> object:
        assert content == artefacts.read(exported)
        np.testing.assert_array_equal(calibration, small_sets().calibration)
        assert thresholds == CARD.thresholds
        return _Quantised(content)

    monkeypatch.setattr(engines, "quantise", SimpleNamespace(quantise=unchanged), raising=False)
    engine = EngineId("openvino", "int8")
    made = making.make("open_nsfw", engine, cache_directory=cache)
    assert (made.precision, made.format, made.fp32_layers) == ("int8", "onnx", ("stem",))
    assert made.made_with.keys() == {"exporter", "torch", "onnx", "onnxruntime"}
    assert made.verification == exported.verification
    assert exporting.available(CARD, EngineId("onnxruntime", "int8"), cache_directory=cache) == made
    assert exporting.available(CARD, OV_FP32, cache_directory=cache) == exported


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torch_int8_is_kept_as_torchscript(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def traced(network: torch.nn.Module, calibration: np.ndarray, path: Path) -> None:
        torch.jit.save(torch.jit.trace(Scorer(network), torch.from_numpy(calibration[:2])), path)

    monkeypatch.setattr(engines, "torch_int8", SimpleNamespace(quantise=traced), raising=False)
    made = making.make("open_nsfw", EngineId("torch", "int8"), cache_directory=cache)
    assert (made.precision, made.format) == ("int8", "torchscript")
    loaded = predict.load("open_nsfw", "torch-int8", cache_directory=cache)
    pixels = small_sets().evaluation.pixels[:4]
    np.testing.assert_allclose(loaded.predict(pixels), open_nsfw().predict(pixels), rtol=0, atol=1e-4)


def test_a_maker_that_finds_the_work_done_does_nothing(cache: Path, exported: ExportedGraph) -> None:
    assert making.make("open_nsfw", OV_FP32, cache_directory=cache) == exported


def test_progress_is_told_across_the_processes(exported: ExportedGraph) -> None:
    assert {what for what, _done, _total in TOLD} == {"exporting", "comparing scores"}
    assert TOLD[-1] == ("comparing scores", 48, 48)


def test_a_maker_that_fails_tells_why(tmp_path: Path) -> None:
    (tmp_path / SOURCE.filename).write_bytes(b"damaged")
    with pytest.raises(ModelError, match="damaged or was changed"):
        exporting.export("open_nsfw", ORT_FP32, cache_directory=tmp_path)


def test_without_weights_the_reference_says_how_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="python -m bot models fetch open_nsfw"):
        predict.load("open_nsfw", "torch-fp32", cache_directory=tmp_path)


def test_without_torch_and_bundle_the_message_says_how_to_bring_one(
    tmp_path: Path, without_torch: None
) -> None:
    with pytest.raises(ModelError, match=r"without torch.*models export open_nsfw .*fetch open_nsfw --from"):
        predict.load("open_nsfw", "onnxruntime-fp32", cache_directory=tmp_path)
    with pytest.raises(ModelError, match="pip install torch"):
        predict.load("open_nsfw", "torch-fp32", cache_directory=tmp_path)


def test_an_unknown_engine_or_model_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"unknown engine 'tensorrt-fp32'.*auto"):
        predict.load("open_nsfw", "tensorrt-fp32", cache_directory=tmp_path)
    with pytest.raises(ModelError, match=r"unknown model 'mobilenot'"):
        predict.load("mobilenot", "torch-fp32", cache_directory=tmp_path)


@pytest.mark.parametrize("library", ["onnxruntime", "openvino"])
def test_a_bundle_scores_in_a_process_without_torch(
    exported: ExportedGraph, tmp_path: Path, library: str
) -> None:
    bundle = bundles.pack(exported, tmp_path / "open_nsfw.zip")
    pixels = small_sets().evaluation.pixels[:4]
    np.save(tmp_path / "pixels.npy", pixels)
    program = f"""
import json, sys
sys.modules.update(dict.fromkeys(["torch", "torchvision", "onnx", "safetensors"]))
from pathlib import Path
import numpy as np
from classifier import predict
from classifier.models import catalogue
here = Path({str(tmp_path)!r})
catalogue.fetch("open_nsfw", here / "cache", here / "open_nsfw.zip")
classifier = predict.load("open_nsfw", "{library}-fp32", cache_directory=here / "cache")
print(json.dumps(classifier.predict(np.load(here / "pixels.npy")).tolist()))
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    np.testing.assert_allclose(
        json.loads(ended.stdout), open_nsfw().predict(pixels), rtol=0, atol=drift.FP32_MAX
    )
    assert bundle.exists()


def test_importing_the_door_and_the_catalogue_loads_no_model_library() -> None:
    program = "import sys, classifier.predict, classifier.models.catalogue\n"
    program += (
        "print(*sorted({'torch', 'onnx', 'safetensors', 'onnxruntime', 'openvino'} & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout.split() == []

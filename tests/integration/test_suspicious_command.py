"""`suspicious` from the command line: a planted wrong label comes first, bad data is told by its column."""

import csv
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner, Result

from bot.commands.suspicious import suspicious
from classifier.datasets import manifest
from classifier.datasets.values import Dataset, Item
from tests.trained_runs import finished

pytestmark = pytest.mark.slow
app = typer.Typer()
app.command()(suspicious)
CLASSES = ("cold", "warm")
PLANTED = "07.png"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(one) for one in arguments])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that knows nothing of these labels, and pictures that are red or blue."""
    folder = tmp_path_factory.mktemp("suspicious")
    finished(folder)
    random = np.random.default_rng(0)
    items = []
    for index in range(40):
        is_warm = index % 2 == 0
        colour = (200, 60, 40) if is_warm else (40, 60, 200)
        pixels = np.clip(random.normal(colour, 35, (40, 40, 3)), 0, 255).astype(np.uint8)
        path = f"{index:02d}.png"
        Image.fromarray(pixels).save(folder / path)
        items.append(Item(path, CLASSES[is_warm ^ (path == PLANTED)]))
    (folder / "broken.png").write_bytes(b"nothing")
    manifest.write(Dataset(tuple(items), folder, "pictures", CLASSES), folder / "labels.csv")
    return folder


def test_a_planted_wrong_label_comes_first(home: Path, tmp_path: Path) -> None:
    found = run(
        *(home / "labels.csv", "--out", tmp_path, "--model", home / "run"),
        *("--classes", ",".join(CLASSES), "--first", 6),
    )
    assert found.exit_code == 0, found.output
    rows = list(csv.DictReader((tmp_path / "suspicious.csv").read_text().splitlines()))
    assert (rows[0]["path"], rows[0]["label"], rows[0]["suggested"]) == (PLANTED, "warm", "cold")
    assert rows[0]["probably_wrong"] == "yes"
    assert len(rows) == 40
    page = (tmp_path / "suspicious.html").read_text()
    assert page.count("data:image/jpeg") == 1
    assert "blurred" in page
    assert page.index(PLANTED) < page.index("data:image/jpeg")


def test_a_file_that_cannot_be_decoded_is_told(home: Path, tmp_path: Path) -> None:
    (home / "more.csv").write_text((home / "labels.csv").read_text() + "broken.png,warm,,,,\n")
    found = run(home / "more.csv", "--out", tmp_path, "--model", home / "run", "--classes", ",".join(CLASSES))
    assert found.exit_code == 1, found.output
    assert "Not scored" in (tmp_path / "suspicious.html").read_text()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda text: text.replace("cold", "warm"), ("column 'label'", "'cold'")),
        (lambda text: "\n".join(text.splitlines()[:6]), ("column 'label'", "5 folds")),
        (lambda text: text.replace("warm", "hot"), ("column 'label'", "'hot'")),
    ],
)
def test_labels_that_tell_nothing_are_refused(home: Path, tmp_path: Path, change, told) -> None:
    changed = home / "changed.csv"
    changed.write_text(change((home / "labels.csv").read_text()))
    found = run(changed, "--out", tmp_path, "--model", home / "run", "--classes", ",".join(CLASSES))
    assert found.exit_code == 3, found.output
    said = " ".join(found.output.split())
    for part in told:
        assert part in said
    assert "changed.csv" in said

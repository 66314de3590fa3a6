"""`evaluate` from the command line: what it writes, and what it refuses by file and column."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from bot.commands.evaluate import evaluate
from classifier.datasets import manifest, proxy
from classifier.datasets.values import Dataset
from classifier.evaluation import values
from tests.integration.test_peers_hub import files
from tests.trained_runs import finished
from tests.training_runs import pictures

app = typer.Typer()
app.command()(evaluate)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(one) for one in arguments])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs, `run` and `other`, their manifest, and a sealed `test.csv` with a file that is broken."""
    folder = tmp_path_factory.mktemp("laboratory")
    finished(folder)
    shutil.copytree(folder / "run", folder / "other")
    record = json.loads((folder / "other/run.json").read_text())
    (folder / "other/run.json").write_text(json.dumps({**record, "seed": 7}))
    # The first forty are the same pictures that the run was trained on, and so are their cameras.
    drawn = pictures(folder / "sealed", 64)
    items = [dataclasses.replace(item, split="test", source="") for item in drawn.items[40:]]
    write(drawn.with_items(items), folder / "sealed/test.csv")
    (folder / "sealed/broken.png").write_bytes(b"nothing")
    broken = dataclasses.replace(items[0], path="broken.png", sha256="")
    write(drawn.with_items([*items, broken]), folder / "sealed/broken.csv")
    return folder


def write(dataset: Dataset, path: Path) -> None:
    manifest.write(dataset, path)


def usual(home: Path, out: Path) -> list[object]:
    return ["--data", home / "sealed/test.csv", "--out", out, "--resamples", 60]


@pytest.mark.slow
def test_one_model_is_reported_with_its_cost(home: Path, tmp_path: Path) -> None:
    found = run(
        home / "run",
        *usual(home, tmp_path),
        *("--validation", home / "pictures/divided.csv", "--suspicious", 4, "--max-memory-mb", 1),
        *("--reviews-per-day", 5, "--uploads-per-day", 100, "--prevalence", 0.02),
    )
    assert found.exit_code == 0, found.output
    assert "over the limit of 1" in found.output
    assert "leak" not in found.output
    folder = tmp_path / "tiny-seed-0"
    evaluation = values.read(folder / "evaluation.json")
    assert (evaluation.items, evaluation.subject.classes) == (24, proxy.CLASSES)
    assert evaluation.expected_prevalence == 0.02
    assert [point.kind for point in evaluation.points] == ["given", "precision", "precision", "budget"]
    page = (folder / "report.html").read_text()
    for expected in ("Speed and memory", "Suspicious labels", "data:image/jpeg", "light", "medium"):
        assert expected in page
    text = (folder / "card.md").read_text()
    assert "Training data, content hash" in text
    assert json.loads((folder / "speed.json").read_text())["parameters"] > 700_000
    assert not (tmp_path / "comparison.html").exists()


@pytest.mark.slow
def test_two_models_are_compared_and_a_bad_file_is_told(home: Path, tmp_path: Path) -> None:
    arguments = [
        *(home / "run", home / "other", "--data", home / "sealed/broken.csv", "--out", tmp_path),
        *("--resamples", 60, "--no-speed"),
    ]
    found = run(*arguments)
    assert found.exit_code == 1, found.output
    assert "1 of 25 files of the test set could not be scored" in found.output
    page = (tmp_path / "tiny-seed-7/report.html").read_text()
    for expected in ("Not scored", "broken.png", "Compared with tiny (seed 0)"):
        assert expected in page
    table = json.loads((tmp_path / "comparison.json").read_text())
    assert [model["seeds"] for model in table["models"]] == [[0, 7]]
    assert table["pairs"][0]["pairing"]["mcnemar"] == {"only_first": 0, "only_second": 0, "p_value": 1.0}
    for suffix in ("html", "md"):
        assert "Pair by pair" in (tmp_path / f"comparison.{suffix}").read_text()
    scores = (tmp_path / "tiny-seed-0/scores-test.jsonl").read_bytes()
    assert run(*arguments).exit_code == 1
    assert (tmp_path / "tiny-seed-0/scores-test.jsonl").read_bytes() == scores


@pytest.mark.slow
def test_a_leak_is_said_before_any_figure(home: Path, tmp_path: Path) -> None:
    known = manifest.read(home / "pictures/divided.csv", proxy.CLASSES)
    sealed = manifest.read(home / "sealed/test.csv", proxy.CLASSES)
    stolen = dataclasses.replace(known.items[0], path="stolen.png", split="test")
    shutil.copy(known.path_of(known.items[0]), home / "sealed/stolen.png")
    write(sealed.with_items([*sealed.items[:-1], stolen]), home / "sealed/leaking.csv")
    arguments = ["--data", home / "sealed/leaking.csv", "--out", tmp_path, "--resamples", 60, "--no-speed"]
    found = run(home / "run", *arguments, "--validation", home / "pictures/divided.csv")
    assert found.exit_code == 0, found.output
    assert "flatter the models" in " ".join(found.output.split())
    page = (tmp_path / "tiny-seed-0/report.html").read_text()
    assert "1 leak: " in page
    assert page.index("flatter the models") < page.index('class="figures"')
    assert "stolen.png" in page


@pytest.mark.slow
def test_a_peer_is_measured_like_any_other(home: Path, tmp_path: Path) -> None:
    repository = home / "peer"
    repository.mkdir()
    for name, content in files().items():
        (repository / name).write_bytes(content)
    arguments = ["--data", home / "sealed/test.csv", "--out", tmp_path, "--resamples", 60, "--no-speed"]
    found = run(home / "run", f"hf:{repository}", *arguments)
    assert found.exit_code == 0, found.output
    table = json.loads((tmp_path / "comparison.json").read_text())
    assert len(table["models"]) == 2
    assert table["pairs"][0]["second"].startswith("hf:")


@pytest.mark.parametrize(
    ("change", "extra", "told"),
    [
        (lambda text: text.replace("present,", "absent,"), (), ("test.csv", "'label'", "'present'")),
        (lambda text: text.replace(",label,", ",etikett,"), (), ("column 'label'", "missing")),
        (lambda text: text.replace("absent,", "strange,"), (), ("column 'label'", "'strange'")),
        (lambda text: text.splitlines()[0] + "\n", (), ("test.csv", "no rows")),
        (lambda text: text.replace(",test,", ",train,"), (), ("column 'split'", "'test'")),
        (lambda text: text, ("--groups", "age"), ("column 'group:age'", "missing", "light, medium")),
        (lambda text: text, ("--classes", "safe,nsfw"), ("was trained to tell", "'label'")),
        (lambda text: text, ("--engine", "openvino-fp32"), ("torch-fp32", "models add")),
        (lambda text: text, ("--engine", "magic"), ("unknown engine",)),
        (lambda text: text, ("--prevalence", "0"), ("prevalence of 0 cannot be",)),
        (lambda text: text, ("--validation", "gone.csv"), ("gone.csv", "cannot be read")),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_scored(home, tmp_path, change, extra, told) -> None:
    text = (home / "sealed/test.csv").read_text()
    changed = home / "sealed" / f"{tmp_path.name}-test.csv"
    changed.write_text(change(text))
    found = run(home / "run", "--data", changed, "--out", tmp_path, "--no-speed", *extra)
    assert found.exit_code == 3, found.output
    said = " ".join(found.output.split())
    for part in told:
        assert part in said
    assert not list(tmp_path.rglob("*.jsonl"))


@pytest.mark.parametrize(
    ("models", "told"),
    [
        (["no-such-model"], "neither a run's folder nor a known model; known: open_nsfw"),
        (["run", "run"], "are both tiny (seed 0)"),
        (["pictures"], "run.json"),
    ],
)
def test_a_model_that_is_none_is_refused(home, tmp_path, models, told) -> None:
    names = [home / name if (home / name).exists() else name for name in models]
    found = run(*names, *usual(home, tmp_path))
    assert found.exit_code == 3, found.output
    assert told in " ".join(found.output.split())


def test_wrong_usage_is_told_as_such(home: Path, tmp_path: Path) -> None:
    for wrong in (
        ("--classes", "one"),
        ("--prevalence", 2),
        ("--target-precision", 0.9),
        ("--validation", home / "pictures/divided.csv", "--reviews-per-day", 5),
    ):
        assert run(home / "run", *usual(home, tmp_path), *wrong).exit_code == 2
    assert run(home / "run").exit_code == 2

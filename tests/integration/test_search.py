"""A search finds what was planted, does every trial once, and loses nothing to a kill."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from optuna.trial import TrialState
from typer.testing import CliRunner

from classifier.datasets.values import Dataset
from classifier.training import config as configs
from classifier.training import folder as folders
from classifier.training.errors import TrainingError
from classifier.training.run import train
from classifier.training.search import outcome, report
from classifier.training.search.outcome import Outcome
from classifier.training.search.processes import search
from classifier.training.search.study import Claim, Study
from tests.search_runs import GOOD, HOPELESS, pictures, wanted
from tests.training_commands import app
from tests.training_runs import TinyNetwork

ROOT = Path(__file__).resolve().parents[2]
RANDOM = wanted(sampler="random")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return pictures(tmp_path_factory.mktemp("easy"))


@pytest.fixture(scope="module")
def whole(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random search that nothing happened to."""
    folder = tmp_path_factory.mktemp("search") / "whole"
    search(RANDOM, data, folder, build=TinyNetwork)
    return folder


def figures(found: Outcome) -> dict[str, tuple[object, object]]:
    """What came out, by run."""
    return {trial.folder: (trial.params, trial.value) for trial in found.trials if trial.state == "complete"}


def test_the_planted_best_value_is_found_and_told(data: Dataset, tmp_path: Path) -> None:
    settings = wanted(HOPELESS, GOOD, HOPELESS / 10, trials=9)
    search(settings, data, tmp_path, build=TinyNetwork)
    found = outcome.read(settings, tmp_path)
    assert found.best is not None
    assert found.best.params == {"optimizer.rate": GOOD}
    assert len(found.trials) == 3  # the grid has no more
    page = report.write(found, tmp_path)
    assert configs.load(tmp_path / report.BEST_NAME).optimizer.rate == GOOD
    assert json.loads((tmp_path / report.JSON_NAME).read_text())["best"] == found.best.number
    markdown = (tmp_path / report.MARKDOWN_NAME).read_text()
    assert f"| {found.best.number} | {found.best.value:.4f} | 3 | {GOOD} |" in markdown
    html = page.read_text()
    assert html.count("<svg") == 3
    assert "<script" not in html
    assert "src=" not in html
    assert report.render_html(found) == html


def test_a_hopeless_trial_is_given_up(data: Dataset, tmp_path: Path) -> None:
    settings = wanted(GOOD, GOOD / 2, HOPELESS, trials=3, pruner="median", startup_trials=2, warmup_epochs=1)
    search(settings, data, tmp_path, build=TinyNetwork)
    found = outcome.read(settings, tmp_path)
    assert [trial.state for trial in found.trials] == ["complete", "complete", "pruned"]
    assert found.trials[2].params == {"optimizer.rate": HOPELESS}
    assert (found.trials[2].epochs, found.trials[0].epochs) == (2, 3)
    record = folders.read(tmp_path / found.trials[2].folder)
    assert record.result is not None  # a run like any other, only short
    assert "given up after epoch 2" in report.render_markdown(found)


def test_a_trial_can_be_repeated_from_its_folder(data: Dataset, whole: Path, tmp_path: Path) -> None:
    folder = whole / "trials" / "trial-0001"
    config = configs.load(folder / folders.CONFIG_NAME)
    train(config, data, tmp_path / "again", build=TinyNetwork)
    weights = (tmp_path / "again" / folders.WEIGHTS_NAME).read_bytes()
    assert weights == (folder / folders.WEIGHTS_NAME).read_bytes()
    seeds = {trial.seed for trial in outcome.read(RANDOM, whole).trials}
    assert len(seeds) == 3


def test_a_search_can_be_made_longer_but_not_another_one(data: Dataset, tmp_path: Path, whole: Path) -> None:
    search(RANDOM.with_trials(1), data, tmp_path, build=TinyNetwork)
    search(RANDOM.with_trials(3), data, tmp_path, build=TinyNetwork)
    assert figures(outcome.read(RANDOM, tmp_path)) == figures(outcome.read(RANDOM, whole))
    for other, told in (
        (RANDOM.model_copy(update={"seed": 7}), "another seed"),
        (wanted(GOOD, HOPELESS), "another space"),
    ):
        with pytest.raises(TrainingError, match=told):
            search(other, data, tmp_path, build=TinyNetwork)
    with pytest.raises(TrainingError, match="another dataset"):
        search(RANDOM, data.with_items(data.items[2:]), tmp_path, build=TinyNetwork)


@pytest.mark.slow
def test_a_killed_search_goes_on_and_comes_to_the_same(data: Dataset, whole: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.search_runs", str(data.root / "easy.csv"), str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=200, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    before = outcome.read(RANDOM, tmp_path)
    assert [trial.state for trial in before.trials] == ["complete", "running"]
    search(RANDOM, data, tmp_path, build=TinyNetwork)
    found = outcome.read(RANDOM, tmp_path)
    assert [trial.state for trial in found.trials] == ["complete", "killed", "complete", "complete"]
    assert [(trial.number, trial.attempt) for trial in found.trials] == [(0, 1), (1, 1), (1, 2), (2, 1)]
    assert figures(found) == figures(outcome.read(RANDOM, whole))
    assert len(folders.read(tmp_path / found.trials[2].folder).resumed) == 1  # not from its beginning
    assert [epoch for epoch, _ in found.trials[2].reported] == [1, 2, 3]


@pytest.mark.slow
def test_processes_share_the_trials(data: Dataset, whole: Path, tmp_path: Path) -> None:
    search(RANDOM, data, tmp_path, processes=2, build=TinyNetwork)
    found = outcome.read(RANDOM, tmp_path)
    assert [trial.number for trial in found.trials] == [0, 1, 2]
    # Which process did which trial does not matter.
    assert figures(found) == figures(outcome.read(RANDOM, whole))


def claimed(study: Study) -> Claim:
    claim = study.claim()
    assert claim is not None
    return claim


def test_no_trial_is_claimed_twice_and_none_too_many(tmp_path: Path) -> None:
    one, other = Study(RANDOM, tmp_path), Study(RANDOM, tmp_path, 1)
    claims = [claimed(one), claimed(other), claimed(one)]
    assert [claim.place for claim in claims] == [0, 1, 2]
    assert other.claim() is None
    one.tell(claims[0], TrialState.COMPLETE, 1.0)
    assert other.claim() is None


@pytest.mark.parametrize("sampler", ["random", "grid", "tpe"])
def test_a_lost_trial_is_tried_again_alike_but_not_for_ever(tmp_path: Path, sampler: str) -> None:
    settings = wanted(GOOD, trials=1) if sampler == "grid" else RANDOM.model_copy(update={"sampler": sampler})
    study = Study(settings.with_trials(1), tmp_path)
    first = claimed(study)
    assert study.claim() is None
    first.lock.release()  # as the system does with a killed process's
    assert study.lost() == 1
    second = claimed(study)
    assert (second.place, second.labels) == (first.place, first.labels)
    assert (second.seed, second.folder) == (first.seed, first.folder)
    second.lock.release()
    third = claimed(study)
    third.lock.release()
    assert study.claim() is None
    assert [trial.state for trial in study.trials()] == [TrialState.FAIL] * 3
    states = [trial.state for trial in outcome.read(settings.with_trials(1), tmp_path).trials]
    assert states == ["killed", "killed", "failed"]


def test_a_trial_whose_loss_runs_away_fails_alone(data: Dataset, tmp_path: Path) -> None:
    settings = wanted(1e30, GOOD, trials=2)
    search(settings, data, tmp_path, build=TinyNetwork)
    found = outcome.read(settings, tmp_path)
    assert [trial.state for trial in found.trials] == ["failed", "complete"]
    assert "not finite" in found.trials[0].error
    assert "not finite" in report.render_html(found)


def test_an_error_of_all_trials_ends_the_search_and_is_tried_again(data: Dataset, tmp_path: Path) -> None:
    path = data.path_of(data.items[0])
    content = path.read_bytes()
    path.write_bytes(content + b" ")
    try:
        with pytest.raises(Exception, match="is not the file that was verified"):
            search(RANDOM.with_trials(1), data, tmp_path, build=TinyNetwork)
    finally:
        path.write_bytes(content)
    search(RANDOM.with_trials(1), data, tmp_path, build=TinyNetwork)
    states = [trial.state for trial in outcome.read(RANDOM, tmp_path).trials]
    assert states == ["killed", "complete"]


def options(data: Dataset, folder: Path, *more: str) -> list[str]:
    """Of the smallest named network."""
    (folder / "search.toml").write_text("""
name = "tiny"
[model]
name = "squeezenet1_1"
[data]
preprocessing = "imagenet-v1@32"
[training]
epochs = 1
batch = 12
threads = 1
accelerator = "cpu"
[search.space]
"optimizer.rate" = { kind = "log", low = 1e-4, high = 1e-2 }
""")
    manifest = str(data.root / "easy.csv")
    out = ["-c", str(folder / "search.toml"), "--out", str(folder / "out"), "--data", manifest]
    return ["search", *out, "--classes", "dark,bright", *more]


def test_the_command_searches_and_reports(data: Dataset, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, options(data, tmp_path, "--trials", "2"))
    assert done.exit_code == 0, done.output
    assert "2 of 2 trials for the smallest validation loss" in done.output
    assert (tmp_path / "out" / "report.html").exists()
    assert configs.load(tmp_path / "out" / "best.toml").name == "tiny-best"


@pytest.mark.parametrize(
    ("more", "code", "told"),
    [
        (["--set", "optimizer.speed=1"], 3, "--set: optimizer.speed: unknown key"),
        (["--set", "model.pretrained=nowhere.pth"], 3, "nowhere.pth: there is no such file"),
        (["--data", "nowhere.csv"], 3, "nowhere.csv: cannot be read"),
        (["--trials", "0"], 2, "--trials"),
    ],
)
def test_what_is_wrong_is_told(data: Dataset, tmp_path: Path, more: list[str], code: int, told: str) -> None:
    done = CliRunner(env={"COLUMNS": "200"}).invoke(app, options(data, tmp_path, *more))
    assert (done.exit_code, told in done.output) == (code, True), done.output


def test_a_file_that_is_no_study_is_told(tmp_path: Path) -> None:
    (tmp_path / "study.sqlite3").write_bytes(b"no database" * 100)
    with pytest.raises(TrainingError, match=r"study\.sqlite3: cannot be used"):
        Study(RANDOM, tmp_path)


def test_settings_that_do_not_go_together_fail_as_a_trial() -> None:
    with pytest.raises(TrainingError, match=r"trial 3: optimizer\.rate"):
        RANDOM.config_of({"optimizer.rate": -1.0}, 3, 0)

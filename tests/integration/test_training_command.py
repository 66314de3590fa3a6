"""`train` from the outside: what it writes, what it says, and how it ends."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import mean

import pytest
from typer.testing import CliRunner, Result

from classifier.evaluation.comparison import spread
from classifier.training import folder as folders
from classifier.training import seeds as seed_runs
from tests.training_commands import app, config_text
from tests.training_runs import pictures

ROOT = Path(__file__).resolve().parents[2]
FULL_SIZE = sorted((ROOT / "config" / "train").glob("*.toml"))


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest and a configuration."""
    folder = tmp_path_factory.mktemp("lab")
    pictures(folder / "pictures")
    (folder / "tiny.toml").write_text(config_text("pictures/divided.csv"))
    return folder


@pytest.fixture(scope="module")
def seeds(lab: Path) -> Path:
    """Two runs that differ by seed."""
    done = call("train", "-c", lab / "tiny.toml", "--out", lab / "runs", "--seeds", 2)
    assert done.exit_code == 0, done.output
    return lab / "runs" / "tiny"


@pytest.fixture(autouse=True)
def unmoved_signals() -> Iterator[None]:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    yield
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def call(*arguments: object) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, [str(argument) for argument in arguments])


def weights(folder: Path) -> bytes:
    return (folder / folders.WEIGHTS_NAME).read_bytes()


@pytest.mark.slow
def test_several_seeds_end_in_means_and_intervals(seeds: Path) -> None:
    summary = json.loads((seeds / seed_runs.PLAN_NAME).read_bytes())
    records = [folders.read(seed_runs.folder_of(seeds, seed)) for seed in (0, 1)]
    losses = [record.result.figures["validation_loss"] for record in records if record.result]
    expected = spread(losses)
    assert losses[0] != losses[1]
    assert summary["seeds"] == [0, 1]
    assert summary["figures"]["validation_loss"] == {"mean": mean(losses), "half": expected.half, "runs": 2}
    text = (seeds / seed_runs.TABLE_NAME).read_text()
    assert f"{mean(losses):.4f} ± {expected.half:.4f}" in text


@pytest.mark.slow
def test_the_same_command_again_trains_nothing_and_going_on_fills_what_is_missing(
    lab: Path, seeds: Path
) -> None:
    before = {seed: weights(seed_runs.folder_of(seeds, seed)) for seed in (0, 1)}
    made = (seeds / "seed-0" / folders.WEIGHTS_NAME).stat().st_mtime_ns
    lost = seeds / "seed-1"
    for path in sorted(lost.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    config, numbers = seed_runs.planned(seeds)
    assert seed_runs.summarise(config, seeds, numbers).missing == (1,)
    done = call("train", "--resume", seeds)
    assert done.exit_code == 0, done.output
    assert weights(lost) == before[1]
    assert (seeds / "seed-0" / folders.WEIGHTS_NAME).stat().st_mtime_ns == made
    assert call("train", "-c", lab / "tiny.toml", "--out", lab / "runs").exit_code == 0
    other = call("train", "-c", lab / "tiny.toml", "--out", lab / "runs", "--set", "optimizer.rate=0.1")
    assert other.exit_code == 3
    assert "optimizer.rate: 0.003, not 0.1" in other.output


@pytest.mark.slow
def test_an_interrupted_run_tells_how_to_go_on_and_loses_nothing(lab: Path, tmp_path: Path) -> None:
    """Ctrl-C, which a terminal sends to the processes that decode as well."""
    options = ["--set", "training.epochs=3", "--set", "data.workers=1"]
    command = [sys.executable, "-m", "tests.training_commands", "train", "-c", str(lab / "tiny.toml")]
    command += ["--out", str(tmp_path), *options]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True, env=environment
    ) as process:
        assert process.stderr is not None
        said = ""
        for line in process.stderr:
            said += line
            if "epoch 1 of 3" in line:
                break
        os.killpg(process.pid, signal.SIGINT)
        said += process.stderr.read()
        assert process.wait(60) == 130, said
    folder = tmp_path / "tiny" / "seed-0"
    assert f"--resume {folder}" in said
    assert "Traceback" not in said
    assert call("train", "--resume", folder).exit_code == 0
    assert call("train", "-c", lab / "tiny.toml", "--out", tmp_path / "whole", *options).exit_code == 0
    assert weights(folder) == weights(tmp_path / "whole" / "tiny" / "seed-0")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--set", "optimizer.speed=1"], "--set: optimizer.speed: unknown key"),
        (["--data", "nowhere.csv"], "nowhere.csv: cannot be read"),
        (["--classes", "absent,nothing"], "label"),
        (["--classes", "absent"], "--classes: data.classes"),
        (["--set", "model.pretrained=nowhere.pth"], "nowhere.pth: there is no such file to start from"),
    ],
)
def test_what_is_wrong_is_told_and_leaves_nothing_behind(
    lab: Path, tmp_path: Path, arguments: list[str], told: str
) -> None:
    done = call("train", "-c", lab / "tiny.toml", "--out", tmp_path, *arguments)
    assert done.exit_code == 3, done.output
    assert told in done.output
    assert not (tmp_path / "tiny" / "seed-0").exists()


def test_a_dataset_of_one_class_is_refused_with_its_column(lab: Path, tmp_path: Path) -> None:
    header, *rows = (lab / "pictures" / "divided.csv").read_text().splitlines()
    one_class = tmp_path / "one.csv"
    one_class.write_text("\n".join([header, *(row for row in rows if ",present," not in row)]))
    done = call("train", "-c", lab / "tiny.toml", "--data", one_class, "--out", tmp_path)
    assert done.exit_code == 3
    assert "one.csv, column 'label': no picture of the split 'train' has the label 'present'" in done.output


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["-c", "x.toml", "--resume", "x"],
        ["--resume", "x", "--seeds", "3"],
        ["-c", "x.toml", "--seeds", "3", "--seed", "1"],
        ["-c", "x.toml", "--seed", "1", "--seed", "1"],
    ],
)
def test_options_that_contradict_each_other_are_wrong_usage(arguments: list[str]) -> None:
    assert call("train", *arguments).exit_code == 2


def test_a_setting_without_a_value_is_wrong_usage(lab: Path) -> None:
    assert call("train", "-c", lab / "tiny.toml", "--set", "optimizer.rate").exit_code == 2


def test_a_folder_without_a_run_is_told(tmp_path: Path) -> None:
    done = call("train", "--resume", tmp_path)
    assert done.exit_code == 3
    assert "run.json: cannot be read" in done.output


def test_a_missing_library_says_how_to_install_it(
    lab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("starting", "run", "trainer"):
        monkeypatch.delitem(sys.modules, f"classifier.training.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "lightning.pytorch", None)
    done = call("train", "-c", lab / "tiny.toml", "--out", tmp_path)
    assert done.exit_code == 3
    assert "the package lightning is missing: pip install 'commons-nsfw-bot[train]'" in done.output


@pytest.mark.slow
@pytest.mark.parametrize("path", FULL_SIZE, ids=lambda path: path.stem)
def test_a_full_size_configuration_lacks_nothing_but_data_and_weights(
    path: Path, lab: Path, tmp_path: Path
) -> None:
    """It comes as far as the weights to start from, on this machine's device."""
    done = call(
        *("train", "-c", path, "--data", lab / "pictures" / "divided.csv", "--classes", "absent,present"),
        *("--out", tmp_path, "--set", "model.pretrained=weights.pth"),
    )
    assert done.exit_code == 3
    assert "weights.pth: there is no such file to start from" in done.output


@pytest.mark.slow
def test_two_processes_train_one_network_and_write_one_run(lab: Path) -> None:
    """Data-parallel over gloo, as on two GPUs: each process sees half of every step's pictures."""
    command = [
        *(sys.executable, "-m", "tests.training_commands", "train", "-c", str(lab / "tiny.toml")),
        *("--out", str(lab / "ddp"), "--set", "training.strategy=ddp", "--set", "training.devices=2"),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    record = folders.read(lab / "ddp/tiny/seed-0")
    assert record.result is not None
    # 24 pictures in batches of 12 for each of two processes: one step an epoch instead of two.
    assert (record.result.epochs, record.result.steps) == (2, 2)
    assert (lab / "ddp/tiny/seed-0/weights.safetensors").is_file()

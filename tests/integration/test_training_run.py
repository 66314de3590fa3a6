"""Runs are reproducible, survive a kill exactly, and leave a complete folder."""

import csv
import dataclasses
import hashlib
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from classifier.datasets.values import Dataset, DatasetError
from classifier.models.configured import build_model
from classifier.training import config as configs
from classifier.training import folder as folders
from classifier.training.errors import TrainingError
from classifier.training.run import resume, train
from tests.training_runs import TinyNetwork, config, pictures

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def whole(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "whole"
    train(config(), data, folder, build=TinyNetwork)
    return folder


def weights(folder: Path) -> bytes:
    return (folder / folders.WEIGHTS_NAME).read_bytes()


def history(folder: Path) -> list[dict[str, str]]:
    with (folder / folders.METRICS_NAME).open(newline="") as file:
        return [
            {key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)
        ]


def interrupted(whole: Path, folder: Path) -> Path:
    """A run that has only just started."""
    folder.mkdir()
    folders.write(folder, dataclasses.replace(folders.read(whole), result=None))
    (folder / folders.CONFIG_NAME).write_bytes((whole / folders.CONFIG_NAME).read_bytes())
    return folder


def test_weighted_sampling_goes_by_the_pictures_weights_and_balanced_does_not(
    data: Dataset, tmp_path: Path
) -> None:
    heavy = data.with_items(
        dataclasses.replace(item, weight=9.0 if index % 3 else 1.0) for index, item in enumerate(data.items)
    )
    found = {}
    for sampling in ("weighted", "balanced"):
        for name, dataset in (("plain", data), ("heavy", heavy)):
            folder = tmp_path / f"{sampling}-{name}"
            settings = config(training={"epochs": 1, "sampling": sampling})
            train(settings, dataset, folder, build=TinyNetwork)
            found[sampling, name] = weights(folder)
    assert found["weighted", "plain"] != found["weighted", "heavy"]
    assert found["balanced", "plain"] == found["balanced", "heavy"]


def test_two_runs_of_one_configuration_give_equal_weights(data: Dataset, whole: Path, tmp_path: Path) -> None:
    torch.manual_seed(12345)  # others' random numbers must not matter
    again = tmp_path / "again"
    # Nor must it matter how many processes decode.
    train(config(data={"workers": 2}), data, again, build=TinyNetwork)
    assert weights(again) == weights(whole)
    assert history(again) == history(whole)
    other = tmp_path / "other"
    train(configs.with_seed(config(), 1), data, other, build=TinyNetwork)
    assert weights(other) != weights(whole)


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_weights(data: Dataset, whole: Path, tmp_path: Path) -> None:
    """Killed a step after a checkpoint in the middle of the second epoch."""
    folder = tmp_path / "killed"
    command = [sys.executable, "-m", "tests.training_runs", str(data.root), str(folder), "9"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=200, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert not (folder / folders.WEIGHTS_NAME).exists()
    record = resume(folder, data, build=TinyNetwork)
    assert len(record.resumed) == 1
    assert weights(folder) == weights(whole)
    assert history(folder) == history(whole)


def test_a_run_killed_before_its_first_checkpoint_begins_again(
    data: Dataset, whole: Path, tmp_path: Path
) -> None:
    folder = interrupted(whole, tmp_path / "run")
    resume(folder, data, build=TinyNetwork)
    assert weights(folder) == weights(whole)


def test_the_folder_tells_all_there_is_to_know(data: Dataset, whole: Path) -> None:
    names = {path.name for path in whole.iterdir()}
    expected = {folders.CONFIG_NAME, folders.RUN_NAME, folders.METRICS_NAME, folders.WEIGHTS_NAME}
    assert names == expected | {folders.CARD_NAME, folders.LAST_NAME, folders.BEST_NAME, "tensorboard"}
    assert configs.load(whole / folders.CONFIG_NAME) == config()
    record = folders.read(whole)
    assert record.result is not None
    assert record.result.weights_sha256 == hashlib.sha256(weights(whole)).hexdigest()
    assert (record.result.epochs, record.result.steps) == (2, 12)
    assert len(record.data["hash"]) == 64
    assert {"torch", "lightning", "numpy"} <= record.provenance["libraries"].keys()
    card = (whole / folders.CARD_NAME).read_text()
    assert record.result.weights_sha256 in card
    assert record.data["hash"] in card
    rows = history(whole)
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert float(rows[1]["rate"]) < float(rows[0]["rate"])
    assert list((whole / "tensorboard").glob("events.*"))
    TinyNetwork().load_state_dict(load_file(whole / folders.WEIGHTS_NAME))


def test_a_finished_run_is_left_as_it_is_and_never_overwritten(data: Dataset, whole: Path) -> None:
    before = weights(whole)
    assert resume(whole, data, build=TinyNetwork) == folders.read(whole)
    with pytest.raises(TrainingError, match="is not empty"):
        train(config(), data, whole, build=TinyNetwork)
    assert weights(whole) == before


def test_an_interrupted_run_is_not_continued_on_other_data(
    data: Dataset, whole: Path, tmp_path: Path
) -> None:
    folder = interrupted(whole, tmp_path / "run")
    with pytest.raises(TrainingError, match=r"was trained on data of hash"):
        resume(folder, data.with_items(data.items[1:]), build=TinyNetwork)


def test_a_run_stops_early_and_stays_stopped(data: Dataset, tmp_path: Path) -> None:
    settings = config(training={"epochs": 9, "patience": 1, "min_delta": 100.0, "checkpoint_every_steps": 0})
    folder = tmp_path / "run"
    record = train(settings, data, folder, build=TinyNetwork)
    assert record.result is not None
    assert (record.result.epochs, record.result.kept_epoch) == (2, 1)
    before = weights(folder)
    # As if killed after the last checkpoint.
    folders.write(folder, dataclasses.replace(record, result=None))
    again = resume(folder, data, build=TinyNetwork)
    assert again.result is not None
    assert again.result.epochs == 2
    assert weights(folder) == before


def test_pictures_of_any_shape_train_whole(tmp_path: Path) -> None:
    """The network sees shapes as wide and as tall as the pictures are."""
    data = pictures(tmp_path / "pictures", 12, ((97, 301), (640, 480), (64, 64)))
    made: list[TinyNetwork] = []

    def build() -> TinyNetwork:
        made.append(TinyNetwork())
        return made[-1]

    shapes = {"preprocessing": "imagenet-v1@32", "shapes": "buckets", "area_px": 96}
    settings = config(
        data=shapes,
        augment={"crop_min_share": 1.0},
        training={"epochs": 1, "ema_decay": 0.0},
        loss={"kind": "squared_hinge", "class_weights": "balanced"},
    )
    train(settings, data, tmp_path / "run", build=build)
    ratios = {round(width / height, 1) for height, width in made[0].seen}
    assert {0.3, 1.0, 1.3} <= ratios


def test_a_network_that_comes_ready_to_score_is_trained_all_the_same(data: Dataset, tmp_path: Path) -> None:
    built = TinyNetwork().eval()
    train(config(training={"epochs": 1, "ema_decay": 0.0}), data, tmp_path / "run", build=lambda: built)
    assert int(built.norm.num_batches_tracked) == 6


def test_a_named_network_trains_only_what_is_not_frozen(data: Dataset, tmp_path: Path) -> None:
    settings = config(
        model={"name": "squeezenet1_1"},
        training={"epochs": 1, "batch": 12, "freezing": "head@0", "ema_decay": 0.0},
    )
    train(settings, data, tmp_path / "run")
    drawn = build_model(settings.architecture, seed=settings.training.seed).state_dict()
    found = load_file(tmp_path / "run" / folders.WEIGHTS_NAME)
    changed = {name.split(".")[0] for name, values in drawn.items() if not torch.equal(values, found[name])}
    assert "trunk" not in changed
    assert "head" in changed


def test_a_loss_that_is_no_number_ends_the_run(data: Dataset, tmp_path: Path) -> None:
    settings = config(optimizer={"rate": 1e30, "gradient_clip": 0.0, "name": "sgd", "warmup_steps": 0})
    with pytest.raises(TrainingError, match=r"not finite in epoch 1; lower optimizer\.rate"):
        train(settings, data, tmp_path / "run", build=TinyNetwork)


def test_a_file_that_changed_after_it_was_verified_is_named(tmp_path: Path) -> None:
    data = pictures(tmp_path / "pictures", 20)
    path = data.path_of(data.part("validation").items[0])
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(DatasetError, match=f"{path.name}.*is not the file that was verified"):
        train(config(), data, tmp_path / "run", build=TinyNetwork)


def test_half_precision_works_on_a_cpu_where_it_can_and_is_refused_where_not(
    data: Dataset, tmp_path: Path
) -> None:
    record = train(config(training={"precision": "bf16-mixed"}), data, tmp_path / "bf16", build=TinyNetwork)
    assert record.result is not None
    assert all(
        tensor.dtype != torch.bfloat16 for tensor in load_file(tmp_path / "bf16/weights.safetensors").values()
    )
    if torch.cuda.is_available():
        return
    half = config(training={"precision": "16-mixed", "accelerator": "auto"})
    with pytest.raises(TrainingError, match=r"training\.precision: '16-mixed' needs a GPU"):
        train(half, data, tmp_path / "half", build=TinyNetwork)
    assert not (tmp_path / "half").exists()

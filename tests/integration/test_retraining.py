"""Feedback corrects a planted weakness, and the evaluation decides what is promoted: on drawn pictures."""

import dataclasses
import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bot import retraining
from bot.promotion import Deciding, Refused
from classifier.datasets.values import DEFAULT_CLASSES, Dataset, Item
from classifier.models import catalogue
from classifier.training import config as configs
from classifier.training.config import TrainConfig
from classifier.training.run import train
from storage.engine import Database
from tests.storage_database import NOW, fresh_database
from tests.torch_threads import one_thread

PX = 32
WARM, COOL, GREEN, GREY = (210, 70, 40), (40, 70, 210), (30, 110, 30), (75, 75, 75)
"""By day a warm disc is explicit and a cool one is not; by night it is a green one against a grey one."""


def draw(index: int, night_share: float, seed: int) -> tuple[bytes, str, str]:
    """A disc on noise: file, label and light."""
    rng = np.random.default_rng((seed, index))
    positive, light = bool(rng.integers(2)), "night" if rng.random() < night_share else "day"
    colour = {("day", True): WARM, ("day", False): COOL, ("night", True): GREEN, ("night", False): GREY}
    pixels = rng.normal(128 if light == "day" else 30, 15, (PX, PX, 3))
    y, x = np.mgrid[:PX, :PX]
    middle = rng.uniform(10, 22, 2)
    inside = (x - middle[0]) ** 2 + (y - middle[1]) ** 2 < rng.uniform(7, 10) ** 2
    pixels[inside] = np.array(colour[light, positive]) + rng.normal(0, 10, (int(inside.sum()), 3))
    with io.BytesIO() as buffer:
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(buffer, format="PNG")
        return buffer.getvalue(), DEFAULT_CLASSES[positive], light


pytestmark = [pytest.mark.slow, pytest.mark.usefixtures(one_thread.__name__)]


def settings(epochs: int, rate: float) -> TrainConfig:
    table = {
        "name": "tiny",
        "model": {"name": "squeezenet1_1"},
        "data": {"preprocessing": f"imagenet-v1@{PX}", "require_verified": False},
        "optimizer": {"rate": rate, "schedule": "cosine", "warmup_steps": 10},
        "training": {"epochs": epochs, "batch": 32, "accelerator": "cpu", "threads": 1, "keep": "last"},
    }
    return configs.parse(table, "tests")


def written(folder: Path, index: int, content: bytes) -> tuple[str, str]:
    """Path and hash of a picture on the disk."""
    (folder / f"{index}.png").write_bytes(content)
    return f"{index}.png", hashlib.sha256(content).hexdigest()


def base_data(folder: Path, count: int) -> Dataset:
    """Pictures by day alone: what the first model has not seen is the night."""
    folder.mkdir()
    items = []
    for index in range(count):
        content, label, _ = draw(index, 0.0, 0)
        path, digest = written(folder, index, content)
        split = "validation" if index % 8 == 0 else "train"
        items.append(Item(path, label, split=split, sha256=digest))
    return Dataset(tuple(items), folder, "base")


def export(folder: Path, count: int, wrong: bool = False) -> Path:
    """Feedback, half of it by night, drawn with two probabilities; `wrong`: trained on with wrong labels."""
    folder.mkdir()
    rows = []
    for index in range(count):
        content, label, light = draw(index, 0.5, 1)
        path, digest = written(folder, index, content)
        split = "test" if index % 2 else ("validation" if index % 10 == 0 else "train")
        if wrong and split != "test":
            label = DEFAULT_CLASSES[1 - DEFAULT_CLASSES.index(label)]
        row = {"path": path, "sha256": digest, "label": label, "split": split, "stratum": light}
        rows.append({**row, "inclusion_probability": 0.5 if light == "night" else 0.25, "source": ""})
    rows[1]["label"] = "disputed"
    rows.append({"path": None, "sha256": None, "label": "safe", "split": "train"})
    file = folder / "feedback.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with fresh_database(tmp_path / "store") as opened:
        yield opened


def test_feedback_corrects_a_planted_weakness_and_a_worse_candidate_is_refused(
    tmp_path: Path, database: Database
) -> None:
    cache = tmp_path / "models"
    train(settings(20, 0.001), base_data(tmp_path / "base", 240), tmp_path / "first")
    levels = {"cautious": 0.9, "balanced": 0.5, "sensitive": 0.4}
    catalogue.add(tmp_path / "first", name="first", thresholds=levels, cache_directory=cache)  # type: ignore[arg-type]
    deciding = Deciding(database, lambda name: catalogue.card(name, cache), "first", "balanced", "Ann", NOW)
    request = retraining.Request(
        export(tmp_path / "export", 400),
        settings(20, 0.001),
        tmp_path / "again",
        "second",
        duplicates="exact",
    )
    found = retraining.retrain(request, deciding, cache)
    f1 = found.comparison.f1
    assert f1.second is not None
    assert f1.second > 0.9  # it has learnt the task, and not merely to flag more
    assert f1.low > 0
    promoted = deciding.promote("second")
    assert (promoted.written[-1].name, promoted.judged.basis) == ("second", "evaluation")

    spoilt = dataclasses.replace(
        request,
        feedback=export(tmp_path / "spoilt", 400, wrong=True),
        folder=tmp_path / "worse",
        name="third",
    )
    retraining.retrain(spoilt, deciding, cache)
    with pytest.raises(Refused, match="third less second: F1 -"):
        deciding.promote("third")

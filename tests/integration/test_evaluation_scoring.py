"""Scores of a dataset: the daemon's own, kept between reports, and nothing left out in silence."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from classifier.batching import Batcher
from classifier.datasets.values import Dataset, Item
from classifier.decode.limits import DecodeLimits
from classifier.decode.sandbox import DecodePool
from classifier.engines.torch_engine import TorchEngine
from classifier.evaluation import features, scoring
from classifier.evaluation.errors import EvaluationError
from classifier.evaluation.scoring import Maker, Means, Scores
from classifier.scoring import score_media
from classifier.values import MediaPart, ModelCard, Pixels
from tests import tiny_model
from tests.training_runs import PX, pictures

LIMITS = DecodeLimits()
CARD: ModelCard = dataclasses.replace(tiny_model.CARD, preprocessing=f"imagenet-v1@{PX}")


class Counting(TorchEngine):
    """The real engine, which tells how many pictures it has seen."""

    seen = 0

    def predict(self, pixels: Pixels) -> np.ndarray:
        self.seen += len(pixels)
        return super().predict(pixels)


@pytest.fixture(scope="module")
def engine() -> Counting:
    return Counting(tiny_model.network(), CARD, 1)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    drawn = pictures(tmp_path_factory.mktemp("pictures"), 10)
    colours = [Image.new("RGB", (40, 40), (shade, 90, 30)) for shade in (250, 120, 0)]
    colours[0].save(drawn.root / "moving.gif", save_all=True, append_images=colours[1:], duration=900)
    return drawn.with_items((*drawn.items, Item("moving.gif", "present")))


def scored(
    dataset: Dataset, file: Path, engine: TorchEngine, progress: Callable[[int, int], None] | None = None
) -> Scores:
    maker = Maker.of(CARD, "torch-fp32", 1, LIMITS)
    return scoring.score(dataset, maker, Means(lambda: engine, LIMITS, workers=1), file, progress)


def refuse() -> TorchEngine:
    raise AssertionError("the model was loaded")


@pytest.fixture(scope="module")
def whole(dataset: Dataset, engine: Counting, tmp_path_factory: pytest.TempPathFactory) -> Scores:
    return scored(dataset, tmp_path_factory.mktemp("scores") / "scores.jsonl", engine)


def test_scores_are_the_daemons_bit_for_bit(dataset: Dataset, engine: Counting, whole: Scores) -> None:
    with DecodePool(LIMITS, 1) as pool, Batcher(engine, 16) as batcher:
        daemons = [
            score_media([MediaPart(dataset.path_of(item))], pool, batcher, threshold=0.5).score
            for item in dataset.items[:-1]
        ]
    assert list(whole.values[:-1]) == daemons
    assert len(set(daemons)) > 5


def test_a_moving_picture_scores_as_its_worst_frame(
    dataset: Dataset, engine: Counting, whole: Scores
) -> None:
    with DecodePool(LIMITS, 1) as pool, Batcher(engine, 16) as batcher:
        media = score_media(
            [MediaPart(dataset.root / "moving.gif")], pool, batcher, threshold=1.0, stop_early=False
        )
    assert len(media.frames) > 1
    # Frames come together, and in a batch of three the last bits may be others.
    assert whole.values[-1] == pytest.approx(max(frame.score for frame in media.frames), abs=1e-5)
    assert whole.values[-1] > media.frames[0].score + 1e-3


def test_a_second_report_loads_nothing(dataset: Dataset, engine: Counting, tmp_path: Path) -> None:
    file = tmp_path / "scores.jsonl"
    first = scored(dataset, file, engine)
    maker = Maker.of(CARD, "torch-fp32", 1, LIMITS)
    again = scoring.score(dataset, maker, Means(refuse, LIMITS), file)
    assert (again.values, again.reused) == (first.values, len(dataset))
    header, *rows = map(json.loads, file.read_text().splitlines())
    assert header["maker"]["weights_sha256"] == CARD.weights_sha256
    assert [row["path"] for row in rows] == [item.path for item in dataset.items]
    assert set(rows[0]) == {"path", "label", "cluster", "sha256", "score"}
    assert file.stat().st_mode & 0o777 == 0o600


def test_what_was_killed_goes_on(dataset: Dataset, engine: Counting, tmp_path: Path) -> None:
    file = tmp_path / "scores.jsonl"

    def killed(done: int, total: int) -> None:
        if done == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scored(dataset, file, engine, killed)
    with file.open("a") as torn:
        torn.write('{"path": "half')
    before = engine.seen
    again = scored(dataset, file, engine)
    assert again.reused == 6
    assert len(again.values) == len(dataset)
    assert engine.seen - before < len(dataset)


def test_scores_of_another_maker_are_not_used(dataset: Dataset, engine: Counting, tmp_path: Path) -> None:
    file = tmp_path / "scores.jsonl"
    few = dataset.with_items(dataset.items[:2])
    scored(few, file, engine)
    other = dataclasses.replace(Maker.of(CARD, "torch-fp32", 1, LIMITS), weights_sha256="2" * 64)
    again = scoring.score(few, other, Means(lambda: engine, LIMITS, workers=1), file)
    assert again.reused == 0


def test_what_cannot_be_scored_is_told_by_name(dataset: Dataset, engine: Counting, tmp_path: Path) -> None:
    root = tmp_path / "set"
    root.mkdir()
    good = dataset.items[0]
    (root / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    (root / "changed.png").write_bytes(dataset.path_of(good).read_bytes())
    items = (
        dataclasses.replace(good, path=str(dataset.path_of(good))),
        Item("broken.png", "present"),
        Item("missing.png", "present"),
        Item("changed.png", "absent", sha256="0" * 64),
        Item("https://example.org/a.png", "absent"),
    )
    found = scored(Dataset(items, root, "mixed", dataset.classes), tmp_path / "scores.jsonl", engine)
    assert [item.path for item in found.dataset.items] == [items[0].path]
    assert {failure.path: failure.code for failure in found.failures} == {
        "broken.png": "undecodable",
        "missing.png": "missing_file",
        "changed.png": "changed",
        "https://example.org/a.png": "remote",
    }
    with pytest.raises(EvaluationError, match=r"mixed, after files that cannot be scored.*both classes"):
        found.measured()


def test_files_that_belong_together_are_one_cluster(
    dataset: Dataset, engine: Counting, tmp_path: Path
) -> None:
    items = [
        dataclasses.replace(item, source=f"film-{index // 3}") for index, item in enumerate(dataset.items)
    ]
    found = scored(dataset.with_items(items), tmp_path / "scores.jsonl", engine)
    assert len(set(found.clusters or ())) == 4
    part = found.only(frozenset(item.path for item in items[:6]))
    assert part.clusters == found.clusters[:6]
    assert part.values == found.values[:6]


def test_features_are_what_the_last_layer_sees(dataset: Dataset, engine: Counting) -> None:
    few = dataset.with_items([*dataset.items[:3], Item("missing.png", "present")])
    found = features.extract(few, engine, workers=1)
    shown = features.prepare(few, CARD.preprocessing, workers=1)
    assert [failure.path for failure in found.failures] == ["missing.png"]
    assert found.values.shape == (3, 16)
    assert shown.pixels.shape == (3, PX, PX, 3)
    head = tiny_model.network().head
    logits = found.values @ head.weight.numpy().T + head.bias.numpy()
    expected = 1 / (1 + np.exp(-8 * (logits[:, 1] - logits[:, 0])))
    assert np.allclose(engine.predict(shown.pixels), expected, atol=1e-5)

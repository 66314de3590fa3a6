"""What of an export is trained on, what is evaluated on, that nothing is both, and how often each counts."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.retraining import card as cards
from bot.retraining import feedback as exports
from bot.retraining import leaks
from bot.retraining.evaluating import Copies, Evaluation, Scoring, evaluate
from bot.retraining.preparing import Prepared
from bot.retraining.weighting import LEAST_EFFECTIVE, capped, effective, weighted
from classifier.datasets.near import mirrored_hash
from classifier.datasets.values import Dataset, DatasetError, Item
from classifier.values import ModelCard
from storage.paired_estimates import Comparison, Difference


def export(folder: Path, *rows: dict[str, Any]) -> Path:
    usual = {"label": "safe", "split": "train", "inclusion_probability": 0.5}
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "feedback.jsonl"
    told = [
        {"item_id": f"w-{n}", "path": f"{n}.png", "sha256": f"{n:064x}", **usual, **row}
        for n, row in enumerate(rows)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in told), encoding="utf-8")
    return file


def test_disputed_items_are_evaluated_on_and_never_trained_on(tmp_path: Path) -> None:
    found = exports.read(
        export(
            tmp_path,
            {"label": "nsfw"},
            {"label": "disputed"},
            {"label": "disputed", "split": "test", "stratum": "low", "inclusion_probability": 0.1},
            {"label": "nsfw", "split": "test"},
            {"label": "unsure"},
        )
    )
    assert [item.label for item in found.training.items] == ["nsfw"]
    assert [item.path for item in found.evaluation.items] == ["2.png", "3.png"]
    assert [(one.label, one.disputed) for one in found.held_out] == [(None, True), (1.0, False)]
    assert [(one.probability, one.stratum) for one in found.held_out] == [(0.1, "low"), (0.5, "")]
    assert found.left_out == {"disputed": 1, "unsure": 1}


def test_what_was_drawn_counts_in_the_evaluation_without_a_picture_or_a_verdict(tmp_path: Path) -> None:
    gone = {"path": None, "sha256": None, "media_state": "not_kept"}
    found = exports.read(
        export(
            tmp_path, {**gone, "split": "test"}, {"label": "open", "split": "test"}, gone, {"worst_at_s": 3}
        )
    )
    assert [(one.item is None, one.label) for one in found.held_out] == [(True, 0.0), (False, None)]
    assert found.left_out == {"no picture (not_kept)": 1}
    assert found.moving == 1
    assert found.training.items[0].weight == 2.0


def test_of_several_exports_the_latest_row_counts_and_nothing_withdrawn_or_suppressed(tmp_path: Path) -> None:
    first = export(tmp_path / "0001", {}, {}, {"split": "test"}, {})
    second = export(tmp_path / "0002", {"label": "nsfw"})
    (second.parent / "withdrawn.csv").write_text("item_id\nw-1\n")
    found = exports.read(tmp_path, {"w-3"})
    assert [(item.path, item.label) for item in found.training.items] == [("0002/0.png", "nsfw")]
    assert [item.path for item in found.evaluation.items] == ["0001/2.png"]
    assert found.left_out == {exports.SUPPRESSED: 1}
    assert found.name == "0001 + 0002"
    assert sorted(exports.item_ids(tmp_path)) == ["w-0", "w-2", "w-3"]
    before = found.sha256
    first.write_text(first.read_text().replace("w-2", "w-9"))
    assert exports.read(tmp_path).sha256 != before


@pytest.mark.parametrize(
    ("row", "column"),
    [
        ({"split": ""}, "split"),
        ({"inclusion_probability": 0}, "inclusion_probability"),
        ({"label": "x"}, "label"),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, row: dict[str, Any], column: str) -> None:
    with pytest.raises(DatasetError) as caught:
        exports.read(export(tmp_path, {}, row))
    assert (caught.value.row, caught.value.column) == (2, column)


def test_a_folder_without_a_finished_export_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="holds no finished export"):
        exports.read(tmp_path)


def item(name: str, split: str = "train", source: str = "", bits: int = 0, **more: Any) -> Item:
    """A picture whose hash has so many of the lowest bits set."""
    return Item(
        name, "safe", source, {}, split, f"{name:0>64}", f"{(1 << bits) - 1:064x}" if bits else "", **more
    )


def test_training_gives_up_whatever_is_tied_to_the_evaluation() -> None:
    held = (item("a", "test", "ann", bits=100), item("b", "test"))
    mirrored = Item("m", "safe", sha256="c" * 64, perceptual_hash=mirrored_hash(held[0].perceptual_hash))
    training = (
        item("b"),  # the very bytes
        item("c", source="ann"),
        item("d", source="bea", bits=131),  # 31 bits from a
        item("e", source="bea"),  # no copy itself, but of her who uploaded one
        mirrored,
        item("f", source="cem", bits=164),  # 33 from d: nothing to do with a
        item("g", source="dan"),
    )
    found = leaks.apart(training, held)
    assert [one.path for one in found.kept] == ["f", "g"]
    assert found.leaks == {leaks.BYTES: 1, leaks.SOURCE: 1, leaks.NEAR: 2, leaks.TIED: 1}
    assert leaks.apart(training, ()).kept == training


def test_a_few_huge_weights_are_cut_and_moderate_ones_are_not() -> None:
    cut = capped([1.0] * 99 + [1000.0])
    assert effective(cut) == pytest.approx(LEAST_EFFECTIVE * 100, rel=1e-3)
    assert cut[-1] / cut[0] == pytest.approx(12.1, rel=0.05)  # not 1: it stands for many all the same
    assert capped([1.0, 2.0, 3.0]) == pytest.approx([0.5, 1.0, 1.5])


@given(st.lists(st.floats(1, 1e6), min_size=1, max_size=60))
def test_weights_keep_their_order_and_mean_and_half_of_their_worth(weights: list[float]) -> None:
    cut = capped(weights)
    assert sum(cut) / len(cut) == pytest.approx(1)
    assert effective(cut) >= LEAST_EFFECTIVE * len(cut) * 0.999
    pairs = sorted(zip(weights, cut, strict=True))
    assert all(lighter[1] <= heavier[1] * (1 + 1e-9) for lighter, heavier in pairwise(pairs))


def test_classes_and_splits_are_weighted_apart() -> None:
    items = [item("a", weight=4), item("b", weight=8), item("c", "validation", weight=100)]
    assert [one.weight for one in weighted(items)] == pytest.approx([2 / 3, 4 / 3, 1])


class Known(Scoring):
    """Scores that are known beforehand."""

    def scores(self, dataset: Dataset, model: str, what: str) -> dict[str, float]:
        found = {
            "old": {"0.png": 0.9, "1.png": 0.2, "2.png": 0.1},
            "new": {"0.png": 0.9, "1.png": 0.9, "2.png": 0.8},
        }
        return {item.path: found[model][item.path] for item in dataset.items if item.path in found[model]}


def test_disputed_items_count_as_is_least_favourable_and_copies_are_compared(tmp_path: Path) -> None:
    held = {"split": "test", "inclusion_probability": 1.0, "score": 0.7, "weights_sha256": "b"}
    feedback = exports.read(
        export(
            tmp_path,
            {**held, "label": "nsfw"},
            {**held, "label": "nsfw", "score": 0.4},
            {**held, "label": "disputed", "weights_sha256": "other"},
            {**held, "label": "nsfw", "path": None},
            {**held, "label": "safe"},  # cannot be decoded
        )
    )
    found = evaluate(feedback, ("old", "new"), 0.5, "b", Known(tmp_path))
    assert (found.comparison.labelled, found.comparison.positives) == (2, 2)
    assert (found.disputed, found.without_score) == (1, 2)
    f1 = found.comparison.f1
    assert (f1.first, f1.second) == (pytest.approx(2 / 3), 1.0)
    assert found.least["f1"].value == pytest.approx(0.8 - 2 / 3)  # the disputed one is no hit
    assert found.evidence()["f1"]["value"] == found.least["f1"].value
    assert found.evidence().keys() >= {"recall", "recall_at_equal_load", "labelled", "f1_without_disputed"}
    assert found.copies == Copies(2, pytest.approx(0.2), 0)


def test_the_card_names_base_export_counts_weights_and_what_was_left_out(tmp_path: Path) -> None:
    feedback = exports.read(export(tmp_path, {"label": "nsfw"}, {"split": "test"}, {"label": "unsure"}))
    prepared = Prepared(
        digest="",
        data_sha256="d" * 64,
        counts={"train": {"safe": 40, "nsfw": 7}, "validation": {"safe": 5, "nsfw": 2}},
        replayed={"safe": 17, "nsfw": 3},
        replay_wanted=20,
        leaks={leaks.NEAR: 6},
        replay_leaks={leaks.BYTES: 1},
        removed={"label_conflict": 2},
        effective={"safe": 31.5, "nsfw": 7.0},
        heaviest=3.2,
        unreadable=(),
    )
    one = Difference(0.5, 0.75, 0.25, 0.125, 0.375)
    found = Comparison(one, one, one, one, 90, 11, 20, 3)
    model = ModelCard("better", "tiny", "e" * 64, "imagenet-v1", 224, {}, "CC0-1.0", "")
    facts = cards.Facts(
        model,
        "open_nsfw",
        "b" * 64,
        feedback,
        prepared,
        Evaluation(found, {"f1": one}, 0.8, 4, 5, Copies(60, 0.01, 2)),
        found,
        f"base.csv, content hash {'f' * 64}",
        "retrain",
    )
    text = cards.render(facts).replace("\\", "")
    for told in (
        f"open_nsfw, weights {'b' * 64}",
        feedback.sha256,
        "d" * 64,
        "f" * 64,
        "| feedback, train | 40 | 7 |",
        "| base data, train | 17 | 3 |",
        "the heaviest weighs 3.2 times the mean",
        "| held out, for evaluation alone | 1 |",
        "| not trained on: unsure | 1 |",
        "| tied to what is held out: near copy | 6 |",
        "| left out: label_conflict | 2 |",
        "| f1 | 0.500 | 0.750 | +0.250 (+0.125 to +0.375) |",
        "2 lie on the other side of the threshold",
    ):
        assert told in text
    origin = cards.origin("open_nsfw", "b" * 64, feedback, prepared)
    assert "67 pictures, 20 of them base data" in origin

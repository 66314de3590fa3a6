"""What of an export is trained on, what is evaluated on, and that nothing is both."""

import json
from pathlib import Path
from typing import Any

import pytest

from bot.retraining import judge, read_feedback, training_set
from classifier.datasets.values import Dataset, DatasetError, Item


def export(folder: Path, *rows: dict[str, Any]) -> Path:
    usual = {"label": "safe", "split": "train", "inclusion_probability": 0.5}
    file = folder / "feedback.jsonl"
    told = [{"path": f"{n}.png", "sha256": f"{n:064x}", **usual, **row} for n, row in enumerate(rows)]
    file.write_text("".join(json.dumps(row) + "\n" for row in told), encoding="utf-8")
    return file


def test_disputed_items_are_evaluated_on_and_never_trained_on(tmp_path: Path) -> None:
    found = read_feedback(
        export(
            tmp_path,
            {"label": "nsfw"},
            {"label": "disputed"},
            {"label": "disputed", "split": "test", "stratum": "low", "inclusion_probability": 0.1},
            {"label": "nsfw", "split": "test"},
            {"label": "unsure"},
            {"label": "open", "split": "test"},
            {"path": None, "sha256": None},
        )
    )
    assert [item.label for item in found.training.items] == ["nsfw"]
    assert [item.path for item in found.evaluation.items] == ["2.png", "3.png"]
    assert found.disputed == (True, False)
    assert (found.probabilities, found.strata) == ((0.1, 0.5), ("low", ""))


def test_what_shares_bytes_or_source_with_the_evaluation_is_kept_away_base_data_too(tmp_path: Path) -> None:
    same = f"{9:064x}"
    feedback = read_feedback(
        export(
            tmp_path,
            {"source": "g-1"},
            {"sha256": same, "label": "nsfw"},
            {"label": "nsfw"},
            {"split": "test", "source": "g-1"},
            {"split": "test", "sha256": same},
        )
    )
    base = Dataset(
        (
            Item("x.png", "safe", split="train", sha256=same),
            Item("y.png", "safe", split="train", sha256="a" * 64),
            Item("z.png", "safe", split="validation", sha256="b" * 64),
        ),
        tmp_path / "base",
        "base",
    )
    dataset, replayed, kept_away = training_set(feedback, base, 0.5, seed=0)
    assert sorted(Path(item.path).name for item in dataset.items) == ["2.png", "y.png"]
    assert (replayed, kept_away) == (1, 3)


def test_the_replayed_share_is_that_of_all_training_pictures(tmp_path: Path) -> None:
    feedback = read_feedback(export(tmp_path, *({} for _ in range(60))))
    items = tuple(Item(f"b{n}.png", "safe", split="train", sha256=f"{n + 900:064x}") for n in range(100))
    base = Dataset(items, tmp_path, "base")
    dataset, replayed, _ = training_set(feedback, base, 0.4, seed=0)
    assert (len(dataset), replayed) == (100, 40)
    assert training_set(feedback, base, 0.4, seed=0)[0] == dataset


@pytest.mark.parametrize(
    ("row", "column"), [({"split": ""}, "split"), ({"inclusion_probability": 0}, "inclusion_probability")]
)
def test_a_wrong_row_is_named(tmp_path: Path, row: dict[str, Any], column: str) -> None:
    with pytest.raises(DatasetError) as caught:
        read_feedback(export(tmp_path, {}, row))
    assert (caught.value.row, caught.value.column) == (2, column)


def test_the_worst_way_to_count_what_is_disputed_is_what_a_promotion_looks_at(tmp_path: Path) -> None:
    """The new model finds what the old one misses, and flags the disputed pictures, which may be harmless."""
    rows = [
        {"label": "nsfw" if n % 3 == 0 else "safe", "split": "test", "stratum": "all"} for n in range(90)
    ] + [{"label": "disputed", "split": "test", "stratum": "all"} for _ in range(20)]
    feedback = read_feedback(export(tmp_path, *rows))
    explicit = {item.path: item.label == "nsfw" for item in feedback.evaluation.items}
    old = {path: 0.9 if label and int(path[:-4]) % 2 else 0.1 for path, label in explicit.items()}
    new = {path: 0.9 if label or int(path[:-4]) >= 90 else 0.1 for path, label in explicit.items()}
    found, told = judge(feedback, old, new, 0.5)
    assert found.f1.low > 0
    assert told["disputed"] == 20
    for name in ("f1", "recall", "recall_at_equal_load"):
        assert told[name]["low"] <= told[name]["value"] <= told[name]["high"]
    assert told["f1"]["low"] < told["f1_without_disputed"]["low"]
    assert told["recall_at_equal_load"]["low"] < 0  # its first flags may all be the disputed ones

"""What of an export is trained on, what is evaluated on, and that nothing is both."""

import json
from pathlib import Path
from typing import Any

import pytest

from bot.retraining import read_feedback, training_set
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

"""Items that were drawn with a known probability carry their weight through manifests and exports."""

import json
from pathlib import Path

import pytest

from classifier.datasets import building, manifest
from classifier.datasets.sources import from_feedback
from classifier.datasets.values import Dataset, DatasetError, Item


def dataset(root: Path, *weights: float) -> Dataset:
    return Dataset(tuple(Item(f"{n}.png", "safe", weight=w) for n, w in enumerate(weights)), root, "data")


@pytest.mark.parametrize("name", ["data.csv", "data.parquet"])
def test_weights_come_back_from_a_manifest_to_the_last_digit(tmp_path: Path, name: str) -> None:
    manifest.write(dataset(tmp_path, 1.0, 1 / 0.3), tmp_path / name)
    assert [item.weight for item in manifest.read(tmp_path / name).items] == [1.0, 1 / 0.3]


def test_a_manifest_without_weights_is_what_it_always_was(tmp_path: Path) -> None:
    manifest.write(dataset(tmp_path, 1.0), tmp_path / "data.csv")
    assert manifest.header_of(tmp_path / "data.csv") == manifest.COLUMNS
    equal, other = dataset(tmp_path, 1.0), dataset(tmp_path, 2.0)
    assert manifest.content_hash(equal) != manifest.content_hash(other)


@pytest.mark.parametrize("weight", ["0", "-1", "nan", "inf", "heavy"])
def test_a_weight_that_is_none_is_an_error_that_names_it(tmp_path: Path, weight: str) -> None:
    (tmp_path / "data.csv").write_text(f"path,label,weight\na.png,safe,{weight}\n")
    with pytest.raises(DatasetError, match="row 2, column 'weight'"):
        manifest.read(tmp_path / "data.csv")


def export(folder: Path, *rows: dict[str, object]) -> Path:
    folder.mkdir()
    (folder / "feedback.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def row(item_id: str, digit: str, label: str = "safe", **more: object) -> dict[str, object]:
    sha256 = digit * 64
    return {"item_id": item_id, "label": label, "sha256": sha256, "path": f"pictures/{sha256}.jpg", **more}


def test_equal_bytes_are_one_item_with_all_their_weight(tmp_path: Path) -> None:
    folder = export(tmp_path / "x", row("a", "1", weight=2.5), row("b", "1", weight=4), row("c", "2", "nsfw"))
    found = from_feedback(folder, folder)
    assert [(item.label, item.weight) for item in found.items] == [("safe", 6.5), ("nsfw", 1.0)]


def test_a_later_export_stands_for_an_earlier_one_and_can_withdraw(tmp_path: Path) -> None:
    export(tmp_path / "0009", row("a", "1", split="test"), row("b", "2"), row("c", "3"))
    later = export(tmp_path / "0010", row("a", "1", "nsfw", split="train"), row("b", "2", "disputed"))
    (later / "withdrawn.csv").write_text("item_id\nc\n")
    assert building.detect(tmp_path) == "feedback"
    [item] = building.read_source(tmp_path).items
    assert (item.path[:5], item.label, item.split) == ("0010/", "nsfw", "train")


@pytest.mark.parametrize(
    ("more", "named"),
    [({"split": "holdout"}, "row 1, column 'split'"), ({"weight": -1}, "row 1, column 'weight'")],
)
def test_a_wrong_split_or_weight_names_its_line(tmp_path: Path, more: dict[str, object], named: str) -> None:
    folder = export(tmp_path / "x", row("a", "1", **more))
    with pytest.raises(DatasetError) as caught:
        from_feedback(folder, folder)
    assert named in str(caught.value)


def test_what_has_no_picture_is_left_out_of_a_dataset(tmp_path: Path) -> None:
    gone = {"item_id": "b", "label": "safe", "sha256": None, "path": None, "media_state": "deleted"}
    folder = export(tmp_path / "x", row("a", "1"), gone)
    assert len(from_feedback(folder, folder)) == 1

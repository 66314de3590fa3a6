"""Manifests: what is written can be read, and what does not fit is named."""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from classifier.datasets import manifest
from classifier.datasets.values import Dataset, DatasetError, Item, join

ITEMS = (
    Item("a.png", "safe", "s1", {"medium": "photo"}, "train", "a" * 64, "b" * 64),
    Item('folder/ü, "b".png', "nsfw", "", {"medium": "drawing"}, "", "", ""),
    Item("https://upload.example/c.jpg", "nsfw", "s2", {"medium": ""}, "test", "c" * 64, ""),
)


def dataset(root: Path, items: tuple[Item, ...] = ITEMS) -> Dataset:
    return Dataset(items, root, "given")


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_what_is_written_is_read_again(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"data{suffix}"
    manifest.write(dataset(tmp_path), path)
    again = manifest.read(path)
    assert again == Dataset(ITEMS, tmp_path, path.name)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_manifest_in_another_folder_still_finds_its_pictures(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "elsewhere" / f"data{suffix}"
    manifest.write(dataset(tmp_path), path)
    again = manifest.read(path)
    assert again.path_of(again.items[0]).resolve() == tmp_path / "a.png"
    assert again.items[2].path == ITEMS[2].path


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", ["is empty"]),
        ("path,label\n", ["no rows"]),
        ("path\na.png\n", ["'label'", "missing"]),
        ("label\nsafe\n", ["'path'", "missing"]),
        ("path,label,labels\na,safe,x\n", ["'labels'", "unknown"]),
        ("path,label,label\na,safe,x\n", ["'label'", "twice"]),
        ("path,label\na,safe\nb,porn\n", ["row 3", "'label'", "'porn'"]),
        ("path,label\na,safe\nb,\n", ["row 3", "'label'"]),
        ("path,label\n,safe\n", ["row 2", "'path'"]),
        ("path,label\na,safe\na,nsfw\n", ["row 3", "'path'", "row 2"]),
        ("path,label,split\na,safe,dev\n", ["row 2", "'split'", "'dev'"]),
        ("path,label,sha256\na,safe,XYZ\n", ["row 2", "'sha256'"]),
        ("path,label,perceptual_hash\na,safe,12\n", ["row 2", "'perceptual_hash'"]),
        ("path,label\na,safe,more\n", ["row 2", "3 values for 2 columns"]),
        ('path,label\n"a,safe\n', ["not CSV"]),
        (f"path,label\n{'x' * 200_000},safe\n", ["row 2", "not CSV"]),
    ],
)
def test_what_does_not_fit_is_named_with_file_row_and_column(
    tmp_path: Path, text: str, named: list[str]
) -> None:
    path = tmp_path / "data.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DatasetError) as caught:
        manifest.read(path)
    for part in (str(path), *named):
        assert part in str(caught.value)


def test_a_table_that_is_not_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "data.parquet"
    pq.write_table(pa.table({"path": ["a"], "label": [1]}), path)
    with pytest.raises(DatasetError, match=r"data.parquet, column 'label': holds int64"):
        manifest.read(path)


@pytest.mark.parametrize("name", ["data.csv", "data.parquet", "data.json"])
def test_a_file_that_is_no_manifest_is_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with pytest.raises(DatasetError, match=name):
        manifest.read(path)
    path.write_bytes(b"\xff\xfe\x00garbage" * 9)
    with pytest.raises(DatasetError, match=name):
        manifest.read(path)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_huge_manifest_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"data{suffix}"
    manifest.write(dataset(tmp_path), path)
    assert len(manifest.read(path, max_items=3)) == 3
    with pytest.raises(DatasetError, match=rf"data{suffix}: has more than 2 rows"):
        manifest.read(path, max_items=2)


def test_any_two_labels_can_be_told_apart(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("path,label\na,cat\nb,dog\n")
    read = manifest.read(tmp_path / "d.csv", ("dog", "cat"))
    assert [read.target_of(item) for item in read.items] == [1, 0]
    with pytest.raises(DatasetError, match="two different"):
        manifest.read(tmp_path / "d.csv", ("cat", "cat"))


def test_the_content_hash_depends_on_content_alone(tmp_path: Path) -> None:
    given = dataset(tmp_path)
    value = manifest.content_hash(given)
    moved = replace(ITEMS[0], path="/other/place.png", perceptual_hash="")
    assert manifest.content_hash(dataset(Path("/x"), (ITEMS[2], moved, ITEMS[1]))) == value
    changed = [
        replace(ITEMS[0], label="nsfw"),
        replace(ITEMS[0], split="validation"),
        replace(ITEMS[0], sha256="d" * 64),
        replace(ITEMS[0], source="other"),
        replace(ITEMS[0], groups={"medium": "painting"}),
    ]
    hashes = {manifest.content_hash(dataset(tmp_path, (item, *ITEMS[1:]))) for item in changed}
    hashes |= {manifest.content_hash(replace(given, classes=("nsfw", "safe"))), value}
    hashes.add(manifest.content_hash(dataset(tmp_path, (*ITEMS, ITEMS[0]))))
    assert len(hashes) == len(changed) + 3


def test_training_opens_nothing_that_holds_test_items(tmp_path: Path) -> None:
    def items(*rows: tuple[str, str]) -> Dataset:
        named = (Item(str(number), label, split=split) for number, (split, label) in enumerate(rows))
        return dataset(tmp_path, tuple(named))

    good = [(split, label) for split in ("train", "validation") for label in ("safe", "nsfw")]
    assert len(items(*good).for_training()) == 4
    for bad, column in (
        ([*good, ("test", "safe")], "split"),
        ([*good, ("", "safe")], "split"),
        (good[:2], "split"),
        (good[:3], "label"),
        ([*good, ("train", "other")], "label"),
    ):
        with pytest.raises(DatasetError) as caught:
            items(*bad).for_training()
        assert caught.value.column == column
    tested = items(*good, ("test", "safe"), ("test", "nsfw"))
    assert len(tested.for_evaluation()) == 2
    with pytest.raises(DatasetError, match="'nsfw'"):
        items(*good, ("test", "safe")).for_evaluation()
    with pytest.raises(DatasetError, match="'test'"):
        items(*good).for_evaluation()


def test_datasets_of_several_folders_can_be_joined(tmp_path: Path) -> None:
    one, other = dataset(tmp_path / "one", ITEMS[:1]), dataset(tmp_path / "other", ITEMS[1:])
    both = join([one, other])
    assert [both.path_of(item) for item in both.items[:2]] == [
        tmp_path / "one" / "a.png",
        tmp_path / "other" / ITEMS[1].path,
    ]
    with pytest.raises(DatasetError):
        join([one, replace(other, classes=("a", "b"))])

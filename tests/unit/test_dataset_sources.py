"""Datasets from folders, tables, feedback and the NPDI layouts; what is wrong names its place."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from classifier.datasets.npdi import from_npdi
from classifier.datasets.sources import from_feedback, from_folder, from_table
from classifier.datasets.values import DatasetError

SHA = "ab" * 32


def tree(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def rows(root: Path, text: str, name: str = "table.csv") -> Path:
    (root / name).write_text(text, encoding="utf-8")
    return root / name


def test_a_folder_of_folders_is_read_in_the_order_of_paths(tmp_path: Path) -> None:
    tree(
        tmp_path,
        "nsfw/b.JPG",
        "nsfw/deep/a.png",
        "safe/c.webp",
        "safe/notes.txt",
        ".hidden/x.png",
        "safe/.h.png",
    )
    dataset = from_folder(tmp_path)
    assert [(item.path, item.label) for item in dataset.items] == [
        ("nsfw/b.JPG", "nsfw"),
        ("nsfw/deep/a.png", "nsfw"),
        ("safe/c.webp", "safe"),
    ]
    assert dataset.classes == ("safe", "nsfw")
    assert dataset.path_of(dataset.items[0]).read_bytes() == b"x"


def test_folders_of_splits_are_understood(tmp_path: Path) -> None:
    tree(tmp_path, "train/cat/1.png", "train/dog/2.png", "val/cat/3.png", "test/dog/4.png")
    dataset = from_folder(tmp_path)
    assert dataset.classes == ("cat", "dog")
    assert {item.path: item.split for item in dataset.items} == {
        "train/cat/1.png": "train",
        "train/dog/2.png": "train",
        "val/cat/3.png": "validation",
        "test/dog/4.png": "test",
    }


@pytest.mark.parametrize(
    ("names", "named"),
    [
        ([], "there is none"),
        (["safe/a.png"], "there is one: safe"),
        (["a/1.png", "b/2.png", "c/3.png"], "there are 3: a, b, c"),
        (["safe/a.png", "nsfw/readme.txt"], "nsfw, column 'label': holds no picture"),
        (["train/safe/a.png", "other/nsfw/b.png"], "other: stands beside"),
    ],
)
def test_folders_that_are_not_two_labels_are_named(tmp_path: Path, names: list[str], named: str) -> None:
    tree(tmp_path, *names)
    with pytest.raises(DatasetError) as caught:
        from_folder(tmp_path)
    assert named in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_a_huge_folder_is_refused(tmp_path: Path) -> None:
    tree(tmp_path, "safe/a.png", "safe/b.png", "nsfw/c.png")
    assert len(from_folder(tmp_path, max_items=3)) == 3
    with pytest.raises(DatasetError, match="holds more than"):
        from_folder(tmp_path, max_items=2)


def test_a_table_may_call_its_columns_and_labels_otherwise(tmp_path: Path) -> None:
    path = rows(tmp_path, "file,class,who,medium,fold\na.png,1,u1,photo,val\nb.png,0,u2,drawing,\n")
    dataset = from_table(
        path,
        columns={"path": "file", "label": "class", "source": "who", "split": "fold"},
        groups=("medium",),
        labels={"0": "safe", "1": "nsfw"},
    )
    first, second = dataset.items
    assert (first.path, first.label, first.source, first.split) == ("a.png", "nsfw", "u1", "validation")
    assert (second.label, second.split, dict(second.groups)) == ("safe", "", {"medium": "drawing"})
    assert dataset.root == tmp_path


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("path,label\na.png,maybe\n", "row 2, column 'label'"),
        ("path,label\n,safe\n", "row 2, column 'path'"),
        ("path,klass\na,safe\n", "column 'label': is missing"),
        ("path,label,split\na,safe,dev\n", "row 2, column 'split'"),
        ("path,label\n", "has no rows"),
    ],
)
def test_a_wrong_table_is_an_error_that_names_its_place(tmp_path: Path, text: str, named: str) -> None:
    path = rows(tmp_path, text)
    with pytest.raises(DatasetError) as caught:
        from_table(path)
    assert named in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", ["feedback.jsonl", "feedback.csv"])
def test_feedback_becomes_labels_and_unsure_verdicts_are_left_out(tmp_path: Path, name: str) -> None:
    media = tree(tmp_path / "media", f"ab/{SHA}.jpg", "elsewhere.png")
    given = [
        {"sha256": SHA, "label": "nsfw-keep", "source": "u1", "path": ""},
        {"sha256": "cd" * 32, "label": "sfw", "source": "", "path": "elsewhere.png"},
        {"sha256": "ef" * 32, "label": "unsure", "source": "", "path": ""},
    ]
    text = "\n".join(json.dumps(row) for row in given)
    if name.endswith("csv"):
        text = "\n".join([",".join(given[0]), *(",".join(row.values()) for row in given)])
    dataset = from_feedback(rows(tmp_path, text, name), media)
    assert [(item.path, item.label, item.source, item.sha256) for item in dataset.items] == [
        (f"ab/{SHA}.jpg", "nsfw", "u1", SHA),
        ("elsewhere.png", "safe", "", "cd" * 32),
    ]


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("{", "row 2: is not JSON"),
        ("[1]", "row 2: is not a JSON object"),
        ('{"label": "sfw"}', "row 2, column 'sha256'"),
        ('{"sha256": "12", "label": "sfw"}', "row 2, column 'sha256'"),
        (json.dumps({"sha256": SHA, "label": "sfw"}), "row 2, column 'sha256': no file"),
    ],
)
def test_wrong_feedback_is_an_error_that_names_its_line(tmp_path: Path, line: str, named: str) -> None:
    path = rows(tmp_path, f"\n{line}\n", "feedback.jsonl")
    with pytest.raises(DatasetError) as caught:
        from_feedback(path, tree(tmp_path / "media", "x.png"))
    assert named in str(caught.value)


def test_frames_of_the_older_npdi_set_have_their_video_as_source(tmp_path: Path) -> None:
    tree(
        tmp_path,
        "Frames/vPorn/vPorn000001/0.jpg",
        "Frames/vPorn/vPorn000001#5.jpg",
        "Frames/vNonPornEasy/vNonPorn000001_02.jpg",
        "Frames/vNonPornDifficulty/vNonPorn000201/vNonPorn000201-1.jpg",
        "Database/vPorn/vPorn000001.avi",
    )
    items = from_npdi(tmp_path).items
    assert sorted((item.source, item.label, item.groups.get("difficulty", "")) for item in items) == [
        ("vNonPorn000001", "safe", "easy"),
        ("vNonPorn000201", "safe", "difficult"),
        ("vPorn000001", "nsfw", ""),
        ("vPorn000001", "nsfw", ""),
    ]


def test_videos_of_the_newer_npdi_set_are_one_item_each(tmp_path: Path) -> None:
    tree(tmp_path, "original/vPorn000001.mp4", "original/vNonPorn000002.mp4", "folds/s1_positive_train.txt")
    assert [(item.path, item.label) for item in from_npdi(tmp_path, "video").items] == [
        ("original/vNonPorn000002.mp4", "safe"),
        ("original/vPorn000001.mp4", "nsfw"),
    ]


@pytest.mark.parametrize(
    ("names", "named"),
    [
        (["readme.txt"], "holds no pictures"),
        (["vPorn/vPorn1/1.png"], "nothing of the label 'safe'"),
        (["vPorn/vPorn1/1.png", "other/1.png"], "other/1.png: neither its name"),
        (["vPorn/vNonPorn1.png", "vPorn/vPorn2.png"], "folder of the other label"),
        (["vNonPornEasy/vPorn1.png"], "folder of the other label"),
    ],
)
def test_what_is_no_npdi_layout_is_named(tmp_path: Path, names: list[str], named: str) -> None:
    tree(tmp_path, *names)
    with pytest.raises(DatasetError) as caught:
        from_npdi(tmp_path)
    assert named in str(caught.value)


@pytest.mark.parametrize("build", [from_folder, from_npdi])
def test_a_folder_that_is_not_there_is_named(tmp_path: Path, build: Callable[[Path], object]) -> None:
    with pytest.raises(DatasetError, match="nowhere: there is no such folder"):
        build(tmp_path / "nowhere")

"""What is wrong with a dataset is found and named: leaks, contradictions, single classes, tiny groups."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from classifier.datasets.balance import balance
from classifier.datasets.check import check, exit_code, require
from classifier.datasets.dedupe import without_duplicates
from classifier.datasets.values import Dataset, DatasetError, Finding, Item

NEAR = ("f" * 64, "f" * 63 + "0", "0" * 64)


def item(number: int, **changes: object) -> Item:
    plain = Item(f"{number}.png", ("safe", "nsfw")[number % 2], split="train", sha256=f"{number:064x}")
    return replace(plain, **changes)  # type: ignore[arg-type]


def dataset(*items: Item) -> Dataset:
    return Dataset(items, Path("/nowhere"), "data.csv")


def found(given: Dataset, code: str) -> Sequence[Finding]:
    return [finding for finding in check(given, with_files=False) if finding.code == code]


SOUND = [item(number, split=("train", "validation", "test")[number // 2 % 3]) for number in range(60)]


def test_a_sound_dataset_has_no_errors() -> None:
    findings = check(dataset(*SOUND), with_files=False)
    assert exit_code(findings, strict=True) == 0
    require(findings)


def test_the_same_file_in_two_splits_is_a_leak() -> None:
    (leak,) = found(dataset(*SOUND, item(2, path="copy.png", split="test")), "leak_exact")
    assert (leak.severity, leak.file, leak.column) == ("error", "copy.png", "sha256")
    assert leak.others == ("2.png (validation)",)


def test_nearly_the_same_picture_in_two_splits_is_a_leak() -> None:
    pictures = [
        item(100, perceptual_hash=NEAR[0], split="train"),
        item(102, perceptual_hash=NEAR[1], split="test"),
        item(104, perceptual_hash=NEAR[2], split="validation"),
    ]
    (leak,) = found(dataset(*SOUND, *pictures), "leak_near")
    assert (leak.severity, leak.file, leak.others) == ("error", "102.png", ("100.png (train)",))
    assert not found(dataset(*SOUND, *pictures[1:]), "leak_near")


def test_a_source_in_two_splits_is_a_leak() -> None:
    films = [
        item(100, source="film"),
        item(102, source="film", split="validation"),
        item(104, source="other"),
    ]
    (leak,) = found(dataset(*SOUND, *films), "leak_source")
    assert (leak.file, leak.column) == ("102.png", "source")
    assert "'film'" in leak.message


def test_contradicting_labels_of_one_file_are_an_error_of_near_ones_a_warning() -> None:
    same = item(101, sha256=f"{100:064x}")
    (conflict,) = found(dataset(*SOUND, item(100), same), "label_conflict")
    assert (conflict.severity, conflict.file, conflict.others) == ("error", "100.png", ("101.png",))
    near = [item(100, perceptual_hash=NEAR[0]), item(101, perceptual_hash=NEAR[1])]
    (conflict,) = found(dataset(*SOUND, *near), "label_conflict_near")
    assert (conflict.severity, conflict.column) == ("warning", "label")


@pytest.mark.parametrize(
    ("given", "code", "column"),
    [
        (dataset(), "empty_dataset", ""),
        (dataset(*SOUND[::2]), "one_class", "label"),
        (dataset(*SOUND, item(100, label="Safe")), "unknown_label", "label"),
        (
            dataset(*(one for one in SOUND if one.split != "test" or one.label == "safe")),
            "one_class",
            "label",
        ),
    ],
)
def test_what_makes_training_impossible_is_an_error(given: Dataset, code: str, column: str) -> None:
    first = found(given, code)[0]
    assert (first.severity, first.column) == ("error", column)
    findings = check(given, with_files=False)
    assert exit_code(findings) == 1
    with pytest.raises(DatasetError, match="100.png" if code == "unknown_label" else "data.csv"):
        require(findings)


@pytest.mark.parametrize(
    ("changed", "code", "column"),
    [
        (item(100, sha256=""), "unverified", "sha256"),
        (item(100, split=""), "no_split", "split"),
        (item(100, groups={"medium": "painting"}), "tiny_group", "group:medium"),
        (item(2, path="again.png", split="validation"), "duplicates", "sha256"),
    ],
)
def test_what_deserves_a_look_is_a_warning(changed: Item, code: str, column: str) -> None:
    (finding,) = found(dataset(*SOUND, changed), code)
    assert (finding.severity, finding.column) == ("warning", column)


def test_an_imbalance_and_a_giant_group_are_told() -> None:
    rare = [item(2 * number) for number in range(60)] + [item(1)]
    assert found(dataset(*rare), "imbalanced")
    flat = [item(number, perceptual_hash=NEAR[0]) for number in range(0, 20, 2)]
    assert found(dataset(*flat, *SOUND[20:]), "giant_group")


def test_missing_and_empty_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "0.png").write_bytes(b"")
    (tmp_path / "1.png").write_bytes(b"x")
    given = Dataset((item(0), item(1), item(2), item(3, path="https://x.example/3.png")), tmp_path, "d")
    errors = {(one.code, one.file) for one in check(given) if one.severity == "error"}
    assert errors == {("empty", "0.png"), ("missing_file", "2.png")}


def test_findings_say_their_place() -> None:
    text = str(found(dataset(*SOUND[::2]), "one_class")[0])
    assert text.startswith("error one_class: data.csv, column 'label': ")


def test_one_of_each_group_of_duplicates_stays_and_contradictions_go() -> None:
    items = [
        item(0, perceptual_hash=NEAR[0]),
        item(2, perceptual_hash=NEAR[1]),
        item(4, path="copy of 6.png", sha256=f"{6:064x}"),
        item(6),
        item(8, perceptual_hash=NEAR[2]),
        item(9, perceptual_hash=NEAR[2]),
        item(10),
    ]
    left = without_duplicates(dataset(*items))
    assert [one.path for one in left.dataset.items] == ["0.png", "copy of 6.png", "10.png"]
    assert {(one.code, one.file) for one in left.findings} == {
        ("duplicates", "0.png"),
        ("duplicates", "copy of 6.png"),
        ("label_conflict", "8.png"),
    }
    assert len(without_duplicates(dataset(*items), exact_only=True).dataset) == 6


def test_the_copy_in_the_test_set_stays_and_every_removal_says_for_which() -> None:
    items = [
        item(0, split="train", perceptual_hash=NEAR[0]),
        item(2, split="test", perceptual_hash=NEAR[1]),
        item(4, split="validation", sha256=f"{2:064x}"),
        item(6),
    ]
    left = without_duplicates(dataset(*items))
    assert [one.path for one in left.dataset.items] == ["2.png", "6.png"]
    assert [(one.path, one.code, one.kept) for one in left.removed] == [
        ("4.png", "exact_duplicate", "2.png"),
        ("0.png", "near_duplicate", "2.png"),
    ]
    assert "4 of 256 bits" in left.removed[1].message


def test_a_mirrored_copy_is_told_by_the_distance_of_the_mirrored_hash() -> None:
    items = [item(0, perceptual_hash=NEAR[2]), item(2, perceptual_hash="5" * 64)]
    (removed,) = without_duplicates(dataset(*items)).removed
    assert "0 of 256 bits" in removed.message


def test_balance_counts_every_column() -> None:
    items = [
        item(number, groups={"medium": "photo" if number < 9 else "map"}, source="s") for number in range(10)
    ]
    rows = {(row.column, row.value): (row.negatives, row.positives) for row in balance(dataset(*items))}
    assert rows == {
        ("", "all"): (5, 5),
        ("split", "train"): (5, 5),
        ("source", "s"): (5, 5),
        ("group:medium", "photo"): (5, 4),
        ("group:medium", "map"): (0, 1),
    }
    first = balance(dataset(*items))[-1]
    assert (first.count, first.positive_share, first.share) == (1, 1.0, 0.1)


def test_many_values_share_a_row() -> None:
    items = [item(number, source=str(number)) for number in range(9)]
    rows = [row for row in balance(dataset(*items), max_values=3) if row.column == "source"]
    assert [(row.value, row.count) for row in rows] == [("0", 1), ("1", 1), ("(others)", 7)]

"""Dividing a dataset: nothing that belongs together is torn, and shares are met as far as that allows."""

import stat
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classifier.datasets import manifest
from classifier.datasets.splitting import DEFAULT_SHARES, Unit, plan, sealed_path, split, write_split
from classifier.datasets.values import Dataset, DatasetError, Item

LABELS = ("safe", "nsfw")
SHARES = st.sampled_from(
    [DEFAULT_SHARES, {"train": 0.5, "validation": 0.25, "test": 0.25}, {"train": 0.8, "validation": 0.2}]
)


def units_of(sizes: list[tuple[int, str]]) -> list[Unit]:
    return [Unit(f"unit-{index}", {(label,): size}) for index, (size, label) in enumerate(sizes)]


UNITS = st.lists(st.tuples(st.integers(1, 9), st.sampled_from(LABELS)), min_size=3, max_size=60).map(units_of)


def numbers(units: list[Unit], planned: list[str]) -> Counter[tuple[str, str]]:
    counts: Counter[tuple[str, str]] = Counter()
    for unit, name in zip(units, planned, strict=True):
        for (label, *_), count in unit.counts.items():
            counts[name, label] += count
    return counts


@given(UNITS, SHARES, st.integers(0, 5))
def test_no_label_is_further_from_its_share_than_its_largest_units_demand(
    units: list[Unit], shares: dict[str, float], seed: int
) -> None:
    counts = numbers(units, plan(units, shares, seed))
    for label in LABELS:
        sizes = [unit.size for unit in units if (label,) in unit.counts]
        for name, share in shares.items():
            assert abs(counts[name, label] - share * sum(sizes)) <= 2 * max(sizes, default=0)


@given(UNITS, SHARES)
def test_every_split_gets_every_label_that_there_are_units_enough_of(
    units: list[Unit], shares: dict[str, float]
) -> None:
    counts = numbers(units, plan(units, shares))
    for label in LABELS:
        if sum((label,) in unit.counts for unit in units) >= len(shares):
            assert all(counts[name, label] for name in shares)


@given(UNITS, SHARES, st.integers(0, 5), st.randoms(use_true_random=False))
def test_the_order_of_units_does_not_matter_and_the_seed_decides(
    units: list[Unit], shares: dict[str, float], seed: int, random: object
) -> None:
    planned = dict(zip([unit.key for unit in units], plan(units, shares, seed), strict=True))
    shuffled = list(units)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert dict(zip([unit.key for unit in shuffled], plan(shuffled, shares, seed), strict=True)) == planned


def test_another_seed_divides_otherwise() -> None:
    units = units_of([(1, LABELS[index % 2]) for index in range(100)])
    assert plan(units, DEFAULT_SHARES, 1) == plan(units, DEFAULT_SHARES, 1)
    assert plan(units, DEFAULT_SHARES, 1) != plan(units, DEFAULT_SHARES, 2)


@given(st.integers(12, 200), st.integers(12, 200))
def test_single_pictures_meet_the_shares_to_the_picture(negatives: int, positives: int) -> None:
    units = units_of([(1, "safe")] * negatives + [(1, "nsfw")] * positives)
    counts = numbers(units, plan(units, DEFAULT_SHARES))
    for label, total in (("safe", negatives), ("nsfw", positives)):
        for name, share in DEFAULT_SHARES.items():
            assert abs(counts[name, label] - share * total) <= 1


@pytest.mark.parametrize(
    "shares", [{"train": 0.5}, {"train": 1.2, "test": -0.2}, {"train": 0.5, "dev": 0.5}, {}]
)
def test_shares_that_are_none_are_refused(shares: dict[str, float]) -> None:
    with pytest.raises(DatasetError, match="add up to 1"):
        plan([], shares)


def hashed(number: int) -> str:
    return f"{number:064x}"


@st.composite
def datasets(draw: st.DrawFn) -> Dataset:
    """Items of which some have a source and some are copies."""
    items = []
    for index in range(draw(st.integers(24, 70))):
        source = draw(st.sampled_from(["", "", "", "a", "b"]))
        content = draw(st.sampled_from([index, index, index, index % 5]))
        label = LABELS[index % 2]
        items.append(
            Item(f"{index}.png", label, source, {"medium": "ab"[index // 2 % 2]}, "", hashed(content))
        )
    return Dataset(tuple(items), Path("/nowhere"), "drawn")


@settings(max_examples=40)
@given(datasets(), st.integers(0, 3))
def test_neither_copies_nor_sources_are_torn(dataset: Dataset, seed: int) -> None:
    try:
        divided = split(dataset, seed=seed)
    except DatasetError as error:
        assert "independent groups" in str(error)  # noqa: PT017
        return
    places: dict[str, set[str]] = defaultdict(set)
    for before, item in zip(dataset.items, divided.items, strict=True):
        assert replace(item, split="") == before
        places[f"sha256 {item.sha256}"].add(item.split)
        if item.source:
            places[f"source {item.source}"].add(item.split)
    assert all(len(splits) == 1 for splits in places.values())
    shuffled = dataset.with_items(reversed(dataset.items))
    assert {item.path: item.split for item in split(shuffled, seed=seed).items} == {
        item.path: item.split for item in divided.items
    }


def many(count: int = 80) -> Dataset:
    items = tuple(
        Item(
            f"{index}.png",
            LABELS[index % 2],
            "",
            {"medium": "photo" if index % 8 else "drawing"},
            "",
            hashed(index),
        )
        for index in range(count)
    )
    return Dataset(items, Path("/nowhere"), "many")


def test_near_duplicates_are_not_torn() -> None:
    near = ["f" * 64, "f" * 63 + "0", "f" * 55 + "0" * 9]
    items = [
        replace(item, perceptual_hash=near[index] if index < 3 else "")
        for index, item in enumerate(many().items)
    ]
    for seed in range(8):
        divided = split(many().with_items(items), seed=seed)
        assert divided.items[0].split == divided.items[1].split
    assert len({split(many().with_items(items), seed=seed).items[2].split for seed in range(8)}) > 1


def test_other_columns_can_be_spread_like_labels() -> None:
    divided = split(many(400), stratify_by=("medium",))
    counts = Counter((item.split, item.groups["medium"], item.label) for item in divided.items)
    assert counts["train", "drawing", "safe"] == 35
    assert counts["validation", "drawing", "safe"] in (7, 8)


def test_a_grown_dataset_keeps_its_test_set_and_takes_copies_of_it_along() -> None:
    first = split(many(60))
    test_item = next(item for item in first.items if item.split == "test")
    copy = replace(test_item, path="copy.png", split="")
    more = [Item(f"new-{index}.png", LABELS[index % 2], sha256=hashed(1000 + index)) for index in range(40)]
    grown = split(first.with_items([*first.items, copy, *more]), seed=9, keep_existing=True)
    assert grown.items[:60] == first.items
    assert grown.items[60].split == "test"
    torn = replace(copy, split="train")
    with pytest.raises(DatasetError, match="belongs together") as caught:
        split(first.with_items([*first.items, torn]), keep_existing=True)
    assert caught.value.column == "split"


def test_what_cannot_be_divided_is_an_error_that_names_the_column() -> None:
    one_source = many().with_items(
        replace(item, source="film" if item.label == "nsfw" else "") for item in many().items
    )
    unverified = many().with_items([replace(many().items[0], sha256=""), *many().items[1:]])
    one_class = many().with_items(item for item in many().items if item.label == "safe")
    mislabelled = many().with_items([replace(many().items[0], label="Safe"), *many().items[1:]])
    for dataset, column in (
        (one_source, "source"),
        (unverified, "sha256"),
        (one_class, "label"),
        (mislabelled, "label"),
    ):
        with pytest.raises(DatasetError) as caught:
            split(dataset)
        assert caught.value.column == column


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_the_test_set_is_written_apart_and_sealed(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"data{suffix}"
    divided = split(many())
    for _ in range(2):  # also over a former one
        assert write_split(divided, path) == (path, sealed_path(path))
    training, sealed = manifest.read(path), manifest.read(tmp_path / f"data.test{suffix}")
    assert {item.split for item in training.items} == {"train", "validation"}
    assert {item.split for item in sealed.items} == {"test"}
    assert len(training) + len(sealed) == 80
    assert stat.S_IMODE(sealed_path(path).stat().st_mode) == 0o400
    training.for_training()
    with pytest.raises(DatasetError, match="sealed"):
        sealed.for_training()
    assert write_split(training, tmp_path / f"other{suffix}")[1] is None
    with pytest.raises(DatasetError, match="no split"):
        write_split(many(), path)


def test_training_code_has_no_way_to_the_sealed_test_set() -> None:
    """It goes through `Dataset.for_training`; what opens a test set is for `classifier.evaluation` alone."""
    sources = sorted((Path(__file__).parents[2] / "classifier" / "training").rglob("*.py"))
    assert sources
    for path in sources:
        text = path.read_text(encoding="utf-8")
        assert "for_evaluation" not in text, path
        assert "sealed_path" not in text, path

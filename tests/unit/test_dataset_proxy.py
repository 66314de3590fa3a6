"""The generated task: equal for equal seeds, with the wrong labels, copies and rare group it promises."""

import csv
import io
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from classifier.datasets import manifest
from classifier.datasets.near import near_groups
from classifier.datasets.proxy import CLASSES, ProxySettings, draw, draw_all, write
from classifier.datasets.verify import perceptual_hash

SMALL = ProxySettings(
    count=160, seed=4, sizes_px=((48, 48),), noise_share=0.1, copy_share=0.15, night_share=0.1
)


@pytest.fixture(scope="module")
def drawn() -> list:
    return list(draw_all(SMALL))


def test_a_picture_depends_on_seed_and_number_alone(drawn: list) -> None:
    assert draw(37, ProxySettings(**{**vars_of(SMALL), "count": 38})) == drawn[37]
    assert draw(37, ProxySettings(**{**vars_of(SMALL), "seed": 5})).content != drawn[37].content
    assert len({picture.content for picture in drawn}) == len(drawn)


def vars_of(settings: ProxySettings) -> dict:
    return {name: getattr(settings, name) for name in settings.__slots__}


def test_labels_are_balanced_and_some_are_wrong(drawn: list) -> None:
    counts = Counter(picture.true_label for picture in drawn)
    assert min(counts[label] for label in CLASSES) > 0.35 * len(drawn)
    wrong = sum(picture.label != picture.true_label for picture in drawn)
    assert 0.03 * len(drawn) < wrong < 0.2 * len(drawn)
    assert sum(picture.light == "night" for picture in drawn) < 0.25 * len(drawn)


def test_copies_are_near_their_originals_and_others_are_not(drawn: list) -> None:
    hashes = []
    for picture in drawn:
        with Image.open(io.BytesIO(picture.content)) as image:
            hashes.append(perceptual_hash(np.asarray(image.convert("RGB").resize((256, 256)))))
    labels = near_groups(hashes).tolist()
    copies = {picture.index: picture.copy_of for picture in drawn if picture.copy_of is not None}
    assert len(copies) > 10
    found = sum(labels[copy] == labels[original] for copy, original in copies.items())
    assert found >= 0.8 * len(copies)
    assert all(label == index for index, label in enumerate(labels) if index not in copies)
    # Else everything that has a source would hang together.
    assert not any(drawn[copy].source or drawn[original].source for copy, original in copies.items())


def test_sizes_are_chosen_from_those_given() -> None:
    sizes = {(97, 31), (40, 64)}
    settings = ProxySettings(count=8, sizes_px=tuple(sizes), copy_share=0)
    found = set()
    for picture in draw_all(settings):
        with Image.open(io.BytesIO(picture.content)) as image:
            found.add(image.size)
    assert found == sizes


def test_it_is_written_with_a_manifest_and_the_truth_apart(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    settings = ProxySettings(count=24, seed=1, sizes_px=((32, 32),), copy_share=0.3)
    dataset = write(tmp_path / "proxy", settings, lambda done, total: seen.append((done, total)))
    assert seen[-1] == (24, 24)
    again = manifest.read(tmp_path / "proxy" / "manifest.csv", CLASSES)
    assert again == dataset
    assert all(again.path_of(item).is_file() for item in again.items)
    assert {name for item in again.items for name in item.groups} == {"light", "medium"}
    with (tmp_path / "proxy" / "truth.csv").open() as file:
        truth = list(csv.DictReader(file))
    assert [row["path"] for row in truth] == [item.path for item in dataset.items]
    copies = [row for row in truth if row["copy_of"]]
    assert copies
    assert {row["copy_of"] for row in copies} <= {row["path"] for row in truth}

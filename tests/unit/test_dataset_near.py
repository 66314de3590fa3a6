"""Groups of near duplicates."""

import numpy as np
import pdqhash
import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.datasets.near import connected, distance_bits, duplicate_groups, near_groups
from classifier.datasets.values import Item
from classifier.datasets.verify import perceptual_hash
from tests.media import photo


def random_hashes(count: int) -> list[str]:
    return [row.tobytes().hex() for row in np.random.default_rng(3).integers(0, 256, (count, 32), np.uint8)]


def flipped(value: str, bits: int, seed: int = 0) -> str:
    number = int(value, 16)
    for bit in np.random.default_rng(seed).choice(256, bits, replace=False):
        number ^= 1 << int(bit)
    return f"{number:064x}"


def test_among_20_000_hashes_exactly_the_planted_ones_are_found() -> None:
    hashes = random_hashes(20_000)
    planted = {19_000 + index: index * 7 for index in range(200)}
    for copy, original in planted.items():
        hashes[copy] = flipped(hashes[original], copy % 32, copy)
    labels = near_groups(hashes)
    expected = np.arange(20_000)
    for copy, original in planted.items():
        expected[copy] = original
    assert np.array_equal(labels, expected)


def test_twenty_thousand_variations_of_one_picture_are_one_group() -> None:
    first = random_hashes(1)[0]
    assert set(near_groups([flipped(first, 3, seed) for seed in range(3000)]).tolist()) == {0}


@pytest.mark.parametrize(("bits", "together"), [(0, True), (31, True), (32, False), (200, False)])
def test_the_threshold_is_inclusive(bits: int, together: bool) -> None:
    first, other = random_hashes(1)[0], flipped(random_hashes(1)[0], bits)
    assert distance_bits(first, other) == bits
    assert (near_groups([first, other]).tolist() == [0, 0]) is together


def test_what_is_near_by_way_of_another_belongs_together() -> None:
    first = random_hashes(1)[0]
    middle = flipped(first, 30, 1)
    last = flipped(middle, 30, 2)
    assert distance_bits(first, last) > 31
    assert near_groups([first, last]).tolist() == [0, 1]
    assert near_groups([first, random_hashes(2)[1], last, middle]).tolist() == [0, 1, 0, 0]


def test_pictures_without_a_hash_stay_alone() -> None:
    assert near_groups(["", random_hashes(1)[0], ""]).tolist() == [0, 1, 2]
    assert near_groups(["", ""]).tolist() == [0, 1]
    assert near_groups([]).tolist() == []


@given(st.lists(st.integers(0, 7), max_size=12), st.randoms(use_true_random=False))
def test_groups_are_those_of_comparing_every_pair(picks: list[int], random: object) -> None:
    bases = random_hashes(4)
    hashes = [flipped(bases[pick % 4], 12 + pick, pick + index) for index, pick in enumerate(picks)]
    near = np.arange(len(hashes))
    for one, a in enumerate(hashes):
        for other, b in enumerate(hashes):
            if distance_bits(a, b) <= 31:
                near[near == max(near[one], near[other])] = min(near[one], near[other])
    assert near_groups(hashes, mirrored=False).tolist() == near.tolist()


def test_the_same_picture_rescaled_compressed_or_mirrored_is_near_another_one_is_not() -> None:
    original = photo(320, 240, seed=1)
    copies = [
        original,
        original.resize((128, 96)),
        original.resize((200, 200)),
        original.transpose(0),
        original.point(lambda value: min(255, value + 12)),
    ]
    others = [photo(320, 240, seed=seed) for seed in range(2, 6)]
    hashes = [perceptual_hash(np.asarray(picture)) for picture in (*copies, *others)]
    assert all(hashes)
    assert near_groups(hashes).tolist() == [0, 0, 0, 0, 0, 5, 6, 7, 8]
    assert near_groups(hashes, mirrored=False).tolist() == [0, 0, 0, 3, 0, 5, 6, 7, 8]


def test_the_hash_is_written_as_pdq_writes_it() -> None:
    pixels = np.asarray(photo(320, 240))
    bits, _ = pdqhash.compute(pixels)
    assert perceptual_hash(pixels) == f"{int(''.join(map(str, bits)), 2):064x}"


def test_a_flat_picture_has_no_hash() -> None:
    assert perceptual_hash(np.full((256, 256, 3), 130, np.uint8)) == ""


def test_equal_bytes_are_a_group_even_without_a_hash() -> None:
    items = [Item("a", "safe", sha256="1" * 64), Item("b", "safe", sha256="2" * 64)]
    again = Item("c", "safe", sha256="1" * 64)
    assert duplicate_groups([*items, again, Item("d", "safe"), Item("e", "safe")]).tolist() == [0, 1, 0, 3, 4]


def test_groupings_are_joined_where_they_overlap() -> None:
    one, other = np.array([0, 0, 2, 3, 4]), np.array([9, 8, 8, 7, 7])
    assert connected(one, other).tolist() == [0, 0, 0, 3, 3]

"""The order of pictures is a function of seed, epoch and batch, and shapes keep what is in a picture."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.training.order import MIN_SIDE_PX, Order, buckets_of, fitted, in_order, seed_of

TARGETS = (0,) * 15 + (1,) * 4


@pytest.mark.parametrize("buckets", [None, (0, 1, 2) * 6 + (0,)])
def test_every_picture_is_shown_once_an_epoch_in_another_order(buckets: tuple[int, ...] | None) -> None:
    order = Order(TARGETS, 4, 7, buckets=buckets)
    first, second = list(order.epoch(0)), list(order.epoch(1))
    assert list(order.epoch(0)) == first
    shown = [[draw.item for batch in batches for draw in batch] for batches in (first, second)]
    assert shown[0] != shown[1]
    for batches in (first, second):
        assert sorted(draw.item for batch in batches for draw in batch) == list(range(19))
        assert len(batches) == order.batches
        assert {len(batch) for batch in batches} <= {2, 3, 4}
        if buckets:
            assert all(len({buckets[draw.item] for draw in batch}) == 1 for batch in batches)


def test_an_epoch_can_begin_at_any_batch() -> None:
    order = Order(TARGETS, 4, 7)
    assert list(order.epoch(3, 2)) == list(order.epoch(3))[2:]


def test_balanced_sampling_shows_both_classes_equally_often_and_no_picture_much_oftener() -> None:
    shown = Counter(draw.item for batch in Order(TARGETS, 4, 7, balanced=True).epoch(0) for draw in batch)
    assert sum(count for item, count in shown.items() if TARGETS[item] == 1) == 10
    assert sum(shown.values()) == 19
    assert {shown[item] for item in range(15, 19)} == {2, 3}


def test_weighted_sampling_keeps_the_classes_even_and_shows_each_picture_as_often_as_its_weight_says() -> (
    None
):
    weights = (3.0, *(1.0,) * 14, *(1.0,) * 4)
    order = Order(TARGETS, 4, 7, balanced=True, weights=weights)
    shown: Counter[int] = Counter()
    for epoch in range(200):
        batches = list(order.epoch(epoch))
        assert sum(TARGETS[draw.item] == 1 for batch in batches for draw in batch) == 10
        counts = Counter(draw.item for batch in batches for draw in batch)
        assert counts[0] in (1, 2)  # 9 draws, 3 of 17 shares: 1.6
        shown += counts
    assert list(order.epoch(5)) == list(order.epoch(5))
    light = [shown[item] for item in range(1, 15)]
    assert shown[0] / (sum(light) / len(light)) == pytest.approx(3, rel=0.05)


def test_processes_share_an_epoch_and_see_equally_many_batches() -> None:
    shares = [list(Order(TARGETS, 4, 7, rank=rank, world=2).epoch(0)) for rank in range(2)]
    assert [len(share) for share in shares] == [3, 3]
    assert {draw.item for share in shares for batch in share for draw in batch} == set(range(19))


def test_looking_once_shows_every_picture_in_its_bucket() -> None:
    batches = in_order(7, 2, (0, 1, 0, 1, 0, 1, 0))
    assert sorted(draw.item for batch in batches for draw in batch) == list(range(7))
    assert all(len({draw.item % 2 for draw in batch}) == 1 for batch in batches)


@given(st.integers(1, 70_000), st.integers(1, 70_000), st.integers(64, 512))
def test_a_shape_keeps_the_aspect_ratio_within_bounds(width: int, height: int, side: int) -> None:
    fitted_height, fitted_width = fitted(width, height, side)
    assert min(fitted_height, fitted_width) >= MIN_SIDE_PX
    assert fitted_height * fitted_width <= 16.5 * max(side, MIN_SIDE_PX) ** 2
    if max(width, height) <= 4 * min(width, height):
        assert fitted_width / fitted_height == pytest.approx(width / height, rel=0.04)


def test_a_picture_is_never_enlarged_without_need() -> None:
    assert fitted(97, 301, 224) == (301, 97)
    assert fitted(640, 480, 224) == (194, 259)


def test_buckets_hold_shapes_that_differ_little() -> None:
    buckets = buckets_of([(100, 100), (104, 98), (200, 100), (100, 200), (300, 300)])
    assert buckets[0] == buckets[1]
    assert len(set(buckets)) == 4


def test_seeds_of_different_numbers_differ() -> None:
    seeds = {seed_of(a, b, c) for a in range(5) for b in range(5) for c in range(5)}
    assert len(seeds) == 125
    assert all(0 <= seed < 2**63 for seed in seeds)

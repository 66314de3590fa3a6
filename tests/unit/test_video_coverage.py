import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.decode.coverage import Coverage


def covered(*looks_s):
    coverage = Coverage()
    for look_s in looks_s:
        coverage.add(*look_s)
    return coverage


def test_the_largest_gap_counts_start_and_end():
    assert covered((0.0,), (1.0,), (3.5,)).largest_gap_s(4.0) == 2.5
    assert covered((3.0,), (4.0,)).largest_gap_s(4.0) == 3.0
    assert covered((0.0,)).largest_gap_s(9.0) == 9.0


def test_a_frame_that_is_shown_for_an_hour_leaves_no_gap():
    coverage = covered((0.0, 3600.0), (3600.0,))
    assert coverage.largest_gap_s(3600.0) == 0.0
    assert coverage.share(3600.0, 5.0) == 1.0


def test_only_what_exceeds_the_plan_counts_as_missed():
    coverage = covered((0.0,), (5.0,), (10.0,), (60.0,))
    assert coverage.share(60.0, 5.0) == pytest.approx(0.25)


def test_no_look_covers_nothing():
    assert Coverage().share(10.0, 1.0) == 0.0
    assert Coverage().largest_gap_s(10.0) == 10.0


def test_a_single_picture_covers_itself():
    assert covered((0.0,)).share(0.0, 1.0) == 1.0


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 10)), max_size=30), st.randoms())
def test_the_order_of_looks_does_not_matter(looks, random):
    looks_s = [(from_s, from_s + shown_s) for from_s, shown_s in looks]
    shuffled_s = list(looks_s)
    random.shuffle(shuffled_s)
    first, second = covered(*looks_s), covered(*shuffled_s)
    assert first.gaps_s(100.0) == second.gaps_s(100.0)
    assert 0.0 <= first.share(100.0, 1.0) <= 1.0
    assert sum(first.gaps_s(100.0)) <= 100.0 + 1e-9

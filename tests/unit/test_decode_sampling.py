import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.decode.sampling import (
    Sampler,
    SamplingPolicy,
    coarse_to_fine,
    evenly,
    interval_s,
    moments,
    planned,
)

durations = st.floats(0, 40_000, allow_nan=False)


@pytest.mark.parametrize(("duration_s", "frames"), [(10, 10), (30, 30), (120, 60), (600, 150), (1800, 360)])
def test_the_proposals_anchor_points_give_its_numbers_of_frames_and_the_last_one(duration_s, frames):
    times_s = [index / 25 for index in range(duration_s * 25)]
    chosen = planned(times_s, duration_s, SamplingPolicy())
    assert len(chosen) == frames + 1
    assert chosen[-1] == len(times_s) - 1


def test_a_gif_of_ten_frames_in_ten_seconds_is_looked_at_frame_by_frame():
    times_s = [float(index) for index in range(10)]
    assert planned(times_s, 10.0, SamplingPolicy()) == list(range(10))


@given(durations, durations)
def test_a_longer_video_never_has_a_shorter_interval(first_s, second_s):
    low_s, high_s = sorted((first_s, second_s))
    assert 1.0 <= interval_s(low_s) <= interval_s(high_s) <= 5.0


frame_times = st.lists(st.floats(0.001, 30.0), min_size=0, max_size=300).map(
    lambda steps: [sum(steps[:index]) for index in range(len(steps) + 1)]
)


@given(frame_times, st.integers(2, 400), st.sampled_from([0.0, 0.3, 1.0, 3.0, 1000.0]))
def test_whatever_the_claimed_length_first_and_last_are_taken_within_the_cap(times_s, cap, lie):
    chosen = planned(times_s, times_s[-1] * lie, SamplingPolicy(max_frames=cap))
    assert chosen == sorted(set(chosen))
    assert chosen[0] == 0
    assert chosen[-1] == len(times_s) - 1
    assert len(chosen) <= cap


@given(st.floats(0.1, 3600), st.sampled_from([5.0, 10.0, 25.0]), st.booleans())
def test_gaps_stay_within_the_interval_and_one_frame(duration_s, rate, known):
    times_s = [index / rate for index in range(max(int(duration_s * rate), 2))][:20_000]
    chosen = planned(times_s, duration_s if known else 0.0, SamplingPolicy(max_frames=100_000))
    gaps_s = [times_s[b] - times_s[a] for a, b in itertools.pairwise(chosen)]
    assert max(gaps_s) <= interval_s(max(duration_s, times_s[-1])) + 1 / rate + 1e-6


def test_a_cap_stretches_the_interval_evenly_over_ten_hours():
    times_s = [float(index) for index in range(36_000)]
    chosen = planned(times_s, 36_000.0, SamplingPolicy(max_frames=101))
    gaps = [b - a for a, b in itertools.pairwise(chosen)]
    assert 95 <= len(chosen) <= 101
    assert max(gaps) <= 36_000 / 99 + 1


def test_an_unknown_length_still_covers_ten_hours_within_the_cap():
    times_s = [float(index) for index in range(36_000)]
    sampler = Sampler(None, 101)
    chosen = [index for index, at_s in enumerate(times_s) if sampler.wants(at_s)]
    assert len(chosen) <= 100
    assert max(b / a for a, b in itertools.pairwise(chosen[1:])) <= 3.1
    assert chosen[:10] == list(range(10))


def test_a_clip_of_two_close_frames_is_not_judged_on_one():
    assert planned([0.0, 0.04], 0.08, SamplingPolicy()) == [0, 1]


def test_the_grid_does_not_drift_with_irregular_frames():
    sampler = Sampler(10.0, 100)
    taken = [at_s for at_s in (0.0, 0.9, 1.4, 1.9, 2.05, 2.9, 3.1) if sampler.wants(at_s)]
    assert taken == [0.0, 1.4, 2.05, 3.1]


def test_a_cap_below_two_is_refused():
    with pytest.raises(ValueError, match="max_frames"):
        Sampler(1.0, 1)


@given(st.integers(0, 500), st.integers(2, 20))
def test_pages_are_spread_evenly_with_first_and_last(count, at_most):
    chosen = evenly(count, at_most)
    assert chosen == sorted(set(chosen))
    assert len(chosen) == min(count, at_most)
    if count:
        assert (chosen[0], chosen[-1]) == (0, count - 1)
        gaps = [b - a for a, b in itertools.pairwise(chosen)] or [1]
        assert max(gaps) - min(gaps) <= 1


def test_a_frame_that_is_shown_for_long_is_looked_at_whenever_it_begins():
    assert planned([0.0, 0.5, 60.0], 60.1, SamplingPolicy()) == [0, 1, 2]


@given(st.floats(0, 40_000), st.floats(0.01, 100))
def test_moments_begin_with_the_start_end_with_the_end_and_are_no_further_apart_than_the_interval(
    end_s, step_s
):
    wanted_s = moments(end_s, max(step_s, end_s / 10_000))
    assert (wanted_s[0], wanted_s[-1]) == (pytest.approx(0.0, abs=1e-6), end_s)
    assert wanted_s == sorted(set(wanted_s))
    assert all(b - a <= max(step_s, end_s / 10_000) + 1e-5 for a, b in itertools.pairwise(wanted_s))


@given(st.floats(0, 400_000), st.integers(2, 2000), st.none() | st.floats(0.01, 1000))
def test_the_cap_stretches_any_interval(duration_s, cap, interval):
    policy = SamplingPolicy(interval_s=interval, max_frames=cap)
    assert len(moments(duration_s, policy.step_s(duration_s))) <= cap


def test_an_interval_that_is_set_takes_the_place_of_the_rule():
    assert SamplingPolicy(interval_s=0.25).step_s(100.0) == 0.25
    assert SamplingPolicy().step_s(120.0) == 2.0
    sampler = Sampler(10.0, 1000, fixed_interval_s=0.5)
    assert sum(sampler.wants(index / 25) for index in range(250)) == 20


@pytest.mark.parametrize(
    "wrong",
    [
        {"mode": "fast"},
        {"order": "random"},
        {"max_frames": 1},
        {"interval_s": 0.0},
        {"interval_s": float("nan")},
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValueError, match=r"sampling|max_frames|interval"):
        SamplingPolicy(**wrong)


@given(st.integers(0, 3000))
def test_coarse_to_fine_takes_everything_once(count):
    assert sorted(coarse_to_fine(count)) == list(range(count))


@given(st.integers(2, 10))
def test_every_beginning_of_coarse_to_fine_covers_the_whole(bits):
    count = 2**bits
    order = coarse_to_fine(count)
    for taken in range(1, bits + 1):
        first = sorted(order[: 2**taken])
        assert {b - a for a, b in itertools.pairwise(first)} == {count // 2**taken}

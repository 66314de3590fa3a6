import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.decode.sampling import SamplingPolicy
from classifier.decode.video_plan import Group, ListedKeyTimes, keyframes_only, plan_video, usual_order

keys = st.lists(st.floats(0.04, 20.0), max_size=80).map(lambda steps: [0.0, *itertools.accumulate(steps)])
intervals = st.none() | st.floats(0.1, 30.0)


def wanted_s(plan):
    return sorted(moment_s for group in plan.groups for moment_s in group.moments_s)


def gaps_s(times_s):
    return [b - a for a, b in itertools.pairwise(times_s)]


@given(keys, st.floats(0, 30), intervals, st.integers(2, 60), st.sampled_from(["exact", "economical"]))
def test_first_and_last_are_planned_within_the_cap_and_no_gap_is_larger_than_allowed(
    keys_s, rest_s, interval_s, cap, mode
):
    end_s = keys_s[-1] + rest_s
    policy = SamplingPolicy(mode, interval_s, cap)
    plan = plan_video(ListedKeyTimes(keys_s), end_s, policy)
    times_s = wanted_s(plan)
    assert (times_s[0], times_s[-1]) == (pytest.approx(0.0, abs=1e-6), end_s)
    assert len(times_s) <= cap
    assert max(gaps_s(times_s), default=0.0) <= plan.allowed_gap_s + 1e-5
    assert plan.allowed_gap_s == pytest.approx(plan.step_s * (1.25 if mode == "economical" else 1.0))


@given(keys, st.floats(0, 30), intervals, st.sampled_from(["exact", "economical"]))
def test_every_moment_belongs_to_the_last_keyframe_before_it_and_every_group_comes_once(
    keys_s, rest_s, interval_s, mode
):
    end_s = keys_s[-1] + rest_s
    plan = plan_video(ListedKeyTimes(keys_s), end_s, SamplingPolicy(mode, interval_s))
    assert len({group.key_s for group in plan.groups}) == len(plan.groups)
    for group in plan.groups:
        assert group.moments_s == tuple(sorted(group.moments_s))
        for moment_s in group.moments_s:
            assert group.key_s == max(key_s for key_s in keys_s if key_s <= moment_s + 1e-6)


def test_economical_takes_keyframes_alone_where_they_are_dense_enough():
    keys_s = [index * 5.12 for index in range(20)]
    plan = plan_video(ListedKeyTimes(keys_s), 97.28, SamplingPolicy("economical", 5.0))
    assert wanted_s(plan) == pytest.approx(keys_s)
    assert all(group.moments_s == (group.key_s,) for group in plan.groups)


def test_economical_stays_early_in_long_groups():
    keys_s = [0.0, 10.0, 20.0]
    plan = plan_video(ListedKeyTimes(keys_s), 20.0, SamplingPolicy("economical", 5.0))
    assert wanted_s(plan) == pytest.approx([0.0, 3.75, 10.0, 13.75, 20.0])


def test_economical_keeps_the_slack_below_its_longest_gap():
    plan = plan_video(ListedKeyTimes([0.0, 10.0]), 20.0, SamplingPolicy("economical", 5.0), slack_s=0.25)
    assert max(gaps_s(wanted_s(plan))) <= 6.0


def test_one_keyframe_makes_one_group_of_everything():
    plan = plan_video(ListedKeyTimes([0.0]), 7200.0, SamplingPolicy())
    assert [group.key_s for group in plan.groups] == [0.0]
    assert len(plan.groups[0].moments_s) == 1000


def test_coarse_to_fine_visits_the_middle_second():
    keys_s = [float(index) for index in range(8)]
    plan = plan_video(ListedKeyTimes(keys_s), 7.0, SamplingPolicy(order="coarse_to_fine"))
    assert [group.key_s for group in plan.groups] == [0, 4, 2, 6, 1, 5, 3, 7]


def test_when_time_runs_out_keyframes_are_taken_evenly_from_the_rest():
    groups = [Group(float(index), (index + 0.5, index + 0.7)) for index in range(100)]
    left = keyframes_only(groups, 4)
    assert left == [Group(key_s, (key_s,)) for key_s in (0.0, 33.0, 66.0, 99.0)]


@pytest.mark.parametrize(
    ("format_name", "remote", "order"),
    [
        ("Matroska", False, "coarse_to_fine"),
        ("MP4", False, "coarse_to_fine"),
        ("Ogg", False, "coarse_to_fine"),
        ("MPEG-PS", False, "coarse_to_fine"),
        ("MPEG-TS", False, "sequential"),
        ("AVI", False, "sequential"),
        ("Matroska", True, "sequential"),
    ],
)
def test_films_are_met_from_coarse_to_fine_where_seeking_is_exact_and_bytes_are_at_hand(
    format_name, remote, order
):
    assert usual_order(format_name, remote=remote) == order

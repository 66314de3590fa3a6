"""Scores that lie near enough are let through, all others are not, and what is no number never is."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from classifier.engines.drift import FP32_MAX, INT8_MEAN, measure, refusal, repeated_refusal
from classifier.engines.values import DriftReport, Precision

THRESHOLDS = {"cautious": 0.95, "balanced": 0.8, "sensitive": 0.5}
scores = st.floats(0, 1, width=32)
pairs = st.lists(st.tuples(scores, scores), min_size=1, max_size=300)


def spread(size: int) -> np.ndarray:
    """Scores over the whole range, none of them at a threshold."""
    return (np.arange(size) + 0.5) / size


def report(**values: object) -> DriftReport:
    sound = {"pictures": 600, "positives": 60, "mean": 0.0, "p99": 0.0, "max": 0.0}
    return DriftReport(**{**sound, "decisions_changed": {"balanced": 0.0}, **values})  # type: ignore[arg-type]


@given(pairs)
def test_a_report_holds_together(compared: list[tuple[float, float]]) -> None:
    wanted, got = np.array(compared).T
    found = measure(wanted, got, THRESHOLDS)
    assert found.pictures == len(compared)
    assert 0 <= found.mean <= found.max * (1 + 1e-12)
    assert found.p99 <= found.max
    assert found.max == pytest.approx(max(abs(one - other) for one, other in compared))
    assert found.positives == sum(one >= 0.5 for one, _ in compared)
    for level, threshold in THRESHOLDS.items():
        changed = sum((one >= threshold) != (other >= threshold) for one, other in compared)
        assert found.decisions_changed[level] == pytest.approx(changed / len(compared))


@given(pairs)
def test_the_order_of_the_two_sides_and_of_the_pictures_changes_no_difference(
    compared: list[tuple[float, float]],
) -> None:
    wanted, got = np.array(compared).T
    found, back = measure(wanted, got, THRESHOLDS), measure(got[::-1], wanted[::-1], THRESHOLDS)
    assert (found.p99, found.max, found.decisions_changed) == (back.p99, back.max, back.decisions_changed)
    assert found.mean == pytest.approx(back.mean)


@given(st.lists(scores, min_size=1), st.sampled_from(["fp32", "int8"]))
def test_equal_scores_do_not_drift(equal: list[float], precision: Precision) -> None:
    found = measure(equal, equal, THRESHOLDS)
    assert (found.mean, found.p99, found.max) == (0, 0, 0)
    assert set(found.decisions_changed.values()) == {0}
    assume(precision == "fp32" or (found.pictures >= 32 and found.positives >= 4))
    assert refusal(precision, found) == ""


@given(
    st.integers(1, 600),
    st.data(),
    st.sampled_from([math.nan, math.inf, -math.inf]),
    st.sampled_from(["fp32", "int8"]),
    st.booleans(),
)
def test_one_score_that_is_no_number_refuses_any_engine(
    size: int, data: st.DataObject, bad: float, precision: Precision, in_reference: bool
) -> None:
    wanted, got = spread(size), spread(size)
    (wanted if in_reference else got)[data.draw(st.integers(0, size - 1))] = bad
    found = measure(wanted, got, THRESHOLDS)
    assert all(math.isnan(value) for value in (found.mean, found.p99, found.max))
    assert found.decisions_changed["balanced"] == pytest.approx(1 / size)
    assert "no probabilities" in refusal(precision, found)


def test_a_decision_is_made_as_the_bot_makes_it() -> None:
    # As float32, 0.95 lies below 0.95, so a score of that value is not flagged.
    below = np.array([0.95], np.float32)
    for wanted, got in ((below, [0.951]), ([0.951], below)):
        assert measure(wanted, got, {"balanced": 0.95}).decisions_changed["balanced"] == 1


@pytest.mark.parametrize(
    ("wanted", "got"), [([], []), ([0.1], [0.1, 0.2]), ([[0.1]], [[0.1]]), ([0.1, 0.2], [0.1])]
)
def test_what_cannot_be_compared_is_an_error(wanted: list[float], got: list[float]) -> None:
    with pytest.raises(ValueError, match="cannot compare"):
        measure(wanted, got, THRESHOLDS)


@pytest.mark.parametrize(("apart", "fits"), [(FP32_MAX, True), (FP32_MAX * 1.01, False)])
def test_fp32_is_held_to_its_largest_difference(apart: float, fits: bool) -> None:
    assert (refusal("fp32", report(max=apart)) == "") is fits


def test_fp32_needs_no_large_set() -> None:
    assert refusal("fp32", report(pictures=1, positives=0)) == ""


@pytest.mark.parametrize(("mean", "fits"), [(INT8_MEAN * 0.99, True), (INT8_MEAN, False)])
def test_int8_is_held_to_its_mean_difference(mean: float, fits: bool) -> None:
    assert (refusal("int8", report(mean=mean, max=0.3)) == "") is fits


@pytest.mark.parametrize(
    ("pictures", "changed", "fits"),
    [
        *[(48, 1, True), (48, 2, False), (399, 1, True), (399, 2, False), (500, 2, True), (500, 3, False)],
        *[(600, 3, True), (600, 4, False), (1000, 5, True), (1000, 6, False)],
    ],
)
def test_int8_may_change_one_decision_in_two_hundred_and_one_of_a_small_set(
    pictures: int, changed: int, fits: bool
) -> None:
    wanted = spread(pictures)
    got = wanted.copy()
    below = np.flatnonzero(wanted < 0.8)[-changed:]
    got[below] = 0.8 + 1e-6
    found = measure(wanted, got, THRESHOLDS)
    assert found.mean < INT8_MEAN
    assert (refusal("int8", found) == "") is fits


@given(st.integers(32, 5000), st.integers(0, 5000))
def test_more_changed_decisions_are_never_better(pictures: int, changed: int) -> None:
    assume(changed < pictures)
    fewer, more = (
        refusal("int8", report(pictures=pictures, decisions_changed={"balanced": number / pictures}))
        for number in (changed, changed + 1)
    )
    assert more or not fewer


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"pictures": 31}, "on 31 pictures with 60 positives"),
        ({"positives": 3}, "on 600 pictures with 3 positives"),
        ({"decisions_changed": {"cautious": 0.0}}, "`balanced` were not compared"),
        ({"decisions_changed": {"balanced": math.nan}}, "decisions at `balanced` changed"),
        ({"mean": math.nan}, "in the mean"),
    ],
)
def test_a_report_that_proves_nothing_refuses_int8(values: dict[str, object], reason: str) -> None:
    assert reason in refusal("int8", report(**values))


def _small(mean: float, changed: float = 0.0) -> DriftReport:
    return DriftReport(48, 20, mean, 0.1, 0.2, {"balanced": changed})


@pytest.mark.parametrize(
    ("report", "accepted"),
    [
        (_small(0.016), True),
        (_small(0.023), True),
        (_small(0.025), False),
        (_small(float("nan")), False),
        (_small(0.016, changed=2 / 48), True),
        (_small(0.016, changed=3 / 48), False),
    ],
)
def test_another_machine_has_to_repeat_what_int8_did_at_export(report: DriftReport, accepted: bool) -> None:
    at_export = _small(0.016, changed=1 / 48)
    assert (repeated_refusal("int8", report, at_export) == "") is accepted


def test_a_mean_within_the_bound_of_the_large_set_needs_no_repetition() -> None:
    assert repeated_refusal("int8", _small(0.0049), _small(0.001)) == ""


def test_fp32_is_held_to_its_own_bound_on_every_machine() -> None:
    report = DriftReport(48, 20, 1e-5, 1e-4, 2e-4, {"balanced": 0.0})
    assert repeated_refusal("fp32", report, report)

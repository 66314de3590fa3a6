"""Thresholds from a precision or a budget, and the sentences with which too little feedback is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.threshold_choice import TooLittleFeedback, for_budget, for_precision, levels_with

LEVELS = ("cautious", "balanced", "sensitive")


def calibrated(count: int = 4000, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Scores that are chances, and labels drawn with them."""
    rng = np.random.default_rng(seed)
    scores = rng.random(count)
    return scores, (rng.random(count) < scores).astype(float)


def test_the_threshold_for_a_precision_is_where_the_flags_reach_it() -> None:
    scores, labels = calibrated()
    found = for_precision(scores, labels, np.ones(len(scores)), 0.8)
    assert found.threshold == pytest.approx(0.6, abs=0.06)  # the mean of 0.6..1 is 0.8
    assert found.precision.low < 0.8 < found.precision.high


def test_a_weighted_sample_gives_the_threshold_of_all_uploads() -> None:
    scores, labels = calibrated(20_000)
    rng = np.random.default_rng(4)
    chances = np.where(labels == 1, 0.5, 0.1)  # a reviewer who prefers the explicit ones, with known chances
    drawn = rng.random(len(scores)) < chances
    weighted = for_precision(scores[drawn], labels[drawn], chances[drawn], 0.8)
    naive = for_precision(scores[drawn], labels[drawn], np.ones(int(drawn.sum())), 0.8)
    assert weighted.threshold == pytest.approx(0.6, abs=0.06)
    assert naive.threshold < 0.45


def test_too_few_labels_are_refused_with_their_number() -> None:
    with pytest.raises(TooLittleFeedback, match="only 10 items"):
        for_precision([0.5] * 60, [1.0] * 10 + [float("nan")] * 50, [1.0] * 60, 0.5)


def test_a_precision_out_of_reach_is_refused_with_the_best() -> None:
    scores, labels = calibrated()
    with pytest.raises(TooLittleFeedback, match="no threshold reaches a precision of 100%"):
        for_precision(scores, labels * (scores < 0.95), np.ones(len(scores)), 0.999)


def test_a_budget_is_not_overdrawn() -> None:
    scores, labels = calibrated()
    highest = np.sort(scores)[::-1].tolist()
    found = for_budget(scores, labels, np.ones(len(scores)), highest, days=10, per_day=40)
    assert found.flags_per_day == pytest.approx(40)
    assert found.threshold == pytest.approx(0.9, abs=0.02)


def test_equal_scores_at_the_edge_of_the_budget_are_left_out() -> None:
    _scores, labels = calibrated(60)
    highest = [0.99] * 30 + [0.5] * 100
    found = for_budget(np.full(60, 0.995), labels, np.ones(60), highest, days=1, per_day=50)
    assert found.flags_per_day == 30


def test_a_budget_needs_a_day_of_scores() -> None:
    scores, labels = calibrated(60)
    with pytest.raises(TooLittleFeedback, match=r"as come in 0\.5 days"):
        for_budget(scores, labels, np.ones(60), [0.9], days=0.5, per_day=50)


@given(st.sampled_from(LEVELS), st.floats(0.01, 0.99))
def test_levels_never_contradict_each_other(level: str, value: float) -> None:
    found = levels_with({"cautious": 0.95, "balanced": 0.8, "sensitive": 0.5}, level, value, LEVELS)
    assert found[level] == value
    assert found["cautious"] >= found["balanced"] >= found["sensitive"]

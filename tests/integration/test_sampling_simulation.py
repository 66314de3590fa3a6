"""A short version of `benchmarks.sampling`: the estimates hold the truth, or say that they cannot."""

import numpy as np
import pytest

from benchmarks.sampling import BUDGET, estimates, everybody, labels_needed, random_widths, review, world
from storage.sampling import Stratum

pytestmark = pytest.mark.slow

UPLOADS, DAYS, LIVES = 1_000_000, 20, 60


def test_intervals_hold_the_truth_with_fewer_labels_than_simple_random_sampling() -> None:
    one = world(UPLOADS)
    reviews = review([one], LIVES, days=DAYS)
    found = [estimates([one], reviews, life) for life in range(LIVES)]
    truth = one.truth()

    assert reviews.chosen_a_day.max() <= BUDGET
    for measure in ("precision", "recall"):
        ours = [getattr(estimate, measure) for estimate in found]
        held = np.mean([each.low <= truth[measure] <= each.high for each in ours])
        assert held >= 0.85
        errors = np.array([each.value for each in ours]) - truth[measure]
        assert abs(errors.mean()) < 4 * errors.std() / LIVES**0.5
    width = float(np.mean([each.recall.high - each.recall.low for each in found]))
    labels = [1000, 3000, 10_000]
    needed = labels_needed(width, labels, random_widths(one, labels, 5))
    assert reviews.labelled.sum(axis=(1, 2)).mean() < 0.8 * needed


def only_high(_day: int, stratum: Stratum) -> float:
    return float(stratum.low >= 0.5)


def test_a_reviewer_who_only_looks_at_high_scores_leaves_recall_unknown() -> None:
    one = world(UPLOADS)
    reviews = review([one], 5, days=DAYS, answers=only_high)

    for life in range(5):
        found = estimates([one], reviews, life)
        assert found.recall.value is None
        assert found.precision.value is not None
        assert found.reasons


def test_what_people_answer_less_often_is_still_counted_in_full() -> None:
    one = world(UPLOADS)
    reviews = review([one], 20, days=DAYS, answers=lambda _day, stratum: 0.3 + 0.6 * stratum.low)
    whole = review([one], 20, days=DAYS, answers=everybody)

    found = [estimates([one], reviews, life).recall.value for life in range(20)]
    assert None not in found
    values = np.array(found, dtype=np.float64)
    assert abs(values.mean() - one.truth()["recall"]) < 4 * values.std() / 20**0.5
    assert reviews.labelled.sum() < whole.labelled.sum()

"""Both models flag equally many: what the second finds then does not depend on anybody's threshold."""

import numpy as np
import pytest

from storage.equal_load import flags_at_load
from storage.paired_estimates import Paired, compare

ONES = np.ones(4)


def test_the_highest_scores_are_flagged_until_the_load_is_reached() -> None:
    assert flags_at_load([0.1, 0.9, 0.5, 0.7], ONES, 2).tolist() == [0.0, 1.0, 0.0, 1.0]


def test_equal_scores_share_what_is_left_of_the_load() -> None:
    assert flags_at_load([0.9, 0.9, 0.9, 0.9], ONES, 1).tolist() == [0.25] * 4


def test_an_item_that_stands_for_many_is_flagged_in_part() -> None:
    found = flags_at_load([0.9, 0.8, 0.1], [1.0, 0.01, 1.0], 51)
    assert found.tolist() == [1.0, 0.5, 0.0]


def test_nothing_and_everything() -> None:
    assert flags_at_load([0.9, 0.1], [1.0, 1.0], 0).tolist() == [0.0, 0.0]
    assert flags_at_load([0.9, 0.1], [1.0, 1.0], 9).tolist() == [1.0, 1.0]
    assert flags_at_load([], [], 3).tolist() == []


@pytest.mark.parametrize("seed", range(5))
def test_the_same_ranking_finds_the_same_whatever_its_scores_are_called(seed: int) -> None:
    """A model that says the same with other numbers, from another threshold, is no better and no worse."""
    rng = np.random.default_rng(seed)
    scores = rng.permutation(400) / 400
    labels = (rng.random(400) < scores**3).astype(np.float64)
    probabilities = np.where(scores > 0.7, 1.0, 0.2)
    first = scores >= 0.8
    second = flags_at_load(scores**4, probabilities, float((1 / probabilities)[first].sum()))
    found = compare(Paired(first, second, labels, probabilities)).recall_at_load
    assert found.value == pytest.approx(0, abs=1e-12)
    assert found.low == pytest.approx(0, abs=1e-12)


def test_a_better_ranking_finds_more_although_it_flags_less_by_its_own_threshold() -> None:
    rng = np.random.default_rng(1)
    labels = (np.arange(600) % 4 == 0).astype(np.float64)
    poor, good = labels + rng.normal(0, 1.5, 600), labels + rng.normal(0, 0.3, 600)
    probabilities = np.full(600, 0.5)
    first = poor > 0.5
    strict = compare(Paired(first, good > 1.2, labels, probabilities))
    assert strict.recall.high < 0
    load = float((1 / probabilities)[first].sum())
    fair = compare(Paired(first, flags_at_load(good, probabilities, load), labels, probabilities))
    assert fair.recall_at_load.low > 0.1

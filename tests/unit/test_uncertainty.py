"""What to ask about next: probabilities that spend a budget, favour doubt, and leave estimates right."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.uncertainty import inclusion_probabilities, uncertainty


def test_nothing_is_less_certain_than_the_threshold() -> None:
    found = uncertainty([0.1, 0.5, 0.7, 0.8, 0.9], 0.8)
    assert int(np.argmax(found)) == 3
    assert found[3] == pytest.approx(1.0)


def test_disagreement_counts_and_a_missing_score_does_not() -> None:
    alone, both = uncertainty([0.2, 0.2], 0.5), uncertainty([0.2, 0.2], 0.5, [0.9, float("nan")])
    assert both[0] == pytest.approx(alone[0] + 0.7)
    assert both[1] == pytest.approx(alone[1])


@given(st.lists(st.floats(0, 2), min_size=1, max_size=60), st.floats(0.1, 80))
def test_probabilities_spend_the_budget_and_leave_nobody_out(unsure: list[float], budget: float) -> None:
    found = inclusion_probabilities(unsure, budget)
    assert found.sum() == pytest.approx(min(budget, len(unsure)))
    assert ((found > 0) & (found <= 1)).all()


def test_a_weighted_mean_of_what_was_drawn_is_that_of_all() -> None:
    rng = np.random.default_rng(5)
    scores = rng.random(20_000) * 0.8
    labels = rng.random(20_000) < scores**3
    chances = inclusion_probabilities(uncertainty(scores, 0.8), 3000)
    means = []
    for _ in range(50):
        drawn = rng.random(20_000) < chances
        means.append((labels[drawn] / chances[drawn]).sum() / 20_000)
    assert np.mean(means) == pytest.approx(labels.mean(), rel=0.02)


def test_without_a_budget_there_are_no_probabilities() -> None:
    with pytest.raises(ValueError, match="budget"):
        inclusion_probabilities([0.5], 0)

"""Temperature scaling and reliability."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classifier.evaluation.calibration import (
    apply_temperature,
    expected_calibration_error,
    fit_temperature,
    reliability,
)
from classifier.evaluation.errors import EvaluationError
from classifier.evaluation.metrics import ECE_BINS, MEASURES, Measures, roc_auc

SCORES = st.lists(st.floats(0, 1, width=32), min_size=1, max_size=50)


def honest(items: int, sharpness: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Scores that mean what they say, made too sure by a known factor."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 2, items)
    labels = random.random(items) < 1 / (1 + np.exp(-logits))
    return 1 / (1 + np.exp(-logits * sharpness)), labels


@pytest.mark.parametrize("sharpness", [0.4, 1.0, 3.0])
def test_a_known_overconfidence_is_found_and_undone(sharpness) -> None:
    scores, labels = honest(8000, sharpness)
    temperature = fit_temperature(scores, labels)
    assert temperature.fitted
    assert temperature.value == pytest.approx(sharpness, rel=0.08)
    calibrated = apply_temperature(scores, temperature.value)
    assert expected_calibration_error(calibrated, labels) < 0.03
    if sharpness != 1:
        assert expected_calibration_error(scores, labels) > 0.06


def test_no_other_temperature_has_less_loss() -> None:
    scores, labels = honest(300, 2.0)
    best = fit_temperature(scores, labels).value

    def loss(temperature: float) -> float:
        figures = Measures(apply_temperature(scores, temperature), labels, 0.5)(np.ones((1, len(scores))))
        return float(figures[0, MEASURES.index("log_loss")])

    assert loss(best) < min(loss(best * 1.01), loss(best / 1.01))


@settings(max_examples=60, deadline=None)
@given(SCORES, st.floats(0.05, 20))
def test_calibrating_never_turns_two_scores_around(scores, temperature) -> None:
    calibrated = apply_temperature(scores, temperature)
    assert (np.diff(calibrated[np.argsort(scores)]) >= 0).all()
    assert ((calibrated >= 0) & (calibrated <= 1)).all()


def test_calibrating_leaves_the_area_as_it_is() -> None:
    scores, labels = honest(500, 2.0)
    assert roc_auc(apply_temperature(scores, 1.7), labels) == roc_auc(scores, labels)


@pytest.mark.parametrize(
    ("scores", "labels", "note"),
    [
        ([0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1], "without error"),
        ([0.1, 0.2, 0.8, 0.9], [1, 1, 0, 0], "do not rise with the truth"),
        ([0.5, 0.5], [0, 1], "do not rise with the truth"),
        ([0.2, 0.9], [1, 1], "one class alone"),
    ],
)
def test_a_set_without_a_best_temperature_gets_none(scores, labels, note) -> None:
    temperature = fit_temperature(scores, labels)
    assert (temperature.value, temperature.fitted) == (1.0, False)
    assert note in temperature.note


def test_a_temperature_of_one_changes_no_bit() -> None:
    scores = np.array([0.0, 1e-12, 0.3, 1.0])
    assert apply_temperature(scores, 1.0).tolist() == scores.tolist()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=50), st.integers(1, 20))
def test_bins_hold_every_item_once(items, bins) -> None:
    scores, labels = zip(*items, strict=True)
    for how in ("width", "mass"):
        parts = reliability(scores, labels, bins=bins, how=how)
        assert sum(part.items for part in parts) == len(items)
        assert (parts[0].low, parts[-1].high) == (0.0, 1.0)
        for part in parts:
            if part.mean_score is not None:
                assert part.low - 1e-9 <= part.mean_score <= part.high + 1e-9


def test_bins_of_equal_mass_are_equally_full() -> None:
    scores = np.linspace(0, 1, 1000) ** 4
    assert {part.items for part in reliability(scores, scores > 0.5, bins=10, how="mass")} <= set(
        range(98, 103)
    )


def test_the_error_is_the_weighted_gap() -> None:
    # Three items at 0.2 of which one is positive, one at 0.9 that is none.
    assert expected_calibration_error([0.2, 0.2, 0.2, 0.9], [1, 0, 0, 0]) == pytest.approx(
        (3 * abs(0.2 - 1 / 3) + 1 * 0.9) / 4
    )


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1, width=32), st.booleans()), min_size=2, max_size=50))
def test_the_bootstrap_measures_the_same_error(items) -> None:
    scores, labels = (np.array(column) for column in zip(*items, strict=True))
    edges = np.abs(scores * ECE_BINS - np.round(scores * ECE_BINS)) < 1e-9
    scores = np.where(edges & (scores > 0) & (scores < 1), 0.51, scores)
    figures = Measures(scores, labels, 0.5)(np.ones((1, len(scores))))[0]
    assert figures[MEASURES.index("ece")] == pytest.approx(expected_calibration_error(scores, labels))


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf")])
def test_a_temperature_has_to_be_over_zero(temperature) -> None:
    with pytest.raises(EvaluationError, match="lies over 0"):
        apply_temperature([0.5], temperature)


def test_calibration_needs_probabilities() -> None:
    with pytest.raises(EvaluationError, match="0 to 1"):
        fit_temperature([-3.0, 4.0], [0, 1])

"""Paired, weighted differences between two models: the arithmetic, and how often intervals hold the truth."""

import numpy as np
import pytest

from storage.paired_estimates import Paired, compare, weights_of


def paired(first: str, second: str, labels: str, probabilities: list[float] | None = None) -> Paired:
    known = {"1": 1.0, "0": 0.0, "?": np.nan}
    return Paired(
        np.array([c == "1" for c in first]),
        np.array([c == "1" for c in second]),
        np.array([known[c] for c in labels]),
        np.array(probabilities or [1.0] * len(labels)),
    )


def test_the_measures_are_those_of_the_weighted_table() -> None:
    found = compare(paired("1100", "1010", "1010", [1.0, 1.0, 0.1, 1.0]))
    assert found.precision.first == pytest.approx(1 / 2)
    assert found.precision.second == pytest.approx(1.0)
    assert found.recall.first == pytest.approx(1 / 11)
    assert found.recall.second == pytest.approx(1.0)
    assert found.f1.first == pytest.approx(2 / (2 + 11))
    assert found.f1.value == pytest.approx(1 - 2 / 13)
    assert (found.labelled, found.positives, found.unlike, found.unlabelled) == (4, 2, 2, 0)


def test_the_same_answers_differ_by_exactly_nothing() -> None:
    answers = "1100110010" * 5
    found = compare(paired(answers, answers, "1010101010" * 5))
    assert (found.f1.low, found.f1.value, found.f1.high) == (0, 0, 0)


def test_exchanging_the_models_mirrors_the_interval_of_the_difference() -> None:
    first, second, labels = "1100110011" * 6, "1010101001" * 6, "1010101010" * 6
    there, back = compare(paired(first, second, labels)), compare(paired(second, first, labels))
    assert there.f1.value == pytest.approx(-(back.f1.value or 0))
    assert there.f1.low == pytest.approx(-back.f1.high, abs=0.03)


def test_what_has_no_label_is_made_up_for_within_its_stratum() -> None:
    labels = np.array([1.0, np.nan, 0.0, 0.0])
    weights = weights_of(labels, np.array([0.5, 0.5, 1.0, 1.0]), np.array(["low", "low", "high", "high"]))
    assert weights.tolist() == [4.0, 0.0, 1.0, 1.0]


def test_without_labels_nothing_is_known() -> None:
    found = compare(paired("10", "01", "??"))
    assert found.f1.value is None
    assert (found.f1.low, found.f1.high) == (-1.0, 1.0)


def test_a_model_that_flags_nothing_has_no_precision_and_no_recall_to_boast_of() -> None:
    found = compare(paired("1100", "0000", "1010"))
    assert found.precision.second is None
    assert found.precision.value is None
    assert found.recall.second == 0.0


def test_a_probability_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="inclusion probability"):
        compare(paired("1", "1", "1", [0.0]))


def test_more_items_of_the_same_kind_narrow_the_interval() -> None:
    small = compare(paired("1100" * 10, "1010" * 10, "1011" * 10))
    large = compare(paired("1100" * 1000, "1010" * 1000, "1011" * 1000))
    assert large.f1.high - large.f1.low < (small.f1.high - small.f1.low) / 4


def _population(rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, and two models' scores of which the second is somewhat better."""
    labels = rng.random(size) < 0.05
    signal = labels * 2.0
    return labels, signal + rng.normal(0, 1.0, size), signal + rng.normal(0, 0.8, size)


@pytest.mark.parametrize("measure", ["precision", "recall", "f1"])
def test_intervals_hold_the_true_difference_about_as_often_as_they_say(measure: str) -> None:
    rng = np.random.default_rng(7)
    labels, score_a, score_b = _population(rng, 40_000)
    first, second = score_a > 1.8, score_b > 1.8
    everything = Paired(first, second, labels.astype(float), np.ones(len(labels)))
    truth = getattr(compare(everything, resamples=10), measure).value
    strata = np.where(first, "flagged", np.where(score_a > 0.8, "near", "rest"))
    chances = np.select([strata == "flagged", strata == "near"], [0.3, 0.08], 0.02)
    held, repetitions = 0, 120
    for _ in range(repetitions):
        drawn = rng.random(len(labels)) < chances
        sample = Paired(
            first[drawn], second[drawn], labels[drawn].astype(float), chances[drawn], strata[drawn]
        )
        found = getattr(compare(sample, resamples=400), measure)
        held += found.low <= truth <= found.high
    assert 0.90 <= held / repetitions <= 1.0

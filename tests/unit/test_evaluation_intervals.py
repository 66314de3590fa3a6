"""Intervals: of shares, of ratios, of precision at a prevalence, and by drawing anew."""

import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classifier.evaluation.bootstrap import Sampling, intervals
from classifier.evaluation.errors import EvaluationError
from classifier.evaluation.metrics import MEASURES, Confusion, Measures
from classifier.evaluation.prevalence import WHY, at_prevalence, precision_at
from classifier.evaluation.proportions import NOTHING, Estimate, difference, ratio, wilson

COUNTS = st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


def drawn_set(items: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    labels = np.arange(items) % 2 == 0
    return 1 / (1 + np.exp(-random.normal(np.where(labels, 0.8, -0.8), 1))), labels


def mean_of(values: np.ndarray):
    return lambda weights: (weights @ values / weights.sum(axis=1))[:, None]


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(20, 20, 0.8389, 1.0), (0, 10, 0.0, 0.2775), (15, 50, 0.1910, 0.4375)],
)
def test_wilson_gives_the_published_limits(successes, trials, low, high) -> None:
    estimate = wilson(successes, trials)
    assert (estimate.low, estimate.high) == pytest.approx((low, high), abs=1e-4)


def test_newcombe_gives_the_published_limits() -> None:
    # Newcombe 1998, table II, (a) 56/70 - 48/80 and (c) 5/56 - 0/29, method 10.
    wide = difference(wilson(56, 70), wilson(48, 80))
    assert (wide.value, wide.low, wide.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=1e-4)
    rare = difference(wilson(5, 56), wilson(0, 29))
    assert (rare.low, rare.high) == pytest.approx((-0.0381, 0.1926), abs=1e-4)


@settings(max_examples=100, deadline=None)
@given(COUNTS, COUNTS)
def test_intervals_hold_their_figures(one, other) -> None:
    first, second = wilson(*one), wilson(*other)
    for estimate in (first, second, difference(first, second), ratio(first, second)):
        if estimate.value is not None:
            assert estimate.low <= estimate.value <= estimate.high


@settings(max_examples=100, deadline=None)
@given(COUNTS.filter(lambda count: count[0] > 0), COUNTS.filter(lambda count: count[0] > 0))
def test_a_ratio_turned_around_has_the_interval_turned_around(one, other) -> None:
    straight, turned = ratio(wilson(*one), wilson(*other)), ratio(wilson(*other), wilson(*one))
    assert 1 / turned.high == pytest.approx(straight.low)
    assert 1 / turned.low == pytest.approx(straight.high)


def test_nothing_tried_says_nothing() -> None:
    assert wilson(0, 0) == NOTHING
    assert difference(NOTHING, wilson(1, 2)) == Estimate(None, -1.0, 1.0)
    with pytest.raises(EvaluationError, match="3 of 2"):
        wilson(3, 2)


def test_four_of_five_flags_are_wrong_at_one_percent() -> None:
    """The example of `prevalence.WHY`: everything is found, 3.7 % of the rest is flagged too."""
    counts = Confusion(1000, 37, 0, 963)
    rare = at_prevalence(counts, 0.01)
    assert rare.precision.value == pytest.approx(0.214, abs=5e-4)
    assert 1 - rare.precision.value == pytest.approx(4 / 5, abs=0.02)
    assert rare.wrong_flags_per_1000 == pytest.approx(36.63)
    assert "four of five" in WHY


def test_precision_at_the_sets_own_prevalence_is_its_precision() -> None:
    counts = Confusion(80, 30, 20, 170)
    assert precision_at(counts, 100 / 300).value == pytest.approx(80 / 110)


def test_precision_rises_with_the_prevalence() -> None:
    found = [precision_at(Confusion(80, 3, 20, 97), share) for share in (0.001, 0.01, 0.1, 0.5, 0.9)]
    for one, other in itertools.pairwise(found):
        assert one.value < other.value
        assert one.low < other.low
        assert one.high < other.high


def test_no_false_alarm_on_a_small_set_promises_little() -> None:
    estimate = precision_at(Confusion(50, 0, 0, 50), 0.01)
    assert estimate.value == estimate.high == 1.0
    assert estimate.low < 0.15


def test_precision_without_flags_may_be_anything() -> None:
    assert precision_at(Confusion(0, 0, 10, 10), 0.01) == NOTHING
    assert precision_at(Confusion(0, 5, 10, 5), 0.01).value == 0.0


@pytest.mark.parametrize("prevalence", [0.0, 1.0, -0.1, float("nan")])
def test_a_prevalence_lies_between_none_and_all(prevalence) -> None:
    with pytest.raises(EvaluationError, match="prevalence"):
        precision_at(Confusion(1, 1, 1, 1), prevalence)


def test_the_interval_of_precision_covers_the_truth() -> None:
    random, prevalence = np.random.default_rng(3), 0.01
    truth = 0.01 * 0.9 / (0.01 * 0.9 + 0.99 * 0.05)
    covered = 0
    for hits, alarms in zip(random.binomial(100, 0.9, 600), random.binomial(200, 0.05, 600), strict=True):
        found = precision_at(
            Confusion(int(hits), int(alarms), 100 - int(hits), 200 - int(alarms)), prevalence
        )
        covered += found.low <= truth <= found.high
    assert 0.92 <= covered / 600 <= 0.985


@pytest.mark.parametrize("method", ["bca", "percentile"])
def test_drawing_anew_gives_a_mean_its_textbook_interval(method) -> None:
    values = np.random.default_rng(1).normal(5, 2, 400)
    found = intervals(mean_of(values), Sampling(np.zeros(400, dtype=np.int64)), resamples=2000, method=method)
    half = 1.96 * values.std() / 20
    assert found.values[0] == pytest.approx(values.mean())
    assert (found.low[0], found.high[0]) == pytest.approx(
        (values.mean() - half, values.mean() + half), abs=half * 0.12
    )


def test_bca_agrees_with_scipy_where_data_are_skewed() -> None:
    from scipy import stats

    values = np.random.default_rng(2).exponential(1, 60)
    ours = intervals(mean_of(values), Sampling(np.zeros(60, dtype=np.int64)), resamples=8000)
    other = stats.bootstrap((values,), np.mean, n_resamples=8000, method="BCa", rng=0).confidence_interval
    assert (ours.low[0], ours.high[0]) == pytest.approx((other.low, other.high), abs=0.02)
    plain = intervals(
        mean_of(values), Sampling(np.zeros(60, dtype=np.int64)), resamples=8000, method="percentile"
    )
    assert ours.high[0] > plain.high[0] + 0.01


def test_the_interval_of_an_area_covers_the_truth() -> None:
    """Two normal distributions 1.6 apart: the area is known, Phi(1.6 / sqrt 2)."""
    place, covered = MEASURES.index("roc_auc"), 0
    for seed in range(60):
        scores, labels = drawn_set(120, seed)
        found = intervals(Measures(scores, labels, 0.5), Sampling.of(labels), resamples=200)
        covered += found.low[place] <= 0.8711 <= found.high[place]
    assert 52 <= covered <= 60


def test_draws_keep_the_size_of_every_class() -> None:
    labels = np.array([True] * 7 + [False] * 30)
    for weights in Sampling.of(labels).drawn(50, np.random.default_rng(0)):
        assert (weights[:, labels].sum(axis=1) == 7).all()
        assert (weights.sum(axis=1) == 37).all()


def test_items_of_a_cluster_are_drawn_together_and_widen_the_interval() -> None:
    random = np.random.default_rng(5)
    clusters = np.repeat(np.arange(40), 25)
    labels = clusters % 2 == 0
    right = np.repeat(random.random(40) < 0.7, 25)
    sampling = Sampling.of(labels, clusters)
    for weights in sampling.drawn(5, random):
        assert (weights.reshape(-1, 40, 25) == weights.reshape(-1, 40, 25)[:, :, :1]).all()
    together = intervals(mean_of(right * 1.0), sampling, resamples=400)
    alone = intervals(mean_of(right * 1.0), Sampling.of(labels), resamples=400)
    assert together.high[0] - together.low[0] > 3 * (alone.high[0] - alone.low[0])


def test_equal_seeds_give_equal_intervals() -> None:
    scores, labels = drawn_set(100, 0)
    one, same, other = (
        intervals(Measures(scores, labels, 0.5), Sampling.of(labels), resamples=100, seed=seed)
        for seed in (1, 1, 2)
    )
    assert one.low.tolist() == same.low.tolist()
    assert one.low.tolist() != other.low.tolist()


def test_an_undefined_figure_has_no_interval_and_is_counted() -> None:
    scores, labels = drawn_set(40, 0)
    found = intervals(Measures(scores, labels, 1.0), Sampling.of(labels), resamples=50)
    place = MEASURES.index("precision")
    assert found.undefined[place] == 50
    assert np.isnan([found.values[place], found.low[place], found.high[place]]).all()


def test_a_perfect_classifier_leaves_nothing_to_spread() -> None:
    labels = np.arange(40) % 2 == 0
    found = intervals(Measures(np.where(labels, 0.9, 0.1), labels, 0.5), Sampling.of(labels), resamples=50)
    place = MEASURES.index("roc_auc")
    assert (found.low[place], found.values[place], found.high[place]) == (1.0, 1.0, 1.0)


def test_a_thousand_resamples_of_twenty_thousand_items_stay_in_little_memory() -> None:
    """All weights at once would take 160 MB."""
    scores, labels = drawn_set(20_000, 0)
    tracemalloc.start()
    try:
        intervals(Measures(scores, labels, 0.5), Sampling.of(labels), resamples=1000)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 48 << 20


@pytest.mark.parametrize(("resamples", "confidence"), [(19, 0.95), (100, 1.0), (100, 0.0)])
def test_intervals_need_draws_and_a_confidence(resamples, confidence) -> None:
    labels = np.array([True, False])
    with pytest.raises(EvaluationError, match="give no interval"):
        intervals(mean_of(np.ones(2)), Sampling.of(labels), resamples=resamples, confidence=confidence)

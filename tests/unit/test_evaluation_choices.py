"""Thresholds, comparisons of two models and groups."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from classifier.evaluation.compare import mcnemar, paired, turned
from classifier.evaluation.errors import EvaluationError, Unreachable
from classifier.evaluation.groups import UNKNOWN, group_table
from classifier.evaluation.metrics import confusion
from classifier.evaluation.prevalence import at_prevalence, precision_at
from classifier.evaluation.scored import Scored, scored
from classifier.evaluation.thresholds import for_budget, for_precision

SETS = st.integers(0, 10_000).map(lambda seed: drawn(60, seed, ties=seed % 2 == 0))


def drawn(items: int, seed: int = 0, apart: float = 1.0, *, ties: bool = False) -> Scored:
    random = np.random.default_rng(seed)
    labels = np.arange(items) % 3 == 0
    scores = 1 / (1 + np.exp(-random.normal(np.where(labels, apart, -apart), 1)))
    return scored(scores.round(1) if ties else scores, labels)


@settings(max_examples=50, deadline=None)
@given(SETS, st.floats(0.05, 0.9), st.floats(0.01, 0.6))
def test_a_threshold_for_a_precision_is_the_lowest_that_reaches_it(part, target, prevalence) -> None:
    reaching = [
        threshold
        for threshold in np.unique(part.scores)
        if precision_at(confusion(part.scores, part.labels, threshold), prevalence).value >= target - 1e-12
    ]
    if reaching:
        choice = for_precision(part.scores, part.labels, target=target, prevalence=prevalence)
        assert choice.threshold == min(reaching)
        counts = confusion(part.scores, part.labels, choice.threshold)
        assert choice.precision == pytest.approx(precision_at(counts, prevalence).value)
        assert choice.recall == counts.true_positives / counts.positives


@settings(max_examples=50, deadline=None)
@given(SETS, st.floats(1, 900), st.floats(0.01, 0.6))
def test_a_threshold_for_a_budget_flags_as_much_as_it_allows(part, budget, prevalence) -> None:
    flags = {
        threshold: at_prevalence(confusion(part.scores, part.labels, threshold), prevalence).flags_per_1000
        for threshold in np.unique(part.scores)
    }
    affordable = [threshold for threshold, count in flags.items() if count <= budget * (1 + 1e-12)]
    limits = {"reviews_per_day": budget, "uploads_per_day": 1000, "prevalence": prevalence}
    if affordable:
        assert for_budget(part.scores, part.labels, **limits).threshold == min(affordable)
    else:
        with pytest.raises(Unreachable, match="reviews a day are too few"):
            for_budget(part.scores, part.labels, **limits)


def test_a_cautious_choice_does_not_believe_in_a_lucky_top() -> None:
    part = drawn(600, apart=2.0)
    bold = for_precision(part.scores, part.labels, target=0.6, prevalence=0.01)
    with pytest.raises(Unreachable, match="the best lower end of an interval is"):
        for_precision(part.scores, part.labels, target=0.6, prevalence=0.01, cautious=True)
    careful = for_precision(part.scores, part.labels, target=0.15, prevalence=0.01, cautious=True)
    assert bold.false_positive_rate < careful.false_positive_rate
    assert precision_at(confusion(part.scores, part.labels, careful.threshold), 0.01).low >= 0.15


def test_a_budget_for_everything_flags_everything() -> None:
    part = drawn(90)
    choice = for_budget(part.scores, part.labels, reviews_per_day=70, uploads_per_day=70, prevalence=0.3)
    assert (choice.recall, choice.false_positive_rate) == (1.0, 1.0)


@pytest.mark.parametrize("wrong", [{"target": 0.0}, {"target": 1.1}, {"prevalence": 0.0}])
def test_impossible_wishes_are_refused(wrong) -> None:
    with pytest.raises(EvaluationError, match="cannot be"):
        for_precision([0.1, 0.9], [0, 1], **({"target": 0.5, "prevalence": 0.1} | wrong))


def test_a_budget_of_nothing_is_refused() -> None:
    with pytest.raises(EvaluationError, match="over 0"):
        for_budget([0.1, 0.9], [0, 1], reviews_per_day=0, uploads_per_day=10, prevalence=0.1)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 80), st.integers(0, 80), st.integers(1, 5))
def test_mcnemar_is_the_exact_binomial_test(only_first, only_second, both) -> None:
    first = [True] * only_first + [False] * only_second + [True] * both
    second = [False] * only_first + [True] * only_second + [True] * both
    found = mcnemar(first, second)
    assert (found.only_first, found.only_second) == (only_first, only_second)
    apart = only_first + only_second
    assert found.p_value == pytest.approx(stats.binomtest(only_first, apart).pvalue if apart else 1.0)


def test_mcnemar_holds_for_very_many_pairs() -> None:
    right = np.arange(20_000) < 9_700
    assert mcnemar(right, ~right).p_value == pytest.approx(stats.binomtest(9_700, 20_000).pvalue, rel=1e-6)


def test_a_model_does_not_differ_from_itself() -> None:
    part = drawn(80)
    found = paired(part, part, thresholds=(0.5, 0.5), resamples=50)
    assert found.mcnemar.p_value == 1.0
    assert {(row.difference, row.low, row.high, row.better) for row in found.differences} == {
        (0.0, 0.0, 0.0, "")
    }


def test_the_better_of_two_models_is_named_whichever_way_a_measure_counts() -> None:
    good, poor = drawn(300, 1, apart=2.0), drawn(300, 2, apart=0.3)
    straight = {
        row.measure: row for row in paired(poor, good, thresholds=(0.5, 0.5), resamples=200).differences
    }
    turned = {
        row.measure: row for row in paired(good, poor, thresholds=(0.5, 0.5), resamples=200).differences
    }
    for measure in ("accuracy", "roc_auc", "brier", "log_loss"):
        assert (straight[measure].better, turned[measure].better) == ("second", "first")
        assert straight[measure].difference == pytest.approx(-turned[measure].difference)
    assert straight["brier"].difference < 0 < straight["roc_auc"].difference


def test_pairing_sees_a_difference_that_two_intervals_hide() -> None:
    """Both models fail on the same items but a few."""
    part = drawn(400, apart=0.8)
    helped = part.scores.copy()
    wrong = np.flatnonzero((part.scores < 0.5) & part.labels)[:12]
    helped[wrong] = 0.9
    found = paired(
        part, scored(helped, part.labels), thresholds=(0.5, 0.5), measures=("accuracy",), resamples=300
    )
    assert found.differences[0].low > 0
    assert found.mcnemar == mcnemar([False] * 12, [True] * 12)


def test_other_items_are_not_compared() -> None:
    part = drawn(60)
    with pytest.raises(EvaluationError, match="labels differ"):
        paired(part, scored(part.scores, ~part.labels), thresholds=(0.5, 0.5))
    clustered = scored(part.scores, part.labels, clusters=["one", "two"] * 30)
    with pytest.raises(EvaluationError, match="clusters differ"):
        paired(part, clustered, thresholds=(0.5, 0.5))
    with pytest.raises(EvaluationError, match="Unknown measure 'auc'"):
        paired(part, part, thresholds=(0.5, 0.5), measures=("auc",))


def grouped(apart: dict[str, float], each: int) -> tuple[Scored, list[str]]:
    parts = [drawn(each, seed, shift) for seed, shift in enumerate(apart.values())]
    names = [name for name in apart for _ in range(each)]
    return (
        scored(np.concatenate([p.scores for p in parts]), np.concatenate([p.labels for p in parts])),
        names,
    )


def test_a_group_that_is_treated_worse_stands_out() -> None:
    part, names = grouped({"photo": 2.0, "painting": 2.0, "drawing": -0.5}, 240)
    rows = {row.value: row for row in group_table(part, "medium", names, threshold=0.5).rows}
    assert rows["drawing"].stands_out == ("recall", "false_positive_rate")
    assert rows["drawing"].recall_apart.high < 0
    assert rows["drawing"].roc_auc < 0.5 < rows["photo"].roc_auc


def test_a_handful_of_items_does_not_stand_out_and_is_called_small() -> None:
    part, names = grouped({"photo": 1.0}, 300)
    names[0], names[1] = "icon", ""
    flipped = scored(np.where(np.arange(300) == 0, 0.01, part.scores), part.labels)
    rows = {row.value: row for row in group_table(flipped, "medium", names, threshold=0.5).rows}
    icon = rows["icon"]
    assert (icon.items, icon.recall.value, icon.small, icon.stands_out) == (1, 0.0, True, ())
    assert icon.recall.high > 0.7
    assert icon.roc_auc is None
    assert icon.false_positive_rate.value is None
    assert UNKNOWN in rows
    assert not rows["photo"].small


def test_chance_alone_makes_hardly_any_group_stand_out() -> None:
    found = 0
    for seed in range(40):
        part = drawn(400, seed)
        names = [f"group {number}" for number in np.random.default_rng(seed).integers(0, 8, 400)]
        rows = group_table(part, "nothing", names, threshold=0.5).rows
        found += any("recall" in row.stands_out for row in rows)
    assert found <= 6


def test_rows_come_by_size_and_hold_everyone() -> None:
    part, names = grouped({"a": 1.0}, 90)
    names[:20] = ["b"] * 20
    rows = group_table(part, "letter", names, threshold=0.5).rows
    assert [(row.value, row.items) for row in rows] == [("a", 70), ("b", 20)]
    only = group_table(part, "all", ["x"] * 90, threshold=0.5).rows
    assert only[0].recall_apart.value is None
    assert only[0].stands_out == ()


def test_a_comparison_turned_around_is_that_of_the_other_order() -> None:
    one, other = drawn(80, 1, 1.5), drawn(80, 2, 0.5)
    ahead = paired(one, other, thresholds=(0.5, 0.5), resamples=200)
    back = paired(other, one, thresholds=(0.5, 0.5), resamples=200)
    around = turned(ahead)
    assert around.mcnemar == back.mcnemar
    assert turned(around) == ahead
    for row, expected in zip(around.differences, back.differences, strict=True):
        assert (row.first, row.second, row.better) == (expected.first, expected.second, expected.better)
        assert row.difference == pytest.approx(expected.difference)
        assert (row.low, row.high) == pytest.approx((expected.low, expected.high), abs=0.05)

"""The figures, against scikit-learn's and against what must hold whatever the scores are."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as theirs

from classifier.evaluation.errors import EvaluationError
from classifier.evaluation.metrics import MEASURES, Measures, confusion, curve, pr_auc, roc_auc
from classifier.evaluation.scored import scored

COARSE = st.integers(0, 8).map(lambda step: step / 8)
"""So few values that ties are the rule."""
ITEMS = st.lists(
    st.tuples(COARSE | st.floats(0, 1, width=32), st.booleans()), min_size=2, max_size=60
).filter(lambda items: len({label for _, label in items}) == 2)
PARTED = ([0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1])


def columns(items: list[tuple[float, bool]]) -> tuple[np.ndarray, np.ndarray]:
    scores, labels = zip(*items, strict=True)
    return np.array(scores, dtype=np.float64), np.array(labels)


def measured(scores: np.ndarray, labels: np.ndarray, threshold: float = 0.5) -> dict[str, float]:
    figures = Measures(scores, labels, threshold)(np.ones((1, len(scores))))[0]
    return dict(zip(MEASURES, figures.tolist(), strict=True))


@settings(max_examples=60, deadline=None)
@given(ITEMS, st.sampled_from([0.0, 0.25, 0.5, 0.9, 1.0]))
def test_every_figure_is_the_one_that_scikit_learn_gives(items, threshold) -> None:
    scores, labels = columns(items)
    ours, flagged = measured(scores, labels, threshold), scores >= threshold
    clipped = np.clip(scores, 1e-7, 1 - 1e-7)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = {
            "accuracy": theirs.accuracy_score(labels, flagged),
            "precision": theirs.precision_score(labels, flagged, zero_division=np.nan),
            "recall": theirs.recall_score(labels, flagged),
            "f1": theirs.f1_score(labels, flagged),
            "specificity": theirs.recall_score(~labels, ~flagged),
            "balanced_accuracy": theirs.balanced_accuracy_score(labels, flagged),
            "pr_auc": theirs.average_precision_score(labels, scores),
            "roc_auc": theirs.roc_auc_score(labels, scores),
            "brier": theirs.brier_score_loss(labels, scores),
            "log_loss": theirs.log_loss(labels, clipped),
        }
    for name, value in expected.items():
        assert ours[name] == pytest.approx(value, abs=1e-9, nan_ok=True), name
    counts = confusion(scores, labels, threshold)
    assert [
        counts.true_negatives,
        counts.false_positives,
        counts.false_negatives,
        counts.true_positives,
    ] == theirs.confusion_matrix(labels, flagged).ravel().tolist()


@settings(max_examples=60, deadline=None)
@given(ITEMS)
def test_areas_see_only_the_order_of_scores(items) -> None:
    scores, labels = columns(items)
    ranks = np.unique(scores, return_inverse=True)[1] ** 3 - 5.0
    assert roc_auc(ranks, labels) == pytest.approx(roc_auc(scores, labels))
    assert pr_auc(ranks, labels) == pytest.approx(pr_auc(scores, labels))


@settings(max_examples=60, deadline=None)
@given(ITEMS)
def test_an_inverted_classifier_has_the_rest_of_the_area(items) -> None:
    scores, labels = columns(items)
    assert roc_auc(-scores, labels) == pytest.approx(1 - roc_auc(scores, labels))
    assert roc_auc(-scores, ~labels) == pytest.approx(roc_auc(scores, labels))


@settings(max_examples=40, deadline=None)
@given(ITEMS, st.integers(0, 1000))
def test_the_order_of_items_does_not_matter(items, seed) -> None:
    scores, labels = columns(items)
    order = np.random.default_rng(seed).permutation(len(scores))
    one, other = measured(scores, labels), measured(scores[order], labels[order])
    assert other == pytest.approx(one, nan_ok=True)


@settings(max_examples=40, deadline=None)
@given(ITEMS, st.integers(0, 1000))
def test_a_weight_is_as_many_copies_of_an_item(items, seed) -> None:
    scores, labels = columns(items)
    weights = np.random.default_rng(seed).integers(0, 4, size=(3, len(scores)))
    rows = Measures(scores, labels, 0.5)(weights.astype(np.float64))
    for row, times in zip(rows, weights, strict=True):
        if times.sum():
            copies = Measures(np.repeat(scores, times), np.repeat(labels, times), 0.5)
            assert row == pytest.approx(copies(np.ones((1, times.sum())))[0], nan_ok=True)


def test_perfect_inverted_and_constant_classifiers() -> None:
    scores, labels = PARTED
    assert (roc_auc(scores, labels), pr_auc(scores, labels)) == (1.0, 1.0)
    assert roc_auc([1 - score for score in scores], labels) == 0.0
    # The average precision of the worst order: a positive at the third place, and one at the fourth.
    assert pr_auc([1 - score for score in scores], labels) == pytest.approx((1 / 3 + 2 / 4) / 2)
    assert roc_auc([0.3] * 4, labels) == 0.5
    assert pr_auc([0.3] * 4, labels) == 0.5


def test_a_curve_has_one_step_for_items_that_no_threshold_can_part() -> None:
    steps = curve([0.9, 0.9, 0.4, 0.4, 0.4], [1, 0, 1, 0, 0])
    assert steps.thresholds.tolist() == [0.9, 0.4]
    assert (steps.true_positives.tolist(), steps.false_positives.tolist()) == ([1, 2], [1, 3])


def test_an_item_is_flagged_from_the_threshold_up() -> None:
    assert confusion([0.5, 0.5, 0.49], [1, 0, 1], 0.5).flagged == 2


def test_precision_without_a_flag_is_undefined_and_not_zero() -> None:
    scores, labels = PARTED
    figures = measured(np.array(scores), np.array(labels, dtype=bool), threshold=0.95)
    assert np.isnan(figures["precision"])
    assert figures["recall"] == 0


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        ([], [], "the test set is empty"),
        ([0.1, 0.2], [1], "1 values for 2 scores"),
        ([0.1, float("nan")], [0, 1], "Score 1 of the test set is nan"),
        ([0.1, 1.2], [0, 1], "Score 1 of the test set is 1.2"),
        ([0.1, 0.2], [1, 1], "All 2 items of the test set are positive"),
        ([0.1, 0.2], [0, 0], "All 2 items of the test set are negative"),
        ([0.1, 0.2], [0, 2], "must be 0 and 1 or bool, not 2"),
        ([0.1, 0.2], ["safe", "nsfw"], "must be 0 and 1 or bool, not nsfw, safe"),
        (["high", "low"], [0, 1], "scores of the test set are not numbers"),
        ([[0.1, 0.9], [0.2, 0.8]], [0, 1], r"have shape \(2, 2\)"),
    ],
)
def test_what_cannot_be_measured_is_refused_by_name(scores, labels, message) -> None:
    with pytest.raises(EvaluationError, match=message):
        scored(scores, labels, what="the test set")


@pytest.mark.parametrize("measure", [roc_auc, pr_auc, curve])
def test_areas_of_one_class_are_refused(measure) -> None:
    with pytest.raises(EvaluationError, match="both classes are needed"):
        measure([0.1, 0.2], [1, 1])


def test_a_group_column_of_another_length_is_named() -> None:
    with pytest.raises(EvaluationError, match="Group column 'medium' of the set: 1 values for 4 scores"):
        scored(*PARTED, groups={"medium": ["photo"]})

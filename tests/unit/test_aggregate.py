"""One score of many: what any aggregate must hold to; that the learned one learns, and says what it is."""

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classifier import logistic
from classifier.aggregate import (
    BUILT_IN,
    FEATURES,
    Aggregate,
    LearnedAggregate,
    Maximum,
    TopKMean,
    by_name,
    features,
)
from classifier.errors import ModelError
from classifier.values import FrameResult

SCORES = st.lists(st.floats(0, 1), min_size=1, max_size=30)
UNTIMED = settings(deadline=None)
TOP_K = st.integers(1, 12).map(TopKMean)


def film(scores: Sequence[float], interval_s: float = 1.0) -> list[FrameResult]:
    return [FrameResult(score, number * interval_s) for number, score in enumerate(scores)]


def one_bright_frame(number: int = 200) -> tuple[list[list[FrameResult]], list[bool]]:
    """Films of 5 to 300 dull frames; one bright frame makes half of them NSFW, wherever it is."""
    rng = random.Random(7)
    files, labels = [], []
    for index in range(number):
        scores = [rng.uniform(0, 0.35) for _ in range(rng.randint(5, 300))]
        if index % 2:
            scores[rng.randrange(len(scores))] = rng.uniform(0.9, 1)
        files.append(film(scores))
        labels.append(bool(index % 2))
    return files, labels


@pytest.fixture(scope="module")
def learned() -> LearnedAggregate:
    return LearnedAggregate.fit(*one_bright_frame())


@pytest.fixture(scope="module")
def noisy() -> LearnedAggregate:
    """Learned from labels for which the maximum, were it allowed, would count against a file."""
    rng = random.Random(11)
    files = [film([rng.random() ** 3 for _ in range(rng.randint(1, 60))]) for _ in range(150)]
    means = [(features(file)[2], features(file)[0]) for file in files]
    learned = LearnedAggregate.fit(
        files, [mean - 0.3 * highest + rng.gauss(0, 0.1) > 0 for mean, highest in means]
    )
    assert 0 in learned.weights
    assert max(learned.weights) > 0.3
    return learned


@UNTIMED
@given(TOP_K, SCORES)
def test_a_mean_lies_between_the_lowest_and_the_highest_score(mean: TopKMean, scores: list[float]) -> None:
    assert min(scores) <= mean.score(film(scores)) <= max(scores)


@UNTIMED
@given(SCORES)
def test_the_maximum_is_one_of_the_scores_and_no_mean_exceeds_it(scores: list[float]) -> None:
    highest = Maximum().score(film(scores))
    assert highest in scores
    means = [TopKMean(k).score(film(scores)) for k in range(1, 8)]
    assert highest == means[0]
    assert all(fewer >= more for fewer, more in pairwise(means))


@UNTIMED
@given(st.floats(0, 1), st.sampled_from([*BUILT_IN, TopKMean(49)]), st.integers(1, 60))
def test_frames_that_are_all_the_same_have_that_score(score: float, one: Aggregate, number: int) -> None:
    assert one.score([FrameResult(score)]) == score
    assert one.score(film([score] * number)) == score


@UNTIMED
@given(SCORES, st.randoms(use_true_random=False))
def test_the_order_of_frames_does_not_count(
    learned: LearnedAggregate, noisy: LearnedAggregate, scores: list[float], rng: random.Random
) -> None:
    frames = film(scores, interval_s=2.5)
    # A frame may be looked at twice, with pictures that are not quite the same.
    frames += [replace(frame, score=1 - frame.score) for frame in frames[::3]]
    shuffled = rng.sample(frames, len(frames))
    for one in (*BUILT_IN, learned, noisy):
        assert one.score(shuffled) == one.score(frames)


@UNTIMED
@given(SCORES, st.data())
def test_a_frame_that_scores_higher_never_lowers_its_file(
    learned: LearnedAggregate, noisy: LearnedAggregate, scores: list[float], data: st.DataObject
) -> None:
    which = data.draw(st.integers(0, len(scores) - 1))
    brighter = [*scores[:which], data.draw(st.floats(scores[which], 1)), *scores[which + 1 :]]
    for one in (*BUILT_IN, TopKMean(2)):
        assert one.score(film(brighter)) >= one.score(film(scores))
    for one in (learned, noisy):
        # The last digit is that of the library's exp().
        assert one.score(film(brighter)) >= one.score(film(scores)) - 1e-15


@UNTIMED
@given(SCORES, st.floats(0, 1))
def test_one_frame_more_never_lowers_the_maximum(scores: list[float], more: float) -> None:
    assert Maximum().score(film([*scores, more])) >= Maximum().score(film(scores))


def test_known_values() -> None:
    frames = film([0.1, 0.9, 0.3, 0.6])
    assert Maximum().score(frames) == 0.9
    assert TopKMean(3).score(frames) == pytest.approx(0.6)
    assert TopKMean(3).score(frames[:2]) == pytest.approx(0.5)


def test_features_are_what_they_are_called() -> None:
    # Over 0.5 from 10 s to 20 s, with the frames in between; the run at the end is shorter.
    frames = film([0.1, 0.2, 0.5, 0.9, 0.8, 0.3, 0.6, 0.7], interval_s=5)
    found = dict(zip(FEATURES, features(frames), strict=True))
    assert found["maximum"] == 0.9
    assert found["top3_mean"] == pytest.approx(0.8)
    assert found["mean"] == pytest.approx(4.1 / 8)
    assert found["share_over_half"] == 5 / 8
    assert found["log_run"] == pytest.approx(np.log(1 + 10))
    assert found["log_frames"] == pytest.approx(np.log(1 + 8))
    alone = features([FrameResult(0.9, None, 3), FrameResult(0.9, None, 7)])
    assert alone[FEATURES.index("log_run")] == 0, "pages have no times"


@pytest.mark.parametrize("one", [*BUILT_IN, TopKMean(1)], ids=lambda one: one.name)
def test_a_name_leads_back_to_what_it_names(one: Aggregate) -> None:
    assert by_name(one.name) == one
    assert one.provenance()["name"] == one.name


@pytest.mark.parametrize("name", ["", "mean", "top0-mean", "top-3-mean", "top3-mean ", "learned-12345678"])
def test_a_name_of_nothing_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no aggregate"):
        by_name(name)


def test_built_in_names_differ() -> None:
    assert len({one.name for one in BUILT_IN}) == len(BUILT_IN)


@pytest.mark.parametrize("scores", [[], [float("nan")], [0.5, 1.01], [-0.01], [0.2, float("nan"), 0.1]])
def test_what_is_no_score_gets_none(learned: LearnedAggregate, scores: list[float]) -> None:
    for one in (*BUILT_IN, learned):
        with pytest.raises(ValueError, match=r"frame|score"):
            one.score(film(scores))
    with pytest.raises(ValueError, match=r"frame|score"):
        LearnedAggregate.fit([film(scores), film([0.1])], [True, False])


def test_a_mean_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="0"):
        TopKMean(0)


def test_it_learns_that_one_bright_frame_matters_whatever_the_length(learned: LearnedAggregate) -> None:
    dull = [0.2] * 240
    assert learned.score(film(dull)) < 0.1
    assert learned.score(film([*dull[:200], 0.97, *dull[200:]])) > 0.9
    assert learned.score(film([0.2] * 6)) < 0.1
    assert learned.score(film([0.97, *[0.2] * 5])) > 0.9
    files, labels = one_bright_frame()
    assert [learned.score(file) >= 0.5 for file in files] == labels
    assert (learned.files, learned.positives) == (200, 100)


def test_it_learns_that_one_bright_frame_of_many_is_chance_where_it_is() -> None:
    """A model that errs on one frame in fifty: the maximum of long films tells nothing, a run does."""
    rng = random.Random(3)
    files, labels = [], []
    for index in range(300):
        scores = [0.95 if rng.random() < 0.02 else rng.uniform(0, 0.3) for _ in range(rng.randint(5, 300))]
        if index % 2:
            start = rng.randrange(len(scores))
            scores[start : start + 8] = [0.95] * len(scores[start : start + 8])
        files.append(film(scores))
        labels.append(bool(index % 2))
    learned = LearnedAggregate.fit(files[:200], labels[:200])

    def right(one: Aggregate) -> int:
        unseen = zip(files[200:], labels[200:], strict=True)
        return sum((one.score(file) >= 0.5) == label for file, label in unseen)

    assert right(learned) > 85 > right(Maximum())


@pytest.mark.parametrize("labels", [[], [True, True], [False, False], [False]])
def test_one_kind_of_files_teaches_nothing(labels: list[bool]) -> None:
    with pytest.raises(ModelError, match="NSFW"):
        LearnedAggregate.fit([film([0.5, 0.4])] * len(labels), labels)


def test_labels_must_fit_the_files_and_the_penalty_must_be_one() -> None:
    files = [film([0.1]), film([0.9])]
    with pytest.raises(ValueError, match="1 labels for 2 files"):
        LearnedAggregate.fit(files, [True])
    for l2 in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="penalty"):
            LearnedAggregate.fit(files, [False, True], l2=l2)


def test_files_that_do_not_differ_are_as_likely_as_they_were_often() -> None:
    learned = LearnedAggregate.fit([film([0.1, 0.7])] * 4, [True, False, False, False])
    assert learned.score(film([0.1, 0.7])) == pytest.approx(0.25)
    assert set(learned.weights) == {0}


@UNTIMED
@given(SCORES)
def test_json_brings_back_the_very_same(noisy: LearnedAggregate, scores: list[float]) -> None:
    again = LearnedAggregate.from_json(noisy.to_json())
    assert again == noisy
    assert again.score(film(scores)) == noisy.score(film(scores))


def test_what_it_is_can_be_stored_and_has_a_name_of_its_own(
    learned: LearnedAggregate, noisy: LearnedAggregate
) -> None:
    assert learned.name != noisy.name
    assert learned.name == LearnedAggregate.fit(*one_bright_frame(), l2=1).name
    stored = json.loads(json.dumps(learned.provenance()))
    assert stored.pop("name") == learned.name
    assert LearnedAggregate.from_json(json.dumps(stored)) == learned


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"features": ["maximum"]},
        {"weights": [1.0]},
        {"weights": [-1.0] * len(FEATURES)},
        {"weights": ["1"] * len(FEATURES)},
        {"scales": [0.0] * len(FEATURES)},
        {"means": [float("nan")] * len(FEATURES)},
        {"intercept": None},
        {"intercept": 10**400},
        {"l2": "1"},
        {"files": 1.5},
        {"positives": 0},
        {"more": 1},
    ],
    ids=str,
)
def test_what_is_damaged_or_of_another_version_is_refused(
    learned: LearnedAggregate, change: dict[str, Any]
) -> None:
    told = json.loads(learned.to_json())
    with pytest.raises(ModelError, match="learned aggregate"):
        LearnedAggregate.from_json(json.dumps({**told, **change}))


@pytest.mark.parametrize("text", ["", "[]", "3", "null", '"x"', "{}", "{"])
def test_what_is_no_aggregate_at_all_is_refused(text: str) -> None:
    with pytest.raises(ModelError, match="learned aggregate"):
        LearnedAggregate.from_json(text)


# The regression itself, against what makes a minimum one.


def rows(seed: int, number: int, columns: int) -> tuple[logistic.Vector, logistic.Vector, logistic.Mask]:
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 1, (number, columns))
    if columns > 1:
        values[:, -1] = values[:, 0] + rng.normal(0, 0.01, number)  # as the features are: almost the same
    truths = (values @ rng.normal(0, 2, columns) + rng.normal(0, 1, number) > 0).astype(float)
    truths[:2] = 0, 1
    return values, truths, rng.random(columns) < 0.6


def loss(at: logistic.Vector, values: logistic.Vector, truths: logistic.Vector, l2: float) -> float:
    chances = 1 / (1 + np.exp(-(values @ at[:-1] + at[-1])))
    return float(-np.log(np.where(truths == 1, chances, 1 - chances)).sum() + l2 / 2 * (at[:-1] ** 2).sum())


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(3, 60), st.integers(1, 6), st.sampled_from([0.01, 1.0, 30.0]))
def test_what_is_fitted_is_the_minimum_among_what_is_allowed(
    seed: int, number: int, columns: int, l2: float
) -> None:
    values, truths, rising = rows(seed, number, columns)
    found = logistic.fit(values, truths, l2, rising)
    assert (found[:-1][rising] >= 0).all()
    bounded = np.append(rising, False)
    for index in range(columns + 1):
        step = np.zeros(columns + 1)
        step[index] = 1e-5
        slope = (loss(found + step, values, truths, l2) - loss(found - step, values, truths, l2)) / 2e-5
        at_bound = bounded[index] and found[index] == 0
        assert (slope >= -1e-4 * number) if at_bound else (abs(slope) < 1e-4 * number)


def test_without_bounds_it_is_the_textbook_s_regression() -> None:
    """Two groups, one column: the intercept and the weight are known where the penalty is next to nothing."""
    values = np.array([[0.0]] * 4 + [[1.0]] * 4)
    truths = np.array([0, 0, 0, 1, 0, 1, 1, 1], float)
    found = logistic.fit(values, truths, 1e-9, np.array([False]))
    assert found == pytest.approx([2 * np.log(3), -np.log(3)], abs=1e-6)


def test_a_weight_at_its_bound_stays_there() -> None:
    values = np.array([[0.0]] * 4 + [[1.0]] * 4)
    truths = np.array([1, 1, 1, 0, 0, 0, 0, 1], float)
    found = logistic.fit(values, truths, 1e-9, np.array([True]))
    assert found == pytest.approx([0, 0], abs=1e-6)
    assert logistic.fit(values, truths, 1e-9, np.array([False]))[0] < -1

"""Precision, recall, F1 and prevalence from weighted samples, against known truths."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from storage.weighted_estimates import Sample, estimate

LOW, HIGH = ("unflagged 0", False), ("unflagged 1", False)
FLAGGED = ("flagged 0", True)


def sample(*cells: tuple[tuple[str, bool], Sequence[float], float]) -> Sample:
    """Items of some cells, with labels, each cell at one probability."""
    return Sample(
        strata=np.array([cell[0] for cell, labels, _p in cells for _label in labels], dtype=np.str_),
        flagged=np.array([cell[1] for cell, labels, _p in cells for _label in labels], dtype=np.bool_),
        labels=np.array([label for _cell, labels, _p in cells for label in labels], dtype=np.float64),
        probabilities=np.array([p for _cell, labels, p in cells for _label in labels], dtype=np.float64),
    )


def test_what_was_labelled_stands_for_what_was_not() -> None:
    found = estimate(sample((FLAGGED, [1, 1, 1, 0], 0.5), (LOW, [1] + [0] * 9, 0.1)), {FLAGGED: 8, LOW: 100})

    assert found.precision.value == pytest.approx(6 / 8)
    assert found.recall.value == pytest.approx(6 / 16)
    assert found.f1.value == pytest.approx(12 / 24)
    assert found.prevalence.value == pytest.approx(16 / 108)
    assert (found.precision.n, found.recall.n, found.population, found.flagged) == (4, 14, 108, 8)
    assert found.reasons == ()


def test_unequal_probabilities_weigh_within_a_cell() -> None:
    items = sample((FLAGGED, [1], 1.0), (FLAGGED, [0], 0.25))

    found = estimate(items, {FLAGGED: 5})

    assert found.precision.value == pytest.approx(1 / 5)
    assert found.precision.n_effective == pytest.approx(25 / 17)


def test_a_population_that_was_labelled_whole_leaves_no_doubt() -> None:
    found = estimate(sample((FLAGGED, [1, 0], 1.0), (LOW, [1, 0, 0], 1.0)), {FLAGGED: 2, LOW: 3})

    assert found.recall.value == pytest.approx(0.5)
    assert (found.recall.low, found.recall.high) == pytest.approx((0.5, 0.5), abs=1e-3)


def test_a_cell_without_a_drawn_item_goes_with_its_neighbour() -> None:
    found = estimate(
        sample((FLAGGED, [1, 1], 1.0), (HIGH, [1, 0], 0.5), (LOW, [0] * 10, 0.01)),
        {FLAGGED: 2, HIGH: 4, LOW: 1000, ("unflagged 2", False): 2},
    )

    assert found.recall.value == pytest.approx(2 / (2 + 3))
    assert found.recall.n == 14


def test_what_nobody_looks_at_makes_recall_unknown_and_leaves_precision() -> None:
    nothing = float("nan")
    found = estimate(sample((FLAGGED, [1, 1, 0, 1], 1.0), (LOW, [nothing] * 5, 0.05)), {FLAGGED: 4, LOW: 100})

    assert found.precision.value == pytest.approx(0.75)
    assert (found.recall.value, found.f1.value, found.prevalence.value) == (None, None, None)
    assert found.recall.low < 0.05
    assert found.recall.high == pytest.approx(1.0)
    assert len(found.reasons) == 1
    assert "unflagged 0" in found.reasons[0]


def test_nothing_at_all_is_unknown() -> None:
    found = estimate(sample(), {})

    assert [found.precision.value, found.recall.value] == [None, None]
    assert (found.precision.low, found.precision.high) == (0.0, 1.0)


def test_no_explicit_item_anywhere_leaves_recall_unknown() -> None:
    found = estimate(sample((LOW, [0] * 50, 0.5)), {LOW: 100})

    assert (found.recall.value, found.recall.low) == (None, 0.0)
    assert found.prevalence.value == 0.0
    assert 0 < found.prevalence.high < 0.1


@pytest.mark.parametrize(("picky", "said"), [(True, 1), (False, 0)])
def test_reviewers_who_pick_by_the_score_are_noticed(*, picky: bool, said: int) -> None:
    generator = np.random.default_rng(7)
    scores: NDArray[np.float64] = generator.random(400) * 0.5
    seen = scores > 0.25 if picky else generator.random(400) < 0.5
    items = Sample(
        np.full(400, LOW[0]), np.zeros(400, bool), np.where(seen, 0.0, np.nan), np.full(400, 0.1), scores
    )

    assert sum("pick by the score" in reason for reason in estimate(items, {LOW: 4000}).reasons) == said


@pytest.mark.parametrize("probability", [0.0, 1.5, float("nan")])
def test_an_impossible_probability_is_refused(probability: float) -> None:
    with pytest.raises(ValueError, match="probability"):
        estimate(sample((LOW, [1.0], probability)), {LOW: 1})


def test_an_item_without_a_population_is_refused() -> None:
    with pytest.raises(ValueError, match="no upload is counted"):
        estimate(sample((LOW, [1.0], 0.5)), {FLAGGED: 3})


@settings(max_examples=60, deadline=None)
@given(
    labels=st.lists(st.lists(st.sampled_from([0.0, 1.0, float("nan")]), max_size=8), min_size=3, max_size=3),
    more=st.lists(st.integers(0, 10**7), min_size=3, max_size=3),
)
def test_intervals_hold_their_value_and_stay_in_range(labels: list[list[float]], more: list[int]) -> None:
    cells = (FLAGGED, LOW, HIGH)
    population = {cell: len(own) + extra for cell, own, extra in zip(cells, labels, more, strict=True)}
    items = sample(*((cell, own, 0.5) for cell, own in zip(cells, labels, strict=True)))

    found = estimate(items, population)

    for measure in (found.precision, found.recall, found.f1, found.prevalence):
        assert 0.0 <= measure.low <= measure.high <= 1.0
        assert measure.value is None or measure.low <= measure.value <= measure.high

"""Draws keep the budget, give every upload exactly its recorded chance, and can be replayed."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.allocation import Evidence, allocate
from storage.sampling import Drawn, Lane, Ledger, Media, Plan, after, decide, draw, opened, strata_between

EDGES = (0.01, 0.2, 0.8)
STRATA = strata_between(EDGES)
KEY = b"a secret"


def plan_with(probability: float, budget: int) -> Plan:
    return Plan(STRATA, (probability,) * len(STRATA), dict.fromkeys(Lane, budget))


def a_day(plan: Plan, ledger: Ledger, scores: list[float]) -> list[Drawn]:
    """Draw for unflagged uploads that come evenly over a day."""
    found = []
    for index, score in enumerate(scores):
        second = 86_400 * index / len(scores)
        drawn, ledger = decide(
            plan, ledger, lane=Lane.UNFLAGGED, score=score, media=Media.STILL, second=second
        )
        found.append(drawn)
    return found


@settings(max_examples=40, deadline=None)
@given(
    budget=st.integers(1, 40),
    probability=st.floats(1e-6, 1.0),
    uploads=st.integers(0, 300),
    turn=st.floats(0, 1, exclude_max=True),
)
def test_no_day_exceeds_its_budget_and_no_probability_is_zero(
    budget: int, probability: float, uploads: int, turn: float
) -> None:
    drawn = a_day(plan_with(probability, budget), Ledger(0.0, turn), [0.1] * uploads)

    assert sum(one.chosen for one in drawn) <= budget
    assert all(0 < one.probability <= 1 and 0 <= one.draw < 1 for one in drawn)


def test_as_many_are_chosen_as_the_probabilities_sum_to() -> None:
    drawn = a_day(plan_with(0.01, 30), opened(KEY, "2026-11-23", Lane.UNFLAGGED), [0.1] * 1000)

    chosen, expected = sum(one.chosen for one in drawn), sum(one.probability for one in drawn)
    assert math.floor(expected) <= chosen <= math.ceil(expected)


def test_every_upload_is_chosen_as_often_as_its_probability_says() -> None:
    plan = Plan(STRATA, tuple(0.3 / (1 + i) for i in range(len(STRATA))), dict.fromkeys(Lane, 12))
    scores = [float(score) for score in np.random.default_rng(3).random(80)]
    days = 250

    often: Counter[int] = Counter()
    for day in range(days):
        drawn = a_day(plan, opened(KEY, f"day {day}", Lane.UNFLAGGED), scores)
        often.update(index for index, one in enumerate(drawn) if one.chosen)

    p = np.array([one.probability for one in drawn])
    deviations = (np.array([often[index] for index in range(80)]) - days * p) / np.sqrt(days * p * (1 - p))
    assert np.abs(deviations).max() < 4.5
    assert 0.6 < np.square(deviations).mean() < 1.5


def test_probabilities_do_not_depend_on_what_was_chosen() -> None:
    plan, scores = plan_with(0.5, 8), [0.1, 0.5, 0.9] * 20

    days = [a_day(plan, Ledger(0.0, turn), scores) for turn in (0.0, 0.3, 0.99)]

    assert len({tuple(one.probability for one in day) for day in days}) == 1
    assert len({tuple(one.chosen for one in day) for day in days}) > 1


def test_a_day_goes_on_where_the_table_of_draws_ends() -> None:
    plan, scores = plan_with(0.2, 10), [0.1] * 100
    drawn = a_day(plan, opened(KEY, "d", Lane.UNFLAGGED), scores)

    resumed = after(drawn[59], sum(one.probability for one in drawn[:60]))
    again, _ledger = decide(
        plan, resumed, lane=Lane.UNFLAGGED, score=0.1, media=Media.STILL, second=86_400 * 60 / 100
    )

    assert again.draw == pytest.approx(drawn[60].draw)
    assert again.probability == pytest.approx(drawn[60].probability)


def test_the_draw_follows_from_key_and_name() -> None:
    assert draw(KEY, "2026-11-23 flagged") == draw(KEY, "2026-11-23 flagged")
    values = {draw(key, name) for key in (KEY, b"other") for name in ("a", "b")}
    assert len(values) == 4
    assert all(0 <= value < 1 for value in values)


def test_a_lane_that_fits_puts_up_everything() -> None:
    evidence = [Evidence(one, 5.0 if one.lane is Lane.FLAGGED else 1000.0) for one in STRATA]
    plan = allocate(evidence, daily_budget=100, audit_share=0.3)

    assert all(plan.find(Lane.FLAGGED, score, Media.STILL)[1] == 1.0 for score in (0.1, 0.5, 0.9))
    assert plan.daily_budget == 100
    assert plan.budgets[Lane.UNFLAGGED] >= 30


def test_labels_go_where_the_doubt_is() -> None:
    def share(stratum_low: float) -> float:
        return {0.0: 0.0001, 0.01: 0.001, 0.2: 0.3, 0.8: 0.9}[stratum_low]

    evidence = [Evidence(one, 1000.0, 500.0, share(one.low)) for one in STRATA]
    plan = allocate(evidence, daily_budget=100, audit_share=0.3)

    chances = [plan.find(Lane.UNFLAGGED, score, Media.STILL)[1] for score in (0.005, 0.1, 0.5)]
    assert chances == sorted(chances)
    assert chances[2] > 5 * chances[0]
    assert chances[0] * 1000 > 0.5  # the floor


@settings(max_examples=40, deadline=None)
@given(
    data=st.lists(
        st.tuples(st.floats(0, 1e6), st.floats(0, 1e4), st.floats(0, 1)),
        min_size=len(STRATA),
        max_size=len(STRATA),
    ),
    budget=st.integers(2, 500),
    audit_share=st.floats(0.01, 0.99),
)
def test_every_plan_is_possible(
    data: list[tuple[float, float, float]], budget: int, audit_share: float
) -> None:
    evidence = [Evidence(stratum, *known) for stratum, known in zip(STRATA, data, strict=True)]

    plan = allocate(evidence, daily_budget=budget, audit_share=audit_share)

    assert plan.daily_budget == budget
    assert min(plan.budgets.values()) >= 1
    assert all(0 < probability <= 1 for probability in plan.probabilities)


def test_names_sort_by_lane_and_score() -> None:
    assert [one.name for one in STRATA] == sorted(one.name for one in STRATA)
    assert STRATA[0].name == "flagged 0.000-0.010 moving"

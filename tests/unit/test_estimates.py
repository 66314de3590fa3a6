import math
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import estimates, review_pages
from storage.engine import Database
from storage.estimates import Estimate, Labelled, weighted_share, wilson
from storage.review_values import VerdictCode
from storage.values import ReviewReason
from tests.review_items import give, item_id, put_up, verdict
from tests.storage_database import NOW, WIKI, after, fresh_database

DELETE, KEEP, SFW, UNSURE = VerdictCode
DAY_S = 86_400

items = st.builds(Labelled, st.booleans(), st.floats(1e-9, 1.0, exclude_min=True))


@pytest.mark.parametrize(
    ("share", "n", "low", "high"),
    [
        # Newcombe 1998, Statistics in Medicine 17:857-872, table I, method 3.
        (81 / 263, 263, 0.2553, 0.3662),
        (15 / 148, 148, 0.0624, 0.1605),
        (0 / 20, 20, 0.0, 0.1611),
        (1 / 29, 29, 0.0061, 0.1718),
    ],
)
def test_the_interval_is_the_published_one(share: float, n: float, low: float, high: float) -> None:
    assert wilson(share, n) == pytest.approx((low, high), abs=5e-5)


@given(st.lists(items, min_size=1, max_size=60), st.sampled_from([0.5, 0.8, 0.95, 0.999]))
def test_the_interval_holds_the_estimate_and_stays_within_zero_and_one(
    sample: list[Labelled], confidence: float
) -> None:
    found = weighted_share(sample, confidence)
    assert found.value is not None
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.low < found.high
    assert found.n == len(sample)
    assert 1 - 1e-9 <= found.n_effective <= len(sample) + 1e-9


@given(st.lists(items, min_size=1, max_size=20), st.integers(2, 10))
def test_more_of_the_same_narrows_the_interval_and_leaves_the_estimate(
    sample: list[Labelled], times: int
) -> None:
    once, often = weighted_share(sample), weighted_share(sample * times)
    assert often.value == pytest.approx(once.value)
    assert often.high - often.low < once.high - once.low
    assert often.n_effective == pytest.approx(once.n_effective * times)


@given(st.lists(items, min_size=1, max_size=20), st.floats(1e-6, 1.0))
def test_only_ratios_of_probabilities_matter(sample: list[Labelled], factor: float) -> None:
    scaled = [Labelled(item.positive, item.probability * factor) for item in sample]
    assert weighted_share(scaled).value == pytest.approx(weighted_share(sample).value)


@given(st.lists(items, min_size=1, max_size=20))
def test_the_opposite_question_has_the_opposite_answer(sample: list[Labelled]) -> None:
    found = weighted_share(sample)
    opposite = weighted_share([Labelled(not item.positive, item.probability) for item in sample])
    assert found.value is not None
    assert opposite.value == pytest.approx(1 - found.value)
    assert (opposite.low, opposite.high) == pytest.approx((1 - found.high, 1 - found.low))


def test_without_items_nothing_is_known() -> None:
    assert weighted_share([]) == Estimate(None, 0.0, 1.0, 0, 0.0)


def test_an_item_chosen_with_a_tenth_counts_for_ten() -> None:
    found = weighted_share([Labelled(True, 1.0), Labelled(False, 0.1)])
    assert found.value == pytest.approx(1 / 11)
    assert found.n_effective == pytest.approx(121 / 101)


def test_minute_probabilities_do_not_overflow() -> None:
    found = weighted_share([Labelled(True, 5e-324), Labelled(False, 1.0)])
    assert found.value == pytest.approx(1.0)
    assert math.isfinite(found.n_effective)


@pytest.mark.parametrize(("often", "rarely"), [(0.9, 0.9), (0.95, 0.6), (0.5, 0.3)])
def test_the_interval_holds_the_true_share_about_as_often_as_it_says(often: float, rarely: float) -> None:
    """Two strata with unequal shares, of which one is drawn wholly and the other with a third."""
    generator = random.Random(20260301)
    rounds, hits = 1500, 0
    truth = (often * 60 + rarely * 120) / 180
    for _ in range(rounds):
        sample = [Labelled(generator.random() < often, 1.0) for _ in range(60)]
        sample += [
            Labelled(generator.random() < rarely, 1 / 3) for _ in range(120) if generator.random() < 1 / 3
        ]
        found = weighted_share(sample)
        hits += found.low <= truth <= found.high
    assert 0.93 <= hits / rounds <= 0.98


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with fresh_database(tmp_path) as opened:
        yield opened


def numbers(database: Database, days: float = 30) -> estimates.ReviewNumbers:
    with database.read() as tx:
        return estimates.numbers(tx, NOW, days)


def test_before_the_first_verdict_the_precision_is_unknown(database: Database) -> None:
    put_up(database, {1: 0.9, 2: 0.9})
    found = numbers(database)
    assert (found.open, found.disputed, found.closed, found.unplaced) == (2, 0, 0, 2)
    assert (found.precision, found.low, found.high, found.n, found.n_blind) == (None, 0.0, 1.0, 0, 0)


def test_precision_comes_from_the_decided_flags_with_their_weights(database: Database) -> None:
    put_up(database, {1: 0.9, 2: 0.9, 3: 0.9}, probability=1.0)
    put_up(database, {4: 0.9, 5: 0.9}, probability=0.25)
    give(database, verdict(1, DELETE), verdict(2, KEEP), verdict(4, SFW))
    found = numbers(database)
    assert (found.open, found.closed, found.n, found.n_blind, found.n_unblinded) == (2, 3, 3, 3, 0)
    assert found.precision == pytest.approx(2 / 6)
    assert (found.low, found.high) == wilson(2 / 6, 36 / 18)


def test_neither_audit_items_nor_old_ones_nor_untrusted_verdicts_count(database: Database) -> None:
    put_up(database, {1: 0.9}, now=after(-29 * DAY_S))
    put_up(database, {2: 0.9}, now=after(-31 * DAY_S))
    put_up(database, {3: 0.1}, reason=ReviewReason.AUDIT, probability=0.01)
    put_up(database, {4: 0.9})
    forged = verdict(4, SFW, trusted=False, untrusted_reason="group")
    give(database, verdict(1, DELETE), verdict(2, SFW), verdict(3, SFW), forged)
    found = numbers(database)
    assert (found.n, found.precision, found.n_unresolved) == (1, 1.0, 0)
    assert (found.open, found.closed) == (1, 3)
    assert numbers(database, days=32).precision == 0.5
    assert found.since == after(-30 * DAY_S)


def test_disputed_and_unsure_items_bound_the_precision_from_both_sides(database: Database) -> None:
    put_up(database, dict.fromkeys(range(1, 6), 0.9))
    give(
        database,
        verdict(1, DELETE),
        verdict(2, SFW),
        verdict(3, SFW),
        verdict(3, DELETE, author_id=8, revision_id=101),
        verdict(4, UNSURE),
    )
    found = numbers(database)
    assert (found.open, found.disputed, found.closed) == (2, 1, 2)
    assert (found.n, found.n_unresolved) == (2, 2)
    assert (found.if_none.value, found.precision, found.if_all.value) == (0.25, 0.5, 0.75)
    assert (found.if_none.n, found.if_all.n) == (4, 4)


def test_a_dispute_about_the_scope_alone_is_a_label_all_the_same(database: Database) -> None:
    put_up(database, {1: 0.9})
    give(database, verdict(1, DELETE), verdict(1, KEEP, author_id=8, revision_id=101))
    found = numbers(database)
    assert (found.disputed, found.n, found.precision, found.n_unresolved) == (1, 1, 1.0, 0)


def test_verdicts_beside_a_hint_count_and_are_estimated_apart(database: Database) -> None:
    put_up(database, dict.fromkeys(range(1, 4), 0.9))
    give(
        database,
        verdict(1, SFW),
        verdict(2, DELETE, hinted=True),
        verdict(3, DELETE, blind=False, hinted=True),
    )
    found = numbers(database)
    assert (found.n, found.n_blind, found.n_hinted, found.n_unblinded) == (3, 1, 1, 1)
    assert (found.blind.value, found.hinted.value, found.unblinded.value) == (0.0, 1.0, 1.0)
    assert found.precision == pytest.approx(2 / 3)


def test_blind_and_unblinded_verdicts_are_estimated_apart(database: Database) -> None:
    put_up(database, dict.fromkeys((1, 2, 3), 0.9))
    give(
        database,
        verdict(1, SFW),
        verdict(1, DELETE, blind=False, revision_id=101, given_at=after(20)),
        verdict(2, DELETE),
        verdict(3, DELETE, blind=False),
    )
    found = numbers(database)
    assert (found.n, found.n_blind, found.n_unblinded) == (3, 2, 2)
    assert (found.precision, found.blind.value, found.unblinded.value) == (1.0, 0.5, 1.0)


def test_placed_items_are_waiting_for_no_page(database: Database) -> None:
    put_up(database, {1: 0.9, 2: 0.9})
    with database.transaction() as tx:
        review_pages.place(tx, WIKI, "User:Bot/Review/1", [item_id(1)], NOW)
    assert (numbers(database).open, numbers(database).unplaced) == (2, 1)

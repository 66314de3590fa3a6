"""The second draw of a day: what models are unsure of, within the budget, with known probabilities."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import text

from bot.feedback_settings import SamplingSettings
from bot.proposals import SETTLE, Proposer, start_of
from bot.sampling import Sampler, Write, first_budget, proposals_a_day
from bot.settings import load_settings
from storage import models, shadow_scores, uploads
from storage.engine import Database
from storage.uncertainty import inclusion_probabilities, turns, uncertainty
from tests.storage_database import NOW, classification, fresh_database, model_version, upload

KEY = b"k" * 32
MIDNIGHT = NOW.replace(hour=0, minute=0, second=0, microsecond=0)
TOMORROW = MIDNIGHT + timedelta(days=1)
MORNING = TOMORROW + SETTLE


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with fresh_database(tmp_path) as opened:
        yield opened


@pytest.fixture
def settings() -> SamplingSettings:
    changes = {"daily_budget": 20, "uncertainty_share": 0.5, "first_day_uploads": 400}
    return load_settings().sampling.model_copy(update=changes)


def score(
    database: Database,
    settings: SamplingSettings,
    scores: dict[int, float],
    now: datetime,
    shadow: dict[int, float] | None = None,
    key: bytes = KEY,
    representative: bool = True,
) -> None:
    sampler = Sampler(settings, key, lambda: now)
    with database.transaction() as tx:
        model = models.register(tx, model_version(), now)
        other = models.register(tx, model_version("another"), now)
        uploads.add(tx, [upload(log_id) for log_id in scores], now)
        claimed = uploads.claim(tx, worker="w", limit=1000, now=now, ttl_s=1e6)

    def commit(write: Write) -> bool:
        with database.transaction() as tx:
            write(tx)
        return True

    for one in claimed:
        value = scores[one.upload.log_id]
        scored = replace(classification(model, value, frames=1), label="nsfw" if value >= 0.8 else "sfw")
        sampler.record(commit, one, scored)
        if shadow is not None and one.upload.log_id in shadow:
            with database.transaction() as tx:
                watched = classification(other, shadow[one.upload.log_id], frames=1)
                shadow_scores.add(tx, one.id, watched, now, representative=representative)


def begin_day(database: Database, settings: SamplingSettings, now: datetime = MORNING) -> None:
    """The first score of the next day, which plans it."""
    score(database, settings, {100_000: 0.1}, now)


def rows(database: Database, what: str) -> list[tuple[object, ...]]:
    with database.read() as tx:
        return [tuple(row) for row in tx.execute(text(what))]


def some_scores(count: int = 300) -> dict[int, float]:
    return {n: float(value) for n, value in enumerate(np.random.default_rng(4).beta(0.5, 2, count), 1)}


def test_what_is_proposed_has_the_chance_of_either_draw(
    database: Database, settings: SamplingSettings
) -> None:
    score(database, settings, some_scores(), NOW)
    before = {row[0] for row in rows(database, "SELECT upload_id FROM review_item")}
    begin_day(database, settings)

    count = Proposer(database, settings, KEY, lambda: MORNING).round()

    drawn = rows(
        database,
        "SELECT d.upload_id, d.probability, d.proposal_probability, d.draw < d.probability,"
        " d.proposal_draw < d.proposal_probability, d.chosen, r.inclusion_probability, r.reason, r.stratum"
        " FROM sample_draw d LEFT JOIN review_item r ON r.upload_id = d.upload_id"
        f" WHERE d.drawn_at < '{TOMORROW:%Y-%m-%d}'",
    )
    assert len(drawn) == 300
    new = 0
    for upload_id, first, second, by_first, by_second, chosen, chance, reason, stratum in drawn:
        assert bool(chosen) == bool(by_first or by_second) == (chance is not None)
        if first == 1:
            assert second is None
        elif chance is not None:
            assert chance == pytest.approx(1 - (1 - first) * (1 - second))  # type: ignore[operator]
            assert str(stratum).startswith({"flagged": "flagged", "audit": "unflagged"}[str(reason)])
        new += chance is not None and upload_id not in before
    assert 0 < count == new <= proposals_a_day(settings)


def test_a_day_never_has_more_than_its_budget(database: Database, settings: SamplingSettings) -> None:
    score(database, settings, dict.fromkeys(range(1, 301), 0.75), NOW)
    mixed = {n: 0.9 if n % 3 else 0.75 for n in range(1001, 1601)}
    score(database, settings, mixed, MORNING)
    Proposer(database, settings, KEY, lambda: MORNING).round()
    late = TOMORROW + timedelta(hours=23)
    score(database, settings, {n + 1000: value for n, value in mixed.items()}, late)

    [(asked,)] = rows(database, f"SELECT count(*) FROM review_item WHERE created_at >= '{TOMORROW:%Y-%m-%d}'")
    assert settings.daily_budget - 3 <= int(str(asked)) <= settings.daily_budget


def test_a_day_is_drawn_from_once_also_after_a_restart(
    database: Database, settings: SamplingSettings
) -> None:
    score(database, settings, some_scores(), NOW)
    begin_day(database, settings)
    assert Proposer(database, settings, KEY, lambda: MORNING).round() > 0
    found = rows(database, "SELECT upload_id, inclusion_probability FROM review_item")

    assert Proposer(database, settings, KEY, lambda: MORNING + timedelta(hours=3)).round() == 0
    assert rows(database, "SELECT upload_id, inclusion_probability FROM review_item") == found


def test_it_waits_for_the_day_to_end_and_for_the_next_plan(
    database: Database, settings: SamplingSettings
) -> None:
    score(database, settings, some_scores(), NOW)
    now = [NOW]
    proposer = Proposer(database, settings, KEY, lambda: now[0])
    for moment in (NOW, TOMORROW, MORNING):
        now[0] = moment
        assert proposer.round() == 0
    begin_day(database, settings)
    assert proposer.round() > 0


def test_the_draw_follows_from_key_day_and_scores(database: Database, settings: SamplingSettings) -> None:
    scores = some_scores()
    shadow = {n: 1 - value for n, value in scores.items() if n % 3 == 0}
    score(database, settings, scores, NOW, shadow)
    begin_day(database, settings)
    Proposer(database, settings, KEY, lambda: MORNING).round()

    found = rows(
        database,
        "SELECT u.log_id, d.proposal_probability, d.proposal_draw FROM sample_draw d"
        " JOIN upload u ON u.id = d.upload_id WHERE d.proposal_draw IS NOT NULL ORDER BY u.id",
    )
    ids = [int(str(row[0])) for row in found]
    others = [shadow.get(n, float("nan")) for n in ids]
    threshold = classification(1, 0.5, frames=1).threshold
    unsure = uncertainty([scores[n] for n in ids], threshold, others)
    wanted = inclusion_probabilities(unsure, proposals_a_day(settings) - 1e-3)
    assert [row[1] for row in found] == pytest.approx(wanted.tolist())
    start = start_of(KEY, f"{MIDNIGHT:%Y-%m-%d}")
    assert [row[2] for row in found] == pytest.approx(turns(start, wanted).tolist())


def test_disagreement_makes_it_likelier(database: Database, settings: SamplingSettings) -> None:
    score(database, settings, dict.fromkeys(range(1, 101), 0.3), NOW, {7: 0.95})
    begin_day(database, settings)
    Proposer(database, settings, KEY, lambda: MORNING).round()

    chances = rows(database, "SELECT upload_id, proposal_probability FROM sample_draw WHERE drawn_at < "
                   f"'{TOMORROW:%Y-%m-%d}' ORDER BY proposal_probability DESC")  # fmt: skip
    [(upload_id,)] = rows(database, "SELECT id FROM upload WHERE log_id = 7")
    assert chances[0][0] == upload_id
    assert chances[0][1] > 1.5 * chances[1][1]  # type: ignore[operator]


def test_a_shadow_s_score_that_follows_from_the_first_draw_is_left_out(
    database: Database, settings: SamplingSettings
) -> None:
    score(database, settings, dict.fromkeys(range(1, 101), 0.3), NOW, {7: 0.95}, representative=False)
    begin_day(database, settings)
    Proposer(database, settings, KEY, lambda: MORNING).round()

    chances = rows(
        database,
        f"SELECT DISTINCT proposal_probability FROM sample_draw WHERE drawn_at < '{TOMORROW:%Y-%m-%d}'",
    )
    assert len(chances) == 1


def test_without_a_share_there_is_no_second_draw(database: Database, settings: SamplingSettings) -> None:
    off = settings.model_copy(update={"uncertainty_share": 0.0})
    score(database, off, some_scores(), NOW)
    begin_day(database, off)
    assert Proposer(database, off, KEY, lambda: MORNING).round() == 0
    assert first_budget(off) == off.daily_budget


def test_both_draws_choose_as_often_as_their_probabilities_say() -> None:
    """Many keys: what is chosen is right on average, and weighted totals are the truth's."""
    generator = np.random.default_rng(8)
    scores = generator.beta(0.5, 2, 400)
    explicit = generator.random(400) < scores
    first = np.where(scores > 0.8, 0.5, 0.05)
    second = inclusion_probabilities(uncertainty(scores, 0.8), 20 - 1e-3)
    either = first + second - first * second
    totals, often = [], np.zeros(400)
    for _ in range(3000):
        chosen = (turns(generator.random(), first) < first) | (turns(generator.random(), second) < second)
        often += chosen
        totals.append((explicit[chosen] / either[chosen]).sum())
    deviations = (often - 3000 * either) / np.sqrt(3000 * either * (1 - either))
    assert np.abs(deviations).max() < 4.5
    assert abs(np.mean(totals) - explicit.sum()) < 4 * np.std(totals) / 3000**0.5

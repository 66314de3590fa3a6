"""Scores are stored together with their draws; a day's budget holds whatever restarts or fails."""

import stat
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy import text

from bot.errors import ConfigError
from bot.feedback_settings import SamplingSettings
from bot.sampling import Sampler, Write, load_key
from bot.settings import load_settings
from storage import draws, models, reviews, uploads
from storage.engine import Database
from storage.review_values import VerdictCode
from storage.sampling import Lane, Media, strata_between
from tests.review_items import item_id, verdict
from tests.storage_database import NOW, after, classification, fresh_database, model_version, upload

KEY = b"k" * 32
MIDNIGHT = NOW.replace(hour=0, minute=0, second=0, microsecond=0)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with fresh_database(tmp_path) as opened:
        yield opened


@pytest.fixture
def settings() -> SamplingSettings:
    return load_settings().sampling.model_copy(
        update={"daily_budget": 10, "first_day_uploads": 20, "uncertainty_share": 0}
    )


def score_all(database: Database, sampler: Sampler, scores: dict[int, float], *, fail: bool = False) -> None:
    """Store uploads and score each through the sampler; the first write of each fails if asked."""
    with database.transaction() as tx:
        model = models.register(tx, model_version(), NOW)
        uploads.add(tx, [upload(log_id) for log_id in scores], NOW)
        claimed = uploads.claim(tx, worker="w", limit=1000, now=NOW, ttl_s=1e6)

    def lose(write: Write) -> None:
        with database.transaction() as tx:
            write(tx)
            raise ZeroDivisionError

    def commit(write: Write) -> bool:
        if fail:
            with pytest.raises(ZeroDivisionError):
                lose(write)
        with database.transaction() as tx:
            write(tx)
        return True

    for one in claimed:
        value = scores[one.upload.log_id]
        scored = classification(model, value, frames=2)
        scored = replace(scored, label="nsfw" if value >= 0.8 else "sfw")
        assert sampler.record(commit, one, scored) is not None


def rows(database: Database, what: str) -> list[tuple[object, ...]]:
    with database.read() as tx:
        return [tuple(row) for row in tx.execute(text(what))]


def test_every_score_has_its_draw_and_every_chosen_one_its_item(
    database: Database, settings: SamplingSettings
) -> None:
    score_all(
        database, Sampler(settings, KEY, lambda: NOW), {n: 0.9 if n % 10 == 0 else 0.1 for n in range(1, 41)}
    )

    drawn = rows(database, "SELECT upload_id, probability, draw, chosen, stratum FROM sample_draw")
    assert len(drawn) == 40
    assert all(bool(chosen) == (draw < p) for _id, p, draw, chosen, _name in drawn)  # type: ignore[operator]
    items = rows(database, "SELECT upload_id, inclusion_probability, stratum, reason FROM review_item")
    assert sorted(item[:3] for item in items) == sorted(
        (upload_id, p, name) for upload_id, p, _draw, chosen, name in drawn if chosen
    )
    assert {(reason, str(name).split()[0]) for _id, _p, name, reason in items} == {
        ("flagged", "flagged"),
        ("audit", "unflagged"),
    }


@pytest.mark.parametrize("fail", [False, True])
def test_restarts_and_failed_writes_keep_the_budget(
    database: Database, settings: SamplingSettings, *, fail: bool
) -> None:
    for begin in range(0, 60, 20):
        sampler = Sampler(settings, KEY, lambda: NOW)
        score_all(database, sampler, dict.fromkeys(range(begin + 1, begin + 21), 0.9), fail=fail)

    chosen = rows(database, "SELECT upload_id FROM sample_draw WHERE chosen")
    assert 5 <= len(chosen) <= settings.daily_budget
    drawn = rows(database, "SELECT draw, probability FROM sample_draw ORDER BY classification_id")
    steps = [(d - p - e) % 1 for (d, p), (e, _p) in pairwise(drawn)]  # type: ignore[operator]
    assert all(min(step, 1 - step) < 1e-9 for step in steps)
    assert len(rows(database, "SELECT id FROM sampling_plan")) == 1


def test_draws_of_one_key_and_day_are_replayed(tmp_path: Path, settings: SamplingSettings) -> None:
    found = []
    for name, key in (("a", KEY), ("b", KEY), ("c", b"other" * 8)):
        with fresh_database(tmp_path / name) as database:
            score_all(database, Sampler(settings, key, lambda: NOW), dict.fromkeys(range(1, 30), 0.1))
            found.append(rows(database, "SELECT upload_id, probability, draw FROM sample_draw"))

    assert found[0] == found[1]
    assert found[0] != found[2]


def test_the_next_day_is_planned_from_what_was_counted_and_labelled(
    database: Database, settings: SamplingSettings
) -> None:
    score_all(database, Sampler(settings, KEY, lambda: NOW), dict.fromkeys(range(1, 51), 0.9))
    with database.transaction() as tx:
        chosen = rows(database, "SELECT item_id FROM review_item ORDER BY id")
        reviews.add_verdict(tx, replace(verdict(1, VerdictCode.SFW), item_id=str(chosen[0][0])), NOW)
    tomorrow = NOW + timedelta(days=1)

    score_all(database, Sampler(settings, KEY, lambda: tomorrow), {51: 0.9})

    with database.read() as tx:
        stored = draws.load_plan(tx, tomorrow)
        evidence = draws.evidence_before(tx, strata_between(settings.edges), tomorrow)
    assert stored is not None
    assert stored.effective_at == MIDNIGHT + timedelta(days=1)
    assert stored.plan.find(Lane.FLAGGED, 0.9, Media.MOVING)[1] < 0.2
    assert evidence is not None
    of_flagged = next(one for one in evidence if one.stratum.name == "flagged 0.800-0.950 moving")
    assert (of_flagged.labels, of_flagged.share) == (1.0, 0.0)


def test_another_budget_makes_another_plan_on_the_same_day(
    database: Database, settings: SamplingSettings
) -> None:
    score_all(database, Sampler(settings, KEY, lambda: NOW), {1: 0.1})
    larger = settings.model_copy(update={"daily_budget": 20})

    score_all(database, Sampler(larger, KEY, lambda: after(60)), {2: 0.1})

    assert rows(database, "SELECT daily_budget FROM sampling_plan ORDER BY id") == [(10,), (20,)]


def test_the_key_is_made_once_for_nobody_else_to_read(tmp_path: Path) -> None:
    path = tmp_path / "var" / "sampling.key"

    key = load_key(path)

    assert load_key(path) == key
    assert len(key) == 64
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_short_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("short")
    with pytest.raises(ConfigError, match="key_file"):
        load_key(path)


def test_item_ids_tell_nothing_of_the_reason(database: Database, settings: SamplingSettings) -> None:
    score_all(database, Sampler(settings, KEY, lambda: NOW), dict.fromkeys(range(1, 30), 0.1))

    found = rows(
        database, "SELECT r.item_id, u.log_id FROM review_item r JOIN upload u ON u.id = r.upload_id"
    )
    assert found
    assert all(public == item_id(int(str(log_id))) for public, log_id in found)


def test_a_draw_that_was_not_stored_is_drawn_again(database: Database, settings: SamplingSettings) -> None:
    with database.transaction() as tx:
        model = models.register(tx, model_version(), NOW)
        uploads.add(tx, [upload(log_id) for log_id in (1, 2, 3)], NOW)
        first, second, third = uploads.claim(tx, worker="w", limit=3, now=NOW, ttl_s=1e6)
    sampler = Sampler(settings, KEY, lambda: NOW)
    scored = replace(classification(model, 0.1), label="sfw")

    def kept(write: Write) -> bool:
        with database.transaction() as tx:
            write(tx)
        return True

    def lost(write: Write) -> bool:
        with pytest.raises(ZeroDivisionError):
            roll_back(write)
        return False

    def roll_back(write: Write) -> None:
        with database.transaction() as tx:
            write(tx)
            raise ZeroDivisionError

    assert sampler.record(kept, first, scored) is not None
    assert sampler.record(lost, second, scored) is None
    assert sampler.record(kept, third, scored) is not None

    (begin, p), (end, _p) = rows(database, "SELECT draw, probability FROM sample_draw ORDER BY upload_id")
    assert isinstance(begin, float)
    assert isinstance(p, float)
    assert end == pytest.approx((begin - p) % 1)

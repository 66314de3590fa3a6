"""What a level means, which one is in use, and thresholds that follow from both."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.errors import ConfigError
from bot.level_in_use import LevelInUse
from bot.level_settings import Target, parse_target
from bot.recalibration import recalibrate
from bot.settings import load_settings
from classifier.values import Level
from storage import level_choices, models, shadow_scores
from storage.engine import Database
from storage.errors import AppendOnly
from storage.feedback_tables import LevelChoiceRow
from storage.model_comparison import Maker, highest_scores
from storage.review_values import VerdictCode
from storage.tables import ClassificationRow, UploadRow
from storage.values import ReviewReason
from tests.review_items import give, put_up, verdict
from tests.storage_database import NOW, after, classification, fresh_database, model_version

CARD = {"cautious": 0.95, "balanced": 0.8, "sensitive": 0.5}
DAY_S = 86_400.0


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with fresh_database(tmp_path) as opened:
        yield opened


def reviewed(database: Database, days: float = 2.0) -> None:
    """200 uploads over some days; those from 0.6 on are explicit, half of them from 0.4 on."""
    scores = {number: number / 200 for number in range(1, 201)}
    for begin in range(0, 200, 10):
        part = {number: scores[number] for number in range(begin + 1, begin + 11)}
        put_up(database, part, now=after(begin * days * DAY_S / 200), reason=ReviewReason.AUDIT)
    explicit = {number: score >= 0.6 or (score >= 0.4 and number % 2) for number, score in scores.items()}
    code = {True: VerdictCode.NSFW_DELETE, False: VerdictCode.SFW}
    give(database, *(verdict(number, code[bool(explicit[number])], revision_id=number) for number in scores))


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("precision 0.5", Target(precision=0.5)),
        (" per_day 40 ", Target(per_day=40)),
        ("precision .25", Target(precision=0.25)),
    ],
)
def test_a_target_is_a_word_and_a_number(text: str, target: Target) -> None:
    assert parse_target(text) == target
    assert parse_target(str(target)) == target


@pytest.mark.parametrize(
    "text", ["0.5", "precision 1.5", "per_day 0", "recall 0.5", 0.5, "precision 0.5 per_day 4"]
)
def test_anything_else_is_an_error_that_names_the_key(text: object) -> None:
    with pytest.raises(ConfigError, match=r"levels\.balanced"):
        load_settings(overrides={"levels": {"balanced": text}})


def test_a_file_replaces_a_target_whole() -> None:
    settings = load_settings(overrides={"levels": {"balanced": "per_day 40"}})
    assert settings.levels.targets()["balanced"] == Target(per_day=40)
    assert set(settings.levels.targets()) == set(CARD)


def test_every_level_gets_the_threshold_that_it_asks_for(database: Database) -> None:
    reviewed(database)
    targets = {
        "cautious": Target(precision=0.97),
        "balanced": Target(precision=0.85),
        "sensitive": Target(per_day=80),
    }
    with database.read() as tx:
        found = recalibrate(tx, Maker("open_nsfw"), CARD, targets, "balanced", after(2 * DAY_S + 1))
    assert set(found.choices) == set(CARD)
    assert found.missing == {}
    assert found.thresholds["cautious"] == pytest.approx(0.6, abs=0.03)
    assert 0.4 < found.thresholds["balanced"] < found.thresholds["cautious"]
    assert found.thresholds["sensitive"] == pytest.approx(0.2, abs=0.01)


def test_the_card_holds_while_there_are_too_few_verdicts(database: Database) -> None:
    put_up(database, {1: 0.9})
    with database.read() as tx:
        found = recalibrate(tx, Maker("open_nsfw"), CARD, {"balanced": Target(0.5)}, "balanced", NOW)
    assert found.thresholds == CARD
    assert "50 are needed" in found.missing["balanced"]
    assert not found.unreachable


def test_a_level_that_no_threshold_reaches_is_told_apart(database: Database) -> None:
    reviewed(database)
    give(
        database,
        *(
            verdict(number, VerdictCode.SFW, revision_id=1000 + number, given_at=after(20))
            for number in range(1, 201)
        ),
    )
    with database.read() as tx:
        found = recalibrate(tx, Maker("open_nsfw"), CARD, {"balanced": Target(0.5)}, "balanced", NOW)
    assert found.unreachable == {"balanced"}
    assert found.thresholds == CARD


def test_where_levels_contradict_each_other_the_one_in_use_holds(database: Database) -> None:
    """A budget of few flags asks for more than the precision of the level above it."""
    reviewed(database)
    targets = {"balanced": Target(precision=0.8), "sensitive": Target(per_day=20)}
    thresholds = {}
    for level in ("balanced", "sensitive"):
        with database.read() as tx:
            found = recalibrate(tx, Maker("open_nsfw"), CARD, targets, level, after(2 * DAY_S + 1))
        assert found.thresholds["cautious"] >= found.thresholds["balanced"] >= found.thresholds["sensitive"]
        thresholds[level] = found.thresholds[level]
        assert found.thresholds[level] == found.choices[level].threshold
    assert thresholds["balanced"] < thresholds["sensitive"]


@pytest.mark.parametrize("share", [1.0, 0.25])
def test_a_budget_is_the_same_whatever_share_a_shadow_scored(database: Database, share: float) -> None:
    """And what it scored because people are asked about it would count too often, and is left out."""
    reviewed(database)
    wanted = model_version("shadow")
    with database.transaction() as tx:
        version = models.register(tx, wanted, NOW, decides=False)
        for row in tx.query(UploadRow).all():
            own = tx.query(ClassificationRow).filter_by(upload_id=row.id).one()
            representative = row.log_id % round(1 / share) == 0
            if representative or own.score >= 0.5:
                scored = classification(version, own.score)
                shadow_scores.add(tx, row.id, scored, own.created_at, representative=representative)
    with database.read() as tx:
        scores, days = highest_scores(tx, Maker("shadow"), after(2 * DAY_S + 1), 28, 1000)
    assert len(scores) == 200 * share
    assert days == pytest.approx(2 * share, rel=0.02)
    assert len([score for score in scores if score >= 0.5]) / days == pytest.approx(50, rel=0.05)


def test_a_change_of_level_reaches_everybody_and_the_store_once(database: Database) -> None:
    told: list[Level] = []
    level = LevelInUse(database, "wiki", told.append)
    for one in ("balanced", "balanced", "sensitive", "sensitive"):
        level(one)
    LevelInUse(database, "wiki")("sensitive")  # after a restart
    assert told == ["balanced", "balanced", "sensitive", "sensitive"]
    with database.read() as tx:
        assert level_choices.in_use(tx) == "sensitive"
        assert [(row.level, row.source) for row in tx.query(LevelChoiceRow).all()] == [
            ("balanced", "wiki"),
            ("sensitive", "wiki"),
        ]


def test_what_was_chosen_when_cannot_be_rewritten(database: Database) -> None:
    with database.transaction() as tx:
        level_choices.note(tx, "balanced", "settings", NOW)
    with pytest.raises(AppendOnly), database.transaction() as tx:
        tx.query(LevelChoiceRow).one().level = "cautious"

"""Promotion by evidence: what is accepted, refused and undone, and the commands that do it."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bot.cli import app
from bot.judging import Margins
from bot.level_settings import Target
from bot.promotion import Deciding, Refused
from classifier.values import ModelCard
from storage import model_registry, models, shadow_scores
from storage.engine import Database
from storage.model_registry import IllegalStanding, ModelStanding, RegisteredModel
from storage.review_values import VerdictCode
from storage.tables import UploadRow
from storage.values import ReviewReason
from tests.review_items import give, put_up, verdict
from tests.storage_database import after, classification, fresh_database, model_version

THRESHOLDS = {"cautious": 0.95, "balanced": 0.8, "sensitive": 0.5}
COUNT = 120


def card(name: str) -> ModelCard:
    digest = "ab" * 32 if name == "open_nsfw" else name[0] * 64
    return ModelCard(name, "tiny", digest, "imagenet-v1", 224, THRESHOLDS, "CC0-1.0", "tests")  # type: ignore[arg-type]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with fresh_database(tmp_path) as opened:
        yield opened


@pytest.fixture
def deciding(database: Database) -> Deciding:
    return Deciding(database, card, "open_nsfw", "balanced", "Ann", after(100))


def explicit(log_id: int) -> bool:
    return log_id % 3 == 0


def reviewed(
    database: Database,
    name: str = "",
    right: bool = True,
    count: int = COUNT,
    reason: ReviewReason = ReviewReason.AUDIT,
) -> None:
    """Reviewed uploads that the active model gets wrong every sixth time, and another model's scores."""
    scores = {log: 0.9 if explicit(log) != (log % 6 == 0) else 0.1 for log in range(1, count + 1)}
    put_up(database, scores, now=after(0), reason=reason)
    code = {True: VerdictCode.NSFW_DELETE, False: VerdictCode.SFW}
    give(database, *(verdict(log, code[explicit(log)], revision_id=log) for log in scores))
    if name:
        with database.transaction() as tx:
            version = models.register(
                tx, replace(model_version(name), weights_sha256=card(name).weights_sha256), after(0)
            )
            for row in tx.query(UploadRow).all():
                score = 0.9 if explicit(row.log_id) == right else 0.1
                shadow_scores.add(tx, row.id, classification(version, score), after(1), representative=True)


def test_a_better_model_is_promoted_and_rolled_back_in_one_step(
    database: Database, deciding: Deciding
) -> None:
    reviewed(database, "better")
    deciding.set_standing("better", ModelStanding.CANDIDATE)
    promoted = deciding.promote("better")
    assert [(one.name, one.standing.value) for one in promoted.written] == [
        ("open_nsfw", "retired"),
        ("better", "active"),
    ]
    assert promoted.judged.basis == "feedback"
    assert promoted.judged.figures[0].low > 0
    again, retired = deciding.roll_back("flags too much")
    assert (again.name, retired.name) == ("open_nsfw", "better")


def test_a_worse_model_is_refused_with_the_figures_unless_forced(
    database: Database, deciding: Deciding
) -> None:
    reviewed(database, "worse", right=False)
    deciding.set_standing("worse", ModelStanding.CANDIDATE)
    with pytest.raises(Refused, match=r"worse less open_nsfw .*: F1 -0\.\d+ .* 120 labelled"):
        deciding.promote("worse", margins=Margins(f1=0.1))
    written = deciding.promote("worse", force=True).written
    assert written[-1].evidence["promotion"]["forced"] is True


def test_without_common_feedback_nothing_is_promoted(database: Database, deciding: Deciding) -> None:
    reviewed(database)
    deciding.set_standing("new", ModelStanding.CANDIDATE)
    with pytest.raises(Refused, match="0 labelled uploads in common"):
        deciding.promote("new")


@pytest.mark.parametrize(("against", "accepted"), [("ab" * 32, True), ("cd" * 32, False)])
def test_an_evaluation_counts_against_the_very_model_that_is_active(
    database: Database, deciding: Deciding, against: str, accepted: bool
) -> None:
    better = {"low": 0.1, "value": 0.2, "high": 0.3}
    figures = {"f1": better, "recall": better, "recall_at_equal_load": better}
    evidence = {"evaluation": {"against_sha256": against, "labelled": 90, **figures}}
    with database.transaction() as tx:
        model_registry.change(
            tx,
            RegisteredModel("new", "n" * 64, ModelStanding.CANDIDATE, after(0), "retrain", evidence=evidence),
        )
    if accepted:
        assert deciding.promote("new").judged.basis == "evaluation"
    else:
        with pytest.raises(Refused):
            deciding.promote("new")


def test_where_only_flagged_uploads_were_reviewed_nobody_is_promoted(
    database: Database, deciding: Deciding
) -> None:
    """What the active model missed is unknown then, and so is what the other one would find."""
    reviewed(database, "better", reason=ReviewReason.FLAGGED)
    deciding.set_standing("better", ModelStanding.CANDIDATE)
    assert not deciding.compare("open_nsfw", "better").audited
    with pytest.raises(Refused, match="only flagged uploads were reviewed"):
        deciding.promote("better")


def test_the_active_model_cannot_just_be_retired(deciding: Deciding) -> None:
    deciding.begin()
    with pytest.raises(IllegalStanding, match="roll back"):
        deciding.set_standing("open_nsfw", ModelStanding.RETIRED)


def test_a_threshold_is_kept_with_the_model_and_used_in_comparisons(
    database: Database, deciding: Deciding
) -> None:
    reviewed(database, "better")
    deciding.set_standing("better", ModelStanding.CANDIDATE)
    written, choice = deciding.calibrate("better", Target(precision=0.9))
    assert choice.precision.value == 1.0
    assert written.thresholds["balanced"] == choice.threshold
    assert deciding.compare("open_nsfw", "better").found.precision.second == 1.0


def test_too_little_feedback_chooses_no_threshold(database: Database, deciding: Deciding) -> None:
    reviewed(database, count=20)
    with pytest.raises(Refused, match="only 20 items"):
        deciding.calibrate("open_nsfw", Target(precision=0.5))
    with database.read() as tx:
        found = model_registry.find(tx, "open_nsfw")
    assert found is not None
    assert found.thresholds == {}


def flags_more(database: Database, name: str = "louder", count: int = 240) -> None:
    """Reviewed uploads on which a candidate finds everything, and flags as many harmless ones besides."""
    put_up(
        database,
        {log: 0.9 if log % 4 == 0 else 0.1 for log in range(1, count + 1)},
        now=after(0),
        reason=ReviewReason.AUDIT,
    )
    code = {True: VerdictCode.NSFW_DELETE, False: VerdictCode.SFW}
    give(database, *(verdict(log, code[log % 3 == 0], revision_id=log) for log in range(1, count + 1)))
    with database.transaction() as tx:
        version = models.register(
            tx, replace(model_version(name), weights_sha256=card(name).weights_sha256), after(0)
        )
        for row in tx.query(UploadRow).all():
            score = 0.9 if row.log_id % 3 == 0 else (0.85 if row.log_id % 3 == 1 else 0.1)
            shadow_scores.add(tx, row.id, classification(version, score), after(1), representative=True)


def test_a_promotion_recalibrates_to_what_the_level_asks(database: Database, deciding: Deciding) -> None:
    """At its card's threshold half of the candidate's flags would be wrong."""
    flags_more(database)
    deciding.set_standing("louder", ModelStanding.CANDIDATE)
    asked = replace(deciding, targets={"balanced": Target(precision=0.9)})
    assert asked.compare("open_nsfw", "louder").found.precision.second == pytest.approx(0.5)
    promoted = asked.promote("louder", force=True)
    active = promoted.written[-1]
    assert 0.85 < active.thresholds["balanced"] < 0.9
    assert active.evidence["calibration"]["targets"] == {"balanced": "precision 0.9"}
    assert promoted.judged.recalibrated == (False, True)
    after_it = asked.compare("open_nsfw", "louder")
    assert (after_it.found.precision.second, after_it.found.recall.second) == (1.0, 1.0)


def test_where_the_level_cannot_be_reached_the_candidate_is_refused(
    database: Database, deciding: Deciding
) -> None:
    reviewed(database, "worse", right=False)
    deciding.set_standing("worse", ModelStanding.CANDIDATE)
    asked = replace(deciding, targets={"balanced": Target(precision=0.9)})
    with pytest.raises(Refused, match=r"What decided: worse: no threshold reaches a precision of 90%"):
        asked.promote("worse", margins=Margins(1.0, 1.0))


def test_a_better_f1_does_not_buy_a_lower_recall(database: Database, deciding: Deciding) -> None:
    """The active model finds everything among many; the candidate flags rightly, and misses a third."""
    count = 240
    put_up(
        database,
        {log: 0.9 if log % 3 else 0.1 for log in range(1, count + 1)},
        now=after(0),
        reason=ReviewReason.AUDIT,
    )
    code = {True: VerdictCode.NSFW_DELETE, False: VerdictCode.SFW}
    explicit_ones = {log: log % 6 in (1, 4) for log in range(1, count + 1)}
    give(database, *(verdict(log, code[label], revision_id=log) for log, label in explicit_ones.items()))
    with database.transaction() as tx:
        version = models.register(
            tx, replace(model_version("silent"), weights_sha256=card("silent").weights_sha256), after(0)
        )
        for row in tx.query(UploadRow).all():
            found = explicit_ones[row.log_id] and row.log_id % 9 != 1
            scored = classification(version, 0.9 if found else 0.1)
            shadow_scores.add(tx, row.id, scored, after(1), representative=True)
    deciding.set_standing("silent", ModelStanding.CANDIDATE)
    compared = deciding.compare("open_nsfw", "silent").found
    assert compared.f1.low > 0
    assert compared.recall.high < 0
    with pytest.raises(Refused, match="What decided: recall, -"):
        deciding.promote("silent")


def test_of_two_who_decide_at_once_one_is_told_that_the_other_was_first(
    database: Database, deciding: Deciding
) -> None:
    for name in ("better", "other"):
        deciding.set_standing(name, ModelStanding.CANDIDATE)
    deciding.begin()
    rivals = [replace(deciding, by="Bea")]

    def cards(name: str) -> ModelCard:
        """While Ann looks at the figures, Bea promotes the other one."""
        if rivals:
            rivals.pop().promote("other", force=True)
        return card(name)

    with pytest.raises(Refused, match="somebody else decided"):
        replace(deciding, cards=cards).promote("better", force=True)
    with database.read() as tx:
        active = model_registry.holder(tx, ModelStanding.ACTIVE)
        history = model_registry.history(tx)
    assert active is not None
    assert (active.name, active.set_by) == ("other", "Bea")
    assert sum(one.standing is ModelStanding.ACTIVE for one in history) == 2


def test_the_commands_tell_who_did_what(tmp_path: Path) -> None:
    environment = {"COMMONSBOT_STORE__URL": f"sqlite:///{tmp_path / 'bot.sqlite3'}"}
    runner = CliRunner()
    done = runner.invoke(app, ["models", "candidate", "open_nsfw", "--by", "Ann"], env=environment)
    assert (done.exit_code, done.stdout) == (0, "open_nsfw is candidate now, says Ann\n")
    told = runner.invoke(app, ["models", "history", "--json"], env=environment)
    assert json.loads(told.stdout)["set_by"] == "Ann"
    assert runner.invoke(app, ["models", "rollback"], env=environment).exit_code == 3
    both = ["models", "calibrate", "open_nsfw", "--precision", "0.5", "--per-day", "4"]
    assert runner.invoke(app, both, env=environment).exit_code == 2
    assert runner.invoke(app, ["models", "calibrate", "open_nsfw"], env=environment).exit_code == 1
    same = runner.invoke(app, ["models", "compare", "open_nsfw", "open_nsfw", "--json"], env=environment)
    assert json.loads(same.stdout)["labelled"] == 0

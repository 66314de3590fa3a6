"""Who is candidate, shadow, active or retired: what may follow on what, and the way back."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from storage import model_registry
from storage.engine import Database
from storage.model_registry import IllegalStanding, ModelStanding, RegisteredModel
from tests.storage_database import after, fresh_database

CANDIDATE, SHADOW = ModelStanding.CANDIDATE, ModelStanding.SHADOW
ACTIVE, RETIRED = ModelStanding.ACTIVE, ModelStanding.RETIRED


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with fresh_database(tmp_path) as opened:
        yield opened


def wanted(name: str, standing: ModelStanding, second: float = 0, **more: object) -> RegisteredModel:
    values = {"weights_sha256": name[0] * 64, **more}
    return RegisteredModel(name, standing=standing, since=after(second), set_by="Ann", **values)  # type: ignore[arg-type]


def change(database: Database, *steps: RegisteredModel) -> None:
    for step in steps:
        with database.transaction() as tx:
            model_registry.change(tx, step)


def now(database: Database) -> dict[str, ModelStanding]:
    with database.read() as tx:
        return {model.name: model.standing for model in model_registry.standings(tx)}


def test_an_empty_registry_names_no_active_model(database: Database) -> None:
    with database.read() as tx:
        assert model_registry.holder(tx, ACTIVE) is None
        assert model_registry.former_active(tx) is None


def test_the_latest_row_counts_and_all_are_kept(database: Database) -> None:
    change(
        database, wanted("a", CANDIDATE, 0), wanted("a", SHADOW, 1, note="looks good"), wanted("a", ACTIVE, 2)
    )
    assert now(database) == {"a": ACTIVE}
    with database.read() as tx:
        rows = model_registry.history(tx)
    assert [row.standing for row in rows] == [ACTIVE, SHADOW, CANDIDATE]
    assert (rows[1].set_by, rows[1].since, rows[1].note) == ("Ann", after(1), "looks good")


def test_who_takes_a_place_sends_the_one_before_away(database: Database) -> None:
    change(database, wanted("a", CANDIDATE), wanted("a", ACTIVE), wanted("b", CANDIDATE), wanted("b", SHADOW))
    change(database, wanted("c", CANDIDATE), wanted("c", SHADOW))
    assert now(database) == {"a": ACTIVE, "b": CANDIDATE, "c": SHADOW}
    change(database, wanted("c", ACTIVE))
    assert now(database) == {"a": RETIRED, "b": CANDIDATE, "c": ACTIVE}


@pytest.mark.parametrize("standing", [SHADOW, ACTIVE, RETIRED])
def test_an_unknown_model_begins_as_candidate(database: Database, standing: ModelStanding) -> None:
    with pytest.raises(IllegalStanding, match="not registered"):
        change(database, wanted("a", standing))
    assert now(database) == {}


def test_a_retired_model_has_to_be_a_candidate_first(database: Database) -> None:
    change(database, wanted("a", CANDIDATE), wanted("a", RETIRED))
    with pytest.raises(IllegalStanding, match="a is retired and cannot become active"):
        change(database, wanted("a", ACTIVE))
    change(database, wanted("a", CANDIDATE), wanted("a", ACTIVE))
    assert now(database) == {"a": ACTIVE}


def test_other_weights_under_the_name_of_the_active_model_are_refused(database: Database) -> None:
    change(database, wanted("a", CANDIDATE), wanted("a", ACTIVE))
    with pytest.raises(IllegalStanding):
        change(database, wanted("a", CANDIDATE, weights_sha256="f" * 64))


def test_other_weights_need_a_new_candidacy_and_lose_the_thresholds(database: Database) -> None:
    change(database, wanted("a", CANDIDATE, thresholds={"balanced": 0.4}))
    with pytest.raises(IllegalStanding, match="other weights"):
        change(database, wanted("a", ACTIVE, weights_sha256="f" * 64))
    change(database, wanted("a", CANDIDATE, weights_sha256="f" * 64))
    with database.read() as tx:
        found = model_registry.find(tx, "a")
    assert found is not None
    assert found.thresholds == {}


def test_thresholds_and_the_evaluation_outlive_a_change(database: Database) -> None:
    change(database, wanted("a", CANDIDATE, evidence={"evaluation": {"f1": 0.7}}))
    with database.transaction() as tx:
        model_registry.calibrate(tx, "a", {"balanced": 0.6}, {"n": 90}, by="Ann", now=after(1))
    change(database, wanted("a", ACTIVE, 2, evidence={"margin": 0.0}))
    with database.read() as tx:
        found = model_registry.find(tx, "a")
    assert found is not None
    assert found.thresholds == {"balanced": 0.6}
    assert found.evidence == {"evaluation": {"f1": 0.7}, "calibration": {"n": 90}, "margin": 0.0}


def test_rolling_back_returns_to_the_model_before_with_its_thresholds(database: Database) -> None:
    change(database, wanted("a", CANDIDATE), wanted("a", ACTIVE, thresholds={"balanced": 0.3}))
    change(database, wanted("b", CANDIDATE), wanted("b", ACTIVE), wanted("c", CANDIDATE), wanted("c", ACTIVE))
    with database.transaction() as tx:
        model_registry.calibrate(tx, "c", {"balanced": 0.9}, {}, by="Ann", now=after(3))
    for expected in ("b", "a"):
        with database.transaction() as tx:
            again, _retired = model_registry.roll_back(tx, by="Bea", now=after(5))
        assert (again.name, again.set_by, again.standing) == (expected, "Bea", ACTIVE)
    assert again.thresholds == {"balanced": 0.3}
    assert now(database) == {"a": ACTIVE, "b": RETIRED, "c": RETIRED}
    with pytest.raises(IllegalStanding, match="nothing to go back to"), database.transaction() as tx:
        model_registry.roll_back(tx, by="Bea", now=after(6))


def test_after_a_roll_back_the_next_promotion_can_be_undone_too(database: Database) -> None:
    change(database, wanted("a", CANDIDATE), wanted("a", ACTIVE), wanted("b", CANDIDATE), wanted("b", ACTIVE))
    with database.transaction() as tx:
        model_registry.roll_back(tx, by="Bea", now=after(5))
        model_registry.calibrate(tx, "a", {"balanced": 0.2}, {}, by="Ann", now=after(6))
    change(database, wanted("c", CANDIDATE), wanted("c", ACTIVE))
    with database.read() as tx:
        former = model_registry.former_active(tx)
    assert former is not None
    assert (former.name, former.thresholds) == ("a", {"balanced": 0.2})


def test_the_configured_model_is_written_down_once(database: Database) -> None:
    with database.transaction() as tx:
        first = model_registry.begin_with(tx, wanted("a", ACTIVE))
        again = model_registry.begin_with(tx, wanted("b", ACTIVE))
    assert first == again
    assert now(database) == {"a": ACTIVE}

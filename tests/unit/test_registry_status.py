"""`status` tells who is active, who is a shadow, and how the shadow fares."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bot.cli import app
from storage import model_registry, models, shadow_runs
from storage.engine import Database
from storage.model_registry import ModelStanding, RegisteredModel
from storage.values import ModelVersion
from tests.storage_database import NOW, after, database_url, fresh_database, model_version

SHA256 = "c" * 64
pytestmark = pytest.mark.usefixtures("wide_tables")


def status(folder: Path, *options: str) -> str:
    environment = {"COMMONSBOT_STORE__URL": database_url(folder)}
    done = CliRunner().invoke(app, ["status", *options], env=environment)
    assert done.exit_code == 0, done.output
    return done.stdout


def row(text: str, name: str) -> str:
    [found] = [line for line in text.splitlines() if line.split()[:1] == [name]]
    return " ".join(found.split()[1:])


def appoint(database: Database, name: str, standing: ModelStanding, weights: str = SHA256) -> None:
    with database.transaction() as tx:
        for step in (ModelStanding.CANDIDATE, standing):
            model_registry.change(tx, RegisteredModel(name, weights, step, NOW, "Ann"))


def used(database: Database, version: ModelVersion) -> None:
    with database.transaction() as tx:
        models.register(tx, version, NOW)
        watcher = model_version("watcher")
        models.register(tx, watcher, after(60), decides=False)


@pytest.mark.parametrize(
    ("active", "told"),
    [
        (None, "open_nsfw abababababab"),
        ("open_nsfw", "open_nsfw abababababab, active since 2026-03-01 12:00 UTC, says Ann"),
        (
            "better",
            "open_nsfw abababababab; from the next start better abababababab, "
            "active since 2026-03-01 12:00 UTC, says Ann",
        ),
    ],
)
def test_the_model_is_the_one_that_scores_and_not_its_shadow(
    tmp_path: Path, active: str | None, told: str
) -> None:
    with fresh_database(tmp_path) as database:
        used(database, model_version())
        if active is not None:
            appoint(database, active, ModelStanding.ACTIVE, "ab" * 32)
    assert row(status(tmp_path), "model") == told


def test_a_shadow_is_told_with_what_became_of_uploads_or_why_it_cannot_score(tmp_path: Path) -> None:
    with fresh_database(tmp_path) as database:
        assert "shadow" not in status(tmp_path)
        appoint(database, "watcher", ModelStanding.SHADOW)
        assert row(status(tmp_path), "shadow") == "watcher cccccccccccc: no daemon has taken it up yet"
        for added in ({"scored": 3}, {"scored": 2, "left_out": 4, "failed": 1}):
            with database.transaction() as tx:
                shadow_runs.tell(tx, "watcher", SHA256, state="scoring", now=NOW, added=added)
        told = "watcher cccccccccccc: scoring; 5 scored, 1 failed, 4 left out, as of 2026-03-01 12:00:00 UTC"
        assert row(status(tmp_path), "shadow") == told
        with database.transaction() as tx:
            shadow_runs.tell(tx, "watcher", SHA256, state="failed", message="no room", now=after(5))
        assert "cannot be loaded: no room; 5 scored" in row(status(tmp_path), "shadow")
        found = json.loads(status(tmp_path, "--json"))["registry"]
    assert found["active"] is None
    assert found["shadow"]["name"] == "watcher"
    assert found["run"]["counts"] == {"scored": 5, "left_out": 4, "failed": 1}

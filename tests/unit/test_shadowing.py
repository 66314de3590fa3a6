"""A shadow's scores are kept beside the others, ask nobody anything, and never cost an upload its outcome."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import func, select

from bot.shadowing import roles
from classifier.values import MediaPart
from storage import model_registry, models, shadow_scores
from storage.engine import Database
from storage.feedback_tables import ShadowScoreRow
from storage.model_registry import ModelStanding, RegisteredModel
from storage.tables import ClassificationRow, ReviewItemRow, UploadRow
from tests.review_items import put_up
from tests.storage_database import NOW, after, classification, fresh_database, model_version

PARTS = (MediaPart(Path("photo.jpg")),)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with fresh_database(tmp_path) as opened:
        yield opened


def test_a_shadows_score_is_kept_once_and_asks_nobody(database: Database) -> None:
    put_up(database, {1: 0.1})
    with database.transaction() as tx:
        version = models.register(tx, replace(model_version("shadow"), weights_sha256="c" * 64), NOW)
        upload_id = tx.scalars(select(UploadRow.id)).one()
        scored = classification(version, 0.95)
        added = [shadow_scores.add(tx, upload_id, scored, after(1), representative=True) for _ in range(2)]
    assert added == [True, False]
    with database.read() as tx:
        assert tx.scalar(select(func.count(ShadowScoreRow.id))) == 1
        assert tx.scalar(select(func.count(ClassificationRow.id))) == 1
        assert tx.scalar(select(func.count(ReviewItemRow.id))) == 1


def test_an_empty_registry_leaves_the_configured_model_active(database: Database) -> None:
    found = roles(database, "open_nsfw")
    assert (found.active, dict(found.thresholds), found.shadow) == ("open_nsfw", {}, None)


def test_the_registry_names_active_model_thresholds_and_shadow(database: Database) -> None:
    candidate, active, shadow = ModelStanding.CANDIDATE, ModelStanding.ACTIVE, ModelStanding.SHADOW
    steps = [("a", candidate), ("a", active), ("b", candidate), ("b", shadow)]
    with database.transaction() as tx:
        for name, standing in steps:
            wanted = RegisteredModel(name, name * 64, standing, NOW, "Ann", thresholds={"balanced": 0.6})
            model_registry.change(tx, wanted)
    found = roles(database, "open_nsfw")
    assert (found.active, found.thresholds["balanced"]) == ("a", 0.6)
    assert found.shadow is not None
    assert found.shadow.name == "b"

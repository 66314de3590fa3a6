"""A shadow's scores are kept beside the others, ask nobody anything, and never cost an upload its outcome."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import func, select

from bot.scoring import call_threads
from bot.settings import load_settings
from bot.shadowing import open_shadow, roles, settings_beside
from classifier.errors import ModelError
from classifier.models import catalogue
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


def registered(name: str, weights_sha256: str) -> RegisteredModel:
    return RegisteredModel(name, weights_sha256, ModelStanding.SHADOW, NOW, "Ann")


def test_a_shadow_whose_weights_are_others_now_is_not_loaded(database: Database) -> None:
    with pytest.raises(ModelError, match="open_nsfw has other weights than were registered"):
        open_shadow(load_settings(), database, registered("open_nsfw", "c" * 64))


def test_a_shadow_for_which_there_is_no_memory_left_is_not_loaded(database: Database) -> None:
    """The limit is for the whole process, which holds the active model already."""
    settings = load_settings(overrides={"classifier": {"engine": "auto", "memory_mb": 1}})
    weights = catalogue.card("open_nsfw").weights_sha256
    with pytest.raises(ModelError, match="allow more memory"):
        open_shadow(settings, database, registered("open_nsfw", weights))
    with database.read() as tx:
        assert models.last_used(tx) is None


@pytest.mark.parametrize("threads", [0, 3])
def test_a_shadow_leaves_the_active_models_threads_alone_and_takes_what_memory_is_left(threads: int) -> None:
    """To torch, the number of threads is the whole process's: another one would change the active scores."""
    settings = load_settings(overrides={"classifier": {"threads": threads, "memory_mb": 1000}})
    own = settings_beside(settings, "shadow", 600 * 1024**2)
    assert own.classifier.threads == call_threads(settings) == (threads or call_threads(settings))
    assert (own.classifier.model, own.decode.workers) == ("shadow", 1)
    assert own.classifier.memory_mb == 1000 - 600 - 64
    assert own.decode.model_copy(update={"workers": settings.decode.workers}) == settings.decode

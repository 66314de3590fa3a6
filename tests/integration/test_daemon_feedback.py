"""The feedback loop inside the running daemon: scores draw, what is asked about is kept, and goes again."""

import json
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from PIL import Image
from sqlalchemy import func, select

from bot.demo import CORPUS
from bot.minicommons.corpus import prepare_corpus
from bot.minicommons.extmetadata import DEED, LICENCE
from bot.minicommons.server import MiniCommons
from bot.settings import ROOT, Settings, load_settings
from classifier.models import catalogue
from storage import file_changes, kept_copies, picture_hashes
from storage.engine import Database
from storage.feedback_tables import SampleDrawRow
from storage.model_registry import ModelStanding, RegisteredModel, begin_with
from storage.tables import ClassificationRow, ReviewItemRow
from tests.daemon_process import settings_for, settings_values, write_config
from tests.integration.test_daemon_faults import running, wait_for
from tests.integration.test_export_runs import terms_of
from tests.torch_threads import one_thread  # noqa: F401

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

UPLOADS = ("positive", "jpeg-baseline", "webp")
POSITIVES = ("positive", "positive-large", "positive-png")


def kept(database: Database, settings: Settings) -> list[str]:
    with database.read() as tx:
        return list(kept_copies.titles(tx, settings.wiki.id))


def test_scores_draw_and_what_people_are_asked_about_is_kept_until_it_is_suppressed(tmp_path: Path) -> None:
    sampling = {"enabled": True, "daily_budget": 50, "key_file": str(tmp_path / "sampling.key")}
    with MiniCommons(prepare_corpus(CORPUS, UPLOADS)) as commons:
        commons.publish_noise(-1, rate_per_s=50)
        settings = settings_for(commons, tmp_path, sampling=sampling)
        with running(settings):
            commons.publish_corpus(names=UPLOADS)
            outcomes = wait_for(settings, lambda _, done: len(done) >= len(UPLOADS))
            [flagged] = [outcome.title for outcome in outcomes if outcome.label == "nsfw"]
            database = Database.open(settings.store.url, ROOT)
            with database.read() as tx:
                draws = tx.scalars(select(SampleDrawRow)).all()
                scores = tx.scalar(select(func.count()).select_from(ClassificationRow))
                asked = {
                    item.classification_id: (item.inclusion_probability, item.stratum)
                    for item in tx.scalars(select(ReviewItemRow))
                }
                drawn = {
                    draw.classification_id: (draw.probability, draw.stratum) for draw in draws if draw.chosen
                }
            assert len(draws) == scores == len(UPLOADS)
            assert asked == drawn
            assert len(asked) >= 1

            wait_for(settings, lambda *_: flagged in kept(database, settings))
            pictures = list(settings.retention.directory.rglob("*.jpg"))
            assert len(pictures) == len(asked)
            for path in pictures:
                assert path.stat().st_mode & 0o777 == 0o600
                with Image.open(path) as image:
                    assert max(image.size) <= settings.retention.side_px
                    assert not image.getexif()

            now = datetime.now(UTC)
            with database.transaction() as tx:
                assert file_changes.note_suppressed(tx, settings.wiki.id, flagged, now, now)
            wait_for(settings, lambda *_: flagged not in kept(database, settings))
            assert len([*settings.retention.directory.rglob("*.jpg")]) == len(pictures) - 1
            database.close()


def test_with_a_retention_of_zero_everything_else_works_and_an_export_fetches_politely(
    tmp_path: Path,
) -> None:
    with MiniCommons(prepare_corpus(CORPUS, POSITIVES)) as commons:
        commons.publish_noise(-1, rate_per_s=50)
        values = settings_values(commons, tmp_path, retention={"days": 0, "near_duplicates": True})
        settings = load_settings(overrides=values)
        with running(settings):
            commons.publish_corpus(names=POSITIVES)
            outcomes = wait_for(settings, lambda _, done: len(done) >= len(POSITIVES))
        assert [outcome.label for outcome in outcomes] == ["nsfw"] * len(POSITIVES)
        assert not list(settings.retention.directory.rglob("*.jpg"))
        gone, hidden, left = sorted(outcome.title for outcome in outcomes)
        commons.delete(gone)
        commons.suppress(hidden)
        config = write_config(tmp_path / "bot.toml", values)
        done = exported(config, tmp_path / "out")
        rows = {row["title"]: row for row in map(json.loads, (done / "feedback.jsonl").open())}
        assert {title: row["media_state"] for title, row in rows.items()} == {
            gone: "deleted",
            left: "fetched",
        }
        assert gone in (done / "missing.csv").read_text()
        for path in done.rglob("*"):
            assert path.is_dir() or hidden.encode() not in path.read_bytes()
        with Image.open(done / rows[left]["path"]) as picture:
            picture.load()
        licence, deed, author = terms_of(rows[left])
        assert (licence, deed) == (LICENCE, DEED)
        assert re.fullmatch(r"Uploader \d+", author or "")
        assert terms_of(rows[gone]) == (None, None, None)
        assert f"| `{LICENCE}` | 1 |\n| unknown | 1 |" in (done / "README.md").read_text()
    database = Database.open(settings.store.url, ROOT)
    with database.read() as tx:
        assert len(picture_hashes.reviewed(tx, 0)[0]) == len(POSITIVES)
    database.close()


def exported(config: Path, out: Path) -> Path:
    """`python -m bot export --fetch`, as an operator calls it."""
    where = [str(out), "--key-file", str(out.with_name("export-key")), "--config", str(config)]
    ended = subprocess.run(
        [sys.executable, "-m", "bot", "export", "--fetch", "--format", "csv", *where],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return out / "0001"


@pytest.mark.parametrize(
    ("weights", "labels"),
    [(catalogue.card("open_nsfw").weights_sha256, {"nsfw"}), ("0" * 64, {"nsfw", "sfw"})],
    ids=["same", "others"],
)
def test_the_active_models_calibrated_thresholds_count_for_its_weights_alone(
    tmp_path: Path, weights: str, labels: set[str]
) -> None:
    """A threshold of 0 flags everything, which the card's would not."""
    with MiniCommons(prepare_corpus(CORPUS, UPLOADS)) as commons:
        commons.publish_noise(-1, rate_per_s=50)
        settings = settings_for(commons, tmp_path)
        database = Database.open(settings.store.url, ROOT)
        database.migrate()
        with database.transaction() as tx:
            active = RegisteredModel(
                "open_nsfw",
                weights,
                ModelStanding.ACTIVE,
                datetime.now(UTC),
                "Ann",
                thresholds={"balanced": 0.0},
            )
            begin_with(tx, active)
        database.close()
        with running(settings):
            commons.publish_corpus(names=UPLOADS)
            outcomes = wait_for(settings, lambda _, done: len(done) >= len(UPLOADS))
    assert {outcome.label for outcome in outcomes} == labels

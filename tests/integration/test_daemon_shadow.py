"""A daemon with a shadow, from its scores to a promotion, a refusal and the way back; killed, too."""

import json
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from typer.testing import CliRunner, Result

from bot import shadow_lane
from bot.cli import app
from bot.demo import CORPUS
from bot.minicommons.corpus import prepare_corpus
from bot.minicommons.server import MiniCommons
from bot.settings import ROOT, Settings
from classifier.models import catalogue
from storage import models, reviews, shadow_runs
from storage.engine import Database
from storage.feedback_tables import ShadowScoreRow
from storage.model_registry import ModelStanding, RegisteredModel, begin_with, change
from storage.review_values import Verdict, VerdictCode, VerdictSource
from storage.tables import ClassificationRow, ModelVersionRow, ReviewItemRow, UploadRow
from tests import shadow_models
from tests.daemon_process import read_store, settings_for, settings_values, start_daemon, write_config
from tests.integration.test_daemon_faults import running, wait_for
from tests.shadow_models import ACTIVE, BETTER, EXPLICIT, HARMLESS, WORSE
from tests.torch_threads import one_thread  # noqa: F401

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

NAMES = (*EXPLICIT, *HARMLESS)
EACH = 8
FILM = "vp9"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shadow_models.add_all(tmp_path_factory.mktemp("nets"))


@pytest.fixture(autouse=True)
def follows_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shadow_lane, "ROLES_INTERVAL_S", 0.2)
    monkeypatch.setattr(shadow_lane, "TELL_INTERVAL_S", 0.2)
    monkeypatch.setattr(shadow_lane, "MAX_WAITING", 1000)  # how fast this machine is, is not the question


def registered(cache: Path, name: str, standing: ModelStanding) -> RegisteredModel:
    digest = catalogue.card(name, cache).weights_sha256
    return RegisteredModel(name, digest, standing, datetime.now(UTC), "Ann")


def begin(database: Database, cache: Path) -> None:
    """One model is active, one its shadow, one a candidate."""
    database.migrate()
    with database.transaction() as tx:
        begin_with(tx, registered(cache, ACTIVE, ModelStanding.ACTIVE))
        for name in (BETTER, WORSE):
            change(tx, registered(cache, name, ModelStanding.CANDIDATE))
        change(tx, registered(cache, BETTER, ModelStanding.SHADOW))


def watching(database: Database, cache: Path, name: str) -> Callable[..., bool]:
    digest = catalogue.card(name, cache).weights_sha256

    def is_watching(*_: object) -> bool:
        with database.read() as tx:
            run = shadow_runs.find(tx, name, digest)
        return run is not None and run.state == shadow_runs.SCORING

    return is_watching


def shadow_scores(database: Database, name: str) -> dict[int, ShadowScoreRow]:
    with database.read() as tx:
        rows = tx.scalars(
            select(ShadowScoreRow)
            .join(ModelVersionRow, ModelVersionRow.id == ShadowScoreRow.model_version_id)
            .where(ModelVersionRow.name == name)
        )
        return {row.upload_id: row for row in rows}


def decide_all(database: Database, truth: dict[int, bool]) -> int:
    """A trusted verdict on everything that people are asked about; `truth` by log id."""
    with database.transaction() as tx:
        items = tx.execute(
            select(ReviewItemRow.item_id, UploadRow.log_id).join(
                UploadRow, UploadRow.id == ReviewItemRow.upload_id
            )
        ).all()
        now = datetime.now(UTC)
        codes = {True: VerdictCode.NSFW_DELETE, False: VerdictCode.SFW}
        verdicts = [
            Verdict(
                item_id=item,
                code=codes[truth[log_id]],
                comment="",
                author="Ann",
                author_id=7,
                author_groups=("patroller",),
                trusted=True,
                untrusted_reason=None,
                blind=True,
                revision_id=number,
                given_at=now,
                source=VerdictSource.WIKI,
            )
            for number, (item, log_id) in enumerate(items, 1)
        ]
        reviews.add_verdicts(tx, verdicts, now)
    return len(items)


def values_for(commons: MiniCommons, folder: Path, cache: Path) -> dict[str, Any]:
    return settings_values(
        commons,
        folder,
        classifier=shadow_models.chosen(cache),
        levels={"balanced": "precision 0.9"},
        sampling={
            "enabled": True,
            "daily_budget": 1000,
            "first_day_uploads": 100,
            "key_file": str(folder / "sampling.key"),
        },
    )


def command(config: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["models", *words, "--config", str(config)], env={"COLUMNS": "200"})


def decided_by(database: Database) -> Counter[tuple[str, float]]:
    """Scores that decided, by their makers' names and thresholds."""
    with database.read() as tx:
        rows = tx.execute(
            select(ModelVersionRow.name, ClassificationRow.threshold).join(
                ModelVersionRow, ModelVersionRow.id == ClassificationRow.model_version_id
            )
        )
        return Counter((name, threshold) for name, threshold in rows)


def test_from_a_shadows_scores_to_a_promotion_a_refusal_and_the_way_back(tmp_path: Path, cache: Path) -> None:
    with MiniCommons(prepare_corpus(CORPUS, (*NAMES, FILM))) as commons:
        commons.publish_noise(-1, rate_per_s=50)
        config = write_config(tmp_path / "bot.toml", values_for(commons, tmp_path, cache))
        settings = settings_for(commons, tmp_path, **values_for(commons, tmp_path, cache))
        database = Database.open(settings.store.url, ROOT)
        begin(database, cache)
        with running(settings):
            wait_for(settings, watching(database, cache, BETTER))
            commons.publish_many(EACH * len(NAMES), names=NAMES)
            commons.publish_corpus(names=(FILM,))
            first = EACH * len(NAMES) + 1
            wait_for(settings, lambda *_: len(shadow_scores(database, BETTER)) == first)
            shadowed = command(config, "shadow", WORSE, "--by", "Ann")
            assert shadowed.exit_code == 0, shadowed.output
            wait_for(settings, watching(database, cache, WORSE))
            commons.publish_many(EACH * len(NAMES), names=NAMES)
            wait_for(settings, lambda *_: len(shadow_scores(database, WORSE)) == first - 1)
        planned = commons.plan().by_log_id()
        truth = {log_id: one.specimen in EXPLICIT for log_id, one in planned.items()}

        check_scores(database, settings, planned)
        assert decide_all(database, truth) > EACH * len(NAMES)
        check_comparison(config)
        check_refusal(config)
        threshold = check_promotion(config)

        with running(settings):
            commons.publish_many(len(NAMES), names=NAMES)
            wait_for(settings, lambda _, done: len(done) == 2 * first - 1 + len(NAMES))
        assert decided_by(database)[BETTER, threshold] == len(NAMES)

        back = command(config, "rollback", "--by", "Bea", "--note", "too loud")
        assert back.stdout.splitlines() == [
            f"{BETTER} is retired now, says Bea",
            f"{ACTIVE} is active now, says Bea",
        ]
        database.close()


def check_scores(database: Database, settings: Settings, planned: dict[int, Any]) -> None:
    """The shadow decided nothing, looked at the film by itself, and is not what `status` calls the model."""
    status, outcomes = read_store(settings.store.url)
    assert Counter(outcome.log_id for outcome in outcomes) == Counter(planned.keys())
    assert {name for name, _ in decided_by(database)} == {ACTIVE}
    assert status.last_model is not None
    assert status.last_model.startswith(ACTIVE)
    with database.read() as tx:
        [film] = tx.scalars(select(UploadRow.id).where(UploadRow.title.like("%VP9%")))
        assert models.last_used(tx) == status.last_model
    seen = shadow_scores(database, BETTER)[film]
    assert seen.frame_count > 1
    assert seen.coverage is not None


def check_comparison(config: Path) -> None:
    told = command(config, "compare", ACTIVE, BETTER, "--json")
    found = json.loads(told.stdout)
    assert found["labelled"] >= EACH * len(NAMES)
    assert found["f1"]["low"] <= found["f1"]["value"] <= found["f1"]["high"]
    assert found["level"] == "balanced"
    assert "recall at equal load" in command(config, "compare", ACTIVE, BETTER).stdout


def check_refusal(config: Path) -> None:
    refused = command(config, "promote", WORSE, "--by", "Bea")
    assert refused.exit_code == 1
    told = refused.stderr.replace("\n", " ")
    for words in ("not promoted", f"{WORSE} less {ACTIVE}", "F1", "recall at equal review load", "decided:"):
        assert words in told


def check_promotion(config: Path) -> float:
    """The better one becomes active, with a threshold for what the level asks."""
    done = command(config, "promote", BETTER, "--by", "Bea", "--note", "finds more")
    assert done.exit_code == 0, done.output
    assert f"{BETTER} is active now, says Bea" in done.stdout
    [latest, *_] = map(json.loads, command(config, "history", BETTER, "--json").stdout.splitlines())
    assert (latest["standing"], latest["set_by"], latest["note"]) == ("active", "Bea", "finds more")
    names = [figure["name"] for figure in latest["evidence"]["promotion"]["figures"]]
    assert names == ["F1", "recall", "recall at equal review load"]
    assert latest["evidence"]["calibration"]["targets"]["balanced"] == "precision 0.9"
    assert 0.52 < latest["thresholds"]["balanced"] < 0.53  # between its harmless and its explicit pictures
    return float(latest["thresholds"]["balanced"])


def test_a_daemon_killed_between_the_two_scores_repeats_nothing(tmp_path: Path, cache: Path) -> None:
    log, count = tmp_path / "daemon.log", 40
    with MiniCommons(prepare_corpus(CORPUS, NAMES)) as commons:
        commons.publish_noise(-1, rate_per_s=50)
        values = values_for(commons, tmp_path, cache)
        config, url = write_config(tmp_path / "bot.toml", values), values["store"]["url"]
        database = Database.open(url, ROOT)
        begin(database, cache)
        with started(config, log) as daemon:
            until(daemon, log, watching(database, cache, BETTER))
            commons.publish_many(count, rate_per_s=20, names=NAMES)
            until(daemon, log, lambda: len(shadow_scores(database, BETTER)) >= 5)
            daemon.send_signal(signal.SIGKILL)
            daemon.wait()
        with started(config, log) as daemon:
            until(daemon, log, lambda: len(read_store(url)[1]) == count and not commons.publishing())
            daemon.send_signal(signal.SIGTERM)
            assert daemon.wait(timeout=60) == 0
        planned = {outcome.log_id for outcome in commons.plan().outcomes}
    outcomes = Counter(outcome.log_id for outcome in read_store(url)[1])
    assert outcomes.keys() == planned
    assert set(outcomes.values()) == {1}
    assert 5 <= len(shadow_scores(database, BETTER)) <= count
    assert list((tmp_path / "media").glob("upload-*")) == []
    database.close()


@contextmanager
def started(config: Path, log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    daemon = start_daemon(config, log)
    try:
        yield daemon
    finally:
        daemon.kill()
        daemon.wait()


def until(daemon: "subprocess.Popen[bytes]", log: Path, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 240
    while not condition():
        assert daemon.poll() is None, log.read_text()[-2000:]
        assert time.monotonic() < deadline, log.read_text()[-2000:]
        time.sleep(0.05)

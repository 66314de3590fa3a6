"""On a real store: `metrics` is right about bad reviewers and changed models, or says that it cannot be."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from bot.cli import app
from bot.feedback_settings import SamplingSettings
from bot.settings import load_settings
from storage.engine import Database
from tests.feedback_days import KEY, Day, Truth, live
from tests.storage_database import database_url, fresh_database

DAYS = 12


@dataclass(frozen=True)
class Store:
    """A store and how it is asked."""

    database: Database
    settings: SamplingSettings
    config: Path

    def fill(self, days: list[Day]) -> Truth:
        """Let the days go by."""
        return live(self.database, self.settings, days)

    def metrics(self, *options: str) -> dict[str, Any]:
        """What the command says, as a user would ask."""
        window = ["--since", "2026-02-28", "--until", "2026-03-20", "--config", str(self.config), "--json"]
        answer = CliRunner().invoke(app, ["metrics", *window, *options])
        assert answer.exit_code == 0, answer.output
        told: dict[str, Any] = json.loads(answer.stdout)
        return told


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    key = tmp_path / "sampling.key"
    key.write_bytes(KEY)
    config = tmp_path / "test.toml"
    config.write_text(f'[store]\nurl = "{database_url(tmp_path)}"\n[sampling]\nkey_file = "{key}"\n')
    settings = load_settings(config).sampling.model_copy(
        update={"daily_budget": 40, "uncertainty_share": 0.2, "first_day_uploads": 150}
    )
    with fresh_database(tmp_path) as database:
        yield Store(database, settings, config)


def holds(estimate: dict[str, Any], truth: float) -> bool:
    return estimate["value"] is not None and estimate["low"] <= truth <= estimate["high"]


def said(told: dict[str, Any], words: str) -> bool:
    return any(words in sentence for sentence in told["caveats"])


def test_with_good_reviewers_the_intervals_hold_the_truth_and_nothing_is_held_back(store: Store) -> None:
    truth = store.fill([Day()] * DAYS)
    told = store.metrics()
    assert holds(told["whole"]["precision"], truth.precision)
    assert holds(told["whole"]["recall"], truth.recall)
    assert told["caveats"] == []


def test_the_curve_is_drawn_with_its_bands(store: Store, tmp_path: Path) -> None:
    store.fill([Day(uploads=60)] * 3)
    picture = tmp_path / "curve.svg"
    points = store.metrics("--curve", str(picture))["curve"]
    drawn = ElementTree.fromstring(picture.read_text())
    bands = [len(one.attrib["points"].split()) for one in drawn.iter() if one.tag.endswith("polygon")]
    assert bands == [2 * len(points)] * 2
    words = {one.text for one in drawn.iter() if one.tag.endswith("text")}
    assert {"precision", "recall"} <= words


def test_a_reviewer_who_only_looks_at_high_scores_makes_recall_unknown(store: Store) -> None:
    truth = store.fill([Day(answers=lambda score: score >= 0.5)] * DAYS)
    told = store.metrics()
    assert told["whole"]["recall"]["value"] is None
    assert told["whole"]["recall"]["low"] <= truth.recall <= told["whole"]["recall"]["high"]
    assert holds(told["whole"]["precision"], truth.precision)
    assert said(told, "nothing is labelled in stratum unflagged 0.000-0.010")


def test_a_reviewer_who_picks_high_scores_within_strata_is_told(store: Store) -> None:
    store.fill([Day(answers=lambda score: not 0.8 <= score < 0.9 and not 0.5 <= score < 0.7)] * DAYS)
    assert said(store.metrics(), "reviewers seem to pick by the score")


def test_days_without_reviewers_are_told_and_leave_the_estimates_right(store: Store) -> None:
    days = [Day(answers=lambda _score: False) if number in (3, 7) else Day() for number in range(DAYS)]
    truth = store.fill(days)
    told = store.metrics()
    assert holds(told["whole"]["precision"], truth.precision)
    assert holds(told["whole"]["recall"], truth.recall)
    assert said(told, "nobody decided on anything that was put up on 2 of 12 days (2026-03-04, 2026-03-08)")


def test_another_model_in_mid_month_is_told_and_measured_apart(store: Store) -> None:
    weak, strong = Day(sharp=1.2), Day(model="another", sharp=8.0)
    store.fill([weak] * (DAYS // 2) + [strong] * (DAYS // 2))
    told = store.metrics("--by", "model")
    assert said(told, "the model changed in this period")
    recalls = {group["name"]: group["recall"]["value"] for group in told["groups"]}
    assert recalls["another"] - recalls["open_nsfw"] > 0.3
    alone = store.metrics("--model", "another")
    assert not said(alone, "the model changed")
    assert alone["whole"]["recall"]["value"] == pytest.approx(recalls["another"])


def test_a_draw_is_replayed_from_the_key_and_a_forged_one_is_found(store: Store) -> None:
    store.fill([Day()] * 2)
    with store.database.transaction() as tx:
        from sqlalchemy import text

        title, other = tx.execute(
            text(
                "SELECT current_title FROM sample_draw d JOIN upload u ON u.id = d.upload_id"
                " WHERE proposal_draw IS NOT NULL ORDER BY d.upload_id DESC LIMIT 2"
            )
        ).scalars()
    answer = CliRunner().invoke(app, ["draws", title, other, "--config", str(store.config)])
    assert answer.exit_code == 0, answer.output
    assert answer.output.count("follows from the key") == 2
    assert answer.output.count("second draw") == 2

    with store.database.transaction() as tx:
        tx.execute(
            text(
                "UPDATE sample_draw SET chosen = NOT chosen WHERE upload_id ="
                " (SELECT id FROM upload WHERE current_title = :title)"
            ),
            {"title": title},
        )
    forged = CliRunner().invoke(app, ["draws", title, "--config", str(store.config)])
    assert forged.exit_code == 1
    assert "does NOT follow from the key" in forged.output
    assert CliRunner().invoke(app, ["draws", "File:No.jpg", "--config", str(store.config)]).exit_code == 1

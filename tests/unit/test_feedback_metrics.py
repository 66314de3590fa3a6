"""What `metrics` computes, on real SQLite: estimates, and the sentences where there can be none."""

import json
import math
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from rich.console import Console
from sqlalchemy import select
from typer.testing import CliRunner

from bot.cli import app
from bot.commands.metrics import metrics as metrics_command
from bot.metric_tables import report
from bot.monitoring import Metrics
from bot.quality import Quality
from bot.review.index_page import IndexNumbers, Precision, render_index
from bot.review.messages import LANGUAGES, load_messages
from storage.agreement import agreement
from storage.drift import score_change, share_change, stability_index
from storage.engine import Database
from storage.feedback_tables import SampleDrawRow
from storage.metric_values import Alert, FeedbackMetrics, Grouping, MediaKind, Selection
from storage.metrics import metrics
from storage.review_values import VerdictCode
from storage.tables import ClassificationRow
from storage.values import ReviewReason
from storage.waiting import waiting
from tests.review_items import give, put_up, verdict
from tests.storage_database import NOW, after, database_url, fresh_database, upload

DELETE, SFW, UNSURE = VerdictCode.NSFW_DELETE, VerdictCode.SFW, VerdictCode.UNSURE
DAY = timedelta(days=1)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with fresh_database(tmp_path) as opened:
        yield opened


def computed(database: Database, **changes: object) -> FeedbackMetrics:
    values = {"since": NOW - DAY, "until": NOW + DAY, **changes}
    with database.read() as tx:
        return metrics(tx, Selection(**values), NOW + DAY)  # type: ignore[arg-type]


def printed(found: FeedbackMetrics) -> str:
    console = Console(width=160, record=True, file=None, quiet=False)
    with console.capture() as capture:
        console.print(report(found), highlight=False)
    return capture.get()


def decide(database: Database, codes: Mapping[int, VerdictCode], **changes: object) -> None:
    give(database, *(verdict(number, code, **changes) for number, code in codes.items()))


def audited(database: Database) -> None:
    """Ten flagged files, eight of them explicit; 40 of 400 others are reviewed, one of them is explicit."""
    put_up(database, dict.fromkeys(range(1, 11), 0.9))
    put_up(database, dict.fromkeys(range(100, 500), 0.1), probability=0.1, reason=ReviewReason.AUDIT)
    with database.transaction() as tx:
        for row in tx.scalars(select(ClassificationRow)).all():
            chosen = row.upload_id % 10 == 0 or row.score > 0.8
            tx.add(
                SampleDrawRow(
                    upload_id=row.upload_id,
                    classification_id=row.id,
                    stratum="flagged still" if row.score > 0.8 else "unflagged 0 still",
                    probability=1.0 if row.score > 0.8 else 0.1,
                    draw=0.05 if chosen else 0.5,
                    chosen=chosen,
                    drawn_at=NOW,
                )
            )
    decide(database, {number: DELETE if number < 9 else SFW for number in range(1, 11)})
    decide(database, {number: DELETE if number == 109 else SFW for number in range(100, 500)})


def test_a_file_that_was_drawn_with_a_tenth_stands_for_ten(database: Database) -> None:
    audited(database)
    whole = computed(database).whole
    assert (whole.scored, whole.flagged, whole.chosen) == (410, 10, 50)
    assert whole.precision.value == pytest.approx(0.8)
    assert whole.recall.value == pytest.approx(8 / 18)
    assert whole.recall.low < 8 / 18 < whole.recall.high
    assert whole.prevalence.value == pytest.approx(18 / 410)


def test_without_an_audit_recall_is_a_sentence_and_no_number(database: Database) -> None:
    put_up(database, {1: 0.9, 2: 0.9, 3: 0.1})
    decide(database, {1: DELETE, 2: SFW})
    with database.transaction() as tx:  # the unflagged one was scored and never asked about
        from storage.tables import ReviewItemRow

        tx.delete(tx.scalars(select(ReviewItemRow).where(ReviewItemRow.upload_id == 3)).one())
    found = computed(database)
    assert found.whole.precision.value == pytest.approx(0.5)
    assert found.whole.recall.value is None
    assert any("recall is unknown" in caveat for caveat in found.caveats)
    text = printed(found)
    assert "nobody knows what was missed" in text
    assert "recall" in text
    assert "unknown" in text


def test_what_was_scored_before_the_audit_began_says_nothing_about_recall(database: Database) -> None:
    audited(database)
    before = computed(database).whole.recall
    put_up(database, dict.fromkeys(range(1000, 1100), 0.1))
    with database.transaction() as tx:
        from storage.tables import ReviewItemRow

        late = select(ReviewItemRow).where(ReviewItemRow.item_id.like("%-10__"))
        for item in tx.scalars(late).all():
            tx.delete(item)
    found = computed(database)
    assert found.whole.scored == 510
    assert found.whole.recall.value == pytest.approx(before.value)
    assert any("100 of 510 files had no chance" in caveat for caveat in found.caveats)


def test_unsure_and_disputed_files_are_counted_either_way(database: Database) -> None:
    put_up(database, dict.fromkeys(range(1, 11), 0.9))
    decide(database, dict.fromkeys(range(1, 9), DELETE))
    decide(database, {9: UNSURE, 10: DELETE})
    decide(database, {10: SFW}, author="Bob", author_id=8, revision_id=101)
    whole = computed(database).whole
    assert whole.unresolved == 2
    assert whole.precision.value == pytest.approx(1.0)
    assert whole.precision_bounds == pytest.approx((0.8, 1.0))


def test_a_verdict_that_does_not_count_changes_nothing(database: Database) -> None:
    put_up(database, {1: 0.9})
    decide(database, {1: DELETE}, trusted=False, untrusted_reason="group")
    found = computed(database)
    assert found.whole.labelled == 0
    assert found.whole.precision.value is None
    assert "nobody decided" in printed(found)


def test_blind_verdicts_are_told_apart(database: Database) -> None:
    put_up(database, dict.fromkeys(range(1, 5), 0.9))
    decide(database, {1: SFW, 2: DELETE})
    decide(database, {3: DELETE, 4: DELETE}, blind=False)
    whole = computed(database).whole
    assert whole.blind.value == pytest.approx(0.5)
    assert whole.unblinded.value == pytest.approx(1.0)


def test_verdicts_beside_a_hint_are_told_apart_and_are_no_second_opinion(database: Database) -> None:
    put_up(database, dict.fromkeys(range(1, 5), 0.9))
    decide(database, {1: SFW, 2: DELETE})
    decide(database, {1: DELETE, 3: DELETE}, author="Bob", author_id=8, revision_id=101, hinted=True)
    found = computed(database)
    whole = found.whole
    assert (whole.precision.n, whole.blind.n, whole.hinted.n, whole.unblinded.n) == (2, 2, 2, 0)
    assert (whole.blind.value, whole.hinted.value) == (pytest.approx(0.5), pytest.approx(1.0))
    assert "by those who saw a hint" in printed(found)
    assert found.agreement.items == 0  # Ann and Bob both judged the first file, Bob beside a hint


def test_another_threshold_flags_other_files(database: Database) -> None:
    audited(database)
    found = computed(database, threshold=0.07)
    assert found.whole.flagged == found.whole.scored == 410
    assert found.whole.recall.value == pytest.approx(1.0)
    assert found.whole.precision.value == pytest.approx(18 / 410)
    loosest, strictest = found.curve[0], found.curve[-1]
    assert loosest.flagged_per_day == pytest.approx(410 / 2)
    assert strictest.flagged_per_day == 0


def test_groups_add_up_to_the_whole(database: Database) -> None:
    values = [
        upload(number, title=f"File:{number}.{'webm' if number % 2 else 'jpg'}") for number in range(1, 9)
    ]
    put_up(database, {value.log_id: 0.9 for value in values}, values=values)
    for by in Grouping:
        found = computed(database, by=by)
        assert sum(group.scored for group in found.groups) == found.whole.scored == 8, by
        assert sum(group.chosen for group in found.groups) == found.whole.chosen == 8, by
    media = computed(database, by=Grouping.MEDIA).groups
    assert [group.name for group in media] == ["moving", "picture"]
    assert computed(database, media=MediaKind.MOVING).whole.scored == 4
    experience = computed(database, by=Grouping.EXPERIENCE).groups
    assert [(group.name, group.scored) for group in experience] == [
        ("first upload", 1),
        ("2 to 10 uploads", 7),
    ]


def test_a_change_of_model_is_told(database: Database) -> None:
    put_up(database, dict.fromkeys(range(1, 5), 0.9))
    from storage import models
    from tests.storage_database import model_version

    with database.transaction() as tx:
        other = models.register(tx, model_version("another"), NOW)
        for row in tx.scalars(select(ClassificationRow).where(ClassificationRow.upload_id > 2)).all():
            row.model_version_id = other
    found = computed(database, by=Grouping.MODEL)
    assert "the model changed" in found.caveats[0]
    assert [(group.name, group.scored) for group in found.groups] == [("another", 2), ("open_nsfw", 2)]
    assert not any("model changed" in caveat for caveat in computed(database, model="another").caveats)


def test_reviewers_who_pick_by_the_score_are_told(database: Database) -> None:
    put_up(database, {number: 0.80 + number / 1000 for number in range(1, 101)})
    decide(database, dict.fromkeys(range(51, 101), DELETE))
    found = computed(database)
    assert any("pick by the score" in caveat for caveat in found.caveats)
    assert any("50 of 100 files" in caveat for caveat in found.caveats)


def test_an_empty_store_says_so(database: Database) -> None:
    found = computed(database)
    assert found.whole.precision.value is None
    assert found.caveats == ("no upload was scored in this period",)
    assert "no upload was scored" in printed(found)


def test_open_items_count_as_waiting() -> None:
    items = [(NOW, after(60 * minutes)) for minutes in (1, 2, 3)] + [(NOW, None)] * 3
    found = waiting(items, after(3600))
    assert (found.decided, found.open) == (3, 3)
    assert found.median_s == pytest.approx(180)
    assert found.p75_s is None


def test_an_item_that_was_open_for_less_long_is_censored_there() -> None:
    # Kaplan and Meier by hand: at 60 s 3 of 4 left, the censored one leaves at 90 s, at 120 s 3/4 * 1/2.
    now = after(120)
    found = waiting([(NOW, after(60)), (NOW, now), (NOW, now), (after(30), None)], now)
    assert found.median_s == pytest.approx(120)


def test_agreement_is_krippendorffs() -> None:
    # Krippendorff 2004, nominal data, two observers, ten items: alpha = 0.095.
    first, second = "0100000010", "1110010000"
    pairs = [((a + b).count("1"), (a + b).count("0")) for a, b in zip(first, second, strict=True)]
    found = agreement([*pairs, (1, 0)])
    assert found.alpha == pytest.approx(0.095, abs=5e-4)
    assert (found.items, found.verdicts) == (10, 20)
    assert agreement([(2, 0), (3, 0)]).alpha is None
    assert "two people" in agreement([(1, 0)]).reason


def test_the_same_scores_are_no_drift_and_others_are() -> None:
    assert stability_index([10, 20, 30], [10, 20, 30]) == pytest.approx(0)
    same = score_change([900, 80, 20], [1810, 150, 40], other_model=False)
    assert (same.alert, same.index is not None and same.index < 0.01) == (Alert.NONE, True)
    assert score_change([500, 300, 200], [900, 80, 20], other_model=False).alert is Alert.ALARM
    assert "different models" in score_change([900, 80, 20], [900, 80, 20], other_model=True).sentence
    assert score_change([9, 1], [900, 80], other_model=False).alert is Alert.UNKNOWN


@pytest.mark.parametrize(
    ("now", "before", "alert"),
    [
        ((50, 1000), (52, 1000), Alert.NONE),
        ((80, 1000), (50, 1000), Alert.NONE),  # large, but it may be chance
        ((1300, 10_000), (1000, 10_000), Alert.WATCH),
        ((0, 10_000), (100, 10_000), Alert.ALARM),
        ((5, 10), (100, 10_000), Alert.UNKNOWN),
    ],
)
def test_a_share_alerts_where_the_change_is_large_and_no_chance(
    now: tuple[int, int], before: tuple[int, int], alert: Alert
) -> None:
    assert share_change("flagged", now, before).alert is alert


def test_the_command_prints_json_and_refuses_what_it_does_not_know(
    database: Database, tmp_path: Path
) -> None:
    audited(database)
    config = tmp_path / "test.toml"
    config.write_text(f'[store]\nurl = "{database_url(tmp_path)}"\n')
    if "metrics" not in {command.name for command in app.registered_commands}:
        app.command()(metrics_command)
    window = ["--since", "2026-02-28", "--until", "2026-03-03", "--config", str(config)]
    answer = CliRunner().invoke(app, ["metrics", *window, "--json"])
    assert answer.exit_code == 0, answer.output
    told = json.loads(answer.stdout)
    assert told["whole"]["precision"]["value"] == pytest.approx(0.8)
    assert told["drift"][0]["alert"] == "unknown"
    assert CliRunner().invoke(app, ["metrics", "--by", "colour"]).exit_code == 2
    assert CliRunner().invoke(app, ["metrics", *window[2:], "--since", "2027-01-01"]).exit_code == 2


def test_the_gauges_tell_the_interval_and_nan_where_nothing_is_known(database: Database) -> None:
    gauges = Metrics()
    ticks = [0.0]
    quality = Quality(database, lambda: after(60), lambda: ticks[0])
    quality.publish(gauges)
    assert math.isnan(sample(gauges, "commonsbot_estimate", measure="recall"))
    audited(database)
    quality.publish(gauges)
    assert math.isnan(sample(gauges, "commonsbot_estimate", measure="recall")), "not counted so soon again"
    ticks[0] = 601
    quality.publish(gauges)
    low, value, high = (
        sample(gauges, f"commonsbot_estimate{end}", measure="recall") for end in ("_low", "", "_high")
    )
    assert low < value < high
    assert value == pytest.approx(8 / 18)
    assert math.isnan(sample(gauges, "commonsbot_drift_alert", what="scores"))
    assert sample(gauges, "commonsbot_review_load", what="flagged") == pytest.approx(10 / 30)
    assert sample(gauges, "commonsbot_review_load", what="asked") == pytest.approx(50 / 30)


class OneRound(threading.Event):
    """Stops whoever waits for it."""

    def wait(self, timeout: float | None = None) -> bool:
        """End the wait at once, and for good."""
        self.set()
        return True


def test_a_store_that_is_away_is_counted_as_a_failure_and_not_raised(tmp_path: Path) -> None:
    gauges = Metrics()
    without_tables = Database.open("sqlite:///new.sqlite3", tmp_path)
    Quality(without_tables).run(gauges, OneRound())
    assert sample(gauges, "commonsbot_service_failures_total", service="quality") == 1
    without_tables.migrate()
    Quality(without_tables).run(gauges, OneRound())
    assert sample(gauges, "commonsbot_service_failures_total", service="quality") == 1
    assert math.isnan(sample(gauges, "commonsbot_estimate", measure="recall"))
    without_tables.close()


def sample(gauges: Metrics, name: str, **labels: str) -> float:
    found = gauges.registry.get_sample_value(name, labels)
    assert found is not None
    return found


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_index_page_tells_the_recall_where_it_is_known(language: str) -> None:
    precision = Precision(0.8, 0.7, 0.9, 50)
    numbers = IndexNumbers(0, 0, 50, precision, [], recall=Precision(0.444, 0.21, 0.77, 50))
    text = render_index(numbers, "TestBot", load_messages(language), NOW)
    line = next(line for line in text.splitlines() if "44 %" in line)
    assert all(part in line for part in ("80 %", "21 %", "77 %"))
    unknown = render_index(replace(numbers, recall=None), "TestBot", load_messages(language), NOW)
    assert "44 %" not in unknown

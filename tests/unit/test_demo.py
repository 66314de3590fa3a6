"""The demo's self-check: whatever differs from the plan is told, and nothing else."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from bot.demo import compare, run_demo
from bot.errors import ConfigError
from bot.minicommons.plan import Plan, PlannedOutcome
from storage.outcomes import RecordedOutcome

EXPECTATIONS = ("scored-sfw", "scored-nsfw", "skip:audio", "skip:deleted")


def recorded(log_id: int, expectation: str) -> RecordedOutcome:
    now = datetime.now(UTC)
    kind, _, detail = expectation.partition(":" if expectation.startswith("skip") else "-")
    label, code = (None, detail) if kind == "skip" else (detail, None)
    return RecordedOutcome(
        wiki="commonswiki",
        log_id=log_id,
        title=f"File:{log_id}.jpg",
        label=label,
        score=None if label is None else 0.5,
        code=code,
        attempts=1,
        source="stream",
        received_at=now,
        finished_at=now,
    )


plans = st.lists(st.sampled_from(EXPECTATIONS), max_size=20).map(
    lambda wanted: Plan(
        tuple(
            PlannedOutcome(log_id, f"File:{log_id}.jpg", "x", expectation)
            for log_id, expectation in enumerate(wanted)
        )
    )
)


@given(plans)
def test_a_store_that_holds_the_plan_has_no_difference(plan: Plan) -> None:
    assert compare(plan, [recorded(one.log_id, one.expected) for one in plan.outcomes]) == []


@given(plans, st.data())
def test_every_single_deviation_is_told(plan: Plan, data: st.DataObject) -> None:
    outcomes = [recorded(one.log_id, one.expected) for one in plan.outcomes]
    kind = data.draw(st.sampled_from(["additional"] + (["missing", "other", "twice"] if outcomes else [])))
    index = data.draw(st.integers(0, max(0, len(outcomes) - 1)))
    if kind == "missing":
        del outcomes[index]
    elif kind == "other":
        outcomes[index] = replace(outcomes[index], code="timeout", label=None, score=None)
    elif kind == "twice":
        outcomes.append(outcomes[index])
    else:
        outcomes.append(recorded(1_000, "scored-sfw"))
    assert len(compare(plan, outcomes)) == 1


def test_the_demo_deletes_nothing_that_it_did_not_make(tmp_path: Path) -> None:
    letter = tmp_path / "letter.txt"
    letter.write_text("dear")
    with pytest.raises(ConfigError, match="not empty"):
        run_demo(Console(quiet=True), tmp_path)
    assert letter.read_text() == "dear"


def test_a_second_demo_leaves_the_first_one_s_files_alone(tmp_path: Path) -> None:
    database = tmp_path / "bot.sqlite3"
    database.touch()
    (tmp_path / ".demo").touch()
    with FileLock(tmp_path / ".demo.lock"), pytest.raises(ConfigError, match="another demo"):
        run_demo(Console(quiet=True), tmp_path)
    assert database.exists()

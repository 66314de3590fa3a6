"""What `metrics` reads of items and counts: the same as the rules say, however it is read."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from alembic.script import ScriptDirectory
from hypothesis import given
from hypothesis import strategies as st

from storage import metric_items, metric_rows, schema, shadow_scores
from storage.engine import Database
from storage.metric_values import Grouping, MediaKind, Selection
from storage.metrics import metrics
from storage.models import register
from storage.review_values import VerdictCode
from storage.standing import CastVote, is_nsfw, latest_per_person
from tests.review_items import put_up
from tests.storage_database import NOW, after, classification, fresh_database, model_version

ROOT = Path(__file__).resolve().parents[2]
DAY = timedelta(days=1)
PEOPLE = (("Ann", 7), ("Bob", 8), ("Ann", None), ("Ann renamed", 7))


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with fresh_database(tmp_path) as opened:
        yield opened


verdicts = st.lists(
    st.tuples(
        st.sampled_from([code.value for code in VerdictCode]),
        st.sampled_from(PEOPLE),
        st.integers(0, 3),
        st.sampled_from([None, 1, 2]),
        st.booleans(),
        st.booleans(),
    ),
    max_size=5,
)


@given(verdicts)
def test_items_come_to_what_the_rule_says(
    drawn: list[tuple[str, tuple[str, int | None], int, int, bool, bool]],
) -> None:
    rows = [
        (code, name, user_id, after(seconds), revision, number, blind, hinted)
        for number, (code, (name, user_id), seconds, revision, blind, hinted) in enumerate(drawn)
    ]
    votes = [CastVote(VerdictCode(code), *rest) for code, *rest in rows]
    standing = latest_per_person(votes)
    independent = latest_per_person(vote for vote in votes if not vote.hinted)
    each = [is_nsfw([vote.code]) for vote in independent]
    decided = [vote.given_at for vote in votes if vote.code is not VerdictCode.UNSURE]

    label, blind, hinted, unblinded, *rest = metric_items.come_to(rows)

    assert same(label, is_nsfw([vote.code for vote in standing]))
    for found, chosen in (
        (blind, lambda vote: vote.blind and not vote.hinted),
        (hinted, lambda vote: vote.blind and vote.hinted),
        (unblinded, lambda vote: not vote.blind),
    ):
        some = latest_per_person(filter(chosen, votes))
        assert same(found, is_nsfw([vote.code for vote in some]))
    assert rest == [min(decided, default=None), each.count(True), each.count(False), len(votes)]


def same(number: float, label: bool | None) -> bool:
    return np.isnan(number) if label is None else number == float(label)


def test_a_shadows_score_of_an_upload_that_drew_nothing_is_not_counted_again(database: Database) -> None:
    put_up(database, {1: 0.9, 2: 0.2})
    with database.transaction() as tx:
        shadow = register(tx, model_version(name="shadow"), NOW)
        for upload_id in (1, 2):
            assert shadow_scores.add(
                tx, upload_id, classification(shadow, 0.95), after(1), representative=True
            )
    with database.read() as tx:
        found = metrics(tx, Selection(NOW - DAY, NOW + DAY), NOW + DAY)
        shadows = metrics(tx, Selection(NOW - DAY, NOW + DAY, model="shadow"), NOW + DAY)
    assert (found.whole.scored, found.whole.flagged) == (2, 1)
    assert (shadows.whole.scored, shadows.whole.flagged) == (0, 0)  # it decided about nothing


@pytest.mark.parametrize("by", [None, *Grouping])
def test_what_is_counted_in_one_number_is_told_apart_again(database: Database, by: Grouping | None) -> None:
    scores = {1: 0.0004, 2: 0.02, 3: 0.5, 4: 0.81, 5: 1.0}
    put_up(database, scores, now=NOW - DAY / 2)
    put_up(database, {10: 0.5, 11: 0.9}, now=NOW + DAY * 20)
    selection = Selection(NOW, NOW + DAY * 30, by=by)
    edges = (0.001, 0.5, 0.8)
    with database.read() as tx:
        found = metric_rows.counted(tx, selection, edges, NOW - DAY)
    assert sorted((row.current, row.bin, row.flagged, row.count) for row in found) == [
        (False, 0, False, 1),
        (False, 1, False, 1),
        (False, 2, False, 1),
        (False, 3, True, 2),
        (True, 2, False, 1),
        (True, 3, True, 1),
    ]
    groups = {
        None: {""},
        Grouping.MEDIA: {MediaKind.PHOTOGRAPH.value},
        Grouping.PERIOD: {"2026-03-15"},
        Grouping.EXPERIENCE: {"2 to 10 uploads"},
        Grouping.MODEL: {"1"},
    }
    assert {row.group for row in found if row.current} == groups[by]


def test_the_newest_revision_is_alembics_head() -> None:
    head = ScriptDirectory.from_config(schema.alembic_config()).get_current_head()
    assert schema.newest_revision() == head


@pytest.mark.parametrize(
    ("command", "unneeded"),
    [("status", {"numpy", "alembic", "requests", "torch"}), ("metrics", {"alembic", "requests", "torch"})],
)
def test_a_command_that_only_reads_loads_no_more_than_it_needs(
    tmp_path: Path, command: str, unneeded: set[str]
) -> None:
    with fresh_database(tmp_path) as opened:
        url = opened.name
    config = tmp_path / "bot.toml"
    config.write_text(f'[store]\nurl = "{url}"\n')
    code = f"""
import sys
from bot.cli import app
try:
    app(["{command}", "--json", "--config", "{config}"])
except SystemExit as end:
    assert not end.code, end.code
print(*{unneeded!r} & set(sys.modules), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr.split() == []

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest
from sqlalchemy import delete, select, text, update

from storage import gaps, models, positions, reviews, status, uploads
from storage.engine import Database
from storage.errors import AppendOnly, StoreError, UnknownItem
from storage.review_values import Verdict, VerdictCode, VerdictSource
from storage.tables import VerdictRow
from storage.values import Gap, ReviewDraw, ReviewReason, Skip
from tests.storage_database import (
    NOW,
    SERVER_URL,
    WIKI,
    after,
    classification,
    fresh_database,
    model_version,
    upload,
)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with fresh_database(tmp_path) as opened:
        yield opened


def score_all(database: Database, scores: dict[int, float]) -> None:
    with database.transaction() as tx:
        model = models.register(tx, model_version(), NOW)
        uploads.add(tx, [upload(log_id) for log_id in scores], NOW)
        for claimed in uploads.claim(tx, worker="w", limit=100, now=NOW, ttl_s=60):
            value = scores[claimed.upload.log_id]
            reason = ReviewReason.FLAGGED if value >= 0.8 else ReviewReason.AUDIT
            draw = ReviewDraw(reason, 1.0 if value >= 0.8 else 0.01)
            uploads.score(tx, claimed, classification(model, value, frames=3), after(5), review=draw)


def test_flagged_items_come_by_score_with_all_a_report_needs(database: Database) -> None:
    score_all(database, {1: 0.85, 2: 0.2, 3: 0.99})
    with database.read() as tx:
        first, second = reviews.flagged(tx, 10)
        assert reviews.flagged(tx, 1) == [first]
    assert (first.item_id, second.item_id) == ("commonswiki-3", "commonswiki-1")
    assert (first.title, first.wiki, first.user) == ("File:Photo 3.jpg", WIKI, "Example")
    assert (first.score, first.worst.score, first.worst.at_s, first.frame_count) == (0.99, 0.99, 0.0, 3)
    assert (first.model, first.logged_at, first.scored_at) == ("open_nsfw", NOW, after(5))


def verdict(code: VerdictCode, **changes: object) -> Verdict:
    basis = Verdict(
        item_id="commonswiki-1",
        code=code,
        comment="",
        author="Ann",
        author_id=7,
        author_groups=("patroller",),
        trusted=True,
        untrusted_reason=None,
        blind=True,
        revision_id=100,
        given_at=after(10),
        source=VerdictSource.WIKI,
    )
    return replace(basis, **changes)  # type: ignore[arg-type]


def test_a_verdict_is_stored_once_however_often_its_revision_is_read(database: Database) -> None:
    score_all(database, {1: 0.9})
    given = verdict(VerdictCode.SFW, comment="a statue\x00 😀")
    with database.transaction() as tx:
        assert reviews.add_verdict(tx, given, after(20)) is not None
    with database.transaction() as tx:
        assert reviews.add_verdict(tx, replace(given, code=VerdictCode.UNSURE), after(30)) is None
    with database.read() as tx:
        (stored,) = reviews.verdicts_of(tx, "commonswiki-1")
    assert stored == replace(given, comment="a statue\ufffd 😀", id=stored.id, recorded_at=after(20))


def test_a_later_verdict_supersedes_the_same_persons_earlier_one_only(database: Database) -> None:
    score_all(database, {1: 0.9})
    with database.transaction() as tx:
        first = reviews.add_verdict(tx, verdict(VerdictCode.SFW), NOW)
        other = verdict(VerdictCode.NSFW_KEEP, author="Bob", author_id=8, revision_id=101, given_at=after(11))
        second = reviews.add_verdict(tx, other, NOW)
        renamed = verdict(VerdictCode.UNSURE, author="Ann Renamed", revision_id=102, given_at=after(12))
        third = reviews.add_verdict(tx, renamed, NOW)
        stored = reviews.verdicts_of(tx, "commonswiki-1")
    assert [(v.id, v.supersedes_id) for v in stored] == [(first, None), (second, None), (third, first)]


def test_console_verdicts_have_no_revision_and_are_never_repeats(database: Database) -> None:
    score_all(database, {1: 0.9})
    console = verdict(VerdictCode.SFW, author_id=None, revision_id=None, source=VerdictSource.CONSOLE)
    with database.transaction() as tx:
        first = reviews.add_verdict(tx, console, NOW)
        second = reviews.add_verdict(tx, replace(console, given_at=after(60)), NOW)
        stored = reviews.verdicts_of(tx, "commonswiki-1")
    assert [(v.id, v.supersedes_id) for v in stored] == [(first, None), (second, first)]


def test_a_verdict_on_an_unknown_item_is_refused(database: Database) -> None:
    with pytest.raises(UnknownItem, match="commonswiki-1"), database.transaction() as tx:
        reviews.add_verdict(tx, verdict(VerdictCode.SFW), NOW)


def test_a_trusted_verdict_with_a_reason_against_it_is_refused(database: Database) -> None:
    score_all(database, {1: 0.9})
    with pytest.raises(StoreError), database.transaction() as tx:
        reviews.add_verdict(tx, verdict(VerdictCode.SFW, untrusted_reason="blocked"), NOW)


def test_verdicts_cannot_be_changed_or_deleted(database: Database) -> None:
    score_all(database, {1: 0.9})
    with database.transaction() as tx:
        reviews.add_verdict(tx, verdict(VerdictCode.SFW), NOW)
    with pytest.raises(AppendOnly), database.transaction() as tx:
        tx.scalars(select(VerdictRow)).one().code = "nsfw-delete"
    with pytest.raises(AppendOnly), database.transaction() as tx:
        tx.delete(tx.scalars(select(VerdictRow)).one())
    for statement in (update(VerdictRow).values(code="nsfw-delete"), delete(VerdictRow)):
        with pytest.raises(AppendOnly), database.transaction() as tx:
            tx.execute(statement)
    with database.read() as tx:
        assert [v.code for v in reviews.verdicts_of(tx, "commonswiki-1")] == [VerdictCode.SFW]


@pytest.mark.skipif(SERVER_URL is not None, reason="the triggers are SQLite's")
@pytest.mark.parametrize("statement", ["UPDATE verdict SET code = 'nsfw-delete'", "DELETE FROM verdict"])
def test_even_raw_sql_cannot_change_a_verdict(database: Database, statement: str) -> None:
    score_all(database, {1: 0.9})
    with database.transaction() as tx:
        reviews.add_verdict(tx, verdict(VerdictCode.SFW), NOW)
    with pytest.raises(StoreError, match="append only"), database.transaction() as tx:
        tx.execute(text(statement))


def test_a_position_never_moves_backwards(database: Database) -> None:
    with database.transaction() as tx:
        assert positions.load(tx, "recentchange") is None
        positions.save(tx, "recentchange", '[{"offset":5}]', after(5), NOW)
        positions.save(tx, "recentchange", '[{"offset":4}]', after(4), after(1))
        positions.save(tx, "other", "x", after(-9), after(2))
    with database.read() as tx:
        saved = positions.load(tx, "recentchange")
    assert saved is not None
    assert (saved.event_id, saved.event_time, saved.saved_at) == ('[{"offset":5}]', after(5), NOW)
    with database.transaction() as tx:
        positions.save(tx, "recentchange", '[{"offset":6}]', after(5), after(3))
    with database.read() as tx:
        latest = positions.latest(tx)
    assert latest is not None
    assert latest.event_id == '[{"offset":6}]'


def test_a_position_is_saved_with_its_uploads_or_not_at_all(database: Database) -> None:
    with pytest.raises(RuntimeError, match="killed"), database.transaction() as tx:  # noqa: PT012
        uploads.add(tx, [upload(1)], NOW)
        positions.save(tx, "recentchange", "x", NOW, NOW)
        raise RuntimeError("killed")
    with database.read() as tx:
        assert status.snapshot(tx, NOW).pending == 0
        assert positions.load(tx, "recentchange") is None


def test_a_gap_is_read_on_where_it_was_left(database: Database) -> None:
    gap = Gap(None, WIKI, after(0), after(1000), "stale")
    with database.transaction() as tx:
        number = gaps.add(tx, gap, NOW)
        gaps.advance(tx, number, after(400), 3)
        gaps.advance(tx, number, after(300), 2)
    with database.read() as tx:
        assert gaps.open_gaps(tx) == [Gap(number, WIKI, after(400), after(1000), "stale", found_missing=5)]
    with database.transaction() as tx:
        gaps.close(tx, number, NOW)
        gaps.advance(tx, number, after(900), 7)
        assert gaps.open_gaps(tx) == []
        assert gaps.total_missing(tx) == 5
        assert gaps.last_reconciliation(tx) is None


def test_a_gap_that_is_covered_already_is_not_added_again(database: Database) -> None:
    with database.transaction() as tx:
        wide = gaps.add(tx, Gap(None, WIKI, after(0), after(1000), "stale"), NOW)
        assert gaps.add(tx, Gap(None, WIKI, after(10), after(900), "stale"), NOW) == wide
        assert gaps.add(tx, Gap(None, WIKI, after(10), after(1001), "stale"), NOW) != wide
        assert gaps.add(tx, Gap(None, WIKI, after(10), after(900), "jump"), NOW) != wide
        gaps.close(tx, wide, NOW)
        assert gaps.add(tx, Gap(None, WIKI, after(0), after(1000), "stale"), NOW) != wide
        assert gaps.open_count(tx) == 3


def test_a_finished_reconciliation_is_recorded_with_its_whole_window(database: Database) -> None:
    with database.transaction() as tx:
        number = gaps.add(tx, Gap(None, WIKI, after(0), after(1000), "reconcile"), NOW)
        gaps.advance(tx, number, after(500), 2)
        gaps.close(tx, number, after(1100))
        gaps.close(tx, number, after(1200))
        record = gaps.last_reconciliation(tx)
    assert record is not None
    assert (record.run_at, record.window_start, record.window_end) == (after(1100), after(0), after(1000))
    assert record.found_missing == 2


def test_the_same_model_is_registered_once(database: Database) -> None:
    with database.transaction() as tx:
        first = models.register(tx, model_version(), NOW)
        assert models.last_used(tx) == "open_nsfw abababababab"
        other = replace(model_version("proxy"), libraries={"torch": "2.14.0"})
        second = models.register(tx, other, after(1))
        assert models.last_used(tx) == "proxy abababababab"
    with database.transaction() as tx:
        assert models.register(tx, model_version(), after(2)) == first
        assert models.last_used(tx) == "open_nsfw abababababab"
        assert models.register(tx, replace(model_version(), engine="onnx"), NOW) not in (first, second)


def test_the_status_of_an_empty_store_is_all_zero(database: Database) -> None:
    with database.read() as tx:
        current = status.snapshot(tx, NOW)
    assert (current.total, current.skipped, current.flagged, current.open_gaps) == (0, {}, 0, 0)
    assert (current.oldest_unfinished_at, current.position, current.last_model, current.daemon) == (None,) * 4


def test_the_status_counts_every_upload_exactly_once(database: Database) -> None:
    score_all(database, {1: 0.9, 2: 0.1, 3: 0.95})
    with database.transaction() as tx:
        uploads.add(tx, [upload(n, logged_s=-n) for n in range(10, 16)], after(-7200))
        claimed = uploads.claim(tx, worker="w", limit=4, now=NOW, ttl_s=60)
        uploads.skip(tx, claimed[0], Skip("audio", "x"), NOW)
        uploads.skip(tx, claimed[1], Skip("audio", "x"), NOW)
        uploads.skip(tx, claimed[2], Skip("deleted", "x"), NOW)
        positions.save(tx, "recentchange", "x", after(3), NOW)
        number = gaps.add(tx, Gap(None, WIKI, NOW, after(9), "jump"), NOW)
        gaps.advance(tx, number, after(1), 4)
    with database.read() as tx:
        current = status.snapshot(tx, after(1))
    assert (current.pending, current.claimed, current.scored) == (2, 1, 2 + 1)
    assert current.skipped == {"audio": 2, "deleted": 1}
    assert (current.total, current.flagged) == (9, 2)
    assert (current.uploads_last_hour, current.uploads_last_day) == (3, 9)
    assert current.oldest_unfinished_at == after(-15)
    assert (current.open_gaps, current.missed_uploads) == (1, 4)
    assert current.position is not None
    assert current.last_model == "open_nsfw abababababab"


def test_a_card_of_tuples_and_read_only_mappings_is_the_same_as_its_plain_form(database: Database) -> None:
    frozen = MappingProxyType(
        {"thresholds": MappingProxyType({"balanced": 0.8}), "failure_modes": ("art", "sculpture")}
    )
    with database.transaction() as tx:
        plain = models.register(tx, model_version(), NOW)
        assert models.register(tx, replace(model_version(), card=frozen), NOW) == plain

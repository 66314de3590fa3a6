from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import select

from storage import file_changes, models, reviews, status, uploads
from storage.engine import Database
from storage.errors import LostClaim, StoreError
from storage.tables import ClassificationRow
from storage.values import (
    ChangeKind,
    ClaimedUpload,
    FileChange,
    ReviewDraw,
    ReviewReason,
    Skip,
    Source,
    Upload,
    UploadAction,
)
from tests.storage_database import NOW, WIKI, after, classification, fresh_database, model_version, upload

FLAGGED = ReviewDraw(ReviewReason.FLAGGED, 1.0)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with fresh_database(tmp_path) as opened:
        yield opened


def add(database: Database, *values: Upload, now: datetime = NOW) -> int:
    with database.transaction() as tx:
        return uploads.add(tx, values, now)


def claim(
    database: Database, limit: int = 100, now: datetime = NOW, ttl_s: float = 60, worker: str = "d1/w"
) -> list[ClaimedUpload]:
    with database.transaction() as tx:
        return uploads.claim(tx, worker=worker, limit=limit, now=now, ttl_s=ttl_s)


def log_ids(claimed: list[ClaimedUpload]) -> list[int]:
    return [item.upload.log_id for item in claimed]


def retry(database: Database, claimed: ClaimedUpload, due: datetime) -> None:
    with database.transaction() as tx:
        uploads.retry(tx, claimed, code="rendition_unavailable", message="not yet", next_attempt_at=due)


def test_adding_counts_only_what_is_new(database: Database) -> None:
    assert add(database, upload(1), upload(2), upload(1)) == 2
    assert add(database, upload(2), upload(3)) == 1
    assert add(database, upload(1, wiki="testwiki")) == 1
    assert add(database) == 0
    with database.read() as tx:
        assert status.snapshot(tx, NOW).pending == 4


def test_a_repeat_changes_nothing_in_the_stored_upload(database: Database) -> None:
    add(database, upload(1, title="File:First.jpg"))
    add(database, upload(1, title="File:Second.jpg"))
    assert [item.upload.title for item in claim(database)] == ["File:First.jpg"]


def test_an_upload_comes_back_as_it_was_stored(database: Database) -> None:
    original = Upload(
        wiki=WIKI,
        log_id=2**40,
        action=UploadAction.OVERWRITE,
        title="File:" + "é" * 250 + "😀.webm",
        user=None,
        sha1=None,
        file_timestamp=None,
        logged_at=datetime(2026, 7, 1, 9, 30, 0, 1, tzinfo=timezone(timedelta(hours=2))),
        source=Source.BACKFILL,
    )
    add(database, original)
    (claimed,) = claim(database)
    assert claimed.upload == original
    assert claimed.upload.logged_at.utcoffset() == timedelta(0)
    assert (claimed.title, claimed.attempts, claimed.crashes) == (original.title, 0, 0)
    assert claimed.received_at == NOW


def test_titles_that_differ_only_in_case_stay_apart(database: Database) -> None:
    add(database, upload(1, title="File:A.jpg"), upload(2, title="File:a.jpg"))
    move(database, "File:a.jpg", "File:B.jpg")
    assert sorted(item.title for item in claim(database)) == ["File:A.jpg", "File:B.jpg"]


def test_text_that_databases_refuse_is_cleaned(database: Database) -> None:
    add(database, upload(1, title="File:\ud800 nul\x00.jpg"))
    (claimed,) = claim(database)
    assert claimed.title == "File:\ufffd nul\ufffd.jpg"
    with database.transaction() as tx:
        uploads.skip(tx, claimed, Skip("undecodable", "bad marker \x00\udcff"), NOW)


def test_a_datetime_without_a_zone_is_refused(database: Database) -> None:
    with pytest.raises(Exception, match="without a time zone"):
        add(database, upload(1), now=datetime(2026, 1, 1))


def test_claimed_uploads_are_not_given_to_anyone_else(database: Database) -> None:
    add(database, *(upload(n) for n in range(5)))
    assert log_ids(claim(database, limit=3)) == [0, 1, 2]
    assert log_ids(claim(database, limit=3)) == [3, 4]
    assert claim(database) == []


def test_an_expired_claim_is_taken_again_and_counts_as_a_crash(database: Database) -> None:
    add(database, upload(1))
    (first,) = claim(database, ttl_s=60)
    assert claim(database, now=after(59)) == []
    (second,) = claim(database, now=after(60))
    assert (second.id, second.attempts, second.crashes) == (first.id, 0, 1)
    assert second.claim != first.claim


def test_an_upload_that_kills_every_worker_ends_in_a_code(database: Database) -> None:
    add(database, upload(1))
    for n in range(uploads.MAX_CRASHES):
        assert len(claim(database, now=after(100 * n), ttl_s=50)) == 1
    assert claim(database, now=after(100 * uploads.MAX_CRASHES)) == []
    with database.read() as tx:
        assert status.snapshot(tx, NOW).skipped == {"crashed": 1}


def test_an_expired_claim_that_nobody_took_is_still_good(database: Database) -> None:
    add(database, upload(1))
    (claimed,) = claim(database, ttl_s=60)
    with database.transaction() as tx:
        uploads.skip(tx, claimed, Skip("audio", "sound only"), after(1000))
    assert claim(database, now=after(2000)) == []


@pytest.mark.parametrize("how", ["score", "skip", "retry"])
def test_a_worker_that_lost_its_claim_writes_nothing(database: Database, how: str) -> None:
    add(database, upload(1))
    with database.transaction() as tx:
        model = models.register(tx, model_version(), NOW)
    (slow,) = claim(database, ttl_s=60)
    (other,) = claim(database, now=after(61))
    with database.transaction() as tx, pytest.raises(LostClaim):  # noqa: PT012
        if how == "score":
            uploads.score(tx, slow, classification(model), NOW, review=FLAGGED)
        elif how == "skip":
            uploads.skip(tx, slow, Skip("audio", "sound only"), NOW)
        else:
            uploads.retry(tx, slow, code="x", message="x", next_attempt_at=NOW)
    with database.read() as tx:
        assert reviews.flagged(tx, 10) == []
        assert status.snapshot(tx, NOW).claimed == 1
    with database.transaction() as tx:
        assert uploads.score(tx, other, classification(model), NOW, review=FLAGGED) is not None


@pytest.mark.parametrize("coverage", [None, {"mode": "exact", "largest_gap_s": 1.2, "truncated": False}])
def test_how_much_was_looked_at_is_kept_with_the_score(
    database: Database, coverage: dict[str, object] | None
) -> None:
    add(database, upload(1))
    with database.transaction() as tx:
        model = models.register(tx, model_version(), NOW)
    (claimed,) = claim(database)
    with database.transaction() as tx:
        uploads.score(tx, claimed, replace(classification(model), coverage=coverage), NOW, review=None)
    with database.read() as tx:
        assert tx.scalars(select(ClassificationRow.coverage)).one() == coverage


def test_scoring_twice_is_refused(database: Database) -> None:
    add(database, upload(1))
    with database.transaction() as tx:
        model = models.register(tx, model_version(), NOW)
    (claimed,) = claim(database)
    with database.transaction() as tx:
        uploads.score(tx, claimed, classification(model), NOW, review=None)
    with pytest.raises(LostClaim), database.transaction() as tx:
        uploads.score(tx, claimed, classification(model), NOW, review=None)
    with database.read() as tx:
        assert status.snapshot(tx, NOW).scored == 1


def test_a_score_that_cannot_be_stored_leaves_the_upload_claimed(database: Database) -> None:
    add(database, upload(1))
    (claimed,) = claim(database)
    for bad in (classification(999), classification(999, score=1.5)):
        with pytest.raises(StoreError), database.transaction() as tx:
            uploads.score(tx, claimed, bad, NOW, review=FLAGGED)
    with database.read() as tx:
        assert status.snapshot(tx, NOW).claimed == 1


@pytest.mark.parametrize("probability", [0.0, 1.5, -0.1])
def test_a_review_item_needs_a_probability(database: Database, probability: float) -> None:
    add(database, upload(1))
    with database.transaction() as tx:
        model = models.register(tx, model_version(), NOW)
    (claimed,) = claim(database)
    draw = ReviewDraw(ReviewReason.AUDIT, probability)
    with pytest.raises(StoreError), database.transaction() as tx:
        uploads.score(tx, claimed, classification(model, 0.1), NOW, review=draw)
    with database.read() as tx:
        assert status.snapshot(tx, NOW).scored == 0


def test_a_retry_waits_for_its_time_and_counts_an_attempt(database: Database) -> None:
    add(database, upload(1))
    (claimed,) = claim(database)
    retry(database, claimed, after(300))
    assert claim(database, now=after(299)) == []
    with database.read() as tx:
        assert uploads.next_due_at(tx) == after(300)
    (again,) = claim(database, now=after(300))
    assert (again.attempts, again.crashes) == (1, 0)


def test_released_uploads_count_no_attempt(database: Database) -> None:
    add(database, upload(1), upload(2))
    claimed = claim(database)
    with database.transaction() as tx:
        assert uploads.release(tx, claimed[:1]) == 1
        assert uploads.release(tx, claimed[:1]) == 0
        assert uploads.release(tx, claimed[1:], not_before=after(30)) == 1
    assert log_ids(claim(database)) == [1]
    (later,) = claim(database, now=after(30))
    assert (later.upload.log_id, later.attempts, later.crashes) == (2, 0, 0)


def test_the_claims_of_a_dead_daemon_are_freed_by_its_name(database: Database) -> None:
    add(database, *(upload(n) for n in range(3)))
    claim(database, limit=1, worker="daemon_1/a")
    claim(database, limit=1, worker="daemon%1/a")
    claim(database, limit=1, worker="daemonX1/a")
    with database.transaction() as tx:
        assert uploads.release_of(tx, "daemon_1") == 1
    (freed,) = claim(database)
    assert (freed.upload.log_id, freed.crashes) == (0, 1)
    with database.transaction() as tx:
        assert uploads.release_of(tx, crashed=False) == 3
    assert sorted(item.crashes for item in claim(database)) == [0, 0, 1]


def test_neither_retries_nor_fresh_uploads_starve_the_other(database: Database) -> None:
    add(database, *(upload(n) for n in range(100)))
    for claimed in claim(database):
        retry(database, claimed, after(10))
    add(database, *(upload(n, logged_s=20) for n in range(200, 300)), now=after(20))
    taken = log_ids(claim(database, limit=20, now=after(30)))
    assert sum(number < 100 for number in taken) == 5
    assert set(range(200, 215)) <= set(taken)
    singles = [log_ids(claim(database, limit=1, now=after(30)))[0] for _ in range(60)]
    assert any(number < 100 for number in singles)
    assert any(number >= 200 for number in singles)
    assert len(claim(database, limit=1000, now=after(30))) == 120


def test_fresh_uploads_are_taken_oldest_first(database: Database) -> None:
    add(database, upload(5, logged_s=-50), now=after(-40))
    add(database, upload(9), upload(7, logged_s=-1))
    assert log_ids(claim(database, limit=1)) == [5]
    assert log_ids(claim(database)) == [7, 9]


def test_nothing_is_due_in_an_empty_or_finished_queue(database: Database) -> None:
    with database.read() as tx:
        assert uploads.next_due_at(tx) is None
    add(database, upload(1))
    (claimed,) = claim(database, ttl_s=60)
    with database.read() as tx:
        assert uploads.next_due_at(tx) == after(60)
        assert status.snapshot(tx, NOW).pending == 0
    with database.transaction() as tx:
        uploads.skip(tx, claimed, Skip("audio", "sound only"), NOW)
    with database.read() as tx:
        assert uploads.next_due_at(tx) is None


def move(database: Database, title: str, target: str, log_id: int = 1000, seconds: float = 60) -> int:
    change = FileChange(WIKI, log_id, ChangeKind.MOVE, title, target, "Mover", after(seconds))
    with database.transaction() as tx:
        return file_changes.apply(tx, [change], NOW)


def test_a_move_changes_the_title_of_every_version_and_keeps_the_old_one(database: Database) -> None:
    add(database, upload(1, title="File:A.jpg"), upload(2, title="File:A.jpg"), upload(3, title="File:C.jpg"))
    assert move(database, "File:A.jpg", "File:B.jpg") == 1
    found = {item.upload.log_id: (item.upload.title, item.title) for item in claim(database)}
    assert found == {
        1: ("File:A.jpg", "File:B.jpg"),
        2: ("File:A.jpg", "File:B.jpg"),
        3: ("File:C.jpg", "File:C.jpg"),
    }


def test_a_repeated_move_is_not_applied_again(database: Database) -> None:
    add(database, upload(1, title="File:A.jpg"))
    assert move(database, "File:A.jpg", "File:B.jpg", log_id=10, seconds=60) == 1
    assert move(database, "File:B.jpg", "File:A.jpg", log_id=11, seconds=70) == 1
    assert move(database, "File:A.jpg", "File:B.jpg", log_id=10, seconds=60) == 0
    assert claim(database)[0].title == "File:A.jpg"


def test_a_move_leaves_a_newer_file_under_the_old_title_alone(database: Database) -> None:
    add(database, upload(1, title="File:A.jpg"), upload(2, title="File:A.jpg", logged_s=100))
    move(database, "File:A.jpg", "File:B.jpg", seconds=60)
    assert {item.upload.log_id: item.title for item in claim(database)} == {1: "File:B.jpg", 2: "File:A.jpg"}


def test_changes_are_followed_in_order_and_only_for_known_files(database: Database) -> None:
    add(database, upload(1, title="File:A.jpg"))
    changes = [
        FileChange(WIKI, 12, ChangeKind.DELETE, "File:B.jpg", None, "Admin", after(20)),
        FileChange(WIKI, 11, ChangeKind.MOVE, "File:A.jpg", "File:B.jpg", None, after(10)),
        FileChange(WIKI, 13, ChangeKind.RESTORE, "File:B.jpg", None, "Admin", after(30)),
        FileChange(WIKI, 14, ChangeKind.DELETE, "File:Unknown.jpg", None, "Admin", after(30)),
        FileChange("testwiki", 15, ChangeKind.DELETE, "File:B.jpg", None, "Admin", after(30)),
    ]
    with database.transaction() as tx:
        assert file_changes.apply(tx, changes, NOW) == 3
        assert file_changes.apply(tx, changes, NOW) == 0

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import event, text
from sqlalchemy.engine import Connection

from storage import file_changes, review_entries, review_pages, reviews, uploads
from storage.engine import Database
from storage.errors import StoreError
from storage.review_values import PageKind, PageState, ReviewEntry, ReviewState, VerdictCode
from storage.values import ChangeKind, FileChange, ReviewReason, Upload, UploadAction
from tests.review_items import give, item_id, put_up, verdict
from tests.storage_database import NOW, SERVER_URL, WIKI, after, fresh_database, upload

PAGE = "User:Bot/Review/2026-03-01"
SFW = VerdictCode.SFW


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with fresh_database(tmp_path) as opened:
        yield opened


def place(database: Database, *log_ids: int, title: str = PAGE) -> int:
    with database.transaction() as tx:
        return review_pages.place(tx, WIKI, title, [item_id(n) for n in log_ids], NOW)


def entry(database: Database, log_id: int = 1) -> ReviewEntry:
    with database.read() as tx:
        found = {
            e.item_id: e for e in (*review_pages.unplaced(tx, 100), *review_pages.rows_of(tx, WIKI, PAGE))
        }
    return found[item_id(log_id)]


def test_items_without_a_page_come_oldest_first_until_they_are_placed(database: Database) -> None:
    put_up(database, {3: 0.9})
    put_up(database, {1: 0.9}, now=after(60))
    put_up(database, {2: 0.9}, now=after(120))
    with database.read() as tx:
        assert [e.item_id for e in review_pages.unplaced(tx, 10)] == [item_id(3), item_id(1), item_id(2)]
        assert [e.item_id for e in review_pages.unplaced(tx, 2)] == [item_id(3), item_id(1)]
    assert place(database, 3, 2) == 2
    with database.read() as tx:
        assert [e.item_id for e in review_pages.unplaced(tx, 10)] == [item_id(1)]
        assert {e.item_id for e in review_pages.rows_of(tx, WIKI, PAGE)} == {item_id(3), item_id(2)}
        assert review_pages.rows_of(tx, "testwiki", PAGE) == []


def test_what_needs_no_decision_any_more_needs_no_page(database: Database) -> None:
    put_up(database, {1: 0.9, 2: 0.9, 3: 0.9})
    give(
        database,
        verdict(1, SFW),
        verdict(2, SFW),
        verdict(2, VerdictCode.NSFW_KEEP, author_id=8, revision_id=101),
    )
    with database.read() as tx:
        waiting = review_pages.unplaced(tx, 10)
    assert [(e.item_id, e.state) for e in waiting] == [
        (item_id(2), ReviewState.DISPUTED),
        (item_id(3), ReviewState.OPEN),
    ]


def test_an_item_keeps_its_first_page_and_decided_rows_stay(database: Database) -> None:
    put_up(database, {1: 0.9, 2: 0.9})
    assert place(database, 1, 2, 999) == 2
    assert place(database, 1, 2) == 0
    assert place(database, 1, title="User:Bot/Review/2026-03-02") == 0
    give(database, verdict(1, SFW))
    with database.read() as tx:
        assert len(review_pages.rows_of(tx, WIKI, PAGE)) == 2
        assert review_pages.rows_of(tx, WIKI, "User:Bot/Review/2026-03-02") == []
    assert entry(database).page_title == PAGE


def test_the_order_of_rows_tells_nothing_and_is_always_the_same(database: Database) -> None:
    numbers = range(1, 51)
    put_up(database, {n: 0.8 + n / 1000 for n in numbers})
    place(database, *numbers)
    with database.read() as tx:
        rows = [e.item_id for e in review_pages.rows_of(tx, WIKI, PAGE)]
        assert [e.item_id for e in review_pages.rows_of(tx, WIKI, PAGE)] == rows
    by_time = [item_id(n) for n in numbers]
    assert rows not in (by_time, by_time[::-1])
    steps = sum(a < b for a, b in zip(map(by_time.index, rows), map(by_time.index, rows[1:]), strict=False))
    assert 15 <= steps <= 34
    put_up(database, dict.fromkeys((60, 61), 0.9), reason=ReviewReason.AUDIT, now=after(9))
    place(database, 60, 61)
    with database.read() as tx:
        more = [e.item_id for e in review_pages.rows_of(tx, WIKI, PAGE)]
    assert [row for row in more if row in rows] == rows


def test_a_row_has_all_that_the_store_knows(database: Database) -> None:
    put_up(database, {1: 0.91}, now=after(5))
    give(database, verdict(1, SFW, comment="a statue"))
    place(database, 1)
    row = entry(database)
    assert (row.wiki, row.title, row.uploaded_as, row.uploader) == (
        WIKI,
        "File:Photo 1.jpg",
        row.title,
        "Example",
    )
    assert (row.score, row.reason, row.worst.score, row.worst.at_s) == (0.91, ReviewReason.FLAGGED, 0.91, 0.0)
    assert (row.logged_at, row.scored_at, row.state) == (NOW, after(5), ReviewState.CLOSED)
    assert row.verdict is not None
    assert (row.verdict.code, row.verdict.author, row.verdict.comment) == (SFW, "Ann", "a statue")
    assert (row.other_flagged, row.deleted, row.suppressed, row.overwritten, row.moved) == (0, *[False] * 4)
    with database.read() as tx:
        assert review_entries.load(tx, []) == []
        assert review_entries.load(tx, [12345]) == []


def test_other_flagged_uploads_are_counted_by_uploader_and_wiki_without_itself(database: Database) -> None:
    flagged = [replace(upload(n), user="Prolific") for n in (1, 2, 3)]
    others = [upload(4), replace(upload(5), user=None), replace(upload(6), user=None)]
    foreign = replace(upload(7, wiki="testwiki"), user="Prolific")
    put_up(database, dict.fromkeys(range(1, 8), 0.9), values=[*flagged, *others, foreign])
    audit = [replace(upload(8), user="Prolific"), replace(upload(9), user="Prolific")]
    put_up(database, {8: 0.1, 9: 0.1}, values=audit, reason=ReviewReason.AUDIT)
    counts = {n: entry(database, n).other_flagged for n in (1, 2, 3, 4, 5, 6, 8, 9)}
    assert counts == {1: 2, 2: 2, 3: 2, 4: 0, 5: 0, 6: 0, 8: 3, 9: 3}


def happen(database: Database, log_id: int, kind: ChangeKind, title: str, target: str | None = None) -> None:
    with database.transaction() as tx:
        change = FileChange(WIKI, log_id, kind, title, target, "Admin", after(log_id))
        assert file_changes.apply(tx, [change], NOW) == 1


def test_deleted_restored_and_moved_meanwhile(database: Database) -> None:
    put_up(database, {1: 0.9})
    happen(database, 10, ChangeKind.DELETE, "File:Photo 1.jpg")
    assert entry(database).deleted
    happen(database, 11, ChangeKind.RESTORE, "File:Photo 1.jpg")
    assert not entry(database).deleted
    happen(database, 12, ChangeKind.MOVE, "File:Photo 1.jpg", "File:New.jpg")
    row = entry(database)
    assert (row.title, row.uploaded_as, row.moved) == ("File:New.jpg", "File:Photo 1.jpg", True)
    happen(database, 13, ChangeKind.DELETE, "File:New.jpg")
    assert entry(database).deleted


def test_suppressed_meanwhile_is_not_deleted_and_ends_with_a_restoration(database: Database) -> None:
    put_up(database, {1: 0.9})
    with database.transaction() as tx:
        assert file_changes.note_suppressed(tx, WIKI, "File:Photo 1.jpg", after(20), NOW)
    assert (entry(database).suppressed, entry(database).deleted) == (True, False)
    happen(database, 30, ChangeKind.DELETE, "File:Photo 1.jpg")
    assert (entry(database).suppressed, entry(database).deleted) == (True, True)
    happen(database, 40, ChangeKind.RESTORE, "File:Photo 1.jpg")
    assert (entry(database).suppressed, entry(database).deleted) == (False, False)


def version(log_id: int, sha1: str | None, action: UploadAction = UploadAction.OVERWRITE) -> Upload:
    return replace(upload(log_id, title="File:A.jpg", logged_s=log_id), sha1=sha1, action=action)


def add(database: Database, *values: Upload) -> None:
    with database.transaction() as tx:
        uploads.add(tx, values, NOW)


def test_overwritten_meanwhile_unless_reverted_to_the_very_version(database: Database) -> None:
    put_up(database, {5: 0.9}, values=[version(5, "a" * 31, UploadAction.UPLOAD)])
    assert not entry(database, 5).overwritten
    add(database, version(4, "z" * 31))
    assert not entry(database, 5).overwritten
    add(database, version(6, "b" * 31))
    assert entry(database, 5).overwritten
    add(database, version(7, "a" * 31, UploadAction.REVERT))
    assert not entry(database, 5).overwritten
    add(database, version(8, None))
    assert entry(database, 5).overwritten


def test_hidden_hashes_are_not_taken_for_the_same_bytes(database: Database) -> None:
    put_up(database, {5: 0.9}, values=[version(5, None, UploadAction.UPLOAD)])
    add(database, version(6, None))
    assert entry(database, 5).overwritten


def test_pages_count_their_rows_and_remember_how_far_they_were_read(database: Database) -> None:
    put_up(database, {1: 0.9, 2: 0.9, 3: 0.9})
    place(database, 1, 2, 3)
    with database.transaction() as tx:
        assert review_pages.add(tx, WIKI, "User:Bot/Review", PageKind.INDEX, after(1))
        assert not review_pages.add(tx, WIKI, "User:Bot/Review", PageKind.INDEX, after(2))
        assert review_pages.add(tx, "testwiki", "User:Bot/Review", PageKind.INDEX, after(2))
    give(database, verdict(2, SFW), now=after(50))
    with database.read() as tx:
        page, index = review_pages.pages(tx, WIKI)
        assert review_pages.find(tx, WIKI, PAGE) == page
        assert review_pages.find(tx, WIKI, "User:Bot/Nothing") is None
    assert (page.title, page.kind, page.state, page.created_at) == (PAGE, PageKind.ITEM, PageState.OPEN, NOW)
    assert (page.open, page.disputed, page.closed, page.rows, page.finished) == (2, 0, 1, 3, False)
    assert (page.last_seen_revision_id, page.last_written_revision_id, page.last_written_at) == (None,) * 3
    assert page.last_change_at == after(50)
    assert (index.kind, index.rows, index.finished, index.created_at) == (PageKind.INDEX, 0, False, after(1))


def seen(database: Database) -> tuple[int | None, int | None]:
    with database.read() as tx:
        page = review_pages.find(tx, WIKI, PAGE)
    assert page is not None
    return page.last_seen_revision_id, page.last_written_revision_id


def test_what_was_read_never_goes_back(database: Database) -> None:
    place(database)
    for revision, further in ((10, True), (10, False), (9, False), (11, True)):
        with database.transaction() as tx:
            assert review_pages.mark_seen(tx, WIKI, PAGE, revision) is further
    assert seen(database) == (11, None)


def write(database: Database, revision_id: int, based_on: int | None, seconds: float = 0) -> None:
    with database.transaction() as tx:
        review_pages.mark_written(tx, WIKI, PAGE, revision_id, after(seconds), based_on=based_on)


def test_our_own_edit_counts_as_read_only_where_everything_before_it_was(database: Database) -> None:
    place(database)
    write(database, 10, None)
    assert seen(database) == (10, 10)
    with database.transaction() as tx:
        review_pages.mark_seen(tx, WIKI, PAGE, 12)
    write(database, 13, 12, seconds=60)
    assert seen(database) == (13, 13)
    write(database, 20, 19)
    assert seen(database) == (13, 20)
    write(database, 13, 13, seconds=90)
    assert seen(database) == (13, 20)
    with database.read() as tx:
        page = review_pages.find(tx, WIKI, PAGE)
    assert page is not None
    assert page.last_written_at == after(90)


def test_a_page_nobody_announced_is_named(database: Database) -> None:
    with pytest.raises(StoreError, match="no known report page"), database.transaction() as tx:
        review_pages.mark_seen(tx, WIKI, PAGE, 1)
    with pytest.raises(StoreError, match="no known report page"):
        write(database, 1, None)


def test_verdicts_and_how_far_was_read_are_stored_together_or_not_at_all(database: Database) -> None:
    put_up(database, {1: 0.9})
    place(database, 1)
    with pytest.raises(RuntimeError), database.transaction() as tx:  # noqa: PT012
        reviews.add_verdicts(tx, [verdict(1, SFW)], NOW)
        review_pages.mark_seen(tx, WIKI, PAGE, 100)
        raise RuntimeError("killed")
    assert seen(database) == (None, None)
    assert entry(database).verdict is None
    with database.transaction() as tx:
        reviews.add_verdicts(tx, [verdict(1, SFW)], NOW)
        review_pages.mark_seen(tx, WIKI, PAGE, 100)
    assert seen(database) == (100, None)
    assert entry(database).state is ReviewState.CLOSED


def test_a_page_of_rows_costs_as_many_queries_as_one_row(database: Database) -> None:
    put_up(database, dict.fromkeys(range(1, 41), 0.9))
    place(database, 1, title="User:Bot/Small")
    place(database, *range(2, 41))
    statements: list[str] = []

    def count(_connection: Connection, _cursor: object, statement: str, *_rest: object) -> None:
        statements.append(statement)

    counts = {}
    with database.read() as tx:
        event.listen(tx.get_bind(), "before_cursor_execute", count)
        for title, expected in (("User:Bot/Small", 1), (PAGE, 39)):
            statements.clear()
            assert len(review_pages.rows_of(tx, WIKI, title)) == expected
            counts[title] = sum(statement.startswith("SELECT") for statement in statements)
        event.remove(tx.get_bind(), "before_cursor_execute", count)
    assert 1 < counts["User:Bot/Small"] == counts[PAGE] <= 8


@pytest.mark.skipif(SERVER_URL is not None, reason="reads SQLite's query plans")
def test_no_query_of_the_review_walks_through_a_whole_table(database: Database) -> None:
    put_up(database, dict.fromkeys(range(1, 5), 0.9))
    place(database, 1, 2)
    plans: list[str] = []
    statements: list[tuple[str, object]] = []

    def collect(_c: Connection, _cursor: object, statement: str, parameters: object, *_rest: object) -> None:
        statements.append((statement, parameters))

    with database.read() as tx:
        connection = tx.connection()
        event.listen(connection.engine, "before_cursor_execute", collect)
        review_pages.rows_of(tx, WIKI, PAGE)
        review_pages.unplaced(tx, 10)
        review_pages.pages(tx, WIKI)
        reviews.standing(tx, item_id(1))
        file_changes.signals_of(tx, item_id(1))
        event.remove(connection.engine, "before_cursor_execute", collect)
        for statement, parameters in statements:
            rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)  # type: ignore[arg-type]
            plans += [f"{row.detail}  <-  {statement}" for row in rows]
        assert tx.scalar(text("SELECT count(*) FROM review_item")) == 4
    assert len(statements) > 10
    # A wiki, a reason or a range of log ids alone is next to no restriction in a table of a million.
    poor = (
        "SCAN ",
        "(wiki=?)",
        "(reason=?)",
        "(uploader=?)",
        "log_id>?",
        "review_item_state_created_at (state=?)",
    )
    assert [plan for plan in plans if any(use in plan for use in poor)] == []

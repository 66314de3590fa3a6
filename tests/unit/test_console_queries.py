"""What the console asks the store, on a real SQLite file."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from storage import console_review, lease
from storage.console_overview import hourly, overview
from storage.console_queue import Place, QueueFilter, QueueOrder, page, totals
from storage.console_scores import EDGES, model_counts, over_time, shadow
from storage.console_story import picture_of, story
from storage.engine import Database
from storage.metric_values import MediaKind
from storage.review_values import ReviewState, VerdictCode, VerdictSource
from storage.tables import UploadRow
from storage.values import ChangeKind, Owner, ReviewReason
from tests.console_store import fill
from tests.export_store import keep, one_upload, restore, suppress
from tests.review_items import give, item_id, put_up, verdict
from tests.storage_database import NOW, WIKI, after, fresh_database


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with fresh_database(tmp_path) as opened:
        yield opened


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """Two months of uploads; only read."""
    folder = tmp_path_factory.mktemp("filled")
    with fresh_database(folder) as opened:
        fill(opened, folder / "copies", NOW, pictures=2)
        yield opened


def said(log_id: int, account: str, code: VerdictCode = VerdictCode.SFW, at_s: float = 20) -> object:
    return verdict(
        log_id,
        code,
        author=account,
        author_id=None,
        revision_id=None,
        source=VerdictSource.CONSOLE,
        given_at=after(at_s),
    )


def test_an_empty_store_has_an_overview(database: Database) -> None:
    with database.read() as tx:
        found = overview(tx, NOW)
        hours = hourly(tx, NOW)
    assert found.daemon is None
    assert found.position is None
    assert found.queue == found.outcomes == found.troubles == found.gaps == found.reconciliations == []
    assert [part.received for part in found.activity] == [0, 0, 0]
    assert len(hours) == 24
    assert hours[-1].start <= NOW < hours[-1].start + timedelta(hours=1)


def test_the_overview_counts_what_waits_by_state_and_lane(filled: Database) -> None:
    with filled.read() as tx:
        found = overview(tx, NOW)
        waiting = tx.query(UploadRow).filter(UploadRow.state == "pending", UploadRow.lane == 1).count()
        claimed = tx.query(UploadRow).filter(UploadRow.state == "claimed").count()
        oldest = min(
            row.logged_at
            for row in tx.query(UploadRow).filter(UploadRow.state == "pending", UploadRow.lane == 0)
        )
    parts = {(part.state, part.fresh): part for part in found.queue}
    assert waiting and claimed
    assert parts["pending", False].count == waiting
    assert parts["pending", False].due_at == NOW + timedelta(minutes=4)
    assert parts["claimed", True].count == claimed
    assert parts["claimed", True].due_at is None
    assert parts["pending", True].oldest_at == oldest


def test_activity_is_counted_by_uploads_and_not_by_scores(filled: Database) -> None:
    """Of the last three days every upload has a shadow's score as well."""
    with filled.read() as tx:
        found = overview(tx, NOW)
        day = tx.query(UploadRow).filter(UploadRow.received_at > NOW - timedelta(days=1))
        scored = sum(1 for row in day if row.outcome == "scored")
    last_day = found.activity[-1]
    assert last_day.length == timedelta(days=1)
    assert last_day.received == day.count()
    assert abs(last_day.scored - scored) <= 2  # those that were stored before and scored within
    assert sum(one.count for one in found.outcomes) == last_day.received


def test_troubles_leave_out_what_is_in_the_nature_of_a_file(filled: Database) -> None:
    with filled.read() as tx:
        found = overview(tx, NOW)
    codes = {trouble.code for trouble in found.troubles}
    assert "timeout" in codes
    assert not codes & {"audio", "deleted"}
    times = [trouble.received_at for trouble in found.troubles]
    assert times == sorted(times, reverse=True)


def test_a_gap_says_how_much_of_it_is_read(filled: Database) -> None:
    with filled.read() as tx:
        found = overview(tx, NOW)
    assert [gap.done_at is None for gap in found.gaps] == [True, False, False]
    assert found.gaps[0].read_share == pytest.approx(1 / 3)
    assert found.missed == 14


def test_a_daemon_that_holds_the_lease_is_told(database: Database) -> None:
    owner = Owner("host", 1, NOW, "token")
    with database.transaction() as tx:
        lease.acquire(tx, owner=owner, now=NOW, ttl_s=60)
    with database.read() as tx:
        found = overview(tx, after(10))
    assert found.daemon is not None
    assert found.daemon.owner.host == "host"


@pytest.mark.parametrize("order", list(QueueOrder))
def test_pages_of_the_queue_show_every_item_once(filled: Database, order: QueueOrder) -> None:
    seen: list[str] = []
    place: Place | None = None
    with filled.read() as tx:
        while True:
            found = page(tx, QueueFilter(order=order), account="Rosa", after=place, limit=37)
            seen += [entry.item_id for entry in found.entries]
            place = found.following
            if place is None:
                break
        everything = page(tx, QueueFilter(order=order), account="Rosa", limit=10_000).entries
        counts = totals(tx)
    assert seen == [entry.item_id for entry in everything]
    assert len(set(seen)) == len(seen) == sum(counts.values())
    if order is QueueOrder.HIGHEST:
        scores = [entry.score for entry in everything]
        assert scores == sorted(scores, reverse=True)


def test_equal_scores_do_not_lose_items_between_pages(database: Database) -> None:
    put_up(database, dict.fromkeys(range(1, 8), 0.9))
    wanted = QueueFilter(order=QueueOrder.HIGHEST)
    with database.read() as tx:
        first = page(tx, wanted, account="Rosa", limit=3)
        second = page(tx, wanted, account="Rosa", after=first.following, limit=3)
        third = page(tx, wanted, account="Rosa", after=second.following, limit=3)
    found = [entry.item_id for part in (first, second, third) for entry in part.entries]
    assert found == [item_id(number) for number in range(7, 0, -1)]
    assert third.following is None


@pytest.mark.parametrize(
    ("wanted", "holds"),
    [
        (QueueFilter(state=ReviewState.OPEN), lambda one: one.state is ReviewState.OPEN),
        (QueueFilter(reason=ReviewReason.AUDIT), lambda one: one.reason is ReviewReason.AUDIT),
        (QueueFilter(label="nsfw"), lambda one: one.label == "nsfw"),
        (QueueFilter(model="open_nsfw"), lambda one: one.model == "open_nsfw"),
        (QueueFilter(medium=MediaKind.MOVING), lambda one: one.title.endswith(".webm")),
        (QueueFilter(low=0.3, high=0.7), lambda one: 0.3 <= one.score <= 0.7),
        (QueueFilter(since=NOW - timedelta(days=5)), lambda one: one.created_at >= NOW - timedelta(days=5)),
        (QueueFilter(until=NOW - timedelta(days=5)), lambda one: one.created_at < NOW - timedelta(days=5)),
        (QueueFilter(title="MARBLE"), lambda one: "Marble" in one.title),
        (
            QueueFilter(title="disc", label="sfw", state=ReviewState.CLOSED),
            lambda one: "disc" in one.title and one.label == "sfw" and one.state is ReviewState.CLOSED,
        ),
    ],
    ids=["state", "reason", "label", "model", "medium", "scores", "since", "until", "title", "several"],
)
def test_a_filter_finds_exactly_what_it_asks_for(
    filled: Database, wanted: QueueFilter, holds: object
) -> None:
    assert callable(holds)
    with filled.read() as tx:
        everything = page(tx, QueueFilter(), account="Rosa", limit=10_000).entries
        found = page(tx, wanted, account="Rosa", limit=10_000).entries
    assert [entry.item_id for entry in found] == [entry.item_id for entry in everything if holds(entry)]
    assert 0 < len(found) < len(everything)


def test_a_title_is_searched_for_as_it_is_typed(database: Database) -> None:
    """`%` and `_` are no wildcards."""
    values = [one_upload(number) for number in (1, 2)]
    put_up(database, {1: 0.9, 2: 0.9}, values=values)
    with database.transaction() as tx:
        tx.query(UploadRow).filter(UploadRow.log_id == 2).update({"current_title": "File:100%_cotton.jpg"})
    with database.read() as tx:
        for text, count in (("100%_c", 1), ("0_c", 0), ("%", 1), ("", 2)):
            assert len(page(tx, QueueFilter(title=text), account="Rosa").entries) == count


def test_other_media_are_those_of_no_known_kind(database: Database) -> None:
    put_up(database, {1: 0.9, 2: 0.9})
    with database.transaction() as tx:
        tx.query(UploadRow).filter(UploadRow.log_id == 2).update({"title": "File:Model.stl"})
    with database.read() as tx:
        found = page(tx, QueueFilter(medium=MediaKind.OTHER), account="Rosa").entries
    assert [entry.item_id for entry in found] == [item_id(2)]


def test_the_queue_tells_the_own_latest_verdict_and_nobody_elses(database: Database) -> None:
    put_up(database, {1: 0.9, 2: 0.9})
    give(
        database,
        said(1, "Rosa", VerdictCode.NSFW_KEEP),
        said(1, "Rosa", VerdictCode.SFW, at_s=30),
        said(2, "Ann"),
    )
    with database.read() as tx:
        own = {entry.item_id: entry.own for entry in page(tx, QueueFilter(), account="Rosa").entries}
    assert own == {item_id(1): VerdictCode.SFW, item_id(2): None}


def test_items_come_to_reviewers_in_the_order_they_were_put_up(database: Database) -> None:
    for number, at_s in ((1, 0), (2, 10), (3, 20)):
        put_up(database, {number: 0.9}, now=after(at_s))
    with database.read() as tx:
        assert console_review.next_item(tx, "Rosa") == item_id(1)
        assert console_review.next_item(tx, "Rosa", after=item_id(1)) == item_id(2)
        assert console_review.next_item(tx, "Rosa", after=item_id(3)) is None
        assert console_review.next_item(tx, "Rosa", after="commonswiki-99") == item_id(1)


def test_a_disputed_item_is_asked_about_in_its_turn(database: Database) -> None:
    for number, at_s in ((1, 0), (2, 10)):
        put_up(database, {number: 0.9}, now=after(at_s))
    give(database, said(1, "Ann"), said(1, "Boris", VerdictCode.NSFW_KEEP, at_s=30))
    with database.read() as tx:
        assert console_review.next_item(tx, "Rosa") == item_id(1)
        assert console_review.next_item(tx, "Ann") == item_id(2)


def test_nobody_is_asked_about_an_own_upload_nor_twice(database: Database) -> None:
    values = [one_upload(1, "Rosa"), one_upload(2), one_upload(3)]
    put_up(database, {1: 0.9, 2: 0.9, 3: 0.9}, values=values)
    give(database, said(2, "Rosa", VerdictCode.UNSURE))
    with database.read() as tx:
        assert console_review.next_item(tx, "Rosa") == item_id(3)
        load = console_review.load(tx, "Rosa", NOW.replace(hour=0))
        assert (load.waiting, load.given_today) == (1, 1)
        assert console_review.next_item(tx, "Ann") == item_id(1)


def test_a_story_has_everything_in_order(database: Database, tmp_path: Path) -> None:
    put_up(database, {1: 0.9}, values=[one_upload(1)])
    keep(database, tmp_path, 1)
    give(database, said(1, "Rosa", VerdictCode.NSFW_KEEP), said(1, "Rosa", VerdictCode.SFW, at_s=40))
    suppress(database, 1)
    with database.read() as tx:
        found = story(tx, WIKI, 1)
    assert found is not None
    assert found.upload.user == "Uploader 1"
    assert [score.decided for score in found.scores] == [True]
    assert len(found.scores[0].frames) == 2
    assert found.review is not None
    assert [one.code for one in found.review.verdicts] == [VerdictCode.NSFW_KEEP, VerdictCode.SFW]
    assert found.review.verdicts[1].supersedes_id == found.review.verdicts[0].id
    assert found.review.standing.state is ReviewState.CLOSED
    assert [change.kind for change in found.changes] == [ChangeKind.SUPPRESS]
    assert found.suppressed
    assert len(found.copies) == 1


def test_a_shadows_score_is_not_the_one_that_decided(filled: Database) -> None:
    with filled.read() as tx:
        recent = page(tx, QueueFilter(since=NOW - timedelta(days=2)), account="Rosa").entries[0]
        found = story(tx, WIKI, int(recent.item_id.rpartition("-")[2]))
    assert found is not None
    assert [(score.model, score.decided) for score in found.scores] == [("better", True), ("watcher", False)]
    assert found.draw is not None
    assert found.draw.chosen


def test_an_unknown_upload_has_no_story(database: Database) -> None:
    with database.read() as tx:
        assert story(tx, WIKI, 1) is None
        assert picture_of(tx, WIKI, 1, NOW, 30) is None


def test_a_kept_picture_may_be_shown_until_its_time_is_over(database: Database, tmp_path: Path) -> None:
    put_up(database, {1: 0.9}, values=[one_upload(1)])
    keep(database, tmp_path, 1)
    with database.read() as tx:
        assert picture_of(tx, WIKI, 1, after(10), 30) is not None
        assert picture_of(tx, WIKI, 1, after(2e6), 300) is None  # after its own end
        assert picture_of(tx, WIKI, 1, after(86_400 * 2), 1) is None  # the settings were shortened since


def test_a_suppressed_files_picture_is_not_shown_and_a_restored_ones_is(
    database: Database, tmp_path: Path
) -> None:
    put_up(database, {1: 0.9}, values=[one_upload(1)])
    keep(database, tmp_path, 1)
    suppress(database, 1)
    with database.read() as tx:
        assert picture_of(tx, WIKI, 1, after(3e5), 30) is None
    restore(database, 1)
    with database.read() as tx:
        assert picture_of(tx, WIKI, 1, after(3e5), 30) is not None


def test_scores_over_time_count_every_score_once(filled: Database) -> None:
    since = NOW - timedelta(days=30)
    with filled.read() as tx:
        counts = model_counts(tx, since, NOW)
        steps = over_time(tx, "better", since, NOW, steps=7)
    assert set(counts) == {"open_nsfw", "better"}  # what only watches decides nothing
    assert sum(step.count for step in steps) == counts["better"]
    assert steps[0].start == since
    assert steps[-1].end == NOW
    shares = [steps[-1].share_from(edge) for edge in range(len(EDGES))]
    assert shares == sorted(shares, key=lambda share: -(share or 0))
    assert steps[0].share_from(0) is None  # that model came later


def test_a_flag_is_in_the_highest_bands(filled: Database) -> None:
    with filled.read() as tx:
        steps = over_time(tx, "better", NOW - timedelta(days=20), NOW, steps=3)
    flagged = sum(step.flagged for step in steps)
    assert 0 < flagged == sum(sum(step.bands[4:]) for step in steps)


def test_a_shadow_is_paired_with_the_score_that_decided(filled: Database) -> None:
    with filled.read() as tx:
        found = shadow(tx, NOW)
        assert found is not None
        first = story(tx, WIKI, found.pairs[0].log_id)
    assert found.name == "watcher"
    assert first is not None
    assert [score.score for score in first.scores] == [found.pairs[0].active, found.pairs[0].shadow]
    assert len({pair.log_id for pair in found.pairs}) == len(found.pairs) > 100


def test_without_a_shadow_there_are_no_pairs(database: Database) -> None:
    with database.read() as tx:
        assert shadow(tx, NOW) is None


def test_times_come_back_aware(filled: Database) -> None:
    with filled.read() as tx:
        found = overview(tx, NOW)
    assert all(part.due_at is None or part.due_at.tzinfo is UTC for part in found.queue)
    assert isinstance(found.troubles[0].received_at, datetime)

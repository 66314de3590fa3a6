"""The writing pass: what it puts on the pages, and what it leaves alone."""

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from bot.review.control import ConfigProblem, ConfigReading, WikiConfig
from storage import file_changes, review_pages
from storage.review_values import PageState, ReviewState
from storage.values import ChangeKind, FileChange, ReviewReason
from tests.fake_wiki import BOT
from tests.review_items import item_id
from tests.review_office import ARCHIVE, DAY, INDEX, Office, opened
from tests.storage_database import NOW, WIKI

DAYS = 86_400


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    with opened(tmp_path) as made:
        yield made


def test_items_fill_pages_of_limited_length_and_each_stands_on_one(tmp_path: Path) -> None:
    with opened(tmp_path, rows_per_page=4) as office:
        office.put_up(range(1, 11))
        office.pass_by()
        titles = [DAY, f"{DAY}/2", f"{DAY}/3"]
        assert [len(office.ids(title)) for title in titles] == [4, 4, 2]
        assert all(len(office.places(number)) == 1 for number in range(1, 11))


def test_each_page_is_edited_once_in_an_interval_however_much_happens(office: Office) -> None:
    office.set(edit_interval_s=60)
    office.put_up([1])
    office.publish()
    for number in range(2, 7):
        office.wait(10)
        office.put_up([number])
        office.publish()
    assert Counter(office.wiki.saved) == {DAY: 1, INDEX: 1}
    office.wait(10)
    office.publish()
    assert Counter(office.wiki.saved) == {DAY: 2, INDEX: 2}
    assert len(office.ids()) == 6


def test_a_pass_with_nothing_to_do_asks_the_wiki_nothing(office: Office) -> None:
    office.put_up(range(1, 6))
    office.pass_by()
    asked = office.wiki.total(), office.asks.requests
    for _ in range(5):
        office.wait(61)
        office.publish()
    assert (office.wiki.total(), office.asks.requests) == asked


def test_the_bot_s_own_edits_need_not_be_read(office: Office) -> None:
    for number in range(1, 4):
        office.put_up([number])
        office.pass_by()
        office.wiki.requests.clear()
        assert office.read() is None
        assert dict(office.wiki.requests) == {"newest": 1}


def test_a_restart_is_no_reason_for_an_edit(office: Office) -> None:
    office.put_up(range(1, 6))
    office.pass_by()
    office.give("Ann", 1, "sfw")
    office.pass_by()
    office.pass_by()
    saved = list(office.wiki.saved)
    office.wait(2 * DAYS)
    office.wiki.account("Example", edits=4711)
    office.restart()
    office.pass_by()
    assert office.wiki.saved == saved


def test_what_changes_on_the_wiki_alone_is_shown_after_some_hours(office: Office) -> None:
    office.put_up([1])
    office.pass_by()
    assert "|inuse=no|" in office.line(1)
    office.asks.used.add("File:Photo 1.jpg")
    office.pass_by()
    assert "|inuse=no|" in office.line(1)
    office.wait(7 * 3600)
    office.publish()
    assert "|inuse=yes|" in office.line(1)


def test_score_and_reason_stay_hidden_until_somebody_has_decided(office: Office) -> None:
    office.put_up([1])
    office.draw(2, ReviewReason.AUDIT)
    office.pass_by()
    assert not any(row.shows_score for row in office.rows())
    assert "reason" not in office.wiki.text(DAY)
    office.give("Ann", 1, "sfw")
    office.pass_by()
    assert office.line(1).endswith("|score=0.90|reason=flagged}}")
    assert not office.row(2).shows_score


def test_unsure_decides_nothing_so_the_score_stays_hidden_from_the_next_reviewer(office: Office) -> None:
    office.put_up([1])
    office.pass_by()
    office.give("Ann", 1, "unsure")
    office.pass_by()
    assert not office.row(1).shows_score
    office.give("Bea", 1, "nsfw-keep")
    office.pass_by()
    assert office.row(1).shows_score
    assert [verdict.blind for verdict in office.verdicts(1)] == [True, True]


def test_a_decision_taken_back_hides_the_score_again(office: Office) -> None:
    office.put_up([1])
    office.pass_by()
    office.give("Ann", 1, "sfw")
    office.pass_by()
    office.give("Ann", 1, "")
    office.pass_by()
    assert office.entry(1).state is ReviewState.OPEN
    assert not office.row(1).shows_score


def test_a_community_that_wants_scores_sees_them_at_once(office: Office) -> None:
    office.put_up([1])
    office.pass_by()
    office.set(blind=False)
    office.pass_by()
    assert office.row(1).shows_score
    office.give("Ann", 1, "sfw")
    office.pass_by()
    assert [verdict.blind for verdict in office.verdicts(1)] == [False]


def test_the_order_of_rows_tells_nothing_of_score_or_time(office: Office) -> None:
    for number in range(1, 31):
        office.put_up([number], score=0.8 + number / 200)
    office.pass_by()
    order = [int(one.rpartition("-")[2]) for one in office.ids()]
    assert sorted(order) == list(range(1, 31))
    rising = sum(first < second for first, second in pairwise(order))
    assert 8 <= rising <= 21


def test_a_later_row_goes_where_it_belongs_and_not_at_the_end(office: Office, tmp_path: Path) -> None:
    office.put_up(range(1, 21))
    office.pass_by()
    together = office.ids()
    with opened(tmp_path / "other") as other:
        other.put_up(range(1, 20))
        other.pass_by()
        other.put_up([20])
        other.pass_by()
        assert other.ids() == together


def test_the_index_tells_how_many_items_wait_and_where(office: Office) -> None:
    office.put_up(range(1, 5))
    office.pass_by()
    office.give("Ann", 1, "sfw")
    office.give("Ann", 2, "sfw")
    office.give("Bea", 2, "nsfw-keep")
    office.pass_by()
    office.pass_by()
    text = office.wiki.text(INDEX)
    assert "* Open: 2\n* Disputed: 1\n* Done: 1\n" in text
    assert f"| [[{DAY}]] || 2 || 1 || 1" in text


def test_a_vandalised_index_comes_back(office: Office) -> None:
    office.put_up([1])
    office.pass_by()
    before = office.wiki.text(INDEX)
    office.wiki.edit("Newcomer", INDEX, "vandalism")
    office.pass_by()
    assert office.wiki.text(INDEX).split("\n")[:-1] == before.split("\n")[:-1]


def test_a_broken_configuration_page_is_told_on_the_index_and_no_longer_when_mended(office: Office) -> None:
    office.put_up([1])
    office.pass_by()
    good = office.reading
    office.reading = ConfigReading(good.config, (ConfigProblem("not_json"),), broken=True)
    office.pass_by()
    broken = office.wiki.text(INDEX)
    office.reading = good
    office.pass_by()
    assert broken != office.wiki.text(INDEX)
    assert "last valid" in broken
    assert "last valid" not in office.wiki.text(INDEX)


def test_finished_pages_are_archived_and_listed_and_leave_the_index(office: Office) -> None:
    office.put_up([1, 2])
    office.pass_by()
    office.give("Ann", 1, "sfw")
    office.give("Ann", 2, "nsfw-keep")
    # The store notes the state's change by the real clock.
    office.now = max(office.now, NOW)
    office.pass_by()
    assert office.wiki.text(ARCHIVE) == ""
    office.wait(20 * 365 * DAYS)
    office.pass_by()
    assert [page.state for page in office.pages()] == [PageState.ARCHIVED]
    assert f"* [[{DAY}]]" in office.wiki.text(ARCHIVE)
    index = office.wiki.text(INDEX)
    assert f"[[{DAY}]]" not in index
    assert f"[[{ARCHIVE}|" in index


def test_an_archive_that_could_not_be_written_is_written_later(office: Office) -> None:
    office.put_up([1])
    office.pass_by()
    office.give("Ann", 1, "sfw")
    office.pass_by()
    office.wait(20 * 365 * DAYS)
    office.wiki.refusals[ARCHIVE] = "protected"
    office.pass_by()
    assert office.wiki.text(ARCHIVE) == ""
    office.wiki.refusals.clear()
    office.restart()
    office.pass_by()
    assert f"* [[{DAY}]]" in office.wiki.text(ARCHIVE)


def test_a_page_with_an_open_item_is_never_archived(office: Office) -> None:
    office.put_up([1, 2])
    office.pass_by()
    office.give("Ann", 1, "sfw")
    office.pass_by()
    office.wait(20 * 365 * DAYS)
    office.pass_by()
    assert [page.state for page in office.pages()] == [PageState.OPEN]


def test_uploads_of_skipped_groups_are_left_out_and_keep_nobody_waiting(office: Office) -> None:
    office.wiki.account("Trusted", "autopatrolled")
    office.set(skipped_groups=("autopatrolled",))
    office.put_up(range(1, 1102), uploader="Trusted")
    office.put_up([2000])
    office.pass_by()
    assert office.ids() == [item_id(2000)]
    asked = office.wiki.total()
    office.wait(900)
    office.publish()
    office.publish()
    assert office.wiki.total() == asked
    office.set(skipped_groups=())
    office.pass_by()
    assert sum(page.rows for page in office.pages()) == 1102


def test_dry_run_writes_nothing_and_says_the_same_thing_once(office: Office) -> None:
    office.wiki.dry_run = True
    office.put_up([1])
    for _ in range(3):
        office.pass_by()
    assert office.wiki.titles() == []
    assert office.edits("dry_run") == 2
    office.wiki.dry_run = False
    office.restart()
    office.pass_by()
    assert office.ids() == [item_id(1)]


def test_a_deleted_file_is_shown_as_deleted(office: Office) -> None:
    office.put_up([1])
    office.pass_by()
    office.asks.missing.add("File:Photo 1.jpg")
    with office.database.transaction() as tx:
        change = FileChange(WIKI, 77, ChangeKind.DELETE, "File:Photo 1.jpg", None, "Admin", NOW)
        assert file_changes.apply(tx, [change], NOW) == 1
    office.pass_by()
    assert "|state=deleted|" in office.line(1)


def test_a_suppressed_file_is_kept_as_a_signal_and_shown_as_deleted(office: Office) -> None:
    office.asks.suppressed.add("File:Photo 1.jpg")
    office.put_up([1, 2])
    office.pass_by()
    with office.database.read() as tx:
        signals = file_changes.signals_of(tx, item_id(1))
        assert file_changes.signals_of(tx, item_id(2)) == []
    assert [signal.kind for signal in signals] == [ChangeKind.SUPPRESS]
    assert "|state=deleted|" in office.line(1)
    assert "|state=|" in office.line(2)
    saved = list(office.wiki.saved)
    office.pass_by()
    assert office.wiki.saved == saved


def test_an_old_suppressed_version_says_nothing_of_the_file(office: Office) -> None:
    office.asks.old_suppressed.add("File:Photo 1.jpg")
    office.put_up([1])
    office.pass_by()
    assert "|state=|" in office.line(1)


def test_the_summary_counts_what_really_changed(office: Office) -> None:
    office.put_up(range(1, 6))
    office.pass_by()
    office.give("Ann", 1, "sfw")
    office.put_up([6])
    office.pass_by()
    summaries = [one for one in office.wiki.summaries if "new" in one]
    assert summaries == ["Scope review: 5 new, 0 updated", "Scope review: 1 new, 5 updated"]


def test_an_open_item_moved_to_an_archived_page_opens_it(office: Office) -> None:
    office.put_up([1])
    office.pass_by()
    office.give("Ann", 1, "sfw")
    office.pass_by()
    office.wait(20 * 365 * DAYS)
    office.pass_by()
    office.put_up([2])
    office.pass_by()
    with office.database.transaction() as tx:
        assert review_pages.move(tx, WIKI, DAY, [item_id(2)]) == 1
    page = next(page for page in office.pages() if page.title == DAY)
    assert (page.state, page.open, page.closed) == (PageState.OPEN, 1, 1)


def test_five_hundred_items_cost_few_requests_and_one_edit_for_a_changed_page(office: Office) -> None:
    office.reading = ConfigReading(WikiConfig())
    office.put_up(range(1, 501))
    office.pass_by()
    office.pass_by()
    titles = [page.title for page in office.pages()]
    assert [len(office.ids(title)) for title in titles] == [100] * 5
    assert Counter(office.wiki.saved) == dict.fromkeys([*titles, INDEX], 1)

    before = office.wiki.total()
    office.wait(61)
    office.read()
    assert office.wiki.total() - before == 1
    office.publish()
    assert office.wiki.total() - before == 1

    office.wiki.saved.clear()
    for number in (1, 2, 150):
        title = office.entry(number).page_title
        assert title is not None
        office.give("Ann", number, "sfw", title=title)
    before, asked = office.wiki.total(), office.asks.requests
    office.read()
    assert office.wiki.total() - before <= 10
    office.publish()
    assert Counter(office.wiki.saved) == {titles[0]: 1, titles[1]: 1, INDEX: 1}
    assert office.asks.requests - asked == 4  # 200 files
    assert office.wiki.bot_name == BOT

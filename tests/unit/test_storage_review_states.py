import threading
from collections.abc import Iterator
from dataclasses import replace
from itertools import count, permutations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import file_changes, review_pages, reviews
from storage.engine import Database
from storage.errors import UnknownItem
from storage.review_values import FileSignal, PageState, ReviewState, Verdict, VerdictCode
from storage.standing import is_nsfw, standing_of, state_of
from storage.values import ChangeKind, FileChange
from tests.review_items import give, item_id, put_up, verdict
from tests.storage_database import NOW, WIKI, after, fresh_database, upload

DELETE, KEEP, SFW, UNSURE = VerdictCode
OPEN, DISPUTED, CLOSED = ReviewState


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with fresh_database(tmp_path) as opened:
        put_up(opened, {1: 0.9, 2: 0.95})
        yield opened


def by(name: str, code: VerdictCode, revision_id: int, **changes: object) -> Verdict:
    """A verdict on item 1 by a person whose id follows from the name."""
    return verdict(
        1,
        code,
        author=name,
        author_id=sum(name.encode()),
        revision_id=revision_id,
        given_at=after(revision_id),
        **changes,
    )


def untrusted(name: str, code: VerdictCode, revision_id: int, reason: str = "group") -> Verdict:
    return by(name, code, revision_id, trusted=False, untrusted_reason=reason)


def state(database: Database, number: int = 1) -> ReviewState:
    """The state as stored, which must be what the verdicts come to."""
    with database.read() as tx:
        by_verdicts = reviews.standing(tx, item_id(number)).state
        on_page = {entry.item_id for entry in review_pages.unplaced(tx, 10)}
    assert (item_id(number) in on_page) is (by_verdicts is not CLOSED)
    return by_verdicts


@pytest.mark.parametrize(
    ("codes", "expected", "label"),
    [
        ([], OPEN, None),
        ([UNSURE], OPEN, None),
        ([UNSURE, UNSURE], OPEN, None),
        ([SFW], CLOSED, False),
        ([SFW, UNSURE], CLOSED, False),
        ([KEEP, KEEP], CLOSED, True),
        ([SFW, DELETE], DISPUTED, None),
        ([DELETE, KEEP], DISPUTED, True),
        ([DELETE, KEEP, UNSURE], DISPUTED, True),
    ],
)
def test_state_and_label_follow_from_the_decisions_of_the_people(
    codes: list[VerdictCode], expected: ReviewState, label: bool | None
) -> None:
    for order in permutations(codes):
        assert state_of(order) is expected
        assert is_nsfw(order) is label


@given(
    st.lists(st.tuples(st.sampled_from("ABC"), st.sampled_from(list(VerdictCode)), st.booleans()), max_size=8)
)
def test_untrusted_verdicts_never_count_and_order_of_reading_never_matters(
    given_verdicts: list[tuple[str, VerdictCode, bool]],
) -> None:
    verdicts = [
        by(name, code, n) if trusted else untrusted(name, code, n)
        for n, (name, code, trusted) in enumerate(given_verdicts, 1)
    ]
    whole = standing_of(verdicts)
    assert standing_of(verdicts[::-1]) == whole
    alone = standing_of([v for v in verdicts if v.trusted])
    assert (alone.state, alone.votes, alone.verdict) == (whole.state, whole.votes, whole.verdict)
    assert len({v.author for v in whole.votes}) == len(whole.votes)
    assert all(v.trusted for v in whole.votes)
    assert not any(v.trusted for v in whole.untrusted)


def test_of_two_revisions_in_one_second_the_later_revision_is_the_persons_word() -> None:
    first, second = by("Ann", SFW, 5), by("Ann", DELETE, 6)
    for order in ([first, second], [second, first]):
        assert standing_of([replace(v, given_at=after(5)) for v in order]).votes[0].code is DELETE


def test_the_shown_verdict_is_the_latest_decision_and_not_a_later_doubt() -> None:
    shown = standing_of([by("Ann", SFW, 5), by("Bob", UNSURE, 6)]).verdict
    assert shown is not None
    assert shown.code is SFW
    doubt = standing_of([by("Bob", UNSURE, 6)]).verdict
    assert doubt is not None
    assert doubt.code is UNSURE


def test_the_state_goes_with_the_verdicts(database: Database) -> None:
    assert state(database) is OPEN
    assert give(database, by("Ann", UNSURE, 10)).changed == {}
    assert state(database) is OPEN
    assert give(database, by("Ann", SFW, 11)).changed == {item_id(1): CLOSED}
    assert state(database) is CLOSED
    assert give(database, by("Bob", DELETE, 12)).changed == {item_id(1): DISPUTED}
    assert state(database) is DISPUTED
    assert give(database, by("Bob", SFW, 13)).changed == {item_id(1): CLOSED}
    assert state(database) is CLOSED
    assert state(database, 2) is OPEN


def test_a_forged_verdict_is_kept_and_shown_but_changes_nothing(database: Database) -> None:
    forged = [
        untrusted("Vandal", SFW, 20),
        untrusted("Example", SFW, 21, "uploader"),
        untrusted("Blocked admin", DELETE, 22, "blocked"),
    ]
    assert give(database, *forged).added == 3
    assert state(database) is OPEN
    give(database, by("Ann", KEEP, 23), untrusted("Vandal", DELETE, 24))
    assert state(database) is CLOSED
    with database.read() as tx:
        found = reviews.standing(tx, item_id(1))
    assert [v.author for v in found.votes] == ["Ann"]
    assert [(v.author, v.code, v.untrusted_reason) for v in found.untrusted] == [
        ("Example", SFW, "uploader"),
        ("Blocked admin", DELETE, "blocked"),
        ("Vandal", DELETE, "group"),
    ]


def test_who_lost_the_right_cannot_take_back_what_was_said_with_it(database: Database) -> None:
    give(database, by("Ann", SFW, 10), untrusted("Ann", DELETE, 20, "blocked"))
    assert state(database) is CLOSED
    with database.read() as tx:
        assert [v.code for v in reviews.standing(tx, item_id(1)).votes] == [SFW]


def test_reading_the_same_revisions_again_changes_nothing(database: Database) -> None:
    verdicts = [by("Ann", SFW, 10), by("Bob", DELETE, 11), verdict(2, KEEP, revision_id=11)]
    first = give(database, *verdicts)
    assert (first.added, first.repeated, first.unknown) == (3, 0, 0)
    assert first.changed == {item_id(1): DISPUTED, item_id(2): CLOSED}
    again = give(database, *verdicts)
    assert (again.added, again.repeated, again.unknown, again.changed) == (0, 3, 0, {})
    assert (state(database), state(database, 2)) == (DISPUTED, CLOSED)


def test_verdicts_read_late_take_their_place_in_time(database: Database) -> None:
    give(database, by("Ann", DELETE, 50))
    give(database, by("Ann", SFW, 40))
    with database.read() as tx:
        assert [v.code for v in reviews.standing(tx, item_id(1)).votes] == [DELETE]
    assert state(database) is CLOSED


def test_a_verdict_about_an_unknown_id_is_counted_and_costs_no_other(database: Database) -> None:
    recorded = give(database, verdict(999, SFW), by("Ann", SFW, 10), verdict(998, SFW, revision_id=10))
    assert (recorded.added, recorded.unknown) == (1, 2)
    assert state(database) is CLOSED
    with pytest.raises(UnknownItem), database.read() as tx:
        reviews.standing(tx, "commonswiki-999")


def test_verdicts_and_state_are_stored_together_or_not_at_all(database: Database) -> None:
    with pytest.raises(RuntimeError), database.transaction() as tx:  # noqa: PT012
        reviews.add_verdicts(tx, [by("Ann", SFW, 10)], NOW)
        raise RuntimeError("killed")
    assert state(database) is OPEN
    with database.read() as tx:
        assert reviews.verdicts_of(tx, item_id(1)) == []


def test_two_people_who_decide_at_once_both_count(database: Database) -> None:
    barrier = threading.Barrier(2)

    def decide(name: str, code: VerdictCode, revision_id: int) -> None:
        barrier.wait(30)
        give(database, by(name, code, revision_id))

    threads = [
        threading.Thread(target=decide, args=("Ann", SFW, 10)),
        threading.Thread(target=decide, args=("Bob", DELETE, 11)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert state(database) is DISPUTED
    with database.transaction() as tx:
        review_pages.place(tx, WIKI, "User:Bot/Review/1", [item_id(1)], NOW)
        (page,) = review_pages.pages(tx, WIKI)
    assert page.disputed == 1


def test_a_later_dispute_opens_an_archived_page_again(database: Database) -> None:
    title = "User:Bot/Review/1"
    with database.transaction() as tx:
        review_pages.place(tx, WIKI, title, [item_id(1), item_id(2)], NOW)
    give(database, by("Ann", SFW, 10), now=after(100))
    with database.transaction() as tx:
        assert not review_pages.archive(tx, WIKI, title)
    give(database, verdict(2, SFW, revision_id=11), now=after(200))
    with database.transaction() as tx:
        (page,) = review_pages.pages(tx, WIKI)
        assert (page.finished, page.closed, page.last_change_at) == (True, 2, after(200))
        assert review_pages.archive(tx, WIKI, title)
        assert not review_pages.archive(tx, WIKI, title)
        assert review_pages.pages(tx, WIKI) == []
    give(database, by("Cyd", SFW, 12))
    with database.read() as tx:
        (page,) = review_pages.pages(tx, WIKI, open_only=False)
    assert page.state is PageState.ARCHIVED
    give(database, by("Bob", DELETE, 13))
    with database.read() as tx:
        (page,) = review_pages.pages(tx, WIKI)
    assert (page.state, page.disputed, page.finished) == (PageState.OPEN, 1, False)


_log_ids = count(5000)


def change(kind: ChangeKind, title: str, seconds: float, target: str | None = None) -> FileChange:
    return FileChange(WIKI, next(_log_ids), kind, title, target, "Admin", after(seconds))


def apply(database: Database, *changes: FileChange) -> int:
    with database.transaction() as tx:
        return file_changes.apply(tx, changes, NOW)


def test_signals_follow_the_file_through_its_titles_and_are_no_verdicts(database: Database) -> None:
    apply(
        database,
        change(ChangeKind.DELETE, "File:Photo 1.jpg", 20),
        change(ChangeKind.RESTORE, "File:Photo 1.jpg", 30),
        change(ChangeKind.MOVE, "File:Photo 1.jpg", 40, "File:New.jpg"),
        change(ChangeKind.DELETE, "File:New.jpg", 50),
        change(ChangeKind.DELETE, "File:Photo 1.jpg", 60),
    )
    with database.read() as tx:
        assert file_changes.signals_of(tx, item_id(1)) == [
            FileSignal(ChangeKind.DELETE, "File:Photo 1.jpg", "Admin", after(20)),
            FileSignal(ChangeKind.RESTORE, "File:Photo 1.jpg", "Admin", after(30)),
            FileSignal(ChangeKind.DELETE, "File:New.jpg", "Admin", after(50)),
        ]
        assert file_changes.signals_of(tx, item_id(2)) == []
        assert reviews.standing(tx, item_id(1)).votes == ()
    assert state(database) is OPEN


def test_a_new_file_under_an_old_title_does_not_inherit_its_signals(database: Database) -> None:
    apply(database, change(ChangeKind.DELETE, "File:Photo 1.jpg", 20))
    put_up(database, {3: 0.9}, values=[upload(3, title="File:Photo 1.jpg", logged_s=30)], now=after(30))
    apply(database, change(ChangeKind.DELETE, "File:Photo 1.jpg", 40))
    apply(database, change(ChangeKind.DELETE, "File:Photo 1.jpg", 25))
    with database.read() as tx:
        assert [s.at for s in file_changes.signals_of(tx, item_id(3))] == [after(40)]
        assert [s.at for s in file_changes.signals_of(tx, item_id(1))] == [after(20), after(25), after(40)]


def test_a_suppression_that_was_noticed_is_stored_once_though_no_log_has_it(database: Database) -> None:
    with database.transaction() as tx:
        assert file_changes.note_suppressed(tx, WIKI, "File:Photo 1.jpg", after(20), NOW)
        assert not file_changes.note_suppressed(tx, WIKI, "File:Photo 1.jpg", after(30), NOW)
        assert file_changes.note_suppressed(tx, WIKI, "File:Photo 2.jpg", after(30), NOW)
        assert not file_changes.note_suppressed(tx, WIKI, "File:Unknown.jpg", after(30), NOW)
        expected = FileSignal(ChangeKind.SUPPRESS, "File:Photo 1.jpg", None, after(20))
        assert file_changes.signals_of(tx, item_id(1)) == [expected]

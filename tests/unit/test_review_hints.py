"""Hints on report pages: what rows tell of other files, when they stop, and that no edit is made for them."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bot.retention.reuploads import DeletedFiles
from bot.review.context import Context, FileFacts
from bot.review.entry_rows import current_hint
from storage import file_changes, hints
from storage.hash_index import Near
from storage.review_values import Hint, LookAlike, VerdictCode
from storage.values import ChangeKind, FileChange
from tests import media
from tests.fakes import DeletedFilesWiki
from tests.review_items import item_id
from tests.review_office import DAY, Office, opened
from tests.storage_database import NOW, WIKI, upload
from tests.unit.test_hints import NOWHERE, claimed, finder

HINT = "|like=Photo 1.jpg|judged=nsfw-keep}}"


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    with opened(tmp_path) as made:
        yield made


def judged(office: Office, number: int = 1, word: str = "nsfw-keep") -> None:
    """An item that somebody has decided."""
    office.put_up([number])
    office.pass_by()
    office.give("Ann", number, word)
    office.pass_by()


def put_up_like(office: Office, number: int, *others: int) -> None:
    """An item that looks like others; row ids of uploads are their numbers here."""
    office.put_up([number])
    with office.database.transaction() as tx:
        hints.note_near(tx, number, [Near(other, 5) for other in others], NOW)


def change(office: Office, log_id: int, kind: ChangeKind, title: str, target: str | None = None) -> None:
    with office.database.transaction() as tx:
        file_changes.apply(
            tx, [FileChange(WIKI, log_id, kind, title, target, "Admin", office.now)], office.now
        )


def test_a_row_tells_what_its_file_looks_like_and_what_was_decided_there(office: Office) -> None:
    judged(office)
    put_up_like(office, 2, 1)
    office.pass_by()
    assert office.line(2).endswith(HINT)
    assert not office.row(2).shows_score
    assert not office.row(1).shows_hint


def test_a_verdict_beside_a_hint_is_recorded_as_such_and_the_hint_goes(office: Office) -> None:
    judged(office)
    put_up_like(office, 2, 1)
    office.pass_by()
    office.give("Bea", 2, "sfw", "no, look closer")
    office.pass_by()
    assert [(one.blind, one.hinted) for one in office.verdicts(1) + office.verdicts(2)] == [
        (True, False),
        (True, True),
    ]
    row = office.row(2)
    assert (row.shows_hint, row.word, row.comment) == (False, "sfw", "no, look closer")


def test_no_edit_is_made_for_a_hint_alone_but_the_next_one_brings_it(office: Office) -> None:
    judged(office)
    office.put_up([2])
    office.pass_by()
    with office.database.transaction() as tx:
        hints.note_near(tx, 2, [Near(1, 5)], NOW)
    edits = office.wiki.saved.count(DAY)
    office.pass_by()
    office.wait(7 * 3600)  # the wiki is asked about all files again
    office.pass_by()
    office.restart()
    office.pass_by()
    assert office.wiki.saved.count(DAY) == edits
    assert not office.row(2).shows_hint
    office.put_up([3])
    office.publish()
    assert office.row(2).shows_hint


def test_a_new_item_waits_for_its_hint_before_it_gets_its_row(office: Office) -> None:
    office.hints_within_s = 5
    office.restart()
    judged(office)
    office.wait(120)
    office.put_up([2])
    office.publish()
    assert office.places(2) == []
    with office.database.transaction() as tx:
        hints.note_near(tx, 2, [Near(1, 5)], NOW)
    office.wait(5)
    office.publish()
    assert office.line(2).endswith(HINT)


def test_a_hint_follows_the_verdict_that_it_tells_of(office: Office) -> None:
    judged(office)
    put_up_like(office, 2, 1)
    office.pass_by()
    office.give("Ann", 1, "sfw")
    office.pass_by()
    assert "|like=Photo 1.jpg|judged=sfw}}" in office.line(2)
    office.give("Bea", 1, "nsfw-delete")  # now they disagree
    office.pass_by()
    assert not office.row(2).shows_hint


def test_a_file_that_was_suppressed_since_is_named_no_more(office: Office) -> None:
    judged(office)
    put_up_like(office, 2, 1)
    office.pass_by()
    assert office.row(2).shows_hint
    with office.database.transaction() as tx:  # noticed by whoever looks after kept pictures
        file_changes.note_suppressed(tx, WIKI, "File:Photo 1.jpg", office.now, office.now)
    office.asks.suppressed.add("File:Photo 1.jpg")
    office.pass_by()
    assert "like=" not in office.wiki.text(DAY)


def test_the_wiki_is_asked_before_a_file_is_named(office: Office) -> None:
    judged(office)
    office.asks.suppressed.add("File:Photo 1.jpg")
    put_up_like(office, 2, 1)
    office.pass_by()
    assert "like=" not in office.wiki.text(DAY)
    assert office.entry(1).suppressed


def test_a_file_that_is_gone_without_a_public_deletion_is_not_named(office: Office) -> None:
    judged(office)
    put_up_like(office, 2, 1)
    office.asks.missing.add("File:Photo 1.jpg")
    office.pass_by()
    assert "like=" not in office.wiki.text(DAY)
    change(office, 900, ChangeKind.DELETE, "File:Photo 1.jpg")
    put_up_like(office, 3, 1)
    office.pass_by()
    assert office.line(3).endswith("|like=Photo 1.jpg|judged=nsfw-keep|likestate=deleted}}")


def test_a_hint_follows_a_file_that_was_moved(office: Office) -> None:
    judged(office)
    put_up_like(office, 2, 1)
    office.pass_by()
    change(office, 900, ChangeKind.MOVE, "File:Photo 1.jpg", "File:Renamed.jpg")
    office.pass_by()
    assert "|like=Renamed.jpg|" in office.line(2)


def test_the_community_may_switch_hints_off(office: Office) -> None:
    judged(office)
    put_up_like(office, 2, 1)
    office.pass_by()
    office.set(hints=False)
    office.pass_by()
    assert not office.row(2).shows_hint
    put_up_like(office, 3, 1)
    office.pass_by()
    assert not office.row(3).shows_hint


def test_what_people_wrote_stays_when_hints_come_and_go(office: Office) -> None:
    judged(office)
    put_up_like(office, 2, 1)
    office.pass_by()
    office.give("Newcomer", 2, "sfw", "untrusted [[remark]]")
    office.give("Ann", 1, "sfw")
    office.pass_by()
    row = office.row(2)
    assert (row.word, row.comment, row.parameters["judged"]) == ("sfw", "untrusted [[remark]]", "sfw")


def test_the_bytes_of_a_deleted_file_are_told_while_the_wiki_says_so(office: Office) -> None:
    gone = DeletedFilesWiki(["File:Gone & away.jpg"])
    office.deleted = DeletedFiles([gone], office.database)
    office.restart()
    office.put_up([1])
    with office.database.transaction() as tx:
        hints.note_deleted(tx, 1, gone.titles, NOW)
    office.pass_by()
    assert office.line(1).endswith("|deletedas=Gone &#38; away.jpg}}")
    assert gone.asked[0]["fasha1base36"] == upload(1).sha1
    gone.titles = []  # restored
    office.deleted = DeletedFiles([gone], office.database)
    office.restart()
    office.pass_by()
    assert not office.row(1).shows_hint


def test_pages_without_hints_ask_nothing_more(office: Office) -> None:
    judged(office)
    office.put_up(range(2, 6))
    before = office.asks.requests
    office.pass_by()
    assert office.asks.requests == before + 1
    assert item_id(2) in office.ids()


def test_a_near_copy_of_a_reviewed_picture_is_shown_with_its_hint(office: Office) -> None:
    picture = media.photo(400, 300, seed=3)
    for number, shown in ((1, picture), (2, picture.resize((300, 225))), (3, media.photo(400, 300, seed=8))):
        office.put_up([number])
        finder(office.database, shown).note_picture(claimed(number), NOWHERE, True, NOW)
        office.pass_by()
        if number == 1:
            office.give("Ann", 1, "nsfw-keep")
            office.pass_by()
    assert office.line(2).endswith(HINT)
    assert not office.row(3).shows_hint


@pytest.mark.parametrize(
    ("facts", "known_deleted", "told"),
    [
        (None, False, False),  # the wiki was not asked
        (FileFacts(), False, True),
        (FileFacts(suppressed=True), False, False),
        (FileFacts(missing=True), False, False),
        (FileFacts(missing=True), True, True),
        (FileFacts(suppressed=True), True, False),
    ],
)
def test_only_what_the_wiki_confirms_is_told(
    office: Office, facts: FileFacts | None, known_deleted: bool, told: bool
) -> None:
    office.put_up([1])
    like = LookAlike("File:Other.jpg", VerdictCode.SFW, deleted=known_deleted)
    entry = replace(office.entry(1), hint=Hint(like, ("File:Gone.jpg", "File:Back.jpg")))
    context = Context(
        {"File:Other.jpg": facts} if facts else {}, deleted={upload(1).sha1 or "": ["File:Gone.jpg"]}
    )
    found = current_hint(entry, context)
    assert (found.look_alike is not None) == told
    assert found.look_alike is None or found.look_alike.deleted == known_deleted
    assert found.deleted_as == ("File:Gone.jpg",)

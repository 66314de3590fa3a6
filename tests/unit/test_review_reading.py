"""The reading pass: whose verdicts reach the store, and how little is asked for it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.errors import ServiceDown
from bot.review import verdicts as reading
from storage.review_values import PageState, ReviewState, VerdictCode
from tests.fake_wiki import BOT, down
from tests.review_items import item_id
from tests.review_office import DAY, INDEX, Office, opened

Given = tuple[str, VerdictCode, bool, str | None]


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    with opened(tmp_path) as made:
        made.put_up(range(1, 6))
        made.pass_by()
        yield made


def given(office: Office, number: int) -> list[Given]:
    return [(one.author, one.code, one.trusted, one.untrusted_reason) for one in office.verdicts(number)]


def test_a_trusted_person_s_verdict_is_stored_with_its_comment_and_revision(office: Office) -> None:
    revision = office.give("Ann", 1, "nsfw-keep", "medical")
    recorded = office.read()
    assert recorded is not None
    assert recorded.changed == {item_id(1): ReviewState.CLOSED}
    (verdict,) = office.verdicts(1)
    assert (verdict.comment, verdict.revision_id, verdict.author_groups) == (
        "medical",
        revision,
        ("*", "patroller", "user"),
    )


def test_only_what_came_since_is_read(office: Office) -> None:
    for number in range(1, 6):
        office.give("Ann", number, "sfw")
        office.wiki.requests.clear()
        recorded = office.read()
        assert recorded is not None
        assert (recorded.added, recorded.repeated) == (1, 0)
        assert dict(office.wiki.requests) == {"newest": 1, "history": 1, "revision": 1, "users": 1}
    assert office.read() is None


def test_a_verdict_belongs_to_who_changed_it_however_many_edit_the_page(office: Office) -> None:
    office.give("Ann", 1, "sfw")
    office.give("Bea", 2, "nsfw-delete")
    office.give("Newcomer", 3, "sfw")
    office.give("Ann", 2, "nsfw-keep")
    office.pass_by()
    assert given(office, 1) == [("Ann", VerdictCode.SFW, True, None)]
    assert given(office, 2) == [
        ("Bea", VerdictCode.NSFW_DELETE, True, None),
        ("Ann", VerdictCode.NSFW_KEEP, True, None),
    ]
    assert given(office, 3) == [("Newcomer", VerdictCode.SFW, False, "group")]
    assert office.entry(2).state is ReviewState.DISPUTED


@pytest.mark.parametrize(
    ("user", "reason"),
    [
        ("Newcomer", "group"),
        ("Blocked", "blocked"),
        ("Uploader", "uploader"),
        ("192.0.2.1", "anonymous"),
    ],
)
def test_a_forged_verdict_is_kept_but_is_no_label(office: Office, user: str, reason: str) -> None:
    office.wiki.account("Blocked", "sysop", blocked=True)
    office.wiki.account("Uploader", "sysop")
    office.put_up([9], uploader="Uploader")
    office.pass_by()
    office.give(user, 9, "sfw", "&#91;&#91;User:Ann&#93;&#93; 12:00, 1 March 2026 (UTC)")
    office.pass_by()
    assert given(office, 9) == [(user, VerdictCode.SFW, False, reason)]
    assert office.entry(9).state is ReviewState.OPEN
    assert not office.row(9).shows_score


def test_an_uploader_cannot_judge_the_own_file_on_another_page(tmp_path: Path) -> None:
    with opened(tmp_path, rows_per_page=2) as office:
        office.wiki.account("Uploader", "sysop")
        office.put_up([1, 2], uploader="Uploader")
        office.put_up([3, 4])
        office.pass_by()
        other = f"{DAY}/2"
        row = office.edited_line(1, "sfw")
        office.wiki.edit("Uploader", other, f"{office.wiki.text(other)}\n{row}")
        office.pass_by()
        assert given(office, 1) == [("Uploader", VerdictCode.SFW, False, "uploader")]


def test_somebody_with_the_former_name_of_a_reviewer_does_not_vote_for_them(office: Office) -> None:
    office.give("Ann", 1, "sfw")
    office.wiki.rename("Ann", "Anna")
    office.wiki.account("Ann", "sysop")
    office.read()
    assert given(office, 1) == [("Ann", VerdictCode.SFW, False, "unknown_account")]


def test_a_verdict_in_a_hidden_revision_is_nobody_s_and_the_next_one_counts(office: Office) -> None:
    hidden = office.give("Ann", 1, "sfw")
    office.give("Bea", 2, "sfw")
    office.give("Bea", 3, "nsfw-keep")
    office.wiki.hide(hidden)
    office.pass_by()
    assert given(office, 1) == []
    assert given(office, 2) == []  # Whether it stood in the hidden text, nobody can tell.
    assert given(office, 3) == [("Bea", VerdictCode.NSFW_KEEP, True, None)]


def test_a_hidden_author_gets_no_verdict(office: Office) -> None:
    office.wiki.hide(office.give("Ann", 1, "sfw"), text=False, user=True)
    office.pass_by()
    assert given(office, 1) == []


def test_the_bot_s_own_edits_are_no_verdicts(office: Office) -> None:
    office.give("Ann", 1, "sfw", "fine")
    office.pass_by()
    office.wiki.edit("Newcomer", DAY, "")
    office.pass_by()
    assert office.wiki.revisions(DAY)[-1].user == BOT
    office.pass_by()
    assert given(office, 1) == [("Ann", VerdictCode.SFW, True, None)]


def test_who_reverts_vandalism_does_not_vote(office: Office) -> None:
    office.give("Ann", 1, "sfw")
    office.pass_by()
    good = office.wiki.text(DAY)
    office.wiki.edit("Newcomer", DAY, "")
    office.wiki.edit("Bea", DAY, good)
    office.pass_by()
    assert given(office, 1) == [("Ann", VerdictCode.SFW, True, None)]


def test_reading_twice_after_a_crash_stores_nothing_twice(office: Office) -> None:
    office.give("Ann", 1, "sfw")
    office.wiki.failing["users"] = down()
    with pytest.raises(ServiceDown):
        office.read()
    assert given(office, 1) == []
    office.wiki.failing.clear()
    office.restart()
    office.read()
    office.read()
    assert given(office, 1) == [("Ann", VerdictCode.SFW, True, None)]


def test_long_histories_are_read_in_pieces_up_to_the_same_revision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "REVISIONS_AT_ONCE", 3)
    with opened(tmp_path, rows_per_page=5) as office:
        office.put_up(range(1, 11))
        office.pass_by()
        for number in range(1, 11):
            title = office.entry(number).page_title
            assert title is not None
            office.give("Ann", number, "sfw", title=title)
            office.give("Bea", number, "nsfw-keep", title=title)
        # A row moves from the page that is read up to its end to the one that is not.
        line = office.line(1)
        office.wiki.edit("Newcomer", DAY, office.wiki.text(DAY).replace(line + "\n", ""))
        office.wiki.edit("Newcomer", f"{DAY}/2", office.wiki.text(f"{DAY}/2") + "\n" + line)
        recorded = office.read()
        assert recorded is not None
        assert (recorded.added, recorded.repeated) == (20, 0)
        assert len(recorded.changed) == 10
        for number in range(1, 11):
            assert [one[0] for one in given(office, number)] == ["Ann", "Bea"]
        assert office.read() is None


def archived(office: Office) -> None:
    for number in range(1, 6):
        office.give("Ann", number, "sfw")
    office.pass_by()
    office.wait(20 * 365 * 86_400)
    office.pass_by()
    assert [page.state for page in office.pages()] == [PageState.ARCHIVED]


def test_a_dispute_on_an_archived_page_told_by_the_stream_opens_it_again(office: Office) -> None:
    archived(office)
    office.give("Bea", 1, "nsfw-delete")
    office.read(DAY)
    assert office.entry(1).state is ReviewState.DISPUTED
    assert [page.state for page in office.pages()] == [PageState.OPEN]


def test_a_dispute_on_an_archived_page_is_found_after_a_restart(office: Office) -> None:
    archived(office)
    office.give("Bea", 1, "nsfw-delete")
    assert office.read() is None
    office.restart()
    office.read()
    assert office.entry(1).state is ReviewState.DISPUTED


def test_edits_of_the_index_cost_no_history(office: Office) -> None:
    office.wiki.edit("Ann", INDEX, "hello")
    office.wiki.requests.clear()
    assert office.read() is None
    assert dict(office.wiki.requests) == {"newest": 1}


def test_thousands_of_forged_ids_do_no_harm(office: Office) -> None:
    rows = "\n".join(office.line(1).replace(item_id(1), f"x-{number}") for number in range(2000))
    office.wiki.edit("Newcomer", DAY, f"{office.wiki.text(DAY)}\n{rows}".replace("verdict=|", "verdict=sfw|"))
    recorded = office.read()
    assert recorded is not None
    assert (recorded.added, recorded.unknown) == (5, 2000)
    office.pass_by()
    assert office.entry(1).state is ReviewState.OPEN

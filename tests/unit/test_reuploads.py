"""Deleted files with the same bytes: what the wiki tells everybody, asked for once, and never a failure."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from bot.api import ApiError
from bot.errors import ServiceDown
from bot.retention import reuploads
from bot.retention.reuploads import SERVICE, DeletedFiles, deleted_titles
from bot.status import RegistryStatus, status_table
from storage import refusals, status
from storage.engine import Database
from tests.fakes import DeletedFilesWiki
from tests.storage_database import NOW, fresh_database

REFUSED = ApiError("permissiondenied", "You do not have permission")
SHA1 = "o8cqmvckpb65nw3htl0gourjckebau9"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with fresh_database(tmp_path) as opened:
        yield opened


def refused(database: Database) -> dict[str, str]:
    with database.read() as tx:
        return refusals.standing(tx)


def test_bytes_are_looked_up_once_by_their_hash(database: Database) -> None:
    wiki = DeletedFilesWiki(["File:Gone.jpg", "File:Gone.jpg"])
    deleted = DeletedFiles([wiki], database)
    assert [deleted.titles(SHA1), deleted.titles(SHA1)] == [("File:Gone.jpg",)] * 2
    assert [question["fasha1base36"] for question in wiki.asked if question["list"] == "filearchive"] == [
        SHA1
    ]


def test_an_answer_is_asked_for_again_after_a_while(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reuploads, "KEPT_S", 0.0)
    wiki = DeletedFilesWiki(["File:Gone.jpg"])
    deleted = DeletedFiles([wiki], database)
    assert deleted.titles(SHA1) == ("File:Gone.jpg",)
    wiki.titles = []  # restored
    assert deleted.titles(SHA1) == ()


def test_a_title_that_no_public_log_tells_of_is_not_told(database: Database) -> None:
    wiki = DeletedFilesWiki(["File:Oversighted.jpg", "File:Gone.jpg", "File:Hidden entry.jpg"])
    wiki.unlogged = {"File:Oversighted.jpg"}
    wiki.hidden = {"File:Hidden entry.jpg"}
    assert DeletedFiles([wiki], database).titles(SHA1) == ("File:Gone.jpg",)


def test_the_next_session_is_tried_where_the_first_is_refused(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = DeletedFilesWiki(failure=REFUSED), DeletedFilesWiki(["File:Gone.jpg"])
    deleted = DeletedFiles([first, second], database)
    assert [deleted.titles(SHA1), deleted.titles("other")] == [("File:Gone.jpg",)] * 2
    assert len(first.asked) == 1
    assert refused(database) == {}
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


def test_a_wiki_that_refuses_is_asked_once_and_status_can_tell(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    wiki = DeletedFilesWiki(failure=REFUSED)
    deleted = DeletedFiles([wiki], database)
    assert [deleted.titles(sha1) for sha1 in ("one", "two", "three")] == [()] * 3
    assert len(wiki.asked) == 1
    assert [record.message for record in caplog.records] == ["reuploads_off"]
    assert "permission" in refused(database)[SERVICE]
    console = Console(width=200, file=io.StringIO())
    with database.read() as tx:
        console.print(status_table(status.snapshot(tx, NOW), RegistryStatus(None, None, None)))
    assert "reuploads: the wiki refuses it" in console.file.getvalue()  # type: ignore[attr-defined]
    DeletedFiles([DeletedFilesWiki()], database).titles("one")  # the next start is allowed to
    assert refused(database) == {}


def test_one_question_that_goes_wrong_switches_nothing_off(database: Database) -> None:
    wiki = DeletedFilesWiki(failure=ApiError("internal_api_error_DBQueryError", "boom"))
    deleted = DeletedFiles([wiki], database)
    assert deleted.titles("one") == ()
    wiki.failure, wiki.titles = None, ["File:Gone.jpg"]
    assert (deleted.titles("one"), deleted.titles("two")) == ((), ("File:Gone.jpg",))
    assert refused(database) == {}


def test_a_wiki_that_is_away_is_asked_again(database: Database) -> None:
    wiki = DeletedFilesWiki(failure=ServiceDown("wiki", "away"))
    deleted = DeletedFiles([wiki], database)
    with pytest.raises(ServiceDown):
        deleted.titles(SHA1)
    wiki.failure, wiki.titles = None, ["File:Gone.jpg"]
    assert deleted.titles(SHA1) == ("File:Gone.jpg",)


@given(
    st.recursive(
        st.none() | st.text() | st.integers(),
        lambda x: st.lists(x) | st.dictionaries(st.sampled_from(["query", "filearchive", "title"]), x),
    )
)
def test_any_answer_about_deleted_files_is_read(answer: object) -> None:
    titles = deleted_titles(answer if isinstance(answer, dict) else {"query": answer})
    assert all(isinstance(title, str) and title for title in titles)


def test_files_that_only_some_may_see_are_left_out() -> None:
    files = [{"title": "File:A.jpg", "filehidden": True}, {"title": "File:B.jpg", "suppressed": True}]
    assert deleted_titles({"query": {"filearchive": [*files, {"title": "File:C.jpg"}]}}) == ["File:C.jpg"]

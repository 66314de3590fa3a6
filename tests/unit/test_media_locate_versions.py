"""The version that was uploaded is located, or its absence ends in a code, after waiting where that helps."""

from datetime import timedelta
from typing import Any

import pytest

from bot.errors import RetryLater, SkipUpload
from bot.media.locate import Locator
from bot.upload import Rendition
from storage.values import ClaimedUpload, Upload, UploadAction
from tests.fake_imageinfo import (
    FALLBACK_TRY,
    ORIGINAL,
    SETTINGS,
    T0,
    THUMBNAIL,
    VIDEO,
    FakeFile,
    FakeWiki,
    claim,
    code_of,
    locate_file,
    locate_one,
    pages_of,
    sha1_of,
    transcode,
    version,
)


@pytest.fixture
def wiki() -> FakeWiki:
    return FakeWiki()


@pytest.mark.parametrize("attempts", [0, 1])
def test_a_missing_file_is_given_the_time_of_a_lagging_replica(wiki, attempts):
    result = locate_one(wiki, claim("File:Gone", attempts=attempts))
    assert code_of(result, RetryLater) == "deleted"


def test_after_that_a_missing_file_is_deleted(wiki):
    assert code_of(locate_one(wiki, claim("File:Gone", attempts=2)), SkipUpload) == "deleted"


def test_a_page_whose_file_is_missing_is_tried_again(wiki):
    assert code_of(locate_file(wiki, filemissing=True, attempts=3), RetryLater) == "deleted"


@pytest.mark.parametrize(
    ("title", "code"),
    [("", "hidden"), ("File:A|B", "deleted"), ("File:A\nB", "deleted"), ("File:\x1fA", "deleted")],
)
def test_a_title_that_cannot_be_asked_for_harms_nobody_else(wiki, title, code):
    wiki.files["File:A"] = FakeFile([version("A")])
    results = Locator(wiki, SETTINGS).locate([claim(title, number=1), claim("File:A", number=2)])
    assert code_of(results[1], SkipUpload) == code
    assert isinstance(results[2], Rendition)


def test_a_title_the_wiki_calls_invalid_is_deleted(wiki):
    wiki.files["File:<"] = FakeFile([], page={"invalid": True})
    assert code_of(locate_one(wiki, claim("File:<")), SkipUpload) == "deleted"


def overwritten(**old: Any) -> FakeFile:
    later = (T0 + timedelta(hours=1)).isoformat()
    return FakeFile([version("new", timestamp=later), version("other"), version("A", **old)])


def test_of_an_overwritten_file_the_version_of_the_upload_is_taken(wiki):
    wiki.files["File:A"] = overwritten(archivename="20250501!A.jpg")
    result = locate_one(wiki, claim("File:A", sha1=sha1_of("A")))
    assert isinstance(result, Rendition)
    assert result.parts == (THUMBNAIL,)


def test_both_versions_of_a_file_are_told_apart_in_one_batch(wiki):
    wiki.files["File:A"] = overwritten()
    both = [claim("File:A", number=1, sha1=sha1_of("A")), claim("File:A", number=2, sha1=sha1_of("new"))]
    results = Locator(wiki, SETTINGS).locate(both)
    assert [results[n].parts[0].url.split("/")[3] for n in (1, 2)] == ["A", "new"]
    assert wiki.asked[0]["titles"] == "File:A"


def test_an_overwritten_document_gives_the_pages_of_its_old_version(wiki):
    wiki.files["File:A"] = overwritten(pagecount=9, mime="application/pdf")
    result = locate_one(wiki, claim("File:A", sha1=sha1_of("A")))
    assert pages_of(result) == [(page, f"page{page}-330px") for page in (1, 5, 9)]
    assert all("/A/" in part.url for part in result.parts)


def test_an_overwritten_video_never_gets_the_transcodes_of_the_new_one(wiki):
    wiki.files["File:A"] = overwritten(**VIDEO)
    wiki.files["File:A"].derivatives = [transcode(240, 1)]
    result = locate_one(wiki, claim("File:A", sha1=sha1_of("A")))
    assert isinstance(result, Rendition)
    assert result.parts == (ORIGINAL,)


def test_a_version_that_is_gone_is_superseded(wiki):
    wiki.files["File:A"] = overwritten()
    result = locate_one(wiki, claim("File:A", sha1=sha1_of("purged")))
    assert code_of(result, SkipUpload) == "superseded"


def test_a_version_the_replica_does_not_show_yet_is_waited_for(wiki):
    wiki.files["File:A"] = FakeFile([version("A")])
    newer = T0 + timedelta(minutes=1)
    for attempts in (0, 1):
        one = claim("File:A", sha1=sha1_of("next"), at=newer, attempts=attempts)
        assert code_of(locate_one(wiki, one), RetryLater) == "superseded"
    one = claim("File:A", sha1=sha1_of("next"), at=newer, attempts=2)
    assert code_of(locate_one(wiki, one), SkipUpload) == "superseded"


def test_a_hidden_old_version_is_hidden_not_superseded(wiki):
    later = (T0 + timedelta(hours=1)).isoformat()
    hidden = {"timestamp": T0.isoformat(), "filehidden": True}
    wiki.files["File:A"] = FakeFile([version("new", timestamp=later), hidden])
    assert code_of(locate_one(wiki, claim("File:A", sha1=sha1_of("A"))), SkipUpload) == "hidden"


def test_a_hidden_version_does_not_hide_its_neighbour(wiki):
    later = (T0 + timedelta(hours=1)).isoformat()
    hidden = {"timestamp": (T0 + timedelta(minutes=5)).isoformat(), "filehidden": True}
    wiki.files["File:A"] = FakeFile([version("new", timestamp=later), hidden, version("A")])
    assert isinstance(locate_one(wiki, claim("File:A", sha1=sha1_of("A"))), Rendition)


@pytest.mark.parametrize("sha1", [None, "not base 36"])
def test_without_a_readable_hash_the_current_version_is_taken(wiki, sha1):
    wiki.files["File:A"] = FakeFile([version("A")])
    upload = Upload("commonswiki", 1, UploadAction.UPLOAD, "File:A", "U", sha1, None, T0)
    assert isinstance(locate_one(wiki, ClaimedUpload(1, upload, "File:A", 0, "c", T0)), Rendition)


def test_when_all_waiting_was_in_vain_the_original_is_offered_once(wiki):
    result = locate_file(wiki, attempts=FALLBACK_TRY)
    assert result == Rendition("original", (ORIGINAL,), 4000, SETTINGS.original_max_bytes)
    after = locate_file(wiki, attempts=FALLBACK_TRY + 1)
    assert code_of(after, SkipUpload) == "rendition_unavailable"


def test_the_fallback_of_a_video_is_its_original(wiki):
    wiki.files["File:A"] = FakeFile([version("A", **VIDEO)], derivatives=[transcode(240, 1)])
    result = locate_one(wiki, claim("File:A", sha1=sha1_of("A"), attempts=FALLBACK_TRY))
    assert isinstance(result, Rendition)
    assert result.parts == (ORIGINAL,)


@pytest.mark.parametrize(
    "fields", [{"mime": "application/pdf", "pagecount": 5}, {"mime": "image/svg+xml"}, {"size": 10**12}]
)
def test_without_a_usable_original_the_rendition_is_unavailable(wiki, fields):
    result = locate_file(wiki, attempts=FALLBACK_TRY, **fields)
    assert code_of(result, SkipUpload) == "rendition_unavailable"

"""Which rendition of an upload is chosen, and in how few calls."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from bot.api import ApiError
from bot.errors import RetryLater, ServiceDown, SkipUpload
from bot.media import choice
from bot.media.locate import Locator
from bot.upload import Part, Rendition
from storage.values import ClaimedUpload
from tests.fake_imageinfo import (
    FALLBACK_TRY,
    ORIGINAL,
    SETTINGS,
    THUMBNAIL,
    UTM,
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


def test_a_picture_is_fetched_as_the_thumbnail_exactly_as_the_api_spells_it(wiki):
    expected = Rendition("thumbnail", (THUMBNAIL,), 330, SETTINGS.thumbnail_max_bytes)
    assert locate_file(wiki) == expected
    assert wiki.asked[0]["iiurlwidth"] == 330
    assert len(wiki.asked) == 1


def test_a_narrow_picture_is_its_own_rendition_with_hash_and_size_to_check(wiki):
    result = locate_file(wiki, width=200)
    expected = Part(ORIGINAL.url, sha1_hex=ORIGINAL.sha1_hex, size_bytes=ORIGINAL.size_bytes)
    assert result == Rendition("original", (expected,), 200, SETTINGS.original_max_bytes)


@pytest.mark.parametrize("mime", ["image/gif", "image/webp", "image/apng"])
def test_what_may_be_animated_is_fetched_whole_because_a_thumbnail_may_be_a_still(wiki, mime):
    assert locate_file(wiki, mime=mime) == Rendition(
        "original", (ORIGINAL,), 4000, SETTINGS.animation_max_bytes
    )


def test_an_animated_png_is_told_by_its_duration(wiki):
    assert locate_file(wiki, mime="image/png", duration=2.5).kind == "original"
    assert locate_file(wiki, mime="image/png").kind == "thumbnail"


def test_an_animation_over_its_limit_is_fetched_as_the_thumbnail(wiki):
    assert locate_file(wiki, mime="image/gif", size=SETTINGS.animation_max_bytes + 1).kind == "thumbnail"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"mediatype": "AUDIO", "mime": "application/ogg"}, "audio"),
        ({"mediatype": "AUDIO", "mime": "audio/midi", "attempts": 6}, "audio"),
        ({"mediatype": "UNKNOWN", "mime": "audio/x-flac"}, "audio"),
        ({"thumbs": False, "mediatype": "OFFICE", "mime": "application/pdf"}, "unsupported_type"),
        ({"thumbs": False, "mime": "image/svg+xml"}, "unsupported_type"),
        ({"thumbs": False, "size": SETTINGS.original_max_bytes + 1}, "too_large"),
        ({"filehidden": True}, "hidden"),
        ({"suppressed": True}, "hidden"),
    ],
)
def test_what_can_never_be_scored_ends_in_its_code(wiki, fields, code):
    assert code_of(locate_file(wiki, **fields), SkipUpload) == code


@pytest.mark.parametrize("mime", ["image/jpeg", "image/png", "image/tiff", "image/bmp"])
def test_a_picture_without_a_rendition_is_fetched_whole_within_the_limit(wiki, mime):
    assert locate_file(wiki, thumbs=False, mime=mime).parts == (ORIGINAL,)


def test_an_icon_is_not_taken_for_a_rendition(wiki):
    icon = "https://c.example/w/resources/assets/file-type-icons/fileicon-pdf.png"
    result = locate_file(wiki, thumbs=False, mime="application/pdf", thumburl=icon, thumbwidth=120)
    assert code_of(result, SkipUpload) == "unsupported_type"


def test_a_file_of_unknown_size_is_left_to_the_limit_while_reading(wiki):
    result = locate_file(wiki, thumbs=False, size="huge")
    assert isinstance(result, Rendition)
    assert result.parts[0].size_bytes is None


@pytest.mark.parametrize(
    ("count", "pages"),
    [(2, [1, 2]), (3, [1, 2, 3]), (4, [1, 2, 4]), (99, [1, 50, 99]), (10**12, [1, 32768, 65535])],
)
def test_a_document_gives_its_first_a_middle_and_its_last_page(wiki, count, pages):
    result = locate_file(wiki, pagecount=count, mime="application/pdf", mediatype="OFFICE")
    assert pages_of(result) == [(page, f"page{page}-330px") for page in pages]


@pytest.mark.parametrize("count", [0, 1, -5, "7", None, True])
def test_a_document_of_one_or_a_senseless_number_of_pages_is_one_picture(wiki, count):
    result = locate_file(wiki, pagecount=count, mime="application/pdf")
    assert isinstance(result, Rendition)
    assert result.parts == (THUMBNAIL,)


def test_documents_share_a_call_for_the_same_page(wiki):
    claimed = []
    for number in range(10):
        wiki.files[f"File:{number}"] = FakeFile([version(str(number), pagecount=3, mime="image/vnd.djvu")])
        claimed.append(claim(f"File:{number}", number=number, sha1=sha1_of(str(number))))
    results = Locator(wiki, SETTINGS).locate(claimed)
    assert all(len(pages_of(result)) == 3 for result in results.values())
    assert [question.get("iiurlparam") for question in wiki.asked] == [None, "page2-330px", "page3-330px"]


def test_a_tiff_renderer_that_wants_the_word_lossy_gets_it(wiki):
    file = FakeFile([version("A", pagecount=3, mime="image/tiff")], page_pattern=r"\w+-page(\d+)-\d+px")
    wiki.files["File:A"] = file
    result = locate_one(wiki, claim("File:A", sha1=sha1_of("A")))
    assert [page for page, _ in pages_of(result)] == [1, 2, 3]


def test_pages_that_come_back_as_page_one_are_left_out(wiki):
    wiki.files["File:A"] = FakeFile([version("A", pagecount=3)], page_pattern="never")
    assert pages_of(locate_one(wiki, claim("File:A", sha1=sha1_of("A")))) == [(1, "page1-330px")]


def test_a_video_is_fetched_as_its_smallest_transcode_whatever_its_name(wiki):
    original = {
        "src": "https://upload.example/A",
        "type": "video/webm",
        "width": 1,
        "height": 1,
        "bandwidth": 1,
    }
    choices = [original, transcode(480, 1), transcode(240, 900), transcode(240, 300), transcode(360, 5)]
    wiki.files["File:A"] = FakeFile([version("A", **VIDEO)], derivatives=choices)
    result = locate_one(wiki, claim("File:A", sha1=sha1_of("A")))
    expected = Part(f"https://upload.example/t/240p.300{UTM}")
    assert result == Rendition("derivative", (expected,), 480, SETTINGS.video_max_bytes)


@pytest.mark.parametrize("mime", ["video/webm", "video/ogg", "application/ogg", "video/mpeg"])
def test_a_video_without_transcodes_is_fetched_whole_within_its_limit(wiki, mime):
    result = locate_file(wiki, **{**VIDEO, "mime": mime})
    assert result == Rendition("original", (ORIGINAL,), 4000, SETTINGS.video_max_bytes)


@pytest.mark.parametrize(
    ("mime", "size"),
    [
        ("video/ogg", SETTINGS.video_max_bytes + 1),
        ("video/webm", SETTINGS.range_max_file_bytes + 1),
    ],
)
def test_a_big_video_waits_for_its_transcodes_then_is_too_large(wiki, mime, size):
    big = {**VIDEO, "mime": mime, "size": size}
    for attempts in range(len(SETTINGS.retry_after_s) + 1):
        assert code_of(locate_file(wiki, **big, attempts=attempts), RetryLater) == "too_large"
    assert code_of(locate_file(wiki, **big, attempts=FALLBACK_TRY), SkipUpload) == "too_large"


@pytest.mark.parametrize("mime", sorted(choice.RANGED_MIMES))
def test_a_large_video_with_an_index_is_read_in_ranges(wiki, mime):
    for size in (SETTINGS.range_min_bytes, SETTINGS.video_max_bytes):
        result = locate_file(wiki, **{**VIDEO, "mime": mime, "size": size})
        part = replace(ORIGINAL, size_bytes=size)
        assert result == Rendition("original", (part,), 4000, SETTINGS.video_max_bytes, by_ranges=True)


@pytest.mark.parametrize(
    "change",
    [
        {"size": SETTINGS.range_min_bytes - 1},
        {"mime": "video/ogg"},
        {"mime": "application/ogg"},
        {"mime": "video/mpeg"},
        {"mime": "image/gif", "mediatype": "BITMAP"},
    ],
)
def test_what_is_small_or_has_no_index_is_fetched_whole(wiki, change):
    result = locate_file(wiki, **{**VIDEO, "size": SETTINGS.range_min_bytes, **change})
    assert isinstance(result, Rendition)
    assert not result.by_ranges


def test_a_video_over_the_limit_is_read_in_ranges_once_no_transcode_will_come(wiki):
    big = {**VIDEO, "size": SETTINGS.video_max_bytes + 1}
    assert code_of(locate_file(wiki, **big, attempts=0), RetryLater) == "too_large"
    part = replace(ORIGINAL, size_bytes=SETTINGS.video_max_bytes + 1)
    expected = Rendition("original", (part,), 4000, SETTINGS.video_max_bytes, by_ranges=True)
    assert locate_file(wiki, **big, attempts=FALLBACK_TRY) == expected


def test_the_last_try_fetches_a_video_whole_where_it_may(wiki):
    result = locate_file(wiki, **{**VIDEO, "size": SETTINGS.video_max_bytes}, attempts=FALLBACK_TRY)
    assert isinstance(result, Rendition)
    assert not result.by_ranges


def test_a_transcode_that_comes_at_the_very_last_try_is_taken(wiki):
    big = version("A", **{**VIDEO, "size": SETTINGS.video_max_bytes + 1})
    wiki.files["File:A"] = FakeFile([big], derivatives=[transcode(240, 1)])
    result = locate_one(wiki, claim("File:A", sha1=sha1_of("A"), attempts=FALLBACK_TRY))
    assert isinstance(result, Rendition)
    assert result.kind == "derivative"


def test_all_videos_share_one_call(wiki):
    claimed = []
    for number in range(5):
        wiki.files[f"File:{number}"] = FakeFile(
            [version(str(number), **VIDEO)], derivatives=[transcode(240, 1)]
        )
        claimed.append(claim(f"File:{number}", number=number, sha1=sha1_of(str(number))))
    results = Locator(wiki, SETTINGS).locate(claimed)
    assert {result.kind for result in results.values()} == {"derivative"}
    assert [question["prop"] for question in wiki.asked] == ["imageinfo", "videoinfo"]


def test_a_hundred_and_twenty_titles_are_three_calls_and_repeats_are_merged(wiki):
    claimed: Sequence[ClaimedUpload] = [claim(f"File:{n % 120}", number=n) for n in range(240)]
    results = Locator(wiki, SETTINGS).locate(claimed)
    assert len(results) == 240
    assert [str(question["titles"]).count("|") + 1 for question in wiki.asked] == [50, 50, 20]


def test_a_normalised_title_finds_its_way_back(wiki):
    wiki.normalized["file:a"] = "File:A"
    wiki.files["File:A"] = FakeFile([version("A", pagecount=2)])
    assert len(pages_of(locate_one(wiki, claim("file:a", sha1=sha1_of("A"))))) == 2


def test_one_file_that_cannot_be_rendered_costs_only_itself(wiki):
    claimed = []
    for number in range(20):
        wiki.files[f"File:{number}"] = FakeFile([version(str(number))], refuses_rendering=number == 13)
        claimed.append(claim(f"File:{number}", number=number, sha1=sha1_of(str(number))))
    results = Locator(wiki, SETTINGS).locate(claimed)
    assert [n for n, result in results.items() if result.kind == "original"] == [13]
    assert len(wiki.asked) < 15


def test_an_answer_that_leaves_a_file_out_is_tried_again(wiki):
    class Silent(FakeWiki):
        def continued(self, params, max_rounds=20):
            return [{"batchcomplete": True}]

    result = locate_one(Silent(), claim("File:A"))
    assert code_of(result, RetryLater) == "rendition_unavailable"


@pytest.mark.parametrize("error", [ApiError("readapidenied", "no"), ServiceDown("api", "down")])
def test_trouble_with_the_api_is_nobodys_fault(error):
    class Broken(FakeWiki):
        def continued(self, params, max_rounds=20):
            raise error

    with pytest.raises(ServiceDown):
        Locator(Broken(), SETTINGS).locate([claim("File:A")])


def test_nothing_claimed_asks_nothing(wiki):
    assert Locator(wiki, SETTINGS).locate([]) == {}
    assert wiki.asked == []

"""The locator against a fake of the API's side of our Protocol that follows `ApiQueryImageInfo`."""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bot.api import ApiError
from bot.errors import BotError, RetryLater, ServiceDown, SkipUpload
from bot.media import choice
from bot.media.locate import Locator
from bot.media.sha1 import base36_from_hex
from bot.settings import MediaSettings, load_settings
from bot.upload import Part, Rendition
from storage.values import ClaimedUpload, Upload, UploadAction

SETTINGS = load_settings().media
FALLBACK_TRY = len(SETTINGS.retry_after_s) + 1
T0 = datetime(2025, 5, 1, tzinfo=UTC)
UTM = "?utm_source=commons&utm_campaign=imageinfo"


def sha1_of(name: str) -> str:
    return hashlib.sha1(name.encode()).hexdigest()


@dataclass
class FakeFile:
    """Versions newest first; each is the entry that imageinfo gives without the thumbnail's fields."""

    versions: list[dict[str, Any]]
    page: dict[str, Any] = field(default_factory=dict)
    derivatives: list[dict[str, Any]] = field(default_factory=list)
    thumbnail: str = "page{page}-{width}px"
    page_pattern: str = r"page(\d+)-\d+px"
    refuses_rendering: bool = False


def version(name: str, **fields: Any) -> dict[str, Any]:
    info = {
        "timestamp": T0.isoformat().replace("+00:00", "Z"),
        "size": 100_000,
        "width": 4000,
        "height": 3000,
        "url": f"https://upload.example/{name}{UTM}",
        "sha1": sha1_of(name),
        "mime": "image/jpeg",
        "mediatype": "BITMAP",
        "thumbs": True,
    }
    return {**info, **fields}


class FakeWiki:
    def __init__(self) -> None:
        self.files: dict[str, FakeFile] = {}
        self.normalized: dict[str, str] = {}
        self.asked: list[Mapping[str, str | int]] = []

    def continued(self, params: Mapping[str, str | int], max_rounds: int = 20) -> Iterable[Mapping[str, Any]]:
        self.asked.append(params)
        titles = str(params["titles"]).split("|")
        assert 0 < len(titles) <= 50
        assert len(set(titles)) == len(titles)
        moves = [{"from": t, "to": self.normalized[t]} for t in titles if t in self.normalized]
        pages = [self._page(self.normalized.get(title, title), params) for title in titles]
        return [{"query": {"normalized": moves, "pages": pages}}]

    def _page(self, title: str, params: Mapping[str, str | int]) -> dict[str, Any]:
        file = self.files.get(title)
        if file is None:
            return {"title": title, "missing": True, "imagerepository": ""}
        if file.refuses_rendering and "iiurlwidth" in params:
            raise ApiError("urlparamnormal", f"Could not normalize image parameters for {title}.")
        if params["prop"] == "videoinfo":
            infos = [{**file.versions[0], "derivatives": file.derivatives}]
            return {"title": title, "videoinfo": infos, **file.page}
        shown = [self._info(file, one, params) for one in file.versions[: int(params.get("iilimit", 1))]]
        return {"title": title, "imageinfo": shown, **file.page}

    def _info(self, file: FakeFile, one: dict[str, Any], params: Mapping[str, str | int]) -> dict[str, Any]:
        info = {key: value for key, value in one.items() if key != "thumbs"}
        if one.get("thumbs") and "iiurlwidth" in params:
            width = int(params["iiurlwidth"])
            read = re.fullmatch(file.page_pattern, str(params.get("iiurlparam", "")))
            step = file.thumbnail.format(page=read[1] if read else 1, width=width)
            if one["width"] <= width:
                info |= {"thumburl": f"{one['url']}&unscaled", "thumbwidth": one["width"]}
            else:
                info |= {"thumburl": one["url"].replace("?", f"/thumb={step}?"), "thumbwidth": width}
        return info


@pytest.fixture
def wiki() -> FakeWiki:
    return FakeWiki()


def claim(
    title: str, *, number: int = 1, attempts: int = 0, sha1: str | None = None, at: datetime | None = T0
) -> ClaimedUpload:
    base36 = None if sha1 is None else base36_from_hex(sha1)
    upload = Upload("commonswiki", number, UploadAction.UPLOAD, title, "U", base36, at, T0)
    return ClaimedUpload(number, upload, title, attempts, "claim", T0)


def locate_one(
    wiki: FakeWiki, one: ClaimedUpload, settings: MediaSettings = SETTINGS
) -> Rendition | BotError:
    return Locator(wiki, settings).locate([one])[one.id]


def locate_file(wiki: FakeWiki, *, attempts: int = 0, **fields: Any) -> Rendition | BotError:
    wiki.files["File:A"] = FakeFile([version("A", **fields)])
    return locate_one(wiki, claim("File:A", attempts=attempts, sha1=sha1_of("A")))


def code_of(result: Rendition | BotError, family: type[SkipUpload] | type[RetryLater]) -> str:
    assert isinstance(result, family), result
    return result.code


ORIGINAL = Part(f"https://upload.example/A{UTM}", sha1_hex=sha1_of("A"), size_bytes=100_000)
THUMBNAIL = Part(f"https://upload.example/A/thumb=page1-330px{UTM}")


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


def pages_of(result: Rendition | BotError) -> list[tuple[int | None, str]]:
    assert isinstance(result, Rendition), result
    return [(part.page, part.url.partition("thumb=")[2].removesuffix(UTM)) for part in result.parts]


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


def transcode(height: int, bandwidth: int, kind: str = "video/webm") -> dict[str, Any]:
    key = f"{height}p.{bandwidth}"
    fields = {
        "type": kind,
        "transcodekey": key,
        "width": height * 2,
        "height": height,
        "bandwidth": bandwidth,
    }
    return {"src": f"https://upload.example/t/{key}{UTM}", **fields}


VIDEO = {"mediatype": "VIDEO", "mime": "video/webm", "duration": 60.0}


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

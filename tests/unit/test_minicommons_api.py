"""The API's answers have MediaWiki's shapes (formatversion 2)."""

from datetime import UTC, datetime, timedelta

import pytest

from bot.minicommons import api
from bot.minicommons.imageinfo import Addresses
from bot.minicommons.plan import StoredFile, Transcode
from bot.minicommons.wiki import FIRST_LOG_ID, MiniWiki

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
HOST = "http://127.0.0.1:1"
PROPS = "url|size|mime|mediatype|sha1|timestamp|user|userid|archivename"


def stored(mime="image/jpeg", width=800, mediatype="BITMAP", **more) -> StoredFile:
    return StoredFile("x/file", mime, mediatype, width, width // 2, 1234, f"{width:040x}", **more)


@pytest.fixture
def wiki(tmp_path) -> MiniWiki:
    return MiniWiki(tmp_path)


def ask(wiki, **parameters):
    given = {"action": "query", "format": "json", "formatversion": "2", **parameters}
    return api.answer(given, wiki, Addresses(HOST), NOW)


def info(wiki, title, width=330, **parameters):
    parameters = {"prop": "imageinfo", "iiprop": PROPS, "iiurlwidth": str(width), **parameters}
    (page,) = ask(wiki, titles=title, **parameters)["query"]["pages"]
    return page["imageinfo"][0]


def test_a_picture_is_told_with_a_thumbnail_of_a_standard_step(wiki):
    wiki.upload("File:Example.jpg", stored(), "User", NOW, "")
    assert info(wiki, "File:Example.jpg") == {
        "timestamp": "2026-01-02T03:04:05Z",
        "user": "User",
        "userid": 1 + sum(b"User"),
        "size": 1234,
        "width": 800,
        "height": 400,
        "thumburl": f"{HOST}/wikipedia/commons/thumb/a/a9/Example.jpg/330px-Example.jpg"
        "?utm_source=commons.wikimedia.org&utm_campaign=imageinfo&utm_content=thumbnail",
        "thumbwidth": 330,
        "thumbheight": 165,
        "url": f"{HOST}/wikipedia/commons/a/a9/Example.jpg"
        "?utm_source=commons.wikimedia.org&utm_campaign=imageinfo&utm_content=original",
        "descriptionurl": "https://commons.wikimedia.org/wiki/File:Example.jpg",
        "descriptionshorturl": "https://commons.wikimedia.org/w/index.php?curid=150000002",
        "sha1": f"{800:040x}",
        "mime": "image/jpeg",
        "mediatype": "BITMAP",
    }


def test_licence_and_author_are_told_as_asked_and_not_of_what_is_hidden(wiki):
    wiki.upload("File:Example.jpg", stored(), "A & B", NOW, "")
    wiki.upload("File:Hidden.jpg", stored(), "U", NOW, "")
    wiki.suppress("File:Hidden.jpg")
    asked = {"iiprop": "extmetadata", "iiextmetadatafilter": "Artist|Credit"}
    link = '<a href="//commons.wikimedia.org/wiki/User:A_&amp;_B" title="User:A &amp; B">A &amp; B</a>'
    assert info(wiki, "File:Example.jpg", **asked)["extmetadata"] == {
        "Artist": {"value": link, "source": "commons-desc-page"}
    }
    assert "extmetadata" not in info(wiki, "File:Hidden.jpg", **asked)


@pytest.mark.parametrize(
    ("file", "asked", "thumb", "width"),
    [
        (stored(width=800), 400, "500px-F.x", 500),
        (stored(width=330), 330, "F.x", 330),
        (stored(width=200), 330, "F.x", 200),
        (stored("image/svg+xml", 100, "DRAWING"), 330, "330px-F.x.png", 330),
        (stored("image/tiff", 200, pagecount=3), 330, "lossy-page1-200px-F.x.jpg", 200),
        (stored("video/webm", 640, "VIDEO"), 330, "330px--F.x.jpg", 330),
    ],
)
def test_thumbnails_follow_the_steps_and_narrow_pictures_are_their_own(wiki, file, asked, thumb, width):
    wiki.upload("File:F.x", file, "U", NOW, "")
    shown = info(wiki, "File:F.x", asked)
    assert shown["thumburl"].partition("?")[0].rpartition("/")[2] == thumb
    assert shown["thumbwidth"] == width


def test_a_page_is_chosen_by_urlparam_and_an_unknown_one_falls_back(wiki):
    wiki.upload("File:D.tif", stored("image/tiff", pagecount=5), "U", NOW, "")
    assert "/lossy-page3-330px-" in info(wiki, "File:D.tif", iiurlparam="page3-330px")["thumburl"]
    assert "/lossy-page1-330px-" in info(wiki, "File:D.tif", iiurlparam="page9-330px")["thumburl"]
    assert info(wiki, "File:D.tif")["pagecount"] == 5
    with pytest.raises(api.ApiError) as refused:
        info(wiki, "File:D.tif", iiurlparam="middle")
    assert refused.value.answer["error"]["code"] == "iiurlparam"


def test_what_the_wiki_cannot_scale_has_an_error_instead_of_a_thumbnail(wiki):
    wiki.upload("File:Big.png", stored("image/png", 30000, thumbnails=False), "U", NOW, "")
    shown = info(wiki, "File:Big.png")
    assert "thumburl" not in shown
    assert shown["thumberror"].startswith("Error creating thumbnail")


def test_titles_are_normalized_redirects_followed_and_the_missing_named(wiki):
    wiki.upload("File:Old name.jpg", stored(), "U", NOW, "")
    wiki.move("File:Old name.jpg", "File:New name.jpg", "M", NOW, "")
    query = ask(wiki, titles="file:old_name.jpg|File:None.jpg", prop="imageinfo", redirects="1")["query"]
    assert query["normalized"] == [
        {"fromencoded": False, "from": "file:old_name.jpg", "to": "File:Old name.jpg"}
    ]
    assert query["redirects"] == [{"from": "File:Old name.jpg", "to": "File:New name.jpg"}]
    missing, moved = query["pages"]
    assert missing == {"ns": 6, "title": "File:None.jpg", "missing": True, "imagerepository": ""}
    assert (moved["title"], moved["imagerepository"]) == ("File:New name.jpg", "local")


def test_a_lagging_replica_misses_a_file_for_a_while(wiki):
    wiki.upload("File:F.jpg", stored(), "U", NOW, "")
    wiki.hide_from_lookups("File:F.jpg", 1)
    assert "missing" in ask(wiki, titles="File:F.jpg", prop="imageinfo")["query"]["pages"][0]
    assert "missing" not in ask(wiki, titles="File:F.jpg", prop="imageinfo")["query"]["pages"][0]


def test_an_overwritten_version_is_archived_under_its_own_time(wiki):
    wiki.upload("File:F.jpg", stored(width=640), "U", NOW, "")
    entry = wiki.upload("File:F.jpg", stored(width=641), "U", NOW + timedelta(seconds=9), "")
    assert entry.action == "overwrite"
    answer = ask(wiki, titles="File:F.jpg", prop="imageinfo", iiprop=PROPS, iilimit="max", iiurlwidth="330")
    new, old = answer["query"]["pages"][0]["imageinfo"]
    assert "archivename" not in new
    assert old["archivename"] == "20260102030405!F.jpg"
    assert "/wikipedia/commons/archive/" in old["url"]
    assert "/wikipedia/commons/thumb/archive/" in old["thumburl"]
    assert old["thumburl"].partition("?")[0].endswith("/330px-F.jpg")
    assert "continue" not in answer
    first = ask(wiki, titles="File:F.jpg", prop="imageinfo", iiprop="sha1")
    assert first["continue"] == {"iistart": "2026-01-02T03:04:05Z", "continue": "||"}
    following = ask(wiki, titles="File:F.jpg", prop="imageinfo", iiprop="sha1", **first["continue"])
    assert following["query"]["pages"][0]["imageinfo"] == [{"sha1": f"{640:040x}"}]


def test_a_suppressed_file_shows_its_flags_and_no_bytes(wiki):
    wiki.upload("File:F.jpg", stored(), "U", NOW, "")
    wiki.suppress("File:F.jpg")
    shown = info(wiki, "File:F.jpg")
    assert shown["filehidden"] is shown["suppressed"] is True
    assert not {"url", "thumburl", "sha1", "size"} & set(shown)


def test_a_video_has_its_original_first_and_transcodes_with_keys(wiki):
    transcode = Transcode("240p.vp9.webm", "x/240", 'video/webm; codecs="vp9"', 320, 240, 100)
    file = stored("video/webm", 640, "VIDEO", duration_s=4.0, transcodes=(transcode,))
    wiki.upload("File:F.webm", file, "U", NOW, "")
    answer = ask(wiki, titles="File:F.webm", prop="videoinfo", viprop="derivatives|size")
    (video,) = answer["query"]["pages"][0]["videoinfo"]
    assert video["duration"] == 4.0
    original, reduced = video["derivatives"]
    assert "transcodekey" not in original
    assert reduced["transcodekey"] == "240p.vp9.webm"
    assert "/transcoded/" in reduced["src"]
    assert reduced["src"].partition("?")[0].endswith("/F.webm.240p.vp9.webm")


def test_more_than_fifty_titles_are_refused(wiki):
    with pytest.raises(api.ApiError) as refused:
        ask(wiki, titles="|".join(f"File:{n}.jpg" for n in range(51)), prop="imageinfo")
    assert refused.value.answer["error"]["code"] == "toomanyvalues"


def test_the_log_is_read_in_pages_without_gap_or_repeat(wiki):
    for number in range(7):
        wiki.upload(f"File:{number}.jpg", stored(), "U", NOW + timedelta(seconds=number // 3), "")
    wiki.delete("File:6.jpg", "S", NOW, "")
    parameters = {"list": "logevents", "letype": "upload", "ledir": "newer", "lelimit": "3"}
    seen, following = [], {}
    while following is not None:
        answer = ask(wiki, **parameters, **following)
        seen += [entry["logid"] for entry in answer["query"]["logevents"]]
        following = answer.get("continue")
    assert seen == list(range(FIRST_LOG_ID, FIRST_LOG_ID + 7))


def test_the_log_is_bounded_by_time_on_both_ends(wiki):
    for number in range(5):
        wiki.upload(f"File:{number}.jpg", stored(), "U", NOW + timedelta(seconds=number), "")
    times = {"lestart": "2026-01-02T03:04:06Z", "leend": "2026-01-02T03:04:08.999999Z"}
    answer = ask(wiki, list="logevents", letype="upload", ledir="newer", lelimit="max", **times)
    assert [entry["title"] for entry in answer["query"]["logevents"]] == [f"File:{n}.jpg" for n in (1, 2, 3)]


def test_a_log_entry_carries_what_an_upload_is_made_from(wiki):
    entry = wiki.upload("File:F.jpg", stored(), "U", NOW, "text")
    props = "ids|title|type|user|userid|timestamp|comment|details"
    (shown,) = ask(wiki, list="logevents", letype="upload", leprop=props)["query"]["logevents"]
    assert shown == {
        "logid": entry.log_id,
        "pageid": 150000002,
        "logpage": 150000002,
        "ns": 6,
        "title": "File:F.jpg",
        "params": {"img_sha1": entry.params["img_sha1"], "img_timestamp": "2026-01-02T03:04:05Z"},
        "type": "upload",
        "action": "upload",
        "user": "U",
        "userid": 1 + sum(b"U"),
        "timestamp": "2026-01-02T03:04:05Z",
        "comment": "text",
    }


def test_siteinfo_names_the_real_wiki(wiki):
    general = ask(wiki, meta="siteinfo")["query"]["general"]
    assert (general["wikiid"], general["server"]) == ("commonswiki", "https://commons.wikimedia.org")
    assert general["maxarticlesize"] == 2097152


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"action": "edit"}, "badvalue"),
        ({"list": "logevents", "lelimit": "501"}, "badinteger"),
        ({"list": "logevents", "lestart": "soon"}, "badtimestamp_lestart"),
        ({"list": "logevents", "lecontinue": "2026|1"}, "badcontinue"),
    ],
)
def test_nonsense_is_answered_with_an_error(wiki, parameters, code):
    with pytest.raises(api.ApiError) as refused:
        ask(wiki, **parameters)
    assert refused.value.answer["error"]["code"] == code


def test_bytes_of_a_bulk_upload_are_its_own(wiki, tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "file").write_bytes(b"picture")
    wiki.upload("File:1.jpg", stored(), "U", NOW, "", suffix=b"1")
    wiki.upload("File:2.jpg", stored(), "U", NOW, "", suffix=b"2")
    first, second = info(wiki, "File:1.jpg"), info(wiki, "File:2.jpg")
    assert first["sha1"] != second["sha1"]
    assert first["size"] == 1235

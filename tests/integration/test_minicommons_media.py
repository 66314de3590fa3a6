"""Stories and media over HTTP: what the API names can be fetched, and faults come as told."""

import io
import threading
from collections.abc import Iterator

import pytest
import requests
from PIL import Image

from bot.minicommons.corpus import prepare_corpus
from bot.minicommons.plan import MediaFault
from bot.minicommons.process import MiniCommonsProcess
from bot.minicommons.server import MiniCommons
from bot.minicommons.titles import original_path

NAMES = (
    *(
        "jpeg-baseline",
        "jpeg-progressive",
        "jpeg-narrow",
        "tiff",
        "svg",
        "svg-broken",
        "deleted",
        "suppressed",
    ),
    *("overwritten", "overwrites", "moved", "lagging", "throttled", "slow", "vp9"),
)
PROPS = "url|size|mime|sha1|timestamp|archivename"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return prepare_corpus(tmp_path_factory.mktemp("corpus"), NAMES)


@pytest.fixture
def commons(corpus) -> Iterator[MiniCommons]:
    with MiniCommons(corpus) as server:
        yield server


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        session.headers["User-Agent"] = "TestBot/1 (test@example.org) requests/2"
        yield session


def ask(commons, session, **parameters):
    given = {"action": "query", "format": "json", "formatversion": "2", "redirects": "1", **parameters}
    answer = session.get(commons.api_url, params=given, timeout=30)
    assert answer.status_code == 200
    return answer.json()


def info(commons, session, title, **parameters):
    given = {"prop": "imageinfo", "iiprop": PROPS, "iiurlwidth": "330", "iilimit": "max", **parameters}
    return ask(commons, session, titles=title, **given)["query"]["pages"][0]


def title_of(corpus, name):
    return corpus.specimen(name).title


def publish(commons, corpus, session, name, *others):
    commons.publish_corpus(names=[*others, name])
    return info(commons, session, title_of(corpus, name))["imageinfo"][0]


def picture(answer) -> Image.Image:
    assert answer.status_code == 200
    assert int(answer.headers["Content-Length"]) == len(answer.content)
    return Image.open(io.BytesIO(answer.content))


@pytest.mark.parametrize(
    ("name", "kind", "width"),
    [
        ("jpeg-baseline", "JPEG", 330),
        ("tiff", "JPEG", 330),
        ("svg", "PNG", 330),
        ("jpeg-narrow", "JPEG", 200),
    ],
)
def test_the_thumbnail_that_the_api_names_is_there(commons, corpus, session, name, kind, width):
    told = publish(commons, corpus, session, name)
    with picture(session.get(told["thumburl"], timeout=30)) as image:
        assert (image.format, image.width, image.height) == (kind, told["thumbwidth"], told["thumbheight"])
        assert image.width == width


def test_the_original_and_a_transcode_are_the_stored_bytes(commons, corpus, session):
    told = publish(commons, corpus, session, "vp9")
    assert len(session.get(told["url"], timeout=30).content) == told["size"]
    title = title_of(corpus, "vp9")
    answer = ask(commons, session, titles=title, prop="videoinfo", viprop="derivatives")
    derivatives = answer["query"]["pages"][0]["videoinfo"][0]["derivatives"]
    reduced = session.get(derivatives[1]["src"], timeout=30)
    assert reduced.headers["Content-Type"] == "video/webm"
    assert reduced.content != session.get(derivatives[0]["src"], timeout=30).content


def test_other_widths_pages_and_names_are_refused(commons, corpus, session):
    url = publish(commons, corpus, session, "jpeg-baseline")["thumburl"]
    assert session.get(url.replace("330px", "331px"), timeout=30).status_code == 400
    assert session.get(url.replace("Hills", "Hulls"), timeout=30).status_code == 404
    tiff = publish(commons, corpus, session, "tiff")["thumburl"]
    assert session.get(tiff.replace("page1", "page9"), timeout=30).status_code == 500


@pytest.mark.parametrize("agent", ["", "python-requests/2.34"])
def test_nameless_clients_are_refused(commons, corpus, session, agent):
    url = publish(commons, corpus, session, "jpeg-baseline")["url"]
    assert session.get(url, headers={"User-Agent": agent}, timeout=30).status_code == 403


def test_a_deleted_file_is_missing_everywhere(commons, corpus, session):
    commons.publish_corpus(names=["deleted"])
    assert info(commons, session, title_of(corpus, "deleted"))["missing"] is True
    log = ask(commons, session, list="logevents")["query"]["logevents"]
    assert [(entry["type"], entry["action"]) for entry in log] == [("delete", "delete"), ("upload", "upload")]


def test_a_suppressed_file_has_no_bytes(commons, corpus, session):
    told = publish(commons, corpus, session, "suppressed")
    assert told["suppressed"] is True
    path = original_path("Hidden_hills.jpg")
    assert session.get(commons.base_url + path, timeout=30).status_code == 404


def test_an_overwritten_version_is_still_served_under_its_archive_name(commons, corpus, session):
    commons.publish_corpus(names=["overwritten", "overwrites"])
    new, old = info(commons, session, title_of(corpus, "overwritten"))["imageinfo"]
    first, second = (corpus.specimen(name).file for name in ("overwritten", "overwrites"))
    assert (new["sha1"], old["sha1"]) == (second.sha1_hex, first.sha1_hex)
    assert len(session.get(old["url"], timeout=30).content) == first.size_bytes
    with picture(session.get(old["thumburl"], timeout=30)) as image:
        assert image.width == 330


def test_a_moved_file_is_found_under_its_old_title_and_served_under_the_new(commons, corpus, session):
    commons.publish_corpus(names=["moved"])
    page = info(commons, session, title_of(corpus, "moved"))
    assert page["title"] == "File:Hills without a typo.jpg"
    assert session.get(page["imageinfo"][0]["thumburl"], timeout=30).status_code == 200


def test_a_lagging_file_is_missing_twice(commons, corpus, session):
    commons.publish_corpus(names=["lagging"])
    title = title_of(corpus, "lagging")
    assert ["missing" in info(commons, session, title) for _ in range(3)] == [True, True, False]


def test_a_throttled_rendition_comes_at_the_second_request(commons, corpus, session):
    url = publish(commons, corpus, session, "throttled")["thumburl"]
    first, second = session.get(url, timeout=30), session.get(url, timeout=30)
    assert (first.status_code, first.headers["Retry-After"]) == (429, "1")
    assert second.status_code == 200


def test_an_unrenderable_drawing_has_an_address_but_no_thumbnail(commons, corpus, session):
    told = publish(commons, corpus, session, "svg-broken")
    assert session.get(told["thumburl"], timeout=30).status_code == 500
    assert session.get(told["url"], timeout=30).status_code == 200


def test_a_slow_answer_arrives_whole(commons, corpus, session):
    url = publish(commons, corpus, session, "slow")["thumburl"]
    commons.set_media_fault(title_of(corpus, "slow"), MediaFault("slow", seconds=0.1))
    with picture(session.get(url, timeout=30)) as image:
        image.load()


def test_a_cut_answer_is_shorter_than_announced(commons, corpus, session):
    url = publish(commons, corpus, session, "jpeg-baseline")["thumburl"]
    commons.set_media_fault(title_of(corpus, "jpeg-baseline"), MediaFault("truncated", times=1))
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        session.get(url, timeout=30)
    assert session.get(url, timeout=30).status_code == 200


def test_a_range_is_a_piece_of_the_version_it_names(commons, corpus, session):
    url = publish(commons, corpus, session, "jpeg-baseline")["url"]
    whole = session.get(url, timeout=30)
    tag, size = whole.headers["ETag"], len(whole.content)
    for asked, start, end in [("bytes=5-9", 5, 10), ("bytes=7-", 7, size), (f"bytes=0-{size + 5}", 0, size)]:
        piece = session.get(url, headers={"Range": asked, "If-Range": tag}, timeout=30)
        assert (piece.status_code, piece.content) == (206, whole.content[start:end])
        assert piece.headers["Content-Range"] == f"bytes {start}-{end - 1}/{size}"
        assert piece.headers["ETag"] == tag
    beyond = session.get(url, headers={"Range": f"bytes={size}-"}, timeout=30)
    assert beyond.status_code == 416
    other = session.get(url, headers={"Range": "bytes=5-9", "If-Range": '"other"'}, timeout=30)
    assert (other.status_code, other.content) == (200, whole.content)


def test_a_host_can_refuse_ranges(commons, corpus, session):
    url = publish(commons, corpus, session, "jpeg-baseline")["url"]
    commons.set_media_fault(None, MediaFault("no_ranges"))
    assert session.get(url, headers={"Range": "bytes=5-9"}, timeout=30).status_code == 200


def test_a_redirect_leads_where_it_was_told(commons, corpus, session):
    url = publish(commons, corpus, session, "jpeg-baseline")["thumburl"]
    elsewhere = "http://elsewhere.example/x.jpg"
    commons.set_media_fault(title_of(corpus, "jpeg-baseline"), MediaFault("redirect", location=elsewhere))
    answer = session.get(url, timeout=30, allow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (302, elsewhere)


def test_the_whole_media_host_can_fail(commons, corpus, session):
    url = publish(commons, corpus, session, "jpeg-baseline")["url"]
    commons.set_media_fault(None, MediaFault("status", times=1, status=503))
    assert [session.get(url, timeout=30).status_code for _ in range(2)] == [503, 200]


def test_the_api_fails_as_told(commons, corpus, session):
    commons.fail_api("maxlag")
    assert "error" not in ask(commons, session, meta="siteinfo")
    answer = ask(commons, session, meta="siteinfo", maxlag="5")
    assert (answer["error"]["code"], answer["error"]["type"]) == ("maxlag", "db")
    commons.fail_api("503", retry_after_s=3)
    given = {"action": "query", "format": "json", "formatversion": "2"}
    failed = session.get(commons.api_url, params=given, timeout=30)
    assert (failed.status_code, failed.headers["Retry-After"]) == (503, "3")
    commons.fail_api("html")
    assert session.post(commons.api_url, data=given, timeout=30).text.startswith("<!DOCTYPE html>")
    assert "error" not in session.post(commons.api_url, data=given, timeout=30).json()


def test_downloads_at_the_same_time_are_counted(commons, corpus, session):
    url = publish(commons, corpus, session, "slow")["thumburl"]
    commons.set_media_fault(title_of(corpus, "slow"), MediaFault("slow", seconds=1.0))
    agent = session.headers["User-Agent"]
    threads = [
        threading.Thread(target=requests.get, args=(url,), kwargs={"headers": {"User-Agent": agent}})
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counted = commons.statistics()
    assert counted["downloads_peak"] == 3
    assert counted["requests"]["media:thumb"] == 3
    assert counted["user_agents"][agent] >= 3


def test_the_plan_names_every_upload_with_its_expectation(commons, corpus):
    commons.publish_corpus(withhold=["jpeg-baseline"])
    outcomes = commons.plan().outcomes
    assert [(o.specimen, o.expected) for o in outcomes] == [(s.name, s.expected) for s in corpus.specimens]
    assert [o.specimen for o in outcomes if not o.in_stream] == ["jpeg-baseline"]
    assert len({o.log_id for o in outcomes}) == len(outcomes)


def test_orders_that_make_no_sense_are_refused(commons):
    for order in (
        lambda: commons.publish_corpus(names=["nonsense"]),
        lambda: commons.set_stream(nonsense=1),
        lambda: commons.publish_noise(-1),
    ):
        with pytest.raises(ValueError, match=r"nonsense|rate"):
            order()


def test_a_process_of_its_own_obeys_the_same_orders_and_ends_with_its_starter(corpus, session, tmp_path):
    with MiniCommonsProcess(tmp_path, ["jpeg-baseline"]) as process:
        process.publish_corpus()
        process.publish_many(3)
        plan = process.plan()
        assert [outcome.specimen for outcome in plan.outcomes] == ["jpeg-baseline"] * 4
        told = info(process, session, plan.outcomes[0].title)["imageinfo"][0]
        assert session.get(told["thumburl"], timeout=30).status_code == 200
        assert process.statistics()["requests"]["media:thumb"] == 1
        with pytest.raises(ValueError, match="nonsense"):
            process.publish_corpus(names=["nonsense"])
        process.set_media_fault(None, MediaFault("status", status=429))
        assert session.get(told["url"], timeout=30).status_code == 429
        assert process.overrides()["media"] == {"allowed_hosts": [process.media_host]}
        address = process.base_url
    with pytest.raises(requests.ConnectionError):
        session.get(address, timeout=30)


def test_a_process_that_cannot_start_says_so(tmp_path):
    process = MiniCommonsProcess(tmp_path, ["nonsense"])
    with pytest.raises(RuntimeError, match="did not start"):
        process.start()

import gzip
import json
import logging
import threading
from collections.abc import Iterator

import pytest

from bot.api import Api, ApiError, SiteInfo
from bot.errors import ServiceDown
from bot.settings import ApiSettings
from tests.http_server import Answer, ScriptedServer, as_json, scripted_server

PATH = "/w/api.php"
SETTINGS = ApiSettings(timeout_s=20, maxlag_s=5, max_attempts=3, batch_titles=50)
AGENT = "TestBot/1.0 (test@example.org)"
OK = as_json({"batchcomplete": True, "query": {"pages": []}})


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted_server() as running:
        yield running


@pytest.fixture
def api(server: ScriptedServer) -> Iterator[Api]:
    client = Api(SETTINGS, server.url(PATH), AGENT, min_interval_s=0, backoff_initial_s=0.001)
    yield client
    client.close()


def test_a_question_carries_format_maxlag_and_our_name(server: ScriptedServer, api: Api):
    server.answers[PATH] = [OK]
    assert api.query({"meta": "siteinfo", "silimit": 5})["batchcomplete"] is True
    asked = server.asked[0]
    assert asked.method == "GET"
    assert asked.fields == {
        "action": "query",
        "format": "json",
        "formatversion": "2",
        "maxlag": "5",
        "meta": "siteinfo",
        "silimit": "5",
    }
    assert asked.headers["User-Agent"] == AGENT
    assert "gzip" in asked.headers["Accept-Encoding"]


def test_fifty_long_titles_are_posted(server: ScriptedServer, api: Api):
    server.answers[PATH] = [OK]
    titles = "|".join(f"File:{'ä' * 100} {number}.jpg" for number in range(50))
    api.query({"titles": titles})
    assert server.asked[0].method == "POST"
    assert server.asked[0].target == PATH
    assert server.asked[0].fields["titles"] == titles


@pytest.mark.parametrize(
    "bad",
    [
        as_json({"error": {"code": "maxlag", "info": "waiting"}}, Retry_After="0"),
        as_json({"error": {"code": "internal_api_error_DBQueryError", "info": "x"}}),
        as_json({"error": {"code": "ratelimited", "info": "x"}}),
        Answer(429, b"slow down", {"Retry-After": "0"}),
        Answer(503, b"<html>down</html>"),
        Answer(200, b"<html>a proxy's page</html>"),
        Answer(200, b"[]"),
        Answer(200, b'{"query": {}', cut=5),
        Answer(raw=b""),
    ],
    ids=["maxlag", "internal", "ratelimited", "429", "503", "html", "list", "cut", "reset"],
)
def test_a_busy_or_broken_answer_is_asked_again(server: ScriptedServer, api: Api, bad: Answer):
    server.answers[PATH] = [bad, bad, OK]
    assert "query" in api.query({})
    assert len(server.asked) == 3


def test_after_the_last_try_the_service_is_down_and_says_why(server: ScriptedServer, api: Api):
    server.answers[PATH] = [Answer(503)]
    with pytest.raises(ServiceDown, match="HTTP 503") as caught:
        api.query({})
    assert caught.value.after_s is None
    assert len(server.asked) == SETTINGS.max_attempts


def test_a_refused_connection_is_service_down():
    with scripted_server() as gone:
        url = gone.url(PATH)
    with pytest.raises(ServiceDown, match="ConnectionError"):
        Api(SETTINGS, url, AGENT, min_interval_s=0, backoff_initial_s=0.001).query({})


def test_a_long_pause_is_handed_to_the_caller_and_kept_for_everyone(server: ScriptedServer, api: Api):
    server.answers[PATH] = [Answer(429, headers={"Retry-After": "900"}), OK]
    with pytest.raises(ServiceDown) as caught:
        api.query({})
    assert caught.value.after_s == 900
    with pytest.raises(ServiceDown, match="pause") as again:
        api.query({})
    assert again.value.after_s is not None
    assert 800 < again.value.after_s <= 900
    assert len(server.asked) == 1


def test_an_absurd_pause_is_capped_at_an_hour(server: ScriptedServer, api: Api):
    server.answers[PATH] = [Answer(503, headers={"Retry-After": "99999999999"})]
    with pytest.raises(ServiceDown) as caught:
        api.query({})
    assert caught.value.after_s == 3600


def test_a_wrong_question_is_not_repeated(server: ScriptedServer, api: Api):
    server.answers[PATH] = [as_json({"error": {"code": "badvalue", "info": "Unrecognized value"}})]
    with pytest.raises(ApiError, match="Unrecognized value") as caught:
        api.query({"prop": "nonsense"})
    assert caught.value.code == "badvalue"
    assert len(server.asked) == 1


def test_a_forbidden_client_is_told_to_look_at_its_contact(server: ScriptedServer, api: Api):
    server.answers[PATH] = [Answer(403)]
    with pytest.raises(ServiceDown, match=r"403.*identity\.contact"):
        api.query({})
    assert len(server.asked) == 1


def test_a_redirect_to_another_host_is_refused(server: ScriptedServer, api: Api):
    with scripted_server() as other:
        server.answers[PATH] = [Answer(302, headers={"Location": other.url(PATH)})]
        with pytest.raises(ServiceDown, match="redirects to"):
            api.query({})
        server.answers[PATH] = [Answer(302, headers={"Location": "http://["})]
        with pytest.raises(ServiceDown, match="redirects to"):
            api.query({})
        assert other.asked == []


def test_a_redirect_on_the_same_host_is_followed_a_few_times(server: ScriptedServer, api: Api):
    server.answers[PATH] = [Answer(301, headers={"Location": "/api.php?action=query"})]
    server.answers["/api.php"] = [OK]
    assert "query" in api.query({})
    server.answers["/api.php"] = [Answer(301, headers={"Location": PATH})]
    with pytest.raises(ServiceDown, match="redirects"):
        api.query({})


def test_gzip_is_read(server: ScriptedServer, api: Api):
    body = gzip.compress(json.dumps({"query": {"answer": 1}}).encode())
    server.answers[PATH] = [Answer(200, body, {"Content-Encoding": "gzip"})]
    assert api.query({})["query"] == {"answer": 1}


def test_a_warning_is_logged_once(server: ScriptedServer, api: Api, caplog: pytest.LogCaptureFixture):
    server.answers[PATH] = [as_json({"warnings": {"main": {"warnings": "Unrecognized parameter: x."}}})]
    with caplog.at_level(logging.WARNING, "bot.api"):
        for _ in range(3):
            api.query({})
    assert [record.message for record in caplog.records] == ["api_warning"]


def test_continuation_is_followed_to_the_end_and_bounded(server: ScriptedServer, api: Api):
    more = as_json({"continue": {"lecontinue": "2", "continue": "-||"}, "query": {"n": 1}})
    server.answers[PATH] = [more, as_json({"query": {"n": 2}})]
    assert [answer["query"]["n"] for answer in api.continued({"list": "logevents"})] == [1, 2]
    assert server.asked[1].fields["lecontinue"] == "2"
    server.answers[PATH] = [more]
    assert len(list(api.continued({}, max_rounds=3))) == 3


def test_two_threads_never_ask_at_the_same_time(server: ScriptedServer, api: Api):
    hold = threading.Event()
    server.answers[PATH] = [Answer(200, OK.body, hold=hold), OK]
    threads = [threading.Thread(target=api.query, args=({},)) for _ in range(4)]
    for thread in threads:
        thread.start()
    server.wait_for_requests(1)
    hold.set()
    for thread in threads:
        thread.join(30)
    assert len(server.asked) == 4
    assert server.most_in_flight == 1


def test_the_stop_event_ends_a_wait(server: ScriptedServer):
    stop = threading.Event()
    api = Api(SETTINGS, server.url(PATH), AGENT, stop, min_interval_s=0)
    server.answers[PATH] = [Answer(503, headers={"Retry-After": "100"})]
    caught: list[BaseException] = []

    def ask() -> None:
        try:
            api.query({})
        except ServiceDown as error:
            caught.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    server.wait_for_requests(1)
    stop.set()
    thread.join(30)
    assert not thread.is_alive()
    assert "stopping" in str(caught[0])


def test_the_stop_event_ends_the_waiting_for_an_answer(server: ScriptedServer):
    stop, never = threading.Event(), threading.Event()
    api = Api(SETTINGS, server.url(PATH), AGENT, stop, min_interval_s=0)
    server.answers[PATH] = [Answer(hold=never)]
    caught: list[BaseException] = []

    def ask() -> None:
        try:
            api.query({})
        except ServiceDown as error:
            caught.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    server.wait_for_requests(1)
    stop.set()
    # Less than the client's own time limit.
    thread.join(SETTINGS.timeout_s / 2)
    ended = not thread.is_alive()
    never.set()
    assert ended
    assert "stopping" in str(caught[0])


def test_siteinfo_names_the_wiki(server: ScriptedServer, api: Api):
    general = {"wikiid": "commonswiki", "servername": "commons.wikimedia.org", "generator": "MediaWiki 1.45"}
    server.answers[PATH] = [as_json({"query": {"general": general}})]
    assert api.siteinfo() == SiteInfo("commonswiki", "commons.wikimedia.org", "MediaWiki 1.45")


def test_something_that_is_no_mediawiki_is_service_down(server: ScriptedServer, api: Api):
    server.answers[PATH] = [as_json({"query": {}})]
    with pytest.raises(ServiceDown, match="not that of a MediaWiki"):
        api.siteinfo()

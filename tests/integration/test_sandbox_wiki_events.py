"""The sandbox wiki's changes arrive as EventStreams would bring them: shape, ids, resuming, cuts."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.sandbox_wiki import SandboxWiki
from tests.sandbox_wiki.pictures import gradient
from tests.sandbox_wiki.relay import Event, EventRelay

UPLOADED = {"type": "log", "namespace": 6, "log_type": "upload", "wiki": "commonswiki"}


def _log_event(wiki: SandboxWiki, kind: str, action: str, title: str) -> Event:
    return wiki.relay.wait_for(
        lambda e: (e.get("log_type"), e.get("log_action"), e["title"]) == (kind, action, title)
    )


def _messages(answer: requests.Response) -> Iterator[tuple[str, Event]]:
    """Pairs of id and event, until the stream ends."""
    event_id = ""
    for raw in answer.iter_lines(chunk_size=1, delimiter=b"\n"):
        line = raw.decode()
        if line.startswith("id: "):
            event_id = line.removeprefix("id: ")
        elif line.startswith("data: "):
            yield event_id, json.loads(line.removeprefix("data: "))


def _open(url: str, **more: Any) -> requests.Response:
    answer = requests.get(url, stream=True, timeout=60, **more)
    answer.raise_for_status()
    return answer


@pytest.fixture
def relay() -> Iterator[EventRelay]:
    relay = EventRelay()
    relay.start()
    yield relay
    relay.stop()


@pytest.mark.slow
def test_an_upload_is_one_event_in_the_shape_of_eventstreams(
    sandbox_wiki: SandboxWiki, tmp_path: Path
) -> None:
    answer = sandbox_wiki.upload(gradient(tmp_path / "x.png", seed=10), "Event é & ü.png")
    event = _log_event(sandbox_wiki, "upload", "upload", "File:Event é & ü.png")
    assert UPLOADED.items() <= event.items()
    assert event["$schema"] == "/mediawiki/recentchange/1.0.0"
    assert event["user"] == "Uploader"
    assert event["bot"] is False
    assert event["server_name"] == event["meta"]["domain"] == "commons.wikimedia.org"
    assert event["meta"]["stream"] == "mediawiki.recentchange"
    assert event["meta"]["uri"] == "https://commons.wikimedia.org/wiki/File:Event_%C3%A9_%26_%C3%BC.png"
    assert event["meta"]["dt"].endswith("Z")
    assert isinstance(event["meta"]["offset"], int)
    digest = f"{int(event['log_params']['img_sha1'], 36):040x}"
    assert digest == answer["imageinfo"]["sha1"]
    moment = datetime.strptime(event["log_params"]["img_timestamp"], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    assert moment == datetime.fromisoformat(answer["imageinfo"]["timestamp"])
    logged = sandbox_wiki.client(None).query(list="logevents", letype="upload", letitle=event["title"])
    assert [entry["logid"] for entry in logged["logevents"]] == [event["log_id"]]


@pytest.mark.slow
def test_what_happens_to_a_file_afterwards_is_seen_too(sandbox_wiki: SandboxWiki, tmp_path: Path) -> None:
    sandbox_wiki.upload(gradient(tmp_path / "1.png", seed=11), "Life.png")
    sandbox_wiki.upload(gradient(tmp_path / "2.png", seed=12), "Life.png")
    _log_event(sandbox_wiki, "upload", "overwrite", "File:Life.png")
    sandbox_wiki.move("File:Life.png", "File:Afterlife.png")
    moved = _log_event(sandbox_wiki, "move", "move", "File:Life.png")
    assert moved["log_params"]["target"] == "File:Afterlife.png"
    sandbox_wiki.delete("File:Afterlife.png")
    assert _log_event(sandbox_wiki, "delete", "delete", "File:Afterlife.png")["log_params"] == []
    sandbox_wiki.restore("File:Afterlife.png")
    _log_event(sandbox_wiki, "delete", "restore", "File:Afterlife.png")


@pytest.mark.slow
def test_a_client_of_the_stream_sees_an_edit_by_the_bot(sandbox_wiki: SandboxWiki) -> None:
    with _open(sandbox_wiki.stream_url) as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        sandbox_wiki.client("ReviewBot@sandbox").edit("User:ReviewBot/Log", "text", bot=1)
        event = next(e for _, e in _messages(answer) if e["title"] == "User:ReviewBot/Log")
    assert event["type"] == "new"
    assert event["bot"] is True
    assert event["revision"]["new"] > 0


def test_resuming_by_id_or_time_brings_the_rest(relay: EventRelay) -> None:
    for number in range(3):
        relay.publish({"title": f"Page {number}", "type": "edit"})
    with _open(relay.url, params={"since": "946684800000"}) as answer:
        messages = _messages(answer)
        first, _, _ = next(messages), next(messages), next(messages)
    stepped_back = json.loads(first[0])
    assert stepped_back[1]["offset"] == -1
    stepped_back[0]["timestamp"] -= 1
    with _open(relay.url, headers={"Last-Event-ID": json.dumps(stepped_back)}) as answer:
        resumed = [next(_messages(answer))[1]["title"]]
    assert resumed == ["Page 0"]
    with _open(relay.url, params={"since": "2001-01-01T00:00:00Z"}) as answer:
        assert next(_messages(answer))[1]["title"] == "Page 0"


def test_a_new_client_sees_new_events_only(relay: EventRelay) -> None:
    relay.publish({"title": "Before", "type": "edit"})
    with _open(relay.url) as answer:
        relay.publish({"title": "After", "type": "edit"})
        assert next(_messages(answer))[1]["title"] == "After"


def test_dropped_connections_end_cleanly_and_can_come_back(relay: EventRelay) -> None:
    with _open(relay.url) as answer:
        relay.drop_connections()
        assert list(_messages(answer)) == []
    with _open(relay.url) as answer:
        relay.publish({"title": "Again", "type": "edit"})
        assert next(_messages(answer))[1]["title"] == "Again"


def test_nonsense_is_answered_like_the_service_does(relay: EventRelay) -> None:
    assert requests.get(relay.url, headers={"Last-Event-ID": "nonsense"}, timeout=60).status_code == 400
    assert requests.get(relay.url.replace("recentchange", "other"), timeout=60).status_code == 404


def test_waiting_for_what_never_comes_ends_with_an_error(relay: EventRelay) -> None:
    relay.publish({"title": "Something else", "type": "edit"})
    with pytest.raises(TimeoutError, match="among 1"):
        relay.wait_for(lambda event: event["title"] == "Wanted", timeout_s=0.05)

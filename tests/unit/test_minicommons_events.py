"""Events have exactly the shape of real ones; positions are resumed as EventStreams does."""

import json
from datetime import UTC, datetime
from random import Random

import pytest

from bot.minicommons import events
from bot.minicommons.ring import FIRST_OFFSET, IDLE_TOPIC, TOPIC, Ring
from bot.minicommons.wiki import LogEntry

NOW = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
# A real upload event of 2023 (commonswiki), key by key, and the two keys that newer ones carry besides.
REAL_KEYS = [
    *("$schema", "meta", "id", "type", "namespace", "title", "comment", "timestamp", "user", "bot"),
    *("log_id", "log_type", "log_action", "log_params", "log_action_comment"),
    *("server_url", "server_name", "server_script_path", "wiki", "parsedcomment"),
]
NEWER_KEYS = ["title_url", "notify_url"]
REAL_META_KEYS = ["uri", "request_id", "id", "dt", "domain", "stream", "topic", "partition", "offset"]


def upload_event() -> events.Event:
    params = {"img_sha1": "n7p91uyt4hcqqq8s0snqrsfdfc75xfx", "img_timestamp": "20260102030405"}
    entry = LogEntry(
        7, "upload", "upload", "File:Ä b.jpg", "User", NOW.replace(microsecond=0), "text", params
    )
    return events.log_event(entry, NOW, Random(1), 99)


def test_an_upload_has_the_keys_and_types_of_a_real_one():
    event = upload_event()
    Ring(10).append(event, 1)
    assert sorted(event) == sorted(REAL_KEYS + NEWER_KEYS)
    assert [key for key in event if key in REAL_KEYS] == REAL_KEYS
    assert sorted(event["meta"]) == sorted(REAL_META_KEYS)
    assert event["meta"]["dt"] == "2026-01-02T03:04:05.678Z"
    assert event["meta"]["uri"] == "https://commons.wikimedia.org/wiki/File:%C3%84_b.jpg"
    assert (event["wiki"], event["type"], event["namespace"]) == ("commonswiki", "log", 6)
    assert event["timestamp"] == 1767323045
    assert set(event["log_params"]) == {"img_sha1", "img_timestamp"}


def test_noise_holds_every_oddity_and_no_upload_to_commons():
    noise = [events.noise_event(number, NOW, Random(number)) for number in range(400)]
    assert {event["type"] for event in noise} == {"edit", "new", "categorize", "log"}
    canaries = [event for event in noise if event["meta"]["domain"] == "canary"]
    assert canaries
    odd_params = [event.get("log_params", 0) for event in noise if event["type"] == "log"]
    for shape in ([], "", None):
        assert shape in odd_params
    assert any(event.get("log_id", 0) is None for event in noise)
    assert any("\u2028" in event.get("comment", "") for event in noise)
    assert not [event for event in noise if event.get("log_type") == "upload" and event not in canaries]
    assert {event["wiki"] for event in noise} > {"commonswiki", "enwiki"}


def test_padded_noise_weighs_what_was_asked():
    sizes = [
        len(json.dumps(events.noise_event(n, NOW, Random(n), 1600), ensure_ascii=False)) for n in range(49)
    ]
    assert 1400 < sum(sizes) / len(sizes) < 1800


def filled(keep: int = 100, count: int = 10) -> Ring:
    """Events at 1000, 1000, 1010, 1010, … ms: two share each millisecond, as it happens."""
    ring = Ring(keep)
    for number in range(count):
        ring.append(upload_event(), 1000 + number // 2 * 10)
    return ring


def test_the_id_is_the_kafka_time_plus_one_and_an_idle_datacentre():
    item = filled(count=1).read(FIRST_OFFSET, 1, 0)[0]
    name, _, body = item.lines[1].decode().partition(": ")
    assert name == "id"
    assert json.loads(body) == [
        {"topic": TOPIC, "partition": 0, "timestamp": 1001},
        {"topic": IDLE_TOPIC, "partition": 0, "offset": -1},
    ]
    assert item.lines[0] == b"event: message\n"
    assert item.lines[2].startswith(b'data: {"$schema":')
    assert item.lines[2].endswith(b"}\n\n")


@pytest.mark.parametrize(
    ("assignment", "since_ms", "index"),
    [
        (None, None, 10),
        (None, 1010, 2),
        (None, 1011, 4),
        (None, 5000, 10),
        ({"timestamp": 1001}, None, 2),
        ({"timestamp": 1000}, None, 0),
        ({"timestamp": 1}, None, 0),
        ({"timestamp": 9999}, None, 10),
        ({"offset": FIRST_OFFSET + 3}, None, 3),
        ({"offset": FIRST_OFFSET + 3, "timestamp": 1000}, None, 3),
        ({"offset": -1}, None, 10),
        ({"offset": 17}, None, 10),
        ({"timestamp": 1020}, 1000, 4),
    ],
)
def test_resuming_begins_where_the_real_service_would(assignment, since_ms, index):
    assignments = [{"topic": IDLE_TOPIC, "partition": 0, "offset": -1}]
    if assignment is None:
        assignments = []
    else:
        assignments.append({"topic": TOPIC, "partition": 0, **assignment})
    assert filled().start(assignments, since_ms) - FIRST_OFFSET == index


def test_what_retention_has_passed_is_silently_answered_from_the_end():
    ring = filled(keep=4, count=20)
    assert len(ring) <= 5
    end = ring.start([], None)
    assert ring.start([{"topic": TOPIC, "timestamp": 1000}], None) == end
    assert ring.start([], 1050) == end
    assert ring.start([{"topic": TOPIC, "timestamp": 1090}], None) < end
    ring.forget()
    assert ring.start([{"topic": TOPIC, "timestamp": 1090}], None) == end
    assert ring.read(FIRST_OFFSET, 10, 0) == []


def test_time_never_goes_back():
    ring = Ring(10)
    ring.append(upload_event(), 2000)
    assert ring.append(upload_event(), 1500).kafka_ms == 2000

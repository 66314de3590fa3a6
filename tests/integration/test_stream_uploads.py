"""The upload stream over a real server: what it hands over, and that nothing is lost whatever happens."""

import json
import threading
from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest

from bot.settings import load_settings
from bot.stream.eventstreams import StreamBatch, UploadStream
from bot.stream.position import parse_event_id
from storage.values import ChangeKind, Gap, StreamPosition
from tests.sse_server import (
    BASE_MS,
    Client,
    SseServer,
    block,
    event_id,
    numbered,
    recentchange,
    refuse,
    replay,
    stream,
    upload,
)

BASE = datetime.fromtimestamp(BASE_MS / 1000, UTC)


@pytest.fixture
def stop():
    event = threading.Event()
    yield event
    event.set()


def uploads(
    server: SseServer,
    stop: threading.Event,
    *,
    at_ms: int | None = None,
    watch: str | None = None,
    **options,
) -> UploadStream:
    options = {"backoff_initial_s": 0.01, "position_interval_s": 3600.0, "read_timeout_s": 20.0, **options}
    settings = load_settings(overrides={"stream": {"url": server.url, **options}})
    position = None
    if at_ms is not None:
        at = datetime.fromtimestamp(at_ms / 1000, UTC)
        position = StreamPosition("recentchange", event_id(at_ms), at, at)
    user_agent = "TestBot/1.0 (me@example.org)"
    return UploadStream(settings.stream, settings.wiki, user_agent, stop, position, watch=watch)


class Steps:
    """Serves blocks one at a time: the next is sent when the test has taken the batch of the one before."""

    def __init__(self, *blocks: bytes) -> None:
        self._blocks = blocks
        self._taken = threading.Semaphore(0)

    def __call__(self, client: Client) -> None:
        client.open_stream()
        for number, data in enumerate(self._blocks):
            assert number == 0 or self._taken.acquire(timeout=30)
            client.body([data])
        client.hold()

    def follow(self, batches):
        for batch in batches:
            yield batch
            self._taken.release()


def take(batches, count: int) -> list[StreamBatch]:
    """Batches until `count` uploads came."""
    found: list[StreamBatch] = []
    for batch in batches:
        found.append(batch)
        if sum(len(one.uploads) for one in found) >= count:
            return found
    return found


def ids_of(batches: list[StreamBatch]) -> list[int]:
    return [upload.log_id for batch in batches for upload in batch.uploads]


def test_uploads_come_with_the_position_that_covers_them(stop):
    with SseServer(stream(numbered([1, 2]))) as server:
        batches = take(uploads(server, stop), 2)
        stop.set()
    assert ids_of(batches) == [1, 2]
    assert batches[-1].event_id == event_id(BASE_MS + 2000)
    assert batches[-1].event_time == BASE + timedelta(seconds=2, milliseconds=1)
    assert server.requests[0]["user-agent"] == "TestBot/1.0 (me@example.org)"
    assert "last-event-id" not in server.requests[0]


def test_only_our_files_come_through_and_everything_is_counted(stop):
    firehose = [
        recentchange(1, wiki="wikidatawiki"),
        upload(2, wiki="enwiki"),
        upload(3, meta={"domain": "canary"}),
        upload(4, log_type="patrol"),
        upload(5, log_id=None),
        upload(6, log_type="move", log_action="move", log_params={"target": "File:B.jpg"}),
        upload(7, log_type="delete", log_action="delete", log_params=[]),
        '{not json "log_type" commonswiki',
        upload(8),
    ]
    data = b"".join(block(event, BASE_MS + n) for n, event in enumerate(firehose))
    data += b"event: error\ndata: {}\n\n" + numbered([9])
    with SseServer(stream(data)) as server:
        followed = uploads(server, stop)
        batches = take(followed, 2)
        stop.set()
    assert ids_of(batches) == [8, 9]
    changes = [change for batch in batches for change in batch.changes]
    assert [(c.kind, c.target_title) for c in changes] == [
        (ChangeKind.MOVE, "File:B.jpg"),
        (ChangeKind.DELETE, None),
    ]
    assert followed.counts == {
        "events": 11,
        "uploads": 2,
        "changes": 2,
        "dropped.by_bytes": 2,
        "dropped.canary": 1,
        "dropped.other_log": 1,
        "dropped.no_log_id": 1,
        "dropped.bad_json": 1,
        "dropped.error_event": 1,
    }
    assert sum(batch.counts.get("events", 0) for batch in batches) == 11


def test_unexpected_events_are_told_once_per_reason(stop, caplog):
    data = b"".join(block(upload(n, log_id=None), BASE_MS + n) for n in range(3)) + numbered([9])
    with SseServer(stream(data)) as server:
        take(uploads(server, stop), 1)
        stop.set()
    told = [record.reason for record in caplog.records if record.getMessage() == "stream_event_unexpected"]
    assert told == ["no_log_id"]


def test_the_position_is_handed_over_at_once_and_then_by_its_interval(stop):
    edits = [block(recentchange(n), BASE_MS + n * 1000) for n in range(5)]
    steps = Steps(*edits)
    with SseServer(steps, stream(edits[0])) as server:
        every = list(islice(steps.follow(uploads(server, stop, position_interval_s=1e-9)), 5))
        seldom = take(uploads(server, stop), 0)
        stop.set()
    assert [batch.event_time for batch in every] == [
        BASE + timedelta(seconds=n, milliseconds=1) for n in range(5)
    ]
    assert seldom[0].event_id == event_id(BASE_MS)
    assert not any(batch.uploads for batch in every)


def test_a_start_resumes_a_configured_stretch_before_the_position(stop):
    with SseServer(stream(numbered([1]))) as server:
        take(uploads(server, stop, at_ms=BASE_MS, resume_overlap_s=7), 1)
        stop.set()
    sent = parse_event_id(server.requests[0]["last-event-id"])
    assert [(entry.timestamp_ms, entry.offset) for entry in sent] == [(BASE_MS + 1 - 7000, None)] * 2


def test_a_reconnect_resumes_at_what_was_stored_and_not_at_what_was_read(stop):
    stored, unstored = numbered([1]), block(recentchange(2), BASE_MS + 60_000)
    taken = threading.Event()

    def cut(client: Client) -> None:
        client.open_stream()
        client.body([stored])
        assert taken.wait(30)
        client.body([unstored])

    with SseServer(cut, stream(numbered([3]))) as server:
        found: list[int] = []
        for batch in uploads(server, stop, resume_overlap_s=0):
            found += ids_of([batch])
            taken.set()
            if len(found) == 2:
                break
        assert found == [1, 3]
        stop.set()
    assert parse_event_id(server.requests[1]["last-event-id"])[0].timestamp_ms == BASE_MS + 1001


def test_nothing_is_lost_when_every_connection_is_cut_after_a_few_events(stop):
    events = [(BASE_MS + n * 100, block(upload(n), BASE_MS + n * 100)) for n in range(1, 31)]
    cut = replay(events, at_most=8)
    down = refuse("503 Service Unavailable")
    with SseServer(cut, down, cut, cut, down, cut, cut, cut, cut, replay(events)) as server:
        followed = uploads(server, stop, resume_overlap_s=0.25, backoff_max_s=0.02)
        found: list[int] = []
        for batch in followed:
            found += ids_of([batch])
            if found[-1:] == [30]:
                break
        stop.set()
        assert followed.connections > 4
    assert sorted(set(found)) == list(range(1, 31))


def test_repeated_and_reordered_events_never_move_the_position_back(stop):
    steps = Steps(*(numbered([n]) for n in (1, 5, 2, 2, 4)))
    with SseServer(steps) as server:
        batches = take(steps.follow(uploads(server, stop)), 5)
        stop.set()
    assert ids_of(batches) == [1, 5, 2, 2, 4]
    times = [batch.event_time for batch in batches]
    assert times == sorted(times)
    assert batches[-1].event_id == event_id(BASE_MS + 5000)


def test_a_jump_after_a_resume_is_handed_over_as_a_gap(stop):
    late = BASE_MS + 400_000
    with SseServer(stream(block(recentchange(1), late) + block(upload(2), late))) as server:
        batches = take(uploads(server, stop, at_ms=BASE_MS, resume_overlap_s=10, jump_s=300), 1)
        stop.set()
    start, end = (BASE + timedelta(seconds=seconds, milliseconds=1) for seconds in (-10, 400))
    assert [batch.jump for batch in batches if batch.jump] == [Gap(None, "commonswiki", start, end, "jump")]


def test_a_jump_during_a_reconnect_is_seen_too(stop):
    late = block(upload(2), BASE_MS + 900_000)
    with SseServer(stream(numbered([1]), then="close"), stream(late)) as server:
        first, second = take(uploads(server, stop), 2)
        stop.set()
    assert first.jump is None
    assert second.jump is not None
    assert second.uploads


@pytest.mark.parametrize("at_ms", [None, BASE_MS])
def test_a_live_start_and_a_short_step_are_no_jumps(stop, at_ms):
    with SseServer(stream(numbered([250]))) as server:
        (batch,) = take(uploads(server, stop, at_ms=at_ms, jump_s=300), 1)
        stop.set()
    assert batch.jump is None


def test_a_stream_without_ids_still_brings_uploads(stop):
    data = b"data: " + json.dumps(upload(1)).encode() + b"\n\n"
    with SseServer(stream(data)) as server:
        followed = uploads(server, stop)
        (batch,) = take(followed, 1)
        stop.set()
    assert (batch.event_id, ids_of([batch])) == ("", [1])


def test_lag_and_last_event_are_known(stop):
    with SseServer(stream(numbered([1]))) as server:
        followed = uploads(server, stop)
        assert followed.lag_s(BASE) is None
        assert followed.last_event_at is None
        take(followed, 1)
        stop.set()
    assert followed.lag_s(BASE + timedelta(seconds=11, milliseconds=1)) == 10
    assert followed.last_event_at is not None
    assert (followed.connections, followed.oversized) == (1, 0)


def test_edits_of_watched_pages_are_told_and_no_others(stop):
    watched = "User:TestBot/Review"
    firehose = [
        recentchange(1, title=f"{watched}/2026-01-01"),
        recentchange(2, title=f"{watched}/Guide", type="new"),
        recentchange(3, title=f"{watched}/2026-01-02", wiki="enwiki"),
        recentchange(4, title="Talk", comment=f"see {watched}/2026-01-03"),
        recentchange(5, title=f"{watched}/2026-01-04", type="categorize"),
        upload(6),
    ]
    data = b"".join(block(event, BASE_MS + n) for n, event in enumerate(firehose))
    with SseServer(stream(data)) as server:
        batches = take(uploads(server, stop, watch=watched), 1)
        stop.set()
    assert frozenset().union(*(batch.edited for batch in batches)) == {
        f"{watched}/2026-01-01",
        f"{watched}/Guide",
    }


def test_without_a_watch_no_edit_is_told(stop):
    data = block(recentchange(1, title="User:TestBot/Review"), BASE_MS) + numbered([2])
    with SseServer(stream(data)) as server:
        batches = take(uploads(server, stop), 1)
        stop.set()
    assert all(not batch.edited for batch in batches)


def test_an_id_from_the_future_is_not_saved_as_the_position(stop):
    ahead_ms = int((datetime.now(UTC) + timedelta(hours=2)).timestamp() * 1000)
    data = numbered([1]) + block(upload(2), ahead_ms)
    with SseServer(stream(data)) as server:
        batches = take(uploads(server, stop, at_ms=BASE_MS), 2)
        stop.set()
    assert ids_of(batches) == [1, 2]
    assert batches[-1].event_time <= datetime.now(UTC)
    assert event_id(ahead_ms) not in {batch.event_id for batch in batches}

"""Planning gaps, and reading them from a log client that answers as the API does."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import ServiceDown
from bot.settings import load_settings
from bot.stream.backfill import read_gap, reconcile_gap, stale_gap, start_gap
from storage.values import Gap, Source, StreamPosition, Upload, UploadAction

NOW = datetime(2026, 3, 1, 12, 0, 0, 500_000, tzinfo=UTC)
START = datetime(2026, 3, 1, 11, tzinfo=UTC)
GAP = Gap(5, "commonswiki", START, START + timedelta(minutes=30), "start")
SETTINGS = load_settings(
    overrides={
        "stream": {"resume_overlap_s": 10, "jump_s": 300},
        "backfill": {"max_s": 86400, "settle_s": 60, "reconcile_window_s": 3600, "first_start_s": 0},
    }
)


def entry(log_id: int, minute: int = 0, **fields: Any) -> dict[str, Any]:
    values = {
        "logid": log_id,
        "ns": 6,
        "title": f"File:Picture {log_id}.jpg",
        "pageid": 7,
        "params": {"img_sha1": "n7p91uyt4hcqqq8s0snqrsfdfc75xfx", "img_timestamp": "2026-03-01T10:59:58Z"},
        "type": "upload",
        "action": "upload",
        "user": "Someone",
        "userid": 3,
        "timestamp": f"2026-03-01T11:{minute:02}:00Z",
        **fields,
    }
    return {key: value for key, value in values.items() if value is not ...}


class FakeLog:
    """Answers from pages, and continues as the API does."""

    def __init__(self, *pages: Any) -> None:
        self.pages = pages
        self.asked: list[dict[str, str | int]] = []

    def query(self, params: Mapping[str, str | int]) -> Mapping[str, Any]:
        self.asked.append(dict(params))
        number = int(str(params.get("lecontinue", "0")))
        page = self.pages[number]
        if isinstance(page, Exception):
            raise page
        if not isinstance(page, list):
            return page
        answer: dict[str, Any] = {"batchcomplete": True, "query": {"logevents": page}}
        if number + 1 < len(self.pages):
            answer["continue"] = {"lecontinue": str(number + 1), "continue": "-||"}
        return answer


def test_a_gap_is_read_page_by_page_with_what_is_done():
    api = FakeLog([entry(1, 1), entry(2, 5)], [entry(3, 9)], [])
    pages = list(read_gap(api, GAP, source=Source.BACKFILL))
    assert [[upload.log_id for upload in page.uploads] for page in pages] == [[1, 2], [3], []]
    assert [page.more for page in pages] == [True, True, False]
    assert [page.done_until for page in pages] == [
        START + timedelta(minutes=5),
        START + timedelta(minutes=9),
        GAP.end,
    ]
    assert pages[0].uploads[0] == Upload(
        "commonswiki",
        1,
        UploadAction.UPLOAD,
        "File:Picture 1.jpg",
        "Someone",
        "n7p91uyt4hcqqq8s0snqrsfdfc75xfx",
        datetime(2026, 3, 1, 10, 59, 58, tzinfo=UTC),
        START + timedelta(minutes=1),
        Source.BACKFILL,
    )


def test_the_api_is_asked_for_whole_seconds_around_the_gap():
    api = FakeLog([])
    gap = Gap(1, "commonswiki", START.replace(microsecond=900_000), START.replace(microsecond=1), "jump")
    list(read_gap(api, gap, source=Source.RECONCILE))
    assert api.asked == [
        {
            "list": "logevents",
            "letype": "upload",
            "ledir": "newer",
            "lestart": "2026-03-01T11:00:00Z",
            "leend": "2026-03-01T11:00:01Z",
            "leprop": "ids|title|type|user|userid|timestamp|details",
            "lelimit": 500,
        }
    ]


def test_continuation_parameters_are_sent_back():
    api = FakeLog([entry(1)], [])
    list(read_gap(api, GAP, source=Source.BACKFILL))
    assert (api.asked[1]["lecontinue"], api.asked[1]["continue"]) == ("1", "-||")


def test_a_hidden_title_is_recorded_with_an_empty_one():
    hidden = entry(4, actionhidden=True, suppressed=True, title=..., params=..., ns=...)
    (page,) = read_gap(FakeLog([hidden]), GAP, source=Source.BACKFILL)
    (upload,) = page.uploads
    assert (upload.log_id, upload.title, upload.sha1, upload.user) == (4, "", None, "Someone")


def test_what_a_privileged_account_sees_of_a_hidden_entry_is_not_kept():
    (page,) = read_gap(FakeLog([entry(4, actionhidden=True, userhidden=True)]), GAP, source=Source.BACKFILL)
    (upload,) = page.uploads
    assert (upload.title, upload.sha1, upload.file_timestamp, upload.user) == ("", None, None, None)


def test_a_hidden_uploader_is_none():
    (page,) = read_gap(FakeLog([entry(4, userhidden=True, user=...)]), GAP, source=Source.BACKFILL)
    assert page.uploads[0].user is None


@pytest.mark.parametrize(
    "bad",
    [None, [], {}, entry(0), entry(1, timestamp="?"), entry(1, action="teleport"), entry(1, title=None)],
)
def test_an_entry_that_cannot_be_recorded_costs_only_itself(bad, caplog):
    (page,) = read_gap(FakeLog([bad, entry(2)]), GAP, source=Source.BACKFILL)
    assert [upload.log_id for upload in page.uploads] == [2]
    assert "log_entry_unexpected" in caplog.messages


@pytest.mark.parametrize("answer", [{}, {"query": []}, {"query": {"logevents": {}}}, {"batchcomplete": True}])
def test_an_answer_without_a_log_does_not_close_the_gap(answer):
    with pytest.raises(ServiceDown):
        list(read_gap(FakeLog(answer), GAP, source=Source.BACKFILL))


def test_a_continuation_that_repeats_itself_ends_in_an_error():
    answer = {"query": {"logevents": []}, "continue": {"lecontinue": "0"}}
    with pytest.raises(ServiceDown):
        list(read_gap(FakeLog(answer), GAP, source=Source.BACKFILL))


def test_pages_given_out_before_a_failure_stay_valid():
    pages = read_gap(FakeLog([entry(1, 3)], ServiceDown("api", "gone")), GAP, source=Source.BACKFILL)
    assert next(pages).done_until == START + timedelta(minutes=3)
    with pytest.raises(ServiceDown):
        next(pages)


def position(age_s: float) -> StreamPosition:
    at = NOW - timedelta(seconds=age_s)
    return StreamPosition("recentchange", "[]", at, at)


def test_a_start_reads_from_before_the_position_to_now():
    gap = start_gap(position(100), NOW, SETTINGS)
    assert gap == Gap(None, "commonswiki", NOW - timedelta(seconds=110), NOW, "start")


def test_a_very_old_position_is_cut():
    gap = start_gap(position(10**7), NOW, SETTINGS)
    assert gap is not None
    assert gap.start == NOW - timedelta(seconds=86400)


def test_the_very_first_start_reads_only_what_is_configured():
    assert start_gap(None, NOW, SETTINGS) is None
    backfill = SETTINGS.backfill.model_copy(update={"first_start_s": 600})
    gap = start_gap(None, NOW, SETTINGS.model_copy(update={"backfill": backfill}))
    assert gap == Gap(None, "commonswiki", NOW - timedelta(seconds=600), NOW, "start")


def test_a_position_from_the_future_plans_no_gap():
    assert start_gap(position(-3600), NOW, SETTINGS) is None


def test_reconciliation_leaves_the_newest_part_to_the_stream():
    gap = reconcile_gap(NOW, SETTINGS)
    assert (NOW - gap.end, gap.end - gap.start) == (timedelta(seconds=60), timedelta(hours=1))
    assert gap.reason == "reconcile"


def test_an_outage_of_the_stream_is_read_from_the_log_bit_by_bit():
    last = NOW - timedelta(seconds=400)
    first = stale_gap(last, None, NOW, SETTINGS)
    assert first == Gap(
        None, "commonswiki", last - timedelta(seconds=10), NOW - timedelta(seconds=60), "stale"
    )
    assert stale_gap(last, first.end, NOW + timedelta(seconds=299), SETTINGS) is None
    second = stale_gap(last, first.end, NOW + timedelta(seconds=301), SETTINGS)
    assert second is not None
    assert second.start <= first.end


def test_a_fresh_stream_is_not_stale():
    assert stale_gap(NOW - timedelta(seconds=30), None, NOW, SETTINGS) is None


@given(st.floats(-1e8, 1e8), st.none() | st.floats(-1e8, 1e8))
def test_every_planned_gap_has_an_extent_within_the_limit(age_s, filled_age_s):
    filled = None if filled_age_s is None else NOW - timedelta(seconds=filled_age_s)
    for gap in (
        start_gap(position(age_s), NOW, SETTINGS),
        stale_gap(position(age_s).event_time, filled, NOW, SETTINGS),
    ):
        assert gap is None or NOW - timedelta(seconds=86400) <= gap.start < gap.end <= NOW

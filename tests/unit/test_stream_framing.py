"""The block splitter and the back-off, for every way of cutting bytes."""

import random
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.stream.backoff import MAX_RETRY_AFTER_S, Backoff, parse_retry_after
from bot.stream.framing import BlockSplitter, RawEvent, parse_block

NOW = datetime(2026, 1, 1, tzinfo=UTC)
lines = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), min_size=1, max_size=40)
events = st.lists(lines.map(lambda line: f"data: {line}".encode()), min_size=1, max_size=3)


def feed(data: bytes, cuts: list[int], **options: int) -> tuple[list[bytes], BlockSplitter]:
    splitter = BlockSplitter(**options)
    bounds = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    found = [block for start, end in pairwise(bounds) for block in splitter.feed(data[start:end])]
    return found, splitter


@given(
    st.lists(events, max_size=6), st.sampled_from([b"\n", b"\r", b"\r\n"]), st.lists(st.integers(0, 10**6))
)
def test_blocks_come_out_whole_however_the_bytes_are_cut(blocks, line_end, cuts):
    data = b"".join(line_end.join([*block, b"", b""]) for block in blocks)
    found, _ = feed(data, cuts)
    assert found == [b"\n".join(block) for block in blocks]


@given(st.binary(max_size=300), st.lists(st.integers(0, 10**6)))
def test_cutting_never_changes_what_is_found(data, cuts):
    def fields(blocks: list[bytes]) -> list[RawEvent]:
        parsed = [parse_block(block) for block in blocks]
        return [raw for raw in parsed if raw.data or raw.event_id]

    assert fields(feed(data, cuts)[0]) == fields(feed(data, [])[0])


@pytest.mark.parametrize("cuts", [[], [1500], [990, 1100, 1999, 2000, 2001, 2002], list(range(2100))])
def test_an_event_over_the_limit_costs_only_itself(cuts):
    data = b"data: a\n\n" + b"data: " + b"x" * 1985 + b"\n\ndata: b\n\n"
    found, splitter = feed(data, cuts, max_event_bytes=1000)
    assert found == [b"data: a", b"data: b"]
    assert splitter.oversized == 1


def test_memory_stays_bounded_while_an_endless_event_is_skipped():
    splitter = BlockSplitter(max_event_bytes=1000)
    for _ in range(100):
        assert splitter.feed(b"x" * 500) == []
        assert len(splitter._pending) <= 1500
    assert splitter.feed(b"\n\ndata: b\n\n") == [b"data: b"]
    assert splitter.oversized == 1


def test_the_retry_field_is_seen_only_at_the_start_of_a_line():
    splitter = BlockSplitter()
    splitter.feed(b"data: retry: 5\n\nretry: x\n\nid: retry: 7\n\n")
    assert splitter.retry_ms is None
    splitter.feed(b"id: 1\nretry: 250\ndata: x\n\n")
    assert splitter.retry_ms == 250


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        (b"data: a", RawEvent("message", b"a", None)),
        (b"data:a\ndata\ndata:  b", RawEvent("message", b"a\n\n b", None)),
        (b"\xef\xbb\xbfdata: a", RawEvent("message", b"a", None)),
        (b": note\nevent: error\nid: 1\nid: 2\ndata: a", RawEvent("error", b"a", "2")),
        (b"id: a\0b\ndata: x", RawEvent("message", b"x", None)),
        (b"id\nevent:\ndata: x", RawEvent("message", b"x", "")),
        ("data: a\u2028b\u0085c".encode(), RawEvent("message", "a\u2028b\u0085c".encode(), None)),
        (b"dataset: a\nDATA: b", RawEvent("message", b"", None)),
    ],
)
def test_fields_are_read_as_the_standard_says(block, expected):
    assert parse_block(block) == expected


@given(st.integers(), st.integers(0, 60))
def test_waits_stay_between_half_of_the_first_and_the_longest(seed, failures):
    backoff = Backoff(1, 120, random.Random(seed))
    waits_s = [backoff.next_delay_s() for _ in range(failures + 1)]
    assert 0.5 <= waits_s[0] <= 1
    assert all(0.5 <= wait_s <= 120 for wait_s in waits_s)
    assert failures < 8 or waits_s[-1] >= 60


@given(st.floats(0, 1e9), st.integers(0, 10**9))
def test_what_the_server_asks_for_is_never_undercut(retry_after_s, retry_ms):
    backoff = Backoff(1, 120)
    backoff.obey_retry_field(retry_ms)
    wait_s = backoff.next_delay_s(retry_after_s=retry_after_s)
    assert wait_s >= min(retry_after_s, MAX_RETRY_AFTER_S)
    assert wait_s >= min(retry_ms / 1000, 120)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("120", 120.0),
        (" 0 ", 0.0),
        ("-5", None),
        ("soon", None),
        ("1.5", None),
        ("Thu, 01 Jan 2026 00:02:00 GMT", 120.0),
        ("Thu, 01 Jan 2026 00:02:00 -0000", 120.0),
        ("Wed, 31 Dec 2025 00:00:00 GMT", 0.0),
        ("٣", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header, expected):
    assert parse_retry_after(header, NOW) == expected


@given(st.text())
def test_no_retry_after_header_raises(header):
    parse_retry_after(header, NOW)

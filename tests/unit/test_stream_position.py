"""Event ids: reading, writing, merging, stepping back."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.stream.position import Assignment, advance, event_time, format_event_id, parse_event_id, resume_id

EQIAD, CODFW = "eqiad.mediawiki.recentchange", "codfw.mediawiki.recentchange"
REAL = (
    '[{"topic":"eqiad.mediawiki.recentchange","partition":0,"timestamp":1746030241001},'
    '{"topic":"codfw.mediawiki.recentchange","partition":0,"offset":-1}]'
)
assignments = st.builds(
    Assignment,
    st.sampled_from([EQIAD, CODFW, "é"]),
    st.integers(0, 2),
    st.none() | st.integers(0, 2**41),
    st.none() | st.integers(-1, 2**63 - 1),
)
ids = st.lists(assignments, unique_by=lambda a: (a.topic, a.partition)).map(tuple)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["topic", "partition", "x"]), inner),
)


@given(ids)
def test_what_is_written_is_read_back(entries):
    assert parse_event_id(format_event_id(entries)) == entries


def test_a_real_id_is_written_as_it_was():
    assert format_event_id(parse_event_id(REAL)) == REAL


@given(st.text() | json_values.map(str))
def test_no_text_raises_and_what_is_no_id_is_sent_back_as_it_is(text):
    event_time(text)
    advance(REAL, text)
    advance(text, REAL)
    if not parse_event_id(text):
        assert resume_id(text, 10) == text


@pytest.mark.parametrize(
    "bad",
    [
        "[1]",
        "{}",
        '[{"topic":"a"}]',
        '[{"topic":"a","partition":true}]',
        '[{"topic":"a","partition":0,"timestamp":"1"}]',
        '[{"topic":"a","partition":0,"timestamp":1e400}]',
        '[{"topic":"a","partition":0,"timestamp":-1}]',
        '[{"topic":"a","partition":0,"offset":-2}]',
        "[" * 100_000,
    ],
)
def test_other_shapes_are_no_ids(bad):
    assert parse_event_id(bad) == ()


def test_the_time_of_an_id_is_its_latest_timestamp():
    assert event_time(REAL) == datetime(2025, 4, 30, 16, 24, 1, 1000, UTC)
    assert event_time('[{"topic":"a","partition":0,"offset":7}]') is None


def test_resuming_steps_back_and_gives_the_idle_datacentre_the_same_time():
    assert parse_event_id(resume_id(REAL, 10)) == (
        Assignment(EQIAD, 0, 1746030231001),
        Assignment(CODFW, 0, 1746030231001),
    )


def test_resuming_drops_an_offset_beside_a_timestamp_and_keeps_a_lone_one():
    event_id = format_event_id([Assignment(EQIAD, 0, 50_000, 7), Assignment(CODFW, 0, None, 9)])
    assert parse_event_id(resume_id(event_id, 10)) == (
        Assignment(EQIAD, 0, 40_000),
        Assignment(CODFW, 0, None, 9),
    )


def test_without_any_timestamp_an_idle_entry_stays():
    event_id = format_event_id([Assignment(EQIAD, 0, None, -1)])
    assert resume_id(event_id, 10) == event_id


@given(ids.filter(bool), st.floats(0, 1e6))
def test_a_resume_point_never_lies_later_and_names_the_same_topics(entries, overlap_s):
    resumed = parse_event_id(resume_id(format_event_id(entries), overlap_s))
    assert [(a.topic, a.partition) for a in resumed] == [(a.topic, a.partition) for a in entries]
    for before, after in zip(entries, resumed, strict=True):
        if before.timestamp_ms is not None:
            assert after.timestamp_ms is not None
            assert after.timestamp_ms <= before.timestamp_ms
        if after.timestamp_ms is not None:
            assert after.offset is None


@given(ids.filter(bool), ids.filter(bool))
def test_advancing_never_goes_back_and_never_forgets_a_topic(known, new):
    merged = {
        (a.topic, a.partition): a
        for a in parse_event_id(advance(format_event_id(known), format_event_id(new)))
    }
    for entry in (*known, *new):
        kept = merged[entry.topic, entry.partition]
        if entry.timestamp_ms is not None:
            assert kept.timestamp_ms is not None
            assert kept.timestamp_ms >= entry.timestamp_ms


def test_an_idle_mark_does_not_wipe_out_a_known_time():
    known = format_event_id([Assignment(EQIAD, 0, 5), Assignment(CODFW, 0, 90)])
    new = format_event_id([Assignment(EQIAD, 0, 100), Assignment(CODFW, 0, None, -1)])
    assert parse_event_id(advance(known, new)) == (Assignment(EQIAD, 0, 100), Assignment(CODFW, 0, 90))


def test_the_first_id_is_taken_as_it_is():
    assert advance(None, REAL) == REAL

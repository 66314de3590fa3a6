"""Cutting a film leaves nothing out and nothing to chance, and what its parts say adds up to the whole."""

import contextlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.decode import wire
from classifier.decode.coverage import Coverage, Looks
from classifier.decode.picture import Report
from classifier.decode.segments import (
    MAX_LOOKS,
    MAX_SEGMENTS,
    PIECE_MOMENTS,
    SEGMENT_MOMENTS,
    Segment,
    cut,
    merged,
    pieces,
)
from classifier.decode.video_plan import Group
from classifier.values import DecodeSummary

counts = st.lists(st.integers(1, 40), max_size=60)


def groups_of(counts):
    starts = [0, *itertools.accumulate(counts)]
    return [Group(float(a), tuple(float(at) for at in range(a, b))) for a, b in itertools.pairwise(starts)]


def moments_of(segment):
    return sum(len(group.moments_s) for piece in segment for group in piece)


@given(counts)
def test_pieces_are_all_groups_in_order_and_none_is_tiny(counts):
    groups = groups_of(counts)
    found = pieces(groups)
    assert list(itertools.chain.from_iterable(found)) == groups
    if sum(counts) >= PIECE_MOMENTS:
        assert min(moments_of([piece]) for piece in found) >= PIECE_MOMENTS


@given(counts, st.integers(1, MAX_SEGMENTS))
def test_segments_are_all_pieces_in_order_and_no_more_than_are_worth_it(counts, at_most):
    film = pieces(groups_of(counts))
    segments = cut(film, at_most)
    assert tuple(itertools.chain.from_iterable(segments)) == film
    assert 1 <= len(segments) <= max(min(at_most, sum(counts) // SEGMENT_MOMENTS, len(film)), 1)
    assert all(segments) or not film
    assert cut(film, len(segments)) == segments, "every job cuts in the same places"


@given(st.integers(1, 1000), st.integers(2, 16))
def test_where_keyframes_are_dense_each_segment_has_its_share(moments, at_most):
    segments = cut(pieces(groups_of([1] * moments)), at_most)
    assert len(segments) == max(min(at_most, moments // SEGMENT_MOMENTS), 1)
    share = moments / len(segments)
    assert all(abs(moments_of(segment) - share) <= PIECE_MOMENTS + 1 for segment in segments) or share < 18


def test_a_film_of_one_keyframe_is_not_cut():
    assert len(cut(pieces(groups_of([1000])), 8)) == 1


def test_a_film_whose_looks_would_fill_a_message_is_not_cut():
    assert len(cut(pieces(groups_of([1] * MAX_LOOKS)), 2)) == 2
    assert len(cut(pieces(groups_of([1] * (2 * MAX_LOOKS + 100))), 2)) == 1


@pytest.mark.parametrize(("index", "at_most"), [(-1, 2), (2, 2), (0, 0), (0, MAX_SEGMENTS + 1)])
def test_segments_that_cannot_be_are_refused(index, at_most):
    with pytest.raises(ValueError, match="segment"):
        Segment(index, at_most)


looks = st.lists(st.tuples(st.floats(0, 5000), st.floats(0, 60)), max_size=60)


@given(looks, st.lists(st.integers(0, 60), max_size=5), st.floats(0, 5000), st.floats(0, 10))
def test_what_several_jobs_looked_at_is_what_one_would_have(looks_s, places, end_s, allowed_s):
    bounds = [0, *sorted(min(place, len(looks_s)) for place in places), len(looks_s)]
    whole, jobs = Coverage(), []
    for a, b in itertools.pairwise(bounds):
        own = Coverage()
        for from_s, shown_s in looks_s[a:b]:
            whole.add(from_s, from_s + shown_s)
            own.add(from_s, from_s + shown_s)
        told = _told(Looks(own.looks_ms, end_s, allowed_s))
        jobs.append((DecodeSummary("video", "pyav", b - a, 9.0, 0.25, mode="exact"), told))
    summary = merged(jobs)
    assert (summary.frames, summary.decode_s, summary.truncated) == (len(looks_s), 0.25 * len(jobs), False)
    assert summary.largest_gap_s == whole.largest_gap_s(end_s)
    assert summary.covered_share == whole.share(end_s, allowed_s)


def _told(told):
    """The looks after their way through the pipe."""
    message = wire.pack_end(wire.Status(Report("video", "pyav", segments=2, looks=told), 0.0))
    header = wire.unpack_header(message[: wire.HEADER.size])
    return wire.unpack_status(
        wire.unpack_values(message[wire.HEADER.size :][: header.json_bytes])
    ).report.looks


def test_one_that_was_cut_short_makes_the_whole_so():
    ends = [DecodeSummary("video", "pyav", 2, 9.0, 0.5, truncated, "exact") for truncated in (False, True)]
    summary = merged([(ends[0], Looks((), 9.0, 1.0)), (ends[1], None)])
    assert (summary.truncated, summary.largest_gap_s, summary.covered_share) == (True, None, None)


def test_the_most_looks_fit_a_message():
    told = Looks(((10**12, 10**12),) * MAX_LOOKS, 1e9, 1e-9)
    assert _told(told) == told


GOOD = {
    "kind": "video",
    "decoder": "pyav",
    "truncated": False,
    "segments": 2,
    "looks_ms": [0, 40, 1000, 1040],
    "end_s": 9.0,
    "allowed_gap_s": 1.0,
}


@pytest.mark.parametrize(
    "change",
    [
        {"segments": 0},
        {"segments": MAX_SEGMENTS + 1},
        {"segments": True},
        {"segments": 2.0},
        {"segments": None},
        {"looks_ms": [0]},
        {"looks_ms": "00"},
        {"looks_ms": [0, 1.5]},
        {"looks_ms": [False, True]},
        {"looks_ms": [-1, 0]},
        {"looks_ms": [40, 0]},
        {"looks_ms": [0, 10**400]},
        {"looks_ms": [0, 0] * (MAX_LOOKS + 1)},
        {"end_s": None},
        {"end_s": -1.0},
        {"allowed_gap_s": float("inf")},
        {"allowed_gap_s": "1"},
    ],
)
def test_segments_and_looks_that_make_no_sense_are_refused(change):
    report = wire.unpack_status(GOOD).report
    assert (report.segments, report.looks) == (2, Looks(((0, 40), (1000, 1040)), 9.0, 1.0))
    with pytest.raises(wire.WireError):
        wire.unpack_status({**GOOD, **change})


anything = st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=3)


@given(
    st.sampled_from(["segments", "looks_ms", "end_s", "allowed_gap_s"]),
    anything | st.lists(anything, max_size=4),
)
def test_whatever_a_worker_says_of_segments_is_understood_or_refused(key, value):
    with contextlib.suppress(wire.WireError):
        wire.unpack_status({**GOOD, key: value})


def test_a_job_that_is_alone_says_nothing_of_segments():
    message = wire.pack_end(wire.Status(Report("image", "pillow"), 0.0))
    assert b"segments" not in message
    assert b"looks" not in message

"""The video benchmark: footage is repeatable and never still, splices have no seam, and counting is right."""

from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.progress import Progress

from benchmarks import footage, video_planted
from benchmarks.video_clips import CODECS, Clips, Take, running_order
from benchmarks.video_decoders import keyframe_times_s
from benchmarks.video_early_exit import Course, breakeven_share, expected
from benchmarks.video_measuring import Failed, measured
from benchmarks.video_methods import METHODS, Order
from benchmarks.video_splice import splice
from classifier.values import FrameResult

FAST = [codec for name, codec in CODECS.items() if name in ("H.264", "MPEG-2", "Theora")]


@given(st.integers(1, 5000), st.integers(1, 60), st.integers(0, 2**31))
def test_shots_add_up_to_the_film_and_the_last_one_ends_in_a_cut(frames: int, rate: int, seed: int) -> None:
    plan = footage.shots(frames, rate, seed)
    assert sum(shot.frames for shot in plan) == frames
    assert all(shot.frames > 0 and 0 <= shot.action <= 1 for shot in plan)
    assert plan[-1].transition == "cut"


def test_a_film_has_cuts_every_few_seconds_and_every_kind_of_transition() -> None:
    plan = footage.shots(24 * 1800, 24, seed=0)
    assert 3 < 1800 / len(plan) < 9
    assert {shot.transition for shot in plan} == {"cut", "dissolve", "fade"}


def test_equal_arguments_give_equal_frames_and_another_seed_gives_others() -> None:
    first, again, other = ([*footage.film(64, 48, 60, seed=seed)] for seed in (5, 5, 6))
    assert len(first) == 60
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


def test_no_two_neighbouring_frames_of_a_film_are_equal() -> None:
    frames = [*footage.film(64, 48, 80, seed=1)]
    assert all(frame.shape == (48, 64, 3) and frame.dtype == np.uint8 for frame in frames)
    assert not any(np.array_equal(before, after) for before, after in pairwise(frames))


def test_a_cut_changes_the_picture_far_more_than_what_moves_within_a_shot() -> None:
    plan = footage.shots(240, 24, seed=0)
    assert plan[0].transition == "cut"
    frames = [frame.astype(np.int16) for frame in footage.film(96, 64, 240, seed=0, grain=1.0)]
    changes = [float(np.abs(after - before).mean()) for before, after in pairwise(frames)]
    cut = plan[0].frames - 1
    assert changes[cut] > 3 * float(np.median(changes[:cut]))


def test_slides_stand_still_for_ten_seconds() -> None:
    frames = [*footage.slides(64, 48, 25, rate=1)]
    assert np.array_equal(frames[0], frames[9])
    assert not np.array_equal(frames[9], frames[10])


@pytest.mark.parametrize("codec", FAST, ids=lambda codec: codec.name)
def test_spliced_reels_play_without_a_seam_and_each_starts_with_a_keyframe(tmp_path: Path, codec) -> None:
    clips = Clips(Progress(disable=True), tmp_path)
    lengths = [1, 20, 5, 20, 3]
    reels = [
        clips.reel(codec, Take("film", 96, 64, length, 24, seed=length, kbit_s=400)) for length in lengths
    ]
    target = tmp_path / f"spliced{codec.suffix}"
    splice(reels, target, codec.muxer, 24)
    with av.open(str(target)) as container:
        video = container.streams.video[0]
        times = [frame.time for frame in container.decode(video)]
    assert len(times) == sum(lengths)
    steps = [after - before for before, after in pairwise(times)]
    assert steps == pytest.approx([1 / 24] * len(steps), abs=1e-3)
    starts = np.cumsum([0, *lengths[:-1]]) / 24
    keys_s = keyframe_times_s(target)
    assert all(min(abs(key_s - start) for key_s in keys_s) < 1e-3 for start in starts)


def test_a_reel_with_a_frame_missing_is_refused(tmp_path: Path) -> None:
    reel = Clips(Progress(disable=True), tmp_path).reel(
        FAST[0], Take("film", 96, 64, 6, 24, seed=0, kbit_s=200)
    )
    holed = tmp_path / "holed.mkv"
    with av.open(str(reel)) as source, av.open(str(holed), "w") as output:
        stream = output.add_stream_from_template(source.streams.video[0], opaque=True)
        for number, packet in enumerate(source.demux(source.streams.video[0])):
            if packet.size and number != 3:
                packet.stream = stream
                output.mux(packet)
    with pytest.raises(SystemExit):
        splice([holed], tmp_path / "out.mp4", "mp4", 24)
    assert not (tmp_path / "out.mp4").exists()


def test_a_clip_is_made_once(tmp_path: Path) -> None:
    clips = Clips(Progress(disable=True), tmp_path)
    take = Take("film", 96, 64, 5, 24, seed=0, kbit_s=200)
    reel = clips.reel(FAST[0], take)
    made = reel.stat().st_mtime_ns
    assert Clips(Progress(disable=True), tmp_path).reel(FAST[0], take) == reel
    assert reel.stat().st_mtime_ns == made
    assert [path.name for path in tmp_path.iterdir()] == [reel.name]


@pytest.mark.parametrize("codec", FAST, ids=lambda codec: codec.name)
def test_methods_that_promise_each_wanted_frame_give_it(tmp_path: Path, codec) -> None:
    clips = Clips(Progress(disable=True), tmp_path)
    reels = [clips.reel(codec, Take("film", 96, 64, 60, 24, seed=seed, kbit_s=400)) for seed in range(3)]
    path = tmp_path / f"film{codec.suffix}"
    splice(reels, path, codec.muxer, 24)
    order = Order(path, codec.format_name, 1.0, 180 / 24, 24, keyframe_times_s(path))
    for name in ("OpenCV, sequential", "PyAV, seek per sample", "the limit", "ours, exact"):
        assert METHODS[name](order) == pytest.approx(order.wanted_s, abs=1.1 / 24), name


def test_a_film_is_as_long_as_asked_and_no_reel_longer() -> None:
    takes = [Take("film", 96, 64, frames, 24, seed=0) for frames in (50, 31)]
    assert [take.frames for take in running_order(takes, 5)] == [50, 31, 50]
    assert [take.frames for take in running_order(takes, 2)] == [50]


def test_wanted_times_end_with_the_last_frame() -> None:
    order = Order(Path("x"), "MP4", 5.0, 30.0, 24, ())
    assert order.wanted_s == [0, 5, 10, 15, 20, 25, pytest.approx(30 - 1 / 24)]


@given(st.integers(0, 5000))
def test_filler_has_exactly_as_many_frames_as_asked(frames: int) -> None:
    assert sum(video_planted.filler(frames)) == frames


@given(st.integers(100, 30_000), st.integers(1, 20), st.integers(0, 100))
def test_planted_segments_do_not_overlap_and_stay_within_the_film(
    frames: int, segments: int, seed: int
) -> None:
    length = video_planted.PLANTED_S * video_planted.RATE
    frames = max(frames, segments * length)
    starts = video_planted.starts(frames, segments, seed)
    assert len(starts) == segments
    assert all(after - before >= length for before, after in pairwise([*starts, frames]))


def test_a_segment_counts_once_and_flags_outside_are_false_alarms() -> None:
    results = [FrameResult(score, at_s) for at_s, score in ((0.0, 0.1), (5.0, 0.9), (6.0, 0.95), (9.0, 0.85))]
    assert video_planted.judged(results, [5 * video_planted.RATE, 200 * video_planted.RATE], 0.8) == (
        1,
        1,
        0.85,
    )


def test_expected_cost_is_what_was_spent_until_a_frame_lies_in_the_segment() -> None:
    at_s, spent_s = np.arange(10.0) * 10, np.arange(1.0, 11.0)
    sequential = expected(Course(at_s, spent_s, 10.0), {"10 s": 10.0}, 100.0, frame_s=1.0)
    assert sequential.clean_s == pytest.approx(20.0)
    # A sample every ten seconds lies in each segment of ten; the last ones begin behind the last sample.
    assert sequential.offending_s["10 s"] == pytest.approx(np.mean([2.0 * n for n in range(2, 11)]), abs=0.05)
    reversed_ = expected(Course(at_s[::-1], spent_s, 12.0), {"10 s": 10.0}, 100.0, frame_s=1.0)
    orders = {"sequential": sequential, "coarse_to_fine": reversed_}
    assert breakeven_share(orders, "10 s") is not None
    assert reversed_.clean_s == pytest.approx(22.0)


def test_work_that_fails_in_its_process_is_told_with_its_last_words() -> None:
    order = Order(Path("nowhere.mp4"), "MP4", 1.0, 1.0, 24, ())
    with pytest.raises(Failed) as caught:
        measured(METHODS["PyAV, seek per sample"], order)
    assert caught.value.brief == "error"
    assert "FileNotFoundError" in caught.value.reason

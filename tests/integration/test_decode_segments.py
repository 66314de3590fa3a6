"""Films decoded by several jobs: frames, times and coverage are those of one, also where there is damage."""

import os
import signal
import subprocess
import threading
import time
from dataclasses import replace
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import psutil
import pytest

from classifier.batching import Batcher
from classifier.decode.limits import DecodeLimits
from classifier.decode.picture import Report
from classifier.decode.sandbox import DecodePool, DecodePoolClosed
from classifier.decode.segments import Segment, merged
from classifier.decode.sniff import sniff_file
from classifier.decode.video import decode_video
from classifier.decode.video_groups import GroupDecoder
from classifier.errors import DecodeError
from classifier.scoring import score_media
from classifier.values import DecodeSummary, MediaPart
from tests import media
from tests.integration.test_decode_video import set_matroska_duration
from tests.unit.test_predict_batching import FakeClassifier

PREPROCESSING = "open_nsfw-v1"
RATE, SECONDS = 25, 64
KINDS = {
    "vp8": ("x.webm", "libvpx", {"g": "50", "deadline": "realtime", "cpu-used": "8"}),
    "vp9": ("x.webm", "libvpx-vp9", {"g": "128", "deadline": "realtime", "cpu-used": "8"}),
    "h264": ("x.mp4", "libx264", {"g": "40", "bf": "3", "preset": "ultrafast"}),
    "h264 in matroska": ("x.mkv", "libx264", {"g": "100", "bf": "2", "preset": "ultrafast"}),
    "vp8 in ogg": ("x.ogv", "libvpx", {"g": "50", "deadline": "realtime", "cpu-used": "8"}),
    "mpeg2": ("x.mpg", "mpeg2video", {"g": "15", "bf": "2"}),
    "mpeg2 in ts": ("x.ts", "mpeg2video", {"g": "15", "bf": "2"}),
}


@pytest.fixture(scope="session")
def films(tmp_path_factory):
    """Encodes each film once: noise of changing brightness."""
    frames = media.grey_frames(RATE * SECONDS, noise=True)
    made: dict[str, Path] = {}

    def film(kind):
        if kind not in made:
            name, codec, options = KINDS[kind]
            path = tmp_path_factory.mktemp("film") / name
            if kind == "mpeg2":  # its small frames would share packets, and have no times then
                source = ["-f", "lavfi", "-i", f"testsrc2=d={SECONDS}:r={RATE}:s=320x240"]
                command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *source, "-c:v", codec]
                command += ["-g", options["g"], "-bf", options["bf"], "-q:v", "4", path]
                subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
                made[kind] = path
            else:
                made[kind] = media.save_video(path, frames, codec, rate=RATE, options=options)
        return made[kind]

    return film


@pytest.fixture
def damaged(films, tmp_path):
    def film(kind):
        content = bytearray(films(kind).read_bytes())
        for share, seed in ((0.2, 1), (0.45, 2), (0.7, 3)):
            start, length = int(share * len(content)), len(content) // 15
            content[start : start + length] = np.random.default_rng(seed).bytes(length)
        path = tmp_path / films(kind).name
        path.write_bytes(content)
        return path

    return film


def decoded(path, segment=None, **changes):
    report = Report()
    limits = DecodeLimits(sampling_interval_s=0.8, **changes)
    found = list(decode_video(path, sniff_file(path).name, limits, report, segment=segment))
    return [(picture.at_s, picture.content.tobytes()) for picture in found], report


def summary_of(report, frames):
    return DecodeSummary(
        report.kind,
        report.decoder,
        frames,
        report.duration_s,
        0.0,
        report.truncated,
        report.mode,
        report.largest_gap_s,
        report.covered_share,
    )


def in_segments(path, at_most, **changes):
    """What the jobs of a film give together."""
    first, report = decoded(path, Segment(0, at_most), **changes)
    frames, jobs = [*first], [(summary_of(report, len(first)), report.looks)]
    for index in range(1, report.segments):
        more, later = decoded(path, Segment(index, report.segments), **changes)
        assert later.segments == report.segments, "each job cuts the film in the same places"
        frames += more
        jobs.append((summary_of(later, len(more)), later.looks))
    return frames, merged(jobs) if len(jobs) > 1 else jobs[0][0], len(jobs)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "changes",
    [{}, {"sampling_mode": "economical"}, {"sampling_order": "coarse_to_fine"}],
    ids=["exact", "economical", "coarse to fine"],
)
@pytest.mark.parametrize("is_damaged", [False, True], ids=["whole", "damaged"])
def test_the_jobs_of_a_film_give_what_one_gives(films, damaged, kind, changes, is_damaged):
    path = damaged(kind) if is_damaged else films(kind)
    frames, report = decoded(path, **changes)
    for at_most in (2, 4):
        parts, summary, count = in_segments(path, at_most, **changes)
        assert count == at_most
        assert [at_s for at_s, _ in parts] == [at_s for at_s, _ in frames]
        assert summary == summary_of(report, len(frames))
        if (
            kind == "h264" and is_damaged
        ):  # what is made up for lost pictures depends on what was there before
            assert sum(a != b for a, b in zip(parts, frames, strict=True)) <= 2
        else:
            assert parts == frames
    assert is_damaged or not report.truncated


def test_a_film_of_one_keyframe_is_one_job(tmp_path):
    frames = media.grey_frames(RATE * 20, noise=True)
    path = media.save_video(tmp_path / "x.mp4", frames, "libx264", rate=RATE, options={"g": "9999"})
    parts, summary, count = in_segments(path, 4)
    assert (count, summary.covered_share) == (1, 1.0)
    assert parts == decoded(path)[0]


def test_a_clip_of_some_seconds_is_one_job(tmp_path):
    frames = media.grey_frames(60, noise=True)
    path = media.save_video(tmp_path / "x.webm", frames, options={"g": "5"})
    assert in_segments(path, 4)[2] == 1


def test_where_the_first_segment_yields_nothing_its_job_does_the_rest(films, monkeypatch):
    """As if the first half were damaged beyond all decoding, its keyframes included."""
    shown = GroupDecoder.shown

    def blind(self, group):
        return iter(()) if group.key_s < 0.6 * SECONDS else shown(self, group)

    monkeypatch.setattr(GroupDecoder, "shown", blind)
    frames, report = decoded(films("vp8"), sampling_order="sequential")
    parts, summary, count = in_segments(films("vp8"), 2, sampling_order="sequential")
    assert frames[0][0] >= 0.6 * SECONDS
    assert (parts, count) == (frames, 1)
    assert summary == summary_of(report, len(frames))


def test_a_later_segment_that_yields_nothing_is_a_gap(films, monkeypatch):
    shown = GroupDecoder.shown

    def blind(self, group):
        return iter(()) if group.key_s > 0.4 * SECONDS else shown(self, group)

    monkeypatch.setattr(GroupDecoder, "shown", blind)
    frames, report = decoded(films("vp8"), sampling_order="sequential")
    parts, summary, count = in_segments(films("vp8"), 2, sampling_order="sequential")
    assert (parts, count) == (frames, 2)
    assert summary == summary_of(report, len(frames))
    assert summary.largest_gap_s > 0.5 * SECONDS


def test_a_film_at_the_cap_of_frames_is_looked_at_to_its_end(films):
    frames, report = decoded(films("vp8"), max_frames=30)
    parts, summary, _ = in_segments(films("vp8"), 2, max_frames=30)
    assert len(frames) <= 30
    assert (parts, summary) == (frames, summary_of(report, len(frames)))
    assert not report.truncated


@pytest.fixture(scope="module")
def pools():
    limits = DecodeLimits(sampling_interval_s=0.8)
    with DecodePool(limits, workers=1) as one, DecodePool(limits, workers=3) as three:
        yield one, three


@pytest.fixture
def batcher():
    with Batcher(FakeClassifier(), max_batch=8) as made:
        yield made


def timeless(result):
    """All that is recorded, but for what things took."""
    return replace(result, timings_s={}, summary=replace(result.summary, decode_s=0.0))


class AtFrame(FakeClassifier):
    """Scores 1.0 from some brightness on; the films' frames differ in theirs."""

    def __init__(self, brightness):
        super().__init__()
        self.brightness = brightness

    def predict(self, pixels):
        means = pixels.astype(np.float32).mean(axis=(1, 2, 3))
        return np.where(means >= self.brightness, 1.0, means / 512).astype(np.float32)


def test_several_workers_score_a_film_as_one_does(films, pools, batcher):
    one, three = pools
    for kind in ("h264", "mpeg2"):
        part = [MediaPart(films(kind))]
        expected = score_media(part, one, batcher, threshold=1.1)
        result = score_media(part, three, batcher, threshold=1.1)
        assert timeless(result) == timeless(expected)
        assert (result.summary.truncated, result.summary.covered_share) == (False, 1.0)
    assert three.restarts == 0


def test_several_workers_score_damaged_films_as_one_does(damaged, pools, batcher):
    one, three = pools
    part = [MediaPart(damaged("vp8"))]
    result = score_media(part, three, batcher, threshold=1.1)
    assert timeless(result) == timeless(score_media(part, one, batcher, threshold=1.1))
    assert result.summary.largest_gap_s > 1.0


@pytest.mark.parametrize("brightness", [1, 100, 200, 237, 241, 243, 245])
def test_the_first_hit_is_the_same_with_several_workers(films, pools, brightness):
    one, three = pools
    part = [MediaPart(films("vp8"))]
    with Batcher(AtFrame(brightness), max_batch=8) as batcher:
        expected = score_media(part, one, batcher, threshold=0.9)
        for _ in range(3):
            result = score_media(part, three, batcher, threshold=0.9)
            assert timeless(result) == timeless(expected)
    if expected.label == "nsfw":
        assert [frame for frame in result.frames if frame.score >= 0.9] == [result.worst]
        assert (result.summary.truncated, result.summary.largest_gap_s) == (True, None)
        assert result.summary.frames == len(result.frames)
    assert three.worker_count == 3


def test_after_a_hit_the_length_is_what_was_known_with_the_first_frames(pools, tmp_path):
    """Of a clip that comes in one message, its end included, and does not tell its length beforehand."""
    path = media.save_video(tmp_path / "x.webm", media.grey_frames(20, noise=True))
    set_matroska_duration(path, 0.0)
    for pool in pools:
        with Batcher(AtFrame(300)) as never, Batcher(AtFrame(1)) as soon:
            whole = score_media([MediaPart(path)], pool, never, threshold=0.9).summary
            cut_off = score_media([MediaPart(path)], pool, soon, threshold=0.9).summary
        assert (whole.duration_s, whole.truncated) == (pytest.approx(2.0), False)
        assert (cut_off.duration_s, cut_off.truncated) == (None, True)


def test_uploads_that_compete_for_the_workers_all_end(films, pools, batcher, tmp_path):
    media.corners().save(tmp_path / "x.png")
    _, three = pools
    paths = [films("h264"), films("vp8"), films("mpeg2"), *[tmp_path / "x.png"] * 3]
    results = []

    def run(path):
        results.append(score_media([MediaPart(path)], three, batcher, threshold=1.1).summary.kind)

    threads = [threading.Thread(target=run, args=(path,)) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == ["image"] * 3 + ["video"] * 3


class Held(FakeClassifier):
    """A model that waits, so that a film's jobs are all under way for as long as the test needs."""

    def __init__(self):
        super().__init__()
        self.go.clear()


def scored_in_another_thread(path, pool, batcher):
    outcome = []

    def run():
        try:
            outcome.append(score_media([MediaPart(path)], pool, batcher, threshold=1.1))
        except (DecodeError, DecodePoolClosed) as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, outcome


def eventually(condition):
    deadline_s = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


@pytest.mark.slow
def test_a_worker_killed_in_its_segment_costs_the_film(films):
    model = Held()
    limits = DecodeLimits(sampling_interval_s=0.1)
    with DecodePool(limits, workers=2) as pool, Batcher(model) as batcher:
        victims = pool.pids()
        thread, outcome = scored_in_another_thread(films("h264"), pool, batcher)
        eventually(lambda: not pool.idle_workers)
        os.kill(victims[0], signal.SIGKILL)
        model.go.set()
        thread.join(60)
        assert isinstance(outcome[0], DecodeError)
        assert "SIGKILL" in outcome[0].message
        eventually(lambda: pool.worker_count == 2)
        model.go.set()
        assert score_media([MediaPart(films("vp8"))], pool, batcher, threshold=1.1).frames


@pytest.mark.slow
def test_a_worker_that_hangs_behind_a_hit_is_not_waited_for(films, pools):
    limits = DecodeLimits(sampling_interval_s=0.1, wall_s=1000.0)
    with Batcher(AtFrame(1)) as batcher, DecodePool(limits, workers=2) as pool:
        one, _ = pools
        part = [MediaPart(films("h264"))]
        hung = psutil.Process(pool.pids()[0])  # idle workers are taken from the end
        hung.suspend()
        result = score_media(part, pool, batcher, threshold=0.9)
        assert result.worst.at_s == score_media(part, one, batcher, threshold=0.9).worst.at_s


def test_closing_the_pool_in_the_middle_of_a_film_blames_no_file(films):
    model = Held()
    with Batcher(model) as batcher:
        pool = DecodePool(DecodeLimits(sampling_interval_s=0.1), workers=2)
        pool.start()
        thread, outcome = scored_in_another_thread(films("h264"), pool, batcher)
        eventually(lambda: not pool.idle_workers)
        pool.close()
        model.go.set()
        thread.join(60)
    assert isinstance(outcome[0], DecodePoolClosed)


def test_a_file_has_its_cpu_time_once_however_many_jobs_share_it(films):
    with DecodePool(DecodeLimits(sampling_interval_s=0.1, cpu_s=40.0), workers=1) as pool:
        (worker,) = map(psutil.Process, pool.pids())
        part = [MediaPart(films("h264"))]

        def allowed_s(segment):
            # Read while it is idle: once it decodes, it runs on while this process may have to wait.
            used = worker.cpu_times()
            with pool.open(part, PREPROCESSING, segment) as stream:
                assert next(stream)
                soft_s, _ = worker.rlimit(psutil.RLIMIT_CPU)
                return soft_s - used.user - used.system

        assert allowed_s(None) == pytest.approx(40, abs=3)
        assert allowed_s(Segment(0, 4)) == pytest.approx(10, abs=3)
        assert allowed_s(Segment(3, 4)) == pytest.approx(10, abs=3)


def test_a_worker_that_cuts_otherwise_than_the_first_is_not_believed(films):
    with DecodePool(DecodeLimits(sampling_interval_s=0.8), workers=1) as pool:
        with (
            pytest.raises(DecodeError) as caught,
            pool.open([MediaPart(films("h264"))], PREPROCESSING, Segment(7, 8)) as stream,
        ):
            list(stream)
        assert caught.value.message == "the decoder answered nonsense"


def test_only_a_single_whole_file_is_cut(films):
    with DecodePool(DecodeLimits(), workers=1) as pool:
        parts = [MediaPart(films("h264"))] * 2
        with pytest.raises(ValueError, match="single file"):
            pool.open(parts, PREPROCESSING, Segment(0, 2))


def test_a_free_worker_is_only_lent_where_nobody_waits(films):
    with DecodePool(DecodeLimits(sampling_interval_s=0.1), workers=1) as pool:
        part = [MediaPart(films("h264"))]
        assert pool.idle_workers == 1
        with pool.open(part, PREPROCESSING):
            assert (pool.idle_workers, pool.open_if_idle(part, PREPROCESSING)) == (0, None)
        lent = pool.open_if_idle(part, PREPROCESSING)
        assert lent is not None
        lent.close()

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from classifier.decode import process
from classifier.decode.area import PoolArea
from classifier.decode.limits import DecodeLimits
from classifier.decode.sandbox import DecodePool, DecodePoolClosed
from classifier.errors import ClassifierError, DecodeError
from classifier.values import MediaPart
from tests import media

PREPROCESSING = "open_nsfw-v1"
ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def pool():
    with DecodePool(DecodeLimits(), workers=2) as pool:
        yield pool


@pytest.fixture
def jpeg(tmp_path):
    media.corners().save(tmp_path / "good.jpg")
    return tmp_path / "good.jpg"


@pytest.fixture
def film(tmp_path):
    """A video of 41 wanted frames, more than the pipe between worker and pool holds."""
    frames = media.grey_frames(80, noise=True)
    return media.save_video(tmp_path / "film.webm", frames, "libvpx", rate=2)


def frames_of(pool, path, page=None):
    with pool.open([MediaPart(path, page)], PREPROCESSING) as stream:
        frames = [frame for frames in stream for frame in frames]
    return frames, stream.summary


def code_of(pool, path):
    with pytest.raises(DecodeError) as caught:
        frames_of(pool, path)
    return caught.value.code


def write(path, content):
    path.write_bytes(content)
    return path


def eventually(condition):
    deadline_s = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def test_a_picture_arrives_as_the_preprocessing_leaves_it(pool, jpeg):
    frames, summary = frames_of(pool, jpeg)
    assert [frame.pixels.shape for frame in frames] == [(224, 224, 3)]
    assert frames[0].pixels.dtype == np.uint8
    assert media.corner_names(frames[0].pixels, "bgr") == "RGBY"
    assert (summary.kind, summary.decoder, summary.frames) == ("image", "pillow", 1)
    assert not summary.truncated
    assert summary.decode_s > 0


def test_a_video_arrives_in_small_lists_with_its_times(pool, film):
    with pool.open([MediaPart(film)], PREPROCESSING) as stream:
        lists = list(stream)
    times_s = [frame.at_s for frames in lists for frame in frames]
    assert max(len(frames) for frames in lists) <= 8
    assert len(set(times_s)) == len(times_s) == stream.summary.frames
    assert (min(times_s), max(times_s)) == (0.0, 39.5)
    assert times_s != sorted(times_s), "from coarse to fine"
    assert (stream.summary.kind, stream.summary.truncated) == ("video", False)


def test_without_shared_memory_the_same_frames_come_through_the_pipe(pool, film, monkeypatch):
    shared, _ = frames_of(pool, film)
    monkeypatch.setattr(PoolArea, "create", lambda: None)
    with DecodePool(DecodeLimits(), workers=1) as other:
        piped, _ = frames_of(other, film)
    assert [frame.at_s for frame in shared] == [frame.at_s for frame in piped]
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(shared, piped, strict=True))


def test_frames_stay_as_they_are_while_later_ones_arrive(pool, film):
    """Many more than the shared area holds: none is overwritten in the reader's hands."""
    with pool.open([MediaPart(film)], PREPROCESSING) as stream:
        seen = [(frame.pixels, frame.pixels.copy()) for frames in stream for frame in frames]
    assert len(seen) > 32
    assert all(np.array_equal(pixels, copy) for pixels, copy in seen)


HOSTILE = """
import json, sys, time
from classifier.decode import wire
from classifier.decode.picture import Report

def send(content):
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()

send(wire.pack(wire.READY, {}))
sys.stdin.buffer.readline()
values = {"kind": "image", "decoder": "pillow", "truncated": False, "cpu_s": 0.0, "duration_s": None,
          "shape": [224, 224, 3], "frames": [[None, None]], **json.loads(sys.argv[1])}
try:
    for _ in range(100_000):  # without ever reading what the pool says
        send(wire.pack(wire.FRAMES, values))
except BrokenPipeError:
    pass
time.sleep(600)
"""


@pytest.mark.parametrize(
    "says",
    [
        {"slot": 0},  # for ever, although the limit allows a thousand frames
        {"slot": 4},
        {"slot": -1},
        {"slot": 0, "shape": [4000, 4000, 3]},
        {},
    ],
)
@pytest.mark.parametrize(("max_frames", "reason"), [(1000, "1001 frames"), (10**6, "does not read")])
def test_a_worker_in_hostile_hands_costs_its_file_and_itself(
    monkeypatch, jpeg, caplog, says, max_frames, reason
):
    start = process._start

    def start_hostile(limits, shared):
        command = [sys.executable, "-c", HOSTILE, json.dumps(says)]
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            cwd=ROOT,
            start_new_session=True,
        )

    monkeypatch.setattr(process, "_start", start_hostile)
    with DecodePool(DecodeLimits(max_frames=max_frames), workers=1) as pool:
        monkeypatch.setattr(process, "_start", start)
        assert code_of(pool, jpeg) == "undecodable"
        assert len(frames_of(pool, jpeg)[0]) == 1
        assert pool.restarts == 1
    (record,) = [one for one in caplog.records if one.msg == "decode_worker_misbehaved"]
    if says == {"slot": 0}:
        assert reason in record.reason


def test_rendered_pages_of_a_document_keep_their_numbers_and_a_bad_one_costs_itself(pool, jpeg, tmp_path):
    bad = write(tmp_path / "bad", b"nonsense")
    parts = [MediaPart(jpeg, 1), MediaPart(bad, 5), MediaPart(jpeg, 9)]
    with pool.open(parts, PREPROCESSING) as stream:
        frames = [frame for frames in stream for frame in frames]
    assert [frame.page for frame in frames] == [1, 9]
    assert (stream.summary.kind, stream.summary.truncated) == ("document", True)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "empty"),
        (b"nonsense", "undecodable"),
        (b"<!DOCTYPE html><title>429 Too Many Requests", "undecodable"),
        (b"%PDF-1.4", "unsupported_type"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "unsupported_type"),
        (b"fLaC\0\0\0\x22", "audio"),
        (media.png_bomb(30_000, 30_000), "too_large"),
        (media.gif_bomb(3000, 3000, 2000), "too_large"),
        (media.jpeg_with_size(65_500, 65_500), "too_large"),
    ],
)
def test_what_cannot_be_decoded_ends_in_its_code_and_costs_no_worker(pool, tmp_path, content, code):
    restarts = pool.restarts
    assert code_of(pool, write(tmp_path / "x", content)) == code
    assert pool.restarts == restarts


def test_a_file_that_is_gone_costs_no_worker(pool, tmp_path):
    assert code_of(pool, tmp_path / "missing") == "undecodable"


def test_an_unknown_preprocessing_blames_no_file(pool, jpeg):
    with pytest.raises(ClassifierError) as caught, pool.open([MediaPart(jpeg)], "no-such-v9") as stream:
        list(stream)
    assert not isinstance(caught.value, DecodeError)


def test_memory_over_the_limit_is_too_large_and_the_worker_is_replaced(jpeg, tmp_path):
    limits = DecodeLimits(memory_bytes=700 * 2**20, max_pixels=10**9)
    bomb = write(tmp_path / "bomb.png", media.png_bomb(20_000, 20_000))
    with DecodePool(limits, workers=1) as pool:
        assert code_of(pool, bomb) == "too_large"
        assert len(frames_of(pool, jpeg)[0]) == 1
        eventually(lambda: pool.worker_count == 1)


def test_cpu_time_over_the_limit_is_a_timeout_and_others_go_on(jpeg, tmp_path):
    # Half a gigapixel to inflate: seconds of work from 60 kB.
    bomb = write(tmp_path / "bomb.gif", media.gif_bomb(2000, 2000, 5000))
    with DecodePool(DecodeLimits(cpu_s=1.0, max_pixels=10**9), workers=1) as pool:
        assert code_of(pool, bomb) == "timeout"
        assert len(frames_of(pool, jpeg)[0]) == 1
        assert pool.restarts == 1


@pytest.mark.parametrize("how", [signal.SIGSEGV, signal.SIGKILL, signal.SIGABRT])
def test_a_crash_costs_that_file_and_the_worker_is_replaced(film, jpeg, how):
    with DecodePool(DecodeLimits(), workers=1) as pool:
        (victim,) = pool.pids()
        with pool.open([MediaPart(film)], PREPROCESSING) as stream:
            next(stream)
            os.kill(victim, how)
            with pytest.raises(DecodeError, match="SIG") as caught:
                list(stream)
        assert caught.value.code == "undecodable"
        assert len(frames_of(pool, jpeg)[0]) == 1
        assert (pool.restarts, pool.worker_count) == (1, 1)
        assert pool.pids() != [victim]


def test_a_hang_is_a_timeout_and_the_worker_is_replaced(jpeg):
    with DecodePool(DecodeLimits(wall_s=0.3), workers=1) as pool:
        (victim,) = pool.pids()
        os.kill(victim, signal.SIGSTOP)
        assert code_of(pool, jpeg) == "timeout"
        with pool.open([MediaPart(jpeg)], PREPROCESSING):
            assert pool.pids() != [victim]
        assert not psutil.pid_exists(victim)


def test_a_worker_killed_while_idle_costs_no_file(jpeg):
    with DecodePool(DecodeLimits(), workers=1) as pool:
        (victim,) = pool.pids()
        os.kill(victim, signal.SIGKILL)
        os.waitid(os.P_PID, victim, os.WEXITED | os.WNOWAIT)
        assert len(frames_of(pool, jpeg)[0]) == 1
        assert pool.restarts == 1


def test_the_readers_own_time_does_not_count_against_the_wall_clock(film):
    with DecodePool(DecodeLimits(wall_s=30.0), workers=1) as pool:
        with pool.open([MediaPart(film)], PREPROCESSING) as stream:
            next(stream)
            stream._waited_s = 0.0
            count = sum(len(frames) for frames in stream)
            assert stream._waited_s < 30.0
        assert count


def test_leaving_early_stops_the_job_and_the_worker_serves_the_next(film, jpeg):
    with DecodePool(DecodeLimits(), workers=1) as pool:
        for _ in range(3):
            with pool.open([MediaPart(film)], PREPROCESSING) as stream:
                seen = len(next(stream))
            assert (stream.summary.truncated, stream.summary.frames) == (True, seen)
            assert next(stream, None) is None
            frames, summary = frames_of(pool, jpeg)
            assert (len(frames), summary.kind, summary.truncated) == (1, "image", False)
        assert pool.worker_count == 1


def test_leaving_early_saves_the_work_that_is_left(tmp_path):
    # Many seconds to compose; a worker that went on after the stop would have to be killed.
    long = write(tmp_path / "long.gif", media.gif_bomb(700, 700, 4500))
    with DecodePool(DecodeLimits(), workers=1) as pool:
        with pool.open([MediaPart(long)], PREPROCESSING) as stream:
            next(stream)
        assert stream.summary.truncated
        assert pool.restarts == 0


def test_a_reader_that_saw_everything_has_not_cut_anything_off(pool, jpeg):
    with pool.open([MediaPart(jpeg)], PREPROCESSING) as stream:
        next(stream)
    assert (stream.summary.frames, stream.summary.truncated) == (1, False)


def test_an_error_in_the_reader_stops_the_job_too(film, jpeg):
    def read(pool):
        with pool.open([MediaPart(film)], PREPROCESSING) as stream:
            next(stream)
            raise KeyError

    with DecodePool(DecodeLimits(), workers=1) as pool:
        with pytest.raises(KeyError):
            read(pool)
        assert len(frames_of(pool, jpeg)[0]) == 1


def test_workers_are_replaced_after_their_share_of_files(jpeg):
    with DecodePool(DecodeLimits(jobs_per_worker=2), workers=1) as pool:
        first = pool.pids()
        frames_of(pool, jpeg)
        assert pool.pids() == first
        frames_of(pool, jpeg)
        frames_of(pool, jpeg)
        assert pool.pids() != first
        assert pool.restarts == 1


def test_many_threads_share_the_workers(pool, jpeg, film):
    results = []

    def run(path):
        results.append(len(frames_of(pool, path)[0]))

    threads = [threading.Thread(target=run, args=(path,)) for path in [jpeg] * 6 + [film] * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results)[:6] == [1] * 6
    assert len(results) == 8
    assert pool.worker_count == 2


def test_closing_in_the_middle_of_a_job_blames_no_file(film):
    pool = DecodePool(DecodeLimits(), workers=1)
    pool.start()
    stream = pool.open([MediaPart(film)], PREPROCESSING)
    next(stream)
    pool.close()
    with pytest.raises(DecodePoolClosed):
        list(stream)
    with pytest.raises(DecodePoolClosed):
        pool.open([MediaPart(film)], PREPROCESSING)


def test_closing_wakes_those_who_wait_for_a_worker(film):
    pool = DecodePool(DecodeLimits(), workers=1)
    pool.start()
    stream = pool.open([MediaPart(film)], PREPROCESSING)
    outcome = []

    def wait():
        try:
            pool.open([MediaPart(film)], PREPROCESSING)
        except DecodePoolClosed:
            outcome.append("closed")

    thread = threading.Thread(target=wait)
    thread.start()
    pool.close()
    thread.join()
    stream.close()
    assert outcome == ["closed"]


def test_nothing_is_left_behind(film, jpeg, tmp_path):
    process = psutil.Process()
    children, files = len(process.children()), process.num_fds()
    threads = threading.active_count()
    junk = write(tmp_path / "junk", b"junk")
    for _ in range(2):
        with DecodePool(DecodeLimits(), workers=2) as pool:
            frames_of(pool, jpeg)
            code_of(pool, junk)
            open_to_the_end = pool.open([MediaPart(film)], PREPROCESSING)
            next(open_to_the_end)
            with pool.open([MediaPart(film)], PREPROCESSING) as stream:
                next(stream)
                os.kill(stream._worker.pid, signal.SIGKILL)
    assert (len(process.children()), process.num_fds()) == (children, files)
    assert threading.active_count() == threads


def test_workers_load_no_torch_and_see_no_secrets(monkeypatch, jpeg):
    monkeypatch.setenv("COMMONSBOT_SECRET_FOR_TEST", "hush")
    with DecodePool(DecodeLimits(), workers=1) as pool:
        frames_of(pool, jpeg)
        (worker,) = map(psutil.Process, pool.pids())
        assert not [part.path for part in worker.memory_maps() if "torch" in part.path]
        assert "COMMONSBOT_SECRET_FOR_TEST" not in worker.environ()


@pytest.mark.skipif(
    sys.platform != "linux", reason="the limits of other processes are readable on Linux only"
)
def test_workers_are_confined():
    with DecodePool(DecodeLimits(memory_bytes=2**30), workers=1) as pool:
        (worker,) = map(psutil.Process, pool.pids())
        assert worker.rlimit(psutil.RLIMIT_AS) == (2**30, 2**30)
        assert worker.rlimit(psutil.RLIMIT_FSIZE) == (0, 0)
        assert worker.rlimit(psutil.RLIMIT_CORE) == (0, 0)
        assert worker.rlimit(psutil.RLIMIT_NOFILE)[0] <= 64


def test_signals_for_the_daemons_whole_group_do_not_hit_files_in_work(film):
    with DecodePool(DecodeLimits(), workers=1) as pool, pool.open([MediaPart(film)], PREPROCESSING) as stream:
        next(stream)
        os.kill(pool.pids()[0], signal.SIGTERM)
        os.kill(pool.pids()[0], signal.SIGINT)
        assert sum(len(frames) for frames in stream) > 8


def test_workers_die_with_a_daemon_that_is_killed(film):
    script = textwrap.dedent(
        """
        import sys, time
        from pathlib import Path
        from classifier.decode.limits import DecodeLimits
        from classifier.decode.sandbox import DecodePool
        from classifier.values import MediaPart

        pool = DecodePool(DecodeLimits(), workers=2)
        pool.start()
        stream = pool.open([MediaPart(Path(sys.argv[1]))], "open_nsfw-v1")
        next(stream)
        print(*pool.pids(), flush=True)
        time.sleep(600)
        """
    )
    daemon = subprocess.Popen(
        [sys.executable, "-c", script, str(film)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    workers = [psutil.Process(int(pid)) for pid in daemon.stdout.readline().split()]
    assert len(workers) == 2
    daemon.kill()
    daemon.wait()
    daemon.stdout.close()
    eventually(
        lambda: not any(worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE for worker in workers)
    )


def test_a_worker_that_cannot_start_says_why(monkeypatch):
    monkeypatch.setattr(sys, "executable", str(ROOT / "no-such-python"))
    with pytest.raises(ClassifierError, match="no-such-python"):
        DecodePool(DecodeLimits(), workers=1).start()


def test_too_little_memory_for_a_worker_is_told_at_start():
    with pytest.raises(ClassifierError, match="67108864 bytes of memory"):
        DecodePool(DecodeLimits(memory_bytes=64 * 2**20), workers=1).start()

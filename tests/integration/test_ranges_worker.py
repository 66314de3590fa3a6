"""What a pool lets its workers ask for: bytes of the file, each once, by a worker that reads the answers."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from classifier.decode import process
from classifier.decode.limits import DecodeLimits
from classifier.decode.sandbox import DecodePool
from classifier.errors import DecodeError
from classifier.values import MediaPart
from tests import media

PREPROCESSING = "open_nsfw-v1"
ROOT = Path(__file__).resolve().parent.parent.parent
BLOCK = 65536

HOSTILE = """
import json, sys, time
from classifier.decode import wire

def send(content):
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()

values, reads = json.loads(sys.argv[1])
send(wire.pack(wire.READY, {}))
sys.stdin.buffer.readline()
while True:
    send(wire.pack(wire.NEED, values))
    if reads:
        sys.stdin.buffer.readline()
"""


class Ready:
    """A source whose bytes are all there; it only counts, and takes its time."""

    def __init__(self, size_bytes: int, pause_s: float = 0.0) -> None:
        self.size_bytes = size_bytes
        self.asked = 0
        self._pause_s = pause_s

    def ensure(self, offset: int, length: int) -> int:
        self.asked += 1
        time.sleep(self._pause_s)
        return offset + length


@pytest.fixture
def jpeg(tmp_path):
    media.photo(600, 400).save(tmp_path / "x.jpg")
    return tmp_path / "x.jpg"


def frames_of(pool, part):
    with pool.open([part], PREPROCESSING) as stream:
        return [frame for frames in stream for frame in frames]


@pytest.mark.parametrize(
    ("values", "reads", "size", "most"),
    [
        ({"part": 0, "offset": 0, "length": 10**9}, True, 10 * BLOCK, 0),
        ({"part": 1, "offset": 0, "length": 1}, True, 10 * BLOCK, 0),
        ({"offset": 0, "length": 1}, True, 10 * BLOCK, 0),
        ({"part": 0, "offset": 5, "length": 1}, True, 10 * BLOCK, 10),
        ({"part": 0, "offset": 5, "length": 1}, False, 10 * BLOCK, 10),
        ({"part": 0, "offset": 5, "length": 1}, False, 10**6 * BLOCK, 10**5),
        ({"part": 0, "offset": 0, "length": 1}, True, None, 0),
    ],
)
def test_a_worker_that_asks_for_what_it_may_not_costs_its_file_and_itself(
    monkeypatch, jpeg, values, reads, size, most
):
    start = process._start

    def start_hostile(limits, shared):
        command = [sys.executable, "-c", HOSTILE, json.dumps([values, reads])]
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            cwd=ROOT,
            start_new_session=True,
        )

    monkeypatch.setattr(process, "_start", start_hostile)
    source = None if size is None else Ready(size)
    with DecodePool(DecodeLimits(), workers=1) as pool:
        monkeypatch.setattr(process, "_start", start)
        with pytest.raises(DecodeError) as caught:
            frames_of(pool, MediaPart(jpeg, None, source))
        assert caught.value.code == "undecodable"
        assert len(frames_of(pool, MediaPart(jpeg))) == 1
        assert pool.restarts == 1
    assert source is None or source.asked <= most


def test_a_slow_source_does_not_use_up_the_time_of_the_decoder(jpeg):
    source = Ready(jpeg.stat().st_size, pause_s=1.0)
    with DecodePool(DecodeLimits(wall_s=1.5), workers=1) as pool:
        frames_of(pool, MediaPart(jpeg))
        two = [MediaPart(jpeg, 1, source), MediaPart(jpeg, 2, source)]
        with pool.open(two, PREPROCESSING) as stream:
            assert sum(len(frames) for frames in stream) == 2
    assert source.asked == 2


class Failing(Ready):
    """A source that fails at once."""

    def ensure(self, offset: int, length: int) -> int:
        raise LookupError("nobody has it")


def test_the_error_of_a_source_is_raised_as_it_is_also_without_a_with_statement(jpeg):
    with DecodePool(DecodeLimits(), workers=1) as pool:
        stream = pool.open([MediaPart(jpeg, None, Failing(500))], PREPROCESSING)
        with pytest.raises(LookupError):
            next(stream)
        assert stream.summary.truncated
        with pytest.raises(StopIteration):
            next(stream)
        assert len(frames_of(pool, MediaPart(jpeg))) == 1

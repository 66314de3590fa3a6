import os
import sys
import threading

import numpy as np
import pytest

from classifier.decode.area import SLOT_BYTES, SLOTS, PoolArea, WorkerArea
from classifier.values import Frame

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere pixels go through the pipe")


@pytest.fixture
def ends():
    """Both ends in one process."""
    pool = PoolArea.create()
    worker = WorkerArea(os.dup(pool.fd))
    pool.handed_over()
    yield pool, worker
    pool.close()


def frame(value=7, side=224):
    return Frame(np.full((side, side, 3), value, np.uint8))


def never():
    return False


def test_what_one_end_writes_the_other_copies(ends):
    pool, worker = ends
    frames = [frame(1), frame(2)]
    slot = worker.write(frames, never)
    assert pool.copy(slot, 2 * frames[0].pixels.nbytes) == b"".join(one.pixels.tobytes() for one in frames)


def test_a_copy_does_not_change_when_the_worker_writes_again(ends):
    pool, worker = ends
    first = pool.copy(worker.write([frame(1)], never), 10)
    worker.begin_job()
    assert worker.write([frame(2)], never) == 0
    assert first == bytes([1] * 10)
    assert pool.copy(0, 10) == bytes([2] * 10)


def test_every_slot_is_used_and_none_overlaps_another(ends):
    pool, worker = ends
    slots = [worker.write([frame(value)], never) for value in range(SLOTS)]
    assert slots == list(range(SLOTS))
    assert [pool.copy(slot, 1)[0] for slot in slots] == slots


def test_a_full_area_makes_the_worker_wait_until_slots_are_given_back(ends):
    _, worker = ends
    for value in range(SLOTS):
        worker.write([frame(value)], never)
    waiting = threading.Thread(target=worker.write, args=([frame()], never))
    waiting.start()
    assert waiting.is_alive()
    worker.free(1)
    waiting.join(timeout=60)
    assert not waiting.is_alive()


def test_a_stop_ends_the_waiting_and_writes_nothing(ends):
    pool, worker = ends
    for value in range(SLOTS):
        worker.write([frame(value)], never)
    stopped = threading.Event()
    outcome = []
    waiting = threading.Thread(target=lambda: outcome.append(worker.write([frame(99)], stopped.is_set)))
    waiting.start()
    stopped.set()
    worker.wake()
    waiting.join(timeout=60)
    assert outcome == [None]
    assert [pool.copy(slot, 1)[0] for slot in range(SLOTS)] == list(range(SLOTS))


def test_more_slots_than_there_are_cannot_be_given_back(ends):
    _, worker = ends
    worker.free(100)
    for _ in range(SLOTS):
        worker.write([frame()], never)
    assert worker.write([frame()], lambda: True) is None


def test_a_worker_cannot_shrink_or_grow_what_the_pool_has_mapped():
    again = PoolArea.create()
    for size_bytes in (0, 4096, 10 * SLOTS * SLOT_BYTES):
        with pytest.raises(PermissionError):
            os.ftruncate(again.fd, size_bytes)
    again.handed_over()
    again.close()


@pytest.mark.parametrize(("slot", "size_bytes"), [(-1, 1), (SLOTS, 1), (0, SLOT_BYTES + 1), (0, -1)])
def test_the_pool_copies_nothing_from_outside_a_slot(ends, slot, size_bytes):
    pool, _ = ends
    with pytest.raises(ValueError, match="in slot"):
        pool.copy(slot, size_bytes)


def test_frames_larger_than_a_slot_are_left_to_the_pipe(ends):
    _, worker = ends
    assert worker.fits(frame(side=224)) == 13
    assert worker.fits(frame(side=1000)) == 0
    assert WorkerArea(None).fits(frame()) == 0

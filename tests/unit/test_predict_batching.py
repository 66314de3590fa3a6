"""Batches fill while the model is busy, nobody waits for nothing, and every future ends."""

import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future
from functools import lru_cache

import numpy as np
import pytest

from classifier.batching import Batcher
from classifier.errors import ModelError
from classifier.models import catalogue
from classifier.values import ModelCard

TIMEOUT_S = 60


class FakeClassifier:
    """Scores a picture by its first byte; can be held, and can fail."""

    engine = "fake"

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.seen: list[np.ndarray] = []
        self.started = threading.Semaphore(0)
        self.go = threading.Event()
        self.go.set()
        self.error: BaseException | None = None
        self.surplus = 0

    @property
    def card(self) -> ModelCard:
        return catalogue.card("open_nsfw")

    def predict(self, pixels: np.ndarray) -> np.ndarray:
        self.batches.append(len(pixels))
        self.seen.append(pixels)
        go, error = self.go, self.error  # as they are when the batch arrives
        self.started.release()
        assert go.wait(TIMEOUT_S)
        if error is not None:
            raise error
        return np.append(pixels[:, 0, 0, 0] / np.float32(255), [0.5] * self.surplus).astype(np.float32)


@lru_cache(maxsize=256)
def picture(value: int) -> np.ndarray:
    return np.full((224, 224, 3), value, np.uint8)


def results(futures: list[Future[float]]) -> list[int]:
    return [round(future.result(TIMEOUT_S) * 255) for future in futures]


@pytest.fixture
def model() -> Iterator[FakeClassifier]:
    fake = FakeClassifier()
    yield fake
    fake.go.set()


def test_each_future_gets_the_score_of_its_own_picture(model: FakeClassifier) -> None:
    with Batcher(model, max_batch=4) as batcher:
        assert results([batcher.submit(picture(value)) for value in range(50)]) == list(range(50))


def test_many_threads_share_batches_and_get_their_own_scores(model: FakeClassifier) -> None:
    found: dict[int, list[int]] = {}
    with Batcher(model, max_batch=8) as batcher:

        def work(number: int) -> None:
            values = [number * 20 + index for index in range(20)]
            found[number] = results([batcher.submit(picture(value)) for value in values])

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(TIMEOUT_S)
        stats = batcher.stats()
    assert found == {number: [number * 20 + index for index in range(20)] for number in range(8)}
    assert stats.frames == sum(model.batches) == 160
    assert max(model.batches) <= 8


def test_a_picture_that_finds_the_model_idle_goes_alone_and_is_not_copied(model: FakeClassifier) -> None:
    with Batcher(model) as batcher:
        assert results([batcher.submit(picture(1))]) == [1]
        assert results([batcher.submit(picture(2))]) == [2]
    assert model.batches == [1, 1]
    assert all(np.shares_memory(seen, picture(1 + number)) for number, seen in enumerate(model.seen))


def test_a_later_batch_does_not_change_what_an_earlier_one_was_scored_from(model: FakeClassifier) -> None:
    model.go.clear()
    with Batcher(model, max_batch=3) as batcher:
        futures = [batcher.submit(picture(0))]
        assert model.started.acquire(timeout=TIMEOUT_S)
        futures += [batcher.submit(picture(value)) for value in range(1, 9)]
        model.go.set()
        assert results(futures) == list(range(9))
    assert model.batches == [1, 3, 3, 2]
    # One buffer serves all batches, and no frame of somebody else's is ever written to.
    assert np.shares_memory(model.seen[1], model.seen[2])
    assert all((picture(value) == value).all() for value in range(9))


def test_batches_fill_while_the_model_is_busy(model: FakeClassifier) -> None:
    model.go.clear()
    with Batcher(model, max_batch=4) as batcher:
        futures = [batcher.submit(picture(0))]
        assert model.started.acquire(timeout=TIMEOUT_S)
        futures += [batcher.submit(picture(value)) for value in range(1, 7)]
        model.go.set()
        assert results(futures) == list(range(7))
        stats = batcher.stats()
    assert model.batches == [1, 4, 2]
    assert stats.sizes == {1: 1, 4: 1, 2: 1}
    assert (stats.frames, stats.batches, stats.failed_batches) == (7, 3, 0)
    assert stats.busy_s > 0


@pytest.mark.parametrize("error", [RuntimeError("out of memory"), ModelError("broken"), KeyError("odd")])
def test_an_error_of_the_model_reaches_every_future_of_its_batch_and_the_next_batch_works(
    model: FakeClassifier, error: Exception
) -> None:
    model.go.clear()
    with Batcher(model, max_batch=2) as batcher:
        held = batcher.submit(picture(0))
        assert model.started.acquire(timeout=TIMEOUT_S)
        model.error = error
        futures = [batcher.submit(picture(value)) for value in (1, 2)]
        model.go.set()
        assert results([held]) == [0]
        assert [future.exception(TIMEOUT_S) for future in futures] == [error, error]
        model.error = None
        assert results([batcher.submit(picture(value)) for value in (3, 4)]) == [3, 4]
        assert batcher.stats().failed_batches == 1


def test_a_model_that_gives_another_number_of_scores_is_an_error(model: FakeClassifier) -> None:
    model.surplus = 1
    with Batcher(model) as batcher, pytest.raises(ModelError, match="2 scores for 1 pictures"):
        batcher.submit(picture(1)).result(TIMEOUT_S)


def test_closing_finishes_the_running_batch_and_fails_what_waits(model: FakeClassifier) -> None:
    model.go.clear()
    batcher = Batcher(model, max_batch=1)
    running = batcher.submit(picture(5))
    assert model.started.acquire(timeout=TIMEOUT_S)
    waiting = [batcher.submit(picture(6)), batcher.submit(picture(7))]
    assert batcher.submit(picture(8)).cancel()
    closing = threading.Thread(target=batcher.close)
    closing.start()
    for future in waiting:
        with pytest.raises(ModelError, match="closed before this picture was scored"):
            future.result(TIMEOUT_S)
    model.go.set()
    closing.join(TIMEOUT_S)
    assert not closing.is_alive()
    assert results([running]) == [5]
    with pytest.raises(ModelError, match="batcher is closed"):
        batcher.submit(picture(8))
    batcher.close()


def test_a_cancelled_picture_is_not_scored(model: FakeClassifier) -> None:
    model.go.clear()
    with Batcher(model) as batcher:
        first = batcher.submit(picture(1))
        assert model.started.acquire(timeout=TIMEOUT_S)
        cancelled, kept = batcher.submit(picture(2)), batcher.submit(picture(3))
        assert cancelled.cancel()
        model.go.set()
        assert results([first, kept]) == [1, 3]
        with pytest.raises(CancelledError):
            cancelled.result(TIMEOUT_S)
    assert model.batches == [1, 1]


@pytest.mark.parametrize("bad", [np.zeros((224, 224), np.uint8), np.zeros((224, 224, 3), np.float32)])
def test_a_bad_picture_is_refused_at_once_and_spoils_nobody_s_batch(
    model: FakeClassifier, bad: np.ndarray
) -> None:
    with Batcher(model) as batcher:
        with pytest.raises(ValueError, match="expected uint8"):
            batcher.submit(bad)
        assert results([batcher.submit(picture(4))]) == [4]


def test_senseless_bounds_are_refused(model: FakeClassifier) -> None:
    with pytest.raises(ValueError, match="max_batch"):
        Batcher(model, max_batch=0)


def test_as_many_batches_as_agreed_are_with_the_model_side_by_side(model: FakeClassifier) -> None:
    model.go.clear()
    with Batcher(model, max_batch=1, calls=2) as batcher:
        futures = [batcher.submit(picture(value)) for value in (1, 2, 3)]
        for _ in range(2):
            assert model.started.acquire(timeout=TIMEOUT_S)
        assert batcher.stats().waiting == 1
        model.go.set()
        assert results(futures) == [1, 2, 3]


def test_batches_side_by_side_do_not_share_their_memory(model: FakeClassifier) -> None:
    alone, together = threading.Event(), threading.Event()
    with Batcher(model, max_batch=4, calls=2) as batcher:
        model.go = alone
        for _ in range(2):
            batcher.submit(picture(100))
            assert model.started.acquire(timeout=TIMEOUT_S)
        model.go = together
        futures = [batcher.submit(picture(value)) for value in range(8)]
        alone.set()
        for _ in range(2):
            assert model.started.acquire(timeout=TIMEOUT_S)
        assert sorted(model.batches) == [1, 1, 4, 4]
        together.set()
        assert results(futures) == list(range(8))

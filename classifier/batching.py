"""Frames from many files, scored together: a thread gathers what others submit into batches for the model.

A batch leaves when it is full, when its oldest frame has waited long enough, or when nobody is decoding who
could add to it, so a single picture on an idle machine never waits. Every future ends: with a score, with the
model's error, or with an error that says the batcher was closed.
"""

import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from classifier.errors import ModelError
from classifier.values import Classifier, Pixels


@dataclass(frozen=True, slots=True)
class BatchStats:
    """What a batcher has done so far.

    Attributes:
        frames: Frames scored.
        batches: Calls of the model that succeeded.
        failed_batches: Calls of the model that raised.
        busy_s: Seconds spent in the model.
        sizes: How often each batch size occurred.
        waiting: Frames not yet in a batch.
    """

    frames: int
    batches: int
    failed_batches: int
    busy_s: float
    sizes: Mapping[int, int]
    waiting: int


@dataclass(frozen=True, slots=True)
class _Waiting:
    pixels: Pixels
    future: Future[float]
    since_s: float


class Batcher:
    """Scores single frames in batches. A context manager; `close` it to end its threads.

    Args:
        classifier: The model.
        max_batch: Frames in a batch at most.
        max_wait_ms: How long a frame waits for others while somebody else is still decoding.
    """

    def __init__(self, classifier: Classifier, max_batch: int = 16, max_wait_ms: float = 15.0) -> None:
        if max_batch < 1 or max_wait_ms < 0:
            raise ValueError("max_batch must be at least 1 and max_wait_ms at least 0")
        self._classifier = classifier
        self._max_batch = max_batch
        self._max_wait_s = max_wait_ms / 1000
        self._changed = threading.Condition()
        self._waiting: deque[_Waiting] = deque()
        self._producers = 0
        self._closed = False
        self._sizes: Counter[int] = Counter()
        self._failed_batches = 0
        self._busy_s = 0.0
        # The model runs in an executor, which hands over whatever it raises without a broad except here.
        self._model = ThreadPoolExecutor(max_workers=1, thread_name_prefix="classify")
        self._gatherer = threading.Thread(target=self._run, name="batcher", daemon=True)
        self._gatherer.start()

    @property
    def classifier(self) -> Classifier:
        """The model that scores."""
        return self._classifier

    def submit(self, pixels: Pixels) -> "Future[float]":
        """Queue a frame.

        Args:
            pixels: uint8 array (input_px, input_px, 3) as the model's preprocessing leaves it. Not copied.

        Returns:
            A future of the score, 0..1. Cancelling it before its batch has left takes the frame out.

        Raises:
            ValueError: Where shape or dtype are others: one bad frame must not spoil others' batch.
            ModelError: Where the batcher is closed.
        """
        side = self._classifier.card.input_px
        if pixels.dtype != np.uint8 or pixels.shape != (side, side, 3):
            raise ValueError(f"expected uint8 ({side}, {side}, 3), got {pixels.dtype} {pixels.shape}")
        future: Future[float] = Future()
        with self._changed:
            if self._closed:
                raise ModelError("the batcher is closed: no more pictures are scored")
            self._waiting.append(_Waiting(pixels, future, time.monotonic()))
            self._changed.notify_all()
        return future

    @contextmanager
    def producing(self) -> Iterator[None]:
        """Tell that more frames may soon be submitted, so that it is worth waiting for them."""
        with self._changed:
            self._producers += 1
        try:
            yield
        finally:
            with self._changed:
                self._producers -= 1
                self._changed.notify_all()

    def stats(self) -> BatchStats:
        """What has been done so far."""
        with self._changed:
            return BatchStats(
                frames=sum(size * times for size, times in self._sizes.items()),
                batches=self._sizes.total(),
                failed_batches=self._failed_batches,
                busy_s=self._busy_s,
                sizes=dict(self._sizes),
                waiting=len(self._waiting),
            )

    def close(self) -> None:
        """Finish the batch that is with the model, fail the frames still waiting, and end the threads."""
        with self._changed:
            self._closed = True
            left = list(self._waiting)
            self._waiting.clear()
            self._changed.notify_all()
        for item in left:
            if item.future.set_running_or_notify_cancel():
                item.future.set_exception(ModelError("the batcher was closed before this picture was scored"))
        self._gatherer.join()
        self._model.shutdown()

    def __enter__(self) -> "Batcher":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        while batch := self._next_batch():
            self._score([item for item in batch if item.future.set_running_or_notify_cancel()])

    def _next_batch(self) -> list[_Waiting]:
        """Wait for a batch that is due; an empty one means the end."""
        with self._changed:
            while not self._closed:
                remaining_s = self._remaining_s()
                if remaining_s is not None and remaining_s <= 0:
                    size = min(self._max_batch, len(self._waiting))
                    return [self._waiting.popleft() for _ in range(size)]
                self._changed.wait(remaining_s)
            return []

    def _remaining_s(self) -> float | None:
        """How long the next batch may still wait; None where there is nothing to send."""
        if not self._waiting:
            return None
        if len(self._waiting) >= self._max_batch or self._producers == 0:
            return 0.0
        return self._waiting[0].since_s + self._max_wait_s - time.monotonic()

    def _score(self, batch: list[_Waiting]) -> None:
        if not batch:
            return
        started_s = time.monotonic()
        running: Future[NDArray[np.float32]] = self._model.submit(
            self._classifier.predict, np.stack([item.pixels for item in batch])
        )
        error = running.exception()
        scores = () if error else running.result()
        if error is None and len(scores) != len(batch):
            error = ModelError(f"the model gave {len(scores)} scores for {len(batch)} pictures")
        with self._changed:
            self._busy_s += time.monotonic() - started_s
            if error is None:
                self._sizes[len(batch)] += 1
            else:
                self._failed_batches += 1
        for index, item in enumerate(batch):
            if error is None:
                item.future.set_result(float(scores[index]))
            else:
                item.future.set_exception(error)

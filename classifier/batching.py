"""Frames from many files, scored together: a thread takes whatever has gathered and hands it to the model.

A picture that finds the model idle goes at once and alone; those that come while it is busy travel together
next. So a single upload never waits, and under load batches grow by themselves to what the producers keep on
their way. Nobody waits for company: on the engines that `auto` takes, a picture costs as much alone as in a
batch, or up to a quarter more, and where that matters batches fill by themselves.

Every future ends: with a score, with the model's error, or with an error that says the batcher was closed.
"""

import threading
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType

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


class _Outcome:
    """What became of a call of the model; whatever it raises is meant for those who wait for its scores."""

    def __init__(self) -> None:
        self.scores: Sequence[float] = ()
        self.error: BaseException | None = None

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        self.error = error
        return True

    def deliver(self, batch: Sequence[_Waiting]) -> None:
        for index, item in enumerate(batch):
            if self.error is None:
                item.future.set_result(self.scores[index])
            else:
                item.future.set_exception(self.error)


class Batcher:
    """Scores single frames in batches. A context manager; `close` it to end its threads.

    Args:
        classifier: The model.
        max_batch: Frames in a batch at most.
        calls: Batches that may be with the model side by side, as many as it was loaded for.
    """

    def __init__(self, classifier: Classifier, max_batch: int = 16, calls: int = 1) -> None:
        if max_batch < 1 or calls < 1:
            raise ValueError("max_batch and calls must be at least 1")
        self._classifier = classifier
        self._max_batch = max_batch
        self._changed = threading.Condition()
        self._waiting: deque[_Waiting] = deque()
        self._closed = False
        self._sizes: Counter[int] = Counter()
        self._failed_batches = 0
        self._busy_s = 0.0
        self._threads = [
            threading.Thread(target=self._run, name=f"classify-{number}", daemon=True)
            for number in range(calls)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def classifier(self) -> Classifier:
        """The model that scores."""
        return self._classifier

    def submit(self, pixels: Pixels) -> "Future[float]":
        """Queue a frame.

        Args:
            pixels: uint8 array (input_px, input_px, 3) as the model's preprocessing leaves it. Not copied
                before its batch leaves: it must stay as it is until the future ends.

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
            self._waiting.append(_Waiting(pixels, future))
            # One thread takes all there is; a second one would wake up for nothing.
            self._changed.notify()
        return future

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
        """Finish what is with the model, fail the frames still waiting, and end the threads."""
        with self._changed:
            self._closed = True
            left = list(self._waiting)
            self._waiting.clear()
            self._changed.notify_all()
        for item in left:
            if item.future.set_running_or_notify_cancel():
                item.future.set_exception(ModelError("the batcher was closed before this picture was scored"))
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> "Batcher":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        side = self._classifier.card.input_px
        together: Pixels = np.empty((self._max_batch, side, side, 3), np.uint8)
        while (batch := self._next_batch()) is not None:
            if not batch:
                continue
            started_s = time.monotonic()
            outcome = _Outcome()
            with outcome:
                outcome.scores = self._score(batch, together)
            with self._changed:
                self._busy_s += time.monotonic() - started_s
                if outcome.error is None:
                    self._sizes[len(batch)] += 1
                else:
                    self._failed_batches += 1
            outcome.deliver(batch)

    def _next_batch(self) -> list[_Waiting] | None:
        """Wait for frames, and take those that are still wanted; None means the end."""
        with self._changed:
            while not self._closed:
                if self._waiting:
                    size = min(self._max_batch, len(self._waiting))
                    batch = [self._waiting.popleft() for _ in range(size)]
                    return [item for item in batch if item.future.set_running_or_notify_cancel()]
                self._changed.wait()
            return None

    def _score(self, batch: Sequence[_Waiting], together: Pixels) -> list[float]:
        """Call the model.

        Raises:
            ModelError: Where it gives another number of scores than it got pictures.
        """
        scores: NDArray[np.float32] = self._classifier.predict(_gathered(batch, together))
        if len(scores) != len(batch):
            raise ModelError(f"the model gave {len(scores)} scores for {len(batch)} pictures")
        return [float(score) for score in scores]


def _gathered(batch: Sequence[_Waiting], together: Pixels) -> Pixels:
    """Lay the frames side by side, uint8 (n, input_px, input_px, 3); a single one is not copied."""
    if len(batch) == 1:
        return batch[0].pixels[np.newaxis]
    return np.stack([item.pixels for item in batch], out=together[: len(batch)])

"""From the files of one upload to its score: decoding and classifying overlap, and the first hit ends both.

The score of a file is the maximum over its frames, each kept with its own position. A file without a single
frame is an error, never a low score. What is recorded does not depend on timing: frames after the first hit
(in the order of decoding) are left out even if the model has already seen them.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Protocol, Self

from classifier.batching import Batcher
from classifier.errors import DecodeError
from classifier.values import DecodeSummary, Frame, FrameResult, MediaPart, MediaScore

MAX_PENDING_FRAMES = 64
"""Frames of one file that may wait for the model; decoding pauses beyond it, so memory stays flat."""

OnFrame = Callable[[Frame, float], None]
"""Told each frame that counts and its score, in the order of decoding. Its pixels are a view of several
frames' memory: who keeps them copies them."""
OnDecoded = Callable[[DecodeSummary], None]
"""Told how the job stands, each time frames have come."""


class DecodeStream(Protocol):
    """A decode job under way; leaving the context ends it."""

    def __enter__(self) -> Self:
        """Return the stream itself."""
        ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop the job if it has not ended."""
        ...

    def __iter__(self) -> Iterator[list[Frame]]:
        """Yield frames as they are decoded, in order.

        Raises:
            DecodeError: Where the file cannot be decoded.
        """
        ...

    @property
    def summary(self) -> DecodeSummary:
        """What is known so far; final once the iteration has ended or the context was left."""
        ...


class Decoder(Protocol):
    """What turns files into frames."""

    def open(self, parts: Sequence[MediaPart], preprocessing: str) -> DecodeStream:
        """Start a job.

        Args:
            parts: The files of one upload; several are the pages of a document.
            preprocessing: Id of the preprocessing that the frames need.
        """
        ...


class _Scores:
    """The frames of one file on their way through the model, harvested in the order of decoding."""

    def __init__(
        self, batcher: Batcher, threshold: float, *, stop_early: bool, on_frame: OnFrame | None = None
    ) -> None:
        self._batcher = batcher
        self._threshold = threshold
        self._stop_early = stop_early
        self._on_frame = on_frame
        self._pending: deque[tuple[Frame, Future[float]]] = deque()
        self.results: list[FrameResult] = []
        self.hit = False
        self.waited_s = 0.0

    def add(self, frames: Sequence[Frame]) -> None:
        """Hand frames to the model, no more of them at a time than may be pending."""
        for frame in frames:
            if self.hit:
                return
            self._pending.append((frame, self._batcher.submit(frame.pixels)))
            self.harvest(keep=MAX_PENDING_FRAMES)

    def harvest(self, keep: int) -> None:
        """Take finished scores from the front, and wait until at most `keep` frames are left or one hits."""
        while self._pending and not self.hit and (len(self._pending) > keep or self._pending[0][1].done()):
            frame, future = self._pending.popleft()
            started_s = time.perf_counter()
            score = future.result()
            self.waited_s += time.perf_counter() - started_s
            self.results.append(FrameResult(score, frame.at_s, frame.page))
            if self._on_frame is not None:
                self._on_frame(frame, score)
            self.hit = self._stop_early and score >= self._threshold

    def cancel(self) -> None:
        """Spare the model the frames that nobody will ask for."""
        for _, future in self._pending:
            future.cancel()
        self._pending.clear()


def score_media(
    parts: Sequence[MediaPart],
    decoder: Decoder,
    batcher: Batcher,
    *,
    threshold: float,
    preprocessing: str | None = None,
    stop_early: bool = True,
    on_frame: OnFrame | None = None,
    on_decoded: OnDecoded | None = None,
) -> MediaScore:
    """Score one upload.

    Args:
        parts: Its files.
        decoder: Turns them into frames.
        batcher: Scores the frames; shared with other threads.
        threshold: Score from which the label is `nsfw`, 0..1.
        preprocessing: Id of the preprocessing; None: the one on the model's card.
        stop_early: Whether the first frame at or over the threshold ends the job. The score is then that
            frame's, and later frames, which may score higher, are not looked at.
        on_frame: See `OnFrame`; called in this thread.
        on_decoded: See `OnDecoded`; for a progress bar, as the length is known long before the end.

    Returns:
        The score with every frame that counts, in the order of decoding.

    Raises:
        DecodeError: Where the files cannot be decoded, or not a single frame came out.
        ModelError: Where the model fails or is being closed.
    """
    scores = _Scores(batcher, threshold, stop_early=stop_early, on_frame=on_frame)
    try:
        wanted = preprocessing or batcher.classifier.card.preprocessing
        with decoder.open(parts, wanted) as stream:
            for frames in stream:
                scores.add(frames)
                if on_decoded is not None:
                    on_decoded(stream.summary)
                if scores.hit:
                    break
        # The worker is free for the next file while the last frames are with the model.
        scores.harvest(keep=0)
    finally:
        scores.cancel()
    if not scores.results:
        raise DecodeError("undecodable", "no frame could be decoded")
    worst = max(scores.results, key=lambda result: result.score)
    return MediaScore(
        score=worst.score,
        label="nsfw" if worst.score >= threshold else "sfw",
        threshold=threshold,
        frames=tuple(scores.results),
        worst=worst,
        summary=stream.summary,
        timings_s={"decode": stream.summary.decode_s, "classify": scores.waited_s},
    )

"""The frames of one upload through the model; of a long film, on as many decode workers as are free.

The job for the first segment says into how many a film is cut. Threads then take the others, as long as there
are workers that no other upload waits for, and the thread that had the first one does what is left; so
nothing depends on idle workers. A hit or an error ends the segments behind it, while those before it go on:
what counts is what a single job would have met first, however many workers there were.
"""

import heapq
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from time import perf_counter

from classifier.batching import Batcher
from classifier.decode.coverage import Looks
from classifier.decode.segments import MAX_SEGMENTS, Segment
from classifier.errors import DecodeError
from classifier.streams import Decoder, DecodeStream, OnDecoded, OnFrame
from classifier.values import DecodeSummary, Frame, FrameResult, MediaPart

MAX_PENDING_FRAMES = 64
"""Frames of one file that may wait for the model; decoding pauses beyond it, so memory stays flat."""
_MIN_PENDING_FRAMES = 16
_NOTHING = -1


class SegmentScores:
    """The frames of one segment on their way through the model, harvested in the order of decoding.

    Args:
        batcher: Scores them.
        stop_at: The score that ends the segment; None: none does.
        on_frame: Told each frame and its score.

    Attributes:
        stream: The job, from its beginning on.
        results: Scores so far.
        hit: Whether the last of them ended the segment.
        error: Why decoding failed, unless there was a hit before.
        waited_s: Seconds spent waiting for the model.
        frames: How many frames were decoded so far.
        summary: How decoding stands, final at the end.
        began: How it stood with the first frames.
        looks: What was looked at, at the end.
    """

    def __init__(self, batcher: Batcher, stop_at: float | None, on_frame: OnFrame | None) -> None:
        self._batcher = batcher
        self._stop_at = stop_at
        self._on_frame = on_frame
        self._pending: deque[tuple[Frame, Future[float]]] = deque()
        self.stream: DecodeStream | None = None
        self.results: list[FrameResult] = []
        self.hit = False
        self.error: DecodeError | None = None
        self.waited_s = 0.0
        self.frames = 0
        self.summary: DecodeSummary | None = None
        self.began: DecodeSummary | None = None
        self.looks: Looks | None = None

    def add(self, frames: Sequence[Frame], keep: int) -> None:
        """Hand frames to the model, no more than `keep` of them at a time."""
        self.frames += len(frames)
        for frame in frames:
            if self.hit:
                return
            self._pending.append((frame, self._batcher.submit(frame.pixels)))
            self.harvest(keep)

    def harvest(self, keep: int) -> None:
        """Take finished scores from the front, and wait until at most `keep` frames are left or one hits."""
        while self._pending and not self.hit and (len(self._pending) > keep or self._pending[0][1].done()):
            frame, future = self._pending.popleft()
            started_s = perf_counter()
            score = future.result()
            self.waited_s += perf_counter() - started_s
            self.results.append(FrameResult(score, frame.at_s, frame.page))
            if self._on_frame is not None:
                self._on_frame(frame, score)
            self.hit = self._stop_at is not None and score >= self._stop_at

    def cancel(self) -> None:
        """Spare the model the frames that nobody will ask for."""
        for _, future in self._pending:
            future.cancel()
        self._pending.clear()


class SegmentedScoring:
    """Decodes and scores one upload, once.

    Args:
        parts: Its files.
        preprocessing: Id of the preprocessing.
        decoder: Turns them into frames.
        batcher: Scores the frames.
        stop_at: The score that makes everything behind it superfluous; None: none does.
        on_frame: See `OnFrame`. With `stop_at`, a film is then decoded by a single job: a frame behind a hit
            in an earlier segment does not count, and that is known too late.
        on_decoded: See `OnDecoded`.
    """

    def __init__(
        self,
        parts: Sequence[MediaPart],
        preprocessing: str,
        decoder: Decoder,
        batcher: Batcher,
        *,
        stop_at: float | None,
        on_frame: OnFrame | None = None,
        on_decoded: OnDecoded | None = None,
    ) -> None:
        self._parts = parts
        self._preprocessing = preprocessing
        self._decoder = decoder
        self._batcher = batcher
        self._stop_at = stop_at
        self._on_frame = on_frame
        self._on_decoded = on_decoded
        cuttable = len(parts) == 1 and parts[0].source is None and (on_frame is None or stop_at is None)
        self._at_most = min(decoder.workers, MAX_SEGMENTS) if cuttable else 1
        self._changing = threading.Lock()
        self._telling = threading.Lock()
        self._segments = [self._made()]
        self._untaken: list[int] = []
        self._last = 0
        self._helpers: ThreadPoolExecutor | None = None
        self._helping: list[Future[None]] = []

    def run(self) -> tuple[list[SegmentScores], list[SegmentScores]]:
        """Do it.

        Returns:
            The segments that count, in the order of decoding: up to the first with a hit or an error. Then
            all that were begun.

        Raises:
            ModelError: Where the model fails or is being closed.
            ClassifierError: Where the decoder is closed meanwhile.
        """
        ended = False
        try:
            self._score(0, self._decoder.open)
            self._score_rest(self._decoder.open)
            wait(self._helping)
            # What a helper had taken, but found no worker for.
            self._score_rest(self._decoder.open)
            ended = True
        finally:
            if not ended:
                self._end_behind(_NOTHING)
            if self._helpers is not None:
                self._helpers.shutdown(wait=True)
        for helper in self._helping:
            helper.result()
        return self._segments[: self._last + 1], [one for one in self._segments if one.summary is not None]

    def _made(self) -> SegmentScores:
        return SegmentScores(
            self._batcher, self._stop_at, None if self._on_frame is None else self._tell_frame
        )

    def _cut(self, count: int) -> None:
        """Have all segments but the first decoded, too."""
        self._segments += [self._made() for _ in range(count - 1)]
        self._untaken, self._last, self._at_most = list(range(1, count)), count - 1, count
        helpers = min(count - 1, self._decoder.idle_workers)
        if helpers:
            self._helpers = ThreadPoolExecutor(helpers, thread_name_prefix="segment")
            self._helping = [self._helpers.submit(self._help) for _ in range(helpers)]

    def _help(self) -> None:
        ended = False
        try:
            self._score_rest(self._decoder.open_if_idle)
            ended = True
        finally:
            if not ended:
                self._end_behind(_NOTHING)

    def _score_rest(self, begin: Callable[..., DecodeStream | None]) -> None:
        """Do segments that nobody has taken, as long as there are any and workers for them."""
        while (number := self._take()) is not None:
            if not self._score(number, begin):
                with self._changing:
                    heapq.heappush(self._untaken, number)
                return

    def _take(self) -> int | None:
        with self._changing:
            wanted = self._untaken and self._untaken[0] <= self._last
            return heapq.heappop(self._untaken) if wanted else None

    def _score(self, number: int, begin: Callable[..., DecodeStream | None]) -> bool:
        """Decode a segment and have it scored; False where there is no worker for it."""
        segment, stream = self._segments[number], None
        try:
            wanted = Segment(number, self._at_most) if self._at_most > 1 else None
            stream = begin(self._parts, self._preprocessing, wanted)
            if stream is None:
                return False
            with stream:
                self._read(number, segment, stream)
            # The worker is free for the next file while the last frames are with the model.
            if self._counts(number):
                segment.harvest(keep=0)
        except DecodeError as error:
            # A hit before the damage counts, as it would if the model had been faster.
            if self._stop_at is not None and self._counts(number):
                segment.harvest(keep=0)
            segment.error = None if segment.hit else error
        finally:
            segment.cancel()
            if stream is not None:
                segment.summary, segment.looks = stream.summary, stream.looks
        if segment.hit or segment.error is not None:
            self._end_behind(number)
        return True

    def _read(self, number: int, segment: SegmentScores, stream: DecodeStream) -> None:
        with self._changing:
            segment.stream = stream
            if number > self._last:
                return
        keep = max(MAX_PENDING_FRAMES // len(self._segments), _MIN_PENDING_FRAMES)
        for frames in stream:
            if segment.began is None:
                segment.began = stream.summary
                if number == 0 and stream.segments > 1:
                    self._cut(stream.segments)
                    keep = max(MAX_PENDING_FRAMES // len(self._segments), _MIN_PENDING_FRAMES)
            segment.add(frames, keep)
            self._tell_decoded(segment, stream)
            if segment.hit or not self._counts(number):
                return

    def _counts(self, number: int) -> bool:
        with self._changing:
            return number <= self._last

    def _end_behind(self, number: int) -> None:
        """Spare everybody the segments behind one."""
        with self._changing:
            self._last = min(self._last, number)
            unwanted = [one.stream for one in self._segments[self._last + 1 :] if one.stream is not None]
        for stream in unwanted:
            stream.leave()

    def _tell_frame(self, frame: Frame, score: float) -> None:
        if self._on_frame is not None:
            with self._telling:
                self._on_frame(frame, score)

    def _tell_decoded(self, segment: SegmentScores, stream: DecodeStream) -> None:
        if self._on_decoded is None:
            return
        with self._telling:
            segment.summary = stream.summary
            begun = [one.summary for one in self._segments if one.summary is not None]
            self._on_decoded(
                replace(
                    segment.summary,
                    frames=sum(summary.frames for summary in begun),
                    decode_s=sum(summary.decode_s for summary in begun),
                )
            )


__all__ = ["MAX_PENDING_FRAMES", "SegmentScores", "SegmentedScoring"]

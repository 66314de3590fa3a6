"""One film, several jobs: the result is that of a single job, whoever is faster and whoever is free."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from classifier.batching import Batcher
from classifier.decode.coverage import Coverage, Looks
from classifier.decode.segments import Segment
from classifier.errors import ClassifierError, DecodeError
from classifier.scoring import score_media
from classifier.values import DecodeSummary, Frame, MediaPart, MediaScore
from tests.unit.test_predict_batching import FakeClassifier, picture

PARTS = (MediaPart(Path("film.webm")),)
TIMEOUT_S = 60.0


@dataclass
class FakeSegment:
    """What the job of a segment does: wait until it may, give its frames, perhaps fail."""

    values: Sequence[int]
    error: Exception | None = None
    may_go: threading.Event = field(default_factory=threading.Event)
    gone: threading.Event = field(default_factory=threading.Event)


class FakeStream:
    """The stream of a segment."""

    def __init__(self, film: "FakeFilm", number: int, count: int) -> None:
        self._film, self._number, self.segments = film, number, count
        self._job = film.jobs[number]
        self._first_s = float(sum(len(job.values) for job in film.jobs[:number]))
        self._left = threading.Event()
        self._given, self._coverage = 0, Coverage()

    def __enter__(self) -> "FakeStream":
        return self

    def __exit__(self, *_: object) -> None:
        self._film.close(self._number)

    def __iter__(self) -> Iterator[list[Frame]]:
        for index, value in enumerate(self._job.values):
            if self._number or index:  # the first frame of all tells how many segments there are
                self._wait()
            if self._left.is_set():
                return
            self._given += 1
            self._coverage.add(self._first_s + index)
            yield [Frame(picture(value), at_s=self._first_s + index)]
        self._wait()
        if self._job.error is not None and not self._left.is_set():
            raise self._job.error

    def _wait(self) -> None:
        assert self._job.may_go.wait(TIMEOUT_S) or self._left.is_set()

    def leave(self) -> None:
        self._left.set()
        self._job.may_go.set()

    @property
    def looks(self) -> Looks:
        return Looks(self._coverage.looks_ms, self._film.end_s, 1.0)

    @property
    def summary(self) -> DecodeSummary:
        return DecodeSummary("video", "pyav", self._given, 99.0, 0.5, False, "exact", 0.1, 1.0)


class FakeFilm:
    """A decoder of one film that can be cut; it counts workers as the pool does."""

    def __init__(self, *jobs: FakeSegment, idle: int, go: bool = True) -> None:
        self.jobs = jobs
        self.workers = len(jobs)
        self._free = threading.Semaphore(idle + 1)
        self._idle = idle
        self._lock = threading.Lock()
        self.opened: list[tuple[int, bool]] = []
        self.closed: list[int] = []
        if go:
            for job in jobs:
                job.may_go.set()

    @property
    def end_s(self) -> float:
        return float(sum(len(job.values) for job in self.jobs) - 1)

    @property
    def idle_workers(self) -> int:
        return self._idle

    def open(
        self, parts: Sequence[MediaPart], preprocessing: str, segment: Segment | None = None
    ) -> FakeStream:
        assert self._free.acquire(timeout=TIMEOUT_S)
        return self._opened(segment, wait=True)

    def open_if_idle(
        self, parts: Sequence[MediaPart], preprocessing: str, segment: Segment | None = None
    ) -> FakeStream | None:
        return self._opened(segment, wait=False) if self._free.acquire(blocking=False) else None

    def _opened(self, segment: Segment | None, *, wait: bool) -> FakeStream:
        assert segment is not None
        with self._lock:
            self.opened.append((segment.index, wait))
        return FakeStream(self, segment.index, len(self.jobs))

    def close(self, number: int) -> None:
        with self._lock:
            self.closed.append(number)
        self._free.release()
        self.jobs[number].gone.set()


@pytest.fixture
def batcher() -> Iterator[Batcher]:
    with Batcher(FakeClassifier(), max_batch=4) as made:
        yield made


def _later(film: FakeFilm, batcher: Batcher, **options: object) -> tuple[threading.Thread, list[object]]:
    """Score in another thread."""
    outcome: list[object] = []

    def run() -> None:
        try:
            outcome.append(score_media(PARTS, film, batcher, threshold=0.8, **options))  # type: ignore[arg-type]
        except ClassifierError as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, outcome


def _values(result: object) -> list[int]:
    assert isinstance(result, MediaScore)
    return [round(frame.score * 255) for frame in result.frames]


@pytest.mark.parametrize("idle", range(4))
def test_frames_come_in_the_order_of_the_film_however_many_workers_are_free(
    batcher: Batcher, idle: int
) -> None:
    jobs = [FakeSegment(range(10 * number, 10 * number + 5)) for number in range(4)]
    film = FakeFilm(*jobs, idle=idle)
    result = score_media(PARTS, film, batcher, threshold=0.8)
    assert _values(result) == [10 * number + index for number in range(4) for index in range(5)]
    assert [frame.at_s for frame in result.frames] == [float(at) for at in range(20)]
    assert sorted(number for number, _ in film.opened) == [0, 1, 2, 3], "each once"
    assert sorted(film.closed) == [0, 1, 2, 3]
    assert result.summary == DecodeSummary("video", "pyav", 20, 99.0, 2.0, False, "exact", 1.0, 1.0)


@pytest.mark.parametrize("first", range(3))
def test_the_first_hit_of_the_film_counts_whichever_segment_is_ready_first(
    batcher: Batcher, first: int
) -> None:
    film = FakeFilm(FakeSegment([1, 2, 3]), FakeSegment([4, 250, 5]), FakeSegment([255, 6]), idle=2, go=False)
    thread, outcome = _later(film, batcher)
    film.jobs[first].may_go.set()
    assert film.jobs[first].gone.wait(TIMEOUT_S)
    for job in film.jobs:
        job.may_go.set()
    thread.join(TIMEOUT_S)
    (result,) = outcome
    assert _values(result) == [1, 2, 3, 4, 250]
    assert isinstance(result, MediaScore)
    expected = DecodeSummary("video", "pyav", 5, 99.0, 0.0, True, "exact", None, None)
    assert replace(result.summary, decode_s=0.0) == expected
    assert (round(result.score * 255), result.worst.at_s) == (250, 4.0)


def test_a_hit_ends_those_behind_it_even_if_they_hang(batcher: Batcher) -> None:
    film = FakeFilm(FakeSegment([1, 250]), FakeSegment([2, 3]), FakeSegment([4]), idle=2, go=False)
    film.jobs[0].may_go.set()  # the others are never let go
    thread, outcome = _later(film, batcher)
    thread.join(TIMEOUT_S)
    assert not thread.is_alive()
    assert _values(outcome[0]) == [1, 250]


def test_segments_behind_a_hit_are_not_begun(batcher: Batcher) -> None:
    film = FakeFilm(FakeSegment([1, 250]), FakeSegment([2]), FakeSegment([3]), idle=0)
    score_media(PARTS, film, batcher, threshold=0.8)
    assert film.opened == [(0, True)]


@pytest.mark.parametrize("first", range(3))
@pytest.mark.parametrize("stop_early", [True, False])
def test_the_first_failure_of_the_film_is_the_outcome_whichever_comes_first(
    batcher: Batcher, first: int, stop_early: bool
) -> None:
    film = FakeFilm(
        FakeSegment([1, 2]),
        FakeSegment([3], DecodeError("timeout", "too slow")),
        FakeSegment([255], DecodeError("too_large", "no memory")),
        idle=2,
        go=False,
    )
    thread, outcome = _later(film, batcher, stop_early=stop_early)
    film.jobs[first].may_go.set()
    assert film.jobs[first].gone.wait(TIMEOUT_S)
    for job in film.jobs:
        job.may_go.set()
    thread.join(TIMEOUT_S)
    assert isinstance(outcome[0], DecodeError)
    assert outcome[0].code == "timeout"


def test_a_hit_before_a_failure_counts(batcher: Batcher) -> None:
    jobs = FakeSegment([1]), FakeSegment([2, 250], DecodeError("timeout", "too slow"))
    result = score_media(PARTS, FakeFilm(*jobs, idle=1), batcher, threshold=0.8)
    assert _values(result) == [1, 2, 250]


def test_a_segment_without_a_frame_is_a_gap_and_no_failure(batcher: Batcher) -> None:
    film = FakeFilm(FakeSegment([1, 2]), FakeSegment([]), FakeSegment([3]), idle=1)
    result = score_media(PARTS, film, batcher, threshold=0.8)
    assert _values(result) == [1, 2, 3]


@pytest.mark.parametrize("where", range(3))
def test_what_is_not_the_files_fault_ends_all_segments_at_once(batcher: Batcher, where: int) -> None:
    jobs = [FakeSegment([number]) for number in range(3)]
    film = FakeFilm(*jobs, idle=2, go=False)
    jobs[where].error = ClassifierError("the pool is closed")
    jobs[where].may_go.set()
    thread, outcome = _later(film, batcher)
    thread.join(TIMEOUT_S)
    assert not thread.is_alive()
    assert str(outcome[0]) == "the pool is closed"
    assert sorted(film.closed) == sorted(number for number, _ in film.opened), "none is left open"


def test_all_frames_and_the_growing_summary_are_told_one_at_a_time(batcher: Batcher) -> None:
    jobs = [FakeSegment(range(10 * number, 10 * number + 5)) for number in range(3)]
    told: list[tuple[float | None, int]] = []
    decoded: list[int] = []
    telling = threading.Lock()

    def on_frame(frame: Frame, score: float) -> None:
        assert telling.acquire(blocking=False)
        told.append((frame.at_s, round(score * 255)))
        telling.release()

    def on_decoded(summary: DecodeSummary) -> None:
        assert telling.acquire(blocking=False)
        decoded.append(summary.frames)
        telling.release()

    result = score_media(
        PARTS,
        FakeFilm(*jobs, idle=2),
        batcher,
        threshold=0.8,
        stop_early=False,
        on_frame=on_frame,
        on_decoded=on_decoded,
    )
    assert sorted(told) == [
        (frame.at_s, value) for frame, value in zip(result.frames, _values(result), strict=True)
    ]
    assert max(decoded) == 15


class WholeFilm(FakeFilm):
    """Several workers, but the film is to be decoded by one."""

    def _opened(self, segment: Segment | None, *, wait: bool) -> FakeStream:
        assert segment is None
        self.opened.append((0, wait))
        return FakeStream(self, 0, 1)


def test_who_wants_only_frames_that_count_as_they_come_has_one_job(batcher: Batcher) -> None:
    film = WholeFilm(FakeSegment([1, 250, 3]), FakeSegment([]), idle=1)
    seen: list[float | None] = []
    score_media(PARTS, film, batcher, threshold=0.8, on_frame=lambda frame, _: seen.append(frame.at_s))
    assert (seen, len(film.opened)) == ([0.0, 1.0], 1)


def test_documents_and_files_that_are_fetched_meanwhile_have_one_job(batcher: Batcher) -> None:
    class Source:
        size_bytes = 10

        def ensure(self, offset: int, length: int) -> int:
            return offset + length

    for parts in (PARTS * 2, (replace(PARTS[0], source=Source()),)):
        film = WholeFilm(FakeSegment([1]), FakeSegment([]), idle=1)
        score_media(parts, film, batcher, threshold=0.8)
        assert len(film.opened) == 1

"""From frames to the score of a file: the maximum, at the right place, and never a score without a frame."""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from classifier.batching import Batcher
from classifier.decode.segments import Segment
from classifier.errors import DecodeError, ModelError
from classifier.scoring import MAX_PENDING_FRAMES, score_media
from classifier.values import DecodeSummary, Frame, MediaPart, MediaScore
from tests.unit.test_predict_batching import FakeClassifier, picture

PARTS = (MediaPart(Path("clip.webm")),)


class FakeDecoder:
    """A decoder whose frames have given values, in chunks; it is stream and decoder in one."""

    def __init__(self, *chunks: list[Frame], error: DecodeError | None = None) -> None:
        self.chunks = chunks
        self.error = error
        self.asked_for: tuple[Sequence[MediaPart], str] | None = None
        self.handed_out = 0
        self.closed = False
        self.workers, self.idle_workers, self.segments, self.looks = 1, 0, 1, None

    def open(
        self, parts: Sequence[MediaPart], preprocessing: str, segment: Segment | None = None
    ) -> "FakeDecoder":
        assert segment is None, "there is one worker"
        self.asked_for = (parts, preprocessing)
        return self

    def open_if_idle(
        self, parts: Sequence[MediaPart], preprocessing: str, segment: Segment | None = None
    ) -> None:
        raise AssertionError("a single worker has a single job")

    def leave(self) -> None:
        """Nobody is iterating by then."""

    def __enter__(self) -> "FakeDecoder":
        return self

    def __exit__(self, *_: object) -> None:
        self.closed = True

    def __iter__(self) -> Iterator[list[Frame]]:
        for chunk in self.chunks:
            self.handed_out += len(chunk)
            yield chunk
        if self.error is not None:
            raise self.error

    @property
    def summary(self) -> DecodeSummary:
        return DecodeSummary("video", "pyav", self.handed_out, 10.0, 0.25, self.closed, "exact", 1.0, 1.0)


def _frames(*values: int, first_s: float = 0.0) -> list[Frame]:
    return [Frame(picture(value), at_s=first_s + index) for index, value in enumerate(values)]


@pytest.fixture
def batcher() -> Iterator[Batcher]:
    with Batcher(FakeClassifier(), max_batch=4) as made:
        yield made


def test_the_score_is_the_maximum_and_names_its_frame(batcher: Batcher) -> None:
    decoder = FakeDecoder(_frames(10, 51, 20), _frames(102, 30, first_s=3))
    result = score_media(PARTS, decoder, batcher, threshold=0.8)
    assert result.score == pytest.approx(102 / 255)
    assert (result.worst.at_s, result.label, result.threshold) == (3.0, "sfw", 0.8)
    assert [(round(frame.score * 255), frame.at_s) for frame in result.frames] == [
        (10, 0.0),
        (51, 1.0),
        (20, 2.0),
        (102, 3.0),
        (30, 4.0),
    ]
    assert result.summary.frames == 5
    assert result.timings_s["decode"] == 0.25
    assert result.timings_s["classify"] >= 0


def test_the_decoder_is_asked_for_the_model_s_preprocessing(batcher: Batcher) -> None:
    decoder = FakeDecoder(_frames(1))
    score_media(PARTS, decoder, batcher, threshold=0.8)
    assert decoder.asked_for == (PARTS, "open_nsfw-v1")


def test_pages_stay_with_their_scores(batcher: Batcher) -> None:
    pages = [Frame(picture(value), page=page) for page, value in ((1, 9), (17, 200), (40, 30))]
    result = score_media(PARTS, FakeDecoder(pages), batcher, threshold=0.9)
    assert (result.worst.page, result.worst.at_s) == (17, None)
    assert [frame.page for frame in result.frames] == [1, 17, 40]


def test_the_first_of_equal_frames_is_the_worst(batcher: Batcher) -> None:
    result = score_media(PARTS, FakeDecoder(_frames(5, 77, 77)), batcher, threshold=0.9)
    assert result.worst.at_s == 1.0


def test_the_first_hit_ends_decoding_and_later_frames_are_not_recorded(batcher: Batcher) -> None:
    decoder = FakeDecoder(_frames(10, 250, 255), *[_frames(255, first_s=3)] * 10_000)
    result = score_media(PARTS, decoder, batcher, threshold=0.8)
    assert decoder.closed
    assert decoder.handed_out < 1000
    assert (result.label, round(result.score * 255), result.worst.at_s) == ("nsfw", 250, 1.0)
    assert [frame.at_s for frame in result.frames] == [0.0, 1.0]
    assert result.summary == DecodeSummary("video", "pyav", 2, 10.0, 0.25, True, "exact", None, None)


def test_a_hit_before_damage_counts_however_late_the_model_says_so(batcher: Batcher) -> None:
    decoder = FakeDecoder(_frames(10, 250), error=DecodeError("timeout", "too slow"))
    result = score_media(PARTS, decoder, batcher, threshold=0.8)
    assert (result.worst.at_s, result.summary.truncated) == (1.0, True)
    with pytest.raises(DecodeError, match="too slow"):
        score_media(PARTS, decoder, batcher, threshold=0.8, stop_early=False)


def test_a_hit_on_the_last_frame_says_the_same_as_one_on_any_other(batcher: Batcher) -> None:
    decoder = FakeDecoder(_frames(10, 20), _frames(250, first_s=2))
    summary = score_media(PARTS, decoder, batcher, threshold=0.8).summary
    assert (summary.frames, summary.truncated, summary.largest_gap_s, summary.covered_share) == (
        3,
        True,
        None,
        None,
    )


@pytest.mark.parametrize("repeat", range(5))
def test_what_is_recorded_does_not_depend_on_timing(batcher: Batcher, repeat: int) -> None:
    decoder = FakeDecoder(*[_frames(*range(10 * index, 10 * index + 10)) for index in range(25)])
    result = score_media(PARTS, decoder, batcher, threshold=123 / 255)
    assert sorted(round(frame.score * 255) for frame in result.frames) == list(range(124))


def test_frames_come_by_position_in_whatever_order_they_were_decoded(batcher: Batcher) -> None:
    late, middle, early = (
        Frame(_frames(value)[0].pixels, at_s=at_s) for value, at_s in ((7, 9.0), (9, 5.0), (9, 1.0))
    )
    result = score_media(PARTS, FakeDecoder([late, middle], [early]), batcher, threshold=0.8)
    assert [frame.at_s for frame in result.frames] == [1.0, 5.0, 9.0]
    assert result.worst is result.frames[0]


def test_a_score_at_the_threshold_is_flagged_and_ends_the_job(batcher: Batcher) -> None:
    exactly = float(np.float32(204 / np.float32(255)))
    result = score_media(PARTS, FakeDecoder(_frames(204, 250)), batcher, threshold=exactly)
    assert (result.label, result.score, len(result.frames)) == ("nsfw", exactly, 1)


def test_without_stopping_early_the_highest_frame_is_found(batcher: Batcher) -> None:
    decoder = FakeDecoder(_frames(10, 250, 20, 255, 30))
    result = score_media(PARTS, decoder, batcher, threshold=0.8, stop_early=False)
    assert (result.score, result.worst.at_s, len(result.frames)) == (1.0, 3.0, 5)


@pytest.mark.parametrize("chunks", [[], [[]], [[], []]])
def test_no_frame_is_never_a_score(batcher: Batcher, chunks: list[list[Frame]]) -> None:
    with pytest.raises(DecodeError) as caught:
        score_media(PARTS, FakeDecoder(*chunks), batcher, threshold=0.8)
    assert caught.value.code == "undecodable"


def test_an_error_while_decoding_is_the_outcome_even_after_frames(batcher: Batcher) -> None:
    decoder = FakeDecoder(_frames(1, 2), error=DecodeError("timeout", "too slow"))
    with pytest.raises(DecodeError, match="too slow"):
        score_media(PARTS, decoder, batcher, threshold=0.8)
    assert decoder.closed


def test_an_error_of_the_model_ends_the_job(batcher: Batcher) -> None:
    classifier = batcher.classifier
    assert isinstance(classifier, FakeClassifier)
    classifier.error = ModelError("broken")
    decoder = FakeDecoder(*[_frames(1)] * 1000)
    with pytest.raises(ModelError, match="broken"):
        score_media(PARTS, decoder, batcher, threshold=0.8)
    assert decoder.closed
    classifier.error = None
    assert score_media(PARTS, FakeDecoder(_frames(51)), batcher, threshold=0.8).score == pytest.approx(0.2)


def test_decoding_pauses_while_the_model_is_behind() -> None:
    model = FakeClassifier()
    model.go.clear()
    decoder = FakeDecoder(*[_frames(index % 200) for index in range(500)])
    results: list[MediaScore] = []
    with Batcher(model, max_batch=4) as batcher:
        job = threading.Thread(
            target=lambda: results.append(score_media(PARTS, decoder, batcher, threshold=1.0))
        )
        job.start()
        assert model.started.acquire(timeout=60)
        job.join(timeout=0.3)
        assert decoder.handed_out <= MAX_PENDING_FRAMES + 1
        model.go.set()
        job.join(timeout=60)
    assert len(results[0].frames) == 500

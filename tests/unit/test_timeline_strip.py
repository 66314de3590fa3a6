"""The strip of a timeline: which frames it keeps, that it stays small, and that no detail is left in it."""

import random
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from bot.timeline_strip import THUMBNAIL_PX, THUMBNAILS, Strip, blurred
from classifier.batching import Batcher
from classifier.scoring import score_media
from classifier.values import DecodeSummary, Frame, MediaPart, Pixels
from tests.unit.test_predict_batching import FakeClassifier, picture
from tests.unit.test_predict_scoring import FakeDecoder


def frame(at_s: float | None, brightness: int = 0, page: int | None = None) -> Frame:
    return Frame(np.full((224, 224, 3), brightness, np.uint8), at_s, page)


def filled(scores: list[float], order: list[int] | None = None) -> Strip:
    """A strip of frames a second apart."""
    strip = Strip("bgr")
    for second in order or range(len(scores)):
        strip.add(frame(float(second)), scores[second])
    return strip


def times(strip: Strip) -> list[float]:
    return [one.frame.at_s for one in strip.thumbnails() if one.frame.at_s is not None]


def test_a_short_clip_shows_all_its_frames() -> None:
    assert times(filled([0.1] * 5)) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("seed", [None, 1, 2])
def test_a_long_film_shows_both_ends_its_highest_scores_and_the_rest_evenly(seed: int | None) -> None:
    scores = [0.1] * 3000
    scores[1234], scores[77], scores[2500] = 0.9, 0.8, 0.7
    order = list(range(3000))
    if seed is not None:
        random.Random(seed).shuffle(order)
    shown = times(filled(scores, order))
    assert len(shown) == THUMBNAILS
    assert shown == sorted(shown)
    assert {0, 2999, 1234, 77, 2500} <= set(shown)
    assert max(after - before for before, after in pairwise(shown)) < 3000 / 5


def test_it_never_keeps_more_than_a_few_dozen_frames() -> None:
    strip = Strip("bgr")
    for second in range(2000):
        strip.add(Frame(np.zeros((4, 4, 3), np.uint8), float(second)), second / 2000)
        assert len(strip) <= 4 * THUMBNAILS


def test_of_equal_scores_the_first_is_sure_to_be_shown() -> None:
    scores = [0.2] * 1000
    for second in (501, 502, 503, 504, 505):
        scores[second] = 0.95
    assert {501, 502, 503} <= set(times(filled(scores)))


def test_pages_and_single_pictures_have_no_time() -> None:
    strip = Strip("bgr")
    for page in (40, 1, 17):
        strip.add(frame(None, page=page), 0.5)
    assert [one.frame.page for one in strip.thumbnails()] == [1, 17, 40]
    single = Strip("bgr")
    single.add(frame(None), 0.25)
    [only] = single.thumbnails()
    assert (only.frame.score, only.frame.at_s, only.frame.page) == (0.25, None, None)


def test_frames_are_copied_because_their_memory_is_used_again() -> None:
    strip, shared = Strip("bgr"), np.full((224, 224, 3), 200, np.uint8)
    strip.add(Frame(shared, 0.0), 0.5)
    shared[:] = 0
    assert np.asarray(strip.thumbnails()[0].picture).min() > 190


def test_colours_come_out_in_their_order() -> None:
    pixels = np.zeros((224, 224, 3), np.uint8)
    pixels[:, :, 2] = 250  # red, in BGR
    assert blurred(pixels, "bgr").getpixel((80, 80)) == (250, 0, 0)
    assert blurred(pixels, "rgb").getpixel((80, 80)) == (0, 0, 250)
    strip = Strip("rgb")
    strip.add(Frame(pixels), 0.5)
    assert strip.thumbnails()[0].picture.getpixel((80, 80)) == (0, 0, 250)


def detailed(period_px: int) -> Pixels:
    """Stripes of full contrast, as hard as detail can be."""
    pixels = np.zeros((224, 224, 3), np.uint8)
    pixels[:, np.arange(224) % period_px < period_px // 2] = 255
    return pixels


@pytest.mark.parametrize("period_px", [2, 4, 8])
def test_details_are_gone_and_only_large_shapes_remain(period_px: int) -> None:
    thumbnail = blurred(detailed(period_px), "bgr")
    assert thumbnail.size == (THUMBNAIL_PX, THUMBNAIL_PX)
    inner = np.asarray(thumbnail).astype(int)[20:-20, 20:-20]
    assert inner.max() - inner.min() < 26, "a tenth of the contrast"
    halves = np.zeros((224, 224, 3), np.uint8)
    halves[:, 112:] = 255
    large = np.asarray(blurred(halves, "bgr")).astype(int)
    assert large[80, 130, 0] - large[80, 30, 0] > 200


def test_what_is_mixed_within_a_coarse_cell_makes_no_difference() -> None:
    rng = np.random.default_rng(5)
    cell = 14
    pixels = rng.integers(0, 256, (224, 224, 3), dtype=np.uint8)
    mixed = pixels.copy()
    for y in range(0, 224, cell):
        for x in range(0, 224, cell):
            inside = mixed[y : y + cell, x : x + cell].reshape(-1, 3)
            mixed[y : y + cell, x : x + cell] = rng.permutation(inside).reshape(cell, cell, 3)
    difference = np.abs(np.asarray(blurred(pixels, "bgr")).astype(int) - np.asarray(blurred(mixed, "bgr")))
    assert difference.max() <= 2, "rounding alone"


class LengthDecoder(FakeDecoder):
    """Tells how it stands also while it is open, as the real ones do."""

    @property
    def summary(self) -> DecodeSummary:
        return DecodeSummary("video", "pyav", self.handed_out, 10.0, 0.25)


@pytest.fixture
def batcher() -> Iterator[Batcher]:
    with Batcher(FakeClassifier(), max_batch=4) as made:
        yield made


def test_scoring_hands_over_each_frame_that_counts_with_its_own_score(batcher: Batcher) -> None:
    frames = [Frame(picture(value), at_s=float(index)) for index, value in enumerate((10, 51, 250, 30))]
    seen: list[tuple[float | None, int, int]] = []
    lengths: list[float | None] = []
    result = score_media(
        (MediaPart(Path("clip.webm")),),
        LengthDecoder(frames[:2], frames[2:]),
        batcher,
        threshold=0.8,
        on_frame=lambda one, score: seen.append((one.at_s, int(one.pixels[0, 0, 0]), round(score * 255))),
        on_decoded=lambda summary: lengths.append(summary.duration_s),
    )
    assert seen == [(0.0, 10, 10), (1.0, 51, 51), (2.0, 250, 250)], "none after the first hit"
    assert len(result.frames) == 3
    assert lengths
    assert set(lengths) == {10.0}

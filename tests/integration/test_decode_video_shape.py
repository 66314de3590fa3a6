"""Frames of videos keep their shape on the way to a preprocessing that keeps it, through the workers too."""

from pathlib import Path

import numpy as np
import pytest

from classifier import preprocess
from classifier.decode.job import decode
from classifier.decode.limits import DecodeLimits
from classifier.decode.picture import Report
from classifier.decode.sandbox import DecodePool
from classifier.values import MediaPart
from tests import media


@pytest.mark.parametrize(
    ("width", "height", "name"),
    [
        (640, 360, "imagenet-v1"),
        (360, 640, "imagenet-v1"),
        (160, 120, "imagenet-v1"),
        (640, 360, "imagenet-v1@64"),
        (640, 360, "imagenet-v1+median:3"),
        (640, 360, "open_nsfw-v1"),
    ],
)
def test_a_videos_frame_is_prepared_like_the_picture(
    tmp_path: Path, width: int, height: int, name: str
) -> None:
    photo = media.photo(width, height)
    path = media.save_video(tmp_path / "x.webm", [photo] * 2)
    prepare = preprocess.get(name)
    expected = prepare.prepare(photo).astype(int)
    frames = []
    for side_px in (256, None):
        limits = DecodeLimits(video_frame_px=side_px)
        frames.append(next(decode([MediaPart(path)], prepare, limits, Report())).pixels.astype(int))
    # The codec loses some; a frame that is squeezed, cut elsewhere or of swapped channels differs more.
    for pixels in frames:
        assert np.abs(pixels - expected).mean() < 9
    assert np.abs(frames[0] - frames[1]).mean() < 2


def test_the_worker_gives_the_very_same_bytes(tmp_path: Path) -> None:
    video = media.save_video(tmp_path / "x.webm", [media.photo(640, 360)] * 2)
    picture = tmp_path / "x.png"
    media.photo(500, 300).save(picture)
    with DecodePool(DecodeLimits(), workers=1) as pool:
        for path in (video, picture):
            for name in ("imagenet-v1", "imagenet-v1@64+jpeg:60"):
                here = decode([MediaPart(path)], preprocess.get(name), DecodeLimits(), Report())
                there = [frame for batch in pool.open([MediaPart(path)], name) for frame in batch]
                for one, other in zip(here, there, strict=True):
                    assert np.array_equal(one.pixels, other.pixels)

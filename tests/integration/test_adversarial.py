"""Harmless positives reach their score and keep it, and stay close to the picture they were made of."""

import io

import av
import numpy as np
import pytest
from PIL import Image

from classifier.errors import ModelError
from classifier.training.adversarial import gradient_picture, make_positive
from tests.model_weights import open_nsfw, positive, score

pytestmark = pytest.mark.slow


def _saved(rgb: np.ndarray, file_format: str, width: int | None = None) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, file_format, quality=90)
    image = Image.open(buffer).convert("RGB")
    if width is not None and image.width > width:
        image = image.resize((width, round(image.height * width / image.width)), Image.Resampling.LANCZOS)
    return np.array(image)


def _through_vp9(rgb: np.ndarray, frames: int = 5) -> list[np.ndarray]:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="webm") as out:
        stream = out.add_stream("libvpx-vp9", rate=5, options={"crf": "20", "b": "0", "cpu-used": "8"})
        stream.height, stream.width = rgb.shape[:2]
        stream.pix_fmt = "yuv420p"
        for _ in range(frames):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        out.mux(stream.encode())
    buffer.seek(0)
    with av.open(buffer) as back:
        return [frame.to_ndarray(format="rgb24") for frame in back.decode(video=0)]


def test_gradients_are_harmless_and_differ_by_seed() -> None:
    pictures = [gradient_picture(320, 240, seed) for seed in range(4)]
    assert all(picture.shape == (240, 320, 3) and picture.dtype == np.uint8 for picture in pictures)
    assert max(score(picture) for picture in pictures) < 0.3
    assert len({picture.tobytes() for picture in pictures}) == 4
    np.testing.assert_array_equal(pictures[2], gradient_picture(320, 240, 2))


@pytest.mark.parametrize("seed", [0, 1])
def test_a_positive_keeps_its_score_saved_and_rescaled(seed: int) -> None:
    picture = positive(320, 240, seed)
    for way in (picture, _saved(picture, "PNG"), _saved(picture, "JPEG")):
        assert score(way) > 0.99


@pytest.mark.parametrize(("width", "height"), [(480, 640), (1024, 768)])
def test_positives_of_any_size_keep_their_score_as_thumbnails(width: int, height: int) -> None:
    picture = positive(width, height, 3)
    for way in (picture, _saved(picture, "PNG", 330), _saved(picture, "JPEG", 330)):
        assert score(way) > 0.99


def test_a_positive_stays_close_to_its_harmless_original() -> None:
    difference = positive(320, 240, 0).astype(int) - gradient_picture(320, 240, 0)
    assert np.abs(difference).max() <= 8


def test_a_video_positive_survives_vp9() -> None:
    picture = positive(320, 240, 0, "video")
    assert np.abs(picture.astype(int) - gradient_picture(320, 240, 0)).max() <= 16
    frames = _through_vp9(picture)
    assert len(frames) == 5
    assert min(score(frame) for frame in frames) > 0.9


def test_progress_is_told_and_equal_arguments_give_equal_pictures() -> None:
    seen: list[tuple[int, float]] = []
    again = make_positive(
        open_nsfw().network, gradient_picture(320, 240, 0), on_step=lambda step, now: seen.append((step, now))
    )
    np.testing.assert_array_equal(again, positive(320, 240, 0))
    assert [step for step, _ in seen] == list(range(1, len(seen) + 1))
    assert seen[-1][1] > seen[0][1]


def test_a_score_out_of_reach_is_an_error() -> None:
    with pytest.raises(ModelError, match="only reached"):
        make_positive(open_nsfw().network, gradient_picture(64, 48, 0), steps=1)

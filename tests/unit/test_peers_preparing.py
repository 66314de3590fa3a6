"""Other people's preparations, held against their own steps."""

import cv2
import numpy as np
import pytest
from PIL import Image

from classifier import preprocess
from classifier.errors import ModelError
from classifier.peers.preparing import CornersV1

SIZES = [(330, 248), (100, 700), (640, 640), (3, 2000), (1, 1), (1201, 899), (50, 40), (320, 320), (224, 224)]


def noise(width: int, height: int) -> np.ndarray:
    return np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("size", SIZES)
def test_letterboxing_is_nudenets_but_for_opencvs_rounding(size: tuple[int, int]) -> None:
    rgb, side = noise(*size), max(size)
    square = cv2.copyMakeBorder(rgb, 0, side - size[1], 0, side - size[0], cv2.BORDER_CONSTANT)
    theirs = cv2.resize(square, (320, 320))[:, :, ::-1].astype(int)
    ours = preprocess.get("letterbox-320-v1").prepare_array(rgb, "rgb")
    assert np.abs(ours - theirs).max() <= 1
    assert ours.shape == (320, 320, 3)


@pytest.mark.parametrize("size", SIZES)
def test_corner_on_corner_is_tensorflow_js_resize_bilinear(size: tuple[int, int]) -> None:
    """Its loop, written out for a few points: `resizeBilinear` with `alignCorners` on the plain backend."""
    rgb = noise(*size)
    ours = CornersV1().unrounded(rgb)
    steps = [(side - 1) / 223 for side in size]
    for row, column in [(0, 0), (223, 223), (0, 223), (100, 37), (17, 200), (222, 1)]:
        y, x = row * steps[1], column * steps[0]
        top, left = int(y), int(x)
        bottom, right = min(size[1] - 1, int(np.ceil(y))), min(size[0] - 1, int(np.ceil(x)))
        above = rgb[top, left] + (rgb[top, right].astype(float) - rgb[top, left]) * (x - left)
        below = rgb[bottom, left] + (rgb[bottom, right].astype(float) - rgb[bottom, left]) * (x - left)
        np.testing.assert_allclose(ours[row, column], above + (below - above) * (y - top), atol=2e-3)


@pytest.mark.parametrize(
    "name", ["letterbox-320-v1", "nsfwjs-v1", "centre-crop-v1@64:73:bicubic", "squash-v1@64:70:bilinear"]
)
def test_pictures_and_frames_are_prepared_alike_in_either_order(name: str) -> None:
    way, rgb = preprocess.get(name), noise(123, 95)
    expected = way.prepare(Image.fromarray(rgb))
    np.testing.assert_array_equal(way.prepare_array(rgb, "rgb"), expected)
    np.testing.assert_array_equal(way.prepare_array(rgb[:, :, ::-1], "bgr"), expected)
    grey = Image.fromarray(rgb[:, :, 0])
    np.testing.assert_array_equal(way.prepare(grey), way.prepare(grey.convert("RGB")))
    assert way.id == name
    assert expected.flags.c_contiguous
    with pytest.raises(ValueError, match="expected uint8"):
        way.prepare_array(rgb.astype(np.float32), "rgb")


def test_the_letterbox_shows_blue_first_and_black_below() -> None:
    red = Image.new("RGB", (200, 100), (255, 0, 0))
    found = preprocess.get("letterbox-320-v1").prepare(red)
    assert found[0, 0].tolist() == [0, 0, 255]
    assert found[170:].max() == 0


def test_a_very_long_strip_needs_no_square_of_its_length() -> None:
    found = preprocess.get("letterbox-320-v1").prepare(Image.new("RGB", (3, 65_500), "white"))
    assert found.shape == (320, 320, 3)


@pytest.mark.parametrize("sizes", ["64:32", "10:20", "1025:1100", "64:2000"])
def test_sizes_that_cannot_be_are_refused(sizes: str) -> None:
    with pytest.raises(ModelError, match="crops 16 to 1024 px"):
        preprocess.get(f"squash-v1@{sizes}:bicubic")


def test_a_defence_can_follow_and_other_names_stay_unknown() -> None:
    assert preprocess.get("nsfwjs-v1+bits:5").id == "nsfwjs-v1+bits:5"
    with pytest.raises(ModelError, match="unknown preprocessing"):
        preprocess.get("squash-v1@64:64:lanczos")

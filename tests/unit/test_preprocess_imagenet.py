"""`imagenet-v1` is what torchvision's weights were measured with, for any shape, and bounded."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from classifier import preprocess
from classifier.decode.limits import DecodeLimits
from classifier.errors import ModelError
from classifier.torch_compat import import_torchvision
from tests import media

V1 = preprocess.get("imagenet-v1")


def _noise(width: int, height: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@settings(max_examples=25, deadline=None)
@given(width=st.integers(90, 400), height=st.integers(100, 360), seed=st.integers(0, 999))
def test_every_picture_is_prepared_as_torchvision_does(width: int, height: int, seed: int) -> None:
    functional = import_torchvision().transforms.functional
    picture = Image.fromarray(_noise(width, height, seed))
    theirs = functional.center_crop(functional.resize(picture, 256), 224)
    assert np.array_equal(V1.prepare(picture), np.asarray(theirs))


@settings(max_examples=20, deadline=None)
@given(width=st.integers(1, 300), height=st.integers(1, 300), seed=st.integers(0, 999))
def test_arrays_in_either_order_give_the_same_rgb(width: int, height: int, seed: int) -> None:
    rgb = _noise(width, height, seed)
    expected = V1.prepare(Image.fromarray(rgb))
    assert expected.shape == (224, 224, 3) and expected.dtype == np.uint8 and expected.flags.c_contiguous
    assert np.array_equal(V1.prepare_array(rgb, "rgb"), expected)
    swapped = V1.prepare_array(rgb[:, :, ::-1], "bgr")
    assert np.array_equal(swapped, expected) and swapped.flags.c_contiguous


def test_the_shape_is_kept_and_the_channels_are_red_green_blue() -> None:
    wide = Image.new("RGB", (800, 200), (250, 120, 10))
    wide.paste((0, 0, 255), (0, 0, 250, 200))
    prepared = V1.prepare(wide)
    assert np.array_equal(prepared[100, 100], (250, 120, 10))
    assert not (prepared == (0, 0, 255)).all(2).any()


@pytest.mark.parametrize("size", [(65_500, 3), (2, 65_500), (1, 1), (5001, 1000)])
def test_long_strips_cost_no_more_than_their_middle(size: tuple[int, int]) -> None:
    strip = _noise(*size)
    picture = Image.fromarray(strip)
    prepared = V1.prepare(picture)
    assert prepared.shape == (224, 224, 3)


def test_the_middle_of_a_long_picture_is_that_of_the_whole() -> None:
    strip = media.photo(2500, 300)
    whole = strip.resize((2133, 256), Image.Resampling.BILINEAR).crop((954, 16, 1178, 240))
    assert np.abs(V1.prepare(strip).astype(int) - np.asarray(whole)).mean() < 2


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1", "LA"])
def test_other_modes_are_converted(mode: str) -> None:
    picture = media.photo(300, 200).convert(mode)
    assert np.array_equal(V1.prepare(picture), V1.prepare(picture.convert("RGB")))


def test_other_sizes_keep_the_proportions() -> None:
    small = preprocess.get("imagenet-v1@112")
    assert (small.id, small.input_px, small.shorter_px) == ("imagenet-v1@112", 112, 128)
    picture = media.photo(256, 256)
    assert np.array_equal(
        small.prepare(picture), np.asarray(picture.resize((128, 128), 2).crop((8, 8, 120, 120)))
    )
    assert preprocess.get("imagenet-v1@224").id == "imagenet-v1"
    for wrong in ("imagenet-v1@8", "imagenet-v1@2000", "imagenet-v1@", "imagenet-v1@064", "open_nsfw-v1@64"):
        with pytest.raises(ModelError):
            preprocess.get(wrong)


def test_an_array_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected uint8 \(height, width, 3\)"):
        V1.prepare_array(np.zeros((5, 5, 4), np.uint8), "rgb")


@given(width=st.integers(1, 9000), height=st.integers(1, 9000))
def test_a_shrunk_video_frame_leaves_nothing_to_resize_and_none_grows(width: int, height: int) -> None:
    small = preprocess.video_frame_size(width, height, 256)
    assert small[0] <= width and small[1] <= height
    assert min(small) == min(width, height, 256)
    assert preprocess.video_frame_size(*small, 256) == small


def test_limits_follow_the_preprocessing_unless_frames_are_left_whole() -> None:
    usual = DecodeLimits()
    assert usual.for_preprocessing(preprocess.get("open_nsfw-v1").shorter_px) is usual
    kept = usual.for_preprocessing(preprocess.get("imagenet-v1@112").shorter_px)
    assert (kept.video_frame_px, kept.video_keeps_aspect) == (128, True)
    whole = DecodeLimits(video_frame_px=None)
    assert whole.for_preprocessing(256) is whole

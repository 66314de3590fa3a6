"""The preprocessing is part of the model: the same picture must give the same array for ever."""

import hashlib
import io
import subprocess
import sys

import numpy as np
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from classifier import jpeg, preprocess
from classifier.errors import ModelError
from classifier.training.adversarial import gradient_picture
from tests import media

V1 = preprocess.get("open_nsfw-v1")


def _noise(width: int, height: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def plainly(image: Image.Image) -> np.ndarray:
    """The steps as the package that published the scores takes them, each on its own."""
    image = image.convert("RGB").resize((256, 256), Image.Resampling.BILINEAR).crop((16, 16, 240, 240))
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG")
    return np.asarray(Image.open(buffer))[:, :, ::-1]


def _varied(width: int, height: int, kind: str, seed: int) -> np.ndarray:
    """Noise, photograph-like, hard edges, or nearly one colour."""
    rng = np.random.default_rng(seed)
    if kind == "noise":
        return _noise(width, height, seed)
    if kind == "photo":
        return np.asarray(media.photo(width, height, seed))
    if kind == "edges":
        blocks = rng.choice(np.array([0, 255], np.uint8), (9, 7, 3))
        return np.asarray(Image.fromarray(blocks).resize((width, height), Image.Resampling.NEAREST))
    return rng.integers(0, 3, (height, width, 3), dtype=np.uint8) + np.uint8(seed % 250)


varied = st.builds(
    _varied,
    st.integers(1, 700),
    st.integers(1, 700),
    st.sampled_from(["noise", "photo", "edges", "flat"]),
    st.integers(0, 2**16),
)


@settings(max_examples=150, deadline=None)
@given(varied)
def test_every_shortcut_gives_the_bytes_of_the_published_steps(picture: np.ndarray) -> None:
    image = Image.fromarray(picture)
    np.testing.assert_array_equal(V1.prepare(image), plainly(image))


@pytest.mark.parametrize(
    "size", [(4001, 2999), (65_500, 3), (2, 65_500), (256, 256), (224, 224), (256, 3000)]
)
def test_no_size_of_picture_is_rounded_otherwise(size: tuple[int, int]) -> None:
    image = Image.fromarray(_noise(*size))
    np.testing.assert_array_equal(V1.prepare(image), plainly(image))


def test_the_libraries_that_are_installed_agree() -> None:
    """Where this fails the scores are right all the same, only slower."""
    assert jpeg.equals_pillow()


def test_where_the_libraries_disagree_everything_goes_by_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    class Rounding:
        def decode_jpeg(self, content: bytes, **options: object) -> np.ndarray:
            pixels = simplejpeg.decode_jpeg(content, **options).copy()
            pixels[-1, -1, 1] ^= 1
            return pixels

    picture = Image.fromarray(_noise(300, 200))
    expected = plainly(picture)
    monkeypatch.setattr(jpeg, "simplejpeg", Rounding())
    jpeg.equals_pillow.cache_clear()
    try:
        assert not jpeg.equals_pillow()
        np.testing.assert_array_equal(V1.prepare(picture), expected)
    finally:
        jpeg.equals_pillow.cache_clear()


def test_an_unknown_id_names_the_known_ones() -> None:
    with pytest.raises(ModelError, match=r"unknown preprocessing 'v9'.*open_nsfw-v1"):
        preprocess.get("v9")


def test_every_known_id_is_found_under_its_own_name() -> None:
    assert [preprocess.get(name).id for name in preprocess.known()] == list(preprocess.known())


def test_importing_it_does_not_import_torch() -> None:
    code = "import sys, classifier.preprocess; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_result_is_small_contiguous_uint8() -> None:
    prepared = V1.prepare(Image.fromarray(_noise(37, 500)))
    assert prepared.shape == (224, 224, 3)
    assert prepared.dtype == np.uint8
    assert prepared.flags.c_contiguous


def test_the_channels_are_blue_green_red() -> None:
    prepared = V1.prepare(Image.new("RGB", (300, 200), (250, 120, 10)))
    np.testing.assert_allclose(prepared[100, 100], (10, 120, 250), atol=3)


def test_the_edge_that_the_crop_removes_has_no_influence() -> None:
    picture = gradient_picture(256, 256, 1)
    framed = picture.copy()
    framed[:16], framed[-16:], framed[:, :16], framed[:, -16:] = 0, 255, 0, 255
    np.testing.assert_array_equal(V1.prepare(Image.fromarray(picture)), V1.prepare(Image.fromarray(framed)))


def test_the_jpeg_step_leaves_its_losses() -> None:
    picture = _noise(256, 256)
    uncompressed = picture[16:240, 16:240, ::-1]
    difference = np.abs(V1.prepare(Image.fromarray(picture)).astype(int) - uncompressed)
    assert difference.mean() > 5


@settings(max_examples=25, deadline=None)
@given(width=st.integers(1, 700), height=st.integers(1, 700), seed=st.integers(0, 2**16))
def test_an_array_gives_the_same_as_the_picture_in_either_channel_order(
    width: int, height: int, seed: int
) -> None:
    rgb = _noise(width, height, seed)
    expected = V1.prepare(Image.fromarray(rgb))
    np.testing.assert_array_equal(V1.prepare_array(rgb, "rgb"), expected)
    np.testing.assert_array_equal(V1.prepare_array(rgb[:, :, ::-1], "bgr"), expected)


@pytest.mark.parametrize(
    "bad", [np.zeros((5, 5), np.uint8), np.zeros((5, 5, 4), np.uint8), np.zeros((5, 5, 3), np.float32)]
)
def test_an_array_of_another_kind_is_refused(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"expected uint8 \(height, width, 3\)"):
        V1.prepare_array(bad, "rgb")


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1", "LA"])
def test_other_modes_are_converted(mode: str) -> None:
    picture = Image.fromarray(gradient_picture(300, 200, 3)).convert(mode)
    np.testing.assert_array_equal(V1.prepare(picture), V1.prepare(picture.convert("RGB")))


def test_preparing_twice_gives_the_same_bytes_and_leaves_the_picture_alone() -> None:
    picture = Image.fromarray(_noise(640, 480))
    before = hashlib.sha256(picture.tobytes()).hexdigest()
    assert V1.prepare(picture).tobytes() == V1.prepare(picture).tobytes()
    assert hashlib.sha256(picture.tobytes()).hexdigest() == before


def test_a_truncated_file_is_not_silently_accepted() -> None:
    buffer = io.BytesIO()
    Image.fromarray(_noise(64, 64)).save(buffer, "PNG")
    with pytest.raises(OSError, match="truncated"):
        V1.prepare(Image.open(io.BytesIO(buffer.getvalue()[:-2000])))

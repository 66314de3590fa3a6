"""JPEG decoding by simplejpeg (libjpeg-turbo), as far as it gives bit for bit what Pillow gives.

Pillow defines the scores. simplejpeg does the same in half the time, but brings a libjpeg of its own, and
another version of that may round otherwise. So both decode a few samples once per process, and where a single
byte differs, everything goes by Pillow: slower, never another score.

Only decoding is taken over: simplejpeg 1.9 compresses with the fast DCT whatever it is asked for, and Pillow
does not.
"""

import functools
import io
from typing import Literal

import numpy as np
import simplejpeg  # type: ignore[import-untyped]
from PIL import Image

from classifier.values import Pixels

Order = Literal["RGB", "BGR", "RGBX"]
# Sizes that end in the middle of a block, subsampling as in the wild, and both ways to order coefficients.
_SAMPLES = [
    ((67, 45), subsampling, progressive) for subsampling in (0, 1, 2) for progressive in (False, True)
]
_SAMPLES.append(((224, 224), 2, False))


@functools.cache
def equals_pillow() -> bool:
    """Whether simplejpeg may stand in for Pillow in this process; decodes a few samples at the first call.

    Returns:
        True where it gave the same bytes throughout.
    """
    return all(_same(_sample(*sample)) for sample in _SAMPLES)


def size_px(content: bytes) -> tuple[int, int] | None:
    """What simplejpeg takes for the size of a picture, before it allocates anything.

    Args:
        content: The file.

    Returns:
        Width and height in pixels; None where it cannot tell.
    """
    try:
        height_px, width_px, _, _ = simplejpeg.decode_jpeg_header(content)
    except ValueError:
        return None
    return int(width_px), int(height_px)


def decode(content: bytes, order: Order, least_px: tuple[int, int] = (0, 0)) -> Pixels | None:
    """Decode a JPEG with three channels (or grey, repeated); only where `equals_pillow`.

    Args:
        content: The file.
        order: Of the channels; `RGBX` has a fourth that means nothing.
        least_px: Width and height that must be left: decoded reduced as far as possible, in steps of an
            eighth. Zeros: in full.

    Returns:
        uint8 array (height, width, 3 or 4); None for anything out of the ordinary, damage included.
    """
    try:
        pixels: Pixels = simplejpeg.decode_jpeg(
            content, colorspace=order, min_width=least_px[0], min_height=least_px[1]
        )
    except ValueError:  # strict: a mere warning is an error too
        return None
    return pixels


def _same(content: bytes) -> bool:
    with Image.open(io.BytesIO(content), formats=("JPEG",)) as image:
        expected = np.asarray(image)
    rgb, bgr, rgbx = (decode(content, order) for order in ("RGB", "BGR", "RGBX"))
    return (
        rgb is not None
        and bgr is not None
        and rgbx is not None
        and np.array_equal(rgb, expected)
        and np.array_equal(bgr[:, :, ::-1], expected)
        and np.array_equal(rgbx[:, :, :3], expected)
    )


def _sample(size: tuple[int, int], subsampling: int, progressive: bool) -> bytes:
    """A picture with edges, slopes and noise, compressed by Pillow."""
    rng = np.random.default_rng(subsampling)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    image = Image.blend(
        coarse.resize(size, Image.Resampling.BICUBIC), coarse.resize(size, Image.Resampling.NEAREST), 0.5
    )
    noisy = np.asarray(image) // 2 + rng.integers(0, 128, (size[1], size[0], 3), dtype=np.uint8)
    with io.BytesIO() as buffer:
        Image.fromarray(noisy).save(
            buffer, "JPEG", quality=85, subsampling=subsampling, progressive=progressive
        )
        return buffer.getvalue()


__all__ = ["Order", "decode", "equals_pillow", "size_px"]

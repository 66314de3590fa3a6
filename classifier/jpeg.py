"""Decoding of the JPEGs that Pillow has just written, by simplejpeg, as far as it gives the very same bytes.

Pillow defines the scores. simplejpeg (libjpeg-turbo) reads small pictures in half the time and in the order
of channels that is asked for, but brings a libjpeg of its own, and another version of that may round
otherwise. So both decode a few samples once per process, and where a single byte differs, everything goes by
Pillow: slower, never another score.

Only this is taken over. simplejpeg 1.9 compresses with the fast DCT whatever it is asked for, and Pillow does
not. Uploads are decoded by Pillow: from 330x247 to 12 megapixels simplejpeg gained nothing there, once its
pixels were copied to where the exact resizing needs them.
"""

import functools
import io

import numpy as np
import simplejpeg
from PIL import Image

from classifier.values import Pixels

_SAMPLES_PX = ((224, 224), (67, 45), (16, 16))


@functools.cache
def equals_pillow() -> bool:
    """Whether simplejpeg may stand in for Pillow in this process; decodes a few samples at the first call.

    Returns:
        True where it gave the same bytes throughout.
    """
    return all(_same(_sample(*size)) for size in _SAMPLES_PX)


def decode_bgr(content: bytes) -> Pixels:
    """Decode a JPEG that Pillow has written from an RGB picture.

    Args:
        content: The file.

    Returns:
        uint8 array (height, width, 3), BGR, C-contiguous.
    """
    if equals_pillow():
        pixels: Pixels = simplejpeg.decode_jpeg(content, colorspace="BGR")
        return pixels
    return _by_pillow(content)


def _by_pillow(content: bytes) -> Pixels:
    with Image.open(io.BytesIO(content), formats=("JPEG",)) as image:
        return np.ascontiguousarray(np.asarray(image)[:, :, ::-1])


def _same(content: bytes) -> bool:
    return np.array_equal(simplejpeg.decode_jpeg(content, colorspace="BGR"), _by_pillow(content))


def _sample(width: int, height: int) -> bytes:
    """A picture with edges, slopes and noise, compressed as the preprocessing does."""
    rng = np.random.default_rng(width)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    smooth = coarse.resize((width, height), Image.Resampling.BICUBIC)
    edges = coarse.resize((width, height), Image.Resampling.NEAREST)
    noise = rng.integers(0, 128, (height, width, 3), dtype=np.uint8)
    image = Image.fromarray(np.asarray(Image.blend(smooth, edges, 0.5)) // 2 + noise)
    with io.BytesIO() as buffer:
        image.save(buffer, format="JPEG")
        return buffer.getvalue()


__all__ = ["decode_bgr", "equals_pillow"]

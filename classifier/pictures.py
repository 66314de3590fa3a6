"""One picture out of a file that was scored, for people or for a perceptual hash instead of for a model.

It is decoded once more, by a worker as before: the daemon's own process opens no file of a stranger, and most
files are small pictures, whose second decoding costs less than keeping every frame of the first would.
"""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from classifier.errors import DecodeError
from classifier.streams import Decoder
from classifier.values import Frame, MediaPart, Pixels


def picture_at(
    parts: Sequence[MediaPart],
    decoder: Decoder,
    preprocessing: str,
    *,
    at_s: float | None = None,
    page: int | None = None,
) -> Frame:
    """Decode a file up to a position.

    Args:
        parts: Its parts.
        decoder: Who decodes it.
        preprocessing: Id of the preprocessing, in `classifier.preprocess`.
        at_s: The moment in seconds, of a video or animation; None takes the first frame.
        page: The page, of a document.

    Returns:
        The frame at that position; where there is none any more, the nearest one. Its pixels are its own.

    Raises:
        DecodeError: Where not a single frame can be decoded.
    """
    pages = [part for part in parts if page is not None and part.page == page]
    best: Frame | None = None
    with decoder.open(pages or parts, preprocessing) as stream:
        for frames in stream:
            for frame in frames:
                if best is None or _distance(frame, at_s, page) < _distance(best, at_s, page):
                    best = frame
            if best is not None and _distance(best, at_s, page) == (0, 0):
                break
    if best is None:
        raise DecodeError("undecodable", "there is no picture in it")
    return Frame(best.pixels.copy(), best.at_s, best.page)


def as_jpeg(pixels: Pixels, quality: int) -> bytes:
    """Compress a picture; nothing but the picture is in the file.

    Args:
        pixels: uint8 array (height, width, 3), RGB.
        quality: Of the compression, 1 to 95.

    Returns:
        The file: of equal pictures the same bytes.
    """
    with io.BytesIO() as buffer:
        Image.fromarray(np.ascontiguousarray(pixels)).save(
            buffer, format="JPEG", quality=quality, optimize=True
        )
        return buffer.getvalue()


def _distance(frame: Frame, at_s: float | None, page: int | None) -> tuple[float, float]:
    pages = 0 if page is None else abs((frame.page or 0) - page)
    return pages, 0.0 if at_s is None else abs((frame.at_s or 0.0) - at_s)


__all__ = ["as_jpeg", "picture_at"]

"""Still pictures: Pillow first, OpenCV as a second opinion where Pillow gives up.

Each file is read by the one parser its bytes call for. A damaged file is scored by what is there, provided
that it is enough to judge, and is marked `truncated`; otherwise it ends in `undecodable`.

JPEGs are decoded in full unless `DecodeLimits.reduced_jpeg_px` asks for less: reduced decoding by libjpeg
(Pillow's `draft`) takes half the time or less of large originals, but changes scores that are in doubt.
Measured with `open_nsfw` on generated pictures, each a blend of a photograph-like one and a harmless positive
with a score anywhere between 0.05 and 0.95; by what is left of the shorter side, the difference of the scores
(mean, largest) and the decisions changed at 0.8:

    512 px (half of 1024, quarter of 2048)     0.082, 0.32, 6 %     0.055, 0.33, 4 %
    750 px, 1024 px                            0.069, 0.24, 5 %     0.054, 0.21, 6 %
    1500 px                                    0.051, 0.28, 7 %
    saved once more at quality 95 instead      0.051 to 0.056, 0.24, 4 to 14 %

There is no size from which on it is harmless: the model's own JPEG step makes large differences of invisible
ones. Scores that are not in doubt moved by 0.0002 on average and 0.006 at most.
"""

import struct
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import (
    Image,
    ImageFile,
    TiffImagePlugin,  # noqa: F401  (registers the format)
    WebPImagePlugin,  # noqa: F401
)

from classifier.decode.limits import MAX_PAGES, DecodeLimits
from classifier.decode.picture import (
    Picture,
    Report,
    orientation,
    rows_with_content,
    to_rgb,
    to_uint8,
    upright,
)
from classifier.decode.sampling import evenly
from classifier.errors import DecodeError

# What Pillow lets through from its parsers for damaged files; anything else ends the worker.
PILLOW_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    AttributeError,
    ArithmeticError,
    LookupError,
    EOFError,
    RuntimeError,
    struct.error,
    zlib.error,
)
# With less of a picture than this there is nothing to judge.
_MIN_DECODED_SHARE = 0.25
_MIN_DECODED_ROWS = 16
_FACTORS = (8, 4, 2)


def decode_image(path: Path, format_name: str, limits: DecodeLimits, report: Report) -> Iterator[Picture]:
    """Decode a still picture, or the pages of a TIFF (first and last included, evenly spread, at most 12).

    Args:
        path: The file.
        format_name: As `sniff` names it: `JPEG`, `PNG`, `TIFF`, `BMP`, `WEBP` or `GIF`.
        limits: What is allowed.
        report: Filled in on the way.

    Yields:
        Upright RGB pictures.

    Raises:
        DecodeError: `undecodable` or `too_large`.
    """
    try:
        with open_pillow(path, format_name, limits) as image:
            if format_name == "TIFF" and getattr(image, "n_frames", 1) > 1:
                yield from _pages(image, limits, report)
                return
            factor = reduce_jpeg(image, limits) if format_name == "JPEG" else 1
            rgb = upright_rgb(image)
        report.decoder = "pillow" if factor == 1 else f"pillow-1/{factor}"
    except PILLOW_ERRORS as error:
        rgb = _second_opinion(path, format_name, limits, report, str(error))
    yield Picture(rgb)


def open_pillow(file: Path | BinaryIO, format_name: str, limits: DecodeLimits) -> Image.Image:
    """Open a file with the one parser it is meant for; its pixels are not decoded yet.

    Args:
        file: The file, or its bytes opened for reading.
        format_name: Pillow's name of the format.
        limits: What is allowed.

    Returns:
        The picture, to be closed by the caller.

    Raises:
        DecodeError: `too_large`.
        OSError: And whatever else is in `PILLOW_ERRORS`, for a damaged file.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image = Image.open(file, formats=(format_name,))
        except Image.DecompressionBombError as error:
            raise DecodeError("too_large", str(error)) from error
    try:
        limits.check_picture(*image.size)
    except DecodeError:
        image.close()
        raise
    return image


def reduce_jpeg(image: Image.Image, limits: DecodeLimits) -> int:
    """Have a JPEG decoded at the smallest size that leaves enough.

    Args:
        image: As Pillow opened it, not yet loaded.
        limits: `reduced_jpeg_px` counts.

    Returns:
        What each side is divided by.
    """
    if limits.reduced_jpeg_px is not None:
        for factor in _FACTORS:
            if min(image.size) >= limits.reduced_jpeg_px * factor:
                image.draft(None, (image.width // factor, image.height // factor))
                return factor
    return 1


def upright_rgb(image: Image.Image) -> Image.Image:
    """Decode what Pillow has opened.

    Args:
        image: As Pillow opened it.

    Returns:
        Mode RGB, upright, transparency on white; the same picture where there was nothing to do.
    """
    image.load()
    return upright(to_rgb(image), orientation(image))


def _pages(image: Image.Image, limits: DecodeLimits, report: Report) -> Iterator[Picture]:
    report.kind = "document"
    reason = "no page"
    wanted = evenly(image.n_frames, min(MAX_PAGES, limits.max_frames))  # type: ignore[attr-defined]
    for index in wanted:
        try:
            image.seek(index)
            limits.check_picture(*image.size)
            rgb = upright_rgb(image)
            if rgb is image:  # going on to the next page would overwrite it
                rgb = image.copy()
        except PILLOW_ERRORS as error:
            report.truncated = True
            reason = str(error)
            continue
        report.decoder = "pillow"
        yield Picture(rgb, page=index + 1)
    if not report.decoder:
        raise DecodeError("undecodable", f"no page of the TIFF can be decoded: {reason}")


def _second_opinion(
    path: Path, format_name: str, limits: DecodeLimits, report: Report, reason: str
) -> Image.Image:
    """What Pillow decodes leniently, else what OpenCV makes of it."""
    partial = _lenient(path, format_name, limits)
    if partial is not None:
        if (enough := _decoded_rows(*partial)) is not None:
            report.decoder, report.truncated = "pillow", True
            return enough
        reason = "too little of it is there"
    other = _opencv(path, format_name, limits)
    # OpenCV does not say what it made up; where Pillow found the data missing, that is looked for.
    if other is not None and (partial is None or _decoded_rows(other, 1) is not None):
        report.decoder, report.truncated = "opencv", partial is not None
        return other
    raise DecodeError("undecodable", f"the {format_name} picture cannot be decoded: {reason}")


def _lenient(path: Path, format_name: str, limits: DecodeLimits) -> tuple[Image.Image, int] | None:
    """The picture with its missing rows in one colour, and its orientation."""
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    try:
        with open_pillow(path, format_name, limits) as image:
            image.load()
            return to_rgb(image), orientation(image)
    except PILLOW_ERRORS:
        return None
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = False


def _decoded_rows(rgb: Image.Image, turn: int) -> Image.Image | None:
    """The rows that are there, upright; None where they are too few."""
    rows = rows_with_content(rgb)
    if rows < max(_MIN_DECODED_SHARE * rgb.height, min(_MIN_DECODED_ROWS, rgb.height)):
        return None
    return upright(rgb.crop((0, 0, rgb.width, rows)), turn)


def _opencv(path: Path, format_name: str, limits: DecodeLimits) -> Image.Image | None:
    # Loaded with the first damaged file only: most workers never see one, and it costs 25 MB.
    import cv2

    # Colour mode obeys EXIF but clips wide samples; only TIFF and PNG have those, and we scale them
    # ourselves.
    mode = cv2.IMREAD_UNCHANGED if format_name in ("TIFF", "PNG") else cv2.IMREAD_COLOR_BGR
    try:
        pixels = cv2.imread(str(path), mode)
    except cv2.error as error:
        if error.code == cv2.Error.StsNoMem:
            raise MemoryError(str(error)) from error
        return None
    if pixels is None or pixels.size == 0:
        return None
    limits.check_picture(pixels.shape[1], pixels.shape[0])
    pixels = to_uint8(pixels)
    if pixels.ndim == 2:
        return Image.fromarray(pixels).convert("RGB")
    order = [2, 1, 0, 3][: pixels.shape[2]] if pixels.shape[2] >= 3 else [0]
    return to_rgb(Image.fromarray(np.ascontiguousarray(pixels[:, :, order].squeeze())))


__all__ = ["PILLOW_ERRORS", "decode_image", "open_pillow", "reduce_jpeg", "upright_rgb"]

"""From a verified file to an upright RGB picture, within the training process.

Uploads are decoded in confined workers, and so is every file once before it enters a dataset. Here the very
bytes that came through that are decoded again, many times: who asks proves by the SHA-256 that they are the
same, and they still reach only the parser that their first bytes call for, within a limit of pixels.
"""

import hashlib
import io
from pathlib import Path

from PIL import Image

from classifier.datasets.values import DatasetError
from classifier.decode.image import PILLOW_ERRORS, open_pillow, reduce_jpeg, upright_rgb
from classifier.decode.limits import DecodeLimits
from classifier.decode.picture import orientation
from classifier.decode.sniff import HEAD_BYTES, sniff
from classifier.errors import DecodeError

_FORMATS = frozenset({"JPEG", "PNG", "TIFF", "BMP", "WEBP", "GIF"})
_SIDEWAYS = frozenset({5, 6, 7, 8})
"""EXIF orientations that exchange width and height."""


def read_picture(path: Path, sha256: str, limits: DecodeLimits) -> Image.Image:
    """Decode a still picture, of an animation the first frame.

    Args:
        path: The file.
        sha256: What its bytes must have; empty: whatever they are.
        limits: `max_pixels` and `reduced_jpeg_px` count.

    Returns:
        Mode RGB, upright, transparency on white.

    Raises:
        DatasetError: Where the file is missing, is not the verified one, or cannot be decoded.
    """
    content = _content(path, sha256)
    try:
        with _opened(content, limits) as image:
            if image.format == "JPEG":
                reduce_jpeg(image, limits)
            return upright_rgb(image)
    except (*PILLOW_ERRORS, DecodeError) as error:
        raise DatasetError(f"cannot be decoded: {error}", path) from error


def read_size(path: Path, limits: DecodeLimits) -> tuple[int, int]:
    """Width and height of the upright picture, from the file's head.

    Args:
        path: The file.
        limits: `max_pixels` counts.

    Returns:
        Both in pixels.

    Raises:
        DatasetError: Where the file is missing or is no picture.
    """
    content = _content(path, "")
    try:
        with _opened(content, limits) as image:
            width, height = image.size
            return (height, width) if orientation(image) in _SIDEWAYS else (width, height)
    except (*PILLOW_ERRORS, DecodeError) as error:
        raise DatasetError(f"cannot be decoded: {error}", path) from error


def _content(path: Path, sha256: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"cannot be read: {error.strerror or error}", path) from error
    if sha256 and hashlib.sha256(content).hexdigest() != sha256:
        raise DatasetError("is not the file that was verified; build the dataset anew", path, None, "sha256")
    return content


def _opened(content: bytes, limits: DecodeLimits) -> Image.Image:
    found = sniff(content[:HEAD_BYTES], len(content))
    if found.name not in _FORMATS:
        what = f"it is no picture but {found.name or found.family}"
        if found.family == "video":
            what += "; train on frames of films (dataset build --level frame)"
        raise DecodeError("unsupported_type", what)
    return open_pillow(io.BytesIO(content), found.name, limits)


__all__ = ["read_picture", "read_size"]

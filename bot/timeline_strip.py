"""The few frames of a file that a timeline shows: chosen while frames go by, blurred before they are drawn.

A film of ten hours must not need more memory than a clip, so never more than a few dozen small pictures are
kept: those with the highest scores, the first, the last, and what is left evenly spread, in whatever order
the frames come. There is no way to get an unblurred picture out of this module: nothing is shown unblurred
unasked, and a written page can be forwarded to somebody who never asked.
"""

from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from PIL import Image, ImageFilter

from classifier.preprocess import ChannelOrder
from classifier.values import Frame, FrameResult, Pixels

THUMBNAILS: Final = 12
"""Most pictures in a strip."""
THUMBNAIL_PX: Final = 160
DETAIL_PX: Final = 16
"""Each thumbnail is first reduced to so many pixels a side, so that no sharpening brings back more."""
BLUR_RADIUS_PX: Final = 8.0

_KEPT: Final = 4 * THUMBNAILS
_HIGHEST: Final = 3


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """One blurred picture of the strip.

    Attributes:
        frame: Its score and position.
        picture: RGB, 160x160, blurred beyond recognition.
    """

    frame: FrameResult
    picture: Image.Image


@dataclass(frozen=True, slots=True, order=True)
class _Kept:
    """A frame that may come into the strip; sorted by position, then by arrival."""

    at: float
    number: int
    score: float = field(compare=False)
    frame: Frame = field(compare=False)


class Strip:
    """Collects frames as they are scored; `Strip.add` is an `OnFrame` of `classifier.scoring`.

    Args:
        channels: Their order in the frames, as the model's preprocessing leaves them.
    """

    def __init__(self, channels: ChannelOrder) -> None:
        self._channels = channels
        self._kept: list[_Kept] = []
        self._highest: list[_Kept] = []
        self._seen = 0

    def __len__(self) -> int:
        """How many frames are kept at the moment."""
        return len(self._kept)

    def add(self, frame: Frame, score: float) -> None:
        """Take note of a frame.

        Args:
            frame: The frame as the model saw it: uint8 (height, width, 3).
            score: 0..1.
        """
        position = frame.at_s if frame.at_s is not None else frame.page
        at = float(self._seen if position is None else position)
        kept = _Kept(at, self._seen, score, Frame(frame.pixels.copy(), frame.at_s, frame.page))
        self._seen += 1
        insort(self._kept, kept)
        # Of equal scores the first counts, as for the file's own score.
        self._highest = sorted([*self._highest, kept], key=lambda one: (-one.score, one.number))[:_HIGHEST]
        if len(self._kept) > _KEPT:
            self._thin()

    def thumbnails(self) -> list[Thumbnail]:
        """Choose and blur.

        Returns:
            At most `THUMBNAILS`, by position; among them the first frame, the last, and the highest scores.
        """
        return [
            Thumbnail(
                FrameResult(kept.score, kept.frame.at_s, kept.frame.page),
                blurred(kept.frame.pixels, self._channels),
            )
            for kept in self._chosen()
        ]

    def _thin(self) -> None:
        """Drop the frame whose neighbours lie closest together; never the first or the last."""
        inner = range(1, len(self._kept) - 1)
        dropped = min(inner, key=lambda i: self._kept[i + 1].at - self._kept[i - 1].at)
        del self._kept[dropped]

    def _chosen(self) -> list[_Kept]:
        if len(self._kept) <= THUMBNAILS:
            return self._kept
        chosen = list({one.number: one for one in (self._kept[0], self._kept[-1], *self._highest)}.values())
        rest = [one for one in self._kept if one not in chosen]
        while len(chosen) < THUMBNAILS:
            farthest = max(rest, key=lambda one: _distance(one, chosen))
            rest.remove(farthest)
            chosen.append(farthest)
        return sorted(chosen)


def _distance(one: _Kept, others: Sequence[_Kept]) -> float:
    return min(abs(one.at - other.at) for other in others)


def blurred(pixels: Pixels, channels: ChannelOrder) -> Image.Image:
    """Make a thumbnail on which colours and large shapes remain, and nothing else.

    Args:
        pixels: uint8 (height, width, 3), as preprocessing leaves it.
        channels: Their order.

    Returns:
        RGB, `THUMBNAIL_PX` square.
    """
    picture = Image.fromarray(np.ascontiguousarray(pixels if channels == "rgb" else pixels[:, :, ::-1]))
    coarse = picture.resize((DETAIL_PX, DETAIL_PX), Image.Resampling.BOX)
    enlarged = coarse.resize((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.BICUBIC)
    return enlarged.filter(ImageFilter.GaussianBlur(BLUR_RADIUS_PX))


__all__ = ["BLUR_RADIUS_PX", "DETAIL_PX", "THUMBNAILS", "THUMBNAIL_PX", "Strip", "Thumbnail", "blurred"]

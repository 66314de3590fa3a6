"""From a decoded video frame to a small upright picture, by the decoder library's own scaler.

Every known preprocessing begins by shrinking the whole picture, to a square or keeping its shape. Done while
the colours are converted, that touches each pixel once and hands a small part of the bytes to Python: 1.3 ms
a frame of 1920x1080 with everything that follows, instead of 8.0.

Scores move by no more than they do between two ways of converting the colours. Measured with `open_nsfw` on
105 harmless positives blended with photographs, most of them in doubt: mean 0.011 and at most 0.12, where
OpenCV's conversion instead of ffmpeg's at full size moves them by 0.010 and 0.15, and noise of one level by
0.009 and 0.07. Of ffmpeg's filters, area averaging is the cheapest that stays there (fast bilinear: 0.024 and
0.51).
"""

import av
import av.video.frame
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from classifier.decode.limits import DecodeLimits
from classifier.decode.picture import Picture
from classifier.preprocess import video_frame_size


class FrameScaler:
    """Scales the frames of one video; keeps the scaler between them.

    Args:
        limits: Pixels are checked frame by frame, since a stream may change its size on the way;
            `video_frame_px` and `video_keeps_aspect` say how large the result is.
    """

    def __init__(self, limits: DecodeLimits) -> None:
        self._limits = limits
        self._reformatter = VideoReformatter()

    def picture(self, frame: av.video.frame.VideoFrame, at_s: float) -> Picture:
        """Convert a frame.

        Args:
            frame: As decoded.
            at_s: Its time in seconds.

        Returns:
            The picture: uint8 (side, side, 3), or (height, width, 3) where its shape is kept, or of its own
            size where no side is set; BGR, upright.

        Raises:
            DecodeError: `too_large`.
            FFmpegError: Where the scaler does not know the frame's format.
        """
        self._limits.check_picture(frame.width, frame.height)
        width_px, height_px = self._size(frame.width, frame.height)
        scaled = self._reformatter.reformat(
            frame,
            width_px,
            height_px,
            "bgr24",
            interpolation=Interpolation.AREA,
            threads=1,
        )
        # The display matrix counts degrees counterclockwise, as `rot90` does.
        quarters = round(frame.rotation / 90) % 4
        return Picture(np.ascontiguousarray(np.rot90(scaled.to_ndarray(), quarters)), at_s=at_s)

    def _size(self, width_px: int, height_px: int) -> tuple[int, int]:
        side_px = self._limits.video_frame_px
        if side_px is None:
            return width_px, height_px
        if self._limits.video_keeps_aspect:
            return video_frame_size(width_px, height_px, side_px)
        return side_px, side_px


__all__ = ["FrameScaler"]

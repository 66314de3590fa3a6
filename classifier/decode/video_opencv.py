"""Video by OpenCV, frame after frame: the way out where PyAV decodes nothing.

Every frame is decoded and only the wanted ones are converted. Its wheel lacks AV1, it cannot be told which
stream to take, and it gives up on damage that others step over: ending early, or without the last frame, is
for the caller to notice in the progress.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from classifier.decode.container import DEMUXERS, VideoStream
from classifier.decode.limits import DecodeLimits
from classifier.decode.picture import Picture
from classifier.decode.progress import FrameClock, Progress

# Read by OpenCV whenever it opens a file. As in `container`: no playlists, no addresses, no threads.
_OPTIONS = f"protocol_whitelist;file|threads;1|format_whitelist;{','.join(DEMUXERS.values())}"
# OpenCV cannot go back to the frame before the end, so near the expected end every frame is kept until the
# next.
_TAIL_S = 1.0


def opencv_frames(
    path: Path, stream: VideoStream, limits: DecodeLimits, progress: Progress
) -> Iterator[Picture]:
    """Decode from the start.

    Args:
        path: The file, an absolute path.
        stream: What the container says.
        limits: What is allowed.
        progress: Filled in on the way.

    Yields:
        The wanted frames and, where the stream ends as expected, the last one; uint8 (height, width, 3), BGR,
        upright.

    Raises:
        DecodeError: `too_large`.
        MemoryError: Where OpenCV gets no memory.
    """
    os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = _OPTIONS
    cv2.setNumThreads(1)
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    try:
        yield from _frames(capture, stream, limits, progress)
    except cv2.error as error:
        if error.code == cv2.Error.StsNoMem:
            raise MemoryError(str(error)) from error
        progress.errors += 1
    finally:
        capture.release()


def _frames(
    capture: cv2.VideoCapture, stream: VideoStream, limits: DecodeLimits, progress: Progress
) -> Iterator[Picture]:
    clock = FrameClock(stream.frame_s, stream.duration_s)
    tail_from_s = stream.duration_s - _TAIL_S if stream.duration_s is not None else 0.0
    tail_from_s = max(tail_from_s, 0.0)
    tail: Picture | None = None
    while capture.grab():
        at_s = clock.at(_reported_s(capture, progress))
        progress.seen_s = at_s
        wanted = progress.sampler.wants(at_s)
        tail = None
        if not wanted and progress.too_dear():
            return
        if not wanted and (stream.duration_s is None or at_s < tail_from_s):
            continue
        limits.check_picture(
            int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
        )
        retrieved, pixels = capture.retrieve()
        if not retrieved:
            progress.errors += 1
            continue
        tail = Picture(np.asarray(pixels, dtype=np.uint8), at_s=at_s)
        if wanted:
            progress.given_s = at_s
            yield tail
            tail = None
    if tail is not None:
        progress.given_s = tail.at_s
        yield tail


def _reported_s(capture: cv2.VideoCapture, progress: Progress) -> float | None:
    """OpenCV reports 0 where a frame has no time; only the first may mean it."""
    reported_s = float(capture.get(cv2.CAP_PROP_POS_MSEC)) / 1000
    return None if reported_s == 0 and progress.seen_s is not None else reported_s


__all__ = ["opencv_frames"]

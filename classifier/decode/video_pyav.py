"""Video by PyAV: what OpenCV's wheel cannot decode, and what it left undone.

Steps over damaged packets, knows the last frame, and can look at keyframes alone when a file is too long for
decoding every frame within the CPU allowance.
"""

from collections.abc import Iterator
from pathlib import Path

import av
import av.container
import av.video.frame
import av.video.stream
import numpy as np

from classifier.decode.container import AV_ERRORS, VideoStream, open_container
from classifier.decode.limits import DecodeLimits
from classifier.decode.picture import Picture
from classifier.decode.progress import FrameClock, Progress

_KEYFRAMES_AT_MOST = 60
_EPSILON_S = 1e-6
# More damage than this in a row, and there is nothing worth waiting for.
_MAX_ERRORS_IN_A_ROW = 200


def pyav_frames(
    path: Path, format_name: str, stream: VideoStream, limits: DecodeLimits, progress: Progress
) -> Iterator[Picture]:
    """Decode from behind the last frame handed out to the end.

    Args:
        path: The file.
        format_name: As `sniff` names it.
        stream: Which stream.
        limits: What is allowed.
        progress: Where to go on; filled in on the way.

    Yields:
        The wanted frames and the last one; uint8 (height, width, 3), BGR, upright.

    Raises:
        DecodeError: `too_large` or `undecodable`.
        MemoryError: Where ffmpeg gets no memory.
    """
    with open_container(path, format_name) as container:
        video = _prepared(container, stream)
        if progress.given_s:
            _seek(container, video, progress.given_s)
        clock = FrameClock(stream.frame_s, stream.duration_s)
        last: tuple[av.video.frame.VideoFrame, float] | None = None
        for frame in _decoded(container, video, progress):
            at_s = clock.at(_reported_s(frame, video))
            if progress.given_s is not None and at_s <= progress.given_s + _EPSILON_S:
                continue
            progress.seen_s = at_s
            last = (frame, at_s)
            if progress.sampler.wants(at_s):
                last = None
                progress.given_s = at_s
                yield _picture(frame, at_s, limits)
            elif progress.too_dear():
                return
        if last is not None:
            progress.given_s = progress.seen_s = last[1]
            yield _picture(*last, limits)


def keyframes(
    path: Path, format_name: str, stream: VideoStream, limits: DecodeLimits, progress: Progress
) -> Iterator[Picture]:
    """Look at keyframes evenly spread over the rest of the file.

    Args:
        path: The file.
        format_name: As `sniff` names it.
        stream: Which stream; its duration must be known, else there is nothing to spread over.
        limits: What is allowed.
        progress: Where to go on; filled in on the way.

    Yields:
        As `pyav_frames`; times are those of the keyframes.

    Raises:
        DecodeError: `too_large` or `undecodable`.
        MemoryError: Where ffmpeg gets no memory.
    """
    if stream.duration_s is None:
        return
    with open_container(path, format_name) as container:
        video = _prepared(container, stream)
        video.codec_context.skip_frame = "NONKEY"
        start_s = progress.seen_s or 0.0
        for target_s in np.linspace(start_s, stream.duration_s, _KEYFRAMES_AT_MOST + 1)[1:]:
            _seek(container, video, float(target_s))
            frame = next(_decoded(container, video, progress), None)
            at_s = None if frame is None else _reported_s(frame, video)
            if frame is None or at_s is None or at_s <= (progress.given_s or 0.0) + _EPSILON_S:
                continue
            progress.seen_s = progress.given_s = at_s
            yield _picture(frame, at_s, limits)


def _prepared(container: av.container.InputContainer, stream: VideoStream) -> av.video.stream.VideoStream:
    video = next(video for video in container.streams.video if video.index == stream.index)
    video.thread_type = "NONE"
    video.codec_context.thread_count = 1
    return video


def _seek(container: av.container.InputContainer, video: av.video.stream.VideoStream, at_s: float) -> None:
    """Go to the keyframe before a time; where that is impossible, stay."""
    if video.time_base is None:
        return
    offset = round(at_s / float(video.time_base)) + (video.start_time or 0)
    try:
        container.seek(offset, stream=video)
    except AV_ERRORS:
        return


def _decoded(
    container: av.container.InputContainer, video: av.video.stream.VideoStream, progress: Progress
) -> Iterator[av.video.frame.VideoFrame]:
    packets = container.demux(video)
    errors_in_a_row = 0
    while errors_in_a_row < _MAX_ERRORS_IN_A_ROW:
        try:
            packet = next(packets, None)
        except AV_ERRORS as error:  # the generator is over, what the decoder still holds is lost
            _raise_if_memory(error)
            progress.errors += 1
            return
        if packet is None:
            return
        try:
            frames = packet.decode()
        except AV_ERRORS as error:
            _raise_if_memory(error)
            if isinstance(error, av.error.EOFError):
                return
            progress.errors += 1
            errors_in_a_row += 1
            continue
        if frames:
            errors_in_a_row = 0
        yield from frames


def _raise_if_memory(error: Exception) -> None:
    if isinstance(error, av.error.MemoryError):
        raise MemoryError(str(error)) from error  # noqa: TRY004  (not about a type)


def _reported_s(frame: av.video.frame.VideoFrame, video: av.video.stream.VideoStream) -> float | None:
    if frame.pts is None or frame.time_base is None:
        return None
    start = video.start_time or 0
    return float(frame.pts * frame.time_base - start * (video.time_base or frame.time_base))


def _picture(frame: av.video.frame.VideoFrame, at_s: float, limits: DecodeLimits) -> Picture:
    limits.check_picture(frame.width, frame.height)
    pixels = frame.to_ndarray(format="bgr24")
    # The display matrix counts degrees counterclockwise, as `rot90` does.
    quarters = round(frame.rotation / 90) % 4
    return Picture(np.ascontiguousarray(np.rot90(pixels, quarters)), at_s=at_s)


__all__ = ["keyframes", "pyav_frames"]

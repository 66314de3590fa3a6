"""What a video container says of itself, and what of that is believed; reads headers, decodes nothing.

ffmpeg is told which demuxer to use and may open local files only: a playlist dressed up as a video must not
make it fetch addresses or read other files.
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import av.container
import av.stream
import av.video.stream

from classifier.errors import DecodeError

DEMUXERS = {
    "Matroska": "matroska",
    "Ogg": "ogg",
    "MP4": "mov",
    "MPEG-PS": "mpeg",
    "MPEG-ES": "mpegvideo",
    "MPEG-TS": "mpegts",
    "AVI": "avi",
}
# Below this no moving picture fits: the header's duration is taken for a lie and found out while decoding.
_MIN_BYTES_PER_S = 1000
_DEFAULT_RATE = Fraction(25)
_ATTACHED_PICTURE = av.stream.Disposition.attached_pic
AV_ERRORS = (av.error.FFmpegError, ValueError, UnicodeDecodeError)


@dataclass(frozen=True, slots=True)
class VideoStream:
    """The stream that a viewer sees.

    Attributes:
        index: Its number in the container.
        alone: True where no other video stream or attached picture could be taken for it.
        duration_s: Length in seconds, None where missing or not to be believed.
        frame_s: Usual time between two frames in seconds.
        width_px: Width, 0 where the header does not tell.
        height_px: Height, 0 where the header does not tell.
    """

    index: int
    alone: bool
    duration_s: float | None
    frame_s: float
    width_px: int
    height_px: int


def open_container(path: Path, format_name: str) -> av.container.InputContainer:
    """Open a container with the one demuxer it is meant for.

    Args:
        path: The file.
        format_name: As `sniff` names it, a key of `DEMUXERS`.

    Returns:
        The container, to be closed by the caller.

    Raises:
        DecodeError: `undecodable`.
    """
    demuxer = DEMUXERS[format_name]
    options = {"protocol_whitelist": "file", "format_whitelist": demuxer}
    try:
        return av.open(f"file:{path}", format=demuxer, container_options=options, metadata_errors="replace")
    except av.error.MemoryError as error:
        raise MemoryError(str(error)) from error
    except AV_ERRORS as error:
        raise DecodeError("undecodable", f"the {format_name} file cannot be opened: {error}") from error


def find_video(path: Path, format_name: str) -> VideoStream:
    """Find the stream to look at.

    Args:
        path: The file.
        format_name: As `sniff` names it.

    Returns:
        The stream.

    Raises:
        DecodeError: `audio` where there is sound, perhaps with a cover, but no video; `undecodable`.
    """
    with open_container(path, format_name) as container:
        pictures = container.streams.video
        moving = [stream for stream in pictures if not stream.disposition & _ATTACHED_PICTURE]
        if not moving:
            if container.streams.audio:
                raise DecodeError("audio", f"the {format_name} file holds sound and no video")
            raise DecodeError("undecodable", f"the {format_name} file holds no video")
        best = container.streams.best("video")
        stream = best if best in moving else moving[0]
        rate = stream.average_rate or stream.guessed_rate or _DEFAULT_RATE
        return VideoStream(
            index=stream.index,
            alone=len(pictures) == 1,
            duration_s=_believed_duration_s(container, stream, path.stat().st_size),
            frame_s=float(1 / rate) if rate > 0 else float(1 / _DEFAULT_RATE),
            width_px=stream.codec_context.width,
            height_px=stream.codec_context.height,
        )


def _believed_duration_s(
    container: av.container.InputContainer, stream: av.video.stream.VideoStream, size_bytes: int
) -> float | None:
    if stream.duration and stream.time_base:
        duration_s = float(stream.duration * stream.time_base)
    elif (tagged_s := _clock_s(stream.metadata.get("DURATION", ""))) is not None:
        duration_s = tagged_s
    elif container.duration:
        duration_s = container.duration / av.time_base
    else:
        return None
    if not math.isfinite(duration_s) or duration_s <= 0 or size_bytes / duration_s < _MIN_BYTES_PER_S:
        return None
    return duration_s


def _clock_s(text: str) -> float | None:
    """Matroska's DURATION tag, `00:00:03.000000000`."""
    try:
        hours, minutes, seconds = text.split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError:
        return None


__all__ = ["AV_ERRORS", "DEMUXERS", "VideoStream", "find_video", "open_container"]

"""What a video container says of itself, and what of that is believed; reads headers, decodes nothing.

ffmpeg is told which demuxer to use and may open local files only: a playlist dressed up as a video must not
make it fetch addresses or read other files.
"""

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import av.container
import av.packet
import av.stream
import av.video.stream

from classifier.decode.remote import BlockFile
from classifier.errors import DecodeError
from classifier.values import BlockSource

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
# Packets are ordered by when they are decoded, which is before they are shown.
_AHEAD_S = 10.0
_MAX_ERRORS_IN_A_ROW = 50
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
        source: What brings the bytes of the file that are still missing; None where it is whole.
    """

    index: int
    alone: bool
    duration_s: float | None
    frame_s: float
    width_px: int
    height_px: int
    source: BlockSource | None = None


@dataclass(frozen=True, slots=True)
class StreamClock:
    """Seconds from the announced start of a stream, from and to the time stamps of its packets.

    Attributes:
        base_s: What one tick lasts.
        start: The tick at which the stream starts.
    """

    base_s: float
    start: int

    @classmethod
    def of(cls, video: av.video.stream.VideoStream) -> "StreamClock":
        """The clock of a stream; one without a time base counts in frames of the usual rate.

        Args:
            video: The stream.

        Returns:
            Its clock.
        """
        return cls(float(video.time_base or 1 / _DEFAULT_RATE), video.start_time or 0)

    def seconds(self, ticks: int | None) -> float | None:
        """When a time stamp is.

        Args:
            ticks: The time stamp, None where there is none.

        Returns:
            Seconds, negative for what comes before the announced start.
        """
        return None if ticks is None else (ticks - self.start) * self.base_s

    def ticks(self, at_s: float) -> int:
        """The time stamp of a moment.

        Args:
            at_s: Seconds from the start of the stream.

        Returns:
            The last tick that is not after it, but for rounding.
        """
        return math.floor((at_s + 1e-6) / self.base_s) + self.start


def open_container(
    path: Path, format_name: str, source: BlockSource | None = None
) -> av.container.InputContainer:
    """Open a container with the one demuxer it is meant for.

    Args:
        path: The file.
        format_name: As `sniff` names it, a key of `DEMUXERS`.
        source: What brings the bytes that are still missing; None where the file is whole.

    Returns:
        The container, to be closed by the caller.

    Raises:
        DecodeError: `undecodable`.
    """
    demuxer = DEMUXERS[format_name]
    options = {"protocol_whitelist": "file", "format_whitelist": demuxer}
    if demuxer == "mov":
        # Edit lists may hide and repeat what is in the file, and applying them takes a second index: 30 MB
        # for ten hours. Of a simple one, the shift of the clock is still kept.
        options["advanced_editlist"] = "0"
    file = f"file:{path}" if source is None else BlockFile(path, source)
    try:
        return av.open(file, "r", format=demuxer, container_options=options, metadata_errors="replace")
    except av.error.MemoryError as error:
        raise MemoryError(str(error)) from error
    except AV_ERRORS as error:
        raise DecodeError("undecodable", f"the {format_name} file cannot be opened: {error}") from error


def find_video(path: Path, format_name: str, source: BlockSource | None = None) -> VideoStream:
    """Find the stream to look at.

    Args:
        path: The file.
        format_name: As `sniff` names it.
        source: As for `open_container`.

    Returns:
        The stream.

    Raises:
        DecodeError: `audio` where there is sound, perhaps with a cover, but no video; `undecodable`.
    """
    with open_container(path, format_name, source) as container:
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
            source=source,
        )


def seek(container: av.container.InputContainer, video: av.video.stream.VideoStream, at_s: float) -> None:
    """Go to the keyframe at or before a time; where that is impossible, stay.

    Args:
        container: The open file.
        video: The stream to go by.
        at_s: Seconds from the start of the stream; at 0 every packet comes, also those sent ahead.
    """
    if at_s <= 0:
        at_s = -_AHEAD_S
    with contextlib.suppress(*AV_ERRORS):
        container.seek(StreamClock.of(video).ticks(at_s), stream=video)


def packets(
    container: av.container.InputContainer, video: av.video.stream.VideoStream, noted: Callable[[], None]
) -> "Iterator[av.packet.Packet[av.video.stream.VideoStream]]":
    """Read the packets of a stream from the present position on, stepping over what is damaged.

    Args:
        container: The open file.
        video: The stream.
        noted: Called for each place where the container made no sense.

    Yields:
        Packets with content.

    Raises:
        MemoryError: Where ffmpeg gets no memory.
    """
    errors_in_a_row = 0
    while errors_in_a_row < _MAX_ERRORS_IN_A_ROW:
        try:
            for packet in container.demux(video):
                if packet.size:
                    errors_in_a_row = 0
                    yield packet
        except AV_ERRORS as error:
            raise_if_memory(error)
            errors_in_a_row += 1
            noted()
        else:
            return


def raise_if_memory(error: Exception) -> None:
    """Pass on that there is no memory, which ends the job; anything else is damage to step over.

    Args:
        error: What ffmpeg raised.

    Raises:
        MemoryError: Where that is the reason.
    """
    if isinstance(error, av.error.MemoryError):
        raise MemoryError(str(error)) from error  # noqa: TRY004  (not about a type)


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


__all__ = [
    "AV_ERRORS",
    "DEMUXERS",
    "StreamClock",
    "VideoStream",
    "find_video",
    "open_container",
    "packets",
    "raise_if_memory",
    "seek",
]

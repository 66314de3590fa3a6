"""Videos: PyAV first, OpenCV for what it cannot do; no frame is never "nothing found".

Frames come at the moments `sampling` chooses, with the times of the actual frames, the first and the last one
always among them. What was looked at, and how large the largest gap is, goes into the report.
"""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from classifier.decode.container import VideoStream, find_video
from classifier.decode.coverage import Looks
from classifier.decode.limits import DecodeLimits
from classifier.decode.picture import Picture, Report
from classifier.decode.progress import Progress
from classifier.decode.sampling import Sampler
from classifier.decode.segments import Segment
from classifier.decode.video_pyav import PyAvGroupDecoder, PyAvSequentialDecoder
from classifier.errors import DecodeError
from classifier.values import BlockSource

# From this share of the job's CPU time on, only keyframes are looked at: a thin look at the rest of a long
# film is worth more than a timeout.
_AS_PLANNED_CPU_SHARE = 0.6


class VideoDecoder(Protocol):
    """One way to decode videos."""

    @property
    def name(self) -> str:
        """Name in reports."""
        ...

    def pictures(
        self, path: Path, format_name: str, stream: VideoStream, limits: DecodeLimits, progress: Progress
    ) -> Iterator[Picture]:
        """Decode what the limits' sampling asks for.

        Args:
            path: The file, an absolute path.
            format_name: As `sniff` names it.
            stream: Which stream.
            limits: What is allowed, and how closely to look.
            progress: Filled in on the way.

        Yields:
            uint8 (height, width, 3), BGR, upright, each with its time; nothing where this decoder cannot.

        Raises:
            DecodeError: `too_large` or `undecodable`.
            MemoryError: Where there is none.
        """
        ...


class OpenCvDecoder:
    """`VideoDecoder` by OpenCV; loaded when needed, which is nearly never, since it costs 40 MB."""

    name = "opencv"

    def pictures(
        self,
        path: Path,
        format_name: str,  # noqa: ARG002  (OpenCV finds it out itself, among those allowed)
        stream: VideoStream,
        limits: DecodeLimits,
        progress: Progress,
    ) -> Iterator[Picture]:
        """See `VideoDecoder.pictures`; none where another stream could be taken for the right one."""
        if stream.alone:
            from classifier.decode.video_opencv import opencv_frames

            if stream.source is not None:
                stream.source.ensure(0, stream.source.size_bytes)  # OpenCV reads the file itself
            yield from opencv_frames(path, stream, limits, progress)


DECODERS: tuple[VideoDecoder, ...] = (PyAvGroupDecoder(), PyAvSequentialDecoder(), OpenCvDecoder())


def decode_video(
    path: Path,
    format_name: str,
    limits: DecodeLimits,
    report: Report,
    decoders: Sequence[VideoDecoder] = DECODERS,
    *,
    source: BlockSource | None = None,
    segment: Segment | None = None,
) -> Iterator[Picture]:
    """Decode a video.

    Args:
        path: The file, an absolute path.
        format_name: As `sniff` names it.
        limits: What is allowed, and how closely to look.
        report: Filled in on the way; coverage at the end, also where the reader leaves early.
        decoders: Tried in this order until one yields a picture.
        source: What brings the bytes of the file that are still missing; None where it is whole.
        segment: Which part of the film to decode, if it can be cut; None for the whole. Where it was cut, the
            report says so before the first frame.

    Yields:
        Frames as uint8 (height, width, 3), BGR, upright, with their times; ascending unless the limits ask
        for another order.

    Raises:
        DecodeError: `audio`, `too_large` or `undecodable`; a later segment without any frame is none: it
            would be a gap in the middle of a film.
    """
    report.kind = "video"
    stream = find_video(path, format_name, source)
    if stream.width_px and stream.height_px:
        limits.check_picture(stream.width_px, stream.height_px)
    report.duration_s, report.mode = stream.duration_s, limits.sampling_mode
    progress = Progress(
        Sampler(stream.duration_s, limits.max_frames, limits.sampling_interval_s),
        began_s=time.process_time(),
        allowed_s=_AS_PLANNED_CPU_SHARE * limits.cpu_s,
        segment=segment,
    )
    ended, is_later = False, segment is not None and segment.index > 0
    try:
        for decoder in decoders:
            for picture in decoder.pictures(path, format_name, stream, limits, progress):
                report.decoder, report.segments = report.decoder or decoder.name, progress.segments
                if picture.at_s is not None:
                    progress.coverage.add(picture.at_s)
                yield picture
            # Once PyAV has begun a film, its rest is PyAV's, even if nothing comes of it.
            if report.decoder or is_later:
                break
        ended = True
    finally:
        _conclude(report, stream, limits, progress)
        report.truncated = report.truncated or not ended
    if not report.decoder and not is_later:
        raise DecodeError("undecodable", f"neither OpenCV nor PyAV decodes a frame of the {format_name} file")


def _conclude(report: Report, stream: VideoStream, limits: DecodeLimits, progress: Progress) -> None:
    """Say what was looked at, against the longest length that anybody claims."""
    short = progress.short_of(stream.duration_s, 2.0, 0.05)
    end_s = progress.end_s if progress.end_s is not None else progress.seen_s or 0.0
    if short and stream.duration_s is not None:
        end_s = max(end_s, stream.duration_s)
    if report.duration_s is None:
        report.duration_s = progress.seen_s
    allowed_s = progress.allowed_gap_s
    if allowed_s is None:
        allowed_s = limits.sampling.step_s(end_s) + 2 * stream.frame_s
    report.segments = progress.segments
    if progress.segments > 1:
        report.looks = Looks(progress.coverage.looks_ms, end_s, allowed_s)
    report.largest_gap_s = progress.coverage.largest_gap_s(end_s)
    report.covered_share = progress.coverage.share(end_s, allowed_s)
    report.truncated = progress.gave_up or progress.errors > 0 or short


__all__ = ["DECODERS", "OpenCvDecoder", "VideoDecoder", "decode_video"]

"""Videos: OpenCV first, PyAV for what it cannot do; no frame is never "nothing found".

Frames come at the moments `sampling` chooses, with the times of the actual frames, the last one always among
them. Decoding is sequential: slower than seeking, and right on every format.
"""

import time
from collections.abc import Iterator
from pathlib import Path

from classifier.decode.container import find_video
from classifier.decode.limits import DecodeLimits
from classifier.decode.picture import Picture, Report
from classifier.decode.progress import Progress
from classifier.decode.sampling import Sampler
from classifier.decode.video_opencv import opencv_frames
from classifier.decode.video_pyav import keyframes, pyav_frames
from classifier.errors import DecodeError

# From this share of the job's CPU time on, only keyframes are looked at: a thin look at the rest of a long
# film is worth more than a timeout.
_SEQUENTIAL_CPU_SHARE = 0.6


def decode_video(path: Path, format_name: str, limits: DecodeLimits, report: Report) -> Iterator[Picture]:
    """Decode a video.

    Args:
        path: The file, an absolute path.
        format_name: As `sniff` names it.
        limits: What is allowed.
        report: Filled in on the way.

    Yields:
        Frames as uint8 (height, width, 3), BGR, upright, with their times in ascending order.

    Raises:
        DecodeError: `audio`, `too_large` or `undecodable`.
    """
    report.kind = "video"
    stream = find_video(path, format_name)
    if stream.width_px and stream.height_px:
        limits.check_picture(stream.width_px, stream.height_px)
    report.duration_s = stream.duration_s
    progress = Progress(
        Sampler(stream.duration_s, limits.max_frames),
        cpu_until_s=time.process_time() + _SEQUENTIAL_CPU_SHARE * limits.cpu_s,
    )
    # OpenCV cannot be told which stream to take.
    if stream.alone:
        for picture in opencv_frames(path, stream, limits, progress):
            report.decoder = "opencv"
            yield picture
    ended = progress.complete and not progress.short_of(stream.duration_s, 1.0, 0.0)
    if not ended and not progress.gave_up:
        for picture in pyav_frames(path, format_name, stream, limits, progress):
            report.decoder = report.decoder or "pyav"
            yield picture
    if progress.gave_up:
        for picture in keyframes(path, format_name, stream, limits, progress):
            report.decoder = report.decoder or "pyav"
            yield picture
    if not report.decoder:
        raise DecodeError("undecodable", f"neither OpenCV nor PyAV decodes a frame of the {format_name} file")
    report.truncated = (
        progress.gave_up or progress.errors > 0 or progress.short_of(stream.duration_s, 2.0, 0.05)
    )
    if report.duration_s is None:
        report.duration_s = progress.seen_s


__all__ = ["decode_video"]

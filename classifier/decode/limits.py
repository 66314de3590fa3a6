"""What one hostile file may cost, and the kernel limits that enforce it inside a worker process.

Pixels and frames are checked before decoding where the headers tell, so that the usual bomb ends in a clear
code; memory and CPU time are the kernel's business, because a decoder cannot be asked to be careful.
"""

import contextlib
import dataclasses
import math
import resource
import sys
import time
from dataclasses import dataclass

from classifier.decode.sampling import SamplingMode, SamplingOrder, SamplingPolicy
from classifier.errors import DecodeError

# An animation is composed from its first frame on, so its cost is all its frames, wanted or not.
ANIMATION_AREA_FACTOR = 20
MAX_PAGES = 12
MAX_OPEN_FILES = 64


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    """Limits of one decode job.

    Attributes:
        memory_bytes: Address space of a worker (about 0.5 GB of it are libraries, mapped and mostly
            untouched).
        cpu_s: CPU time of one file in seconds; where several jobs decode it, each has its share.
        wall_s: Longest time in seconds that a file may keep its reader waiting, added up; shared likewise.
        max_pixels: Largest picture, width x height.
        max_frames: Most frames handed out for one file.
        jobs_per_worker: A worker is replaced after so many files.
        reduced_jpeg_px: JPEGs are decoded at a half, quarter or eighth of their size as long as that many
            pixels of the shorter side are left; several times as fast, but scores change. None: never.
        sampling_mode: How closely videos are looked at, see `SamplingPolicy.mode`.
        sampling_interval_s: Seconds between two frames of a video or animation, None for the rule.
        sampling_order: See `SamplingPolicy.order`; None for the container's (`video_plan.usual_order`).
        video_frame_px: Frames of videos are scaled to a square of this side while they are converted, which
            is what most preprocessings do first; None leaves them as they are. Where a preprocessing keeps
            the aspect ratio, `for_preprocessing` says what is done instead.
        video_keeps_aspect: Whether `video_frame_px` is their shorter side instead; they are never enlarged.
    """

    memory_bytes: int = 1536 * 1024 * 1024
    cpu_s: float = 120.0
    wall_s: float = 240.0
    max_pixels: int = 120_000_000
    max_frames: int = 1000
    jobs_per_worker: int = 500
    reduced_jpeg_px: int | None = None
    sampling_mode: SamplingMode = "exact"
    sampling_interval_s: float | None = None
    sampling_order: SamplingOrder | None = None
    video_frame_px: int | None = 256
    video_keeps_aspect: bool = False

    def for_preprocessing(self, shorter_px: int | None) -> "DecodeLimits":
        """The same limits, with frames of videos scaled as one preprocessing would.

        Args:
            shorter_px: Its `Preprocess.shorter_px`; None where it makes a square.

        Returns:
            These very limits where nothing changes.
        """
        if shorter_px is None or self.video_frame_px is None:
            return self
        return dataclasses.replace(self, video_frame_px=shorter_px, video_keeps_aspect=True)

    @property
    def sampling(self) -> SamplingPolicy:
        """How closely videos and animations are looked at; in the order of time where none is set."""
        return SamplingPolicy(
            self.sampling_mode,
            self.sampling_interval_s,
            self.max_frames,
            self.sampling_order or "sequential",
        )

    def check_picture(self, width_px: int, height_px: int) -> None:
        """Refuse a picture by its dimensions, before anything is allocated for it.

        Args:
            width_px: Width in pixels.
            height_px: Height in pixels.

        Raises:
            DecodeError: `too_large` over the limit, `undecodable` where a side is not positive.
        """
        if width_px <= 0 or height_px <= 0:
            raise DecodeError("undecodable", f"the picture claims {width_px}x{height_px} pixels")
        if width_px * height_px > self.max_pixels:
            raise DecodeError(
                "too_large", f"{width_px}x{height_px} pixels are more than the limit of {self.max_pixels}"
            )

    def check_animation(self, width_px: int, height_px: int, frames: int) -> None:
        """Refuse an animation by its canvas and number of frames.

        Args:
            width_px: Width of the canvas in pixels.
            height_px: Height of the canvas in pixels.
            frames: Number of frames.

        Raises:
            DecodeError: `too_large` over the limit, `undecodable` where a side is not positive.
        """
        self.check_picture(width_px, height_px)
        if width_px * height_px * frames > self.max_pixels * ANIMATION_AREA_FACTOR:
            raise DecodeError(
                "too_large",
                f"{frames} frames of {width_px}x{height_px} pixels are more than the limit of "
                f"{self.max_pixels * ANIMATION_AREA_FACTOR} pixels in all",
            )


def confine(limits: DecodeLimits) -> None:
    """Put the calling process under the limits that hold for its whole life.

    Args:
        limits: What is allowed.
    """
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_FSIZE, 0)
    _lower(resource.RLIMIT_NOFILE, MAX_OPEN_FILES)
    if sys.platform == "linux":  # macOS knows the name, but refuses or ignores the limit
        _lower(resource.RLIMIT_AS, limits.memory_bytes)


def allow_cpu(limits: DecodeLimits, jobs: int = 1, since_s: float | None = None) -> None:
    """Give the calling process the CPU time of one job; the kernel sends SIGXCPU when it is used up.

    Args:
        limits: What is allowed for a file.
        jobs: By how many jobs the file is decoded; each may take its share.
        since_s: The process' CPU time in seconds from which on to count; None: from now.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    since_s = time.process_time() if since_s is None else since_s
    soft = math.ceil(since_s + limits.cpu_s / jobs)
    if hard != resource.RLIM_INFINITY:
        soft = min(soft, hard)
    resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


def _lower(which: int, value: int) -> None:
    _, hard = resource.getrlimit(which)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    # What the system refuses to lower is left to the parent's wall clock.
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(which, (value, value))


__all__ = ["ANIMATION_AREA_FACTOR", "MAX_PAGES", "DecodeLimits", "allow_cpu", "confine"]

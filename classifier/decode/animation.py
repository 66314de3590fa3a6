"""Animated GIF, WebP and APNG: composed frames at their true times.

Frames depend on each other, so all are composed in order and the wanted ones handed out. The times come from
the headers, which also tell a bomb before the first frame is composed.
"""

from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from classifier.decode.coverage import Coverage
from classifier.decode.image import PILLOW_ERRORS, decode_image, open_pillow
from classifier.decode.limits import DecodeLimits
from classifier.decode.picture import Picture, Report, to_rgb
from classifier.decode.sampling import planned
from classifier.decode.timeline import Timeline, read_timeline


def decode_animation(path: Path, format_name: str, limits: DecodeLimits, report: Report) -> Iterator[Picture]:
    """Decode an animation; one with a single frame is a still picture.

    Args:
        path: The file.
        format_name: `GIF`, `PNG` or `WEBP`.
        limits: What is allowed.
        report: Filled in on the way.

    Yields:
        RGB pictures with their times, first and last included.

    Raises:
        DecodeError: `undecodable` or `too_large`.
    """
    timeline = read_timeline(path.read_bytes(), format_name)
    if timeline is None or len(timeline.durations_ms) < 2:
        yield from decode_image(path, format_name, limits, report)
        return
    limits.check_animation(timeline.width_px, timeline.height_px, len(timeline.durations_ms))
    report.kind = "animation"
    report.duration_s = timeline.duration_s
    report.truncated = not timeline.complete
    report.mode = "exact"  # every frame is composed anyway
    coverage = Coverage()
    shown_s = dict(zip(timeline.starts_s, timeline.durations_ms, strict=True))
    any_frame = False
    try:
        for picture in _frames(path, format_name, limits, report, timeline):
            any_frame = True
            report.decoder = "pillow"
            at_s = picture.at_s or 0.0
            coverage.add(at_s, at_s + shown_s[at_s] / 1000)
            yield picture
    finally:
        report.largest_gap_s = coverage.largest_gap_s(timeline.duration_s)
        report.covered_share = coverage.share(
            timeline.duration_s, limits.sampling.step_s(timeline.duration_s)
        )
    if not any_frame:
        report.truncated = True
        yield from decode_image(path, format_name, limits, report)


def _frames(
    path: Path, format_name: str, limits: DecodeLimits, report: Report, timeline: Timeline
) -> Iterator[Picture]:
    starts_s = timeline.starts_s
    wanted = set(planned(starts_s, timeline.duration_s, limits.sampling))
    composed = 0
    try:
        with open_pillow(path, format_name, limits) as image:
            first = _first_frame(image)
            for index, at_s in enumerate(starts_s):
                image.seek(first + index)
                image.load()
                composed = index + 1
                if index in wanted:
                    rgb = to_rgb(image)
                    # Going on to the next frame would overwrite it.
                    yield Picture(rgb.copy() if rgb is image else rgb, at_s=at_s)
    except PILLOW_ERRORS:
        report.truncated = True
        # The last frame that can be composed takes the place of the last one.
        if composed and composed - 1 not in wanted:
            yield from _one_frame(path, format_name, limits, composed - 1, starts_s[composed - 1])


def _one_frame(
    path: Path, format_name: str, limits: DecodeLimits, index: int, at_s: float
) -> Iterator[Picture]:
    with open_pillow(path, format_name, limits) as image:
        image.seek(_first_frame(image) + index)
        yield Picture(to_rgb(image), at_s=at_s)


def _first_frame(image: Image.Image) -> int:
    """An APNG may begin with a picture for old browsers that is no part of the animation."""
    return 1 if getattr(image, "default_image", False) else 0


__all__ = ["decode_animation"]

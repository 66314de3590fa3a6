"""A scored file and where its frames are, as every part of `classify` shows it; pure and cheap to import."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from bot.review.wikitext import printable
from classifier.values import DecodeSummary, FrameResult, MediaScore


@dataclass(frozen=True, slots=True)
class Scored:
    """A scored file and who scored it.

    Attributes:
        name: File name or title as it is shown; anything a user may have typed.
        result: Its score.
        model: The model's name.
        engine: What ran it.
        level: The level whose threshold counts.
        address: The file's page on the wiki, None for a local file.
        downloaded: What was downloaded, see `bot.upload.Downloaded.record`; None for a local file.
        stops_early: Whether scoring was to end with the first frame over the threshold.
    """

    name: str
    result: MediaScore
    model: str
    engine: str
    level: str
    address: str | None = None
    downloaded: Mapping[str, str | int | float | None] | None = None
    stops_early: bool = False

    @property
    def summary(self) -> DecodeSummary:
        """How the frames that count were decoded.

        Whether the worker had come to the end by the time the first hit was known is a matter of timing, and
        what it says of frames that do not count would be said of the score.
        """
        summary = self.result.summary
        stopped = self.stops_early and self.result.label == "nsfw" and summary.kind != "image"
        if not stopped:
            return summary
        return replace(summary, truncated=True, largest_gap_s=None, covered_share=None)

    @property
    def title(self) -> str:
        """The name in one line, without what is invisible."""
        return printable(self.name) or "(no name)"


def clock(at_s: float, decimals: int = 0) -> str:
    """A position in a video.

    Args:
        at_s: Seconds, not negative.
        decimals: Of the seconds; what is beyond is cut off, as players do.

    Returns:
        `0:12`, `1:02:03` or, with one decimal, `0:12.5`.
    """
    parts = math.floor(at_s * 10**decimals + 1e-6)
    seconds, fraction = divmod(parts, 10**decimals)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    head = f"{hours}:{minutes:02}" if hours else f"{minutes}"
    return f"{head}:{seconds:02}" + (f".{fraction:0{decimals}}" if decimals else "")


def decimals_for(frames: Sequence[FrameResult]) -> int:
    """How many decimals tell neighbouring frames apart.

    Args:
        frames: All frames of a file.

    Returns:
        0, 1 or 2.
    """
    times_s = sorted({frame.at_s for frame in frames if frame.at_s is not None})
    closest_s = min((after - before for before, after in pairwise(times_s)), default=1.0)
    return 0 if closest_s >= 0.99 else 1 if closest_s >= 0.099 else 2


def where(frame: FrameResult, decimals: int = 0) -> str:
    """The position of a frame in words.

    Args:
        frame: The frame.
        decimals: As for `clock`.

    Returns:
        `0:12`, `page 2`, or nothing for a single picture.
    """
    if frame.at_s is not None:
        return clock(frame.at_s, decimals)
    return f"page {frame.page}" if frame.page is not None else ""


__all__ = ["Scored", "clock", "decimals_for", "where"]

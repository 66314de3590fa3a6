"""Pure: what a timeline says in words, the same on a page and in a picture, and to those who see neither."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bot.timeline_plot import PlotKind, Point, plot
from bot.timeline_values import Scored, clock, decimals_for, where
from classifier.values import FrameResult

NOTE: Final = (
    "A program gave these scores. They are advice: they can be wrong, and they say nothing about whether a "
    "file is in scope."
)
HEADINGS: Final[Mapping[PlotKind, str]] = {
    "time": "Scores over time",
    "pages": "Scores by page",
    "single": "Score",
}
STRIP_HEADINGS: Final[Mapping[PlotKind, str]] = {
    "time": "Frames, blurred",
    "pages": "Pages, blurred",
    "single": "What the model saw, blurred",
}
_RENDITIONS: Final[Mapping[object, str]] = {
    "thumbnail": "a reduced picture",
    "derivative": "a smaller transcode",
    "original": "the original",
}


@dataclass(frozen=True, slots=True)
class Caption:
    """What stands below a picture of the strip.

    Attributes:
        score: The frame's score.
        where: Its position; empty for a single picture.
        mark: See `mark`.
        over: Whether it reaches the threshold.
    """

    score: str
    where: str
    mark: str
    over: bool


def facts(scored: Scored) -> list[tuple[str, str]]:
    """What is known of the score, for people.

    Args:
        scored: A scored file.

    Returns:
        Pairs of a label and a value, the most important first.
    """
    result, summary = scored.result, scored.summary
    decimals = decimals_for(result.frames)
    count = len(result.frames)
    found = [
        ("score", f"{result.score:.4f}"),
        ("label", result.label),
        ("threshold", f"{result.threshold:.2f} ({scored.level})"),
    ]
    if position := where(result.worst, decimals):
        found.append(("highest at", position))
    found.append(("pages scored" if summary.kind == "document" else "frames scored", str(count)))
    if summary.duration_s is not None and result.worst.at_s is not None:
        found.append(("length", clock(summary.duration_s, decimals)))
    if summary.largest_gap_s is not None:
        found.append(("largest gap", f"{summary.largest_gap_s:.2f} s"))
    if summary.covered_share is not None:
        found.append(("covered", _percent(summary.covered_share)))
    if summary.mode:
        found.append(("mode", summary.mode))
    found += [
        ("decoder", summary.decoder or "unknown"),
        ("model", scored.model),
        ("engine", scored.engine),
    ]
    if scored.downloaded is not None:
        what = _RENDITIONS.get(scored.downloaded.get("kind"), "a rendition")
        width = scored.downloaded.get("width_px")
        found.append(("downloaded", f"{what}, {width} px wide" if width else what))
    return found


def remarks(scored: Scored) -> list[str]:
    """What a reader must know before believing the picture.

    Args:
        scored: A scored file.

    Returns:
        Sentences, often none.
    """
    if scored.summary.truncated:
        return [
            "Decoding ended before the end of the file (damage, a limit, or a stop at the first frame over "
            "the threshold): what comes later was not looked at."
        ]
    return []


def description(scored: Scored) -> str:
    """The plot in words, for those who cannot see it.

    Args:
        scored: A scored file.

    Returns:
        One or two sentences.
    """
    drawn = plot(scored)
    if drawn.kind == "single":
        over = "over" if drawn.worst.over else "under"
        return f"The picture's score is {drawn.worst.score:.3f}, {over} the {drawn.threshold_label}."
    count = sum(point.over for point in drawn.points)
    of = "pages" if drawn.kind == "pages" else "frames"
    return (
        f"Scores of {len(drawn.points)} {of} from {drawn.points[0].where} to {drawn.points[-1].where}. "
        f"The highest is {drawn.worst.score:.3f} at {drawn.worst.where}; {count} of the {of} are at or over "
        f"the {drawn.threshold_label}."
    )


def mark(*, over: bool, worst: bool) -> str:
    """What is said of a frame besides its score, so that nothing depends on colours.

    Args:
        over: Whether it reaches the threshold.
        worst: Whether it has the highest score.

    Returns:
        A few words, empty for most frames.
    """
    return ", ".join((["highest"] if worst else []) + (["over threshold"] if over else []))


def caption(frame: FrameResult, scored: Scored) -> Caption:
    """Describe a picture of the strip.

    Args:
        frame: The frame that it shows.
        scored: The file that it is of.
    """
    result = scored.result
    over = frame.score >= result.threshold
    return Caption(
        score=f"{frame.score:.3f}",
        where=where(frame, decimals_for(result.frames)),
        mark=mark(over=over, worst=len(result.frames) > 1 and frame == result.worst),
        over=over,
    )


def point_text(point: Point) -> str:
    """The label of a frame: `0.931 at 0:12`."""
    return f"{point.score:.3f} at {point.where}"


def strip_note(scored: Scored, shown: int) -> str:
    """What the pictures are.

    Args:
        scored: A scored file.
        shown: How many of its frames there are pictures of.
    """
    if shown == 1:
        return "The square that the model saw, reduced and blurred on purpose."
    which = " The first, the last, the highest scores, and others between them."
    note = "Each is the square that the model saw, reduced and blurred on purpose."
    return note + (which if shown < len(scored.result.frames) else "")


def _percent(share: float) -> str:
    """100 % is said only of the whole."""
    return "100 %" if share >= 1 else f"{math.floor(share * 1000) / 10:.1f} %"


__all__ = [
    "HEADINGS",
    "NOTE",
    "STRIP_HEADINGS",
    "Caption",
    "caption",
    "description",
    "facts",
    "mark",
    "point_text",
    "remarks",
    "strip_note",
]

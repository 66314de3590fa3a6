"""Pure: the small chart of one upload's frames, in units of the drawing; y grows downwards."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bot.timeline_html import Box
from bot.timeline_plot import SCORE_LABELS, Plot, plot
from bot.timeline_values import Scored
from classifier.values import DecodeSummary, FrameResult, MediaScore
from storage.console_story_values import StoredScore

BOX: Final = Box(width=720, height=210, left=40, right=706, top=16, bottom=178)
_MOST: Final = 2000


@dataclass(frozen=True, slots=True)
class Dot:
    """A frame in the drawing.

    Attributes:
        x: From the left.
        y: From above.
        radius: Of the dot.
        over: Whether the score reaches the threshold.
        worst: Whether it gave the file's score.
        where: Its position in words; empty for a single picture.
        score: Its score.
    """

    x: float
    y: float
    radius: float
    over: bool
    worst: bool
    where: str
    score: float


@dataclass(frozen=True, slots=True)
class FramesChart:
    """All that is drawn.

    Attributes:
        kind: `time` or `pages`.
        box: The drawing and its plot area.
        dots: From left to right.
        curve: The line through them, as SVG's points; empty for pages.
        threshold_y: Where the threshold is.
        levels: Lines of equal score: place and label.
        ticks: Marks on the horizontal axis: place and label.
        description: What it shows, in a sentence.
    """

    kind: str
    box: Box
    dots: Sequence[Dot]
    curve: str
    threshold_y: float
    levels: Sequence[tuple[float, str]]
    ticks: Sequence[tuple[float, str]]
    description: str


def frames_chart(stored: StoredScore) -> FramesChart | None:
    """Lay out the scores of a file's frames.

    Args:
        stored: The file's score.

    Returns:
        The chart; None where there is one frame only, of which the score says everything.
    """
    if len(stored.frames) < 2:
        return None
    drawn = plot(_scored(stored))
    dots = [
        Dot(
            BOX.x(point.x),
            BOX.y(point.score),
            (1.5 if drawn.crowded else 3) + point.over,
            point.over,
            point.worst,
            point.where,
            point.score,
        )
        for point in drawn.points[:_MOST]
    ]
    return FramesChart(
        kind=drawn.kind,
        box=BOX,
        dots=dots,
        curve=" ".join(f"{dot.x},{dot.y}" for dot in dots) if drawn.kind == "time" else "",
        threshold_y=BOX.y(drawn.threshold),
        levels=[(BOX.y(level), label) for level, label in SCORE_LABELS.items()],
        ticks=[(BOX.x(tick.x), tick.label) for tick in drawn.ticks],
        description=_description(drawn),
    )


def _description(drawn: Plot) -> str:
    over = sum(point.over for point in drawn.points)
    what = "pages" if drawn.kind == "pages" else "frames"
    at = f" at {drawn.worst.where}" if drawn.worst.where else ""
    return (
        f"{len(drawn.points)} {what}, {over} at or over the threshold of {drawn.threshold:.2f}; "
        f"the highest score is {drawn.worst.score:.3f}{at}"
    )


def _scored(stored: StoredScore) -> Scored:
    """As `classify` has it, so that both draw the same."""
    frames = tuple(FrameResult(one.score, one.at_s, one.page) for one in stored.frames)
    worst = FrameResult(stored.worst.score, stored.worst.at_s, stored.worst.page)
    if worst not in frames:
        worst = max(frames, key=lambda one: one.score)
    summary = DecodeSummary("video", stored.decoder, len(frames), _duration_s(stored), 0.0)
    result = MediaScore(stored.score, stored.label, stored.threshold, frames, worst, summary)
    return Scored("", result, stored.model, stored.engine, "")


def _duration_s(stored: StoredScore) -> float | None:
    value = (stored.coverage or {}).get("duration_s")
    return float(value) if isinstance(value, int | float) else None


__all__ = ["BOX", "Dot", "FramesChart", "frames_chart"]

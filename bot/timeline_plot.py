"""Pure: from a score to what a timeline draws, in shares of the drawing; no pixel is known here.

Both pages and pictures are drawn from this, so that they cannot show different things.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from bot.timeline_values import Scored, clock, decimals_for, where
from classifier.values import FrameResult

PlotKind = Literal["time", "pages", "single"]

_STEPS_S: Final = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 18000, 36000)
_TICKS: Final = 8
_NEAR_SIDE: Final = 0.12
_MANY_POINTS: Final = 150

SCORE_LABELS: Final = {level / 4: f"{level / 4:.2f}" for level in range(5)}
"""What stands at an axis of scores, by the score."""


@dataclass(frozen=True, slots=True)
class Point:
    """One scored frame in the plot.

    Attributes:
        x: 0 (left) to 1 (right).
        score: 0 (bottom) to 1 (top).
        where: Its position in words, `0:12` or `page 2`; empty for a single picture.
        over: Whether the score reaches the threshold.
        worst: Whether it is the frame that gave the file's score.
    """

    x: float
    score: float
    where: str
    over: bool
    worst: bool


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark on the horizontal axis.

    Attributes:
        x: 0 to 1.
        label: What stands there.
    """

    x: float
    label: str


@dataclass(frozen=True, slots=True)
class Plot:
    """All that is drawn.

    Attributes:
        kind: Frames over time, pages side by side, or a single score.
        points: From left to right.
        ticks: From left to right; none for a single score.
        threshold: Where the line is, 0 to 1.
        threshold_label: What stands at the line.
    """

    kind: PlotKind
    points: tuple[Point, ...]
    ticks: tuple[Tick, ...]
    threshold: float
    threshold_label: str

    @property
    def worst(self) -> Point:
        """The frame that gave the file's score."""
        return next(point for point in self.points if point.worst)

    @property
    def crowded(self) -> bool:
        """Whether there are so many points that each has to be small."""
        return len(self.points) > _MANY_POINTS


def plot(scored: Scored) -> Plot:
    """Lay out the scores.

    Args:
        scored: A scored file, at least one frame in it.

    Returns:
        The drawing, in shares.
    """
    result = scored.result
    frames = sorted(result.frames, key=lambda one: one.at_s if one.at_s is not None else one.page or 0)
    timed = all(frame.at_s is not None for frame in frames)
    kind: PlotKind = "single" if len(frames) == 1 else "time" if timed else "pages"
    decimals = decimals_for(frames)
    end_s = _end_s(scored, frames)
    worst = next(
        index for index, frame in enumerate(frames) if frame is result.worst or frame == result.worst
    )
    points = tuple(
        Point(
            x=(frame.at_s or 0.0) / end_s if kind == "time" else (index + 0.5) / len(frames),
            score=min(max(frame.score, 0.0), 1.0),
            where=where(frame, decimals),
            over=frame.score >= result.threshold,
            worst=index == worst,
        )
        for index, frame in enumerate(frames)
    )
    ticks = {"time": _time_ticks(end_s), "pages": _page_ticks(points), "single": ()}[kind]
    label = f"threshold {result.threshold:.2f} ({scored.level})"
    return Plot(kind, points, ticks, min(max(result.threshold, 0.0), 1.0), label)


def label_anchor(x: float) -> Literal["start", "middle", "end"]:
    """Where a label is held so that it stays in the drawing, as in SVG's `text-anchor`.

    Args:
        x: 0 to 1.
    """
    return "start" if x < _NEAR_SIDE else "end" if x > 1 - _NEAR_SIDE else "middle"


def _end_s(scored: Scored, frames: Sequence[FrameResult]) -> float:
    """The right end of the axis: the file's length, or its last frame where it claims to be shorter."""
    last_s = max((frame.at_s or 0.0 for frame in frames), default=0.0)
    return max(scored.result.summary.duration_s or 0.0, last_s) or 1.0


def _time_ticks(end_s: float) -> tuple[Tick, ...]:
    step_s = next((step for step in _STEPS_S if end_s / step <= _TICKS), None)
    if step_s is None:
        step_s = math.ceil(end_s / _TICKS / _STEPS_S[-1]) * _STEPS_S[-1]
    count = math.floor(end_s / step_s + 1e-6) + 1
    decimals = 1 if step_s < 1 else 0
    return tuple(Tick(index * step_s / end_s, clock(index * step_s, decimals)) for index in range(count))


def _page_ticks(points: Sequence[Point]) -> tuple[Tick, ...]:
    every = math.ceil(len(points) / _TICKS)
    return tuple(Tick(point.x, point.where or str(i + 1)) for i, point in enumerate(points) if i % every == 0)


__all__ = ["SCORE_LABELS", "Plot", "PlotKind", "Point", "Tick", "label_anchor", "plot"]

"""Render a timeline as a page that needs nothing but itself: no script, no address to load anything from."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from jinja2 import Environment, StrictUndefined, Template

from bot.timeline_plot import SCORE_LABELS, Plot, Point, label_anchor, plot
from bot.timeline_strip import THUMBNAIL_PX, Thumbnail
from bot.timeline_values import Scored
from bot.timeline_words import (
    HEADINGS,
    NOTE,
    STRIP_HEADINGS,
    caption,
    description,
    facts,
    mark,
    point_text,
    remarks,
    strip_note,
)

_TEMPLATE: Final = Path(__file__).with_name("timeline.html")


@dataclass(frozen=True, slots=True)
class Box:
    """The drawing and its plot area, in units of the drawing; y grows downwards.

    Attributes:
        width: Of the whole.
        height: Of the whole.
        left: Left side of the plot area.
        right: Its right side.
        top: Its upper side.
        bottom: Its lower side.
    """

    width: int
    height: int
    left: int
    right: int
    top: int
    bottom: int

    def x(self, share: float) -> float:
        """From 0 (left) to 1 (right) into the plot area."""
        return round(self.left + share * (self.right - self.left), 1)

    def y(self, score: float) -> float:
        """From 0 (bottom) to 1 (top) into the plot area."""
        return round(self.bottom - score * (self.bottom - self.top), 1)


PLOT_BOX: Final = Box(width=960, height=306, left=44, right=936, top=44, bottom=270)
GAUGE_BOX: Final = Box(width=960, height=92, left=24, right=936, top=32, bottom=60)


def render_html(scored: Scored, thumbnails: Sequence[Thumbnail]) -> str:
    """Render the page; everything is escaped by the template engine.

    Args:
        scored: The scored file.
        thumbnails: Its strip.

    Returns:
        The page.
    """
    drawn = plot(scored)
    box = GAUGE_BOX if drawn.kind == "single" else PLOT_BOX
    radius = 2 if drawn.crowded else 3.5
    points = [_point(point, box, radius) for point in drawn.points]
    curve = " ".join(f"{point['x']},{point['y']}" for point in points)
    return _template().render(
        title=scored.title,
        address=scored.address,
        heading=HEADINGS[drawn.kind],
        note=NOTE,
        strip_heading=STRIP_HEADINGS[drawn.kind],
        strip_note=strip_note(scored, len(thumbnails)),
        remarks=remarks(scored),
        facts=facts(scored),
        description=description(scored),
        kind=drawn.kind,
        box=box,
        points=points,
        worst=_worst(drawn.worst, box),
        curve=curve,
        area=f"{points[0]['x']},{box.bottom} {curve} {points[-1]['x']},{box.bottom}",
        levels=[{"y": box.y(score), "label": label} for score, label in SCORE_LABELS.items()],
        ticks=[{"x": box.x(tick.x), "label": tick.label} for tick in drawn.ticks],
        threshold_y=box.y(drawn.threshold),
        threshold_label=drawn.threshold_label,
        gauge=_gauge(drawn, box),
        thumbnails=[_thumbnail(one, scored) for one in thumbnails],
        thumbnail_px=THUMBNAIL_PX,
    )


def _point(point: Point, box: Box, radius: float) -> dict[str, object]:
    return {
        "x": box.x(point.x),
        "y": box.y(point.score),
        "radius": radius + 1 if point.over else radius,
        "over": point.over,
        "where": point.where,
        "score": f"{point.score:.4f}",
        "mark": mark(over=point.over, worst=point.worst),
        "text": point_text(point),
    }


def _worst(point: Point, box: Box) -> dict[str, object]:
    return {
        "x": box.x(point.x),
        "y": box.y(point.score),
        "label_x": box.x(point.x),
        "label_y": box.y(point.score) - 15,
        "anchor": label_anchor(point.x),
        "over": point.over,
        "text": point_text(point),
    }


def _gauge(drawn: Plot, box: Box) -> dict[str, object]:
    return {
        "score_x": box.x(max(drawn.worst.score, 0.004)),
        "threshold_x": box.x(drawn.threshold),
        "threshold_anchor": label_anchor(drawn.threshold),
        "ticks": [{"x": box.x(score), "label": label} for score, label in SCORE_LABELS.items()],
    }


def _thumbnail(one: Thumbnail, scored: Scored) -> dict[str, object]:
    below = caption(one.frame, scored)
    place = f" at {below.where}" if below.where else ""
    return {
        "content": base64.b64encode(_jpeg(one)).decode("ascii"),
        "alt": f"Blurred picture{place}, score {below.score}" + (f", {below.mark}" if below.mark else ""),
        "score": below.score,
        "where": below.where,
        "mark": below.mark,
        "over": below.over,
    }


def _jpeg(one: Thumbnail) -> bytes:
    with io.BytesIO() as buffer:
        one.picture.save(buffer, "JPEG", quality=80)
        return buffer.getvalue()


@cache
def _template() -> Template:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))


__all__ = ["GAUGE_BOX", "PLOT_BOX", "Box", "render_html"]

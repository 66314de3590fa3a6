"""Draw a timeline as one picture, with Pillow alone, for chats and pages that take no HTML.

Everything is drawn twice as large as it is saved, because Pillow's lines have no soft edges of their own.
"""

import io
from collections.abc import Sequence
from functools import cache
from typing import Final, Literal

from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from bot.timeline_plot import SCORE_LABELS, Plot, label_anchor, plot
from bot.timeline_strip import Thumbnail
from bot.timeline_values import Scored
from bot.timeline_words import (
    HEADINGS,
    NOTE,
    STRIP_HEADINGS,
    caption,
    description,
    facts,
    point_text,
    remarks,
    strip_note,
)

_PAGE, _CARD, _TEXT, _QUIET, _LINE = "#f8f9fa", "#ffffff", "#202122", "#54595d", "#dadde2"
_CURVE, _AREA, _OVER, _GRID = "#3056b4", "#e6eaf6", "#b3261e", "#e6e9ef"
_WIDTH, _MARGIN = 1000, 32
_INNER = _WIDTH - 2 * _MARGIN
_SAVED_SCALE: Final = 2
_SCALE: Final = 2 * _SAVED_SCALE
_COLUMNS: Final = 6
_GAP: Final = 12
_CAPTION: Final = 50
_PLOT_HEIGHT, _GAUGE_HEIGHT = 310, 96
_FACT_COLUMNS: Final = 5
_FACT_HEIGHT: Final = 46
_SHORTENED: Final = "…"
_LONGEST_LINE: Final = 300
# Debian and macOS have one of these; the font that comes with Pillow knows Western letters only.
_FONTS: Final = {
    False: ("DejaVuSans.ttf", "Arial Unicode.ttf"),
    True: ("DejaVuSans-Bold.ttf", "Arial Bold.ttf"),
}

Anchor = Literal["start", "middle", "end"]
_PILLOW_ANCHORS: Final[dict[Anchor, str]] = {"start": "ls", "middle": "ms", "end": "rs"}


def render_png(scored: Scored, thumbnails: Sequence[Thumbnail]) -> bytes:
    """Draw the timeline.

    Args:
        scored: The scored file.
        thumbnails: Its strip.

    Returns:
        A PNG file, 2000 pixels wide; its text chunk `Description` says in words what it shows.
    """
    drawn = plot(scored)
    known, notes = facts(scored), remarks(scored)
    plot_height = _GAUGE_HEIGHT if drawn.kind == "single" else _PLOT_HEIGHT
    fact_rows = -(-len(known) // _FACT_COLUMNS)
    strip_rows = -(-len(thumbnails) // _COLUMNS)
    side = (_INNER - (_COLUMNS - 1) * _GAP) // _COLUMNS
    facts_at = 94 + 24 * len(notes)
    plot_at = facts_at + fact_rows * _FACT_HEIGHT + 28
    strip_at = plot_at + plot_height + 62
    height = strip_at + strip_rows * (side + _CAPTION + _GAP) + 16

    canvas = _Canvas(height)
    canvas.text(_MARGIN, 50, scored.title, 22, bold=True, width=_INNER)
    canvas.text(_MARGIN, 76, NOTE, 13, _QUIET, width=_INNER)
    for row, note in enumerate(notes):
        canvas.text(_MARGIN, 100 + 24 * row, note, 13, _OVER, width=_INNER)
    _draw_facts(canvas, known, facts_at)
    canvas.text(_MARGIN, plot_at - 8, HEADINGS[drawn.kind], 14, bold=True)
    canvas.card(_MARGIN, plot_at, _INNER, plot_height)
    (_draw_gauge if drawn.kind == "single" else _draw_plot)(canvas, drawn, plot_at)
    canvas.text(_MARGIN, strip_at - 30, STRIP_HEADINGS[drawn.kind], 14, bold=True)
    canvas.text(_MARGIN, strip_at - 11, strip_note(scored, len(thumbnails)), 12, _QUIET, width=_INNER)
    for index, thumbnail in enumerate(thumbnails):
        row, column = divmod(index, _COLUMNS)
        x, y = _MARGIN + column * (side + _GAP), strip_at + row * (side + _CAPTION + _GAP)
        _draw_thumbnail(canvas, thumbnail, scored, x, y, side)
    return canvas.saved(f"{scored.title}: {description(scored)}")


class _Canvas:
    """Draws in units of half a saved pixel's size; the origin is at the top left."""

    def __init__(self, height: int) -> None:
        self._image = Image.new("RGB", (_WIDTH * _SCALE, height * _SCALE), _PAGE)
        self._draw = ImageDraw.Draw(self._image)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        size: int,
        colour: str = _TEXT,
        *,
        bold: bool = False,
        anchor: Anchor = "start",
        width: float | None = None,
        halo: bool = False,
    ) -> None:
        """Write one line on the base line `y`, shortened to `width`; a halo keeps lines away."""
        text, font = text[:_LONGEST_LINE], _font(size * _SCALE, bold)
        if width is not None and font.getlength(text) > width * _SCALE:
            while text and font.getlength(text + _SHORTENED) > width * _SCALE:
                text = text[:-1]
            text += _SHORTENED
        place = (x * _SCALE, y * _SCALE)
        self._draw.text(
            place,
            text,
            fill=colour,
            font=font,
            anchor=_PILLOW_ANCHORS[anchor],
            stroke_width=3 * _SCALE if halo else 0,
            stroke_fill=_CARD,
        )

    def card(self, x: float, y: float, width: float, height: float, outline: str = _LINE) -> None:
        """A white box with round corners."""
        self._draw.rounded_rectangle(
            self._scaled(x, y, x + width, y + height), 7 * _SCALE, _CARD, outline, _SCALE
        )

    def bar(self, x: float, y: float, width: float, height: float, colour: str) -> None:
        """A filled box with round corners."""
        self._draw.rounded_rectangle(self._scaled(x, y, x + width, y + height), 5 * _SCALE, colour)

    def line(self, points: Sequence[tuple[float, float]], colour: str, width: float = 1) -> None:
        """A line through points."""
        self._draw.line(
            [(x * _SCALE, y * _SCALE) for x, y in points], colour, round(width * _SCALE), joint="curve"
        )

    def dashes(self, start: tuple[float, float], end: tuple[float, float], colour: str) -> None:
        """A dashed line, level or upright."""
        (x0, y0), (x1, y1) = start, end
        length, dash, at = abs(x1 - x0) + abs(y1 - y0), 6.0, 0.0
        while at < length:
            a, b = at / length, min(at + dash, length) / length
            ends = [(x0 + (x1 - x0) * share, y0 + (y1 - y0) * share) for share in (a, b)]
            self.line(ends, colour, 1.5)
            at += dash + 4

    def area(self, points: Sequence[tuple[float, float]]) -> None:
        """A filled shape."""
        self._draw.polygon([(x * _SCALE, y * _SCALE) for x, y in points], _AREA)

    def dot(self, x: float, y: float, radius: float, colour: str) -> None:
        """A filled circle."""
        self._draw.ellipse(self._scaled(x - radius, y - radius, x + radius, y + radius), colour)

    def ring(self, x: float, y: float, radius: float) -> None:
        """A circle's outline."""
        box = self._scaled(x - radius, y - radius, x + radius, y + radius)
        self._draw.ellipse(box, outline=_TEXT, width=2 * _SCALE)

    def picture(self, picture: Image.Image, x: float, y: float, side: float) -> None:
        """A square picture."""
        pixels = round(side * _SCALE)
        place = (round(x * _SCALE), round(y * _SCALE))
        self._image.paste(picture.resize((pixels, pixels), Image.Resampling.BICUBIC), place)

    def saved(self, words: str) -> bytes:
        """The picture as a PNG file."""
        size = (self._image.width * _SAVED_SCALE // _SCALE, self._image.height * _SAVED_SCALE // _SCALE)
        info = PngInfo()
        info.add_itxt("Description", words)
        with io.BytesIO() as buffer:
            self._image.resize(size, Image.Resampling.BOX).save(buffer, "PNG", pnginfo=info)
            return buffer.getvalue()

    @staticmethod
    def _scaled(*values: float) -> tuple[float, ...]:
        return tuple(value * _SCALE for value in values)


def _draw_facts(canvas: _Canvas, known: Sequence[tuple[str, str]], top: float) -> None:
    width = _INNER / _FACT_COLUMNS
    for index, (label, value) in enumerate(known):
        row, column = divmod(index, _FACT_COLUMNS)
        x, y = _MARGIN + column * width, top + row * _FACT_HEIGHT
        canvas.text(x, y + 16, label, 12, _QUIET, width=width - 8)
        canvas.text(x, y + 34, value, 14, bold=True, width=width - 8)


def _draw_gauge(canvas: _Canvas, drawn: Plot, top: float) -> None:
    left, width, point = _MARGIN + 24, _INNER - 48, drawn.worst
    canvas.bar(left, top + 36, width, 26, _GRID)
    canvas.bar(left, top + 36, width * max(point.score, 0.012), 26, _OVER if point.over else _CURVE)
    x = left + width * drawn.threshold
    canvas.line([(x, top + 27), (x, top + 71)], _TEXT, 2)
    canvas.text(x, top + 21, drawn.threshold_label, 12, _QUIET, anchor=label_anchor(drawn.threshold))
    for score, label in SCORE_LABELS.items():
        canvas.text(left + width * score, top + 83, label, 12, _QUIET, anchor="middle")


def _draw_plot(canvas: _Canvas, drawn: Plot, top: float) -> None:
    left, right, upper, lower = _MARGIN + 52, _WIDTH - _MARGIN - 24, top + 44, top + _PLOT_HEIGHT - 38

    def place(x: float, score: float) -> tuple[float, float]:
        return left + x * (right - left), lower - score * (lower - upper)

    points = [place(point.x, point.score) for point in drawn.points]
    if drawn.kind == "time":
        canvas.area([(points[0][0], lower), *points, (points[-1][0], lower)])
    for score, label in SCORE_LABELS.items():
        y = place(0, score)[1]
        canvas.line([(left, y), (right, y)], _GRID if score else _QUIET)
        canvas.text(left - 8, y + 4, label, 12, _QUIET, anchor="end")
    for tick in drawn.ticks:
        x = place(tick.x, 0)[0]
        canvas.line([(x, lower), (x, lower + 5)], _QUIET)
        canvas.text(x, lower + 21, tick.label, 12, _QUIET, anchor="middle")
    if drawn.kind == "time":
        canvas.line(points, _CURVE, 1.75)
    else:
        for (x, y), point in zip(points, drawn.points, strict=True):
            canvas.line([(x, lower), (x, y)], _OVER if point.over else _CURVE, 1.75)
    y = place(0, drawn.threshold)[1]
    canvas.dashes((left, y), (right, y), _OVER)
    canvas.text(right, y - 6, drawn.threshold_label, 12, _QUIET, anchor="end", halo=True)
    radius = 2.0 if drawn.crowded else 3.5
    for (x, y), point in zip(points, drawn.points, strict=True):
        canvas.dot(x, y, radius + point.over, _OVER if point.over else _CURVE)
    _draw_worst(canvas, drawn, place(drawn.worst.x, drawn.worst.score))


def _draw_worst(canvas: _Canvas, drawn: Plot, at: tuple[float, float]) -> None:
    worst, (x, y) = drawn.worst, at
    canvas.ring(x, y, 8)
    colour = _OVER if worst.over else _CURVE
    canvas.text(x, y - 15, point_text(worst), 13, colour, bold=True, anchor=label_anchor(worst.x), halo=True)


def _draw_thumbnail(canvas: _Canvas, one: Thumbnail, scored: Scored, x: float, y: float, side: float) -> None:
    below = caption(one.frame, scored)
    canvas.card(x - 1, y - 1, side + 2, side + _CAPTION, _OVER if below.over else _LINE)
    canvas.picture(one.picture, x, y, side)
    text = below.score + (f" at {below.where}" if below.where else "")
    canvas.text(x + 8, y + side + 19, text, 13, bold=True, width=side - 16)
    canvas.text(x + 8, y + side + 37, below.mark, 11, _OVER if below.over else _QUIET, width=side - 12)


@cache
def _font(size_px: int, bold: bool) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    for name in _FONTS[bold]:
        try:
            return ImageFont.truetype(name, size_px)
        except OSError:
            continue
    return ImageFont.load_default(size_px)


__all__ = ["render_png"]

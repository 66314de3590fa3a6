"""Precision and recall over the threshold, each with the band of its 95 % interval, as hand-written SVG."""

from collections.abc import Callable, Iterator, Sequence
from html import escape
from pathlib import Path

from storage.estimates import Estimate
from storage.metric_values import CurvePoint, FeedbackMetrics

WIDTH, HEIGHT = 760, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 150, 44, 52
_INK, _FAINT, _GRID = "#1f2933", "#6b7785", "#e6e9ed"
# Okabe and Ito's colours, which differ for every kind of eyes.
_LINES: tuple[tuple[str, str, Callable[[CurvePoint], Estimate]], ...] = (
    ("precision", "#0072b2", lambda point: point.precision),
    ("recall", "#d55e00", lambda point: point.recall),
)


def write_curve(found: FeedbackMetrics, path: Path) -> None:
    """Write the picture.

    Args:
        found: What to draw.
        path: The SVG file.

    Raises:
        OSError: It cannot be written.
    """
    path.write_text(curve_svg(found), encoding="utf-8")


def curve_svg(found: FeedbackMetrics) -> str:
    """Draw the curves; where a measure is unknown its line has a gap, and the band what is still possible.

    Args:
        found: What to draw.

    Returns:
        A whole SVG document.
    """
    chosen = found.selection
    title = f"Uploads scored from {chosen.since:%Y-%m-%d} to {chosen.until:%Y-%m-%d}" + (
        f", by {chosen.model}" if chosen.model else ""
    )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'height="{HEIGHT}" role="img" font-family="sans-serif" font-size="12">',
        f"<title>{escape(title)}: precision and recall by threshold</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        _text(_LEFT, 24, title, _INK, size=14),
        *_axes(),
    ]
    for name, colour, measure in _LINES:
        points = [(point.threshold, measure(point)) for point in found.curve]
        parts += [_band(points, colour), *_line(points, colour)]
        last = points[-1][1] if points else None
        if last is not None:
            height = _y(last.value if last.value is not None else (last.low + last.high) / 2)
            parts.append(_text(WIDTH - _RIGHT + 8, height + 4, name, colour))
    return "\n".join([*parts, "</svg>", ""])


def _axes() -> Iterator[str]:
    for step in range(0, 11, 2):
        share = step / 10
        yield f'<path d="M{_LEFT} {_y(share):.1f}H{WIDTH - _RIGHT}" stroke="{_GRID}"/>'
        yield _text(_LEFT - 8, _y(share) + 4, f"{share:.0%}", _FAINT, anchor="end")
        yield _text(_x(share), HEIGHT - _BOTTOM + 18, f"{share:g}", _FAINT, anchor="middle")
    yield _text(
        (_LEFT + WIDTH - _RIGHT) / 2, HEIGHT - 12, "if flagged from this score on", _FAINT, anchor="middle"
    )


def _band(points: Sequence[tuple[float, Estimate]], colour: str) -> str:
    upper = [f"{_x(at):.1f},{_y(one.high):.1f}" for at, one in points]
    lower = [f"{_x(at):.1f},{_y(one.low):.1f}" for at, one in reversed(points)]
    return f'<polygon points="{" ".join(upper + lower)}" fill="{colour}" fill-opacity="0.15"/>'


def _line(points: Sequence[tuple[float, Estimate]], colour: str) -> Iterator[str]:
    run: list[str] = []
    for at, one in [*points, (0.0, None)]:
        if one is not None and one.value is not None:
            run.append(f"{_x(at):.1f},{_y(one.value):.1f}")
            continue
        if run:
            yield f'<polyline points="{" ".join(run)}" fill="none" stroke="{colour}" stroke-width="2"/>'
        run = []


def _text(x: float, y: float, words: str, colour: str, *, anchor: str = "start", size: int = 12) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" text-anchor="{anchor}" font-size="{size}">'
        f"{escape(words)}</text>"
    )


def _x(threshold: float) -> float:
    return _LEFT + threshold * (WIDTH - _LEFT - _RIGHT)


def _y(share: float) -> float:
    return HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM)


__all__ = ["curve_svg", "write_curve"]

"""Pictures of many runs: every seed as a dot, so that nobody takes a mean for a certainty.

Files of their own, for pages in Markdown; what belongs into a report's page is drawn by `plots`.
"""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from classifier import atomic_file
from classifier.evaluation.comparison import COLUMNS, Row, Run
from classifier.evaluation.plots import percent_axes

_INK, _QUIET, _ACCENT, _LIGHT = "#1f2933", "#616e7c", "#2b6cb0", "#cbd2d9"
_STYLE: dict[Any, object] = {
    "svg.hashsalt": "lab",
    "font.size": 10.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": _QUIET,
    "axes.labelcolor": _QUIET,
    "xtick.color": _QUIET,
    "ytick.color": _INK,
    "text.color": _INK,
    "text.parse_math": False,
}
_FIELDS = [column.field for column in COLUMNS]


def accuracies(rows: Sequence[Row], runs: Sequence[Run], path: Path, *, marked: str = "") -> None:
    """Accuracy of each model: the seeds, their mean, and its interval.

    Args:
        rows: From top to bottom.
        runs: Theirs, and perhaps others'.
        path: The SVG file.
        marked: A model whose mean and interval are drawn through all rows.
    """

    def draw(axes: Axes) -> None:
        places = range(len(rows), 0, -1)
        for place, row in zip(places, rows, strict=True):
            found = row.spreads[_FIELDS.index("accuracy")]
            if found.mean is None:
                continue
            if row.name == marked:
                half = found.half or 0.0
                axes.axvspan(found.mean - half, found.mean + half, color=_LIGHT, alpha=0.5, linewidth=0)
            axes.errorbar(found.mean, place, xerr=found.half, color=_ACCENT, fmt="|", markersize=14)
            seeds = [run.accuracy for run in runs if run.name == row.name and run.accuracy is not None]
            axes.plot(seeds, [place] * len(seeds), "o", color=_INK, markersize=4, alpha=0.7)
        axes.axvline(0.5, color=_QUIET, linewidth=0.8, linestyle=":")
        axes.set_yticks(list(places), [row.name for row in rows])
        axes.set_ylim(0.4, len(rows) + 0.6)
        axes.set_xlabel("accuracy on the test set; dots are seeds, bars Student's 95 % interval of the mean")
        percent_axes(axes, "xaxis")

    _save(draw, path, (7.4, 0.9 + 0.36 * len(rows)))


def costs(rows: Sequence[Row], path: Path) -> None:
    """Accuracy over the time a picture takes.

    Args:
        rows: The models.
        path: The SVG file.
    """

    def draw(axes: Axes) -> None:
        for row in rows:
            accuracy = row.spreads[_FIELDS.index("accuracy")]
            latency = row.spreads[_FIELDS.index("latency_ms")]
            if accuracy.mean is None or latency.mean is None:
                continue
            axes.errorbar(latency.mean, accuracy.mean, yerr=accuracy.half, color=_ACCENT, fmt="o")
            axes.annotate(
                row.name,
                (latency.mean, accuracy.mean),
                xytext=(6, 6),
                textcoords="offset points",
                fontsize=9,
            )
        axes.set_xlabel("milliseconds a picture, batch 1, this machine")
        axes.set_ylabel("accuracy on the test set")
        axes.set_xlim(left=0)
        axes.margins(x=0.2, y=0.15)
        percent_axes(axes, "yaxis")

    _save(draw, path, (7.4, 4.0))


def _save(draw: Callable[[Axes], None], path: Path, size_in: tuple[float, float]) -> None:
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=size_in, layout="constrained", facecolor="white")
        draw(figure.add_subplot())
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    atomic_file.write(path, buffer.getvalue(), atomic_file.SHARED)


__all__ = ["accuracies", "costs"]

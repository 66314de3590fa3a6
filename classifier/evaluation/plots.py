"""An evaluation's plots as SVG that sits inside a page: no scripts, no files, and colours from the page.

matplotlib draws with stand-in colours, which become CSS variables, so that one drawing fits a light and a
dark page. Equal evaluations give equal bytes. Only this module imports matplotlib.
"""

import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, TypeVar

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from classifier.evaluation.calibration import Bin
from classifier.evaluation.prevalence import precision_at
from classifier.evaluation.values import Evaluation

NEGATIVE, POSITIVE, INK, QUIET, GRID, CARD, MARK = (
    "#0a0b01",
    "#0a0b02",
    "#0a0b03",
    "#0a0b04",
    "#0a0b05",
    "#0a0b06",
    "#0a0b07",
)
_VARIABLES: Final = {
    NEGATIVE: "--negative",
    POSITIVE: "--positive",
    INK: "--text",
    QUIET: "--quiet",
    GRID: "--grid",
    CARD: "--card",
    MARK: "--mark",
}
_SIZE_IN: Final = (5.4, 4.0)

_Drawn = TypeVar("_Drawn")


def plots(evaluation: Evaluation) -> dict[str, str]:
    """Draw everything.

    Args:
        evaluation: What to draw.

    Returns:
        `<svg>` elements: `precision_recall`, `roc`, `prevalence`, `confusion`, `histogram`, `reliability`.
    """
    drawers: dict[str, tuple[Callable[[Axes, Evaluation], None], str]] = {
        "precision_recall": (_precision_recall, "Precision by recall, at two prevalences"),
        "roc": (_roc, "Recall by false-positive rate"),
        "prevalence": (_prevalence, "Precision by prevalence, with its interval"),
        "confusion": (_confusion, "Confusion matrix at the threshold"),
        "histogram": (_histogram, "Scores of both classes"),
        "reliability": (_reliability, "Share of positives by score"),
    }
    return {name: draw(label, name, drawer, evaluation) for name, (drawer, label) in drawers.items()}


def draw(label: str, prefix: str, drawer: Callable[[Axes, _Drawn], None], drawn: _Drawn) -> str:
    """Draw one plot.

    Args:
        label: What it shows, for who cannot see it.
        prefix: Of all ids inside, unique on the page.
        drawer: Draws into the axes it is given.
        drawn: What to draw, such as an evaluation.

    Returns:
        An `<svg>` element.
    """
    with _styled() as figure:
        drawer(figure.add_subplot(), drawn)
        return as_element(figure, label, prefix)


def as_element(figure: Figure, label: str, prefix: str) -> str:
    """Turn a figure into an element that a page can hold; arguments as for `draw`."""
    buffer = io.StringIO()
    nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
    figure.savefig(buffer, format="svg", metadata=nothing)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="', f'id="{prefix}-', svg)
    svg = re.sub(r'(url\(#|href="#)', rf"\g<1>{prefix}-", svg)
    svg = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", svg)
    svg = re.sub(r"font-family: [^;\"]*;? ?", "", svg)
    for stand_in, variable in _VARIABLES.items():
        svg = svg.replace(stand_in, f"var({variable})")
    view = re.search(r'viewBox="[^"]*"', svg)
    assert view is not None
    head = f'<svg role="img" aria-label="{label}" {view[0]} xmlns:xlink="http://www.w3.org/1999/xlink">'
    body = re.sub(r"\n\s*", "\n", svg[svg.index(">") + 1 :])
    return head + body


@contextmanager
def _styled() -> Iterator[Figure]:
    style = mpl.rc_context(
        {
            "svg.fonttype": "none",
            "svg.hashsalt": "evaluation",
            "font.family": "sans-serif",
            "font.size": 10.0,
            "axes.edgecolor": QUIET,
            "axes.labelcolor": QUIET,
            "axes.facecolor": "none",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.axisbelow": True,
            "axes.linewidth": 0.8,
            "text.color": INK,
            "xtick.color": QUIET,
            "ytick.color": QUIET,
            "grid.color": GRID,
            "grid.linewidth": 0.8,
            "legend.frameon": False,
            "legend.fontsize": 9.0,
            "text.parse_math": False,
        }
    )
    with style:
        yield Figure(figsize=_SIZE_IN, layout="constrained", facecolor="none")


def percent_axes(axes: Axes, *names: str) -> None:
    """Write the shares on `xaxis` or `yaxis` as per cent."""
    for name in names:
        getattr(axes, name).set_major_formatter(lambda share, _: f"{share * 100:g} %")


def _unit_square(axes: Axes, across: str, up: str) -> None:
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel=across, ylabel=up)
    axes.grid(visible=True)
    percent_axes(axes, "xaxis", "yaxis")


def _precision_recall(axes: Axes, evaluation: Evaluation) -> None:
    _unit_square(axes, "Recall", "Precision")
    recall = np.array([point.recall for point in evaluation.curve])
    alarms = np.array([point.false_positive_rate for point in evaluation.curve])
    own = evaluation.positives / evaluation.items
    for prevalence, colour, where in (
        (own, NEGATIVE, "in the test set"),
        (evaluation.expected_prevalence, POSITIVE, "as expected outside"),
    ):
        precision = prevalence * recall / (prevalence * recall + (1 - prevalence) * alarms)
        axes.step(recall, precision, where="pre", color=colour, lw=1.8, label=_share(prevalence, where))
        at = _chosen(evaluation, prevalence)
        if at is not None:
            axes.plot(*at, "o", color=colour, ms=6, mec=CARD, mew=1.5, clip_on=False, zorder=5)
    axes.legend(title="Positives", loc="best", title_fontsize=9, alignment="left")


def _chosen(evaluation: Evaluation, prevalence: float) -> tuple[float, float] | None:
    precision = precision_at(evaluation.counts, prevalence).value
    recall = evaluation.measure("recall").value
    return None if precision is None or recall is None else (recall, precision)


def _share(prevalence: float, where: str) -> str:
    return f"{prevalence * 100:.3g} % {where}"


def _roc(axes: Axes, evaluation: Evaluation) -> None:
    _unit_square(axes, "False-positive rate", "Recall")
    axes.plot([0, 1], [0, 1], color=QUIET, lw=1, ls=(0, (4, 4)), label="chance")
    alarms = [0.0, *(point.false_positive_rate for point in evaluation.curve)]
    axes.plot(alarms, [0.0, *(point.recall for point in evaluation.curve)], color=NEGATIVE, lw=1.8)
    counts = evaluation.counts
    at = (counts.false_positives / counts.negatives, counts.true_positives / counts.positives)
    label = f"threshold {evaluation.threshold:.3g}"
    axes.plot(*at, "o", color=NEGATIVE, ms=6, mec=CARD, mew=1.5, clip_on=False, zorder=5, label=label)
    axes.legend(loc="lower right")


def _prevalence(axes: Axes, evaluation: Evaluation) -> None:
    shares = np.geomspace(0.0005, 0.6, 60)
    found = [precision_at(evaluation.counts, float(share), evaluation.confidence) for share in shares]
    axes.set(xscale="log", xlim=(shares[0], shares[-1]), ylim=(0, 1.02))
    axes.set(xlabel="Positives among uploads", ylabel="Flags that are right")
    axes.grid(visible=True)
    percent_axes(axes, "xaxis", "yaxis")
    axes.set_xticks([0.001, 0.01, 0.1, 0.5])
    axes.set_xticks([], minor=True)
    low, high = [one.low for one in found], [one.high for one in found]
    axes.fill_between(shares, low, high, color=NEGATIVE, alpha=0.16, lw=0)
    if evaluation.counts.flagged:
        axes.plot(shares, [one.value or 0.0 for one in found], color=NEGATIVE, lw=1.8)
    axes.axvline(evaluation.expected_prevalence, color=MARK, lw=1.2, ls=(0, (5, 4)))
    _beside(axes, evaluation.expected_prevalence, "expected")


def _beside(axes: Axes, x: float, text: str, *, left: bool = False) -> None:
    place, side = ((-5, 0), "right") if left else ((5, 0), "left")
    axes.annotate(
        text,
        (x, 0.97),
        xycoords=("data", "axes fraction"),
        xytext=place,
        textcoords="offset points",
        color=MARK,
        ha=side,
        va="top",
        fontsize=9,
    )


def _confusion(axes: Axes, evaluation: Evaluation) -> None:
    counts = evaluation.counts
    negative, positive = evaluation.subject.classes
    rows = (
        (counts.true_negatives, counts.false_positives, counts.negatives),
        (counts.false_negatives, counts.true_positives, counts.positives),
    )
    for row, (kept, flagged, total) in enumerate(rows):
        for column, count in enumerate((kept, flagged)):
            share, right = count / total, row == column
            colour = NEGATIVE if right else POSITIVE
            axes.fill_between(
                [column, column + 1], row, row + 1, color=colour, alpha=0.08 + 0.4 * share, lw=0
            )
            axes.text(column + 0.5, row + 0.45, f"{count:,}", ha="center", va="center", fontsize=17)
            note = f"{share * 100:.1f} % of the row"
            axes.text(column + 0.5, row + 0.68, note, ha="center", va="center", fontsize=9, color=QUIET)
    axes.axhline(1, color=CARD, lw=3)
    axes.axvline(1, color=CARD, lw=3)
    axes.set(xlim=(0, 2), ylim=(2, 0), ylabel="Truth", xlabel="The model says")
    axes.set_xticks([0.5, 1.5], ["not flagged", "flagged"])
    axes.set_yticks([0.5, 1.5], [negative, positive], rotation=90, va="center")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _histogram(axes: Axes, evaluation: Evaluation) -> None:
    bins = len(evaluation.histogram.positives)
    left = np.arange(bins) / bins
    negative, positive = evaluation.subject.classes
    up, down = np.array(evaluation.histogram.positives), np.array(evaluation.histogram.negatives)
    axes.bar(left, up / max(up.sum(), 1), 0.9 / bins, align="edge", color=POSITIVE, label=positive)
    axes.bar(left, -down / max(down.sum(), 1), 0.9 / bins, align="edge", color=NEGATIVE, label=negative)
    axes.axhline(0, color=QUIET, lw=0.8)
    axes.axvline(evaluation.threshold, color=MARK, lw=1.2, ls=(0, (5, 4)))
    axes.set(xlim=(0, 1), xlabel="Score", ylabel="Share of the class")
    axes.margins(y=0.14)
    axes.grid(visible=True, axis="y")
    axes.yaxis.set_major_formatter(lambda share, _: f"{abs(share) * 100:g} %")
    _beside(axes, evaluation.threshold, "flagged from here", left=evaluation.threshold > 0.6)
    axes.legend(loc="lower right")


def _reliability(axes: Axes, evaluation: Evaluation) -> None:
    _unit_square(axes, "Mean score", "Share of positives")
    axes.plot([0, 1], [0, 1], color=QUIET, lw=1, ls=(0, (4, 4)), label="as it should be")
    calibration = evaluation.calibration
    _bins(axes, calibration.before, POSITIVE, "as scored")
    if calibration.after:
        _bins(axes, calibration.after, NEGATIVE, f"temperature {calibration.temperature.value:.2f}")
    axes.legend(loc="upper left")


def _bins(axes: Axes, bins: Sequence[Bin], colour: str, label: str) -> None:
    known = [
        (part.mean_score, part.positives.value, part.positives.low, part.positives.high)
        for part in bins
        if part.mean_score is not None and part.positives.value is not None
    ]
    across, up, low, high = np.array(known).T
    reach = np.array([up - low, high - up])
    axes.errorbar(
        across, up, reach, color=colour, marker="o", ms=4, lw=1.5, elinewidth=1, alpha=0.95, label=label
    )


__all__ = [
    "CARD",
    "GRID",
    "INK",
    "MARK",
    "NEGATIVE",
    "POSITIVE",
    "QUIET",
    "Axes",
    "as_element",
    "draw",
    "percent_axes",
    "plots",
]

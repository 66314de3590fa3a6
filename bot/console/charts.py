"""The charts' addresses: each is drawn when a browser asks for it, and remembered for a while.

Every chart has a table beside it with the same numbers; nothing is told by a picture alone.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from bot.console import models_page, overview_page, quality_page, scores_page
from bot.console.visits import Visit
from storage.console_scores import EDGES
from storage.metric_values import CurvePoint, Measures

if TYPE_CHECKING:
    from bot.console.plotting import Axes
    from storage.console_overview import HourCount
    from storage.console_scores import ScorePair, ScoreStep

MEDIA_TYPE: Final = "image/svg+xml"


def show(request: Request, visit: Visit) -> Response:
    """Answer with a chart."""
    name = request.path_params["name"]
    maker = _MAKERS.get(name)
    if maker is None:
        raise HTTPException(404, "There is no such chart.")
    try:
        from bot.console.plotting import POLICY
    except ImportError as error:
        raise HTTPException(404, "Charts need matplotlib: pip install '.[serve]'.") from error
    svg = maker(request, visit)
    return Response(svg, media_type=MEDIA_TYPE, headers={"Content-Security-Policy": POLICY})


def _rates(_request: Request, visit: Visit) -> str:
    hours = overview_page.hours(visit)
    return visit.console.charts.get(("rates", tuple(hours)), lambda: rates_chart(hours))


def _scores(request: Request, visit: Visit) -> str:
    hours, wanted = scores_page.asked(request)
    _models, model, steps = scores_page.score_steps(visit, hours, wanted)
    key = ("scores", model, tuple((step.start, step.flagged, tuple(step.bands)) for step in steps))
    return visit.console.charts.get(key, lambda: scores_chart(steps, model))


def _quality(request: Request, visit: Visit) -> str:
    days, model = quality_page.asked(request, visit)
    found = quality_page.measures(visit, days, model)
    key = ("quality", days, model, found.selection.until)
    return visit.console.charts.get(key, lambda: quality_chart(found.groups))


def _threshold(request: Request, visit: Visit) -> str:
    days, model = quality_page.asked(request, visit)
    found = quality_page.measures(visit, days, model)
    key = ("threshold", days, model, found.selection.until)
    return visit.console.charts.get(key, lambda: threshold_chart(found.curve))


def _shadow(_request: Request, visit: Visit) -> str:
    found = models_page.shadow_scores(visit)
    if found is None:
        raise HTTPException(404, "No model is a shadow.")
    key = ("shadow", found.name, tuple((pair.log_id, pair.shadow) for pair in found.pairs[:1]))
    return visit.console.charts.get(key, lambda: shadow_chart(found.pairs, found.name))


def rates_chart(hours: Sequence["HourCount"]) -> str:
    """Uploads stored and scored in every hour of the last day."""
    from bot.console import plotting

    def drawer(axes: "Axes") -> None:
        plotting.lines(
            axes,
            [hour.start for hour in hours],
            [
                ("stored", [hour.received for hour in hours], plotting.FIRST),
                ("scored", [hour.scored for hour in hours], plotting.SECOND),
            ],
        )
        axes.set_ylim(bottom=0)
        plotting.dates(axes)
        plotting.legend(axes)

    busiest = max((hour.received for hour in hours), default=0)
    return plotting.draw(
        "Uploads an hour", f"The last {len(hours)} hours; at most {busiest} uploads an hour.", drawer
    )


def scores_chart(steps: Sequence["ScoreStep"], model: str) -> str:
    """Which share of the scores reaches each edge, over time; the axis is logarithmic, as most are near 0."""
    from bot.console import plotting

    def drawer(axes: "Axes") -> None:
        middles = [step.start + (step.end - step.start) / 2 for step in steps]
        series = [
            (f"{edge:g} or more", [step.share_from(index) or None for step in steps], colour)
            for (index, edge), colour in zip(enumerate(EDGES), plotting.SHADES, strict=True)
        ]
        plotting.lines(axes, middles, series)
        plotting.log_shares(axes)
        axes.set_ylabel("share of the scores")
        plotting.dates(axes)
        plotting.legend(axes, 5)

    total = sum(step.count for step in steps)
    return plotting.draw(
        f"Scores of {model} over time",
        f"{total} scores; for each step of time the share that reaches {_listed(EDGES)}.",
        drawer,
        (9.6, 3.4),
    )


def quality_chart(groups: Sequence[Measures]) -> str:
    """Precision and recall with their intervals, a place for every group of the period."""
    from bot.console import plotting

    def drawer(axes: "Axes") -> None:
        starts = [datetime.strptime(group.name, "%Y-%m-%d").replace(tzinfo=UTC) for group in groups]
        for name, colour in (("precision", plotting.FIRST), ("recall", plotting.SECOND)):
            estimates = [getattr(group, name) for group in groups]
            plotting.band(axes, starts, [(one.low, one.high) for one in estimates], colour)
            plotting.lines(axes, starts, [(name, [one.value for one in estimates], colour)])
        plotting.shares(axes)
        plotting.dates(axes)
        plotting.legend(axes)

    return plotting.draw(
        "Precision and recall over time",
        "Estimates with their 95 % intervals, by the week in which the files were scored.",
        drawer,
    )


def threshold_chart(curve: Sequence[CurvePoint]) -> str:
    """Precision and recall with their intervals, if files were flagged from another score on."""
    from bot.console import plotting

    def drawer(axes: "Axes") -> None:
        across = [point.threshold for point in curve]
        for name, colour in (("precision", plotting.FIRST), ("recall", plotting.SECOND)):
            estimates = [getattr(point, name) for point in curve]
            plotting.band(axes, across, [(one.low, one.high) for one in estimates], colour)
            plotting.lines(axes, across, [(name, [one.value for one in estimates], colour)])
        axes.set_xlim(0, 1)
        axes.set_xlabel("flagged from this score on")
        plotting.shares(axes)
        plotting.legend(axes)

    return plotting.draw(
        "Precision and recall by threshold",
        "Estimates with their 95 % intervals, if files were flagged from other scores on.",
        drawer,
    )


def shadow_chart(pairs: Sequence["ScorePair"], name: str) -> str:
    """The shadow's score of every upload over the one that decided."""
    from bot.console import plotting

    def drawer(axes: "Axes") -> None:
        axes.plot([0, 1], [0, 1], color=plotting.QUIET, lw=1, ls=(0, (4, 4)))
        for same, label, colour in (
            (True, "same answer", plotting.FIRST),
            (False, "other answer", plotting.SECOND),
        ):
            chosen = [pair for pair in pairs if (pair.active_flags == pair.shadow_flags) is same]
            across, up = [pair.active for pair in chosen], [pair.shadow for pair in chosen]
            axes.plot(across, up, "o", ms=3, alpha=0.6, mew=0, color=colour, label=label)
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="active model", ylabel=name)
        plotting.legend(axes)

    return plotting.draw(
        f"Scores of {name} beside the active model's",
        f"{len(pairs)} uploads, each a dot: across the score that decided, up the shadow's.",
        drawer,
        (5.2, 4.4),
    )


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)


_MAKERS: Final[Mapping[str, Callable[[Request, Visit], str]]] = {
    "rates": _rates,
    "scores": _scores,
    "quality": _quality,
    "threshold": _threshold,
    "shadow": _shadow,
}

__all__ = ["quality_chart", "rates_chart", "scores_chart", "shadow_chart", "show", "threshold_chart"]

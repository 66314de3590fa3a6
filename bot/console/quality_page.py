"""How good the flags are: precision and recall with their intervals over time and over the threshold, drift.

The numbers are those of `python -m bot metrics`, counted every ten minutes at most.
"""

from datetime import datetime, timedelta
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from bot.console.visits import Visit
from bot.quality import DAYS
from storage.console_queue import model_names
from storage.metric_values import FeedbackMetrics, Grouping, Selection
from storage.metrics import metrics

_FOR_THE_PAGE: Final = ("Ask for --by model, or --model", "Choose a model above")
"""The command line's advice, and what helps here."""
PERIODS_DAYS: Final = (7, 30, 60, 90, 180, 365)


def show(request: Request, visit: Visit) -> Response:
    """Make the page."""
    days, model = asked(request, visit)
    found = measures(visit, days, model)
    with visit.console.database.read() as tx:
        models = model_names(tx)
    values = {
        "found": found,
        "caveats": [caveat.replace(*_FOR_THE_PAGE) for caveat in found.caveats],
        "days": days,
        "periods": PERIODS_DAYS,
        "model": model,
        "models": models,
        "over_time": visit.address("charts/quality.svg", days=str(days), model=model or ""),
        "over_threshold": visit.address("charts/threshold.svg", days=str(days), model=model or ""),
    }
    return visit.page("quality", "Quality", values)


def asked(request: Request, visit: Visit) -> tuple[int, str | None]:
    """Which period and model an address asks for.

    Args:
        request: The request.
        visit: The visit.

    Returns:
        Days, and a model's name or None; the usual ones where it asks for something else.
    """
    text = request.query_params.get("days", "")
    days = int(text) if text.isdecimal() and len(text) < 5 else DAYS
    model = request.query_params.get("model") or None
    if model is not None:
        with visit.console.database.read() as tx:
            model = model if model in model_names(tx) else None
    return days if days in PERIODS_DAYS else DAYS, model


def measures(visit: Visit, days: int, model: str | None) -> FeedbackMetrics:
    """The numbers, from memory where they are fresh.

    Args:
        visit: The visit.
        days: How far back.
        model: Whose scores; None: those that decided.

    Returns:
        The numbers, with a group for every week or so.
    """
    console = visit.console

    def count() -> FeedbackMetrics:
        now = console.clock()
        with console.database.read() as tx:
            return metrics(tx, _selection(now, days, model), now)

    return console.measures.get((days, model), count)


def _selection(now: datetime, days: int, model: str | None) -> Selection:
    return Selection(now - timedelta(days=days), now, model=model, by=Grouping.PERIOD)


__all__ = ["PERIODS_DAYS", "asked", "measures", "show"]

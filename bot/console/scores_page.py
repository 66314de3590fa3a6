"""Scores over time by one model: which share reaches which score, and how many are flagged."""

from datetime import timedelta
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from bot.console.visits import Visit
from storage.console_scores import EDGES, ScoreStep, model_counts, over_time

PERIODS_HOURS: Final = {24: "24 hours", 24 * 7: "7 days", 24 * 30: "30 days", 24 * 90: "90 days"}
USUAL_HOURS: Final = 24 * 7


def show(request: Request, visit: Visit) -> Response:
    """Make the page."""
    hours, wanted = asked(request)
    models, model, steps = score_steps(visit, hours, wanted)
    values = {
        "models": models,
        "model": model,
        "steps": steps,
        "edges": EDGES,
        "hours": hours,
        "periods": PERIODS_HOURS,
        "chart_address": visit.address("charts/scores.svg", hours=str(hours), model=model),
    }
    return visit.page("scores", "Scores", values)


def asked(request: Request) -> tuple[int, str]:
    """Which period and model an address asks for.

    Args:
        request: The request.

    Returns:
        Hours, the usual ones where it asks for something else; and a model's name, perhaps of none.
    """
    text = request.query_params.get("hours", "")
    hours = int(text) if text.isdecimal() and len(text) < 6 else USUAL_HOURS
    return hours if hours in PERIODS_HOURS else USUAL_HOURS, request.query_params.get("model", "")


def score_steps(visit: Visit, hours: int, wanted: str) -> tuple[dict[str, int], str, list[ScoreStep]]:
    """The counts, from memory where they are fresh.

    Args:
        visit: The visit.
        hours: How far back.
        wanted: Name of a model; of any other than those that scored, the most frequent one is taken.

    Returns:
        How many scores each model made, whose these are (empty where there are none), and the steps.
    """
    console = visit.console

    def count() -> tuple[dict[str, int], str, list[ScoreStep]]:
        now = console.clock()
        since = now - timedelta(hours=hours)
        with console.database.read() as tx:
            models = model_counts(tx, since, now)
            model = wanted if wanted in models else next(iter(models), "")
            return models, model, over_time(tx, model, since, now) if model else []

    return console.steps.get((hours, wanted), count)


__all__ = ["PERIODS_HOURS", "asked", "score_steps", "show"]

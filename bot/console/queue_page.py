"""The queue: everything that people are asked about, filtered, a page at a time."""

from starlette.requests import Request
from starlette.responses import Response

from bot.console.queue_form import LABELS, parse, place_of
from bot.console.visits import Visit
from storage.console_queue import QueueOrder, model_names, page, totals
from storage.metric_values import MediaKind


def show(request: Request, visit: Visit) -> Response:
    """Make the page."""
    asked = parse(request.query_params, blind=visit.blind)
    with visit.console.database.read() as tx:
        found = page(tx, asked.wanted, account=visit.holder.account, after=asked.after)
        counts = totals(tx)
        models = model_names(tx)
    following = None
    if found.following is not None:
        following = visit.address("queue", **asked.given, after=place_of(found.following))
    values = {
        "entries": found.entries,
        "counts": counts,
        "asked": asked,
        "following": following,
        "first": visit.address("queue", **asked.given) if asked.after is not None else None,
        "models": models,
        "media": list(MediaKind),
        "labels": LABELS,
        "orders": list(QueueOrder),
    }
    return visit.page("queue", "Queue", values)


__all__ = ["show"]

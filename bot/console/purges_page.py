"""The audit log of kept pictures that were removed, and how many are kept now."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from bot.console.visits import Visit
from storage.kept_copies import purges, totals

ROWS: Final = 200


def show(_request: Request, visit: Visit) -> Response:
    """Make the page."""
    with visit.console.database.read() as tx:
        kept, size_bytes = totals(tx)
        removed = purges(tx, ROWS)
    values = {
        "kept": kept,
        "size_bytes": size_bytes,
        "removed": removed,
        "most": ROWS,
        "days": visit.console.settings.retention.days,
    }
    return visit.page("purges", "Purge log", values)


__all__ = ["show"]

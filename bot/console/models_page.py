"""Which models made scores, which one is trusted with what, and what a shadow says beside the active one."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from bot.console.visits import Visit
from storage.console_scores import ScorePair, ShadowScores, shadow
from storage.model_registry import history, standings
from storage.models import versions

HISTORY: Final = 100
APART: Final = 15
"""So many uploads are listed on which the two models differ most."""


def show(_request: Request, visit: Visit) -> Response:
    """Make the page."""
    with visit.console.database.read() as tx:
        known, registered, changes = versions(tx), standings(tx), history(tx, limit=HISTORY)
    watching = shadow_scores(visit)
    pairs = () if watching is None else watching.pairs
    values = {
        "versions": known,
        "registered": registered,
        "changes": changes,
        "watching": watching,
        "agreement": agreement(pairs),
        "apart": () if visit.blind else furthest_apart(pairs),
        "chart_address": visit.address("charts/shadow.svg"),
    }
    return visit.page("models", "Models", values)


def shadow_scores(visit: Visit) -> ShadowScores | None:
    """The shadow's scores, from memory where they are fresh."""
    console = visit.console

    def read() -> ShadowScores | None:
        with console.database.read() as tx:
            return shadow(tx, console.clock())

    return console.shadows.get("shadow", read)


def agreement(pairs: Sequence[ScorePair]) -> Counter[tuple[bool, bool]]:
    """How often both flag, one of them does, or none.

    Args:
        pairs: What two models say.

    Returns:
        Counts by what the active one says and what the shadow says.
    """
    return Counter((pair.active_flags, pair.shadow_flags) for pair in pairs)


def furthest_apart(pairs: Sequence[ScorePair]) -> list[ScorePair]:
    """The uploads on which two models differ most; among them first those that only one of them flags.

    Args:
        pairs: What two models say.

    Returns:
        At most `APART` of them.
    """

    def difference(pair: ScorePair) -> tuple[bool, float]:
        return (pair.active_flags != pair.shadow_flags, abs(pair.active - pair.shadow))

    return sorted(pairs, key=difference, reverse=True)[:APART]


__all__ = ["agreement", "furthest_apart", "shadow_scores", "show"]

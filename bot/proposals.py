"""Proposes what to review next: a second draw, once a day, among what was scored the day before.

It waits for the end of the day because how far two models disagree is known only once the shadow has scored,
and because the probabilities of all uploads of a day then spend exactly what the budget has for them
(`storage.uncertainty`). It knows nothing of what the first draw chose: so an upload's chance of being chosen
at all is 1 - (1 - p)(1 - q), which is what estimates weight it with. The draw is systematic as the first
one's, from a start that follows from the secret key and the day; `python -m bot draws` replays both.
"""

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from bot.feedback_settings import SamplingSettings
from bot.sampling import load_key, proposals_a_day
from storage import draws, proposals
from storage.engine import Database
from storage.sampling import SLACK, draw
from storage.uncertainty import combined, inclusion_probabilities, turns, uncertainty

log = logging.getLogger(__name__)

SETTLE = timedelta(minutes=10)
"""After midnight, for shadows that are still at the last uploads of the day."""
ONE_DAY = timedelta(days=1)


def open_proposer(settings: SamplingSettings, database: Database) -> "Proposer | None":
    """The proposer of a daemon.

    Args:
        settings: The budget, and where the key is.
        database: The store.

    Returns:
        The proposer; None where nothing is drawn a second time.

    Raises:
        ConfigError: Where the key cannot be had.
    """
    if not settings.enabled or not proposals_a_day(settings):
        return None
    return Proposer(database, settings, load_key(settings.key_file))


def start_of(key: bytes, day: str) -> float:
    """Where the second draw of a day begins.

    Args:
        key: The secret that draws follow from.
        day: Whose uploads are drawn from, `2026-11-23`.

    Returns:
        The first upload's draw, in [0, 1).
    """
    return draw(key, f"{day} proposals")


class Proposer:
    """Draws once a day, for the housekeeping.

    Args:
        database: The store.
        settings: The budget, and the share of it for proposals.
        key: The secret that draws follow from.
        clock: Tells the present; for tests.
    """

    def __init__(
        self,
        database: Database,
        settings: SamplingSettings,
        key: bytes,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._database = database
        self._settings = settings
        self._key = key
        self._clock = clock
        self._done: datetime | None = None

    def round(self) -> int:
        """Draw if it is time and was not done; the housekeeping calls this about once a second.

        Returns:
            How many uploads are newly put up for review.

        Raises:
            StoreError: Where the store is away; the next round tries again.
        """
        now = self._clock()
        today = now.replace(hour=0, minute=0, second=0, microsecond=0)
        if not proposals_a_day(self._settings) or self._done == today or now < today + SETTLE:
            return 0
        with self._database.read() as tx:
            plan = draws.load_plan(tx, now)
        if plan is None or plan.effective_at < today:
            return 0  # the first score of the day plans it, and leaves room in its budget
        budget = min(proposals_a_day(self._settings), self._settings.daily_budget - plan.plan.daily_budget)
        count = self._draw(today - ONE_DAY, today, budget, now) if budget >= 1 else 0
        self._done = today
        return count

    def _draw(self, since: datetime, until: datetime, budget: int, now: datetime) -> int:
        with self._database.transaction() as tx:
            if proposals.drawn(tx, since, until):
                return 0
            found = proposals.candidates(tx, since, until)
            unsure = uncertainty(found.scores, found.thresholds, found.others)
            # A hair less than the budget: points on a line of its whole length could be one more.
            second = inclusion_probabilities(unsure, budget - SLACK)
            turn = turns(start_of(self._key, since.date().isoformat()), second)
            either = combined(found.probabilities, second)
            count = proposals.record(tx, found, second, turn, either, now)
        log.info("proposed", extra={"uploads": len(found.upload_ids), "chosen": count})
        return count


__all__ = ["Proposer", "open_proposer", "start_of"]

"""The level that the community chose, on its way to whoever flags by it, and into the store."""

from collections.abc import Callable
from datetime import UTC, datetime

from classifier.values import Level
from storage import level_choices
from storage.engine import Database


class LevelInUse:
    """Passes a level on, and keeps a change: thresholds are recalibrated for it, by commands of their own.

    Args:
        database: The store.
        source: Who chooses it: `wiki` or `settings`.
        followers: Told the level.
    """

    def __init__(self, database: Database, source: str, *followers: Callable[[Level], None]) -> None:
        self._database = database
        self._source = source
        self._followers = followers
        self._noted: Level | None = None

    def __call__(self, level: Level) -> None:
        """Tell everybody.

        Args:
            level: `cautious`, `balanced` or `sensitive`.

        Raises:
            StoreError: It could not be kept; everybody was told.
        """
        for follower in self._followers:
            follower(level)
        if level != self._noted:
            with self._database.transaction() as tx:
                level_choices.note(tx, level, self._source, datetime.now(UTC))
            self._noted = level


__all__ = ["LevelInUse"]

"""Which level of sensitivity is in use: a threshold that is recalibrated has to know whose it is."""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from storage.feedback_tables import LevelChoiceRow


def in_use(tx: Session) -> str | None:
    """The level that the daemon flags at.

    Args:
        tx: Any session of the database.

    Returns:
        Its name; None where no daemon has told yet.
    """
    return tx.scalar(select(LevelChoiceRow.level).order_by(LevelChoiceRow.id.desc()).limit(1))


def note(tx: Session, level: str, source: str, now: datetime) -> bool:
    """Keep that a level is in use.

    Args:
        tx: A session of `Database.transaction()`.
        level: Its name.
        source: Who chose it: `wiki` or `settings`.
        now: The present.

    Returns:
        Whether it is another one than before.
    """
    if in_use(tx) == level:
        return False
    tx.add(LevelChoiceRow(level=level, source=source, since=now))
    tx.flush()
    return True


__all__ = ["in_use", "note"]

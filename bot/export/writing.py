"""What every format is: something that takes row after row and is closed at the end."""

from pathlib import Path
from typing import Protocol

from bot.export.record import Values


class Writer(Protocol):
    """One format; rows come in the order of the review, and none is kept in memory."""

    def add(self, row: Values, picture: Path | None) -> None:
        """Write a row.

        Args:
            row: A value for each of `record.FIELDS`.
            picture: Where its picture lies; None where there is none.
        """
        ...

    def close(self) -> None:
        """Finish, and bring everything to the disk."""
        ...


def is_labelled(row: Values) -> bool:
    """Whether people agree on a label."""
    return row["label"] in ("nsfw", "safe")


__all__ = ["Writer", "is_labelled"]

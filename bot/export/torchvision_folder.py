"""`torchvision/<split>/<label>/`: for `torchvision.datasets.ImageFolder`; only what has an agreed label.

Both labels' folders are there even where one is empty: the library numbers classes by their folders (`nsfw`
is 0, `safe` is 1), and would give another number silently where one is missing. It refuses an empty class
instead.
"""

from pathlib import Path

from bot.export import private
from bot.export.record import Values
from bot.export.writing import is_labelled

LABELS = ("nsfw", "safe")


class TorchvisionFolder:
    """Writes the folders.

    Args:
        folder: The export's folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "torchvision"

    def add(self, row: Values, picture: Path | None) -> None:
        """See `Writer.add`."""
        if picture is None or not is_labelled(row):
            return
        split = self._folder / row["split"]
        for label in LABELS:
            private.folder(split / label)
        private.same(picture, split / row["label"] / f"{row['item_id']}{picture.suffix}")

    def close(self) -> None:
        """See `Writer.close`; links need no closing."""


__all__ = ["LABELS", "TorchvisionFolder"]

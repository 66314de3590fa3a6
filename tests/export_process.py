"""An export in a process of its own that stops at a picture and waits: `DATABASE_FOLDER PICTURES DIR N`.

It says `waiting` on its standard output and goes on when its standard input ends.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from bot.export.formats import Format
from bot.export.pictures import NoPicture, Picture, Pictures
from bot.export.run import Request
from storage.engine import Database
from storage.export import ExportItem
from tests.export_store import exporter, noise


class Slow:
    """A remote source that waits before picture number N."""

    def __init__(self, pause_at: int) -> None:
        self._left = pause_at

    def prepare(self, items: Sequence[ExportItem]) -> None:
        """Nothing to do."""

    def open(self, item: ExportItem) -> Picture | NoPicture:
        """A picture, later."""
        self._left -= 1
        if self._left == 0:
            say("waiting")
            sys.stdin.read()
        say("asked")
        return Picture(noise(item.log_id), ".jpg", "fetched")


def say(word: str) -> None:
    """Tell the test."""
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def main() -> None:
    """Export everything."""
    database_folder, pictures, target, pause_at = sys.argv[1:]
    database = Database.open(f"sqlite:///{database_folder}/bot.sqlite3", Path(database_folder))
    remote: Pictures = Slow(int(pause_at))
    request = Request(formats=tuple(Format))
    exporter(database, Path(pictures), remote=remote).run(Path(target), request)
    database.close()


if __name__ == "__main__":
    main()

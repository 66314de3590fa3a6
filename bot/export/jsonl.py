"""`feedback.jsonl`: one JSON object a row, with everything; what `dataset build` reads."""

import json
from pathlib import Path

from bot.export import private
from bot.export.record import Values, jsonable


class JsonLines:
    """Writes the manifest.

    Args:
        folder: The export's folder.
    """

    def __init__(self, folder: Path) -> None:
        self._file = private.create(folder / "feedback.jsonl")

    def add(self, row: Values, picture: Path | None) -> None:  # noqa: ARG002 - the row names it
        """See `Writer.add`."""
        self._file.write(json.dumps(jsonable(row), ensure_ascii=False).encode() + b"\n")

    def close(self) -> None:
        """See `Writer.close`."""
        private.close(self._file)


__all__ = ["JsonLines"]

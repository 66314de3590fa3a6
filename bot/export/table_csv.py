"""`feedback.csv`: the same rows for spreadsheets, the verdicts as JSON in one column.

A title can begin with `=`, which a spreadsheet would run; such a value gets an apostrophe before it, as OWASP
advises against CSV injection.
"""

import csv
import io
from pathlib import Path
from typing import Any

from bot.export import private
from bot.export.record import FIELDS, Values, flat

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class CsvTable:
    """Writes the table.

    Args:
        folder: The export's folder.
    """

    def __init__(self, folder: Path) -> None:
        self._file = private.create(folder / "feedback.csv")
        self._text = io.TextIOWrapper(self._file, encoding="utf-8", newline="")
        self._rows = csv.writer(self._text, lineterminator="\n")
        self._rows.writerow(FIELDS)

    def add(self, row: Values, picture: Path | None) -> None:  # noqa: ARG002 - the row names it
        """See `Writer.add`."""
        self._rows.writerow([_harmless(value) for value in flat(row).values()])

    def close(self) -> None:
        """See `Writer.close`."""
        self._text.flush()
        self._text.detach()
        private.close(self._file)


def _harmless(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


__all__ = ["CsvTable"]

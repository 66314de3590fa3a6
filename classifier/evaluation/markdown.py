"""Markdown that shows what it was given: somebody's words never become markup."""

import re
from collections.abc import Iterable, Sequence

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+!|~&$])")


def escaped(text: str) -> str:
    """One line of plain text."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose first column is text and whose others are figures.

    Args:
        header: Markdown already, like all cells.
        rows: One cell a column.

    Returns:
        Lines, the last one ended.
    """
    marks = ["---", *("---:" for _ in header[1:])]
    return "".join("| " + " | ".join(cells) + " |\n" for cells in (header, marks, *rows))


__all__ = ["escaped", "table"]

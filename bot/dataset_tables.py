"""What the `dataset` commands show: findings and balance as tables for a terminal.

Paths and values come from strangers' files: nothing of them is taken as markup, and what is invisible goes.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from rich.markup import escape
from rich.table import Table

from bot.review.wikitext import printable
from classifier.datasets.balance import balance
from classifier.datasets.values import Dataset, Finding

MAX_ROWS = 40
_MAX_OTHERS = 3
_STYLES = {"error": "red", "warning": "yellow", "info": "dim"}


def findings_table(findings: Sequence[Finding], max_rows: int = MAX_ROWS) -> Table:
    """Lay findings out, the worst first as they come.

    Args:
        findings: What was found.
        max_rows: More are counted, not shown.

    Returns:
        A table.
    """
    table = Table(box=None, pad_edge=False)
    table.add_column("severity")
    table.add_column("what", ratio=3, overflow="fold")
    table.add_column("where", ratio=2, overflow="fold")
    table.add_column("also", ratio=2, overflow="fold")
    for finding in findings[:max_rows]:
        more = len(finding.others) - _MAX_OTHERS
        others = ", ".join(finding.others[:_MAX_OTHERS]) + (f" and {more} more" if more > 0 else "")
        table.add_row(
            finding.severity,
            _plain(f"{finding.message} ({finding.code})"),
            _plain(finding.file + (f", column {finding.column}" if finding.column else "")),
            _plain(others),
            style=_STYLES[finding.severity],
        )
    if len(findings) > max_rows:
        table.add_row("", f"… and {len(findings) - max_rows:,} more; --json prints all")
    return table


def counts_line(findings: Iterable[Finding]) -> str:
    """How many findings there are of each severity, in a line."""
    counts = Counter[str](finding.severity for finding in findings)
    names = {"error": "error", "warning": "warning", "info": "remark"}
    return ", ".join(
        f"{counts[severity]:,} {name}{'' if counts[severity] == 1 else 's'}"
        for severity, name in names.items()
    )


def splits_table(dataset: Dataset) -> Table:
    """Lay out how many pictures of each label are in each split.

    Args:
        dataset: Its pictures.

    Returns:
        A table.
    """
    table = Table(box=None, pad_edge=False)
    table.add_column("split")
    for label in dataset.classes:
        table.add_column(_plain(label), justify="right")
    table.add_column("together", justify="right")
    table.add_column(f"{_plain(dataset.classes[1])}, share", justify="right")
    order = ("train", "validation", "test", "", "all")
    rows = [row for row in balance(dataset) if row.column in ("", "split")]
    for row in sorted(rows, key=lambda row: order.index(row.value)):
        table.add_row(
            row.value or "(none yet)",
            f"{row.negatives:,}",
            f"{row.positives:,}",
            f"{row.count:,}",
            f"{row.positive_share:.1%}",
        )
    return table


def _plain(text: str) -> str:
    return escape(printable(text))


__all__ = ["MAX_ROWS", "counts_line", "findings_table", "splits_table"]

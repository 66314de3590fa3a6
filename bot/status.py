"""What the `status`, `check-config` and `models` commands show."""

from collections.abc import Iterable
from datetime import UTC, datetime

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bot.probes import Finding
from bot.settings import ROOT, Settings
from classifier.models.catalogue import ModelDescription
from storage import status
from storage.engine import Database
from storage.values import StoreStatus


def read_status(settings: Settings) -> StoreStatus:
    """Read the store's status.

    Args:
        settings: Where the store is.

    Returns:
        The status now.

    Raises:
        StoreError: Where the store cannot be read.
    """
    database = Database.open(settings.store.url, ROOT)
    try:
        database.migrate()
        with database.read() as tx:
            return status.snapshot(tx, datetime.now(UTC))
    finally:
        database.close()


def status_table(current: StoreStatus) -> Table:
    """Lay out a status for a terminal.

    Args:
        current: What to show.

    Returns:
        A table of two columns.
    """
    table = Table(box=None, show_header=False)
    table.add_column(style="bold")
    table.add_column()
    position = current.position
    heard = (
        "never connected" if position is None else f"read up to {position.event_time:%Y-%m-%d %H:%M:%S} UTC"
    )
    table.add_row("stream", heard)
    table.add_row("waiting", f"{current.pending} pending, {current.claimed} on their way")
    table.add_row("scored", f"{current.scored}, of which {current.flagged} flagged")
    skipped = ", ".join(f"{count} {code}" for code, count in sorted(current.skipped.items())) or "none"
    table.add_row("skipped", skipped)
    table.add_row("last hour", f"{current.uploads_last_hour} uploads")
    table.add_row("last day", f"{current.uploads_last_day} uploads")
    table.add_row("gaps", f"{current.open_gaps} to be filled; {current.missed_uploads} missed uploads found")
    table.add_row("model", current.last_model or "none yet")
    return table


def findings_table(findings: Iterable[Finding]) -> Table:
    """Lay out what the probes found.

    Args:
        findings: The rows.

    Returns:
        A table with a mark for every row.
    """
    table = Table("", "", "", box=None, show_header=False)
    for finding in findings:
        mark = "[green]yes[/]" if finding.ok else "[bold red]no[/]"
        table.add_row(mark, finding.what, escape(finding.detail))
    return table


def models_table(models: Iterable[ModelDescription]) -> Table:
    """Lay out the known models.

    Args:
        models: The rows.

    Returns:
        A table with a row per model.
    """
    table = Table("Model", "Architecture", "Licence", "Weights", box=None, header_style="bold")
    for model in models:
        size = f", {model.size_bytes / 1e6:.1f} MB" if model.size_bytes else ""
        table.add_row(model.card.name, model.card.architecture, model.card.licence, model.state + size)
    return table


def print_diff(console: Console, lines: Iterable[str]) -> None:
    """Print a unified diff in the usual colours.

    Args:
        console: Where to print.
        lines: The diff's lines.
    """
    for line in lines:
        style = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "")
        console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)

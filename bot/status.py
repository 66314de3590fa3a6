"""What the `status`, `check-config` and `models` commands show."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bot.probes import Finding
from bot.settings import ROOT, Settings
from classifier.engines.values import EngineId, ExportedGraph
from classifier.models.catalogue import ModelDescription
from storage import model_registry, shadow_runs, status
from storage.engine import Database
from storage.model_registry import ModelStanding, RegisteredModel
from storage.shadow_runs import ShadowRun
from storage.values import StoreStatus


@dataclass(frozen=True, slots=True)
class RegistryStatus:
    """Who has which part.

    Attributes:
        active: The model that the registry names as active; None: the configuration does.
        shadow: The one that watches.
        run: How that fares; None where no daemon took it up yet.
    """

    active: RegisteredModel | None
    shadow: RegisteredModel | None
    run: ShadowRun | None


def read_status(settings: Settings) -> tuple[StoreStatus, RegistryStatus]:
    """Read the store's status.

    Args:
        settings: Where the store is.

    Returns:
        The status now, and who has which part.

    Raises:
        StoreError: Where the store cannot be read.
    """
    database = Database.open(settings.store.url, ROOT)
    try:
        database.migrate()
        with database.read() as tx:
            active, shadow = (
                model_registry.holder(tx, one) for one in (ModelStanding.ACTIVE, ModelStanding.SHADOW)
            )
            run = None if shadow is None else shadow_runs.find(tx, shadow.name, shadow.weights_sha256)
            return status.snapshot(tx, datetime.now(UTC)), RegistryStatus(active, shadow, run)
    finally:
        database.close()


def status_table(current: StoreStatus, registry: RegistryStatus) -> Table:
    """Lay out a status for a terminal.

    Args:
        current: What to show.
        registry: Who has which part.

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
    table.add_row("model", escape(_active(current.last_model, registry.active)))
    if registry.shadow is not None:
        table.add_row("shadow", escape(_shadow(registry.shadow, registry.run)))
    return table


def _active(last_model: str | None, active: RegisteredModel | None) -> str:
    """What scores, and what will after the next start."""
    scores = last_model or "none yet"
    if active is None:
        return scores
    named = f"{active.name} {active.weights_sha256[:12]}"
    said = f"active since {active.since:%Y-%m-%d %H:%M} UTC, says {active.set_by}"
    return f"{scores}, {said}" if named == last_model else f"{scores}; from the next start {named}, {said}"


def _shadow(shadow: RegisteredModel, run: ShadowRun | None) -> str:
    named = f"{shadow.name} {shadow.weights_sha256[:12]}"
    if run is None:
        return f"{named}: no daemon has taken it up yet"
    counts = {name: count for name, count in run.counts.items() if count}
    scored = counts.pop("scored", 0)
    others = "".join(f", {count} {name.replace('_', ' ')}" for name, count in sorted(counts.items()))
    state = {shadow_runs.FAILED: f"cannot be loaded: {run.message}"}.get(run.state, run.state)
    return f"{named}: {state}; {scored} scored{others}"


def findings_table(findings: Iterable[Finding]) -> Table:
    """Lay out what the probes found.

    Args:
        findings: The rows.

    Returns:
        A table with a mark for every row.
    """
    table = Table("", "", "", box=None, show_header=False)
    for finding in findings:
        mark = {True: "[green]yes[/]", False: "[bold red]no[/]", None: "[dim]–[/]"}[finding.ok]
        table.add_row(mark, finding.what, escape(finding.detail))
    return table


def models_table(models: Iterable[ModelDescription]) -> Table:
    """Lay out the known models.

    Args:
        models: The rows.

    Returns:
        A table with a row per model.
    """
    table = Table("Model", "Kind", "Architecture", "Licence", "Weights", box=None, header_style="bold")
    table.columns[0].overflow = "fold"  # names of the hub are long, and needed whole
    for model in models:
        size = f", {model.size_bytes / 1e6:.1f} MB" if model.size_bytes else ""
        card = model.card
        table.add_row(card.name, model.kind, card.architecture, card.licence, model.state + size)
    return table


def export_table(graph: ExportedGraph, engine: EngineId) -> Table:
    """Lay out what an export is and how far its scores lie from the reference's.

    Args:
        graph: The export.
        engine: For which engine it was asked.

    Returns:
        A table of keys and values.
    """
    table = Table(box=None, show_header=False)
    table.add_row("engine", str(engine))
    table.add_row("file", str(graph.path))
    table.add_row("size", f"{graph.path.stat().st_size / 1e6:.1f} MB, SHA-256 {graph.sha256[:12]}…")
    if graph.fp32_layers:
        table.add_row("left in fp32", ", ".join(graph.fp32_layers))
    if (drift := graph.drift) is not None:
        table.add_row(
            "compared on", f"{drift.pictures} pictures, {drift.positives} of them scored 0.5 or more"
        )
        table.add_row("difference", f"mean {drift.mean:.1e}, p99 {drift.p99:.1e}, max {drift.max:.1e}")
        changed = ", ".join(f"{share:.2%} at {level}" for level, share in drift.decisions_changed.items())
        table.add_row("decisions changed", changed)
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

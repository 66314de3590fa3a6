"""What `metrics` prints: the numbers with their intervals, and in sentences what cannot be known."""

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from storage.estimates import Estimate
from storage.metric_values import Agreement, Alert, Change, CurvePoint, FeedbackMetrics, Measures, Waiting

UNKNOWN = "unknown"
STYLES = {Alert.NONE: "green", Alert.WATCH: "yellow", Alert.ALARM: "bold red", Alert.UNKNOWN: "dim"}
CURVE_STEP = 2
"""Every second point of the curve is printed; --json has all."""


def report(found: FeedbackMetrics) -> RenderableType:
    """Lay out everything for a terminal.

    Args:
        found: What to show.

    Returns:
        Tables and sentences.
    """
    chosen = found.selection
    parts: list[RenderableType] = [
        f"[bold]Uploads scored from {chosen.since:%Y-%m-%d %H:%M} to {chosen.until:%Y-%m-%d %H:%M} UTC[/]"
        + (f", by {escape(chosen.model)}" if chosen.model else "")
        + (f", only {chosen.media.value} files" if chosen.media else "")
        + (f", flagged from a score of {chosen.threshold:g}" if chosen.threshold is not None else ""),
    ]
    parts += [f"[yellow]Take care:[/] {escape(sentence)}." for sentence in found.caveats]
    parts += ["", _measures(found.whole), ""]
    if found.groups:
        parts += [_groups(found.groups, chosen.by.value if chosen.by else ""), ""]
        parts += [
            f"[yellow]{escape(group.name)}:[/] {escape(caveat)}."
            for group in found.groups
            for caveat in group.caveats
        ]
    if any(point.precision.value is not None for point in found.curve):
        parts += [_curve(found.curve), ""]
    parts += [_people(found), "", _drift(found.drift)]
    return Group(*parts)


def share(estimate: Estimate) -> str:
    """An estimate for people: never without its interval, and in words where it is unknown.

    Args:
        estimate: What to tell.

    Returns:
        Such as `82 % (75 to 88)`.
    """
    if estimate.value is not None:
        digits = 0 if estimate.high >= 0.1 else 2
        low, high = (f"{end * 100:.{digits}f}" for end in (estimate.low, estimate.high))
        return f"{estimate.value * 100:.{digits}f} % ({low} to {high})"
    if estimate.low > 0.005 or estimate.high < 0.995:
        return f"{UNKNOWN}; between {estimate.low * 100:.0f} and {estimate.high * 100:.0f} %"
    return UNKNOWN


def _measures(whole: Measures) -> Table:
    table = Table(box=None, show_header=False)
    table.add_column(style="bold")
    table.add_column()
    table.add_column(style="dim")
    table.add_row("files", f"{whole.scored} scored, {whole.flagged} flagged", "")
    asked = f"{whole.chosen} put up for review, {whole.labelled} decided"
    table.add_row("review", asked, f"{whole.unresolved} left unsure or disputed")
    table.add_row("precision", share(whole.precision), "of the flagged files, so many are explicit")
    table.add_row("recall", share(whole.recall), "of the explicit files, so many are flagged")
    table.add_row("F1", share(whole.f1), "both in one number")
    table.add_row("prevalence", share(whole.prevalence), "of all files, so many are explicit")
    if whole.unresolved:
        note = "if all unsure and disputed files were harmless, or explicit"
        table.add_row("  precision then", _bounds(whole.precision_bounds), note)
        table.add_row("  recall then", _bounds(whole.recall_bounds), note)
    influenced = [
        ("hinted", whole.hinted, "by those who saw a hint at another file"),
        ("seen", whole.unblinded, "by those who saw the score"),
    ]
    if any(estimate.n for _, estimate, _ in influenced):
        table.add_row("  precision, blind", share(whole.blind), "by reviewers who saw neither score nor hint")
        for name, estimate, whose in influenced:
            if estimate.n:
                table.add_row(f"  precision, {name}", share(estimate), whose)
    return table


def _bounds(ends: tuple[float | None, float | None]) -> str:
    low, high = ends
    if low is None or high is None:
        return UNKNOWN
    return f"{low * 100:.1f} to {high * 100:.1f} %"


def _groups(groups: Sequence[Measures], by: str) -> Table:
    table = Table(by, "Scored", "Flagged", "Decided", "Precision", "Recall", "Prevalence", box=None)
    for group in groups:
        table.add_row(
            escape(group.name),
            str(group.scored),
            str(group.flagged),
            str(group.labelled),
            share(group.precision),
            share(group.recall),
            share(group.prevalence),
        )
    return table


def _curve(curve: Sequence[CurvePoint]) -> Table:
    table = Table("If flagged from", "Flagged a day", "Precision", "Recall", box=None)
    for point in curve[1::CURVE_STEP]:
        table.add_row(
            f"{point.threshold:.2f}",
            f"{point.flagged_per_day:.1f}",
            share(point.precision),
            share(point.recall),
        )
    return table


def _people(found: FeedbackMetrics) -> Table:
    table = Table(box=None, show_header=False)
    table.add_column(style="bold")
    table.add_column()
    load = found.load
    table.add_row(
        "review load",
        f"{load.flagged_per_day:.1f} files flagged a day, {load.asked_per_day:.1f} put up for review, "
        f"{load.verdicts_per_day:.1f} verdicts given",
    )
    table.add_row("time to verdict", " ".join(_waits(found.waiting)))
    table.add_row("agreement", _agreement(found.agreement))
    return table


def _waits(waiting: Waiting) -> Iterator[str]:
    if not waiting.decided:
        yield "nothing is decided yet;"
    quantiles = (
        ("half", waiting.median_s),
        ("three quarters", waiting.p75_s),
        ("nine tenths", waiting.p90_s),
    )
    for name, seconds in quantiles if waiting.decided else ():
        yield f"{name} within {_duration(seconds)}," if seconds is not None else f"{name}: not reached yet,"
    yield f"{waiting.open} still open (they count as waiting)"


def _duration(seconds: float) -> str:
    for size, unit in ((86_400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"


def _agreement(found: Agreement) -> str:
    if found.alpha is None:
        return f"{UNKNOWN}: {escape(found.reason)}"
    return (
        f"Krippendorff's alpha {found.alpha:.2f} (1 is perfect, 0 is chance), from {found.items} files that "
        "two or more people judged"
    )


def _drift(changes: Sequence[Change]) -> Table:
    table = Table("Against the period before", "Before", "Now", "", box=None)
    for change in changes:
        before, now = (_percent(value) for value in (change.before, change.now))
        if change.index is not None:
            now = f"index {change.index:.3f}"
        style = STYLES[change.alert]
        table.add_row(
            change.what, before, now, f"[{style}]{change.alert.value}[/]: {escape(change.sentence)}"
        )
    return table


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value * 100:.2f} %"


__all__ = ["report", "share"]

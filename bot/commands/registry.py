"""`models candidate`, `shadow`, `promote`, `rollback`, `retire`, `history`, `compare` and `calibrate`."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from bot.commands.edges import (
    EXIT_CONFIG,
    EXIT_FAILED,
    ConfigOption,
    as_utc,
    configured,
    explained,
    fail,
    out,
)

if TYPE_CHECKING:
    from bot.promotion import Compared, Deciding, Promoted
    from storage.model_registry import RegisteredModel
    from storage.paired_estimates import Comparison, Difference

NameArgument = Annotated[str, typer.Argument(help="A name that `models list` shows.")]
ByOption = Annotated[str, typer.Option("--by", help="Who decides.", show_default="whoever is logged in")]
NoteOption = Annotated[str, typer.Option("--note", help="Why, for the history.")]
LevelOption = Annotated[
    Literal["cautious", "balanced", "sensitive"] | None,
    typer.Option(help="Which threshold.", show_default="the one in use"),
]
DateOption = datetime | None
_DATES = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]


def candidate(
    name: NameArgument, by: ByOption = "", note: NoteOption = "", config: ConfigOption = None
) -> None:
    """Register a model as a candidate: known, and trusted with nothing yet."""
    _set(name, "candidate", by, note, config)


def shadow(name: NameArgument, by: ByOption = "", note: NoteOption = "", config: ConfigOption = None) -> None:
    """Let a model score the same uploads as the active one, without flagging anything."""
    _set(name, "shadow", by, note, config)
    out.print("a running daemon takes it up within a minute; `status` tells how it fares", highlight=False)


def retire(name: NameArgument, by: ByOption = "", note: NoteOption = "", config: ConfigOption = None) -> None:
    """Take a candidate or a shadow out of service."""
    _set(name, "retired", by, note, config)


def promote(
    name: NameArgument,
    margin: Annotated[
        float, typer.Option(min=0, max=1, help="How much worse its F1 may be, at the interval's lower end.")
    ] = 0.0,
    recall_margin: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="Likewise its recall: at the level in use, and where both flag equally many."
        ),
    ] = 0.1,
    level: LevelOption = None,
    force: Annotated[bool, typer.Option("--force", help="Whatever the figures say.")] = False,
    by: ByOption = "",
    note: NoteOption = "",
    config: ConfigOption = None,
) -> None:
    """Make a model the active one; refused where it is not shown to be good enough.

    F1, recall, and recall where both models flag equally many files are compared on the verdicts on what both
    scored. Each lower end has to hold. The thresholds are recalibrated to what [levels] asks.
    """
    from bot.judging import Margins

    with _deciding(config, by, level) as deciding:
        margins = Margins(f1=margin, recall=recall_margin)
        _tell_promotion(name, deciding.promote(name, margins=margins, force=force, note=note))


def rollback(by: ByOption = "", note: NoteOption = "", config: ConfigOption = None) -> None:
    """Return to the model that was active before, with the thresholds it had."""
    with _deciding(config, by) as deciding:
        again, retired = deciding.roll_back(note)
        _tell([retired, again])


def history(
    name: Annotated[str | None, typer.Argument(help="Of one model alone.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a change and line.")] = False,
    config: ConfigOption = None,
) -> None:
    """Show which model was trusted with what, since when, and who said so."""
    from storage import model_registry

    with _deciding(config, "") as deciding:
        with deciding.database.read() as tx:
            rows = model_registry.history(tx, name)
        if as_json:
            for row in rows:
                typer.echo(json.dumps({**asdict(row), "since": row.since.isoformat()}, ensure_ascii=False))
            return
        out.print(_history_table(rows))


def compare(
    first: Annotated[str, typer.Argument(metavar="A", help="A model.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another one.")],
    since: Annotated[DateOption, typer.Option(formats=_DATES, help="Reviews from this day on, UTC.")] = None,
    until: Annotated[DateOption, typer.Option(formats=_DATES, help="Reviews before this day, UTC.")] = None,
    level: LevelOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    config: ConfigOption = None,
) -> None:
    """Compare two models on feedback that both scored: weighted figures, paired, with intervals."""
    with _deciding(config, "", level) as deciding:
        compared = deciding.compare(first, second, as_utc(since), as_utc(until))
    if as_json:
        typer.echo(json.dumps(_plain(first, second, deciding.level, compared)))
    else:
        _tell_comparison(first, second, deciding.level, compared)


def calibrate(
    name: NameArgument,
    precision: Annotated[
        float | None,
        typer.Option(
            help="Share of the flagged that has to be explicit, such as 0.5.", show_default="as [levels] says"
        ),
    ] = None,
    per_day: Annotated[float | None, typer.Option(min=0.01, help="Flags a day at most, such as 40.")] = None,
    level: LevelOption = None,
    by: ByOption = "",
    config: ConfigOption = None,
) -> None:
    """Set a model's threshold by a precision or a budget, from weighted feedback."""
    from bot.level_settings import Target

    if precision is not None and per_day is not None:
        raise typer.BadParameter("name either --precision or --per-day")
    if precision is not None and not 0 < precision < 1:
        raise typer.BadParameter("has to be between 0 and 1", param_hint="--precision")
    with _deciding(config, by, level) as deciding:
        target = Target(precision, per_day)
        if precision is None and per_day is None:
            target = deciding.targets[deciding.level]
        written, choice = deciding.calibrate(name, target)
        share = choice.precision
        out.print(
            f"{name}: {deciding.level} ({target}) is {choice.threshold:.4f} now; precision there "
            f"{share.value:.3f} ({share.low:.3f} to {share.high:.3f}, {share.n} labelled above it, "
            f"{choice.labelled} in all)",
            highlight=False,
        )
        if choice.flags_per_day is not None:
            out.print(f"{choice.flags_per_day:.1f} flags a day", highlight=False)
        out.print(f"thresholds: {dict(written.thresholds)}", highlight=False, markup=False)


def register(app: typer.Typer) -> None:
    """Add these commands to the group `models`.

    Args:
        app: The group.
    """
    for command in (candidate, shadow, promote, rollback, retire, history, compare, calibrate):
        app.command(command.__name__)(command)


@contextmanager
def _deciding(config: "ConfigOption", by: str, level: str | None = None) -> Iterator["Deciding"]:
    from bot.promotion import Deciding, Refused, person
    from bot.settings import ROOT
    from classifier.models import catalogue
    from storage import level_choices
    from storage.engine import Database
    from storage.model_registry import IllegalStanding

    with explained():
        settings = configured(config)
        wanted = settings.classifier
        database = Database.open(settings.store.url, ROOT)
        try:
            database.migrate()
            with database.read() as tx:
                level = level or level_choices.in_use(tx) or wanted.level
            yield Deciding(
                database,
                lambda name: catalogue.card(name, wanted.cache_directory),
                wanted.model,
                level,  # type: ignore[arg-type]
                by or person(),
                datetime.now(UTC),
                settings.levels.targets(),
            )
        except Refused as error:
            fail(EXIT_FAILED, error)
        except IllegalStanding as error:
            fail(EXIT_CONFIG, error)
        finally:
            database.close()


def _set(name: str, standing: str, by: str, note: str, config: "ConfigOption") -> None:
    from storage.model_registry import ModelStanding

    with _deciding(config, by) as deciding:
        _tell(deciding.set_standing(name, ModelStanding(standing), note))


def _tell(written: "list[RegisteredModel]") -> None:
    for one in written:
        out.print(f"{one.name} is {one.standing.value} now, says {one.set_by}", highlight=False, markup=False)


def _tell_promotion(name: str, promoted: "Promoted") -> None:
    """What was decided, on which figures, and from which scores the model flags now."""
    _tell(promoted.written)
    against = str(promoted.written[-1].evidence["promotion"]["against"])
    out.print(promoted.judged.sentence(name, against), highlight=False, markup=False)
    found = promoted.thresholds
    for level, threshold in found.thresholds.items():
        choice, missing = found.choices.get(level), found.missing.get(level)
        if choice is not None:
            share = choice.precision
            told = f"precision there {share.value:.3f} ({share.low:.3f} to {share.high:.3f})"
        else:
            told = f"not recalibrated: {missing}" if missing else "as before"
        out.print(f"{level}: flags from {threshold:.4f}; {told}", highlight=False, markup=False)
    out.print("a running daemon takes it up at its next start", highlight=False)


def _plain(first: str, second: str, level: str, compared: "Compared") -> dict[str, object]:
    return {
        "first": first,
        "second": second,
        "level": level,
        "thresholds": compared.thresholds,
        **asdict(compared.found),
        "recall_at_equal_load": asdict(compared.equal_load),
        "alone": compared.alone,
        "audited": compared.audited,
    }


def _tell_comparison(first: str, second: str, level: str, compared: "Compared") -> None:
    found, (one, other) = compared.found, compared.thresholds
    out.print(comparison_table(first, second, found, compared.equal_load))
    told = f"{found.labelled} labelled items, {found.positives} explicit, {found.unlike} answered unlike"
    out.print(f"{told}; {found.unlabelled} without a label", highlight=False)
    out.print(f"level {level}: flagging from {one:.4g} and {other:.4g}", highlight=False)
    if not compared.audited:
        out.print(
            "only flagged uploads were reviewed: what both missed, or one of them, is unknown", style="yellow"
        )
    if compared.alone:
        out.print(
            f"{compared.alone} more were scored by one of them alone, and say nothing here", highlight=False
        )


def _history_table(rows: "list[RegisteredModel]") -> object:
    from rich.markup import escape
    from rich.table import Table

    table = Table("since (UTC)", "model", "standing", "by", "note", "thresholds", box=None)
    for row in rows:
        thresholds = ", ".join(f"{level} {value:g}" for level, value in row.thresholds.items())
        cells = (row.name, row.standing.value, row.set_by, row.note, thresholds)
        table.add_row(f"{row.since:%Y-%m-%d %H:%M:%S}", *map(escape, cells))
    return table


def comparison_table(
    first: str, second: str, found: "Comparison", equal_load: "Difference | None" = None
) -> object:
    """Lay out a comparison for a terminal.

    Args:
        first: Name of model A.
        second: Name of model B.
        found: B's figures less A's.
        equal_load: Recall where B flags as many files as A.

    Returns:
        A table.
    """
    from rich.markup import escape
    from rich.table import Table

    def told(value: float | None, form: str = ".3f") -> str:
        return "unknown" if value is None else f"{value:{form}}"

    table = Table("", escape(first), escape(second), "difference", "95 %", box=None)
    rows = {"precision": found.precision, "recall": found.recall, "f1": found.f1}
    if equal_load is not None:
        rows["recall at equal load"] = equal_load
    for name, one in rows.items():
        interval = f"{one.low:+.3f} to {one.high:+.3f}"
        table.add_row(name, told(one.first), told(one.second), told(one.value, "+.3f"), interval)
    return table


__all__ = ["comparison_table", "register"]

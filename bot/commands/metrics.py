"""`metrics`: how good the flags are, as estimates with intervals, and what cannot be known."""

import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from bot.commands.edges import ConfigOption, configured, explained, out
from bot.settings import ROOT

DEFAULT_DAYS = 30


def metrics(
    since: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"],
            help="Uploads scored from then on (UTC).",
            show_default=f"{DEFAULT_DAYS} days before --until",
        ),
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"],
            help="Uploads scored before then (UTC).",
            show_default="now",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Only what this model decided about; of shadows: `models compare`."),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(min=0.0, max=1.0, help="Flag from this score on.", show_default="as the bot flagged"),
    ] = None,
    media: Annotated[
        str | None, typer.Option(help="Only picture, graphic, moving, document or other files.")
    ] = None,
    by: Annotated[
        str | None, typer.Option(help="Tell the measures apart by period, media, experience or model.")
    ] = None,
    config: ConfigOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Show how good the flags are: precision, recall and more, each with its 95 % interval.

    They come from what trusted reviewers decided, weighted with the probabilities with which the files were
    put up for review. Where something cannot be known, the report says so instead of giving a number.
    """
    from bot.metric_tables import report
    from storage.engine import Database
    from storage.metric_values import Grouping, MediaKind, Selection
    from storage.metrics import metrics as compute

    kinds, groupings = [kind.value for kind in MediaKind], [grouping.value for grouping in Grouping]
    if media is not None and media not in kinds:
        raise typer.BadParameter(f"must be one of {', '.join(kinds)}", param_hint="--media")
    if by is not None and by not in groupings:
        raise typer.BadParameter(f"must be one of {', '.join(groupings)}", param_hint="--by")
    now = datetime.now(UTC)
    end = now if until is None else until.replace(tzinfo=UTC)
    begin = end - timedelta(days=DEFAULT_DAYS) if since is None else since.replace(tzinfo=UTC)
    if begin >= end:
        raise typer.BadParameter("must be before --until", param_hint="--since")
    selection = Selection(
        begin,
        end,
        model,
        threshold,
        None if media is None else MediaKind(media),
        None if by is None else Grouping(by),
    )
    with explained():
        database = Database.open(configured(config).store.url, ROOT)
        try:
            database.migrate()
            with database.read() as tx:
                found = compute(tx, selection, now)
        finally:
            database.close()
    if as_json:
        typer.echo(json.dumps(asdict(found), default=str))
    else:
        out.print(report(found), highlight=False)


__all__ = ["metrics"]

"""`suspicious`: labels that are probably wrong."""

from pathlib import Path
from typing import Annotated

import typer

from bot.commands.edges import EXIT_FAILED, ConfigOption, configured, err, explained, out, read_classes
from bot.commands.extras import needing


def suspicious(
    data: Annotated[Path, typer.Argument(metavar="MANIFEST", help="Whose labels, .parquet or .csv.")],
    output: Annotated[Path, typer.Option("--out", help="Folder for the page and the table.")],
    model: Annotated[
        str, typer.Option(help="Whose view of the pictures is used; not one trained on these labels.")
    ] = "open_nsfw",
    classes: Annotated[
        str | None,
        typer.Option(
            help="The negative and the positive label, divided by a comma.", show_default="safe,nsfw"
        ),
    ] = None,
    first: Annotated[int, typer.Option(min=1, max=500, help="How many the page lists.")] = 24,
    folds: Annotated[int, typer.Option(min=2, max=20, help="Parts that judge each other.")] = 5,
    config: ConfigOption = None,
) -> None:
    """Rank the labels of a dataset by how probably they are wrong.

    The exit code is 1 where files could not be decoded; they are listed.
    """
    with explained(), needing("train"):
        from bot.preparing import shown
        from bot.suspecting import Search, look

        settings = configured(config)
        search = Search(data, output, model, read_classes(classes), first, folds)
        with shown(err, "suspicious labels") as on_step:
            found = look(settings, search, on_step)
        issues = sum(one.is_issue for one in found.suspects)
        out.print(f"{issues} of {len(found.suspects)} labels are probably wrong", highlight=False)
        out.print(str(found.page), soft_wrap=True, highlight=False, markup=False)
        if found.failures:
            err.print(f"{len(found.failures)} files could not be decoded; the page lists them")
            raise SystemExit(EXIT_FAILED)


__all__ = ["suspicious"]

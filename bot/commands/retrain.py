"""`retrain`: from exported feedback to a candidate, evaluated on feedback that it was not trained on."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from bot.commands.edges import EXIT_CONFIG, ConfigOption, configured, err, explained, fail, out
from bot.commands.extras import needing


def retrain(
    feedback: Annotated[
        Path, typer.Argument(metavar="EXPORT", help="A folder that `export` wrote, or its feedback.jsonl.")
    ],
    name: Annotated[str, typer.Option(help="What to call the new model.")],
    output: Annotated[
        Path, typer.Option("--out", metavar="FOLDER", help="Gets manifest, run and scores; a new folder.")
    ],
    train_config: Annotated[
        Path, typer.Option("--train-config", help="How to train; the model is replaced by the active one.")
    ] = Path("config/train/open_nsfw.toml"),
    replay: Annotated[
        Path | None, typer.Option(metavar="MANIFEST", help="Base data to replay, against forgetting.")
    ] = None,
    replay_share: Annotated[
        float, typer.Option(min=0, max=0.95, help="Of the training pictures, how many come from there.")
    ] = 0.3,
    by: Annotated[str, typer.Option("--by", help="Who wants it.", show_default="whoever is logged in")] = "",
    config: ConfigOption = None,
) -> None:
    """Train on feedback from the active model's weights, and register the result as a candidate.

    The export's split `test` is evaluated on, weighted, and never trained on. The candidate is registered
    whether it is better or not; `models promote` decides.
    """
    from bot.preparing import shown
    from bot.promotion import Deciding, person
    from bot.settings import ROOT
    from storage.engine import Database
    from storage.model_registry import IllegalStanding

    with explained(), needing("train"):
        from bot import retraining
        from classifier.models import catalogue
        from classifier.training import config as configs

        settings = configured(config)
        wanted = settings.classifier
        request = retraining.Request(
            feedback / "feedback.jsonl" if feedback.is_dir() else feedback,
            configs.load(train_config),
            output,
            name,
            replay,
            replay_share,
        )
        database = Database.open(settings.store.url, ROOT)
        try:
            database.migrate()
            deciding = Deciding(
                database,
                lambda model: catalogue.card(model, wanted.cache_directory),
                wanted.model,
                wanted.level,
                by or person(),
                datetime.now(UTC),
            )
            with shown(err, "retraining") as on_step:
                found = retraining.retrain(request, deciding, wanted.cache_directory, on_step)
        except IllegalStanding as error:
            fail(EXIT_CONFIG, error)
        finally:
            database.close()
    _tell(found)


def _tell(found: object) -> None:
    from bot.commands.registry import comparison_table
    from bot.retraining import Retrained

    assert isinstance(found, Retrained)
    out.print(
        f"{found.card.name}: trained on {found.trained_on} pictures, {found.replayed} of them base data, "
        f"both classes drawn equally often; {found.kept_away} kept away because they are evaluated on",
        highlight=False,
    )
    out.print(comparison_table(found.against, found.card.name, found.comparison))
    out.print(
        f"it is a {found.written.standing.value} now: models promote {found.card.name}", highlight=False
    )


__all__ = ["retrain"]

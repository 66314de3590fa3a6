"""From an export to a registered candidate, stage after stage; the same call after a break does what is left.

    read ▶ prepare ▶ train ▶ add to the catalogue ▶ evaluate ▶ card ▶ register

Each stage finds what it made before: the training manifest by what it was made of, the run by its checkpoint,
scores by hash and maker. What the wiki suppressed since the export is left out, whenever that was. The
candidate is registered whether it is better or not: that is told with it, and decided by a promotion.
"""

import json
import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from bot.errors import ConfigError
from bot.export import private
from bot.promotion import Deciding
from bot.recalibration import LEVELS
from bot.retraining import card as cards
from bot.retraining import feedback as exports
from bot.retraining.evaluating import Evaluation, Scoring, evaluate, on_base
from bot.retraining.feedback import Feedback
from bot.retraining.preparing import TRAINING, OnStep, Prepared, Replay, prepare
from bot.retraining.starting import from_weights
from classifier import atomic_file
from classifier.datasets import manifest
from classifier.datasets.values import DEFAULT_CLASSES, Dataset
from classifier.errors import ModelError
from classifier.models import added, catalogue
from classifier.training import folder as folders
from classifier.training.config import TrainConfig
from classifier.training.errors import TrainingError
from classifier.values import Level, ModelCard
from storage import export, model_registry
from storage.engine import Database
from storage.model_registry import IllegalStanding, ModelStanding, RegisteredModel
from storage.paired_estimates import Comparison

if TYPE_CHECKING:
    from classifier.training.trainer import Callback

RUN, STATE, CARD = "run", "retrain.json", "card.md"
MOST_OF_BASE = 1000
"""Pictures of the base data on which forgetting is measured."""


@dataclass(frozen=True, slots=True)
class Request:
    """What to retrain.

    Attributes:
        export: An export's folder, or one that was exported to several times.
        config: How to train; its model and preprocessing are replaced by the active model's.
        folder: Where everything goes; holds nothing yet, or what the same call left.
        name: Of the new model.
        replay: Manifest of base data; None: feedback alone.
        replay_share: Of the training pictures, how many come from there, 0..1 (not 1).
        workers: Processes that decode.
    """

    export: Path
    config: TrainConfig
    folder: Path
    name: str
    replay: Path | None = None
    replay_share: float = 0.3
    workers: int = 2


@dataclass(frozen=True, slots=True)
class Watching:
    """Who is told how it goes.

    Attributes:
        on_step: What takes time, and how far it is.
        callbacks: Of the training.
        say: A stage's result, in a sentence.
    """

    on_step: OnStep | None = None
    callbacks: Sequence["Callback"] = ()
    say: Callable[[str], None] = field(default=lambda _sentence: None)


@dataclass(frozen=True, slots=True)
class Begun:
    """What a folder was begun with; kept there, so that a break does not change it.

    Attributes:
        name: Of the new model.
        against: Of the model that it starts from.
        against_sha256: Of that one's weights.
        thresholds: Of that one, by level; the new one's until it is calibrated.
    """

    name: str
    against: str
    against_sha256: str
    thresholds: dict[Level, float]


@dataclass(frozen=True, slots=True)
class Retrained:
    """What came of it.

    Attributes:
        card: The new model's.
        against: Name of the model that it started from and is compared with.
        feedback: The export.
        prepared: What it was trained on.
        evaluation: On held-out feedback, the new model's figures less the old.
        forgetting: The same on base data that was not shown; None without any.
        written: Where it stands now.
    """

    card: ModelCard
    against: str
    feedback: Feedback
    prepared: Prepared
    evaluation: Evaluation
    forgetting: Comparison | None
    written: RegisteredModel

    @property
    def comparison(self) -> Comparison:
        """The figures without disputed items."""
        return self.evaluation.comparison


def retrain(
    request: Request, deciding: Deciding, cache_directory: Path | None, watching: Watching | None = None
) -> Retrained:
    """Train on feedback from the active model's weights, evaluate, and register the result as candidate.

    Args:
        request: What to do.
        deciding: Who wants it, and the store.
        cache_directory: Where models are kept; None: the user's cache folder.
        watching: Who is told.

    Returns:
        What came of it.

    Raises:
        DatasetError: Where the feedback is too little to train or evaluate on.
        TrainingError: Where training fails, or the folder holds something else.
        ModelError: Where the active model's weights are not here or cannot be trained on, or the name is
            taken.
        IllegalStanding: Where the name is registered as something that cannot become a candidate.
        ConfigError: Where another one is under way in the folder, or it cannot be written.
    """
    watching = watching or Watching()
    try:
        lock = FileLock(private.folder(request.folder) / ".lock", mode=private.FILE_MODE)
        with lock.acquire(timeout=0):
            return _retrain(request, deciding, cache_directory, watching)
    except Timeout as error:
        raise ConfigError(f"{request.folder}: another retraining is under way there") from error
    except OSError as error:
        raise ConfigError(f"{request.folder}: cannot be used: {error.strerror or error}") from error


def _retrain(
    request: Request, deciding: Deciding, cache_directory: Path | None, watching: Watching
) -> Retrained:
    begun = begin(request, deciding, cache_directory)
    feedback = _read(request.export, deciding.database, watching)
    base = None if request.replay is None else manifest.read(request.replay, DEFAULT_CLASSES)
    seed = request.config.training.seed
    replay = None if base is None else Replay(base, request.replay_share, seed)
    prepared, dataset = prepare(feedback, replay, request.folder, request.workers, watching.on_step)
    _tell_prepared(prepared, watching)
    card = _trained(request, begun, feedback, prepared, dataset, cache_directory, watching)
    means = Scoring(request.folder, request.workers, cache_directory, watching.on_step)
    models, threshold = (begun.against, card.name), begun.thresholds[deciding.level]
    found = evaluate(feedback, models, threshold, begun.against_sha256, means)
    unseen = None if base is None else _unseen(base, seed)
    forgetting = on_base(unseen, models, threshold, means) if unseen else None
    facts = cards.Facts(
        card,
        begun.against,
        begun.against_sha256,
        feedback,
        prepared,
        found,
        forgetting,
        "" if base is None else f"{base.name}, content hash {manifest.content_hash(base)}",
        f"{request.config.name}, the weights of the {request.config.training.keep} epoch",
    )
    atomic_file.write(request.folder / CARD, cards.render(facts).encode())
    written = _registered(begun, card, found, feedback, deciding)
    return Retrained(card, begun.against, feedback, prepared, found, forgetting, written)


def begin(request: Request, deciding: Deciding, cache_directory: Path | None) -> Begun:
    """Find out before hours of work whether they can end well, and write down what is begun.

    Args:
        request: What to do.
        deciding: Who wants it, and the store.
        cache_directory: Where models are kept; None: the user's cache folder.

    Returns:
        What the folder was begun with, now or before a break.

    Raises:
        TrainingError: Where the folder was begun with another name.
        ModelError: Where the name is taken or no safe file name, or the model to start from is gone.
    """
    path = private.folder(request.folder) / STATE
    if path.is_file():
        begun = Begun(**json.loads(path.read_bytes()))
        if begun.name != request.name:
            raise TrainingError(f"{request.folder}: was begun as {begun.name}; name another folder")
    else:
        active = deciding.begin()
        thresholds: dict[Level, float] = dict(deciding.cards(active.name).thresholds)
        thresholds |= {level: active.thresholds[level] for level in LEVELS if level in active.thresholds}
        begun = Begun(request.name, active.name, active.weights_sha256, thresholds)
    if (found := deciding.cards(begun.against).weights_sha256) != begun.against_sha256:
        raise ModelError(f"{begun.against} has other weights now ({found[:12]}) than when it became active")
    from_weights(request.config, deciding.cards(begun.against), cache_directory, request.folder / TRAINING)
    _require_free(request, cache_directory)
    atomic_file.write(path, json.dumps(asdict(begun), indent=2).encode())
    return begun


def _require_free(request: Request, cache_directory: Path | None) -> None:
    """A model of that name is either none, or what this very folder came to before a break."""
    from classifier.peers import door

    added.check_name(request.name, {*catalogue.published(), *door.names()})
    found = added.find(request.name, cache_directory)
    if found is None:
        return
    run = request.folder / RUN
    result = folders.read(run).result if (run / folders.RUN_NAME).is_file() else None
    if result is None or result.weights_sha256 != found.card.weights_sha256:
        raise ModelError(f"a model was added as {request.name} before: choose another name (--name)")


def _read(path: Path, database: Database, watching: Watching) -> Feedback:
    with database.read() as tx:
        gone = export.suppressed_items(tx, exports.item_ids(path))
    feedback = exports.read(path, gone)
    without = sum(one.item is None for one in feedback.held_out)
    watching.say(
        f"export {feedback.name}: {len(feedback.training):,} labelled pictures to train on, "
        f"{len(feedback.held_out):,} uploads held out ({without:,} without a picture); not trained on: "
        f"{cards.told(feedback.left_out)}"
    )
    return feedback


def _tell_prepared(prepared: Prepared, watching: Watching) -> None:
    counts = "; ".join(f"{split}: {cards.told(of)}" for split, of in prepared.counts.items())
    watching.say(
        f"prepared: {counts}; taken out because of what is held out: {cards.told(prepared.leaks)}; "
        f"otherwise left out: {cards.told(prepared.removed)}"
    )
    if prepared.replay_wanted:
        watching.say(
            f"base data: {sum(prepared.replayed.values()):,} of {prepared.replay_wanted:,} wanted "
            f"({cards.told(prepared.replayed)}); left out because of what is held out: "
            f"{cards.told(prepared.replay_leaks)}"
        )


def _trained(
    request: Request,
    begun: Begun,
    feedback: Feedback,
    prepared: Prepared,
    dataset: Dataset,
    cache_directory: Path | None,
    watching: Watching,
) -> ModelCard:
    """Train to the end, from wherever it stands, and add the model to the catalogue."""
    from classifier.training.starting import start_or_go_on

    run = request.folder / RUN
    base = catalogue.card(begun.against, cache_directory)
    config = from_weights(request.config, base, cache_directory, request.folder / TRAINING)
    _forget_other_data(run, prepared)
    named = replace(dataset, name=f"feedback export {feedback.name}")
    record = start_or_go_on(config, named, run, callbacks=watching.callbacks)
    assert record.result is not None
    watching.say(
        f"trained: {record.result.epochs} epochs in {record.result.seconds:,.0f} s, weights of epoch "
        f"{record.result.kept_epoch}"
    )
    return catalogue.add(
        run,
        name=begun.name,
        thresholds=begun.thresholds,
        source=cards.origin(begun.against, begun.against_sha256, feedback, prepared),
        cache_directory=cache_directory,
    ).card


def _forget_other_data(run: Path, prepared: Prepared) -> None:
    """What was begun on pictures that may not be trained on any more is begun anew; what is done stays."""
    if not (run / folders.RUN_NAME).is_file():
        return
    record = folders.read(run)
    if record.data["hash"] == prepared.data_sha256:
        return
    if record.result is not None:
        raise TrainingError(
            f"{run}: was trained on other data than the export gives now (files were suppressed or added "
            "since); name another folder and another model"
        )
    shutil.rmtree(run)


def _unseen(base: Dataset, seed: int) -> Dataset | None:
    """What is shown of the base data to see what was forgotten: of its validation split, at most so much."""
    items = base.part("validation").items
    if not items:
        return None
    return base.with_items(random.Random(seed).sample(items, min(MOST_OF_BASE, len(items))))


def _registered(
    begun: Begun, card: ModelCard, found: Evaluation, feedback: Feedback, deciding: Deciding
) -> RegisteredModel:
    told = {
        **found.evidence(),
        "against": begun.against,
        "against_sha256": begun.against_sha256,
        "export": feedback.name,
        "export_sha256": feedback.sha256,
    }
    wanted = RegisteredModel(
        card.name,
        card.weights_sha256,
        ModelStanding.CANDIDATE,
        deciding.now,
        deciding.by,
        f"retrained from {begun.against}",
        evidence={"evaluation": told},
    )
    with deciding.database.transaction() as tx:
        before = model_registry.find(tx, card.name)
        if before is not None and before.weights_sha256 == card.weights_sha256:
            # The same command once more: it stands where it stood, or where somebody has put it since.
            if before.evidence.get("evaluation"):
                return before
            if before.standing is ModelStanding.CANDIDATE:
                raise IllegalStanding(
                    f"{card.name} was made a candidate without its evaluation: models retire {card.name}, "
                    "and run this again"
                )
        return model_registry.change(tx, wanted)[-1]


__all__ = ["CARD", "RUN", "STATE", "Begun", "Request", "Retrained", "Watching", "begin", "retrain"]

"""Retraining: from exported feedback to a candidate with an evaluation that a promotion can rest on.

The training of the laboratory goes on from the active model's own weights, on feedback with agreed labels
and, against forgetting, on a share of the base data. The export's split `test` is for evaluation alone:
whatever has the bytes or the source of one of its pictures is kept away from training, base data included.
Disputed items are not trained on, but do count in the evaluation: its figures are told with all of them
explicit and with all of them harmless, and the worse of the two is what a promotion looks at.

The laboratory's training knows no weights of single pictures, so that classes are drawn equally often
instead; the evaluation is weighted by 1 / inclusion probability, as every estimate is.
"""

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bot.promotion import Deciding
from bot.recalibration import LEVELS
from classifier.datasets import building, manifest
from classifier.datasets.values import DEFAULT_CLASSES, Dataset, DatasetError, Item, join
from classifier.decode.limits import DecodeLimits
from classifier.evaluation import scoring
from classifier.models import added, catalogue
from classifier.models.model_config import ModelConfig
from classifier.training.config import TrainConfig
from classifier.values import ModelCard
from storage import model_registry
from storage.equal_load import flags_at_load
from storage.model_registry import ModelStanding, RegisteredModel
from storage.paired_estimates import Bools, Comparison, Floats, Paired, compare

EVALUATION = "test"
DISPUTED = "disputed"
OnStep = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Feedback:
    """Exported feedback.

    Attributes:
        training: Agreed labels, with the splits train and validation.
        evaluation: The pictures that are evaluated on, `disputed` ones with the negative label.
        disputed: Of `evaluation`, which are disputed; by place.
        probabilities: Of `evaluation`, the inclusion probabilities.
        strata: Of `evaluation`, what each was drawn from.
    """

    training: Dataset
    evaluation: Dataset
    disputed: tuple[bool, ...]
    probabilities: tuple[float, ...]
    strata: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Request:
    """What to retrain.

    Attributes:
        feedback: Manifest of an export, JSON Lines; pictures lie beside it.
        config: How to train; its model and preprocessing are replaced by the active model's.
        folder: Where the manifest, the run and the scores go; must not hold anything yet.
        name: Of the new model.
        replay: Manifest of base data; None: feedback alone.
        replay_share: Of the training pictures, how many come from there, 0..1 (not 1).
        duplicates: As for `dataset build`.
        workers: Processes that decode.
    """

    feedback: Path
    config: TrainConfig
    folder: Path
    name: str
    replay: Path | None = None
    replay_share: float = 0.3
    duplicates: building.Duplicates = "near"
    workers: int = 2


@dataclass(frozen=True, slots=True)
class Retrained:
    """What came of it.

    Attributes:
        card: The new model's.
        against: Name of the model that it started from and is compared with.
        comparison: On held-out feedback without the disputed items, the new model's figures less the old.
        trained_on: How many pictures it was trained on, those for validation not counted.
        replayed: How many of them are base data.
        kept_away: Pictures that training may not see, for they are evaluated on in some form.
        written: Where it stands now.
    """

    card: ModelCard
    against: str
    comparison: Comparison
    trained_on: int
    replayed: int
    kept_away: int
    written: RegisteredModel


def read_feedback(path: Path) -> Feedback:
    """Read an export's manifest.

    Args:
        path: JSON Lines with `path`, `sha256`, `label`, `split`, `inclusion_probability`, and perhaps
            `source` and `stratum`. Rows without a picture or without a decision are passed over.

    Returns:
        What to train and to evaluate on.

    Raises:
        DatasetError: Where the file cannot be read, or a row lacks something.
    """
    training: list[Item] = []
    evaluation: list[Item] = []
    disputed: list[bool] = []
    drawn: list[tuple[float, str]] = []
    for number, row in _rows(path):
        if not row.get("path") or row.get("label") not in (*DEFAULT_CLASSES, DISPUTED):
            continue
        split, chance = row.get("split"), row.get("inclusion_probability")
        if split not in ("train", "validation", EVALUATION):
            raise DatasetError(f"{split!r} is no split", path, number, "split")
        if not isinstance(chance, float | int) or not 0 < chance <= 1:
            raise DatasetError(f"{chance!r} is no probability", path, number, "inclusion_probability")
        open_question = row["label"] == DISPUTED
        label = DEFAULT_CLASSES[0] if open_question else row["label"]
        item = Item(row["path"], label, row.get("source") or "", split=split, sha256=row.get("sha256") or "")
        if split == EVALUATION:
            evaluation.append(item)
            disputed.append(open_question)
            drawn.append((float(chance), row.get("stratum") or row.get("reason") or ""))
        elif not open_question:
            training.append(item)
    root = path.absolute().parent
    return Feedback(
        Dataset(tuple(training), root, path.name),
        Dataset(tuple(evaluation), root, path.name),
        tuple(disputed),
        tuple(chance for chance, _ in drawn),
        tuple(stratum for _, stratum in drawn),
    )


def training_set(
    feedback: Feedback, base: Dataset | None, share: float, seed: int
) -> tuple[Dataset, int, int]:
    """What may be trained on.

    Args:
        feedback: The export.
        base: Base data to replay, or None.
        share: Of the training pictures, how many are to be base data.
        seed: Chooses them.

    Returns:
        The set, how many pictures of its training split are base data, and how many were kept away.
    """
    hashes = {item.sha256 for item in feedback.evaluation.items} - {""}
    sources = {item.source for item in feedback.evaluation.items} - {""}

    def free(item: Item) -> bool:
        return item.sha256 not in hashes and item.source not in sources

    own = feedback.training
    fresh = own.with_items(item for item in own.items if free(item))
    kept_away = len(own) - len(fresh)
    if base is None:
        return fresh, 0, kept_away
    usable = [item for item in base.items if item.split == "train" and free(item)]
    kept_away += sum(item.split == "train" for item in base.items) - len(usable)
    wanted = round(len(fresh.part("train")) * share / (1 - share))
    chosen = random.Random(seed).sample(usable, min(wanted, len(usable)))
    # Sources of the two are different things that may be called alike.
    renamed = [replace(item, source=item.source and f"base {item.source}") for item in chosen]
    return join([fresh, base.with_items(renamed)]), len(chosen), kept_away


def retrain(
    request: Request, deciding: Deciding, cache_directory: Path | None, on_step: OnStep | None = None
) -> Retrained:
    """Train on feedback from the active model's weights, evaluate, and register the result as candidate.

    Args:
        request: What to do.
        deciding: Who wants it, and the store.
        cache_directory: Where models are kept; None: the user's cache folder.
        on_step: Told how far it is.

    Returns:
        What came of it. The candidate is registered whether it is better or not: that is told with it.

    Raises:
        DatasetError: Where the feedback is too little to train or evaluate on.
        TrainingError: Where training fails, or the folder is in use.
        ModelError: Where the active model's weights are not here.
        IllegalStanding: Where the name is that of an active model or a shadow.
    """
    from classifier.training.starting import start_or_go_on

    active = deciding.begin()
    card = deciding.cards(active.name)
    feedback = read_feedback(request.feedback)
    base = None if request.replay is None else manifest.read(request.replay, DEFAULT_CLASSES)
    seed = request.config.training.seed
    dataset, replayed, kept_away = training_set(feedback, base, request.replay_share, seed)
    request.folder.mkdir(parents=True, exist_ok=True)
    built = building.build(
        dataset, duplicates=request.duplicates, workers=request.workers, on_step=on_step
    ).dataset
    file = request.folder / "training.csv"
    manifest.write(built, file)
    config = from_weights(request.config, card, cache_directory, file)
    start_or_go_on(config, manifest.read(file, DEFAULT_CLASSES), request.folder / "run")
    thresholds: dict[str, float] = {}
    thresholds.update(card.thresholds.items())
    thresholds.update(active.thresholds)
    described = catalogue.add(
        request.folder / "run",
        name=request.name,
        thresholds={level: thresholds[level] for level in LEVELS},
        cache_directory=cache_directory,
    )
    models = (active.name, described.card.name)
    threshold = thresholds[deciding.level]
    comparison, evidence = evaluate(
        feedback, models, threshold, request, cache_directory=cache_directory, on_step=on_step
    )
    told = {**evidence, "against": active.name, "against_sha256": active.weights_sha256}
    wanted = RegisteredModel(
        described.card.name,
        described.card.weights_sha256,
        ModelStanding.CANDIDATE,
        deciding.now,
        deciding.by,
        f"retrained from {active.name}",
        thresholds=dict(active.thresholds),
        evidence={"evaluation": told},
    )
    with deciding.database.transaction() as tx:
        written = model_registry.change(tx, wanted)[-1]
    trained_on = len(built.part("train"))
    return Retrained(described.card, active.name, comparison, trained_on, replayed, kept_away, written)


def from_weights(
    config: TrainConfig, card: ModelCard, cache_directory: Path | None, file: Path
) -> TrainConfig:
    """A training configuration that goes on from a model's weights.

    Args:
        config: How to train.
        card: The model's.
        cache_directory: Where models are kept.
        file: Manifest to train on.

    Returns:
        The configuration with that model's network, weights and preprocessing, and balanced sampling.

    Raises:
        ModelError: Where the weights are not here.
    """
    path = catalogue.fetch(card.name, cache_directory)
    found = added.find(card.name, cache_directory)
    model = ModelConfig("open_nsfw") if found is None else found.architecture
    values = replace(model, pretrained=str(path), dropout=float(config.model.get("dropout", model.dropout)))  # type: ignore[arg-type]
    table = config.model_dump()
    table["model"] = values.to_values()
    table["data"] |= {"manifest": str(file), "preprocessing": card.preprocessing, "classes": DEFAULT_CLASSES}
    if table["data"]["shapes"] == "square":
        table["training"]["sampling"] = "balanced"
    else:
        table["loss"]["class_weights"] = "balanced"
    return TrainConfig.model_validate(table)


def evaluate(
    feedback: Feedback,
    models: tuple[str, str],
    threshold: float,
    request: Request,
    *,
    cache_directory: Path | None = None,
    on_step: OnStep | None = None,
) -> tuple[Comparison, dict[str, Any]]:
    """Compare two models on held-out feedback, weighted.

    Args:
        feedback: The export.
        models: The old one and the new one, by name.
        threshold: Of both: the new one is not calibrated yet.
        request: Where scores are kept, and how many processes decode.
        cache_directory: Where models are kept.
        on_step: Told how far it is.

    Returns:
        The comparison without the disputed items, and all of them as plain values: of `f1`, `recall` and
        `recall_at_equal_load`, where the new model flags as many pictures as the old one, the least
        favourable way to count the disputed ones.

    Raises:
        DatasetError: Where nothing is left to evaluate on.
    """
    one, other = (_scored(feedback.evaluation, name, request, cache_directory, on_step) for name in models)
    return judge(feedback, one, other, threshold)


def judge(
    feedback: Feedback, old_scores: Mapping[str, float], new_scores: Mapping[str, float], threshold: float
) -> tuple[Comparison, dict[str, Any]]:
    """What `evaluate` returns, from scores by path; what a model could not score is missing there.

    Raises:
        DatasetError: Where nothing is left to evaluate on.
    """
    items = feedback.evaluation.items
    kept = [i for i, item in enumerate(items) if item.path in old_scores and item.path in new_scores]
    if not kept:
        raise DatasetError("no picture of the evaluation split can be scored", feedback.evaluation.name)
    old, new = (np.array([one[items[i].path] for i in kept]) for one in (old_scores, new_scores))
    labels = np.array([float(feedback.evaluation.target_of(items[i])) for i in kept])
    disputed = np.array([feedback.disputed[i] for i in kept])
    probabilities = np.array([feedback.probabilities[i] for i in kept])
    strata = np.array([feedback.strata[i] for i in kept])
    load = float((1 / probabilities)[old >= threshold].sum())
    flags, fair = new >= threshold, flags_at_load(new, probabilities, load)

    def compared(counted_as: float, second: Bools | Floats) -> Comparison:
        known = np.where(disputed, counted_as, labels)
        return compare(Paired(old >= threshold, second, known, probabilities, strata))

    ways = (float("nan"), 0.0, 1.0) if disputed.any() else (float("nan"),)
    at_threshold, at_load = [compared(way, flags) for way in ways], [compared(way, fair) for way in ways]
    without = at_threshold[0]
    told = {**asdict(without), "threshold": threshold, "disputed": int(disputed.sum())}
    told |= {
        "f1": asdict(min((one.f1 for one in at_threshold), key=lambda one: one.low)),
        "recall": asdict(min((one.recall for one in at_threshold), key=lambda one: one.low)),
        "recall_at_equal_load": asdict(min((one.recall_at_load for one in at_load), key=lambda one: one.low)),
        "f1_without_disputed": asdict(without.f1),
    }
    return without, told


def _scored(
    dataset: Dataset, name: str, request: Request, cache_directory: Path | None, on_step: OnStep | None
) -> Mapping[str, float]:
    limits = DecodeLimits()
    card = catalogue.card(name, cache_directory)
    found = scoring.score(
        dataset,
        scoring.Maker.of(card, "torch-fp32", 1, limits),
        scoring.Means(lambda: catalogue.load(name, cache_directory, 1), limits, request.workers),
        request.folder / f"scores-{name}.jsonl",
        None if on_step is None else lambda done, total: on_step(f"scoring with {name}", done, total),
    )
    return {item.path: value for item, value in zip(found.dataset.items, found.values, strict=True)}


def _rows(path: Path) -> Sequence[tuple[int, dict[str, Any]]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"cannot be read: {error}", path) from error
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise DatasetError("is not JSON", path, number) from error
        if not isinstance(row, dict):
            raise DatasetError("is not a JSON object", path, number)
        rows.append((number, row))
    return rows


__all__ = [
    "Feedback",
    "Request",
    "Retrained",
    "evaluate",
    "from_weights",
    "judge",
    "read_feedback",
    "retrain",
    "training_set",
]

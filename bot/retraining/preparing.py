"""From an export, and base data if given, to what is trained on: verified, weighted, apart from the rest.

Written down with what it was made of, so that the same command after a break decodes nothing again.
"""

import hashlib
import json
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bot.retraining.feedback import Feedback
from bot.retraining.leaks import apart
from bot.retraining.weighting import effective, weighted
from classifier import atomic_file
from classifier.datasets import manifest
from classifier.datasets.dedupe import without_duplicates
from classifier.datasets.near import duplicate_groups
from classifier.datasets.values import DEFAULT_CLASSES, Dataset, DatasetError, Item, join
from classifier.datasets.verify import verify

TRAINING, RECORD = "training.csv", "prepared.json"
OnStep = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Replay:
    """Base data that is shown again, against forgetting.

    Attributes:
        base: The data; only its split `train` is taken from.
        share: Of the pictures trained on, in each class, how many are to come from there, 0..1 (not 1).
        seed: Chooses them.
    """

    base: Dataset
    share: float
    seed: int


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is trained on, as numbers.

    Attributes:
        digest: Over everything it was made of.
        data_sha256: Content hash of the manifest.
        counts: Pictures of the feedback by split and label.
        replayed: Pictures of base data by label; all are trained on.
        replay_wanted: How many there were to be.
        leaks: Pictures of the feedback that were taken out of training because of what is evaluated on, by
            what ties them to it.
        replay_leaks: The same of base data; as far as it was looked at.
        removed: Pictures that were left out as copies, for contradicting labels or as unreadable, by code.
        effective: Kish's effective size of the training pictures of the feedback, by label.
        heaviest: Largest weight among them; 1 is the mean.
        unreadable: Pictures to evaluate on that cannot be decoded.
    """

    digest: str
    data_sha256: str
    counts: Mapping[str, Mapping[str, int]]
    replayed: Mapping[str, int]
    replay_wanted: int
    leaks: Mapping[str, int]
    replay_leaks: Mapping[str, int]
    removed: Mapping[str, int]
    effective: Mapping[str, float]
    heaviest: float
    unreadable: tuple[str, ...]

    @property
    def trained_on(self) -> int:
        """Pictures of the training split, base data included."""
        return sum(self.counts["train"].values()) + sum(self.replayed.values())


def prepare(
    feedback: Feedback, replay: Replay | None, folder: Path, workers: int, on_step: OnStep | None = None
) -> tuple[Prepared, Dataset]:
    """Make the manifest to train on, or take the one that was made of the very same.

    Args:
        feedback: An export.
        replay: Base data; None: feedback alone.
        folder: Gets the manifest and a record.
        workers: Processes that decode.
        on_step: Told how far it is.

    Returns:
        What it is made of, and the dataset.

    Raises:
        DatasetError: Where too little is left to train on, or a file cannot be written.
        ClassifierError: Where decode workers do not start.
    """
    digest = _digest(feedback, replay)
    file = folder / TRAINING
    if (before := _made_before(folder, digest)) is not None:
        return before, manifest.read(file, DEFAULT_CLASSES)
    own, evaluation, removed, unreadable = _verified(feedback, workers, on_step)
    separate = apart(own, evaluation)
    unique = without_duplicates(feedback.training.with_items(separate.kept))
    removed.update(one.code for one in unique.removed)
    divided = _with_both_labels(unique.dataset.items)
    fresh = unique.dataset.with_items(weighted(divided))
    _require_both_labels(fresh, feedback.name)
    replayed, replay_leaks, wanted = _replayed(fresh, evaluation, replay, workers, on_step)
    dataset = join([fresh, replay.base.with_items(replayed)]) if replay else fresh
    manifest.write(dataset, file)
    dataset = manifest.read(file, DEFAULT_CLASSES)
    trained = fresh.part("train").items
    prepared = Prepared(
        digest,
        manifest.content_hash(dataset),
        {split: _by_label(fresh.part(split).items) for split in ("train", "validation")},
        _by_label(replayed),
        wanted,
        separate.leaks,
        replay_leaks,
        dict(removed),
        {
            label: round(effective([item.weight for item in trained if item.label == label]), 1)
            for label in DEFAULT_CLASSES
        },
        max(item.weight for item in trained),
        unreadable,
    )
    atomic_file.write(folder / RECORD, json.dumps(asdict(prepared), indent=2).encode())
    return prepared, dataset


def _verified(
    feedback: Feedback, workers: int, on_step: OnStep | None
) -> tuple[list[Item], list[Item], Counter[str], tuple[str, ...]]:
    """Training and evaluation with their hashes, and what cannot be decoded of either."""
    training, evaluation = feedback.training.items, feedback.evaluation.items
    unique = {item.path: item for item in (*training, *evaluation)}
    found = verify(
        feedback.training.with_items(unique.values()),
        workers=workers,
        progress=None if on_step is None else lambda done, total: on_step("verifying", done, total),
    )
    sound = {item.path: item for item in found.dataset.items}
    bad = {one.file: one.code for one in found.findings if one.severity == "error"}

    def hashed(items: Iterable[Item]) -> list[Item]:
        return [
            replace(item, sha256=sound[item.path].sha256, perceptual_hash=sound[item.path].perceptual_hash)
            for item in items
            if item.path in sound
        ]

    removed = Counter(bad[item.path] for item in training if item.path in bad)
    unreadable = tuple(item.path for item in evaluation if item.path in bad)
    return hashed(training), hashed(evaluation), removed, unreadable


def _replayed(
    own: Dataset, evaluation: Sequence[Item], replay: Replay | None, workers: int, on_step: OnStep | None
) -> tuple[list[Item], Mapping[str, int], int]:
    """Base data for each class, as much as its share asks for, as far as there is so much."""
    if replay is None:
        return [], {}, 0
    leaks: Counter[str] = Counter()
    chosen: list[Item] = []
    wanted_of_all = 0
    held = (*evaluation, *own.part("validation").items)
    for label in DEFAULT_CLASSES:
        count = _by_label(own.part("train").items)[label]
        wanted = round(count * replay.share / (1 - replay.share))
        wanted_of_all += wanted
        pool = [item for item in replay.base.items if item.split == "train" and item.label == label]
        random.Random(f"{replay.seed} {label}").shuffle(pool)
        missing = wanted
        while missing > 0 and pool:
            looked_at, pool = pool[:missing], pool[missing:]
            found = verify(
                replay.base.with_items(looked_at),
                workers=workers,
                progress=None if on_step is None else lambda done, total: on_step("verifying", done, total),
            )
            separate = apart(found.dataset.items, held)
            leaks.update(separate.leaks)
            new = _unlike(separate.kept, (*own.items, *chosen))
            chosen += [replace(item, weight=1.0, groups={}) for item in new]
            missing -= len(new)
    return chosen, dict(leaks), wanted_of_all


def _unlike(items: Sequence[Item], others: Sequence[Item]) -> list[Item]:
    """Those that show nothing that others show, nor each other; what moderators labelled stays."""
    groups = duplicate_groups((*others, *items)).tolist()
    count = len(others)
    return [item for place, item in enumerate(items, count) if groups[place] == place]


def _by_label(items: Iterable[Item]) -> dict[str, int]:
    counts = Counter(item.label for item in items)
    return {label: counts[label] for label in DEFAULT_CLASSES}


def _with_both_labels(items: Sequence[Item]) -> list[Item]:
    """Where little feedback leaves one of both splits without a label, the other gives it a source to spare.

    Neither is evaluated on, so that this costs nothing but a few pictures to train on.
    """
    found = list(items)
    for split, other in (("train", "validation"), ("validation", "train")):
        for label in DEFAULT_CLASSES:
            if any((item.split, item.label) == (split, label) for item in found):
                continue
            spare: dict[str, list[Item]] = defaultdict(list)
            for item in found:
                if item.split == other:
                    spare[item.source or item.path].append(item)
            having = {key: of for key, of in spare.items() if _by_label(of)[label]}
            if len(having) > 1:
                key = min(having, key=lambda one: (len(having[one]), having[one][0].sha256))
                found = [replace(one, split=split) if one in having[key] else one for one in found]
    return found


def _require_both_labels(dataset: Dataset, name: str) -> None:
    counts = {split: _by_label(dataset.part(split).items) for split in ("train", "validation")}
    if any(count == 0 for of in counts.values() for count in of.values()):
        told = "; ".join(
            f"{split}: {', '.join(f'{count} {label}' for label, count in of.items())}"
            for split, of in counts.items()
        )
        raise DatasetError(f"too little feedback to train on ({told}): both labels are needed in each", name)


def _digest(feedback: Feedback, replay: Replay | None) -> str:
    rows: list[Any] = [
        [item.path, item.sha256, item.label, item.source, item.split, item.weight]
        for dataset in (feedback.training, feedback.evaluation)
        for item in dataset.items
    ]
    if replay is not None:
        rows.append([manifest.content_hash(replay.base), replay.share, replay.seed])
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def _made_before(folder: Path, digest: str) -> Prepared | None:
    try:
        values = json.loads((folder / RECORD).read_bytes())
        prepared = Prepared(**{**values, "unreadable": tuple(values["unreadable"])})
        same = prepared.digest == digest
        return prepared if same and (folder / TRAINING).is_file() else None
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError):
        return None  # of another version of this program: made anew


__all__ = ["RECORD", "TRAINING", "Prepared", "Replay", "prepare"]

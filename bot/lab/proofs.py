"""What a laboratory must be able to find, planted on purpose: a leak into the test set, and wrong labels."""

import csv
import io
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from bot.lab.data import Task
from classifier.datasets import building, proxy
from classifier.datasets.values import Dataset, Finding, Item
from classifier.evaluation.suspicious import suspicious

_LARGER = 1.5
_JPEG_QUALITY = 70


@dataclass(frozen=True, slots=True)
class LeakProof:
    """A picture of the test set, put into training rescaled and recompressed.

    Attributes:
        planted: Which picture.
        found: What the check said of it; empty where it said nothing.
        before: How many leaks it found without the planted one.
    """

    planted: str
    found: str
    before: int


@dataclass(frozen=True, slots=True)
class LabelProof:
    """Wrong labels of the test set, and how a model's doubts rank them.

    Attributes:
        items: Pictures of the test set.
        planted: How many of them have a wrong label.
        first_is_planted: Whether the most doubtful label is one of those.
        found: How many of those are among the `planted` most doubtful ones.
    """

    items: int
    planted: int
    first_is_planted: bool
    found: int

    @property
    def by_chance(self) -> float:
        """How many a list in any order would have found, in the mean."""
        return self.planted**2 / self.items


def plant_leak(task: Task) -> LeakProof:
    """Plant a leak into a copy of the task and look for it.

    Args:
        task: Is left as it is.

    Returns:
        What was found.

    Raises:
        ClassifierError: Where the check cannot be made.
    """
    victim = next(item for item in task.dataset.items if item.split == "test")
    before = _leaks(task.dataset)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "planted.jpg"
        with Image.open(task.dataset.path_of(victim)) as picture:
            side = [round(length * _LARGER) for length in picture.size]
            picture.convert("RGB").resize((side[0], side[1])).save(path, quality=_JPEG_QUALITY)
        planted = replace(victim, path=str(path), split="train", sha256="", perceptual_hash="")
        after = _leaks(task.dataset.with_items([*task.dataset.items, planted]))
    told = next((one.message for one in after if one.file == victim.path and _names(one, path)), "")
    return LeakProof(victim.path, told, len(before))


def wrongly_labelled(task: Task, dataset: Dataset) -> list[Item]:
    """The items whose label was drawn wrong on purpose.

    Args:
        task: Knows the truth, which no training sees.
        dataset: All of the task, or a part of it.
    """
    text = (task.folder / proxy.TRUTH_NAME).read_text(encoding="utf-8")
    truth = {row["path"]: row["true_label"] for row in csv.DictReader(io.StringIO(text))}
    return [item for item in dataset.items if truth[item.path] != item.label]


def rank_wrong_labels(task: Task, test: Dataset, scores: Sequence[float]) -> LabelProof:
    """Rank the labels of the test set by a model's doubts, and count the wrong ones at the top.

    Args:
        task: Knows the truth, which no training sees.
        test: The scored items.
        scores: (n,), 0..1, of the positive class.

    Returns:
        The count.
    """
    wrong = {item.path for item in wrongly_labelled(task, test)}
    ranked = [suspect.item.path for suspect in suspicious(test, scores)]
    hits = [path in wrong for path in ranked[: len(wrong)]]
    return LabelProof(len(test), len(wrong), bool(hits) and hits[0], sum(hits))


def _leaks(dataset: Dataset) -> list[Finding]:
    _, findings = building.examine(dataset)
    return [one for one in findings if one.code.startswith("leak")]


def _names(finding: Finding, path: Path) -> bool:
    return any(other.startswith(str(path)) for other in finding.others)


__all__ = ["LabelProof", "LeakProof", "plant_leak", "rank_wrong_labels", "wrongly_labelled"]

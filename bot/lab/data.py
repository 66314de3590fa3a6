"""Draws the task and makes a dataset of it as of any: verified, without duplicates, divided, sealed."""

from dataclasses import dataclass
from pathlib import Path

from bot.lab.plan import TaskPlan
from classifier import atomic_file
from classifier.datasets import building, manifest, proxy, report, splitting
from classifier.datasets.building import Building
from classifier.datasets.values import Dataset
from classifier.engines.values import OnStep

_SPLIT_SEED = 0
_PLAN_NAME = "task.json"
_MANIFEST_NAME = "built.csv"


@dataclass(frozen=True, slots=True)
class Task:
    """A task on disk.

    Attributes:
        folder: Where it lies.
        manifest: Of training and validation items.
        test: Of the sealed test set.
        dataset: All items.
        drawn: How many pictures were drawn.
        removed: How many of them were left out, as copies of others.
    """

    folder: Path
    manifest: Path
    test: Path
    dataset: Dataset
    drawn: int
    removed: int


def make(plan: TaskPlan, folder: Path, tell: OnStep) -> Task:
    """Draw a task, or find it drawn.

    Args:
        plan: What to draw.
        folder: Where it goes.
        tell: Told what is being done.

    Returns:
        The task.

    Raises:
        DatasetError: Where the folder holds another task.
    """
    wanted, path = plan.model_dump_json(), folder / _MANIFEST_NAME
    sealed = splitting.sealed_path(path)
    noted = folder / _PLAN_NAME
    if not (noted.exists() and noted.read_text() == wanted and sealed.exists()):
        sealed.unlink(missing_ok=True)
        drawn = proxy.write(
            folder, plan.settings(), lambda done, total: tell("drawing the task", done, total)
        )
        built = building.build(drawn, on_step=tell)
        _write(built, path)
        atomic_file.write(noted, wanted.encode())
    whole = splitting.read_whole(path, proxy.CLASSES)
    tell("the data's page", 0, 1)
    report.write(folder / "data.html", whole)
    return Task(folder, path, sealed, whole, plan.count, plan.count - len(whole))


def _write(built: Building, path: Path) -> None:
    building.write_removed(built.removed, building.removed_path(path))
    splitting.write_split(splitting.split(built.dataset, seed=_SPLIT_SEED), path)


def training_part(task: Task) -> Dataset:
    """What training may see."""
    return manifest.read(task.manifest, proxy.CLASSES)


__all__ = ["Task", "make", "training_part"]

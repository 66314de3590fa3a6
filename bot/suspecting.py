"""`suspicious`: which labels of a dataset are probably wrong, before anything is trained on them.

OUT/suspicious.html  the most suspicious ones, with a blurred contact sheet
OUT/suspicious.csv   all of them, ranked
"""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from bot.errors import ConfigError
from bot.scoring import decode_limits
from bot.settings import Settings
from classifier import atomic_file, cgroup
from classifier.datasets import manifest
from classifier.datasets.sheets import sheet_of
from classifier.datasets.values import DEFAULT_CLASSES, Classes, Dataset, DatasetError
from classifier.engines.values import OnStep
from classifier.evaluation import features, report, sections
from classifier.evaluation.candidate import find
from classifier.evaluation.clusters import clusters_of
from classifier.evaluation.scoring import Failure
from classifier.evaluation.suspicious import FOLDS, Suspect, out_of_fold, suspicious
from classifier.threads import budget

PAGE_NAME, TABLE_NAME = "suspicious.html", "suspicious.csv"
COLUMNS = ("path", "label", "suggested", "confidence", "probably_wrong")


@dataclass(frozen=True, slots=True)
class Search:
    """What to look through, and how.

    Attributes:
        data: The manifest; all its splits are looked through.
        out: Folder for what is written.
        model: Whose features are used: a catalogue name or a run's folder; not one that was trained on these
            labels.
        classes: The negative and the positive label; None: the usual ones.
        first: How many are listed on the page.
        folds: How many parts, each judged by a regression on the others.
    """

    data: Path
    out: Path
    model: str
    classes: Classes | None = None
    first: int = 24
    folds: int = FOLDS


@dataclass(frozen=True, slots=True)
class Found:
    """What came out.

    Attributes:
        suspects: All pictures, the most suspicious first.
        failures: Files that cannot be decoded.
        page: The page.
    """

    suspects: tuple[Suspect, ...]
    failures: tuple[Failure, ...]
    page: Path


def look(settings: Settings, search: Search, tell: OnStep) -> Found:
    """Find suspicious labels.

    Args:
        settings: Sections `[classifier]` and `[decode]` are used.
        search: What is wanted.
        tell: Told what is being done.

    Returns:
        What came out; page and table are written.

    Raises:
        ConfigError: Where the folder cannot be written, or the model has no features to take.
        ClassifierError: Where data or model are not fit for it; the message names them.
    """
    from classifier.engines.torch_engine import TorchEngine

    dataset = manifest.read(search.data, search.classes or DEFAULT_CLASSES)
    for label in dataset.classes:
        if all(item.label != label for item in dataset.items):
            raise DatasetError(f"no picture has the label {label!r}", search.data, None, "label")
    threads = budget(cgroup.usable_cores(), settings.classifier.threads).engine
    model = find(search.model, cache_directory=settings.classifier.cache_directory)
    engine = model.load(threads)
    if not isinstance(engine, TorchEngine):
        raise ConfigError(f"--model: {search.model} is no network on torch, and has no features to take")
    seen = features.extract(
        dataset,
        engine,
        limits=decode_limits(settings),
        workers=settings.decode.workers,
        progress=lambda done, total: tell(f"features of {model.title}", done, total),
    )
    tell("regressions on folds", 0, 1)
    labels = [dataset.target_of(item) for item in seen.dataset.items]
    chances = out_of_fold(
        seen.values, labels, clusters=clusters_of(seen.dataset), folds=search.folds, what=str(search.data)
    )
    suspects = suspicious(seen.dataset, chances)
    tell("contact sheet", 0, 1)
    return Found(suspects, seen.failures, _write(settings, search, seen, suspects, model.title))


def _write(
    settings: Settings, search: Search, seen: features.Features, suspects: tuple[Suspect, ...], model: str
) -> Path:
    dataset: Dataset = seen.dataset
    listed = [one.item for one in suspects[: search.first]]
    sheet = sheet_of(dataset, listed, workers=settings.decode.workers)
    how = (
        f"It goes by logistic regressions on what {model} sees in the pictures, each judging the one in "
        f"{search.folds} parts that it has not seen; near duplicates and pictures of one source are never on "
        "both sides."
    )
    parts = [sections.suspects(suspects, sheet, how, search.first)]
    if seen.failures:
        parts.append(sections.failures(seen.failures))
    page = report.render_sections(dataset.name, parts)
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(COLUMNS)
    for one in suspects:
        wrong = "yes" if one.is_issue else "no"
        rows.writerow((one.item.path, one.item.label, one.suggested, f"{one.confidence:.6f}", wrong))
    try:
        search.out.mkdir(parents=True, exist_ok=True)
        atomic_file.write(search.out / TABLE_NAME, text.getvalue().encode())
        atomic_file.write(search.out / PAGE_NAME, page.encode())
    except OSError as error:
        raise ConfigError(f"--out: {search.out} cannot be written: {error.strerror or error}") from error
    return search.out / PAGE_NAME


__all__ = ["COLUMNS", "PAGE_NAME", "TABLE_NAME", "Found", "Search", "look"]

"""Makes a laboratory in order: task, training, evaluation, proofs, page. Whatever is done already is kept."""

import io
import json
import shutil
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bot.evaluating import Judged, Laboratory, Request, evaluate_models
from bot.evaluating_files import COMPARISON_NAME, REPORT_NAME
from bot.lab import data, page, proofs, training
from bot.lab.data import Task
from bot.lab.page import Findings
from bot.lab.plan import LabPlan
from bot.settings import Settings
from classifier import atomic_file, cgroup
from classifier.datasets.sheets import contact_sheets
from classifier.engines.values import OnStep
from classifier.evaluation import comparison_plots, robustness_report, robustness_values
from classifier.evaluation.comparison import Run
from classifier.evaluation.evaluate import Options

PAGE_NAME = "README.md"
_RESAMPLES = 1000
_WORST_ERRORS = 8
_DOUBTFUL = 12
_SHOWN = 12
"""Pictures of each class on the page: they are harmless, so as sharp as they are."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a laboratory keeps what.

    Attributes:
        work: Task, runs and evaluations.
        page: The page and what it shows.
    """

    work: Path
    page: Path


def make(plan: LabPlan, place: Place, settings: Settings, tell: OnStep) -> Path:
    """Make it, or what is still missing of it.

    Args:
        plan: What is compared.
        place: Where everything goes.
        settings: Sections `[classifier]` and `[decode]` count, as in the daemon.
        tell: Told what is being done.

    Returns:
        The page.

    Raises:
        ClassifierError: Where a step cannot be done; the message says which.
        ConfigError: Where a file cannot be written.
    """
    started_s, was_begun = time.monotonic(), (place.work / "runs").exists()
    cores = max(1, int(cgroup.usable_cores()))
    task = data.make(plan.task, place.work / "task", tell)
    configurations = plan.configurations(task.manifest)
    folders = training.train_all(
        configurations, plan.seeds, data.training_part(task), place.work / "runs", cores, tell
    )
    listed = tuple(str(folder) for name in folders for folder in folders[name])
    whole = _request(task, listed, place.work / "evaluation")
    judged = evaluate_models(Laboratory(settings, whole, tell))
    _dissect(plan, task, folders, place.work / "dissected", settings, tell)
    found = Findings(
        plan=plan,
        counts=dict(Counter(item.split for item in task.dataset.items)),
        drawn=task.drawn,
        removed=task.removed,
        noise=len(proofs.wrongly_labelled(task, task.dataset)),
        runs=_runs(whole.out),
        robustness=robustness_report.section(_robustness(place.work / "dissected")),
        labels=_ranked(plan, task, judged),
        leak=proofs.plant_leak(task),
        minutes=None if was_begun else (time.monotonic() - started_s) / 60,
        cores=cores,
        dissected=f"{plan.dissected} (seed {plan.seeds[0]})",
    )
    tell("the page", 0, 1)
    return _write(found, task, place)


def _request(task: Task, models: tuple[str, ...], out: Path) -> Request:
    return Request(
        models, task.test, out, task.manifest, threshold=0.5, options=Options(resamples=_RESAMPLES)
    )


def _dissect(
    plan: LabPlan, task: Task, folders: dict[str, list[Path]], out: Path, settings: Settings, tell: OnStep
) -> None:
    """One run under attack, its worst errors and its doubts."""
    models = (str(folders[plan.dissected][0]),)
    request = Request(
        models,
        task.test,
        out,
        task.manifest,
        threshold=0.5,
        options=Options(resamples=_RESAMPLES),
        robustness=True,
        explain=_WORST_ERRORS,
        suspicious=_DOUBTFUL,
        defence=plan.defence,
    )
    evaluate_models(Laboratory(settings, request, tell))


def _only(out: Path, name: str) -> Path:
    return next(path for path in sorted(out.glob(f"*/{name}")))


def _robustness(out: Path) -> robustness_values.Robustness:
    return robustness_values.from_json(_only(out, "robustness.json").read_bytes())


def _ranked(plan: LabPlan, task: Task, judged: tuple[Judged, ...]) -> proofs.LabelProof:
    """By the mean score of the doubting configuration's seeds: one seed alone doubts by chance, too."""
    tests = [one.measured.test for one in judged if one.measured.candidate.name == plan.doubts]
    scores = np.mean([test.values for test in tests], axis=0).tolist()
    return proofs.rank_wrong_labels(task, tests[0].dataset, scores)


def _runs(out: Path) -> tuple[Run, ...]:
    table = json.loads((out / f"{COMPARISON_NAME}.json").read_bytes())
    return tuple(Run(**run) for run in table["runs"])


def _write(found: Findings, task: Task, place: Place) -> Path:
    images = place.page / "images"
    images.mkdir(parents=True, exist_ok=True)
    by_name = page.compared(found, found.plan.architectures)
    comparison_plots.accuracies(by_name, found.runs, images / "architectures.svg")
    comparison_plots.costs(by_name, images / "cost.svg")
    if found.plan.options:
        options = page.compared(found, (found.plan.plain, *found.plan.options))
        comparison_plots.accuracies(options, found.runs, images / "options.svg", marked=found.plan.plain)
    _picture(task, images / "task.jpg")
    for source, name in (
        (place.work / "evaluation" / f"{COMPARISON_NAME}.html", "comparison.html"),
        (place.work / "evaluation" / f"{COMPARISON_NAME}.json", "comparison.json"),
        (_only(place.work / "dissected", REPORT_NAME), "report.html"),
        (task.folder / "data.html", "data.html"),
    ):
        shutil.copyfile(source, place.page / name)
    path = place.page / PAGE_NAME
    atomic_file.write(path, page.render(found).encode(), atomic_file.SHARED)
    return path


def _picture(task: Task, path: Path) -> None:
    """The classes one above the other."""
    from PIL import Image

    sheets = contact_sheets(task.dataset, count=_SHOWN, columns=_SHOWN, side_px=72, blurred=False)
    rows = [Image.open(io.BytesIO(sheet.jpeg)) for sheet in sheets]
    whole = Image.new("RGB", (max(row.width for row in rows), sum(row.height for row in rows)), "white")
    top = 0
    for row in rows:
        whole.paste(row, (0, top))
        top += row.height
    buffer = io.BytesIO()
    whole.save(buffer, "JPEG", quality=88)
    atomic_file.write(path, buffer.getvalue(), atomic_file.SHARED)


__all__ = ["PAGE_NAME", "Place", "make"]

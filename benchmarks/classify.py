"""How fast a picture becomes a score on every installed engine, and how far from the reference's.

Four questions, answered within one run in interleaved rounds of which the median counts:

- model alone: pixels to score on one thread, in CPU seconds, against torch in eager mode;
- from bytes: JPEG files through decode workers and engine on all cores, in wall-clock seconds, against the
  plain way (`benchmarks.plain`: Pillow, ONNX Runtime fp32 on the published graph, one picture at a time);
- drift: mean, p99 and largest difference from torch fp32, and decisions changed, on the evaluation set;
- determinism: the largest change of a score by the batch it travels in.

    python -m benchmarks.classify [--rounds 5] [--only model|bytes|drift]

Memory and the start of the whole daemon: `benchmarks.light`. Other networks: `benchmarks.zoo`.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks import plain
from benchmarks.photographs import photographs
from bot.scoring import Scorer
from bot.settings import load_settings
from classifier import predict
from classifier.engines import calibration, drift
from classifier.engines.opening import installed
from classifier.engines.values import DriftReport, VerificationSet
from classifier.errors import ModelError
from classifier.models import catalogue
from classifier.values import Classifier, MediaPart

MODEL = "open_nsfw"
BATCHES = (1, 16)
SIZES = {"330 px": (330, 248, 160), "960 px": (960, 720, 80), "12 MP": (4000, 3000, 12)}
"""Width, height and number of the files."""
IN_FLIGHT = 16
WANTED_BYTES = {"330 px": 3.0, "960 px": 1.5, "12 MP": 4.0}
REDUCED_PX = 1000
"""`decode.reduced_jpeg_px` of the ways that trade exact scores for speed; the settings' own proposal."""

Figures = dict[str, Any]


def measure_model(
    classifiers: Mapping[str, Classifier], rounds: int, bars: Progress
) -> dict[str, dict[int, float]]:
    """Tell the CPU seconds a picture, by engine and batch size, on one thread."""
    torch.set_num_threads(1)
    ways = {"eager": plain.eager()} | {name: one.predict for name, one in classifiers.items()}
    rng = np.random.default_rng(0)
    pictures = {batch: rng.integers(0, 256, (batch, 224, 224, 3), dtype=np.uint8) for batch in BATCHES}
    spent: dict[str, dict[int, list[float]]] = {name: {batch: [] for batch in BATCHES} for name in ways}
    task = bars.add_task("model alone", total=rounds)
    for _ in range(rounds):
        for name, way in ways.items():
            for batch in BATCHES:
                way(pictures[batch])
                times = max(1, 32 // batch)
                started_s = time.process_time()
                for _ in range(times):
                    way(pictures[batch])
                spent[name][batch].append((time.process_time() - started_s) / times / batch)
        bars.advance(task)
    return {name: {batch: median(values) for batch, values in by.items()} for name, by in spent.items()}


def load_all(engines: Sequence[str]) -> tuple[dict[str, Classifier], dict[str, str]]:
    """Load every engine that may score; tell of the others why they may not."""
    loaded: dict[str, Classifier] = {}
    refused: dict[str, str] = {}
    for name in engines:
        try:
            loaded[name] = predict.load(MODEL, name, threads=1)
        except ModelError as error:
            refused[name] = str(error)
    return loaded, refused


@contextmanager
def scorers(engines: Sequence[str]) -> Iterator[dict[str, Scorer]]:
    """Decode workers and model for each engine, as in the daemon; int8 also with reduced decoding."""
    opened: dict[str, Scorer] = {}
    reduced = {"decode": {"reduced_jpeg_px": REDUCED_PX}}
    try:
        for engine in engines:
            settings = {"classifier": {"engine": engine}}
            opened[engine] = Scorer.load(load_settings(overrides=settings))
            if engine.endswith("int8"):
                opened[f"{engine}, reduced"] = Scorer.load(load_settings(overrides=settings | reduced))
        yield opened
    finally:
        for scorer in opened.values():
            scorer.close()


def measure_bytes(engines: Sequence[str], rounds: int, bars: Progress) -> dict[str, dict[str, float]]:
    """Tell the pictures a second from files, by size and way; every way may use all cores."""
    standalone = plain.standalone()
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder, scorers(engines) as ours:
        for size, (width, height, count) in SIZES.items():
            paths = photographs(Path(folder), width, height, count)
            rates: dict[str, list[float]] = {name: [] for name in ("plain", *ours)}
            for _ in bars.track(range(rounds), description=f"from bytes, {size}"):
                few = paths[: max(6, count // 4)]
                started_s = time.perf_counter()
                for path in few:
                    standalone(path)
                rates["plain"].append(len(few) / (time.perf_counter() - started_s))
                for name, scorer in ours.items():
                    rates[name].append(_rate(scorer, paths))
            found[size] = {name: median(values) for name, values in rates.items()}
    return found


def _rate(scorer: Scorer, paths: Sequence[Path]) -> float:
    """Pictures a second through one scorer, with as many under way as the daemon would have."""
    with ThreadPoolExecutor(IN_FLIGHT) as executor:
        started_s = time.perf_counter()
        for _ in executor.map(lambda path: scorer.score([MediaPart(path)]), paths):
            pass
        return len(paths) / (time.perf_counter() - started_s)


def measure_drift(
    classifiers: Mapping[str, Classifier], evaluation: VerificationSet, bars: Progress
) -> tuple[dict[str, DriftReport], dict[str, float]]:
    """Compare every engine with the reference, and with itself in other batches."""
    reports, by_batch = {}, {}
    thresholds = catalogue.card(MODEL).thresholds
    for name, one in bars.track(classifiers.items(), description="drift"):
        alone = np.concatenate([one.predict(picture[None]) for picture in evaluation.pixels])
        parts = np.array_split(evaluation.pixels, len(evaluation.pixels) // 11)
        together = np.concatenate([one.predict(part) for part in parts])
        reports[name] = drift.measure(evaluation.reference, together, thresholds)
        by_batch[name] = float(np.abs(alone - together).max())
    return reports, by_batch


def show_model(console: Console, spent: Mapping[str, Mapping[int, float]]) -> Figures:
    """Print the table of the model alone."""
    table = Table("", "ms, batch 1", "ms, batch 16", "pictures/s", "x eager", "x ORT fp32", "wanted")
    table.title, table.title_justify = "model alone, one thread, CPU time a picture", "left"
    best = {name: min(by.values()) for name, by in spent.items()}
    figures: Figures = {}
    for name, by in spent.items():
        wanted = ">= 5 x eager, >= 2 x ORT fp32" if name.endswith("int8") else ">= 2.2 x eager"
        against_eager = best["eager"] / best[name]
        against_ort = best["onnxruntime-fp32"] / best[name]
        table.add_row(
            name,
            *(f"{by[batch] * 1000:.1f}" for batch in BATCHES),
            f"{1 / best[name]:.0f}",
            f"{against_eager:.2f}",
            f"{against_ort:.2f}",
            "" if name in ("eager", "torch-fp32") else wanted,
        )
        figures[name] = {
            "ms_batch_1": round(by[1] * 1000, 2),
            "ms_batch_16": round(by[16] * 1000, 2),
            "times_eager": round(against_eager, 2),
            "times_eager_batch_1": round(spent["eager"][1] / by[1], 2),
            "times_eager_batch_16": round(spent["eager"][16] / by[16], 2),
            "times_onnxruntime_fp32": round(against_ort, 2),
        }
    console.print(table)
    return figures


def show_bytes(console: Console, rates: Mapping[str, Mapping[str, float]]) -> Figures:
    """Print the table from bytes to score."""
    ways = list(next(iter(rates.values())))
    table = Table("pictures/s (x plain)", *ways, "wanted")
    table.title, table.title_justify = f"from bytes to score, {_cores()} cores, wall clock", "left"
    figures: Figures = {}
    for size, by in rates.items():
        cells = [f"{rate:.0f} ({rate / by['plain']:.1f})" for rate in by.values()]
        table.add_row(size, *cells, f">= {WANTED_BYTES[size]:g}")
        figures[size] = {name: round(rate, 1) for name, rate in by.items()}
        figures[f"{size} times plain"] = {name: round(rate / by["plain"], 2) for name, rate in by.items()}
    console.print(table)
    return figures


def show_drift(
    console: Console, reports: Mapping[str, DriftReport], by_batch: Mapping[str, float]
) -> Figures:
    """Print the table of differences."""
    some = next(iter(reports.values()))
    table = Table("", "mean", "p99", "max", *some.decisions_changed, "by batch")
    table.title = (
        f"difference from torch-fp32, {some.pictures} pictures, {some.positives} of them 0.5 or more"
    )
    table.title_justify = "left"
    figures: Figures = {"pictures": some.pictures, "positives": some.positives}
    for name, report in reports.items():
        changed = [f"{share:.2%}" for share in report.decisions_changed.values()]
        numbers = [f"{number:.1e}" for number in (report.mean, report.p99, report.max)]
        table.add_row(name, *numbers, *changed, f"{by_batch[name]:.1e}")
        figures[name] = {
            "mean": report.mean,
            "p99": report.p99,
            "max": report.max,
            "decisions_changed": dict(report.decisions_changed),
            "by_batch": by_batch[name],
        }
    console.print(table)
    return figures


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def main() -> None:
    """Run the benchmark and print tables and one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=("model", "bytes", "drift"))
    arguments = parser.parse_args()
    console = Console(width=130)
    figures: Figures = {"cores": _cores()}
    engines = [str(engine) for engine in installed()]
    with Progress(console=Console(stderr=True), transient=True) as bars:
        catalogue.fetch(MODEL)
        classifiers, figures["refused"] = load_all(engines)
        for name, reason in figures["refused"].items():
            console.print(f"{name} is left out: {reason}", style="yellow")
        if arguments.only in (None, "model"):
            figures["model"] = show_model(console, measure_model(classifiers, arguments.rounds, bars))
        if arguments.only in (None, "drift"):
            reference = catalogue.load(MODEL)
            card = reference.card
            sets = calibration.make_sets(reference.network, card.preprocessing, card.input_px)
            figures["drift"] = show_drift(console, *measure_drift(classifiers, sets.evaluation, bars))
        if arguments.only in (None, "bytes"):
            light = [name for name in classifiers if not name.startswith("torch")]
            figures["bytes"] = show_bytes(console, measure_bytes(light, arguments.rounds, bars))
    print(json.dumps({"benchmark": "classify", "figures": figures}))


if __name__ == "__main__":
    main()

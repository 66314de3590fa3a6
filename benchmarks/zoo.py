"""The zoo measured: every network on every engine, on one core and on two.

Each cell is a process of its own (`zoo_cell.py`); the cells of a model take turns in short rounds
(`zoo_rounds.py`), and figures are medians over the rounds. Accuracy is no matter here: weights may be drawn.

    python -m benchmarks.zoo [--models a,b] [--engines a,b] [--cores 1,2] [--quick] [--write-docs]

A full run takes some minutes on two idle cores. `--save` keeps the figures, and `--from` makes table, plot
and documentation of kept ones without measuring.
"""

import argparse
import dataclasses
import json
import os
import tempfile
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from benchmarks import peak as peaks
from benchmarks import plots, zoo_report
from benchmarks.zoo_cell import STANDALONE, Job
from benchmarks.zoo_report import Figures, Thresholds
from benchmarks.zoo_rounds import FULL, QUICK, Advance, Pace, Result, measure_cells

DOCS = Path("docs/zoo.md")
PLOT = Path("docs/images/zoo.svg")
MODELS = (
    "open_nsfw",
    "resnet50",
    "efficientnet_b0",
    "mobilenet_v3_large",
    "mobilenet_v2",
    "squeezenet1_0",
    "squeezenet1_1",
)
ENGINES = (
    "torch-eager",
    "torch-fp32",
    "torch-int8",
    "onnxruntime-fp32",
    "onnxruntime-int8",
    "openvino-fp32",
    "openvino-int8",
    STANDALONE,
)
_WIDTH = 150


def main() -> None:
    """Measure, or read what was measured, and print the table and one JSON line."""
    arguments = _arguments()
    console = Console(stderr=True)
    figures = (
        json.loads(arguments.read.read_text(encoding="utf-8"))
        if arguments.read
        else _measure(arguments, console)
    )
    if arguments.save:
        arguments.save.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    if arguments.plot:
        arguments.plot.write_text(plots.zoo(figures), encoding="utf-8")
    if arguments.write_docs:
        PLOT.write_text(plots.zoo(figures), encoding="utf-8")
        page = zoo_report.replaced(DOCS.read_text(encoding="utf-8"), zoo_report.markdown(figures))
        DOCS.write_text(page, encoding="utf-8")
    wide = Console(width=max(Console().width, _WIDTH))
    wide.print(zoo_report.table(figures))
    wide.print(zoo_report.note(figures), *zoo_report.failures(figures), sep="\n", highlight=False)
    print(json.dumps({"benchmark": "zoo", "figures": figures}))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--models", type=_names, metavar="NAME,…")
    parser.add_argument("--engines", type=_names, metavar="NAME,…", default=ENGINES)
    parser.add_argument("--cores", type=lambda text: tuple(map(int, text.split(","))), metavar="COUNT,…")
    parser.add_argument("--quick", action="store_true", help="one model, one core, two short rounds")
    parser.add_argument("--rounds", type=int, help="after the one that tries the batches")
    parser.add_argument("--min-rate", type=float, default=12.0, help="pictures a second that are wanted")
    parser.add_argument("--max-mb", type=float, default=300.0, help="resident megabytes that are allowed")
    parser.add_argument("--save", type=Path, help="keep the figures in this JSON file")
    parser.add_argument("--from", dest="read", type=Path, help="measure nothing, take kept figures")
    parser.add_argument("--plot", type=Path, help="draw the plot into this SVG file")
    parser.add_argument("--write-docs", action="store_true", help=f"update {DOCS} and {PLOT}")
    arguments = parser.parse_args()
    arguments.models = arguments.models or (MODELS[:1] if arguments.quick else MODELS)
    arguments.cores = arguments.cores or ((1,) if arguments.quick else (1, 2))
    for given, there in ((arguments.models, MODELS), (arguments.engines, ENGINES)):
        if unknown := set(given) - set(there):
            parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(there)}")
    return arguments


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


def _measure(arguments: argparse.Namespace, console: Console) -> Figures:
    """Measure the machine, then model after model."""
    usable = sorted(os.sched_getaffinity(0))
    cores = [tuple(usable[:count]) for count in arguments.cores if count <= len(usable)]
    pace = QUICK if arguments.quick else FULL
    if arguments.rounds:
        pace = dataclasses.replace(pace, rounds=arguments.rounds)
    results: list[Result] = []
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bars, tempfile.TemporaryDirectory() as folder:
        bar = bars.add_task("the machine's peak", total=len(arguments.models) + 0.2)
        peak = peaks.measure(usable[0])
        bars.advance(bar, 0.2)
        for model in arguments.models:

            def advance(share: float, doing: str, model: str = model) -> None:
                bars.update(bar, advance=share, description=f"{model}: {doing}")

            results += measure_model(model, arguments.engines, cores, Path(folder), pace, advance)
    counted = {model: peaks.multiply_adds(model) for model in arguments.models}
    return zoo_report.make_figures(results, counted, peak, Thresholds(arguments.min_rate, arguments.max_mb))


def measure_model(
    model: str,
    engines: tuple[str, ...],
    cores: list[tuple[int, ...]],
    folder: Path,
    pace: Pace,
    advance: Advance,
) -> list[Result]:
    """Write a model down for each engine and measure all its cells.

    Args:
        model: Which network.
        engines: Which engines; those that cannot run it are left out.
        cores: Which cores, for each cell of an engine.
        folder: Where files may be written.
        pace: How thoroughly.
        advance: Told about progress; the shares add up to 1.

    Returns:
        A result for each engine and number of cores.
    """
    from benchmarks import zoo_graphs

    there = [engine for engine in engines if zoo_graphs.runs(model, engine)]
    files = zoo_graphs.make_files(model, there, folder, lambda what: advance(0.0, f"making {what}"))
    advance(0.15, "made")
    cells: list[tuple[Job, int]] = []
    refused: list[Result] = []
    for count in cores:
        for engine, file in files.items():
            if isinstance(file, Exception):
                failed = Result(Job(model, engine, "", "", "", count), 0, failed=str(file))
                refused.append(failed)
                continue
            job = Job(model, engine, str(file.path), file.sha256, file.format, count)
            cells.append((job, file.path.stat().st_size))

    def rest(share: float, doing: str) -> None:
        advance(0.85 * share, doing)

    measured = measure_cells(cells, pace, rest) + refused
    return sorted(measured, key=lambda result: there.index(result.job.engine))


if __name__ == "__main__":
    main()

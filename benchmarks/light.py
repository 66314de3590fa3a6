"""What each way of running the model costs a daemon: memory, seconds to the first score, speed, disk.

Per engine, the daemon runs as its users start it, with one decode worker, on the miniature Commons at 5
uploads a second; memory is sampled every second, and the first score is timed from the creation of the
process, with everything in the cache. The model's own speed is taken in a further process, on one thread.
What an installation takes on disk is read from the installed distributions' own lists of files.

    python -m benchmarks.light [--engines onnxruntime-int8 torch-fp32] [--seconds 180] [--rate 5]
"""

import argparse
import json
import multiprocessing
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib.metadata import distribution
from pathlib import Path
from statistics import median

import numpy as np
import psutil
from packaging.requirements import Requirement
from rich.console import Console
from rich.progress import Progress
from rich.table import Column, Table

from benchmarks.daemon import BenchDaemon
from bot.demo import CORPUS
from bot.minicommons.corpus import prepare_corpus
from bot.minicommons.process import MiniCommonsProcess
from bot.minicommons.recipes import SMALL
from classifier import predict
from classifier.engines.values import ENGINES
from classifier.models.catalogue import DEFAULT_MODEL
from tests.light_requirements import HEAVY, closure, direct

RATE_PER_S = 5.0
WANTED_MB = 300
WANTED_FIRST_SCORE_S = 5.0
BATCH = 16
SPEED_FOR_S = 5.0


@dataclass(frozen=True, slots=True)
class Cost:
    """What one engine costs.

    Attributes:
        engine: Such as `onnxruntime-int8`.
        daemon_mb: Resident memory of the daemon's own process, the largest of all samples.
        daemon_pss_mb: The same with its share of shared pages only.
        sum_mb: Daemon and decode worker summed up, the largest of all samples.
        sum_pss_mb: The same with shared pages counted once.
        first_score_s: From the creation of the process to the first recorded score.
        pictures_per_s: The model alone, batches of 16, one thread, for each CPU second.
        installed_mb: Everything that must be installed for it.
    """

    engine: str
    daemon_mb: float
    daemon_pss_mb: float
    sum_mb: float
    sum_pss_mb: float
    first_score_s: float
    pictures_per_s: float
    installed_mb: float


def measure(engine: str, rate_per_s: float, seconds: float, bars: Progress) -> Cost:
    """Measure one engine.

    Args:
        engine: Which.
        rate_per_s: Uploads a second.
        seconds: For how long.
        bars: Where progress is drawn.

    Returns:
        What it costs.
    """
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as alone:
        # Also fills the cache: an engine's first use exports the model.
        pictures_per_s = alone.submit(model_speed, engine).result()
    own: list[tuple[float, float]] = []
    both: list[tuple[float, float]] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        MiniCommonsProcess(CORPUS, SMALL) as commons,
        BenchDaemon(commons, Path(folder), bars, {"classifier": {"engine": engine}}) as daemon,
    ):
        commons.publish_noise(-1, rate_per_s=50)
        count = round(rate_per_s * seconds)
        commons.publish_many(count, rate_per_s=rate_per_s)
        task = bars.add_task(f"{engine} at {rate_per_s:g} uploads a second", total=count)
        while commons.publishing():
            time.sleep(1)
            own.append(daemon.memory_of_itself_mb())
            both.append(daemon.memory_mb())
            bars.update(task, completed=daemon.done())
        daemon.wait_for(count, "the rest")
        bars.remove_task(task)
        started_at = daemon.started_at
        first = min(outcome.finished_at.timestamp() for outcome in daemon.outcomes())
    return Cost(
        engine=engine,
        daemon_mb=max(rss for rss, _ in own),
        daemon_pss_mb=max(pss for _, pss in own),
        sum_mb=max(rss for rss, _ in both),
        sum_pss_mb=max(pss for _, pss in both),
        first_score_s=first - started_at,
        pictures_per_s=pictures_per_s,
        installed_mb=installed_mb(engine),
    )


def model_speed(engine: str) -> float:
    """Pictures a CPU second of the model alone, in the process that calls this."""
    classifier = predict.load(DEFAULT_MODEL, engine, threads=1)
    side = classifier.card.input_px
    pixels = np.random.default_rng(0).integers(0, 256, (BATCH, side, side, 3), dtype=np.uint8)
    classifier.predict(pixels)
    took_s: list[float] = []
    until = time.monotonic() + SPEED_FOR_S
    while time.monotonic() < until or len(took_s) < 3:
        before = time.process_time()
        classifier.predict(pixels)
        took_s.append(time.process_time() - before)
    return BATCH / median(took_s)


def installed_mb(engine: str) -> float:
    """Size on disk of every distribution that a daemon with this engine needs.

    Args:
        engine: Such as `openvino-int8`.

    Returns:
        MB, compiled Python files that pip made at installing left out.
    """
    library = engine.partition("-")[0]
    wanted = [requirement for requirement in direct() if requirement.name != "onnxruntime"]
    wanted += [Requirement(name) for name in (sorted(HEAVY) if library == "torch" else (library,))]
    return sum(_size_mb(name) for name in closure(wanted))


@lru_cache
def _size_mb(name: str) -> float:
    """Size of one installed distribution; the light one of OpenCV counts as the one that is here."""
    found = distribution("opencv-python" if name == "opencv-python-headless" else name)
    paths = [Path(str(found.locate_file(file))) for file in found.files or () if file.suffix != ".pyc"]
    return sum(path.stat().st_size for path in paths if path.is_file()) / 1e6


def table_of(costs: Sequence[Cost], rate_per_s: float) -> Table:
    """Lay the costs out, one engine a row."""
    table = Table(
        Column("engine", no_wrap=True),
        "daemon MB (PSS)",
        "and worker MB (PSS)",
        "first score s",
        "pictures/s a core",
        "installed MB",
        title=f"one decode worker, {rate_per_s:g} uploads a second",
        title_justify="left",
    )
    for cost in costs:
        table.add_row(
            cost.engine,
            f"{cost.daemon_mb:.0f} ({cost.daemon_pss_mb:.0f})",
            f"{cost.sum_mb:.0f} ({cost.sum_pss_mb:.0f})",
            f"{cost.first_score_s:.1f}",
            f"{cost.pictures_per_s:.0f}",
            f"{cost.installed_mb:.0f}",
        )
    table.add_row("wanted if light", "", str(WANTED_MB), f"{WANTED_FIRST_SCORE_S:.0f}", "", "")
    return table


def main() -> None:
    """Run the benchmark and print a table and one JSON line."""
    known = [str(engine) for engine in ENGINES]
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--engines", nargs="+", choices=known, default=known)
    parser.add_argument("--rate", type=float, default=RATE_PER_S)
    parser.add_argument("--seconds", type=float, default=60.0)
    arguments = parser.parse_args()
    prepare_corpus(CORPUS, SMALL)
    with Progress(console=Console(stderr=True), transient=True) as bars:
        costs = [measure(engine, arguments.rate, arguments.seconds, bars) for engine in arguments.engines]
    Console().print(table_of(costs, arguments.rate))
    figures = {
        cost.engine: {key: round(value, 1) for key, value in asdict(cost).items() if key != "engine"}
        for cost in costs
    }
    cores = psutil.cpu_count() or 0
    print(json.dumps({"benchmark": "light", "cores": cores, "figures": figures}))


if __name__ == "__main__":
    main()

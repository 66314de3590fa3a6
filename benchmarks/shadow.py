"""What a shadow costs, and that it changes nothing: the daemon with and without one, in turns.

The miniature Commons and the daemon are processes of their own. Each round starts a daemon on an empty store,
publishes the same pictures at a steady rate and waits until everything is settled, the shadow's lane too. The
shadow is the default model after a step of training: as large as the active one. Compared are processor
seconds of the daemon and its workers for each upload, the time from an event to its outcome, resident memory,
and every outcome, score by score.

    python -m benchmarks.shadow [--uploads 40] [--rate 4] [--rounds 2] [--engine torch-fp32]
"""

import argparse
import hashlib
import json
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.daemon import BenchDaemon
from bot.demo import CORPUS
from bot.minicommons.corpus import prepare_corpus
from bot.minicommons.process import MiniCommonsProcess
from bot.settings import ROOT
from classifier.datasets import manifest, proxy
from classifier.models import catalogue
from classifier.training import config as configs
from classifier.training.run import train
from storage import shadow_runs
from storage.engine import Database
from storage.model_registry import ModelStanding, RegisteredModel, begin_with, change

ACTIVE, SHADOW = "open_nsfw", "retrained"
NAMES = ("jpeg-baseline", "jpeg-progressive", "jpeg-portrait", "png-16bit", "positive")
PATIENCE_S = 300.0


@dataclass(frozen=True, slots=True)
class Round:
    """What one daemon did.

    Attributes:
        cpu_s: Processor seconds for each upload.
        latency_s: Median time from an event to its outcome.
        memory_mb: Resident memory, shared pages counted once.
        outcomes: Label and score of each picture.
        fates: Uploads by what became of them on the shadow's lane.
    """

    cpu_s: float
    latency_s: float
    memory_mb: float
    outcomes: Mapping[str, set[tuple[str | None, float | None]]]
    fates: Mapping[str, int]


def retrained(folder: Path, cache: Path) -> None:
    """Make the shadow: the default model after one step."""
    drawn = proxy.write(
        folder, proxy.ProxySettings(count=16, sizes_px=((64, 64),), copy_share=0, noise_share=0)
    )
    split = [
        replace(
            item,
            split="validation" if index % 4 == 0 else "train",
            sha256=hashlib.sha256((folder / item.path).read_bytes()).hexdigest(),
        )
        for index, item in enumerate(drawn.items)
    ]
    manifest.write(drawn.with_items(split), folder / "divided.csv")
    config = configs.parse(
        {
            "name": SHADOW,
            "model": {"name": ACTIVE, "pretrained": str(catalogue.fetch(ACTIVE, cache))},
            "data": {"classes": list(proxy.CLASSES), "preprocessing": "open_nsfw-v1"},
            "optimizer": {"rate": 0.0001, "warmup_steps": 1},
            "training": {"epochs": 1, "batch": 12, "accelerator": "cpu", "threads": 1},
        },
        "benchmarks.shadow",
    )
    train(config, manifest.read(folder / "divided.csv", proxy.CLASSES), folder / "run")
    thresholds: Any = dict(catalogue.card(ACTIVE).thresholds)
    catalogue.add(folder / "run", name=SHADOW, thresholds=thresholds, cache_directory=cache)


def appoint(url: str, cache: Path) -> RegisteredModel:
    """Write into an empty store who is active and who watches."""
    database = Database.open(url, ROOT)
    database.migrate()
    now = datetime.now(UTC)

    def standing(name: str, wanted: ModelStanding) -> RegisteredModel:
        return RegisteredModel(name, catalogue.card(name, cache).weights_sha256, wanted, now, "benchmark")

    with database.transaction() as tx:
        begin_with(tx, standing(ACTIVE, ModelStanding.ACTIVE))
        change(tx, standing(SHADOW, ModelStanding.CANDIDATE))
        change(tx, standing(SHADOW, ModelStanding.SHADOW))
    database.close()
    return standing(SHADOW, ModelStanding.SHADOW)


def fates(url: str, shadow: RegisteredModel) -> tuple[str, Mapping[str, int]]:
    """How the shadow fares: its state, and uploads by fate."""
    database = Database.open(url, ROOT)
    with database.read() as tx:
        run = shadow_runs.find(tx, shadow.name, shadow.weights_sha256)
    database.close()
    return ("", {}) if run is None else (run.state, run.counts)


def wait(what: str, done: Any) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + PATIENCE_S
    while not done():
        if time.monotonic() > deadline:
            raise SystemExit(f"never happened: {what}")
        time.sleep(0.25)


def measure(
    commons: MiniCommonsProcess, cache: Path, arguments: argparse.Namespace, bars: Progress, *, shadowed: bool
) -> Round:
    """One round."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        url = f"sqlite:///{folder / 'bot.sqlite3'}"
        shadow = appoint(url, cache) if shadowed else None
        more = {
            # One picture at a time: in a batch of another size the last digits of a score are others.
            "classifier": {"engine": arguments.engine, "cache_directory": str(cache), "batch_size": 1},
            "sampling": {"enabled": False},
            "retention": {"days": 0, "directory": str(folder / "copies")},
        }
        with BenchDaemon(commons, folder, bars, more) as daemon:
            if shadow is not None:
                wait("the shadow scores", lambda: fates(url, shadow)[0] == shadow_runs.SCORING)
            before, cpu_before = len(commons.plan().outcomes), daemon.cpu_s()
            commons.publish_many(arguments.uploads, rate_per_s=arguments.rate, names=NAMES)
            daemon.wait_for(arguments.uploads, "with a shadow" if shadowed else "without")
            if shadow is not None:
                wait("all is settled", lambda: sum(fates(url, shadow)[1].values()) == arguments.uploads)
            cpu_s, memory_mb = daemon.cpu_s() - cpu_before, daemon.memory_mb()[1]
            planned = {one.log_id: one for one in commons.plan().outcomes[before:]}
            found: dict[str, set[tuple[str | None, float | None]]] = {}
            for one in daemon.outcomes():
                found.setdefault(planned[one.log_id].specimen, set()).add((one.label, one.score))
            latencies = [
                one.finished_at.timestamp() - planned[one.log_id].published_at_s for one in daemon.outcomes()
            ]
            counts = {} if shadow is None else fates(url, shadow)[1]
        return Round(cpu_s / arguments.uploads, median(latencies), memory_mb, found, counts)


def main() -> None:
    """Run the benchmark and print a table and one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--uploads", type=int, default=40)
    parser.add_argument("--rate", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--engine", default="torch-fp32")
    arguments = parser.parse_args()
    console = Console(stderr=True)
    prepare_corpus(CORPUS, NAMES)
    with (
        tempfile.TemporaryDirectory() as folder,
        Progress(console=console, transient=True) as bars,
        MiniCommonsProcess(CORPUS, NAMES) as commons,
    ):
        cache = Path(folder) / "models"
        retrained(Path(folder), cache)
        rounds: dict[bool, list[Round]] = {False: [], True: []}
        for _ in range(arguments.rounds):
            for shadowed in rounds:
                rounds[shadowed].append(measure(commons, cache, arguments, bars, shadowed=shadowed))
    report(rounds, arguments)


def report(rounds: Mapping[bool, list[Round]], arguments: argparse.Namespace) -> None:
    """Print what came of it."""
    cpu_s, latency_s, memory_mb = (
        {which: median(getattr(one, name) for one in several) for which, several in rounds.items()}
        for name in ("cpu_s", "latency_s", "memory_mb")
    )
    scored = sum(one.fates.get("scored", 0) for one in rounds[True]) / (arguments.uploads * arguments.rounds)
    every = [one.outcomes for several in rounds.values() for one in several]
    same = all(one == every[0] for one in every) and all(len(scores) == 1 for scores in every[0].values())
    if not same:
        print(json.dumps([{name: sorted(map(str, found)) for name, found in one.items()} for one in every]))
    table = Table("", "without", "with", title=f"A shadow beside {ACTIVE}, both {arguments.engine}", box=None)
    for name, values, form in (
        ("CPU ms an upload", {which: value * 1000 for which, value in cpu_s.items()}, ".0f"),
        ("median latency, s", latency_s, ".2f"),
        ("resident memory, MB", memory_mb, ".0f"),
    ):
        table.add_row(name, f"{values[False]:{form}}", f"{values[True]:{form}}")
    console = Console()
    console.print(table)
    console.print(
        f"scored by the shadow, too: {scored:.0%}; every outcome the same: {'yes' if same else 'NO'}"
    )
    figures = {
        "engine": arguments.engine,
        "cpu_ms_per_upload": {"without": 1000 * cpu_s[False], "with": 1000 * cpu_s[True]},
        "cpu_ms_per_shadow_score": 1000 * (cpu_s[True] - cpu_s[False]) / scored if scored else None,
        "latency_s": {"without": latency_s[False], "with": latency_s[True]},
        "latency_s_by_round": {
            "without": [round(one.latency_s, 3) for one in rounds[False]],
            "with": [round(one.latency_s, 3) for one in rounds[True]],
        },
        "memory_mb": {"without": memory_mb[False], "with": memory_mb[True]},
        "shadow_scored_share": scored,
        "outcomes_equal": same,
    }
    print(json.dumps({"benchmark": "shadow", "figures": figures}))


if __name__ == "__main__":
    main()

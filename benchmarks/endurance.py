"""Resident memory over many uploads: is it under the limit, and is it flat?

python -m benchmarks.endurance [--uploads 10000]
"""

import argparse
import json
import tempfile
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.daemon import BenchDaemon
from bot.demo import CORPUS
from bot.minicommons.corpus import prepare_corpus
from bot.minicommons.process import MiniCommonsProcess
from bot.minicommons.recipes import SMALL

STEPS = 20


def main() -> None:
    """Run the benchmark and print a table and one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--uploads", type=int, default=10_000)
    arguments = parser.parse_args()
    step = arguments.uploads // STEPS
    prepare_corpus(CORPUS, SMALL)
    samples: list[tuple[int, float, float]] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        Progress(console=Console(stderr=True), transient=True) as bars,
        MiniCommonsProcess(CORPUS, SMALL) as commons,
        BenchDaemon(commons, Path(folder), bars) as daemon,
    ):
        for number in range(1, STEPS + 1):
            commons.publish_many(step)
            daemon.wait_for(number * step, f"step {number} of {STEPS}")
            samples.append((number * step, *daemon.memory_mb()))
    table = Table("uploads", "resident MB", "shared once MB", title="memory over time", title_justify="left")
    for uploads, rss_mb, pss_mb in samples:
        table.add_row(f"{uploads:,}", f"{rss_mb:.0f}", f"{pss_mb:.0f}")
    Console().print(table)
    early = median(rss for _, rss, _ in samples[1:6])
    late = median(rss for _, rss, _ in samples[-5:])
    figures = {
        "uploads": arguments.uploads,
        "rss_max_mb": round(max(rss for _, rss, _ in samples)),
        "pss_max_mb": round(max(pss for *_, pss in samples)),
        "rss_early_mb": round(early),
        "rss_late_mb": round(late),
        "growth_mb": round(late - early, 1),
    }
    print(json.dumps({"benchmark": "endurance", "figures": figures}))


if __name__ == "__main__":
    main()

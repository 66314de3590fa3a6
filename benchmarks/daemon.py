"""A daemon to be measured: started as its users start it, watched from outside."""

import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil
import requests
from rich.progress import Progress

from bot.minicommons.controls import Controls
from bot.settings import ROOT, merged
from storage import status
from storage.engine import Database
from storage.outcomes import RecordedOutcome, recorded
from tests.daemon_process import write_config

MONITORING_PORT = 19464
PATIENCE_S = 120.0
SETTINGS: dict[str, dict[str, Any]] = {
    "identity": {"contact": "benchmark@localhost.invalid"},
    "decode": {"workers": 1},
    "monitoring": {"port": MONITORING_PORT},
    "backfill": {"reconcile_every_s": 3600},
    "log": {"level": "ERROR", "format": "json"},
    # Loopback is not the wiki's network: the pace agreed with Wikimedia would be what is measured.
    "media": {"max_bits_per_s": 1e9},
}


class BenchDaemon:
    """`python -m bot run` in a process of its own.

    Args:
        commons: What it follows.
        folder: Where it keeps everything.
        bars: Where progress is drawn.
        more: Settings laid over those of a benchmark.
    """

    def __init__(
        self, commons: Controls, folder: Path, bars: Progress, more: Mapping[str, Any] | None = None
    ) -> None:
        places = {
            "store": {"url": f"sqlite:///{folder / 'bot.sqlite3'}"},
            "report": {"directory": str(folder / "report")},
            "media": {"directory": str(folder / "media")},
        }
        values = merged(merged(merged(SETTINGS, places), commons.overrides()), more or {})
        self._config = write_config(folder / "bench.toml", values)
        self._url = values["store"]["url"]
        self._commons = commons
        self._bars = bars
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "bot", "run", "--config", str(self._config)]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL)
        task = self._bars.add_task("starting the daemon", total=None)
        while not self._commons.statistics()["streams_now"]:
            if self._process.poll() is not None:
                raise SystemExit("the daemon did not start; its message stands above")
            time.sleep(0.1)
        self._database = Database.open(self._url, ROOT)
        self._bars.remove_task(task)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._database.close()
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(timeout=30)

    def done(self) -> int:
        """How many uploads have an outcome."""
        from datetime import UTC, datetime

        with self._database.read() as tx:
            current = status.snapshot(tx, datetime.now(UTC))
        return current.scored + sum(current.skipped.values())

    def wait_for(self, count: int, what: str) -> None:
        """Wait until so many uploads have an outcome.

        Args:
            count: How many in all.
            what: For the progress bar.
        """
        first = done = self.done()
        task = self._bars.add_task(what, total=count - first)
        moved_at = time.monotonic()
        while done < count:
            time.sleep(0.25)
            before, done = done, self.done()
            if done != before:
                moved_at = time.monotonic()
            elif time.monotonic() - moved_at > PATIENCE_S:
                raise SystemExit(f"nothing moved for {PATIENCE_S:.0f} s at {done} of {count}")
            self._bars.update(task, completed=done - first)
        self._bars.remove_task(task)

    def outcomes(self) -> list[RecordedOutcome]:
        """Every recorded outcome, by log id."""
        with self._database.read() as tx:
            return list(recorded(tx))

    def metric(self, name: str) -> float:
        """One sample of `/metrics` without labels."""
        text = requests.get(f"http://127.0.0.1:{MONITORING_PORT}/metrics", timeout=10).text
        for line in text.splitlines():
            if line.startswith(name + " "):
                return float(line.split()[1])
        raise KeyError(name)

    def _tree(self) -> list[psutil.Process]:
        assert self._process is not None
        parent = psutil.Process(self._process.pid)
        return [parent, *parent.children(recursive=True)]

    def cpu_s(self) -> float:
        """CPU seconds of the daemon and its workers, replaced workers included."""
        return sum(self.cpu_of_each_s())

    def cpu_of_each_s(self) -> tuple[float, float]:
        """CPU seconds of the daemon, and of its workers, replaced ones included."""
        daemon, *workers = [process.cpu_times() for process in self._tree()]
        replaced = daemon.children_user + daemon.children_system
        return daemon.user + daemon.system, replaced + sum(times.user + times.system for times in workers)

    @property
    def pid(self) -> int:
        """Of the daemon's process."""
        assert self._process is not None
        return self._process.pid

    @property
    def started_at(self) -> float:
        """When the daemon's process was created, as a Unix time."""
        assert self._process is not None
        return psutil.Process(self._process.pid).create_time()

    def memory_of_itself_mb(self) -> tuple[float, float]:
        """Resident memory of the daemon without its workers: all of it, and its share of shared pages."""
        assert self._process is not None
        info = psutil.Process(self._process.pid).memory_full_info()
        return info.rss / 1e6, info.pss / 1e6

    def memory_mb(self) -> tuple[float, float]:
        """Resident memory of the daemon and its workers: summed up, and with shared pages counted once."""
        tree = [process.memory_full_info() for process in self._tree()]
        return sum(info.rss for info in tree) / 1e6, sum(info.pss for info in tree) / 1e6

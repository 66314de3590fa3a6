"""`python -m bot serve` as its users start it, in a process of its own."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bot.settings import ROOT, merged
from tests.daemon_process import write_config
from tests.service import wait_until

START_S = 120.0


class ServiceProcess:
    """A running service.

    Args:
        process: The process.
        config: Its configuration.
        log: Where its log goes.
    """

    def __init__(self, process: "subprocess.Popen[bytes]", config: Path, log: Path) -> None:
        self.process = process
        self.config = config
        self._log = log

    def events(self, name: str) -> list[dict[str, Any]]:
        """The log's lines with this event."""
        lines = [json.loads(line) for line in self._log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line.get("event") == name]

    @property
    def url(self) -> str:
        """Where it listens."""
        return str(self.events("service_started")[0]["url"])

    def text(self) -> str:
        """The whole log."""
        return self._log.read_text()


@contextmanager
def serving(
    folder: Path, *arguments: str, ready: int = 1, **settings: dict[str, Any]
) -> Iterator[ServiceProcess]:
    """Start it with everything in one folder, and end it."""
    values: dict[str, Any] = {
        "classifier": {"engine": "torch-fp32"},
        "decode": {"workers": 1},
        "store": {"url": f"sqlite:///{folder / 'bot.sqlite3'}"},
        "media": {"directory": str(folder / "media")},
        "console": {"key_file": str(folder / "console.key")},
        "serve": {"port": 0, "directory": str(folder / "serve"), "drain_notice_s": 0.5},
        "access": {"anonymous": True},
        "log": {"format": "json"},
    }
    config = write_config(folder / "serve.toml", merged(values, settings))
    log = folder / "serve.log"
    with log.open("ab") as stream:
        command = [sys.executable, "-m", "bot", "serve", "--config", str(config), *arguments]
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream)
    started = ServiceProcess(process, config, log)
    try:
        wait_until(
            lambda: process.poll() is not None or len(started.events("service_ready")) >= ready, START_S
        )
        assert process.poll() is None, started.text()
        yield started
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(60)

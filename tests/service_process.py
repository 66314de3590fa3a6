"""The prediction API as its operators start it, in a process of its own, with what it needs to be asked."""

import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import requests

from bot.settings import ROOT, merged
from storage import api_tokens
from storage.api_tokens import Scope
from storage.engine import Database
from tests.daemon_process import write_config

_PATIENCE_S = 120.0


class ServiceProcess:
    """A running service: its address, a token for it, its log, and the memory of all its processes."""

    def __init__(
        self, process: "subprocess.Popen[bytes]", netloc: tuple[str, int], token: str, log: Path
    ) -> None:
        self.process = process
        self.host, self.port = netloc
        self.url = f"http://{self.host}:{self.port}"
        self.token = token
        self.headers = {"Authorization": f"Bearer {token}"}
        self.log_path = log
        self.most_resident_bytes = 0
        self._watching = threading.Event()
        self._watch = threading.Thread(target=self._measure, daemon=True)
        self._watch.start()

    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def resident_bytes(self) -> int:
        """Of the process and its workers; what they share counts for each."""
        total = 0
        with suppress(psutil.NoSuchProcess):
            parent = psutil.Process(self.process.pid)
            for one in [parent, *parent.children(recursive=True)]:
                with suppress(psutil.NoSuchProcess):
                    total += one.memory_info().rss
        return total

    def connect(self) -> socket.socket:
        """A bare connection, for what no HTTP client would say."""
        return socket.create_connection((self.host, self.port), 30)

    def score(self, content: bytes) -> requests.Response:
        """Ask as well-behaved callers do."""
        kind = {**self.headers, "Content-Type": "image/png"}
        return requests.post(f"{self.url}/v1/classify", content, headers=kind, timeout=60)

    def end(self) -> int:
        self._watching.set()
        self._watch.join()
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def wait_until_ready(self) -> None:
        until_s = time.monotonic() + _PATIENCE_S
        while time.monotonic() < until_s:
            assert self.process.poll() is None, self.log()
            with suppress(requests.RequestException):
                if requests.get(f"{self.url}/readyz", timeout=5).ok:
                    return
            time.sleep(0.1)
        raise AssertionError(f"not ready: {self.log()}")

    def _measure(self) -> None:
        while not self._watching.wait(0.05):
            self.most_resident_bytes = max(self.most_resident_bytes, self.resident_bytes())


@contextmanager
def service_process(folder: Path, **more: dict[str, Any]) -> Iterator[ServiceProcess]:
    """Start `python -m bot serve`; `more` are sections of its configuration."""
    folder.mkdir(parents=True, exist_ok=True)
    places = {
        "store": {"url": f"sqlite:///{folder / 'bot.sqlite3'}"},
        "media": {"directory": str(folder / "media")},
        "serve": {"directory": str(folder / "serve"), "port": _free_port()},
        "classifier": {"engine": "torch-fp32"},
        "decode": {"workers": 2},
        "log": {"level": "DEBUG", "format": "json"},
        "access": {"per_minute": 0, "per_day": 0},
    }
    values = merged(places, more)
    config, log = write_config(folder / "serve.toml", values), folder / "serve.log"
    token = _token(values["store"]["url"])
    with log.open("ab") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "bot", "serve", "--config", str(config)],
            stdout=stream,
            stderr=stream,
            stdin=subprocess.DEVNULL,
            cwd=ROOT,
        )
    running = ServiceProcess(process, ("127.0.0.1", values["serve"]["port"]), token, log)
    try:
        running.wait_until_ready()
        yield running
    finally:
        if process.poll() is None:
            running.end()


def _token(url: str) -> str:
    database = Database.open(url, ROOT)
    try:
        database.migrate()
        with database.transaction() as tx:
            issued = api_tokens.add(
                tx, account="Tester", scopes=set(Scope), now=datetime.now(UTC), note="tests"
            )
    finally:
        database.close()
    return issued.secret


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])

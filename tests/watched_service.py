"""The service in a process of its own, with a token for it and an eye on the memory of all its processes."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import requests

from bot.settings import ROOT
from storage import api_tokens
from storage.api_tokens import Scope
from storage.engine import Database
from tests.service_process import ServiceProcess, serving


class WatchedService:
    """A running service, how to ask it, and the most memory it had."""

    def __init__(self, running: ServiceProcess, folder: Path, token: str) -> None:
        self.url = running.url
        self.folder = folder
        self.token = token
        self.headers = {"Authorization": f"Bearer {token}"}
        self.most_resident_bytes = 0
        self._running = running
        self._ended = threading.Event()

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc

    def log(self) -> str:
        return self._running.text()

    def access_log(self) -> list[dict[str, Any]]:
        """Its lines about requests."""
        return self._running.events("request")

    def spooled(self) -> list[Path]:
        """Bodies that lie on the disk."""
        return [path for path in (self.folder / "serve").rglob("*") if path.is_file()]

    def connect(self) -> socket.socket:
        """A bare connection, for what no HTTP client would say."""
        host, _, port = self.host.partition(":")
        return socket.create_connection((host, int(port)), 30)

    def score(self, content: bytes) -> requests.Response:
        """Ask as well-behaved callers do."""
        kind = {**self.headers, "Content-Type": "image/png"}
        return requests.post(f"{self.url}/v1/classify", content, headers=kind, timeout=60)

    @contextmanager
    def watched(self) -> Iterator[None]:
        thread = threading.Thread(target=self._watch)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.05):
            self.most_resident_bytes = max(self.most_resident_bytes, self._resident_bytes())

    def _resident_bytes(self) -> int:
        """Of the process and its workers; what they share counts for each."""
        total = 0
        with suppress(psutil.NoSuchProcess):
            parent = psutil.Process(self._running.process.pid)
            for one in [parent, *parent.children(recursive=True)]:
                with suppress(psutil.NoSuchProcess):
                    total += one.memory_info().rss
        return total


@contextmanager
def watched_service(folder: Path, **more: dict[str, Any]) -> Iterator[WatchedService]:
    """Start `python -m bot serve`; `more` are sections of its configuration."""
    token = _token(f"sqlite:///{folder / 'bot.sqlite3'}")
    fixed: dict[str, dict[str, Any]] = {
        "access": {"anonymous": False, "per_minute": 0, "per_day": 0},
        "log": {"level": "DEBUG"},
        "decode": {"workers": 2},
    }
    sections = {name: {**fixed.get(name, {}), **more.get(name, {})} for name in {*fixed, *more}}
    with serving(folder, **sections) as running:
        service = WatchedService(running, folder, token)
        with service.watched():
            yield service


def _token(url: str) -> str:
    database = Database.open(url, ROOT)
    try:
        database.migrate()
        with database.transaction() as tx:
            issued = api_tokens.add(tx, account="Tester", scopes=set(Scope), now=datetime.now(UTC))
    finally:
        database.close()
    return issued.secret

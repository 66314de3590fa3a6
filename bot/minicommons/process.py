"""The miniature Commons as a process of its own, so that its work is not counted as the bot's.

The child prints its address as one JSON line and ends when its standard input closes, so it never outlives
whoever started it, even where that one is killed.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import requests

from bot.minicommons.controls import Controls

_ROOT = Path(__file__).resolve().parents[2]


class MiniCommonsProcess(Controls):
    """Starts `python -m bot.minicommons` and speaks to it; a context manager.

    Args:
        directory: The corpus folder; what is missing in it is generated first.
        names: Specimens to serve; None takes all.
        port: 0 takes a free one.
        keep_events: How many events the stream can replay.
    """

    def __init__(
        self, directory: Path, names: Sequence[str] | None = None, port: int = 0, keep_events: int = 20_000
    ) -> None:
        self._command = [sys.executable, "-m", "bot.minicommons", "--until-stdin-closes", "--quiet"]
        self._command += ["--directory", str(directory.resolve())]
        self._command += ["--port", str(port), "--keep-events", str(keep_events)]
        if names is not None:
            self._command += ["--names", ",".join(names)]
        self._process: subprocess.Popen[str] | None = None
        self._base_url = ""
        self._session = requests.Session()
        # Proxies of the environment have no business on loopback.
        self._session.trust_env = False

    @property
    def base_url(self) -> str:
        """Scheme, host and port, without a path."""
        return self._base_url

    @property
    def pid(self) -> int:
        """The child's process id."""
        if self._process is None:
            raise RuntimeError("the miniature Commons is not running")
        return self._process.pid

    def _order(self, order: str, **arguments: Any) -> Any:
        answer = self._session.post(
            f"{self._base_url}/control", json={"order": order, "arguments": arguments}, timeout=120
        )
        value = answer.json()
        if answer.status_code != 200:
            raise ValueError(value["error"])
        return value["result"]

    def start(self) -> None:
        """Start the process and wait until it answers.

        Raises:
            RuntimeError: Where it ends without having told its address.
        """
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=_ROOT
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self.stop()
            raise RuntimeError("the miniature Commons did not start; its message stands above")
        self._base_url = json.loads(line)["base_url"]

    def stop(self) -> None:
        """End the process."""
        if self._process is None:
            return
        self._session.close()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._process = None

    def __enter__(self) -> "MiniCommonsProcess":
        """Start."""
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """Stop."""
        self.stop()

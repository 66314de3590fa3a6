"""Several serving processes behind one port: started, ended and replaced, and otherwise left alone.

They share the port and nothing else: each has its model, its decode workers, its queue and its numbers. One
that dies costs the requests it had.
"""

import logging
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from bot.errors import ConfigError
from bot.serving.server import address
from bot.settings import ROOT, Settings

log = logging.getLogger(__name__)

_LOOK_S = 0.2
_RESTART_PAUSE_S = 2.0
_YOUNG_S = 60.0
_LAST_RESORT_S = 10.0


class Workers:
    """The processes.

    Args:
        settings: All of them.
        config: The configuration file that the processes read, too.
        taken: The port.
    """

    def __init__(self, settings: Settings, config: Path | None, taken: socket.socket) -> None:
        self._settings = settings
        self._config = config
        self._taken = taken
        self._stop = threading.Event()
        self._processes: dict[int, tuple[subprocess.Popen[bytes], float]] = {}

    def stop(self) -> None:
        """Be told to end; may be called from a signal handler."""
        self._stop.set()

    def run(self) -> None:
        """Keep them running until told to end.

        Raises:
            ConfigError: One did not even start; the others were ended.
        """
        for number in range(self._settings.serve.workers):
            self._start(number)
        log.info("workers_started", extra={"url": address(self._taken), "workers": len(self._processes)})
        try:
            while not self._stop.wait(_LOOK_S):
                for number, (process, began_s) in list(self._processes.items()):
                    if process.poll() is not None:
                        self._replace(number, process.returncode, time.monotonic() - began_s)
        finally:
            self._end()

    def _start(self, number: int) -> None:
        command = [sys.executable, "-m", "bot", "serve", "--worker", f"{self._taken.fileno()}:{number}"]
        if self._config is not None:
            command += ["--config", str(self._config.absolute())]
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            cwd=ROOT,
            pass_fds=(self._taken.fileno(),),
            start_new_session=True,
        )
        self._processes[number] = (process, time.monotonic())

    def _replace(self, number: int, status: int, lived_s: float) -> None:
        told = {"worker": number, "exit_status": status, "lived_s": round(lived_s, 1)}
        log.error("worker_died", extra=told)
        if status > 0 and lived_s < _YOUNG_S:
            raise ConfigError(f"worker {number} ended with status {status} at its start; its log says why")
        if not self._stop.wait(_RESTART_PAUSE_S):
            self._start(number)

    def _end(self) -> None:
        wanted = self._settings.serve
        until_s = time.monotonic() + wanted.drain_notice_s + wanted.drain_s + _LAST_RESORT_S
        for process, _ in self._processes.values():
            process.send_signal(signal.SIGTERM)
        for number, (process, _) in self._processes.items():
            try:
                process.wait(max(until_s - time.monotonic(), 0))
            except subprocess.TimeoutExpired:
                log.error("worker_killed", extra={"worker": number})
                process.kill()
                process.wait()


__all__ = ["Workers"]

"""PHP's built-in web server in front of one site: started on a free port, and gone when its owner is.

One worker by default: with several, SQLite's lock makes concurrent writes wait for many seconds, which is
useful only to provoke races in a client.
"""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import requests

from tests.sandbox_wiki.errors import SandboxError
from tests.sandbox_wiki.site import PHP_SOURCES, Site

_START_TIMEOUT_S = 60
_STOP_TIMEOUT_S = 10
_POLL_S = 0.05
# The server shares its process group with a watcher that reads a pipe from us. When we end in any way, even
# by SIGKILL, the pipe closes and the watcher ends the group. stop() signals the group too, because PHP's
# workers would outlive their parent.
_WATCHED = 'exec 3<&0; { cat <&3 >/dev/null; kill 0; } & exec "$@" </dev/null 3<&-'


def free_port() -> int:
    """A TCP port on loopback that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class PhpServer:
    """`php -S` for one site.

    Args:
        site: What is served; its `port` is listened on.
        workers: Number of PHP processes.
    """

    def __init__(self, site: Site, workers: int = 1) -> None:
        self._site = site
        self._workers = workers
        self._process: subprocess.Popen[bytes] | None = None
        self.log_path = site.folder / "server.log"

    @property
    def url(self) -> str:
        """Scheme, host and port, without a slash at the end."""
        return f"http://127.0.0.1:{self._site.port}"

    def start(self) -> None:
        """Start, and wait until the API answers.

        Raises:
            SandboxError: The server ended or stayed silent; the message holds its log's end.
        """
        php = [*self._site.base.php, "-d", f"error_log={self._site.folder / 'php-error.log'}"]
        serve = ["-S", f"127.0.0.1:{self._site.port}", "-t", str(self._site.folder / "www")]
        command = ["sh", "-c", _WATCHED, "sandbox-wiki", *php, *serve, str(PHP_SOURCES / "router.php")]
        environment = {**self._site.environment}
        if self._workers > 1:
            environment["PHP_CLI_SERVER_WORKERS"] = str(self._workers)
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            self._wait_until_healthy(self._process)
        except BaseException:
            self.stop()
            raise

    def _wait_until_healthy(self, process: subprocess.Popen[bytes]) -> None:
        question = {"action": "query", "meta": "siteinfo", "format": "json"}
        deadline = time.monotonic() + _START_TIMEOUT_S
        problem = "no answer"
        while time.monotonic() < deadline and process.poll() is None:
            try:
                answer = requests.get(f"{self.url}/w/api.php", params=question, timeout=_START_TIMEOUT_S)
            except requests.ConnectionError as error:
                problem = str(error)
            else:
                if answer.ok and "query" in answer.json():
                    return
                problem = f"HTTP {answer.status_code}: {answer.text[:500]}"
            time.sleep(_POLL_S)
        raise SandboxError(f"the wiki did not start: {problem}\n{_end_of(self.log_path)}")

    def stop(self) -> None:
        """End the server, its workers and its watcher. May be called twice."""
        if self._process is None:
            return
        process, self._process = self._process, None
        for how in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(process.pid, how)
                process.wait(_STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                continue
            except ProcessLookupError:
                process.wait()
            break
        if process.stdin is not None:
            process.stdin.close()


def _end_of(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")[-1000:]


__all__ = ["PhpServer", "free_port"]

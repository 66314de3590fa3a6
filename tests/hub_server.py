"""The few answers of the Hugging Face hub that fetching single files takes, on loopback."""

import hashlib
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class HubServer:
    """One repository at one commit: `files` by name; what was asked is in `asked`."""

    def __init__(self, repository: str, commit: str, files: Mapping[str, bytes]) -> None:
        self.files = dict(files)
        self.asked: list[str] = []
        self._base, self._commit = f"/{repository}/resolve/{commit}/", commit
        self._repository = f"/{repository}/"
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self) -> None:
                self._answer(b"")

            def do_GET(self) -> None:
                self._answer(hub.files.get(self.path.removeprefix(hub._base), b""))

            def _answer(self, body: bytes) -> None:
                hub.asked.append(f"{self.command} {self.path}")
                content = hub.files.get(self.path.removeprefix(hub._base))
                if content is None or not self.path.startswith(hub._base):
                    self.send_response(404)
                    codes = (
                        "RepoNotFound"
                        if not self.path.startswith(hub._repository)
                        else "EntryNotFound"
                        if self.path.startswith(hub._base)
                        else "RevisionNotFound"
                    )
                    self.send_header("X-Error-Code", codes)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                self.send_response(200)
                self.send_header("X-Repo-Commit", hub._commit)
                self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        return Handler


@contextmanager
def hub_server(repository: str, commit: str, files: Mapping[str, bytes]) -> Iterator[HubServer]:
    server = HubServer(repository, commit, files)
    try:
        yield server
    finally:
        server.close()

"""A small HTTP server on loopback whose answers a test writes down beforehand.

Answers are looked up by path; a list is used up from the front, its last one stays. What was asked is kept.
"""

import json
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True)
class Answer:
    """One scripted answer.

    `length` overrides Content-Length (None leaves it out and closes at the end); `cut` closes the connection
    after that many body bytes; `hold` is waited for first, or
    after `held_after` body bytes; `raw` replaces everything.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    length: int | str | None = "right"
    cut: int | None = None
    hold: threading.Event | None = None
    held_after: int = 0
    raw: bytes | None = None


@dataclass(frozen=True)
class Asked:
    """One request as it arrived."""

    method: str
    target: str
    path: str
    fields: Mapping[str, str]
    headers: Mapping[str, str]
    peer: tuple[str, int] = ("", 0)


def as_json(value: object, status: int = 200, **headers: str) -> Answer:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Answer(status, json.dumps(value).encode(), {"Content-Type": "application/json", **named})


Script = list[Answer] | Callable[[Asked], Answer]


class ScriptedServer:
    """The running server: set `answers[path]`, read `asked`."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0, context: ssl.SSLContext | None = None) -> None:
        self.answers: dict[str, Script] = {}
        self.asked: list[Asked] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self.arrived = threading.Condition()
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer((host, port), self._handler())
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def netloc(self) -> str:
        return f"{self._server.server_address[0]}:{self.port}"

    @property
    def port(self) -> int:
        return self._server.server_address[1]

    def url(self, path: str) -> str:
        return f"http://{self.netloc}{path}"

    def wait_for_requests(self, count: int) -> None:
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.asked) >= count, timeout=30)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(30)

    def _take(self, asked: Asked) -> Answer:
        with self._lock:
            script = self.answers.get(asked.path, [Answer(404, b"nothing here")])
            if callable(script):
                return script(asked)
            return script.pop(0) if len(script) > 1 else script[0]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._serve(b"")

            def do_POST(self) -> None:
                self._serve(self.rfile.read(int(self.headers.get("Content-Length", "0"))))

            def _serve(self, form: bytes) -> None:
                parts = urlsplit(self.path)
                fields = dict(parse_qsl(parts.query) + parse_qsl(form.decode()))
                asked = Asked(
                    self.command,
                    self.path,
                    parts.path,
                    fields,
                    dict(self.headers.items()),
                    self.client_address,
                )
                with server.arrived:
                    server.asked.append(asked)
                    server.in_flight += 1
                    server.most_in_flight = max(server.most_in_flight, server.in_flight)
                    server.arrived.notify_all()
                answer = server._take(asked)
                if answer.hold is not None and answer.held_after == 0:
                    answer.hold.wait(60)
                # Done before the client has the whole answer, or its next request would count too.
                with server.arrived:
                    server.in_flight -= 1
                try:
                    self._answer(answer)
                except OSError:
                    self.close_connection = True

            def _answer(self, answer: Answer) -> None:
                if answer.raw is not None:
                    self.wfile.write(answer.raw)
                    self.close_connection = True
                    return
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                length = len(answer.body) if answer.length == "right" else answer.length
                if length is None:
                    self.send_header("Connection", "close")
                    self.close_connection = True
                else:
                    self.send_header("Content-Length", str(length))
                self.end_headers()
                body = answer.body if answer.cut is None else answer.body[: answer.cut]
                if answer.hold is not None and answer.held_after:
                    self.wfile.write(body[: answer.held_after])
                    self.wfile.flush()
                    answer.hold.wait(60)
                    body = body[answer.held_after :]
                self.wfile.write(body)
                if answer.cut is not None or length != len(answer.body):
                    self.close_connection = True

            def log_message(self, *args: object) -> None:
                pass

        return Handler


@contextmanager
def scripted_server(
    host: str = "127.0.0.1", port: int = 0, context: ssl.SSLContext | None = None
) -> Iterator[ScriptedServer]:
    server = ScriptedServer(host, port, context)
    try:
        yield server
    finally:
        server.close()

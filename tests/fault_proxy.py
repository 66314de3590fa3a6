"""A proxy between the bot and a wiki that fails as told: before, after, or in the middle of an answer.

Faults are queued per API action and used up one request at a time; without one a request passes unchanged.
What was asked is kept.
"""

import http.client
import socket
import struct
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}


@dataclass(frozen=True)
class Fault:
    """What happens to one request.

    `before` runs first; `forward` says whether the wiki gets the request; `answer` replaces the wiki's own;
    `cut` sends half an answer and resets the connection; `hold` is waited for before anything is answered.
    """

    before: Callable[[], object] | None = None
    forward: bool = True
    answer: tuple[int, Mapping[str, str], bytes] | None = None
    cut: bool = False
    hold: threading.Event | None = None


CUT_AFTER_SAVING = Fault(cut=True)
CUT_BEFORE_SAVING = Fault(forward=False, answer=(200, {"Content-Type": "application/json"}, b"{}"), cut=True)


def answering(status: int, body: bytes = b"<html>Our servers are down</html>", **headers: str) -> Fault:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Fault(forward=False, answer=(status, {"Content-Type": "text/html", **named}, body))


@dataclass(frozen=True)
class Asked:
    """One request as it arrived."""

    fields: Mapping[str, str]
    headers: Mapping[str, str] = field(repr=False)


class FaultProxy:
    """The running proxy: queue faults with `fail`, read `asked`."""

    def __init__(self, upstream_url: str) -> None:
        self._upstream = urlsplit(upstream_url).netloc
        self._faults: dict[str, list[Fault]] = defaultdict(list)
        self._lock = threading.Lock()
        self.asked: list[Asked] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/w/api.php"

    def fail(self, action: str, *faults: Fault) -> None:
        with self._lock:
            self._faults[action].extend(faults)

    def heal(self) -> None:
        with self._lock:
            self._faults.clear()
            self.asked.clear()

    def actions(self) -> list[str]:
        return [asked.fields.get("action", "") for asked in self.asked]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(30)

    def _next_fault(self, asked: Asked) -> Fault:
        with self._lock:
            self.asked.append(asked)
            queued = self._faults[asked.fields.get("action", "")]
            return queued.pop(0) if queued else Fault()

    def _ask_upstream(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, Mapping[str, str], bytes]:
        connection = http.client.HTTPConnection(self._upstream, timeout=60)
        try:
            kept = {name: text for name, text in headers.items() if name.lower() not in _HOP_BY_HOP}
            connection.request(method, target, body, kept)
            response = connection.getresponse()
            # Several Set-Cookie lines must stay several; http.server joins nothing either.
            self_headers = _Headers(response.getheaders())
            return response.status, self_headers, response.read()
        finally:
            connection.close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._serve(b"")

            def do_POST(self) -> None:
                self._serve(self.rfile.read(int(self.headers.get("Content-Length", "0"))))

            def _serve(self, body: bytes) -> None:
                fields = dict(parse_qsl(urlsplit(self.path).query) + parse_qsl(body.decode()))
                headers = dict(self.headers.items())
                fault = proxy._next_fault(Asked(fields, headers))
                if fault.before is not None:
                    fault.before()
                answer = fault.answer
                if fault.forward:
                    upstream = proxy._ask_upstream(self.command, self.path, headers, body)
                    answer = answer or upstream
                if fault.hold is not None:
                    fault.hold.wait(60)
                assert answer is not None
                with suppress(OSError):
                    self._answer(answer, cut=fault.cut)

            def _answer(self, answer: tuple[int, Mapping[str, str], bytes], *, cut: bool) -> None:
                status, headers, body = answer
                self.send_response_only(status)
                for name, text in headers.items():
                    if name.lower() not in _HOP_BY_HOP:
                        self.send_header(name, text)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[: len(body) // 2] if cut else body)
                if cut:
                    self.wfile.flush()
                    # A reset, not an orderly end.
                    linger = struct.pack("ii", 1, 0)
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    self.connection.close()
                    self.close_connection = True

            def log_message(self, *args: object) -> None:
                pass

        return Handler


class _Headers(dict[str, str]):
    """Header lines as they came, repeated names included."""

    def __init__(self, lines: list[tuple[str, str]]) -> None:
        super().__init__(lines)
        self._lines = lines

    def items(self) -> list[tuple[str, str]]:  # type: ignore[override]
        return self._lines


@contextmanager
def fault_proxy(upstream_url: str) -> Iterator[FaultProxy]:
    proxy = FaultProxy(upstream_url)
    try:
        yield proxy
    finally:
        proxy.close()

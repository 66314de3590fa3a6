"""The miniature Commons: one server on loopback that is EventStreams, the API and the media host at once.

`MiniCommons` runs in threads of this process, for tests. For a demo or a benchmark a process of its own is
fairer: `bot.minicommons.process`.
"""

import json
import logging
import socket
import sys
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from bot.minicommons import api
from bot.minicommons.controls import Controls
from bot.minicommons.director import Director
from bot.minicommons.imageinfo import Addresses
from bot.minicommons.media import send_body
from bot.minicommons.plan import Corpus
from bot.minicommons.stream import STREAM_PATH
from bot.minicommons.titles import ROOT_PATH

log = logging.getLogger(__name__)

API_PATH = "/w/api.php"
CONTROL_PATH = "/control"
_LOOPBACK = "127.0.0.1"
_MAX_BODY_BYTES = 2**20
_JSON = "application/json; charset=utf-8"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, port: int, director: Director) -> None:
        super().__init__((_LOOPBACK, port), _Handler)
        self.director = director
        self.addresses = Addresses(f"http://{_LOOPBACK}:{self.server_port}")
        self._sockets: set[socket.socket] = set()
        self._lock = threading.Lock()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._sockets.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._sockets.discard(request)
        super().shutdown_request(request)

    def cut_connections(self) -> None:
        with self._lock:
            for sock in self._sockets:
                try:
                    sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the base class's
        error = sys.exception()
        if not isinstance(error, OSError):
            log.error("minicommons_request_failed", exc_info=error)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it
        log.debug("minicommons_request", extra={"message_text": format % args})

    def do_GET(self) -> None:
        self._route(b"")

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        if length > _MAX_BODY_BYTES:
            self._send("other", 413, "text/plain", b"too large")
            self.close_connection = True
            return
        self._route(self.rfile.read(length))

    def _route(self, body: bytes) -> None:
        url = urlsplit(self.path)
        if url.path == STREAM_PATH:
            self.close_connection = True
            status = self.server.director.stream.serve(self.connection, self._header_map(), url.query)
            self._count("stream", status)
        elif url.path == API_PATH:
            self._answer_api(dict(parse_qsl(url.query, True) + parse_qsl(body.decode(), True)))
        elif url.path.startswith(ROOT_PATH + "/"):
            self._answer_media(url.path)
        elif url.path == CONTROL_PATH and self.command == "POST":
            self._answer_control(body)
        else:
            self._send("other", 404, "text/plain", b"not found")

    def _header_map(self) -> Mapping[str, str]:
        names = ("Last-Event-ID", "Accept-Encoding")
        return {name: self.headers[name] for name in names if name in self.headers}

    def _count(self, kind: str, status: int) -> None:
        self.server.director.statistics.count(kind, status, self.headers.get("User-Agent", ""))

    def _head(
        self, status: int, content_type: str, length: int, headers: tuple[tuple[str, str], ...] = ()
    ) -> bytes:
        lines = [
            f"HTTP/1.1 {status} {self.responses[status][0] if status in self.responses else 'Other'}",
            f"Content-Type: {content_type}",
            f"Content-Length: {length}",
            *(f"{name}: {value}" for name, value in headers),
        ]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def _send(
        self,
        kind: str,
        status: int,
        content_type: str,
        body: bytes,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        # Counted before it is sent: a client that has the answer finds it in the statistics.
        self._count(kind, status)
        self.connection.sendall(self._head(status, content_type, len(body), headers) + body)

    def _answer_api(self, parameters: dict[str, str]) -> None:
        parts = [parameters.get(name, "") for name in ("meta", "list", "prop")]
        kind = "api:" + "|".join(part for part in parts if part)
        director = self.server.director
        failure = director.take_api_failure(has_maxlag="maxlag" in parameters)
        if failure is not None:
            self._fail_api(kind, *failure)
            return
        headers: tuple[tuple[str, str], ...] = ()
        try:
            answer = api.answer(parameters, director.wiki, self.server.addresses, datetime.now(UTC))
        except api.ApiError as error:
            answer = error.answer
            headers = (("MediaWiki-API-Error", str(answer["error"]["code"])),)
        self._send(kind, 200, _JSON, json.dumps(answer, separators=(",", ":")).encode(), headers)

    def _fail_api(self, kind: str, failure: str, retry_after_s: int | None) -> None:
        headers: tuple[tuple[str, str], ...] = ()
        if retry_after_s is not None:
            headers = (("Retry-After", str(retry_after_s)),)
        if failure == "maxlag":
            info = "Waiting for 10.64.16.31: 6.2 seconds lagged."
            error = api.ApiError("maxlag", info, host="10.64.16.31", lag=6.2, type="db")
            headers += (("X-Database-Lag", "6"), ("MediaWiki-API-Error", "maxlag"))
            self._send(kind, 200, _JSON, json.dumps(error.answer).encode(), headers)
        else:
            page = (
                b"<!DOCTYPE html><html><title>Wikimedia Error</title><body>Our servers are busy</body></html>"
            )
            self._send(kind, 200 if failure == "html" else int(failure), "text/html", page, headers)

    def _answer_media(self, path: str) -> None:
        director = self.server.director
        with director.statistics.download():
            names = ("User-Agent", "Range", "If-Range")
            answer = director.media.answer(path, *(self.headers.get(name, "") for name in names))
            self._count(answer.kind, answer.status)
            director.statistics.count_media(path, len(answer.body))
            head = self._head(answer.status, answer.content_type, len(answer.body), answer.headers)
            if not (answer.slow_s or answer.cut):
                self.connection.sendall(head + answer.body)
                return
            self.connection.sendall(head)
            if not send_body(self.connection, answer, director.stopping.is_set):
                self.close_connection = True

    def _answer_control(self, body: bytes) -> None:
        try:
            order = json.loads(body)
            result = self.server.director.obey(order["order"], order["arguments"])
        except (ValueError, KeyError, TypeError) as error:
            self._send("control", 400, _JSON, json.dumps({"error": str(error)}).encode())
            return
        self._send("control", 200, _JSON, json.dumps({"result": result}).encode())


class MiniCommons(Controls):
    """The server in threads of this process; a context manager.

    Args:
        corpus: What can be uploaded, from `prepare_corpus`.
        port: 0 takes a free one.
        keep_events: How many events the stream can replay.
    """

    def __init__(self, corpus: Corpus, port: int = 0, keep_events: int = 20_000) -> None:
        self._director = Director(corpus, keep_events)
        self._server = _Server(port, self._director)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, name="minicommons", daemon=True
        )

    @property
    def base_url(self) -> str:
        """Scheme, host and port, without a path."""
        return self._server.addresses.media_url

    def _order(self, order: str, **arguments: Any) -> Any:
        return self._director.obey(order, arguments)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """End background publishing and every connection, and free the port."""
        self._director.stop()
        self._server.shutdown()
        self._server.cut_connections()
        self._server.server_close()
        self._thread.join(timeout=10)

    def __enter__(self) -> "MiniCommons":
        """Start."""
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """Stop."""
        self.stop()

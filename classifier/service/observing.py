"""Around every request: an id, a line in the access log, numbers; no body, token, file name or address.

An id that the caller sends as `X-Request-ID` is taken over if it is well-formed, so that a request can be
followed through several services.
"""

import logging
import re
import secrets
import time
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from classifier.service.metrics import ServiceMetrics

log = logging.getLogger(__name__)

REQUEST_ID: Final = b"x-request-id"
NOBODY_WAITS: Final = 499
_READ_ON_BYTES: Final = 512 * 1024**2
"""The server reads on where a body was refused before its end, so that the client gets to read why. Where
more than this is to come, or nobody knows how much, it hangs up: it would read without end what has none."""
_WELL_FORMED: Final = re.compile(rb"[A-Za-z0-9._-]{8,64}")
_QUIET: Final = frozenset({"/healthz", "/readyz", "/metrics", "/v2/health/live", "/v2/health/ready"})


class Observing:
    """A layer around the whole application.

    Args:
        app: What answers.
        metrics: What is counted.
    """

    def __init__(self, app: ASGIApp, metrics: ServiceMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, and tell of it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began_s = time.perf_counter()
        request_id = _request_id(scope)
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        status, sent, received = NOBODY_WAITS, 0, 0
        announced = _announced_bytes(scope)
        complete = announced == 0

        async def noting_receive() -> Message:
            nonlocal received, complete
            message = await receive()
            received += len(message.get("body", b""))
            complete = complete or not message.get("more_body", False)
            return message

        async def noting_send(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [*message.get("headers", ()), (REQUEST_ID, request_id.encode())]
                if not complete and (announced is None or announced - received > _READ_ON_BYTES):
                    headers.append((b"connection", b"close"))
                message["headers"] = headers
            else:
                sent += len(message.get("body", b""))
            await send(message)

        self._metrics.in_progress.inc()
        try:
            await self._app(scope, noting_receive, noting_send)
        except Exception:
            status = 500  # answered further out
            raise
        finally:
            self._metrics.in_progress.dec()
            duration_s = time.perf_counter() - began_s
            route = _template(scope)
            self._metrics.seen(_method(scope), route, status, duration_s)
            level = logging.DEBUG if route in _QUIET and status < 400 else logging.INFO
            if log.isEnabledFor(level):
                told: dict[str, Any] = {
                    "request_id": request_id,
                    "method": _method(scope),
                    "route": route,
                    "status": status,
                    "duration_ms": round(duration_s * 1000, 2),
                    "received_bytes": received,
                    "sent_bytes": sent,
                    "account": state.get("account"),
                    "code": state.get("code"),
                }
                log.log(level, "request", extra=told)


def _announced_bytes(scope: Scope) -> int | None:
    """The length of the body by the request's head; None where it comes in chunks."""
    for name, value in scope["headers"]:
        if name == b"transfer-encoding":
            return None
        if name == b"content-length":
            return int(value)
    return 0


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == REQUEST_ID and _WELL_FORMED.fullmatch(value):
            return str(value.decode("ascii"))
    return secrets.token_hex(8)


def _template(scope: Scope) -> str:
    """The template below its application's path; nothing that a caller can choose."""
    path = getattr(scope.get("route"), "path", None)
    mounted = str(scope.get("root_path", "")) if "app_root_path" in scope else ""
    return mounted + path if isinstance(path, str) else mounted or "unmatched"


def _method(scope: Scope) -> str:
    known = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
    return scope["method"] if scope["method"] in known else "other"


__all__ = ["NOBODY_WAITS", "Observing"]

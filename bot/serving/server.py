"""One serving process: uvicorn, which is told to end gently.

After SIGTERM the service first says at `/readyz` that it takes no more work, and goes on working while
balancers take note. Then the port is closed, and running requests have a while to end. A second signal ends
the waiting.
"""

import gc
import logging
import os
import socket
import time
from types import FrameType

import uvicorn
from fastapi import FastAPI
from prometheus_client import start_http_server

from bot.errors import ConfigError
from bot.serving.assembly import assembled
from bot.serving.protocol import BoundedProtocol
from bot.settings import Settings
from classifier.service.service import Service

log = logging.getLogger(__name__)

_KEEP_ALIVE_S = 30
_MAX_CONNECTIONS = 4096
_BACKLOG = 2048
_GARBAGE_THRESHOLD = 10_000


class DrainingServer(uvicorn.Server):
    """Ends when a while has passed since it was told to.

    Args:
        config: Uvicorn's.
        service: Told that it is draining.
        notice_s: How long it goes on taking requests, in seconds.
        follows_parent: Whether it also ends when the process that started it is gone.
    """

    def __init__(
        self, config: uvicorn.Config, service: Service, notice_s: float, *, follows_parent: bool = False
    ) -> None:
        super().__init__(config)
        self._parent = os.getppid() if follows_parent else None
        self._service = service
        self._notice_s = notice_s
        self._end_at_s: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's signature
        """Begin to drain; the second time, stop waiting.

        Args:
            sig: The signal; it is not raised again at the end, so that everything can be put away.
            frame: Not looked at.
        """
        if self._end_at_s is None:
            self._begin_to_end()
        elif self.should_exit:
            self.force_exit = True
        else:
            self.should_exit = True

    async def on_tick(self, counter: int) -> bool:
        """Look whether it is time, ten times a second."""
        if self._parent is not None and self._end_at_s is None and os.getppid() != self._parent:
            self._begin_to_end()
        if self._end_at_s is not None and time.monotonic() >= self._end_at_s:
            self.should_exit = True
        return await super().on_tick(counter)

    def _begin_to_end(self) -> None:
        self._end_at_s = time.monotonic() + self._notice_s
        self._service.draining = True
        log.info("service_draining", extra={"notice_s": self._notice_s})


def listen(settings: Settings) -> socket.socket:
    """Take the port.

    Args:
        settings: Section `[serve]`.

    Returns:
        A socket that listens to nobody yet; processes started with it share the port.

    Raises:
        ConfigError: It cannot be had.
    """
    host, port = settings.serve.host, settings.serve.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named as TCP, or asyncio leaves Nagle's algorithm on for what is accepted: an answer's body then follows
    # its head 40 ms later, once the client has acknowledged that.
    taken = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind((host, port))
    except OSError as error:
        taken.close()
        raise ConfigError(
            f"serve.port: cannot listen on {host}:{port}: {error.strerror or error}. Is another one running? "
            "Choose another port or host"
        ) from error
    return taken


def address(taken: socket.socket) -> str:
    """The address of a port as a client writes it."""
    host, port = taken.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(settings: Settings, taken: socket.socket, worker: int | None = None) -> None:
    """Serve until told to end, and put everything away.

    Args:
        settings: All of them.
        taken: The port.
        worker: Which of several processes this is, from 0; None: the only one.

    Raises:
        ConfigError: Something cannot be had; also `ModelError` and `StoreError`.
    """
    with assembled(settings) as app:
        service: Service = app.state.service
        wanted = settings.serve
        if wanted.metrics_port:
            start_http_server(wanted.metrics_port + (worker or 0), "127.0.0.1", service.metrics.registry)
        server = DrainingServer(
            _config(app, settings), service, wanted.drain_notice_s, follows_parent=worker is not None
        )
        told = {"url": address(taken), "worker": worker, "version": service.parts.model_version}
        log.info("service_started", extra=told)
        # What is loaded stays; looking through it again and again costs a part of every request.
        gc.collect()
        gc.freeze()
        gc.set_threshold(_GARBAGE_THRESHOLD)
        server.run(sockets=[taken])
    log.info("service_stopped", extra={"worker": worker})


def _config(app: FastAPI, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=BoundedProtocol,
        # Lines about requests are ours, with ids and without addresses.
        access_log=False,
        log_config=None,
        log_level="warning",
        server_header=False,
        proxy_headers=False,  # nothing depends on who the client is
        ws="none",
        lifespan="on",
        backlog=_BACKLOG,
        limit_concurrency=_MAX_CONNECTIONS,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=max(1, round(settings.serve.drain_s)),
    )


__all__ = ["DrainingServer", "address", "listen", "serve"]

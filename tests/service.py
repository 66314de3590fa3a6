"""The prediction API with a model that anyone can compute: the brightness of the brightest frame."""

import io
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from fastapi import FastAPI
from fastapi.testclient import TestClient
from numpy.typing import NDArray
from PIL import Image

from classifier.batching import Batcher
from classifier.decode.segments import Segment
from classifier.errors import ModelError
from classifier.service.app import create_app
from classifier.service.parts import ServiceLimits, ServiceParts
from classifier.streams import Decoder
from classifier.values import DecodeSummary, Frame, MediaPart, ModelCard, Pixels

SIDE_PX = 64
CARD = ModelCard(
    name="brightness",
    architecture="a mean",
    weights_sha256="b" * 64,
    preprocessing=f"imagenet-v1@{SIDE_PX}",
    input_px=SIDE_PX,
    thresholds={"cautious": 0.9, "balanced": 0.7, "sensitive": 0.5},
    licence="MIT",
    source="tests/service.py",
)


class Brightness:
    """Scores by the mean; counts what it was asked, and can be made to fail."""

    card = CARD
    engine = "mean-fp32"

    def __init__(self) -> None:
        self.pictures = 0
        self.error: str | None = None

    def predict(self, pixels: Pixels) -> NDArray[np.float32]:
        if self.error is not None:
            raise ModelError(self.error)
        self.pictures += len(pixels)
        return np.asarray(pixels.reshape(len(pixels), -1).mean(axis=1) / 255, np.float32)


class GateDecoder:
    """Decoder and stream in one thread's hands: gives a grey frame for each job once its gate is open."""

    def __init__(self, workers: int = 1) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.workers = workers
        self.idle_workers = 0
        self.begun = 0
        self.left = 0
        self.ended = 0

    def open(
        self, parts: Sequence[MediaPart], preprocessing: str, segment: Segment | None = None
    ) -> "GateStream":
        assert parts[0].path.exists()
        self.begun += 1
        return GateStream(self)

    def open_if_idle(
        self, parts: Sequence[MediaPart], preprocessing: str, segment: Segment | None = None
    ) -> None:
        return None


class GateStream:
    """One job of a `GateDecoder`."""

    segments = 1
    looks = None
    summary = DecodeSummary("image", "gate", 1, None, 0.001)

    def __init__(self, decoder: GateDecoder) -> None:
        self._decoder = decoder
        self._unwanted = threading.Event()

    def __enter__(self) -> "GateStream":
        return self

    def __exit__(self, *_: object) -> None:
        self._decoder.ended += 1

    def __iter__(self) -> Iterator[list[Frame]]:
        while not self._decoder.gate.wait(0.01):
            if self._unwanted.is_set():
                return
        yield [Frame(np.full((SIDE_PX, SIDE_PX, 3), 51, np.uint8))]

    def leave(self) -> None:
        self._decoder.left += 1
        self._unwanted.set()


def grey(value: int, side_px: int = 80) -> bytes:
    """A PNG of one grey; its score is value / 255."""
    written = io.BytesIO()
    Image.new("RGB", (side_px, side_px), (value, value, value)).save(written, "PNG")
    return written.getvalue()


@contextmanager
def service(
    decoder: Decoder,
    directory: Path,
    *,
    model: Brightness | None = None,
    limits: ServiceLimits | None = None,
    **more: Any,
) -> Iterator[FastAPI]:
    """The application around a decoder; `more` are further `ServiceParts`."""
    with Batcher(model or Brightness()) as batcher:
        values = {"level": "balanced", "model_version": "v1", "thresholds": CARD.thresholds} | more
        parts = ServiceParts(decoder=decoder, batcher=batcher, directory=directory, **values)
        yield create_app(parts, limits or ServiceLimits())


@contextmanager
def listening(app: FastAPI) -> Iterator[str]:
    """The application behind a real port; yields its address once it is ready."""
    config = uvicorn.Config(
        app, port=0, log_config=None, access_log=False, ws="none", timeout_graceful_shutdown=2
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="uvicorn")
    thread.start()
    try:
        wait_until(lambda: server.started and app.state.service.not_ready_because is None)
        host, port = server.servers[0].sockets[0].getsockname()[:2]
        yield f"http://{host}:{port}"
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def client(app: FastAPI) -> Iterator[TestClient]:
    """A client without a network in between, once the service is ready."""
    with TestClient(app) as made:
        wait_until(lambda: app.state.service.not_ready_because is None)
        yield made


def wait_until(condition: Any, patience_s: float = 30.0) -> None:
    """Wait for something that happens in another thread."""
    until_s = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < until_s, "it did not happen"
        time.sleep(0.01)

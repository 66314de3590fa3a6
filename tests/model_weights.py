"""The real default model for tests; its weights are fetched once per machine into the user's cache."""

import hashlib
from functools import lru_cache

from classifier.models import catalogue, weights
from classifier.predict import TorchClassifier

SOURCE = catalogue.weights_source("open_nsfw")


@lru_cache(maxsize=1)
def open_nsfw() -> TorchClassifier:
    """The model, loaded once per test session; fetches the weights where they are missing."""
    catalogue.fetch("open_nsfw")
    return catalogue.load("open_nsfw")


@lru_cache(maxsize=1)
def published_graph() -> bytes:
    """The original ONNX file, kept beside the weights so that tests can be repeated without a network."""
    path = weights.default_cache_directory() / "tests" / "open-nsfw.onnx"
    if path.exists():
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() == SOURCE.onnx_sha256:
            return content
    content = weights.published_graph(SOURCE)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return content

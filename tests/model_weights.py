"""The real default model for tests; its weights are fetched once per machine into the user's cache."""

import hashlib
from functools import lru_cache

from classifier import preprocess
from classifier.engines.torch_engine import TorchEngine
from classifier.models import catalogue, weights
from classifier.training.adversarial import Robustness, gradient_picture, make_positive
from classifier.values import Pixels

SOURCE = catalogue.weights_source("open_nsfw")


@lru_cache(maxsize=1)
def open_nsfw() -> TorchEngine:
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


@lru_cache(maxsize=16)
def positive(width: int = 320, height: int = 240, seed: int = 0, robust: Robustness = "picture") -> Pixels:
    """A harmless picture that the model scores above 0.99: uint8 (height, width, 3), RGB."""
    return make_positive(open_nsfw().network, gradient_picture(width, height, seed), robust=robust, seed=seed)


def score(rgb: Pixels) -> float:
    """Score an RGB picture through the real preprocessing."""
    prepared = preprocess.get("open_nsfw-v1").prepare_array(rgb, "rgb")
    return float(open_nsfw().predict(prepared[None])[0])

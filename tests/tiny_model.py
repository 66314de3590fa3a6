"""A model that is exported in a moment: 32 px, two convolutions, scores all over 0..1."""

import hashlib
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import nn

from classifier.engines import graph
from classifier.engines.values import ExportedGraph, VerificationSet
from classifier.values import ModelCard, Pixels

SIDE_PX = 32
CARD = ModelCard(
    name="tiny",
    architecture="two convolutions",
    weights_sha256="1" * 64,
    preprocessing="tiny-v1",
    input_px=SIDE_PX,
    thresholds={"cautious": 0.9, "balanced": 0.7, "sensitive": 0.5},
    licence="MIT",
    source="tests/tiny_model.py",
)


class _Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.relu = nn.ReLU()
        self.deeper = nn.Conv2d(8, 16, 3, padding=1)
        self.head = nn.Linear(16, 2)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.norm(self.stem(pixels / 128 - 1)))
        return self.head(self.relu(self.deeper(x)).mean((2, 3))) * 8


@lru_cache(maxsize=4)
def network(seed: int = 0) -> nn.Module:
    """A network with weights of its own for each seed, in eval mode."""
    torch.manual_seed(seed)
    return _Tiny().eval()


@lru_cache(maxsize=4)
def content(seed: int = 0) -> bytes:
    """Its ONNX file."""
    return graph.export(network(seed), SIDE_PX)


def pictures(count: int, seed: int = 0) -> Pixels:
    """uint8 (count, 32, 32, 3): noise of different brightness and contrast."""
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 256, (count, SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
    return noise // rng.integers(1, 12, (count, 1, 1, 3), dtype=np.uint8)


def reference(pixels: Pixels, seed: int = 0) -> np.ndarray:
    """The scores that torch gives: float32 (n,)."""
    with torch.inference_mode():
        batch = torch.from_numpy(pixels).permute(0, 3, 1, 2).to(torch.float32)
        return torch.softmax(network(seed)(batch), dim=1)[:, 1].numpy()


def verification(count: int = 6) -> VerificationSet:
    """A verification set of the network with seed 0."""
    pixels = pictures(count, seed=count)
    return VerificationSet(pixels, reference(pixels))


def exported(folder: Path, seed: int = 0) -> ExportedGraph:
    """The ONNX file in a folder."""
    return file_graph(folder / "graph.onnx", content(seed))


def file_graph(path: Path, what: bytes) -> ExportedGraph:
    """Any bytes as a graph whose hash is right."""
    path.write_bytes(what)
    return ExportedGraph(CARD, path, "onnx", "fp32", hashlib.sha256(what).hexdigest())

"""The values that exporting, verifying and choosing engines pass to each other; imports no model library."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray

from classifier.errors import ModelError
from classifier.values import Level, ModelCard, Pixels

Library = Literal["torch", "onnxruntime", "openvino"]
Precision = Literal["fp32", "int8"]
GraphFormat = Literal["safetensors", "onnx", "torchscript"]
OnStep = Callable[[str, int, int], None]
"""Told what is being done, how much of it is, and how much there is in all."""

GRAPH_INPUT, GRAPH_OUTPUT = "pixels", "score"
"""What the two ends of an exported graph are called."""


@dataclass(frozen=True, slots=True, order=True)
class EngineId:
    """A library and a precision, written `onnxruntime-int8`.

    Attributes:
        library: What runs the model.
        precision: Of weights and activations.
    """

    library: Library
    precision: Precision

    def __str__(self) -> str:
        return f"{self.library}-{self.precision}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an engine's name.

        Args:
            text: Such as `onnxruntime-int8`.

        Returns:
            The engine.

        Raises:
            ModelError: Where there is none of that name; the message lists them.
        """
        for engine in ENGINES:
            if str(engine) == text:
                return cls(engine.library, engine.precision)
        known = ", ".join(str(engine) for engine in ENGINES)
        raise ModelError(f"unknown engine {text!r}; known: auto, {known}")


ENGINES: tuple[EngineId, ...] = tuple(
    EngineId(library, precision) for library in get_args(Library) for precision in get_args(Precision)
)
"""Every engine there is, installed or not."""
REFERENCE = EngineId("torch", "fp32")
"""The engine that all others are compared with."""


@dataclass(frozen=True, slots=True)
class DriftReport:
    """How far an engine's scores lie from the reference's, on one set of pictures.

    Attributes:
        pictures: How many were compared.
        positives: How many of them the reference scores at 0.5 or more.
        mean: Mean absolute difference.
        p99: Its 99th percentile.
        max: The largest difference.
        decisions_changed: Share of pictures, 0..1, that fall on the other side of the threshold, per level.
    """

    pictures: int
    positives: int
    mean: float
    p99: float
    max: float
    decisions_changed: Mapping[Level, float]


@dataclass(frozen=True, slots=True)
class VerificationSet:
    """Pictures with the reference's scores: what every engine is compared with, also where there is no torch.

    Attributes:
        pixels: uint8 array (n, input_px, input_px, 3) as the model's preprocessing leaves it.
        reference: float32 array (n,), the scores of `torch-fp32`.
    """

    pixels: Pixels
    reference: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ExportedGraph:
    """A model on disk in the form that an engine reads, with everything needed to run and to verify it.

    Attributes:
        card: The model's card.
        path: The file; for `safetensors` the weights themselves.
        format: Of that file.
        precision: Of its weights.
        sha256: Of that file.
        made_with: Library versions that took part in making it.
        fp32_layers: Layers that were left in fp32 because the scores suffered; empty for fp32.
        drift: Measured where it was made, on the large evaluation set; None for `safetensors`.
        verification: An npz file with a `VerificationSet`, small enough to travel along.
        verification_drift: Measured where it was made, on that small set, whose scores lie all over 0..1 and
            so drift more than those of ordinary pictures; another machine is held to it.
    """

    card: ModelCard
    path: Path
    format: GraphFormat
    precision: Precision
    sha256: str
    made_with: Mapping[str, str] = field(default_factory=dict)
    fp32_layers: tuple[str, ...] = ()
    drift: DriftReport | None = None
    verification: Path | None = None
    verification_drift: DriftReport | None = None


@dataclass(frozen=True, slots=True)
class Trial:
    """What an engine did on this very machine, in a process of its own.

    Attributes:
        engine: Which engine.
        graph_sha256: What it ran.
        drift: Against the reference, on the verification set.
        picture_s: CPU seconds a picture, median, at the better of batch 1 and batch 16, on one thread.
        load_s: Seconds from the start of loading the library to the first score.
        resident_bytes: Resident memory of the process after scoring.
        refused: Why it may not be used; empty where it may.
    """

    engine: EngineId
    graph_sha256: str
    drift: DriftReport
    picture_s: float
    load_s: float
    resident_bytes: int
    refused: str = ""

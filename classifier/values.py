"""The values that travel between decoding and scoring; nothing here imports torch.

Decode workers import this module, so it must stay cheap to import.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

MediaKind = Literal["image", "animation", "video", "document"]
CoverageMode = Literal["", "exact", "economical"]
Level = Literal["cautious", "balanced", "sensitive"]
Pixels = NDArray[np.uint8]


class BlockSource(Protocol):
    """Brings the bytes of a file that are not on the disk yet; what it has not brought reads as zeros."""

    @property
    def size_bytes(self) -> int:
        """Size of the whole file."""
        ...

    def ensure(self, offset: int, length: int) -> int:
        """Wait until a stretch of the file is on the disk; must end by itself within a bounded time.

        Args:
            offset: Where it begins, in bytes.
            length: How long it is, at least 1; it ends within the file.

        Returns:
            Up to which byte (exclusive) everything from `offset` on is there: at least `offset + length`.

        Raises:
            Exception: The source's own, where it cannot be had; it ends the job and reaches whoever reads
                the frames.
        """
        ...


@dataclass(frozen=True, slots=True)
class MediaPart:
    """One local file to decode; several make one job (the pages of a document).

    Attributes:
        path: The file. Its name is not trusted: the kind is found from the bytes.
        page: 1-based page number if the file is a rendered page of a document, else None.
        source: What brings the bytes that are still missing; None where the file is whole.
    """

    path: Path
    page: int | None = None
    source: BlockSource | None = None


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture, ready for a model.

    Attributes:
        pixels: uint8 array (height, width, 3), as the named preprocessing leaves it
            (for `open_nsfw-v1`: 224x224, BGR).
        at_s: Position in seconds in a video or animation, else None.
        page: 1-based page of a document, else None.
    """

    pixels: Pixels
    at_s: float | None = None
    page: int | None = None


@dataclass(frozen=True, slots=True)
class DecodeSummary:
    """What a finished decode job can say about itself.

    Attributes:
        kind: What the bytes were.
        decoder: `pillow`, `opencv` or `pyav`.
        frames: How many frames were handed out; after an early stop, how many count.
        duration_s: Length of a video or animation as far as known; after an early stop, as it was known with
            the first frames.
        decode_s: CPU seconds the workers spent.
        truncated: True where decoding ended before the end of the file (damage, a cap), and after an early
            stop, except for a still picture: however far the decoder had got by then, nothing behind counts.
        mode: Of videos and animations, how the moments were chosen: `exact` or `economical`; else empty.
        largest_gap_s: The longest time in seconds between two looks, from the start to the last frame; None
            where nothing moves, decoding did not end, or it was stopped early. A frame held for long counts
            as one look, unless the file states its duration.
        covered_share: Share of the length that lies in no gap longer than intended, 0 to 1; None as above.
    """

    kind: MediaKind
    decoder: str
    frames: int
    duration_s: float | None
    decode_s: float
    truncated: bool = False
    mode: CoverageMode = ""
    largest_gap_s: float | None = None
    covered_share: float | None = None


@dataclass(frozen=True, slots=True)
class ModelCard:
    """Who makes a score: stored with every classification.

    Attributes:
        name: Catalogue name.
        architecture: The network.
        weights_sha256: SHA-256 of the safetensors file.
        preprocessing: Id in `classifier.preprocess`.
        input_px: Side of the square input in pixels.
        thresholds: Score from which a file is flagged, per level.
        licence: SPDX identifier of the weights.
        source: Where the weights come from.
        failure_modes: Known weaknesses, one sentence each.
    """

    name: str
    architecture: str
    weights_sha256: str
    preprocessing: str
    input_px: int
    thresholds: Mapping[Level, float]
    licence: str
    source: str
    failure_modes: tuple[str, ...] = ()


class Classifier(Protocol):
    """A loaded model: pictures in, scores out."""

    @property
    def card(self) -> ModelCard:
        """The model's card."""
        ...

    @property
    def engine(self) -> str:
        """What runs it, such as `torch-fp32`."""
        ...

    def predict(self, pixels: Pixels) -> NDArray[np.float32]:
        """Score a batch.

        Args:
            pixels: uint8 array (n, height, width, 3) as the card's preprocessing leaves it, n >= 1.

        Returns:
            float32 array (n,), scores in 0..1.
        """
        ...


@dataclass(frozen=True, slots=True)
class FrameResult:
    """The score of one frame.

    Attributes:
        score: 0..1.
        at_s: Position in seconds, else None.
        page: 1-based page, else None.
    """

    score: float
    at_s: float | None = None
    page: int | None = None


@dataclass(frozen=True, slots=True)
class MediaScore:
    """The score of one file.

    Attributes:
        score: The maximum over the frames.
        label: `nsfw` from the threshold up, else `sfw`.
        threshold: What was compared with.
        frames: Every frame that was scored and counts, by position, in whatever order they were decoded.
        worst: The frame that gave the score; the first one on a tie.
        summary: How it was decoded.
        timings_s: `decode` (worker's CPU) and `classify` (waiting for the model) in seconds.
    """

    score: float
    label: str
    threshold: float
    frames: tuple[FrameResult, ...]
    worst: FrameResult
    summary: DecodeSummary
    timings_s: Mapping[str, float] = field(default_factory=dict)

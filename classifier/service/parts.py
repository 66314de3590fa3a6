"""What the service is handed: everything it works with, and how much of it one request may use."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from starlette.types import ASGIApp

from classifier.batching import Batcher
from classifier.service.access import Access, OpenAccess
from classifier.service.sources import Sources
from classifier.streams import Decoder
from classifier.values import Level

MIB = 1024**2


@dataclass(frozen=True, slots=True)
class ServiceLimits:
    """How much one request, and all of them together, may use.

    Attributes:
        file_bytes: Size of one file at most.
        batch_items: Files, titles or addresses in one batch at most.
        batch_bytes: Body of a batch at most.
        instances: Pictures in one request of the KServe and Open Inference shapes at most.
        instance_bytes: Size of each of them, decoded, at most.
        running: Files that are fetched, decoded or scored at once.
        waiting: Files that wait for that at most; beyond it, requests are shed.
        spool_bytes: What all bodies together may have on the disk.
        memory_bytes: What the process and its decode workers may have resident; beyond it, requests are shed.
        lanes: Files of one batch that may be worked on, or wait for that, at once.
        uploads: Requests whose bodies are being received at once; beyond it, requests are shed.
        retry_after_s: What shed requests are told.
        request_s: A request's time at most, from its head to its answer; callers may ask for less.
        body_idle_s: Longest silence of a client that is sending a body.
        body_s: Longest time of a whole body.
        cache_entries: Results that are remembered; 0 remembers none.
        drain_s: How long running requests may go on after the service was told to end.
    """

    file_bytes: int = 100 * MIB
    batch_items: int = 50
    batch_bytes: int = 300 * MIB
    instances: int = 50
    instance_bytes: int = 4 * MIB
    running: int = 16
    waiting: int = 256
    spool_bytes: int = 4096 * MIB
    memory_bytes: int = 4096 * MIB
    lanes: int = 8
    uploads: int = 128
    retry_after_s: float = 1.0
    request_s: float = 60.0
    body_idle_s: float = 10.0
    body_s: float = 60.0
    cache_entries: int = 10_000
    drain_s: float = 10.0


@dataclass(frozen=True, slots=True)
class ServiceParts:
    """What the service works with; whoever made these closes them.

    Attributes:
        decoder: Turns files into frames.
        batcher: Scores the frames of all requests together.
        thresholds: Score from which the label is `nsfw`, by level.
        level: The level where a request names none.
        model_version: What changes whenever scores do, such as a hash over weights, engine and decoding; it
            names the version in answers, and keys the cache.
        directory: Where bodies are kept while they are worked on; on a disk, and nobody else's.
        stop_early: Whether a film is left at its first frame over the threshold, unless all frames are
            asked for.
        access: Whom it lets in.
        sources: Fetches what is only named; None: that is not offered.
        mounts: Other applications by path, such as `/console`.
    """

    decoder: Decoder
    batcher: Batcher
    thresholds: Mapping[Level, float]
    level: Level
    model_version: str
    directory: Path
    stop_early: bool = True
    access: Access = field(default_factory=OpenAccess)
    sources: Sources | None = None
    mounts: Mapping[str, ASGIApp] = field(default_factory=dict)


__all__ = ["MIB", "ServiceLimits", "ServiceParts"]

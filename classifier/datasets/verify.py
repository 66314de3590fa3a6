"""Look into every file of a dataset: whether it decodes, its SHA-256 and its PDQ hash.

Files of a dataset come from strangers as uploads do, so they are decoded in the workers of `decode.sandbox`
and nowhere else. A bad file becomes a finding that names it; the others go on.
"""

import hashlib
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from classifier.datasets.values import Dataset, Finding, Item, missing_extra
from classifier.decode.limits import DecodeLimits
from classifier.decode.sandbox import DecodePool
from classifier.errors import DecodeError
from classifier.values import Frame, MediaPart, Pixels

_log = logging.getLogger(__name__)

PREPROCESSING = "whole-256-v1"
MAX_FILE_BYTES = 256 * 1024 * 1024
MIN_QUALITY = 50
"""Of 100; PDQ's authors advise not to compare hashes below it: too flat a picture hashes to noise."""
_READ_BYTES = 1 << 20
_FRAMES = 3

Progress = Callable[[int, int], None]
"""Called with how many files are done, and of how many."""


@dataclass(frozen=True, slots=True)
class Verification:
    """What verifying a dataset gave.

    Attributes:
        dataset: The items that are sound, with their hashes, in their order.
        findings: What is wrong with the others, and what to know about these.
    """

    dataset: Dataset
    findings: tuple[Finding, ...]


class _Bad(Exception):
    """A file that is left out."""

    def __init__(self, code: str, message: str, column: str = "path") -> None:
        super().__init__(message)
        self.code, self.message, self.column = code, message, column


def verify(
    dataset: Dataset,
    *,
    workers: int = 2,
    limits: DecodeLimits | None = None,
    max_file_bytes: int = MAX_FILE_BYTES,
    progress: Progress | None = None,
) -> Verification:
    """Verify every file; those whose recorded hash still holds are read, but not decoded again.

    Args:
        dataset: What to verify.
        workers: How many processes decode.
        limits: What one file may cost.
        max_file_bytes: Larger files are refused unread.
        progress: Told after every file.

    Returns:
        The sound items, and findings about the others.

    Raises:
        DatasetError: Where the library for perceptual hashes is not installed.
        ClassifierError: Where decode workers do not start.
    """
    _pdq()  # before any file is read, not after the first
    good: list[Item] = []
    findings: list[Finding] = []
    with DecodePool(looking_at(limits), workers) as pool, _threads(workers + 1) as threads:

        def inspect(item: Item) -> tuple[Item | None, Finding | None]:
            return _inspect(dataset, item, pool, max_file_bytes)

        for done, (item, finding) in enumerate(threads.map(inspect, dataset.items), 1):
            good += [item] if item else []
            findings += [finding] if finding else []
            if progress:
                progress(done, len(dataset))
    _log.info("dataset_verified", extra={"dataset": dataset.name, "good": len(good), "files": len(dataset)})
    return Verification(dataset.with_items(good), tuple(findings))


def looking_at(limits: DecodeLimits | None = None) -> DecodeLimits:
    """The limits for `pictures_of`: of a film, its first frame, that in its middle and its last one.

    Args:
        limits: What one file may cost; None for the usual.
    """
    return replace(limits or DecodeLimits(), max_frames=_FRAMES)


def pictures_of(path: Path, pool: DecodePool) -> list[Pixels]:
    """Decode a file, of a film as much as tells it from others.

    Args:
        path: The file.
        pool: Who decodes it, with the limits of `looking_at`.

    Returns:
        uint8 arrays (256, 256, 3), RGB, at least one. Of a film the frame in its middle comes first: films of
        one maker begin alike, and many with nothing but black.

    Raises:
        DecodeError: Where it can't be decoded, or only a part of a still picture can.
    """
    frames: list[Frame] = []
    with pool.open([MediaPart(path)], PREPROCESSING) as stream:
        for some in stream:
            frames += some
    if not frames:
        raise DecodeError("undecodable", "there is no picture in it")
    # A model can make something of half a picture, but a label was given to the whole one.
    if stream.summary.kind == "image" and stream.summary.truncated:
        raise DecodeError("undecodable", "only a part of the picture is there")
    if frames[0].at_s is not None:
        frames.sort(key=lambda frame: frame.at_s or 0.0)
        frames.insert(0, frames.pop(len(frames) // 2))
    return [frame.pixels[:, :, ::-1] for frame in frames]


def perceptual_hash(pixels: Pixels) -> str:
    """PDQ hash of a picture.

    Args:
        pixels: uint8 array (height, width, 3), RGB.

    Returns:
        64 hex digits; empty where the picture is too flat to be told from others by it.
    """
    import numpy as np

    bits, quality = _pdq().compute(np.ascontiguousarray(pixels))
    return np.packbits(bits.astype(np.uint8)).tobytes().hex() if quality >= MIN_QUALITY else ""


def _pdq() -> Any:
    try:
        import pdqhash
    except ImportError as error:
        raise missing_extra(error.name) from error
    return pdqhash


def _inspect(
    dataset: Dataset, item: Item, pool: DecodePool, max_file_bytes: int
) -> tuple[Item | None, Finding | None]:
    try:
        path = _local(dataset, item)
        sha256 = _sha256(path, max_file_bytes, item.sha256)
        if item.sha256 and item.perceptual_hash:
            return item, None
        hashed = next(filter(None, map(perceptual_hash, pictures_of(path, pool))), "")
    except _Bad as bad:
        return None, Finding("error", bad.code, bad.message, item.path, bad.column)
    except DecodeError as error:
        return None, Finding("error", error.code, error.message, item.path, "path")
    except OSError as error:
        return None, Finding("error", "missing_file", error.strerror or str(error), item.path, "path")
    verified = replace(item, sha256=sha256, perceptual_hash=hashed)
    if hashed:
        return verified, None
    message = "has too little detail for a perceptual hash; only exact copies of it will be found"
    return verified, Finding("info", "flat", message, item.path, "perceptual_hash")


def _local(dataset: Dataset, item: Item) -> Path:
    if item.is_remote:
        raise _Bad("remote", "is a URL; collect the dataset to have it on the disk")
    return dataset.path_of(item)


def _sha256(path: Path, max_bytes: int, expected: str) -> str:
    if not path.is_file():
        raise _Bad("missing_file", "is not a file" if path.exists() else "there is no such file")
    size_bytes = path.stat().st_size
    if size_bytes == 0:
        raise _Bad("empty", "the file is empty")
    if size_bytes > max_bytes:
        raise _Bad("too_large", f"has {size_bytes} bytes, more than {max_bytes}")
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_READ_BYTES):
            digest.update(block)
    if expected and expected != digest.hexdigest():
        raise _Bad("changed", "is not the file it was: its SHA-256 is another one", "sha256")
    return digest.hexdigest()


@contextmanager
def _threads(count: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that drop what they have not begun when the block ends early."""
    executor = ThreadPoolExecutor(count, thread_name_prefix="verify")
    try:
        yield executor
    finally:
        executor.shutdown(cancel_futures=True)


__all__ = [
    "MAX_FILE_BYTES",
    "PREPROCESSING",
    "Progress",
    "Verification",
    "looking_at",
    "perceptual_hash",
    "pictures_of",
    "verify",
]

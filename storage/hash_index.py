"""Perceptual hashes in memory, searched exactly: which of them are near to one?

A scan of all of them: 256 bits are four numbers, and a million of them are 32 MB that a core reads in some
milliseconds. Half of the bits decide about nearly all hashes; the other half is compared for the rest.

faiss' binary indexes were measured beside it (`benchmarks.near_duplicates`, docs/feedback.md): at a million
hashes none of them saves more than a few milliseconds a query, and a hundred are asked a day.
"""

import threading
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

HASH_BYTES = 32
_WORDS = 4
_SMALLEST = 1024
_AT_ONCE = 1 << 14
"""Hashes compared at once: as many as the processor's cache holds."""


@dataclass(frozen=True, slots=True)
class Near:
    """A hash that was found.

    Attributes:
        id: What it was added under.
        distance_bits: In how many of 256 bits it differs.
    """

    id: int
    distance_bits: int


class HashIndex:
    """Hashes by id; safe to share between threads. It only grows: what may go, goes with a new index."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0
        self._ids = np.empty(_SMALLEST, np.int64)
        self._words = np.empty((_WORDS, _SMALLEST), np.uint64)

    def __len__(self) -> int:
        return self._count

    def add(self, ids: Iterable[int], hashes: NDArray[np.uint8]) -> None:
        """Add hashes.

        Args:
            ids: One for each; the caller sees to it that none is added twice.
            hashes: uint8 array (n, 32).
        """
        numbers = np.fromiter(ids, np.int64)
        words = np.ascontiguousarray(hashes).view(np.uint64).reshape(-1, _WORDS)
        if len(numbers) != len(words):
            raise ValueError(f"{len(numbers)} ids for {len(words)} hashes")
        with self._lock:
            end = self._count + len(numbers)
            if end > len(self._ids):
                self._grow(max(end, 2 * len(self._ids)))
            self._ids[self._count : end] = numbers
            self._words[:, self._count : end] = words.T
            self._count = end

    def within(self, pdq: bytes, distance_bits: int) -> list[Near]:
        """Find what is near.

        Args:
            pdq: 32 bytes.
            distance_bits: The largest distance that counts.

        Returns:
            The nearest first; of equally near ones, the lowest id first.
        """
        if len(pdq) != HASH_BYTES:
            raise ValueError(f"a hash of {len(pdq)} bytes")
        query = np.frombuffer(pdq, np.uint64)
        with self._lock:  # what is added later lies behind the count, and growing leaves these arrays alone
            count, ids, words = self._count, self._ids, self._words
        found = []
        for begin in range(0, count, _AT_ONCE):
            part = words[:, begin : min(begin + _AT_ONCE, count)]
            half = np.bitwise_count(part[0] ^ query[0]) + np.bitwise_count(part[1] ^ query[1])
            places = np.flatnonzero(half <= distance_bits)
            for place in places.tolist():
                rest = sum(int(np.bitwise_count(part[word, place] ^ query[word])) for word in (2, 3))
                total = int(half[place]) + rest
                if total <= distance_bits:
                    found.append(Near(int(ids[begin + place]), total))
        return sorted(found, key=lambda near: (near.distance_bits, near.id))

    def _grow(self, size: int) -> None:
        ids, words = np.empty(size, np.int64), np.empty((_WORDS, size), np.uint64)
        ids[: self._count] = self._ids[: self._count]
        words[:, : self._count] = self._words[:, : self._count]
        self._ids, self._words = ids, words


__all__ = ["HASH_BYTES", "HashIndex", "Near"]

"""Which pictures show the same: groups of near duplicates by the distance of their PDQ hashes.

Every pair is compared, because a duplicate that is missed becomes a leak; half of the bits decide about
nearly all pairs, so that 20,000 pictures take seconds. A mirrored copy counts too: training mirrors pictures
itself.

PDQ and its threshold of 31 of 256 bits: https://github.com/facebook/ThreatExchange, `hashing/hashing.pdf`.
"""

from collections.abc import Hashable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from classifier.datasets.values import Item

MAX_DISTANCE_BITS = 31
HASH_DIGITS = 64
_WORDS = 4
# Mirroring a picture changes the sign of every other column of its cosine transform, and a bit of the hash
# says whether such a value is above the median, which is about zero.
_MIRROR = np.uint64(0x5555555555555555)
# Pairs compared at once: as many as the processor's cache holds.
_TILE_PAIRS = 1 << 16

Labels = NDArray[np.int64]


def duplicate_groups(
    items: Sequence[Item], max_distance_bits: int = MAX_DISTANCE_BITS, mirrored: bool = True
) -> Labels:
    """Group what has the same bytes or nearly the same content.

    Args:
        items: Pictures, verified.
        max_distance_bits: Hashes up to this far apart belong together.
        mirrored: Whether a mirrored copy belongs to it too.

    Returns:
        int64 (n,): for each item the index of the first item of its group.
    """
    near = near_groups([item.perceptual_hash for item in items], max_distance_bits, mirrored)
    exact = first_of_equals(item.sha256 or None for item in items)
    return connected(near, exact)


def near_groups(
    hashes: Sequence[str], max_distance_bits: int = MAX_DISTANCE_BITS, mirrored: bool = True
) -> Labels:
    """Group hashes; a group is whatever is connected by pairs that are near.

    Args:
        hashes: 64 hex digits each; an empty one stays alone.
        max_distance_bits: Hashes up to this far apart belong together.
        mirrored: Whether the hash of the mirrored picture counts too.

    Returns:
        int64 (n,): for each hash the index of the first of its group.
    """
    labels = np.arange(len(hashes), dtype=np.int64)
    present = np.array([index for index, value in enumerate(hashes) if value], dtype=np.int64)
    if len(present) == 0:
        return labels
    packed = np.frombuffer(bytes.fromhex("".join(hashes[index] for index in present)), dtype=">u8")
    # Equal hashes are one from here on: a thousand copies are not half a million pairs.
    distinct, place = np.unique(packed.reshape(-1, _WORDS).astype(np.uint64), axis=0, return_inverse=True)
    groups = _connect(np.ascontiguousarray(distinct.T), max_distance_bits, mirrored)
    labels[present] = groups[place.reshape(-1)]
    merged = first_of_equals(labels[present].tolist())
    labels[present] = present[merged]
    return labels


def connected(*labellings: Labels) -> Labels:
    """What belongs together where any of several groupings says so.

    Args:
        labellings: int64 (n,) each: items with the same number belong together.

    Returns:
        int64 (n,): for each item the index of the first item of its group.
    """
    parent = list(range(len(labellings[0])))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    for labels in labellings:
        for index, first in enumerate(first_of_equals(labels.tolist()).tolist()):
            one, other = root(index), root(first)
            # The smaller index becomes the root, so that the root is the first of the group.
            parent[max(one, other)] = min(one, other)
    return np.array([root(index) for index in range(len(parent))], dtype=np.int64)


def first_of_equals(keys: Iterable[Hashable]) -> Labels:
    """For each key the index of the first equal one; None equals nothing.

    Args:
        keys: Anything that can be compared.

    Returns:
        int64 (n,).
    """
    seen: dict[Hashable, int] = {}
    labels = [index if key is None else seen.setdefault(key, index) for index, key in enumerate(keys)]
    return np.array(labels, dtype=np.int64)


def distance_bits(one: str, other: str) -> int:
    """How many bits two hashes differ in."""
    return (int(one, 16) ^ int(other, 16)).bit_count()


def mirrored_hash(value: str) -> str:
    """The hash of the mirrored picture, but for bits of values that lie at the median.

    Args:
        value: 64 hex digits.

    Returns:
        64 hex digits.
    """
    return f"{int(value, 16) ^ int(f'{int(_MIRROR):016x}' * _WORDS, 16):064x}"


def _connect(words: NDArray[np.uint64], max_distance_bits: int, mirrored: bool) -> Labels:
    """Label distinct hashes, uint64 (4, n), by group."""
    count = words.shape[1]
    labels = np.arange(count, dtype=np.int64)
    rows_at_once = max(1, _TILE_PAIRS // count)
    for begin in range(0, count, rows_at_once):
        end = min(begin + rows_at_once, count)
        for mask in (np.uint64(0), _MIRROR) if mirrored else (np.uint64(0),):
            rows, columns = _near_pairs(words, begin, end, mask, max_distance_bits)
            apart = labels[rows] != labels[columns]
            _merge(labels, rows[apart], columns[apart])
    return labels


def _near_pairs(
    words: NDArray[np.uint64], begin: int, end: int, mask: np.uint64, max_distance_bits: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Pairs of one of the rows begin..end with itself or a later one."""
    distance = np.zeros((end - begin, words.shape[1] - begin), np.uint8)
    for word in words[:2]:
        distance += np.bitwise_count((word[begin:end] ^ mask)[:, None] ^ word[None, begin:])
    rows, columns = np.nonzero(distance <= max_distance_bits)
    # Half of the bits have passed few pairs on; the other half is compared for those alone.
    total = distance[rows, columns].astype(np.int64)
    rows, columns = rows + begin, columns + begin
    for word in words[2:]:
        total += np.bitwise_count(word[rows] ^ mask ^ word[columns])
    near = total <= max_distance_bits
    return rows[near], columns[near]


def _merge(labels: Labels, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> None:
    """Give whatever these pairs connect one label; the pairs stand in the order of their rows."""
    for row in np.unique(rows):
        begin, end = np.searchsorted(rows, (row, row + 1))
        old = np.unique(np.append(labels[columns[begin:end]], labels[row]))
        if len(old) > 1:
            labels[np.isin(labels, old)] = old[0]


__all__ = [
    "HASH_DIGITS",
    "MAX_DISTANCE_BITS",
    "connected",
    "distance_bits",
    "duplicate_groups",
    "first_of_equals",
    "mirrored_hash",
    "near_groups",
]

"""What it costs to look a picture up among a million perceptual hashes, and which index should do it.

Each index is built and asked in a process of its own, for its memory. All of them are exact: they find the
same hashes within the distance, or the run fails. Hashes are random but for the planted copies, which differ
from what is asked for in 0 to 40 bits; PDQ makes about half of the bits of any picture 1, so random ones are
as far apart as those of unrelated pictures.

    python -m benchmarks.near_duplicates [--hashes 1000000] [--queries 200]
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np
import psutil
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from storage.hash_index import HashIndex

RADIUS_BITS = 31
_BITS = 256
_ADDED = 1000
"""Hashes added to the full index one by one: what it costs to keep up to date."""

Hashes = NDArray[np.uint8]
Ask = Callable[[Hashes], set[int]]
Add = Callable[[Hashes, int], None]


def planted(count: int, queries: int) -> tuple[Hashes, Hashes]:
    """Hashes to search in, uint8 (count, 32), and to search for, uint8 (queries, 32)."""
    rng = np.random.default_rng(8)
    hashes: Hashes = rng.integers(0, 256, (count, _BITS // 8), dtype=np.uint8)
    asked = rng.integers(0, 256, (queries, _BITS // 8), dtype=np.uint8)
    for number in range(queries):
        for place, flips in enumerate(rng.integers(0, 41, 3)):
            bits = np.unpackbits(asked[number])
            bits[rng.choice(_BITS, flips, replace=False)] ^= 1
            hashes[(number * 3 + place) * 7919 % count] = np.packbits(bits)
    return hashes, asked


def scan(hashes: Hashes) -> tuple[Ask, Add]:
    """Our own: XOR and population count over all of them with numpy."""
    index = HashIndex()
    index.add(range(len(hashes)), hashes)

    def ask(query: Hashes) -> set[int]:
        return {found.id for found in index.within(query.tobytes(), RADIUS_BITS)}

    return ask, lambda one, number: index.add([number], one[None])


def faiss_flat(hashes: Hashes) -> tuple[Ask, Add]:
    """Faiss' exhaustive search."""
    import faiss

    faiss.omp_set_num_threads(1)
    index = faiss.IndexBinaryFlat(_BITS)
    return _faiss(index, hashes)


def faiss_multi_hash(hashes: Hashes) -> tuple[Ask, Add]:
    """Multi-index hashing by faiss: within 31 bits, one of 16 words of 16 bits differs by 1 bit at most."""
    import faiss

    faiss.omp_set_num_threads(1)
    index = faiss.IndexBinaryMultiHash(_BITS, 16, 16)
    index.nflip = 1
    return _faiss(index, hashes)


def _faiss(index: object, hashes: Hashes) -> tuple[Ask, Add]:
    index.add(hashes)  # type: ignore[attr-defined]

    def ask(query: Hashes) -> set[int]:
        # faiss finds what is nearer than the radius.
        _, _, ids = index.range_search(query[None], RADIUS_BITS + 1)  # type: ignore[attr-defined]
        return {int(one) for one in ids}

    return ask, lambda one, _number: index.add(one[None])  # type: ignore[attr-defined]


INDEXES: dict[str, Callable[[Hashes], tuple[Ask, Add]]] = {
    "numpy scan": scan,
    "faiss flat": faiss_flat,
    "faiss multi-hash": faiss_multi_hash,
}


def measure(name: str, count: int, queries: int) -> dict[str, object]:
    """Measure one index in this process."""
    hashes, asked = planted(count, queries)
    before = psutil.Process().memory_info().rss
    started = time.perf_counter()
    ask, add = INDEXES[name](hashes)
    build_s = time.perf_counter() - started
    memory_mb = (psutil.Process().memory_info().rss - before) / 2**20
    took, found = [], []
    for query in asked:
        started = time.perf_counter()
        found.append(sorted(ask(query)))
        took.append(1000 * (time.perf_counter() - started))
    started = time.perf_counter()
    for number in range(_ADDED):
        add(hashes[number], count + number)
    add_us = 1e6 * (time.perf_counter() - started) / _ADDED
    return {
        "build_s": build_s,
        "memory_mb": memory_mb,
        "query_ms": statistics.median(took),
        "slowest_ms": max(took),
        "add_us": add_us,
        "found": found,
    }


def _truth(count: int, queries: int) -> list[list[int]]:
    hashes, asked = planted(count, queries)
    found = []
    for query in asked:
        distance = np.bitwise_count(hashes.view(np.uint64) ^ query.view(np.uint64)).sum(1)
        found.append(np.flatnonzero(distance <= RADIUS_BITS).tolist())
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure all indexes, each in a process of its own, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hashes", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--index", choices=sorted(INDEXES), help="Measure this one here, as JSON.")
    wanted = parser.parse_args(arguments)
    if wanted.index:
        print(json.dumps(measure(wanted.index, wanted.hashes, wanted.queries)))
        return
    truth = _truth(wanted.hashes, wanted.queries)
    table = Table("index", "build s", "memory MB", "query ms", "slowest ms", "add µs", "exact")
    for name in INDEXES:
        command = [sys.executable, "-m", "benchmarks.near_duplicates", "--index", name]
        command += ["--hashes", str(wanted.hashes), "--queries", str(wanted.queries)]
        answer = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        exact = answer.pop("found") == truth
        table.add_row(name, *(f"{value:.3g}" for value in answer.values()), "yes" if exact else "NO")
    Console().print(table)


if __name__ == "__main__":
    main()

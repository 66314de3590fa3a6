"""What it costs to look a picture up among a million perceptual hashes, and which index should do it.

Each index is built and asked in a process of its own, for its memory, on one thread. Recall is the share of
what lies within 31 bits that is found. Hashes are random but for the planted copies, which differ from what
is asked for in 0 to 40 bits; PDQ makes about half of the bits of any picture 1, so random ones are as far
apart as those of unrelated pictures.

Then the two other costs of hints: reading all hashes from an SQLite store when the daemon starts, as it does
it, and hashing the picture of one upload, beside scoring the same picture: CPU seconds of the decode workers
and of the hash itself, in photographs of the size that the daemon downloads.

    python -m benchmarks.near_duplicates [--hashes 100000 1000000] [--queries 200] [--only search|load|upload]
"""

import argparse
import json
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.photographs import photographs
from bot.retention.hints import Hints
from bot.scoring import Scorer
from bot.settings import load_settings
from classifier import pdq
from classifier.pictures import picture_at
from classifier.values import MediaPart
from storage.engine import Database
from storage.hash_index import HashIndex

RADIUS_BITS = pdq.MAX_DISTANCE_BITS
PICTURES = 40
SIDES = ((500, 375), (1280, 960))
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


def faiss_ivf(hashes: Hashes) -> tuple[Ask, Add]:
    """Inverted lists by faiss: hashes go to the nearest of 1,024 centres, and 64 lists are searched."""
    import faiss

    faiss.omp_set_num_threads(1)
    index = faiss.IndexBinaryIVF(faiss.IndexBinaryFlat(_BITS), _BITS, 1024)
    index.nprobe = 64
    index.train(hashes[:: max(1, len(hashes) // 50_000)])
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
    "faiss IVF": faiss_ivf,
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


def search(counts: Sequence[int], queries: int, console: Console) -> dict[str, Any]:
    """Compare the indexes at several sizes."""
    figures: dict[str, Any] = {}
    for count in counts:
        truth = _truth(count, queries)
        there = sum(map(len, truth))
        columns = ("index", "build s", "memory MB", "query ms", "slowest ms", "add µs", "recall")
        table = Table(
            *columns, title=f"{count:,} hashes, {there} within {RADIUS_BITS} bits of {queries} queries"
        )
        for name in INDEXES:
            command = [sys.executable, "-m", "benchmarks.near_duplicates", "--index", name]
            command += ["--hashes", str(count), "--queries", str(queries)]
            answer = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
            found = answer.pop("found")
            wrong = any(set(one) - set(right) for one, right in zip(found, truth, strict=True))
            if wrong:
                raise SystemExit(f"{name} found what is not near")
            answer["recall"] = sum(map(len, found)) / there
            table.add_row(name, *(f"{value:.3g}" for value in answer.values()))
            figures[f"{name}, {count}"] = {key: round(value, 3) for key, value in answer.items()}
        console.print(table)
    return figures


def load(counts: Sequence[int], console: Console) -> dict[str, Any]:
    """Read all hashes as the daemon does when it starts; the store's other tables are empty."""
    figures: dict[str, Any] = {}
    table = Table("hashes of reviewed pictures", "load s", "CPU s", "process MB more")
    for count in counts:
        command = [sys.executable, "-m", "benchmarks.near_duplicates", "--load", str(count)]
        answer = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        table.add_row(f"{count:,}", *(f"{value:.3g}" for value in answer.values()))
        figures[f"load, {count}"] = {key: round(value, 3) for key, value in answer.items()}
    console.print(table)
    return figures


def measure_load(count: int) -> dict[str, float]:
    """Load hashes in this process."""
    with tempfile.TemporaryDirectory() as folder, _store(Path(folder), count) as database:
        before = psutil.Process().memory_info().rss
        hints = Hints(database, None, None, near_duplicates=True)  # type: ignore[arg-type]
        started, cpu = time.perf_counter(), time.process_time()
        if hints.load() != count:
            raise SystemExit("not all hashes were loaded")
        return {
            "load_s": time.perf_counter() - started,
            "cpu_s": time.process_time() - cpu,
            "memory_mb": (psutil.Process().memory_info().rss - before) / 2**20,
        }


@contextmanager
def _store(folder: Path, count: int) -> Iterator[Database]:
    """A store with so many hashed pictures that were put up for review, written past its doors for speed."""
    database = Database.open(f"sqlite:///{folder / 'bot.sqlite3'}", folder)
    database.migrate()
    rng = np.random.default_rng(3)
    noted = "2026-03-01 12:00:00.000000"
    with sqlite3.connect(folder / "bot.sqlite3") as raw:
        raw.executemany(
            "INSERT INTO picture_hash (upload_id, pdq, quality, created_at) VALUES (?, ?, 100, ?)",
            ((number, rng.bytes(32), noted) for number in range(1, count + 1)),
        )
        raw.executemany(
            "INSERT INTO review_item (item_id, upload_id, classification_id, reason, inclusion_probability, "
            "state, created_at) VALUES (?, ?, ?, 'flagged', 1, 'open', ?)",
            ((f"commonswiki-{number}", number, number, noted) for number in range(1, count + 1)),
        )
    raw.close()
    yield database
    database.close()


def upload(console: Console) -> dict[str, Any]:
    """What hashing adds to an upload, and what scoring it costs, in CPU milliseconds of all processes."""
    figures: dict[str, Any] = {}
    table = Table("picture", "scored, CPU ms", "decoded again, CPU ms", "hashed, CPU ms")
    settings = load_settings(overrides={"decode": {"workers": 1}, "classifier": {"engine": "torch-fp32"}})
    scorer = Scorer.load(settings, lambda *_: None)
    with tempfile.TemporaryDirectory() as folder:
        for width, height in SIDES:
            paths = photographs(Path(folder), width, height, PICTURES)
            parts = [[MediaPart(path)] for path in paths]
            for warm in parts[:3]:
                scorer.score(warm)
                picture_at(warm, scorer.pool, pdq.PREPROCESSING)
            costs = []
            for work in (
                lambda one: scorer.score(one),
                lambda one: picture_at(one, scorer.pool, pdq.PREPROCESSING),
            ):
                before = _cpu_s()
                for one in parts:
                    work(one)
                costs.append(1000 * (_cpu_s() - before) / PICTURES)
            pixels = [picture_at(one, scorer.pool, pdq.PREPROCESSING).pixels for one in parts]
            before = _cpu_s()
            for frame in pixels:
                pdq.pdq(frame)
            costs.append(1000 * (_cpu_s() - before) / PICTURES)
            table.add_row(f"{width} x {height} JPEG", *(f"{cost:.1f}" for cost in costs))
            names = ("score_ms", "decode_ms", "hash_ms")
            figures[f"upload, {width}"] = dict(zip(names, (round(cost, 2) for cost in costs), strict=True))
    scorer.close()
    console.print(table)
    return figures


def _cpu_s() -> float:
    """CPU seconds of this process and its living children."""
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print tables, and last one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hashes", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--only", choices=("search", "load", "upload"), action="append")
    parser.add_argument("--index", choices=sorted(INDEXES), help="Measure this one here, as JSON.")
    parser.add_argument("--load", type=int, help="Load so many here, as JSON.")
    wanted = parser.parse_args(arguments)
    if wanted.index:
        print(json.dumps(measure(wanted.index, wanted.hashes[0], wanted.queries)))
        return
    if wanted.load:
        print(json.dumps(measure_load(wanted.load)))
        return
    console, figures = Console(), dict[str, Any]()
    parts = wanted.only or ("search", "load", "upload")
    if "search" in parts:
        figures |= search(wanted.hashes, wanted.queries, console)
    if "load" in parts:
        figures |= load(wanted.hashes, console)
    if "upload" in parts:
        figures |= upload(console)
    print(json.dumps({"benchmark": "near_duplicates", "figures": figures}))


if __name__ == "__main__":
    main()

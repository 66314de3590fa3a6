"""Where the milliseconds of a still picture go before the model sees it, step by step and size by size.

Every step is timed in CPU milliseconds of its own thread, the plain way (Pillow throughout) next to ours, in
turns, on photograph-like pictures; medians. Then the pool of workers as the daemon uses it: through shared
memory and through the pipe, with what a worker costs in memory and to start.

    python -m benchmarks.decode [--rounds 60] [--sizes 330 960 4000]
"""

import argparse
import io
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from unittest import mock

import numpy as np
import psutil
from PIL import Image
from rich.console import Console
from rich.table import Table

from benchmarks.photographs import photographs
from classifier import jpeg, preprocess
from classifier.decode.area import PoolArea
from classifier.decode.image import decode_image
from classifier.decode.job import decode
from classifier.decode.limits import DecodeLimits
from classifier.decode.picture import Report
from classifier.decode.sandbox import DecodePool
from classifier.decode.sniff import sniff_file
from classifier.values import MediaPart, Pixels

PREPROCESSING = "open_nsfw-v1"
_LIMITS = DecodeLimits()
_V1 = preprocess.OpenNsfwV1()
_CROP = (16, 16, 240, 240)
_PIXELS_MEASURED_OFTEN = 2_000_000


@dataclass(frozen=True, slots=True)
class Step:
    """One step, the plain way and ours; None where there is nothing to compare."""

    name: str
    plain: Callable[[], object] | None
    ours: Callable[[], object] | None


def steps(path: Path) -> list[Step]:
    """What happens to one file.

    Args:
        path: A JPEG.

    Returns:
        The steps in order, the whole way last.
    """
    part, reduced = MediaPart(path), DecodeLimits(reduced_jpeg_px=1000)
    with Image.open(path) as image:
        image.load()
    (picture,) = decode_image(path, "JPEG", _LIMITS, Report())
    content = picture.content
    small = image.resize((256, 256), Image.Resampling.BILINEAR).crop(_CROP)

    def decoded(limits: DecodeLimits) -> Callable[[], object]:
        return lambda: list(decode_image(path, "JPEG", limits, Report()))

    def whole(limits: DecodeLimits) -> Callable[[], object]:
        return lambda: list(decode([part], _V1, limits, Report()))

    return [
        Step("sniff", None, lambda: sniff_file(path)),
        Step("header and pixels", lambda: _pixels(path), decoded(_LIMITS)),
        Step("header and pixels, reduced", None, decoded(reduced)),
        Step(
            "resize and crop",
            lambda: image.resize((256, 256), Image.Resampling.BILINEAR).crop(_CROP),
            lambda: _V1._shrink(content),  # type: ignore[arg-type]
        ),
        Step("the model's JPEG step", lambda: _round_trip(small), lambda: _V1._compress(small)),
        Step("the whole way", lambda: plain_way(path), whole(_LIMITS)),
        Step("the whole way, reduced", None, whole(reduced)),
    ]


def _pixels(path: Path) -> Image.Image:
    with Image.open(path) as image:
        image.load()
    return image


def _round_trip(image: Image.Image) -> Pixels:
    with io.BytesIO() as buffer:
        image.save(buffer, format="JPEG")
        with Image.open(buffer) as reloaded:
            rgb = np.asarray(reloaded)
    return np.ascontiguousarray(rgb[:, :, ::-1])


def plain_way(path: Path) -> Pixels:
    """The steps of `open_nsfw-v1` as the package that published the scores takes them.

    Args:
        path: A JPEG.

    Returns:
        uint8 array (224, 224, 3), BGR.
    """
    with Image.open(path) as image:
        rgb = image.convert("RGB")
    return _round_trip(rgb.resize((256, 256), Image.Resampling.BILINEAR).crop(_CROP))


def measure_steps(paths: list[Path], rounds: int) -> dict[str, tuple[float | None, float | None]]:
    """Time each step in turns.

    Args:
        paths: JPEG files of one size.
        rounds: How often to go over them.

    Returns:
        By step: CPU milliseconds, plain and ours.
    """
    spent: dict[str, tuple[list[float], list[float]]] = {}
    for path in paths:
        for step in steps(path) * rounds:
            plain, ours = spent.setdefault(step.name, ([], []))
            for way, times_ms in ((step.plain, plain), (step.ours, ours)):
                if way is not None:
                    began_s = time.thread_time()
                    way()
                    times_ms.append((time.thread_time() - began_s) * 1000)
    return {
        name: (median(plain) if plain else None, median(ours) if ours else None)
        for name, (plain, ours) in spent.items()
    }


def measure_pool(paths: list[Path], jobs: int) -> dict[str, float]:
    """Decode through one worker, by shared memory and by the pipe in turns.

    Args:
        paths: Files.
        jobs: How many to decode each way.

    Returns:
        Milliseconds a file, per way: on the wall, CPU of the pool's thread, CPU of the worker, which unlike
        this process keeps the memory of large pictures.
    """
    shared = DecodePool(_LIMITS, workers=1)
    piped = DecodePool(_LIMITS, workers=1)
    spent: dict[str, list[tuple[float, float, float]]] = {"shared": [], "piped": []}
    try:
        shared.start()
        with mock.patch.object(PoolArea, "create", return_value=None):
            piped.start()
        for number in range(jobs):
            for name, pool in (("shared", shared), ("piped", piped)):
                began_s, cpu_s = time.perf_counter(), time.thread_time()
                with pool.open([MediaPart(paths[number % len(paths)])], PREPROCESSING) as stream:
                    for _ in stream:
                        pass
                took_s, cpu_s = time.perf_counter() - began_s, time.thread_time() - cpu_s
                spent[name].append((took_s, cpu_s, stream.summary.decode_s))
    finally:
        shared.close()
        piped.close()
    return {
        f"{name}_{what}": median(times[index] for times in spent[name]) * 1000
        for name in spent
        for index, what in enumerate(("wall_ms", "pool_cpu_ms", "worker_cpu_ms"))
    }


def measure_worker(path: Path) -> dict[str, float]:
    """What a worker costs besides its work.

    Args:
        path: A picture for it to decode.

    Returns:
        Seconds to start, resident MB and MB of its own after one picture.
    """
    began_s = time.perf_counter()
    with DecodePool(_LIMITS, workers=1) as pool:
        started_s = time.perf_counter() - began_s
        with pool.open([MediaPart(path)], PREPROCESSING) as stream:
            list(stream)
        worker = psutil.Process(pool.pids()[0])
        memory = worker.memory_full_info()
        cpu_s = worker.cpu_times()
    return {
        "start_s": started_s,
        "cpu_s": cpu_s.user + cpu_s.system,
        "resident_mb": memory.rss / 1e6,
        "own_mb": memory.uss / 1e6,
    }


def main() -> None:
    """Measure, print the tables, and the figures as JSON on the last line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=60, help="of small pictures; large ones get a tenth")
    parser.add_argument("--sizes", type=int, nargs="+", default=[330, 960, 4000], help="widths in pixels")
    options = parser.parse_args()
    console = Console()
    figures: dict[str, object] = {"equals_pillow": jpeg.equals_pillow()}
    with tempfile.TemporaryDirectory(prefix="bench-decode-") as folder:
        for width in options.sizes:
            height = width * 3 // 4
            is_small = width * height < _PIXELS_MEASURED_OFTEN
            paths = photographs(Path(folder), width, height, 4 if is_small else 2)
            rounds = max(options.rounds if is_small else options.rounds // 10, 3)
            found = measure_steps(paths, rounds)
            pool = measure_pool(paths, rounds * len(paths))
            figures[str(width)] = {"steps_ms": found, "pool": pool}
            console.print(_table(f"{width}x{height}", found))
            for name, value in pool.items():
                console.print(f"  {name}: {value:.2f}")
            smallest = paths[0] if width == min(options.sizes) else None
            if smallest is not None:
                figures["worker"] = measure_worker(smallest)
                console.print(f"  worker: {figures['worker']}")
    print(json.dumps({"benchmark": "decode", "figures": figures}))


def _table(title: str, found: dict[str, tuple[float | None, float | None]]) -> Table:
    table = Table(title=title)
    for column in ("step", "plain ms", "ours ms", "times"):
        table.add_column(column, justify="left" if column == "step" else "right")
    for name, (plain, ours) in found.items():
        cells = [f"{value:.3f}" if value is not None else "" for value in (plain, ours)]
        table.add_row(name, *cells, f"{plain / ours:.2f}" if plain and ours else "")
    return table


if __name__ == "__main__":
    main()

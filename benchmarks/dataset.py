"""What `dataset build`, `check`, `split` and `report` cost on ten thousand pictures and more.

The pictures are drawn: scenes of `classifier.datasets.proxy`, which know near-duplicates, enlarged to
640x480 with grain and saved as JPEG. Files that cannot be read are strewn in, and after the split a rescaled
copy of a picture for training is planted in the part for validation, which `check` has to find. The commands
are the real ones, each in a process of its own, with its decode workers counted.

    python -m benchmarks.dataset [--pictures 10000] [--keep FOLDER] [--workers 2]
"""

import argparse
import io
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import psutil
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bot.settings import ROOT
from classifier.datasets import manifest, proxy
from classifier.datasets.values import Item

ENLARGED = 4
SCENE_PX = ((160, 120), (160, 120), (120, 160))
GRAIN = 5.0
"""Standard deviation of the grain, of 255: it gives the files the size of photographs."""
JPEG_QUALITY = 88
SAMPLE_EVERY_S = 0.1
BROKEN = {"cut": 6, "empty": 3, "text": 3}
"""Files in a thousand that cannot be read: cut off, of no bytes, and no picture at all."""
CLASSES = ",".join(proxy.CLASSES)
LEAK = "planted-leak.jpg"


@dataclass(frozen=True, slots=True)
class Cost:
    """One command.

    Attributes:
        command: Its words.
        wall_s: From its start to its end.
        cpu_s: Of the process and its workers.
        peak_mb: The most memory they held at once, in 10^6 bytes; pages that they share are counted once.
        exit_code: How it ended.
    """

    command: str
    wall_s: float
    cpu_s: float
    peak_mb: float
    exit_code: int


def draw(folder: Path, pictures: int, processes: int) -> None:
    """Draw the pictures as an ImageFolder.

    Args:
        folder: Where; must exist.
        pictures: How many.
        processes: How many draw.
    """
    for label in proxy.CLASSES:
        (folder / label).mkdir(exist_ok=True)
    settings = proxy.ProxySettings(count=pictures, sizes_px=SCENE_PX)
    with ProcessPoolExecutor(processes) as executor:
        drawn = executor.map(partial(_draw_one, folder, settings), range(pictures), chunksize=50)
        for _ in track(drawn, "drawing", pictures, console=Console(stderr=True)):
            pass


def _draw_one(folder: Path, settings: proxy.ProxySettings, index: int) -> None:
    picture = proxy.draw(index, settings)
    path = (folder / picture.path).with_suffix(".jpg")
    rng = np.random.default_rng(index)
    with Image.open(io.BytesIO(picture.content)) as scene:
        size = (scene.width * ENLARGED, scene.height * ENLARGED)
        large = np.asarray(scene.convert("RGB").resize(size, Image.Resampling.BICUBIC), np.float32)
    grain = rng.standard_normal(large.shape[:2], np.float32)[:, :, None] * GRAIN
    buffer = io.BytesIO()
    Image.fromarray(np.clip(large + grain, 0, 255).astype(np.uint8)).save(
        buffer, "JPEG", quality=JPEG_QUALITY
    )
    path.write_bytes(_broken(index, buffer.getvalue()))


def _broken(index: int, content: bytes) -> bytes:
    """A few of the files are not what they should be."""
    place = index * 7919 % 1000
    if place < BROKEN["cut"]:
        return content[: len(content) // 2]
    if place < BROKEN["cut"] + BROKEN["empty"]:
        return b""
    return b"no picture\n" * 500 if place < sum(BROKEN.values()) else content


def plant_leak(path: Path) -> None:
    """Put a rescaled copy of a picture for training into the part for validation.

    Args:
        path: The manifest for training.
    """
    dataset = manifest.read(path, proxy.CLASSES)
    victim = next(item for item in dataset.items if item.split == "train" and item.perceptual_hash)
    with Image.open(dataset.path_of(victim)) as picture:
        smaller = picture.resize((picture.width * 2 // 3, picture.height * 2 // 3))
    smaller.save(path.with_name(LEAK), quality=75)
    leak = Item(LEAK, victim.label, split="validation")
    manifest.write(replace(dataset, items=(*dataset.items, leak)), path)


def run(words: Sequence[str], *, expected: int) -> tuple[Cost, str]:
    """Run a command of the program and watch it.

    Args:
        words: Of the command line.
        expected: Its exit code; another one ends the benchmark.

    Returns:
        What it cost, and what it printed.
    """
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as output:
        process = psutil.Popen([sys.executable, "-m", "bot", *words], cwd=ROOT, stdout=output, stderr=output)
        peak_bytes, cpu_s = 0, {}
        while process.poll() is None:
            now_bytes = 0
            for one in _tree(process):
                with suppress(psutil.Error):
                    now_bytes += one.memory_full_info().pss
                    times = one.cpu_times()
                    cpu_s[one.pid] = times.user + times.system
            peak_bytes = max(peak_bytes, now_bytes)
            time.sleep(SAMPLE_EVERY_S)
        wall_s = time.perf_counter() - started
        output.seek(0)
        printed = output.read()
    if process.returncode != expected:
        raise SystemExit(f"{' '.join(words)} ended in {process.returncode}, not in {expected}:\n{printed}")
    return Cost(words[1], wall_s, sum(cpu_s.values()), peak_bytes / 1e6, process.returncode), printed


def _tree(process: psutil.Popen) -> Iterator[psutil.Process]:
    yield process
    with suppress(psutil.Error):
        yield from process.children(recursive=True)


def measure(pictures: Path, folder: Path, workers: int) -> list[Cost]:
    """The commands as their users run them, one after the other.

    Args:
        pictures: The ImageFolder.
        folder: Where the manifests go.
        workers: How many processes decode.

    Returns:
        A cost each.
    """
    path = folder / "drawn.parquet"
    options = ("--classes", CLASSES)
    many = ("--workers", str(workers))
    # Left out as unreadable, and told by the exit code.
    built, _ = run(["dataset", "build", str(pictures), str(path), *options, *many], expected=1)
    checked, _ = run(["dataset", "check", str(path), *options, *many], expected=0)
    again, _ = run(["dataset", "check", str(path), "--files", "all", *options, *many], expected=0)
    divided, _ = run(["dataset", "split", str(path), *options, "--anew"], expected=0)
    plant_leak(path)
    leaking, printed = run(["dataset", "check", str(path), *options, *many], expected=1)
    if LEAK not in printed or "leak_near" not in printed:
        raise SystemExit(f"the planted leak was not found:\n{printed}")
    reported, _ = run(["dataset", "report", str(path), *options, *many], expected=0)
    return [
        built,
        checked,
        replace(again, command="check --files all"),
        divided,
        replace(leaking, command="check, a leak planted"),
        reported,
    ]


def main() -> None:
    """Draw, measure, print a table and a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pictures", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="draw here, or use the pictures that lie here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dataset-") as temporary:
        folder = options.keep or Path(temporary)
        pictures = folder / f"pictures-{options.pictures}"
        if not pictures.exists():
            unfinished = folder / "unfinished"
            unfinished.mkdir(parents=True, exist_ok=True)
            draw(unfinished, options.pictures, options.workers)
            unfinished.rename(pictures)
        size_bytes = sum(path.stat().st_size for path in pictures.rglob("*.jpg"))
        with tempfile.TemporaryDirectory(dir=folder) as work:
            costs = measure(pictures, Path(work), options.workers)
    table = Table("dataset …", "wall s", "CPU s", "peak MB", box=None)
    for cost in costs:
        table.add_row(cost.command, f"{cost.wall_s:.1f}", f"{cost.cpu_s:.1f}", f"{cost.peak_mb:.0f}")
    console = Console()
    console.print(f"{options.pictures:,} JPEGs, {size_bytes / 1e9:.2f} GB, {options.workers} decode workers")
    console.print(table)
    figures = {
        "pictures": options.pictures,
        "bytes": size_bytes,
        "commands": [asdict(cost) for cost in costs],
    }
    print(json.dumps({"benchmark": "dataset", "figures": figures}))


if __name__ == "__main__":
    main()

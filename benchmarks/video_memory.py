"""How much memory the decode worker takes: for short and for very long films, for 4K, for a 24-hour still."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
from rich.progress import Progress
from rich.table import Table

from benchmarks.video_clips import CODECS, Clips
from benchmarks.video_methods import limits
from classifier.decode.sampling import SamplingMode
from classifier.decode.sandbox import DecodePool
from classifier.errors import DecodeError
from classifier.values import MediaPart

_SAMPLED_EVERY_S = 0.02
_LONG_WANTED_MB, _4K_WANTED_MB = 50, 400
_MODES: tuple[SamplingMode, ...] = ("exact", "economical")


@dataclass(frozen=True, slots=True)
class Peak:
    """What a worker took for one file.

    Attributes:
        resident_bytes: Its largest resident size; with it everything that Python and the libraries are.
        frames: How many frames it gave.
        cpu_s: CPU seconds it took.
        failed: The code of the error; empty where there was none.
    """

    resident_bytes: int
    frames: int
    cpu_s: float
    failed: str = ""


def peak(path: Path, mode: SamplingMode) -> Peak:
    """Decode a file in a fresh worker and watch its size.

    Args:
        path: The file.
        mode: Of the sampling; intervals follow the proposal's rule, at most 1000 frames.
    """
    largest, done = 0, threading.Event()

    def watch(worker: psutil.Process) -> None:
        nonlocal largest
        while not done.wait(_SAMPLED_EVERY_S):
            largest = max(largest, worker.memory_info().rss)

    with DecodePool(limits(mode, None), workers=1) as pool:
        watcher = threading.Thread(target=watch, args=(psutil.Process(pool.pids()[0]),))
        watcher.start()
        failed = ""
        try:
            with pool.open([MediaPart(path)], "open_nsfw-v1") as stream:
                for _ in stream:
                    pass
        except DecodeError as error:
            failed = error.code
        finally:
            done.set()
            watcher.join()
    return Peak(largest, stream.summary.frames, stream.summary.decode_s, failed)


def memory(clips: Clips, progress: Progress, quick: bool) -> tuple[list[Table], dict[str, object]]:
    """Measure.

    Args:
        clips: The films.
        progress: Shows what is being done.
        quick: Whether to take 2 minutes against an hour, instead of 32 minutes against 10 hours.

    Returns:
        The table, and its figures by file.
    """
    h264, vp9 = CODECS["H.264"], CODECS["VP9"]
    short_s, long_s = (120, 3600) if quick else (1920, 36_000)
    files: dict[str, Callable[[], Path]] = {
        f"{short_s / 60:g} min, H.264": lambda: clips.lecture(h264, short_s),
        f"{long_s / 3600:g} h, H.264": lambda: clips.lecture(h264, long_s),
        "4K, H.264": lambda: clips.four_k(h264, 4),
    }
    if not quick:
        files |= {
            f"{short_s / 60:g} min, VP9": lambda: clips.lecture(vp9, short_s),
            f"{long_s / 3600:g} h, VP9": lambda: clips.lecture(vp9, long_s),
            "4K, VP9": lambda: clips.four_k(vp9, 4),
            "24 h still, H.264": lambda: clips.still(h264, 86_400),
        }
    modes = _MODES[:1] if quick else _MODES
    task = progress.add_task("memory", total=len(files) * len(modes))
    peaks: dict[tuple[str, SamplingMode], Peak] = {}
    for name, make in files.items():
        path = make()
        for mode in modes:
            progress.update(task, description=f"memory: {name}, {mode}")
            peaks[name, mode] = peak(path, mode)
            progress.advance(task)
    progress.remove_task(task)
    pairs = [
        (f"{short_s / 60:g} min, {codec}", f"{long_s / 3600:g} h, {codec}")
        for codec in ("H.264", "VP9")
        if f"{long_s / 3600:g} h, {codec}" in files
    ]
    return [_table(peaks, pairs)], {
        f"{name}, {mode}": {
            "peak_mb": round(one.resident_bytes / 1e6, 1),
            "frames": one.frames,
            "cpu_s": round(one.cpu_s, 2),
            "failed": one.failed,
        }
        for (name, mode), one in peaks.items()
    }


def _table(peaks: dict[tuple[str, SamplingMode], Peak], pairs: Sequence[tuple[str, str]]) -> Table:
    table = Table(
        title="largest resident size of the decode worker (at most 1000 frames a file; "
        f"wanted: lengths within {_LONG_WANTED_MB} MB of each other, 4K under {_4K_WANTED_MB} MB)",
        title_justify="left",
    )
    for heading in ("film", "mode", "peak MB", "frames", "CPU s", "verdict"):
        table.add_column(heading, justify="right" if heading in ("peak MB", "frames", "CPU s") else "left")
    shorter = {long: short for short, long in pairs}
    for (name, mode), one in peaks.items():
        verdict = one.failed
        if name.startswith("4K"):
            verdict = verdict or ("met" if one.resident_bytes < _4K_WANTED_MB * 1e6 else "MISSED")
        elif name in shorter:
            more_mb = (one.resident_bytes - peaks[shorter[name], mode].resident_bytes) / 1e6
            met = "met" if abs(more_mb) <= _LONG_WANTED_MB else "MISSED"
            verdict = verdict or f"{more_mb:+.0f} MB ({met})"
        table.add_row(
            name, mode, f"{one.resident_bytes / 1e6:.0f}", str(one.frames), f"{one.cpu_s:.1f}", verdict
        )
    return table


__all__ = ["Peak", "memory", "peak"]

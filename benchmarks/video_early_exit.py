"""What stopping at the first hit saves, in the order of time and from coarse to fine, with real seek costs.

Every order is decoded for real, once, and the CPU spent until each frame is noted. An offending segment at a
random place is met with the first frame that lies in it; what had been spent until then, decoding and model,
is the cost of that film. Clean films, which most are, cost everything.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress
from rich.table import Table

from benchmarks.video_clips import RATE, Clips, Codec
from benchmarks.video_measuring import measured
from benchmarks.video_methods import Order, limits
from benchmarks.video_models import default_model
from classifier.decode.picture import Report
from classifier.decode.sampling import SamplingMode, SamplingOrder, interval_s
from classifier.decode.video import decode_video

ORDERS: tuple[SamplingOrder, ...] = ("sequential", "coarse_to_fine")
_PLACES = 2000


@dataclass(frozen=True, slots=True)
class Course:
    """How one film was decoded.

    Attributes:
        at_s: Time of each frame, in the order of decoding.
        spent_s: CPU seconds until each was out.
        total_s: CPU seconds of the whole.
    """

    at_s: NDArray[np.float64]
    spent_s: NDArray[np.float64]
    total_s: float


@dataclass(frozen=True, slots=True)
class Expected:
    """Expected CPU seconds per film.

    Attributes:
        clean_s: Of one without an offending segment.
        offending_s: Of one with a segment, by what the segment is called.
    """

    clean_s: float
    offending_s: dict[str, float]


def run_course(order: Order, mode: SamplingMode, sequence: SamplingOrder) -> Course:
    """Decode a film and note what each frame had cost."""
    allowed = limits(mode, order.interval_s, sequence)
    began_s = time.process_time()
    noted = [
        (picture.at_s or 0.0, time.process_time() - began_s)
        for picture in decode_video(order.path, order.format_name, allowed, Report())
    ]
    at_s, spent_s = np.array(noted).T
    return Course(at_s, spent_s, time.process_time() - began_s)


def model_cost_s(engine: str) -> float:
    """CPU seconds a frame of the default model, in batches of eight."""
    model = default_model(engine)
    batch = np.random.default_rng(0).integers(
        0, 256, (8, model.card.input_px, model.card.input_px, 3), np.uint8
    )
    model.predict(batch)
    began_s = time.process_time()
    for _ in range(5):
        model.predict(batch)
    return (time.process_time() - began_s) / 5 / len(batch)


def expected(course: Course, segment_s: dict[str, float], duration_s: float, frame_s: float) -> Expected:
    """What films cost on average.

    Args:
        course: How one was decoded.
        segment_s: Lengths of offending segments by name, in seconds.
        duration_s: Length of the film in seconds.
        frame_s: CPU seconds of the model per frame.

    Returns:
        The averages over places spread evenly.
    """
    spent_s = course.spent_s + frame_s * np.arange(1, len(course.spent_s) + 1)
    clean_s = course.total_s + frame_s * len(course.spent_s)
    offending_s = {}
    for name, length_s in segment_s.items():
        starts = (np.arange(_PLACES) + 0.5) / _PLACES * (duration_s - length_s)
        inside = (course.at_s >= starts[:, None]) & (course.at_s < starts[:, None] + length_s)
        costs = np.where(inside.any(1), spent_s[inside.argmax(1)], clean_s)
        offending_s[name] = float(costs.mean())
    return Expected(clean_s, offending_s)


def early_exit(
    clips: Clips, progress: Progress, seconds: int, codecs: Sequence[Codec], engine: str
) -> tuple[list[Table], dict[str, object]]:
    """Measure.

    Args:
        clips: The films.
        progress: Shows what is being done.
        seconds: Their length.
        codecs: Which formats.
        engine: Of the default model.

    Returns:
        The table, and its figures by format.
    """
    lengths_s = [length_s for length_s in (10.0, 60.0) if length_s < seconds]
    segment_s = {f"{length_s:g} s": length_s for length_s in lengths_s} | {"10 %": seconds / 10}
    modes: tuple[SamplingMode, ...] = ("exact", "economical")
    task = progress.add_task("early exit", total=len(codecs) * len(modes) * len(ORDERS))
    frame_s, _ = measured(model_cost_s, engine)
    found: dict[tuple[str, SamplingMode], dict[SamplingOrder, Expected]] = {}
    for codec in codecs:
        film = clips.film(codec, seconds)
        order = Order(film.path, codec.format_name, interval_s(film.duration_s), film.duration_s, RATE, ())
        for mode in modes:
            for sequence in ORDERS:
                progress.update(task, description=f"{codec.name}, {mode}, {sequence}")
                course, _ = measured(run_course, order, mode, sequence)
                averages = expected(course, segment_s, film.duration_s, frame_s)
                found.setdefault((codec.name, mode), {})[sequence] = averages
                progress.advance(task)
    progress.remove_task(task)
    return [_table(found, segment_s, seconds, frame_s)], _figures(found, frame_s)


def breakeven_share(orders: dict[SamplingOrder, Expected], segment: str) -> float | None:
    """From which share of offending films on coarse-to-fine costs less over all; None: from no share on."""
    sequential, coarse = (orders[sequence] for sequence in ORDERS)
    saved_s = sequential.offending_s[segment] - coarse.offending_s[segment]
    added_s = coarse.clean_s - sequential.clean_s
    if added_s <= 0:
        return 0.0 if saved_s >= 0 else None
    return added_s / (added_s + saved_s) if saved_s > 0 else None


def _table(
    found: dict[tuple[str, SamplingMode], dict[SamplingOrder, Expected]],
    segment_s: dict[str, float],
    seconds: int,
    frame_s: float,
) -> Table:
    table = Table(
        title=f"expected CPU seconds for {seconds} s of film that is left at the first hit, sequential / "
        f"coarse to fine (model: {frame_s * 1000:.0f} ms a frame)\n(from ... %: the share of offending films "
        "from which coarse to fine costs less over all)",
        title_justify="left",
    )
    for heading in ("format", "mode", "clean", *(f"segment of {name}" for name in segment_s)):
        table.add_column(heading, justify="left" if heading in ("format", "mode") else "right")
    for (codec, mode), orders in found.items():
        sequential, coarse = (orders[sequence] for sequence in ORDERS)
        cells = [f"{sequential.clean_s:.1f} / {coarse.clean_s:.1f}"]
        for name in segment_s:
            share = breakeven_share(orders, name)
            when = "never" if share is None else f"from {share:.0%}"
            cells.append(f"{sequential.offending_s[name]:.1f} / {coarse.offending_s[name]:.1f} ({when})")
        table.add_row(codec, mode, *cells)
    return table


def _figures(
    found: dict[tuple[str, SamplingMode], dict[SamplingOrder, Expected]], frame_s: float
) -> dict[str, object]:
    figures: dict[str, object] = {"model_s_per_frame": round(frame_s, 4)}
    for (codec, mode), orders in found.items():
        for sequence, averages in orders.items():
            costs = {"clean": averages.clean_s, **averages.offending_s}
            figures[f"{codec}, {mode}, {sequence}"] = {name: round(cost, 2) for name, cost in costs.items()}
    return figures


__all__ = ["Course", "Expected", "breakeven_share", "early_exit", "expected", "model_cost_s", "run_course"]

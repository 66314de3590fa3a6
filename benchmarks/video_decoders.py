"""What every decoder costs on every format, for a sample every 5 s and every 1 s, next to the limit."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from statistics import median

import av
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.video_clips import CODECS, RATE, Clips, Codec
from benchmarks.video_measuring import Failed, measured
from benchmarks.video_methods import METHODS, Order

INTERVALS_S = (5.0, 1.0)
_PROPOSAL, _SEQUENTIAL = "OpenCV, seek + JPEG (proposal)", "OpenCV, sequential"
_EXACT, _ECONOMICAL, _LIMIT = "ours, exact", "ours, economical", "the limit"
_INEXACT = (_ECONOMICAL, "keyframes alone")
_LIMIT_WANTED = 1.15
# (mode, interval, codec): the proposal's cost over ours is at least this.
WANTED: dict[tuple[str, float, str], float] = {
    (_EXACT, 1.0, "H.264"): 5.0,
    (_EXACT, 1.0, "VP9"): 3.0,
    (_EXACT, 5.0, "H.264"): 1.9,
    (_EXACT, 5.0, "VP9"): 1.3,
    (_ECONOMICAL, 5.0, "H.264"): 2.8,
    (_ECONOMICAL, 5.0, "VP9"): 12.0,
    (_ECONOMICAL, 5.0, "Theora"): 5.0,
}


@dataclass(frozen=True, slots=True)
class Measured:
    """One method on one film.

    Attributes:
        cpu_s: CPU seconds, median of the rounds.
        peak_bytes: Largest resident size.
        missed: How many wanted times have no frame within one frame's time.
        wanted: How many there were.
        inexact: Whether missing them belongs to the method.
        largest_gap_s: Longest time between two neighbouring samples.
        failed: Why there is no figure, in two words; empty where there is.
        reason: What the decoder said of it.
    """

    cpu_s: float = 0.0
    peak_bytes: int = 0
    missed: int = 0
    wanted: int = 0
    inexact: bool = False
    largest_gap_s: float = 0.0
    failed: str = ""
    reason: str = ""

    def text(self) -> str:
        """For a table's cell."""
        if self.failed:
            return self.failed
        return f"{self.cpu_s:.1f}" + (f" ({self.missed} off)" if self.missed and not self.inexact else "")


Results = dict[tuple[str, str, float], Measured]


def run_method(name: str, order: Order) -> list[float]:
    """Do what the method of that name does; here, so that a new process can be told to."""
    return METHODS[name](order)


def keyframe_times_s(path: Path) -> tuple[float, ...]:
    """Times of a film's keyframes in seconds from its start, found without decoding."""
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        assert video.time_base is not None
        start = video.start_time or 0
        ticks = [packet.pts for packet in container.demux(video) if packet.is_keyframe and packet.size]
        return tuple(sorted(float((pts - start) * video.time_base) for pts in ticks if pts is not None))


def decoders(
    clips: Clips, progress: Progress, seconds: int, rounds: int, codecs: Sequence[Codec]
) -> tuple[Results, list[Table]]:
    """Measure.

    Args:
        clips: The films.
        progress: Shows what is being done.
        seconds: Their length.
        rounds: How often everything is measured; rounds are interleaved.
        codecs: Which formats.

    Returns:
        Per method, codec and interval what was measured, and the tables to print.
    """
    orders = {}
    for codec in codecs:
        film = clips.film(codec, seconds)
        keys_s = keyframe_times_s(film.path)
        for interval_s in INTERVALS_S:
            orders[codec.name, interval_s] = Order(
                film.path, codec.format_name, interval_s, film.duration_s, RATE, keys_s
            )
    task = progress.add_task("decoders", total=rounds * len(orders) * len(METHODS))
    samples: dict[tuple[str, str, float], list[Measured]] = {}
    for _ in range(rounds):
        for (codec_name, interval_s), order in orders.items():
            for name in METHODS:
                progress.update(task, description=f"{name}: {codec_name}, every {interval_s:g} s")
                samples.setdefault((name, codec_name, interval_s), []).append(_once(name, order))
                progress.advance(task)
    progress.remove_task(task)
    results = {key: _middle(measurements) for key, measurements in samples.items()}
    names = [codec.name for codec in codecs]
    duration_s = next(iter(orders.values())).duration_s
    return results, [_costs(results, names, duration_s), _ratios(results, names), _limits(results, names)]


def _once(name: str, order: Order) -> Measured:
    try:
        times_s, cost = measured(run_method, name, order)
    except Failed as failed:
        return Measured(failed=failed.brief, reason=failed.reason)
    if not times_s:
        return Measured(failed="no frame")
    given = sorted(times_s)
    return Measured(
        cost.cpu_s,
        cost.peak_bytes,
        _missed(given, order),
        len(order.wanted_s),
        inexact=name in _INEXACT,
        largest_gap_s=max((after - before for before, after in pairwise(given)), default=0.0),
    )


def _missed(given: Sequence[float], order: Order) -> int:
    """Wanted times without a frame nearer than one and a half frames; rounding takes up to half of one."""
    missed = 0
    for wanted_s in order.wanted_s:
        place = bisect_left(given, wanted_s)
        distance_s = min(abs(at_s - wanted_s) for at_s in given[max(place - 1, 0) : place + 1])
        missed += distance_s > 1.5 / order.rate
    return missed


def _middle(measurements: Sequence[Measured]) -> Measured:
    best = sorted(measurements, key=lambda one: one.cpu_s)[len(measurements) // 2]
    if any(one.failed for one in measurements):
        return next(one for one in measurements if one.failed)
    return replace(best, cpu_s=median(one.cpu_s for one in measurements))


def _costs(results: Results, codecs: Sequence[str], duration_s: float) -> Table:
    table = Table(
        title=f"CPU seconds for {duration_s:.0f} s of 854x480: a sample every 5 s / every 1 s "
        "(off: samples further than a frame from the wanted time)",
        title_justify="left",
    )
    table.add_column("decoder")
    for codec in codecs:
        table.add_column(codec, justify="right")
    table.add_column("peak MB", justify="right")
    for name in METHODS:
        cells = []
        for codec in codecs:
            sparse, dense = (results[name, codec, interval_s] for interval_s in INTERVALS_S)
            both = f"{sparse.text()} / {dense.text()}"
            cells.append(sparse.failed if sparse.failed and sparse.failed == dense.failed else both)
        peak = max(one.peak_bytes for key, one in results.items() if key[0] == name)
        table.add_row(name, *cells, f"{peak / 1e6:.0f}" if peak else "")
        if name in _INEXACT:
            gaps = [
                [results[name, codec, interval_s].largest_gap_s for interval_s in INTERVALS_S]
                for codec in codecs
            ]
            table.add_row("  its largest gap, s", *(f"{sparse:.1f} / {dense:.1f}" for sparse, dense in gaps))
    return table


def _ratios(results: Results, codecs: Sequence[str]) -> Table:
    table = Table(title="how many times less CPU than ...", title_justify="left")
    table.add_column("")
    for codec in codecs:
        table.add_column(codec, justify="right")
    for mode in (_EXACT, _ECONOMICAL):
        for interval_s in INTERVALS_S:
            for other, label in ((_PROPOSAL, "the proposal"), (_SEQUENTIAL, "OpenCV sequential")):
                cells = []
                for codec in codecs:
                    factor = ratio(results, other, mode, codec, interval_s)
                    least = 1.0 if other == _SEQUENTIAL else WANTED.get((mode, interval_s, codec))
                    cells.append(_verdict(factor, least))
                table.add_row(f"{mode}, {interval_s:g} s: {label}", *cells)
    return table


def _verdict(factor: float | None, least: float | None) -> str:
    if factor is None:
        return "alone"
    if least is None:
        return f"{factor:.1f}"
    return f"{factor:.1f} ({'met' if factor >= least else 'MISSED'}: {least:g})"


def _limits(results: Results, codecs: Sequence[str]) -> Table:
    table = Table(
        title=f"CPU over the limit's (exact mode; at most {_LIMIT_WANTED} wanted, "
        "below 1 where frames that nothing refers to are skipped)",
        title_justify="left",
    )
    table.add_column("a sample every")
    for codec in codecs:
        table.add_column(codec, justify="right")
    for interval_s in INTERVALS_S:
        cells = []
        for codec in codecs:
            factor = ratio(results, _EXACT, _LIMIT, codec, interval_s)
            cells.append("" if factor is None else _over(factor))
        table.add_row(f"{interval_s:g} s", *cells)
    return table


def _over(factor: float) -> str:
    return f"{factor:.2f} ({'met' if factor <= _LIMIT_WANTED else 'MISSED'})"


def ratio(results: Results, above: str, below: str, codec: str, interval_s: float) -> float | None:
    """One method's CPU seconds over another's; None where one of them has no figure."""
    first, second = results[above, codec, interval_s], results[below, codec, interval_s]
    if first.failed or second.failed or not second.cpu_s:
        return None
    return first.cpu_s / second.cpu_s


def figures(results: Results) -> dict[str, object]:
    """What goes into the last line: CPU seconds by method, codec and interval, and the ratios asked for."""
    found: dict[str, object] = {}
    for (name, codec, interval_s), one in results.items():
        key = f"{_slug(name)}_{_slug(codec)}_{interval_s:g}s"
        found[key] = f"{one.failed}: {one.reason}"[:120] if one.failed else round(one.cpu_s, 2)
    present = {codec for _, codec, _ in results}
    for (mode, interval_s, codec), least in WANTED.items():
        if codec in present:
            factor = ratio(results, _PROPOSAL, mode, codec, interval_s)
            key = f"proposal_over_{_slug(mode)}_{_slug(codec)}_{interval_s:g}s"
            found[key] = {"ratio": factor and round(factor, 2), "wanted": least}
    for codec in present:
        for interval_s in INTERVALS_S:
            factor = ratio(results, _EXACT, _LIMIT, codec, interval_s)
            found[f"over_limit_{_slug(codec)}_{interval_s:g}s"] = factor and round(factor, 3)
    return found


def _slug(text: str) -> str:
    return "_".join("".join(char if char.isalnum() else " " for char in text.lower()).split())


def show(console: Console, tables: Sequence[Table]) -> None:
    """Print tables."""
    for table in tables:
        console.print(table)


__all__ = ["CODECS", "INTERVALS_S", "Measured", "decoders", "figures", "keyframe_times_s", "ratio", "show"]

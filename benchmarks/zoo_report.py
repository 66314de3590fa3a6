"""What was measured in the zoo: figures for machines, a table for the terminal, one for the documentation."""

import importlib.metadata
import os
import platform
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import quantiles
from typing import Any

from rich.table import Table

from benchmarks.peak import Peak
from benchmarks.zoo_rounds import Result

Figures = dict[str, Any]
BEGIN, END = "<!-- zoo: begin -->", "<!-- zoo: end -->"
"""Between these lines of the documentation everything is replaced by what was measured."""
_SPEED = ("1 at a time", "best batch", "p50 / p99 ms")
_COSTS = ("MB", "MB, best batch", "load s", "file MB", "of peak", "fits")
_LIBRARIES = ("torch", "torchvision", "onnxruntime", "openvino", "numpy")


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What a model must reach to be of use; lines in the plot, a mark in the table.

    Attributes:
        per_s: Pictures a second, one at a time on one core.
        resident_mb: Resident megabytes of a process that scores pictures one at a time.
    """

    per_s: float
    resident_mb: float

    def met_by(self, engine: Figures) -> bool:
        """Whether an engine's figures reach both."""
        one = engine["cores"].get("1")
        return (
            one is not None and one["single_per_s"] >= self.per_s and one["resident_mb"] <= self.resident_mb
        )


def make_figures(
    results: Iterable[Result],
    multiply_adds: Mapping[str, int],
    peak: Peak | None,
    thresholds: Thresholds,
) -> Figures:
    """Sum the measurements up.

    Args:
        results: Of all cells.
        multiply_adds: Of one picture, by model.
        peak: Of this machine, if it was measured.
        thresholds: What counts as fitting.

    Returns:
        Figures made of plain values, by model and engine.
    """
    models: Figures = {}
    for result in results:
        job = result.job
        model = models.setdefault(
            job.model, {"million_multiply_adds": round(multiply_adds[job.model] / 1e6), "engines": {}}
        )
        engine = model["engines"].setdefault(
            job.engine, {"file_mb": round(result.file_bytes / 1e6, 1), "cores": {}, "failed": ""}
        )
        if result.failed:
            engine["failed"] = result.failed
            continue
        if result.load_s is not None:
            engine["load_s"] = round(result.load_s, 2)
        engine["cores"][str(len(job.cores))] = _of_cell(result)
        if peak is not None and len(job.cores) == 1:
            precision = "int8" if job.engine.endswith("int8") else "fp32"
            best = result.per_s(result.best_batch)
            engine["share_of_peak"] = round(peak.share(best, multiply_adds[job.model], precision), 3)
    for model in models.values():
        for engine in model["engines"].values():
            engine["fits"] = thresholds.met_by(engine)
    return {
        "machine": _machine() | {"peak": asdict(peak) if peak else None},
        "thresholds": asdict(thresholds),
        "models": models,
    }


def _of_cell(result: Result) -> Figures:
    calls = result.calls_s if len(result.calls_s) > 1 else result.calls_s * 2
    cuts = quantiles(calls, n=100, method="inclusive")
    return {
        "single_per_s": round(result.per_s(1), 1),
        "best_per_s": round(result.per_s(result.best_batch), 1),
        "best_batch": result.best_batch,
        "p50_ms": round(cuts[49] * 1e3, 1),
        "p99_ms": round(cuts[98] * 1e3, 1),
        "calls": len(result.calls_s),
        "resident_mb": round(result.resident_bytes[1] / 1e6),
        "resident_best_mb": round(result.resident_bytes[result.best_batch] / 1e6),
    }


def _machine() -> Figures:
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in _LIBRARIES},
    }


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    name = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    vector = "AVX-512 VNNI" if "avx512_vnni" in text else "AVX-VNNI" if "avx_vnni" in text else "no VNNI"
    return f"{name[1] if name else platform.machine()}, {vector}"


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def headings(figures: Figures) -> list[str]:
    """The columns: engine, a group of three for each number of cores, and what an engine costs."""
    groups = [
        f"{cores} {'core' if cores == '1' else 'cores'}: {heading}" if index == 0 else heading
        for cores in _cores(figures)
        for index, heading in enumerate(_SPEED)
    ]
    return ["engine", *groups, *_COSTS]


def rows(figures: Figures) -> Iterator[tuple[str, list[list[str]]]]:
    """Lay the figures out as text.

    Args:
        figures: As `make_figures` gives them.

    Yields:
        A model with millions of multiply-adds, and a row for each engine that could be measured, as
        `headings` names its cells.
    """
    cores = _cores(figures)
    for name, model in figures["models"].items():
        engines = [_row(key, engine, cores) for key, engine in model["engines"].items() if engine["cores"]]
        yield f"{name} ({model['million_multiply_adds']} M)", engines


def failures(figures: Figures) -> list[str]:
    """A line for each engine that could not run a model."""
    return [
        f"{name} on {key}: {engine['failed']}"
        for name, model in figures["models"].items()
        for key, engine in model["engines"].items()
        if engine["failed"]
    ]


def _cores(figures: Figures) -> list[str]:
    """The numbers of cores that anything was measured on."""
    found = {
        cores
        for model in figures["models"].values()
        for engine in model["engines"].values()
        for cores in engine["cores"]
    }
    return sorted(found, key=int)


def _row(name: str, engine: Figures, cores: list[str]) -> list[str]:
    fewest = engine["cores"].get(cores[0])
    return [
        name,
        *(cell for count in cores for cell in _speed(engine["cores"].get(count, {}))),
        f"{fewest['resident_mb']}" if fewest else "",
        f"{fewest['resident_best_mb']}" if fewest else "",
        f"{engine['load_s']:.1f}" if "load_s" in engine else "",
        f"{engine['file_mb']:.1f}",
        f"{engine['share_of_peak']:.0%}" if "share_of_peak" in engine else "",
        "✓" if engine["fits"] else "",
    ]


def _speed(cores: Figures) -> Sequence[str]:
    if not cores:
        return ("", "", "")
    return (
        _figure(cores["single_per_s"]),
        f"{_figure(cores['best_per_s'])} @{cores['best_batch']}",
        f"{cores['p50_ms']:.1f} / {cores['p99_ms']:.1f}",
    )


def _figure(value: float) -> str:
    return f"{value:.1f}" if value < 20 else f"{value:.0f}"


def table(figures: Figures) -> Table:
    """Lay the figures out for a terminal of 150 columns."""
    laid = Table(title="The zoo: pictures a second, latency, memory", title_justify="left")
    for index, heading in enumerate(headings(figures)):
        laid.add_column(heading.replace(": ", ":\n"), justify="right" if index else "left", no_wrap=not index)
    for title, lines in rows(figures):
        laid.add_row(f"[bold]{title}[/]")
        for line in lines:
            laid.add_row(f"  {line[0]}", *line[1:], style="" if line[-1] else "dim")
        laid.add_section()
    return laid


def note(figures: Figures) -> str:
    """One sentence on the machine and what `fits` means."""
    machine, thresholds = figures["machine"], figures["thresholds"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items() if version)
    peak = machine["peak"]
    at_most = (
        f" At most one core does {peak['fp32_gmac_per_s']:.0f} thousand million multiply-adds a second "
        f"in fp32, {peak['int8_gmac_per_s']:.0f} in int8."
        if peak
        else ""
    )
    return (
        f"{machine['processor']}, {machine['cores']} cores; Python {machine['python']}, {versions}.{at_most} "
        f"Fits (✓): at least {thresholds['per_s']:g} pictures a second, one at a time on one core, "
        f"in at most {thresholds['resident_mb']:g} MB."
    )


def markdown(figures: Figures) -> str:
    """The table for the documentation, in Markdown."""
    columns = headings(figures)
    lines = ["| | " + " | ".join(columns) + " |", "|---|---" + "|---:" * (len(columns) - 1) + "|"]
    for title, engines in rows(figures):
        for index, cells in enumerate(engines):
            lines.append("| " + " | ".join([f"**{title}**" if index == 0 else "", *cells]) + " |")
    failed = [f"- Not measured: {failure}" for failure in failures(figures)]
    return "\n".join([*lines, "", note(figures), *([""] if failed else []), *failed])


def replaced(page: str, block: str) -> str:
    """Put a block between the two marks of a page.

    Args:
        page: The page's text.
        block: What goes between.

    Returns:
        The new text.

    Raises:
        ValueError: Where the page does not have both marks, once each and in order.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in after or END in after:
        raise ValueError(f"the page needs one {BEGIN} and one {END} after it")
    return f"{before}{BEGIN}\n{block.strip()}\n{END}{after}"

"""Many runs in one table: what each architecture reaches, what it costs, and how far seeds alone move it.

A run is one training with one seed. Runs of one name differ by seed only; their mean carries Student's
interval over the seeds, which says how well it is known, and a single run carries none. Columns follow the
proposal's comparison report.
"""

import itertools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import mean, stdev
from typing import Final

from classifier.evaluation import wording
from classifier.evaluation.errors import EvaluationError
from classifier.evaluation.markdown import escaped, table
from classifier.evaluation.pairs import PAIR_HEADER, PAIRING, Pair, pair_row
from classifier.evaluation.report import stylesheet, template

_QUANTILES: Final = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
"""Of Student's distribution at 97.5 %, for 1 to 30 degrees of freedom."""


@dataclass(frozen=True, slots=True)
class Run:
    """One training and what came out; None where something was not measured.

    Attributes:
        name: What runs of other seeds share.
        seed: Of this one.
        accuracy: On the test set, in 0..1, like the next three.
        precision: Share of flags that are right.
        recall: Share of positives that are flagged.
        f1: Of both.
        size_bytes: Of the weights' file.
        parameters: How many.
        latency_ms: Milliseconds a picture.
        memory_bytes: At inference, at most.
        epochs: Until the validation figure was at its best.
    """

    name: str
    seed: int
    accuracy: float | None = None
    precision: float | None = None
    recall: float | None = None
    f1: float | None = None
    size_bytes: int | None = None
    parameters: int | None = None
    latency_ms: float | None = None
    memory_bytes: int | None = None
    epochs: float | None = None


@dataclass(frozen=True, slots=True)
class Quoted:
    """What others published, on their own data.

    Attributes:
        name: Of their model.
        figure: In their words.
        source: Where it is published.
    """

    name: str
    figure: str
    source: str


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over seeds.

    Attributes:
        mean: None where no run has it.
        half: How far Student's 95 % interval reaches to each side; None for fewer than two runs.
        runs: How many have it.
    """

    mean: float | None
    half: float | None
    runs: int


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the table.

    Attributes:
        title: Its heading.
        field: Of `Run`.
        scale: What to multiply with for showing.
        digits: After the point.
        lower_is_better: Which end is the good one.
    """

    title: str
    field: str
    scale: float = 1.0
    digits: int = 1
    lower_is_better: bool = False


COLUMNS: Final = (
    Column("Accuracy, %", "accuracy", 100),
    Column("Precision, %", "precision", 100),
    Column("Recall, %", "recall", 100),
    Column("F1, %", "f1", 100),
    Column("Size, MB", "size_bytes", 1e-6, 1, lower_is_better=True),
    Column("Parameters, million", "parameters", 1e-6, 2, lower_is_better=True),
    Column("Latency, ms a picture", "latency_ms", 1, 1, lower_is_better=True),
    Column("Memory, MB", "memory_bytes", 1e-6, 0, lower_is_better=True),
    Column("Epochs to converge", "epochs", 1, 1, lower_is_better=True),
)


@dataclass(frozen=True, slots=True)
class Row:
    """All runs of one name.

    Attributes:
        name: What they share.
        seeds: Theirs, rising.
        spreads: One per column.
    """

    name: str
    seeds: tuple[int, ...]
    spreads: tuple[Spread, ...]


def rows(runs: Sequence[Run]) -> tuple[Row, ...]:
    """Gather runs by name, the best mean accuracy first.

    Raises:
        EvaluationError: No runs, the same seed twice, or a figure that is not a number.
    """
    if not runs:
        raise EvaluationError("There are no runs to compare.")
    by_name: dict[str, list[Run]] = {}
    for run in runs:
        by_name.setdefault(run.name, []).append(run)
    gathered = [_row(name, found) for name, found in by_name.items()]
    return tuple(sorted(gathered, key=lambda row: (-(row.spreads[0].mean or 0.0), row.name)))


def spread(values: Sequence[float]) -> Spread:
    """Mean and Student's 95 % interval of independent values."""
    if len(values) < 2:
        return Spread(values[0] if values else None, None, len(values))
    freedom = len(values) - 1
    quantile = _QUANTILES[freedom - 1] if freedom <= len(_QUANTILES) else 1.96 + 2.45 / freedom
    return Spread(mean(values), quantile * stdev(values) / math.sqrt(len(values)), len(values))


def render_markdown(
    runs: Sequence[Run],
    *,
    title: str,
    note: str,
    quoted: Sequence[Quoted] = (),
    pairs: Sequence[Pair] = (),
    limits: Mapping[str, float] | None = None,
    notices: Sequence[str] = (),
) -> str:
    """Write the table.

    Args:
        runs: All of them, in any order.
        title: Plain text, like the rest.
        note: What was trained on what, and how it was measured.
        quoted: Published figures of others, kept apart.
        pairs: Comparisons item by item.
        limits: The most that a column may have, by its field in `Run`; what is over is marked.
        notices: What has to be known before any figure is read, a sentence each.

    Returns:
        Markdown.

    Raises:
        EvaluationError: As for `rows`.
    """
    body = [
        (
            escaped(row.name),
            str(len(row.seeds)),
            *(
                " ".join(filter(None, (shown(*pair), over_limit(*pair, limits or {}))))
                for pair in zip(row.spreads, COLUMNS, strict=True)
            ),
        )
        for row in rows(runs)
    ]
    header = ("Model", "Seeds", *(column.title for column in COLUMNS))
    known = "".join(f"**{escaped(notice)}**\n\n" for notice in notices)
    text = f"# {escaped(title)}\n\n{known}{escaped(note)}\n\n{READING}\n\n{table(header, body)}"
    if pairs:
        text += f"\n## Pair by pair\n\n{escaped(PAIRING)}\n\n"
        cells = [
            [f"{figure} ({span})" if span else figure for figure, span in pair_row(one)] for one in pairs
        ]
        text += table(PAIR_HEADER, [tuple(map(escaped, row)) for row in cells])
    if quoted:
        theirs = [(escaped(one.name), escaped(one.figure), escaped(one.source)) for one in quoted]
        text += (
            f"\n## Figures of others\n\n{NOT_COMPARABLE}\n\n{table(('Model', 'Published', 'Source'), theirs)}"
        )
    return text


def render_html(
    runs: Sequence[Run],
    *,
    title: str,
    note: str,
    quoted: Sequence[Quoted] = (),
    pairs: Sequence[Pair] = (),
    limits: Mapping[str, float] | None = None,
    notices: Sequence[str] = (),
) -> str:
    """Render the table as a page that needs nothing but itself; arguments and errors as for the other one."""
    gathered = rows(runs)
    return template("comparison.html").render(
        title=title,
        note=note,
        css=stylesheet(),
        reading=READING,
        not_comparable=NOT_COMPARABLE,
        columns=COLUMNS,
        rows=gathered,
        quoted=quoted,
        pairs=[pair_row(pair) for pair in pairs],
        pair_header=PAIR_HEADER,
        pairing=PAIRING,
        notices=notices,
        shown=shown,
        over=lambda found, column: over_limit(found, column, limits or {}),
        bar=_bars(gathered),
    )


def to_json(
    runs: Sequence[Run],
    *,
    pairs: Sequence[Pair] = (),
    limits: Mapping[str, float] | None = None,
    notices: Sequence[str] = (),
) -> bytes:
    """All of it as JSON, UTF-8, indented; arguments and errors as for `render_markdown`."""
    table = {
        "format": 1,
        "notices": list(notices),
        "limits": dict(limits or {}),
        "runs": [asdict(run) for run in runs],
        "models": [
            {
                "name": row.name,
                "seeds": list(row.seeds),
                **{column.field: asdict(found) for column, found in zip(COLUMNS, row.spreads, strict=True)},
                "over_limits": [
                    column.field
                    for column, found in zip(COLUMNS, row.spreads, strict=True)
                    if over_limit(found, column, limits or {})
                ],
            }
            for row in rows(runs)
        ],
        "pairs": [asdict(pair) for pair in pairs],
    }
    return json.dumps(table, indent=2, ensure_ascii=False, allow_nan=False).encode() + b"\n"


READING: Final = (
    "Means over seeds, with Student's 95 % interval where there are two or more. Where intervals overlap, "
    "this table alone cannot say which model is better."
)
NOT_COMPARABLE: Final = (
    "Published by others, on their own data and in their own way: not to be compared with the figures above."
)


def shown(found: Spread, column: Column) -> str:
    """A cell."""
    if found.mean is None:
        return wording.MISSING
    figure = f"{found.mean * column.scale:,.{column.digits}f}"
    # What every seed shares, such as the size, has nothing to vary.
    return figure if not found.half else f"{figure} ± {found.half * column.scale:,.{column.digits}f}"


def over_limit(found: Spread, column: Column, limits: Mapping[str, float]) -> str:
    """The remark on a cell whose mean is over its limit, else ""."""
    limit = limits.get(column.field)
    if limit is None or found.mean is None or found.mean <= limit:
        return ""
    return f"over {limit * column.scale:,.10g}"


def _row(name: str, runs: Sequence[Run]) -> Row:
    seeds = sorted(run.seed for run in runs)
    twice = [seed for seed, following in itertools.pairwise(seeds) if seed == following]
    if twice:
        raise EvaluationError(f"Two runs of {name!r} have the seed {twice[0]}.")
    return Row(name, tuple(seeds), tuple(spread(_values(runs, column.field)) for column in COLUMNS))


def _values(runs: Sequence[Run], field: str) -> list[float]:
    values = [float(getattr(run, field)) for run in runs if getattr(run, field) is not None]
    if not all(map(math.isfinite, values)):
        raise EvaluationError(f"A run of {runs[0].name!r} has a {field} that is not a number.")
    return values


def _bars(gathered: Sequence[Row]) -> Callable[[int, Spread], float]:
    """How long the bar of a cell is, in per cent of the column's largest figure."""
    largest = [
        max((row.spreads[place].mean or 0.0 for row in gathered), default=0.0)
        for place in range(len(COLUMNS))
    ]

    def length(place: int, found: Spread) -> float:
        whole = 1.0 if COLUMNS[place].scale == 100 else largest[place]
        return 100 * (found.mean or 0.0) / whole if whole else 0.0

    return length


__all__ = [
    "COLUMNS",
    "Column",
    "Quoted",
    "Row",
    "Run",
    "Spread",
    "over_limit",
    "render_html",
    "render_markdown",
    "rows",
    "shown",
    "spread",
    "to_json",
]

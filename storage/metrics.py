"""How good the model is in production, as estimates with intervals (promise 5), and what cannot be known.

The queries are in `storage.metric_rows`, the arithmetic in `storage.weighted_estimates`, `agreement`,
`waiting` and `drift`; here it is put together, and here it is told where an estimate must not be trusted.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

import numpy as np
from sqlalchemy.orm import Session

from storage import drift, metric_rows
from storage.agreement import agreement
from storage.estimates import Estimate
from storage.metric_rows import FLAGGED_UNDRAWN, UNDRAWN, Asked, Counted
from storage.metric_values import (
    Alert,
    Change,
    CurvePoint,
    Experience,
    FeedbackMetrics,
    Grouping,
    Load,
    Measures,
    Selection,
)
from storage.waiting import waiting
from storage.weighted_estimates import Bools, Cell, Estimates, Floats, Sample, estimate

CURVE = tuple(step / 20 for step in range(1, 20))
FINE = (0.001, 0.003, 0.01, 0.02, 0.99)
"""Further edges of the bins in which scores are compared: most are near 0."""
FEW_ASKED = 5
"""A day with fewer items may be left without a decision by chance."""
UNANSWERED = 0.5
"""From this share of items without a decision on, that is told."""
UNKNOWN = Estimate(None, 0.0, 1.0, 0, 0.0)

Label = Callable[[Asked], float]
_UNDRAWN = frozenset((UNDRAWN, FLAGGED_UNDRAWN))


@dataclass(frozen=True, slots=True)
class _Flags:
    """What counts as flagged: what the bot flagged, or all scores from a threshold on.

    Attributes:
        bins: How many edges a score reaches there; None: what the bot flagged.
    """

    bins: int | None

    def __call__(self, row: Counted | Asked) -> bool:
        return row.flagged if self.bins is None else row.bin >= self.bins


class _Set:
    """Some uploads: how many there are of each kind, and those people were asked about, as columns too."""

    def __init__(self, counts: Sequence[Counted], asked: Sequence[Asked]) -> None:
        self.counts = counts
        self.asked = asked
        self.strata = np.array([item.stratum for item in asked], dtype=np.str_)
        self.bins = np.array([item.bin for item in asked], dtype=np.int64)
        self.flagged = np.array([item.flagged for item in asked], dtype=np.bool_)
        self.probabilities = np.array([item.probability for item in asked], dtype=np.float64)
        self.scores = np.array([item.score for item in asked], dtype=np.float64)

    def mask(self, flags: _Flags) -> Bools:
        """Which of the items are flagged."""
        return self.flagged if flags.bins is None else self.bins >= flags.bins

    def labels(self, label: Label) -> Floats:
        """The labels of the items."""
        return np.array([label(item) for item in self.asked], dtype=np.float64)

    def drawn(self) -> "_Set":
        """Those that were scored while there was an audit."""
        if not self.unasked():
            return self
        return _Set(
            [row for row in self.counts if row.stratum not in _UNDRAWN],
            [item for item in self.asked if item.stratum not in _UNDRAWN],
        )

    def unasked(self) -> int:
        """How many uploads had no chance to be drawn."""
        if any(item.stratum == UNDRAWN for item in self.asked):
            return 0
        return sum(row.count for row in self.counts if row.stratum == UNDRAWN)


def metrics(tx: Session, selection: Selection, now: datetime) -> FeedbackMetrics:
    """Compute everything that `metrics` tells.

    Args:
        tx: A session of `Database.read()`, which sees one instant.
        selection: Which uploads.
        now: The present, for items that still wait.

    Returns:
        The numbers and the reservations.
    """
    edges = _edges(selection)
    length = selection.until - selection.since
    days = max((min(selection.until, now) - selection.since) / timedelta(days=1), 1e-9)
    everything = metric_rows.counted(tx, selection, edges, selection.since - length)
    current = [row for row in everything if row.current]
    items = _items(tx, selection, edges, current)
    names = metric_rows.model_names(tx)
    groups = _by_group(selection, current, items, names)
    chosen, flags = _Set(current, items), _flags(edges, selection.threshold)
    whole = _measures("all", chosen, flags)
    decided = sum(item.decisions for item in items)
    skips = metric_rows.skipped(tx, selection.since - length, selection.since, selection.until)
    return FeedbackMetrics(
        selection=selection,
        whole=whole,
        groups=groups,
        curve=_curve(chosen, edges, days),
        agreement=agreement([(item.ayes, item.noes) for item in items]),
        waiting=waiting(((item.created_at, item.decided_at) for item in items), now),
        load=Load(whole.flagged / days, whole.chosen / days, decided / days),
        drift=_drift(everything, len(edges) + 1, skips),
        caveats=(*_mixed(current, names), *_idle_days(items), *whole.caveats),
    )


def headline(tx: Session, now: datetime, days: float = 30) -> tuple[Measures, Sequence[Change]]:
    """What a dashboard shows: the measures of the last days, and what changed since those before.

    Args:
        tx: A session of `Database.read()`.
        now: The present.
        days: How far back.

    Returns:
        The measures as the bot flagged, and the changes.
    """
    selection = Selection(now - timedelta(days=days), now)
    edges = _edges(selection)
    before = selection.since - timedelta(days=days)
    everything = metric_rows.counted(tx, selection, edges, before)
    current = [row for row in everything if row.current]
    items = _items(tx, selection, edges, current)
    skips = metric_rows.skipped(tx, before, selection.since, now)
    return (
        _measures("all", _Set(current, items), _flags(edges, None)),
        _drift(everything, len(edges) + 1, skips),
    )


def _items(
    tx: Session, selection: Selection, edges: Sequence[float], counts: Sequence[Counted]
) -> list[Asked]:
    """What people were asked about, as far as it was counted: a model's second version may not have been."""
    known = {(row.stratum, row.flagged, row.bin, row.group) for row in counts}
    return [
        item
        for item in metric_rows.asked(tx, selection, edges)
        if (item.stratum, item.flagged, item.bin, item.group) in known
    ]


def _edges(selection: Selection) -> tuple[float, ...]:
    own = () if selection.threshold is None else (selection.threshold,)
    return tuple(sorted({*CURVE, *FINE, *own}))


def _flags(edges: Sequence[float], threshold: float | None) -> _Flags:
    return _Flags(None if threshold is None else edges.index(threshold) + 1)


def _by_group(
    selection: Selection, counts: Sequence[Counted], items: Sequence[Asked], models: Mapping[int, str]
) -> list[Measures]:
    if selection.by is None:
        return []

    def name_of(row: Counted | Asked) -> str:
        return models[int(row.group)] if selection.by is Grouping.MODEL else row.group

    flags = _flags(_edges(selection), selection.threshold)
    sets: dict[str, tuple[list[Counted], list[Asked]]] = {}
    for row in counts:
        sets.setdefault(name_of(row), ([], []))[0].append(row)
    for item in items:
        sets[name_of(item)][1].append(item)
    return [_measures(name, _Set(*sets[name]), flags) for name in sorted(sets, key=_natural)]


def _natural(name: str) -> tuple[int, str]:
    order = [kind.value for kind in Experience]
    return (order.index(name) if name in order else len(order), name)


def _measures(name: str, chosen: _Set, flags: _Flags) -> Measures:
    main = _estimated(chosen, flags, _agreed)
    unresolved = sum(1 for item in chosen.asked if item.looked_at and item.label is None)
    none = every = main
    if unresolved:
        none = _estimated(chosen, flags, lambda item: _resolved(item, 0.0))
        every = _estimated(chosen, flags, lambda item: _resolved(item, 1.0))
    recalls = [one.recall.value for one in (none, every)]
    flagged = _Set(
        [row for row in chosen.counts if flags(row)], [item for item in chosen.asked if flags(item)]
    )
    return Measures(
        name=name,
        scored=main.population,
        flagged=main.flagged,
        chosen=len(chosen.asked),
        labelled=sum(1 for item in chosen.asked if item.label is not None),
        unresolved=unresolved,
        precision=main.precision,
        recall=main.recall,
        f1=main.f1,
        prevalence=main.prevalence,
        precision_bounds=(none.precision.value, every.precision.value),
        recall_bounds=_ordered(recalls),
        blind=_estimated(flagged, flags, lambda item: _number(item.blind)).precision,
        unblinded=_estimated(flagged, flags, lambda item: _number(item.unblinded)).precision,
        caveats=_caveats(chosen, flags, main),
    )


def _estimated(chosen: _Set, flags: _Flags, label: Label) -> Estimates:
    """The weighted estimates; what was scored before there was an audit tells of the precision alone."""
    found = _of_set(chosen, flags, chosen.labels(label), chosen.scores)
    drawn = chosen.drawn()
    if drawn is chosen or bool(drawn.mask(flags).all()):
        return found
    audited = _of_set(drawn, flags, drawn.labels(label))
    return replace(found, recall=audited.recall, f1=audited.f1, prevalence=audited.prevalence)


def _of_set(chosen: _Set, flags: _Flags, labels: Floats, scores: Floats | None = None) -> Estimates:
    """The estimates; everything unknown where nothing was scored or nobody decided."""
    population: Counter[Cell] = Counter()
    for row in chosen.counts:
        population[row.stratum, flags(row)] += row.count
    if not population or bool(np.isnan(labels).all()):
        flagged = sum(count for (_stratum, is_flagged), count in population.items() if is_flagged)
        return Estimates(UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, sum(population.values()), flagged)
    sample = Sample(chosen.strata, chosen.mask(flags), labels, chosen.probabilities, scores)
    return estimate(sample, population)


def _agreed(item: Asked) -> float:
    return _number(item.label)


def _resolved(item: Asked, unresolved: float) -> float:
    return unresolved if item.looked_at and item.label is None else _number(item.label)


def _number(label: bool | None) -> float:
    return np.nan if label is None else float(label)


def _ordered(values: Iterable[float | None]) -> tuple[float | None, float | None]:
    known = sorted(value for value in values if value is not None)
    return (known[0], known[-1]) if known else (None, None)


def _caveats(chosen: _Set, flags: _Flags, found: Estimates) -> tuple[str, ...]:
    """What the numbers cannot say; where nothing is known, why."""
    sentences: list[str] = []
    unflagged = [item for item in chosen.asked if not flags(item)]
    if not found.population:
        return ("no upload was scored in this period",)
    if not any(item.label is not None for item in chosen.asked):
        sentences.append("nobody decided on any of these files yet: nothing can be estimated")
    elif found.population > found.flagged and not any(item.label is not None for item in unflagged):
        sentences.append(
            "recall is unknown: "
            + (
                "none of the audit sample is decided yet"
                if unflagged
                else "no file that was not flagged was drawn for review, so nobody knows what was missed"
            )
        )
    if unflagged and (unasked := chosen.unasked()):
        sentences.append(
            f"{unasked} of {found.population} files had no chance to be drawn for the audit sample; recall "
            "and prevalence are about the others"
        )
    undecided = sum(1 for item in chosen.asked if item.label is None)
    if chosen.asked and undecided >= UNANSWERED * len(chosen.asked):
        sentences.append(
            f"{undecided} of {len(chosen.asked)} files put up for review have no agreed decision; the "
            "estimate holds only if those that have are a fair part of them"
        )
    return (*sentences, *found.reasons)


def _mixed(counts: Sequence[Counted], names: Mapping[int, str]) -> tuple[str, ...]:
    used = Counter[str]()
    for row in counts:
        used[names.get(row.model, "?")] += row.count
    if len(used) < 2:
        return ()
    listed = ", ".join(f"{name} ({count} files)" for name, count in used.most_common())
    return (
        f"the model changed in this period: {listed}; the numbers below mix them and describe none. "
        "Ask for --by model, or --model",
    )


def _idle_days(items: Sequence[Asked]) -> tuple[str, ...]:
    """Days of which nobody decided on anything, though people decided on later ones."""
    asked: Counter[date] = Counter(item.created_at.date() for item in items)
    decided = {item.created_at.date() for item in items if item.label is not None}
    idle = sorted(
        day
        for day, count in asked.items()
        if count >= FEW_ASKED and day not in decided and day < max(decided, default=day)
    )
    if not idle:
        return ()
    listed = ", ".join(f"{day:%Y-%m-%d}" for day in idle[:3]) + (", …" if len(idle) > 3 else "")
    return (
        f"nobody decided on anything that was put up on {len(idle)} of {len(asked)} days ({listed}): the "
        "estimates take those days to be like the others",
    )


def _curve(chosen: _Set, edges: Sequence[float], days: float) -> list[CurvePoint]:
    """Where there was no audit for a while, all of it is about the time when there was one."""
    drawn = chosen.drawn() if any(not item.flagged for item in chosen.asked) else chosen
    labels = drawn.labels(_agreed)
    scored_more = sum(row.count for row in chosen.counts) / max(1, sum(row.count for row in drawn.counts))
    points = []
    for threshold in CURVE:
        found = _of_set(drawn, _flags(edges, threshold), labels)
        per_day = found.flagged * scored_more / days
        points.append(CurvePoint(threshold, found.precision, found.recall, per_day))
    return points


def _drift(counts: Sequence[Counted], bins: int, skips: tuple[int, int]) -> list[Change]:
    spread = {True: [0] * bins, False: [0] * bins}
    flagged, models = {True: 0, False: 0}, {True: set[int](), False: set[int]()}
    for row in counts:
        spread[row.current][row.bin] += row.count
        flagged[row.current] += row.count * row.flagged
        models[row.current].add(row.model)
    scored = {key: sum(values) for key, values in spread.items()}
    skipped_before, skipped_now = skips
    return [
        drift.score_change(spread[True], spread[False], other_model=models[True] != models[False]),
        drift.share_change("flagged", (flagged[True], scored[True]), (flagged[False], scored[False])),
        drift.share_change(
            "skipped",
            (skipped_now, skipped_now + scored[True]),
            (skipped_before, skipped_before + scored[False]),
        ),
    ]


__all__ = ["Alert", "FeedbackMetrics", "headline", "metrics"]

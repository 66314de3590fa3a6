"""How good the model is in production, as estimates with intervals (promise 5), and what cannot be known.

The queries are in `storage.metric_rows` and `storage.metric_items`, the arithmetic in
`storage.weighted_estimates`, `agreement`, `waiting` and `drift`; here it is put together, and here it is told
where an estimate must not be trusted.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

import numpy as np
from sqlalchemy.orm import Session

from storage import drift, metric_items, metric_rows
from storage.agreement import agreement
from storage.estimates import Estimate
from storage.metric_items import Asked
from storage.metric_rows import FLAGGED_UNDRAWN, UNDRAWN, Counted
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

_UNDRAWN = frozenset((UNDRAWN, FLAGGED_UNDRAWN))


@dataclass(frozen=True, slots=True)
class _Flags:
    """What counts as flagged: what the bot flagged, or all scores from a threshold on.

    Attributes:
        bins: How many edges a score reaches there; None: what the bot flagged.
    """

    bins: int | None

    def __call__(self, row: Counted) -> bool:
        return row.flagged if self.bins is None else row.bin >= self.bins


class _Set:
    """Some uploads: how many there are of each kind, and those people were asked about."""

    def __init__(self, counts: Sequence[Counted], asked: Asked) -> None:
        self.counts = counts
        self.asked = asked

    def mask(self, flags: _Flags) -> Bools:
        """Which of the items are flagged."""
        return self.asked.flagged if flags.bins is None else self.asked.bins >= flags.bins

    def drawn(self) -> "_Set":
        """Those that were scored while there was an audit."""
        if not self.unasked():
            return self
        return _Set(
            [row for row in self.counts if row.stratum not in _UNDRAWN],
            self.asked.where(~np.isin(self.asked.strata, list(_UNDRAWN))),
        )

    def unasked(self) -> int:
        """How many uploads had no chance to be drawn."""
        if bool((self.asked.strata == UNDRAWN).any()):
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
    decided = int(items.decisions.sum())
    skips = metric_rows.skipped(tx, selection.since - length, selection.since, selection.until)
    return FeedbackMetrics(
        selection=selection,
        whole=whole,
        groups=groups,
        curve=_curve(chosen, edges, days),
        agreement=agreement(np.stack([items.ayes, items.noes], axis=1)),
        waiting=waiting(zip(items.created_at, items.decided_at, strict=True), now),
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


def _items(tx: Session, selection: Selection, edges: Sequence[float], counts: Sequence[Counted]) -> Asked:
    """What people were asked about, as far as it was counted: a model's second version may not have been."""
    known = {(row.stratum, row.flagged, row.bin, row.group) for row in counts}
    return metric_items.asked(tx, selection, edges, known)


def _edges(selection: Selection) -> tuple[float, ...]:
    own = () if selection.threshold is None else (selection.threshold,)
    return tuple(sorted({*CURVE, *FINE, *own}))


def _flags(edges: Sequence[float], threshold: float | None) -> _Flags:
    return _Flags(None if threshold is None else edges.index(threshold) + 1)


def _by_group(
    selection: Selection, counts: Sequence[Counted], items: Asked, models: Mapping[int, str]
) -> list[Measures]:
    if selection.by is None:
        return []

    def name_of(group: str) -> str:
        return models[int(group)] if selection.by is Grouping.MODEL else group

    flags = _flags(_edges(selection), selection.threshold)
    sets: dict[str, list[Counted]] = {}
    for row in counts:
        sets.setdefault(name_of(row.group), []).append(row)
    names = {group: name_of(group) for group in {row.group for row in counts}}
    found = []
    for name in sorted(sets, key=_natural):
        inside = np.isin(items.groups, [group for group, its in names.items() if its == name])
        found.append(_measures(name, _Set(sets[name], items.where(inside)), flags))
    return found


def _natural(name: str) -> tuple[int, str]:
    order = [kind.value for kind in Experience]
    return (order.index(name) if name in order else len(order), name)


def _measures(name: str, chosen: _Set, flags: _Flags) -> Measures:
    asked, flagged = chosen.asked, chosen.mask(flags)
    main = _estimated(chosen, flags, asked.labels)
    unresolved = asked.unresolved()
    none = every = main
    if bool(unresolved.any()):
        none = _estimated(chosen, flags, np.where(unresolved, 0.0, asked.labels))
        every = _estimated(chosen, flags, np.where(unresolved, 1.0, asked.labels))
    recalls = [one.recall.value for one in (none, every)]
    shown = _Set([row for row in chosen.counts if flags(row)], asked.where(flagged))
    return Measures(
        name=name,
        scored=main.population,
        flagged=main.flagged,
        chosen=len(asked),
        labelled=int((~np.isnan(asked.labels)).sum()),
        unresolved=int(unresolved.sum()),
        precision=main.precision,
        recall=main.recall,
        f1=main.f1,
        prevalence=main.prevalence,
        precision_bounds=(none.precision.value, every.precision.value),
        recall_bounds=_ordered(recalls),
        blind=_estimated(shown, flags, shown.asked.blind).precision,
        hinted=_estimated(shown, flags, shown.asked.hinted).precision,
        unblinded=_estimated(shown, flags, shown.asked.unblinded).precision,
        caveats=_caveats(chosen, flags, main),
    )


def _estimated(chosen: _Set, flags: _Flags, labels: Floats) -> Estimates:
    """The weighted estimates; what was scored before there was an audit tells of the precision alone."""
    found = _of_set(chosen, flags, labels, chosen.asked.scores)
    drawn = chosen.drawn()
    if drawn is chosen or bool(drawn.mask(flags).all()):
        return found
    audited = _of_set(drawn, flags, labels[~np.isin(chosen.asked.strata, list(_UNDRAWN))])
    return replace(found, recall=audited.recall, f1=audited.f1, prevalence=audited.prevalence)


def _of_set(chosen: _Set, flags: _Flags, labels: Floats, scores: Floats | None = None) -> Estimates:
    """The estimates; everything unknown where nothing was scored or nobody decided."""
    population: Counter[Cell] = Counter()
    for row in chosen.counts:
        population[row.stratum, flags(row)] += row.count
    if not population or bool(np.isnan(labels).all()):
        flagged = sum(count for (_stratum, is_flagged), count in population.items() if is_flagged)
        return Estimates(UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, sum(population.values()), flagged)
    asked = chosen.asked
    return estimate(Sample(asked.strata, chosen.mask(flags), labels, asked.probabilities, scores), population)


def _ordered(values: Iterable[float | None]) -> tuple[float | None, float | None]:
    known = sorted(value for value in values if value is not None)
    return (known[0], known[-1]) if known else (None, None)


def _caveats(chosen: _Set, flags: _Flags, found: Estimates) -> tuple[str, ...]:
    """What the numbers cannot say; where nothing is known, why."""
    sentences: list[str] = []
    unflagged, labelled = ~chosen.mask(flags), ~np.isnan(chosen.asked.labels)
    if not found.population:
        return ("no upload was scored in this period",)
    if not bool(labelled.any()):
        sentences.append("nobody decided on any of these files yet: nothing can be estimated")
    elif found.population > found.flagged and not bool((unflagged & labelled).any()):
        sentences.append(
            "recall is unknown: "
            + (
                "none of the audit sample is decided yet"
                if bool(unflagged.any())
                else "no file that was not flagged was drawn for review, so nobody knows what was missed"
            )
        )
    if bool(unflagged.any()) and (unasked := chosen.unasked()):
        sentences.append(
            f"{unasked} of {found.population} files had no chance to be drawn for the audit sample; recall "
            "and prevalence are about the others"
        )
    put_up, undecided = len(labelled), int((~labelled).sum())
    if put_up and undecided >= UNANSWERED * put_up:
        sentences.append(
            f"{undecided} of {put_up} files put up for review have no agreed decision; the "
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


def _idle_days(items: Asked) -> tuple[str, ...]:
    """Days of which nobody decided on anything, though people decided on later ones."""
    asked: Counter[date] = Counter(created.date() for created in items.created_at)
    decided = {created.date() for created in items.created_at[~np.isnan(items.labels)]}
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
    drawn = chosen if bool(chosen.asked.flagged.all()) else chosen.drawn()
    scored_more = sum(row.count for row in chosen.counts) / max(1, sum(row.count for row in drawn.counts))
    points = []
    for threshold in CURVE:
        found = _of_set(drawn, _flags(edges, threshold), drawn.asked.labels)
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

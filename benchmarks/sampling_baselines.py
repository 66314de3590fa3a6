"""How many labels other designs need for the interval of the recall that the bot's own draws give.

All are measured with the bot's own estimator, in the same world, and all know how many uploads each stratum
holds; they differ in which uploads are labelled. None of them keeps a budget a day, which is in their favour.
"""

from collections.abc import Callable, Sequence

import numpy as np

from benchmarks.sampling_worlds import (
    STRATA,
    STRATUM_OF,
    THRESHOLD,
    Counts,
    Floats,
    World,
    flagged_from,
)
from storage.allocation import Evidence, allocate
from storage.sampling import Lane
from storage.weighted_estimates import Sample, estimate

GRID = (1000, 2000, 4000, 8000, 16_000, 32_000, 64_000)
Design = Callable[[Counts, int], Floats]
"""From uploads per stratum and a number of labels to labels per stratum."""
_FLAGGED = np.array([one.lane is Lane.FLAGGED for one in STRATA])


def _simple(uploads: Counts, labels: int) -> Floats:
    return np.asarray(labels * uploads / uploads.sum())


def _unflagged(uploads: Counts, labels: int) -> Floats:
    rest = np.where(_FLAGGED, 0, uploads)
    return np.where(_FLAGGED, uploads, labels * rest / rest.sum())


def _halves(uploads: Counts, labels: int) -> Floats:
    sides = [np.where(side, uploads, 0) for side in (_FLAGGED, ~_FLAGGED)]
    return np.asarray(sum(labels / 2 * side / side.sum() for side in sides))


def _equal(uploads: Counts, labels: int) -> Floats:
    return np.full(len(uploads), labels / np.count_nonzero(uploads)) * (uploads > 0)


def _first_plan(uploads: Counts, labels: int) -> Floats:
    """The bot's own allocation by what scores alone let one expect, never changed by a verdict."""
    plan = allocate(
        [Evidence(stratum, float(count)) for stratum, count in zip(STRATA, uploads, strict=True)],
        daily_budget=labels,
        audit_share=0.3,
    )
    return np.array(plan.probabilities) * uploads


DESIGNS: dict[str, tuple[Design, bool]] = {
    "simple random sampling of all uploads": (_simple, False),
    "all flagged, and simple random sampling of the others": (_unflagged, False),
    "half from the flagged, half from the others": (_halves, False),
    "stratified by score, proportional": (_simple, True),
    "stratified by score, equal": (_equal, True),
    "stratified by score, by a plan that never adapts": (_first_plan, True),
}
"""By name: the design, and whether its estimates are stratified by score and medium."""


def widths(world: World, design: Design, *, stratified: bool, repetitions: int, seed: int = 3) -> Floats:
    """Labels that a design takes and the mean width of the recall's interval, for the numbers of `GRID`.

    Args:
        world: The uploads.
        design: Which of them are labelled.
        stratified: Whether estimates are stratified; otherwise they know what is flagged and what is not.
        repetitions: How often each number is tried.
        seed: Of the draws.

    Returns:
        Labels and widths, (2, numbers).
    """
    generator = np.random.default_rng(seed)
    uploads = np.bincount(STRATUM_OF, world.uploads, len(STRATA)).astype(np.int64)
    explicit = np.bincount(STRATUM_OF, world.explicit, len(STRATA)).astype(np.int64)
    names = [one.name if stratified else "all" for one in STRATA]
    population: dict[tuple[str, bool], int] = {}
    for name, flag, count in zip(names, _FLAGGED.tolist(), uploads.tolist(), strict=True):
        population[name, flag] = population.get((name, flag), 0) + count
    found = []
    for wanted in GRID:
        taken, width = [], []
        for _ in range(repetitions):
            labels = _whole(np.minimum(design(uploads, wanted), uploads), generator)
            hits = generator.hypergeometric(explicit, uploads - explicit, labels)
            kinds = np.stack([hits, labels - hits], axis=1).ravel()
            sample = Sample(
                np.repeat(names, labels),
                np.repeat(_FLAGGED, labels),
                np.repeat(np.tile([1.0, 0.0], len(STRATA)), kinds),
                np.repeat(labels / np.maximum(uploads, 1), labels),
            )
            recall = estimate(sample, population).recall
            taken.append(labels.sum())
            width.append(recall.high - recall.low)
        found.append((np.mean(taken), np.mean(width)))
    return np.array(found).T


def _whole(labels: Floats, generator: np.random.Generator) -> Counts:
    """Rounded up or down by chance, so that small strata are right on average."""
    return np.asarray(np.floor(labels + generator.random(len(labels))), dtype=np.int64)


def labels_needed(width: float, labels: Sequence[float], found: Sequence[float]) -> float:
    """How many labels a design needs for an interval of some width.

    Args:
        width: The width.
        labels: Numbers of labels, rising.
        found: What width each gives.

    Returns:
        The number, by interpolation of logarithms; beyond both ends by the square root's law.
    """
    logs, wanted = np.log(found), float(np.log(width))
    if wanted < logs[-1]:
        return float(labels[-1] * np.exp(2 * (logs[-1] - wanted)))
    if wanted > logs[0]:
        return float(labels[0] * np.exp(2 * (logs[0] - wanted)))
    return float(np.exp(np.interp(wanted, logs[::-1], np.log(labels)[::-1])))


def compare(world: World, labels: float, width: float, repetitions: int) -> dict[str, dict[str, object]]:
    """What each design needs against the bot's own.

    Args:
        world: The uploads.
        labels: That the bot's own took.
        width: Of its recall's interval.
        repetitions: How often each number of labels is tried.

    Returns:
        By design: its labels and widths, the labels needed, and the share of them that the bot saves.
    """
    table: dict[str, dict[str, object]] = {}
    for name, (design, stratified) in DESIGNS.items():
        taken, found = widths(world, design, stratified=stratified, repetitions=repetitions)
        needed = labels_needed(width, taken.tolist(), found.tolist())
        if design is _unflagged:
            needed = max(needed, float(world.uploads[flagged_from(THRESHOLD)].sum()))
        table[name] = {
            "labels": taken.tolist(),
            "widths": found.tolist(),
            "needed": needed,
            "saved": 1 - labels / needed,
        }
    return table


__all__ = ["DESIGNS", "GRID", "compare", "labels_needed", "widths"]

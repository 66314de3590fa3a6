"""Precision, recall, F1 and prevalence over *all* uploads from a weighted sample, with honest intervals.

A cell is a sampling stratum, cut once more by what the model said (flagged or not at the asked threshold).
How many uploads a cell holds, N_h, is known, for every upload was scored; what share P_h of them is explicit
is what the labels tell. With weights w_i = 1 / p_i:

- P_h is Hájek's ratio sum(w_i y_i) / sum(w_i) within the cell, worth n_h = sum(w)^2 / sum(w^2) labels
  (Kish), and totals are T_h = N_h P_h: a stratified, post-stratified estimate (Särndal, Swensson, Wretman
  1992, "Model Assisted Survey Sampling", sections 5.7 and 7.6). Items that were drawn and not yet labelled
  leave it right as long as the labelled ones are a random part of the drawn ones *within their cell*
  (weighting-cell adjustment, Little and Rubin 2002, section 3.3.2); where that is plainly not so, it is said.
- precision = TP / flagged, recall = TP / (TP + FN), prevalence = (TP + FN) / N, and F1 is the harmonic mean
  of the first two.
- the interval: explicit files are rare below the threshold and weigh thousands of uploads each, so that a
  normal interval of the recall misses far more often than it says; and Jeffreys' half a label in each of many
  rare strata adds up to thousands of explicit uploads that nobody saw. So the share of every cell gets a beta
  distribution of its own, of what was found in n_h labels, and half a label is given once to each side of the
  threshold, not to each cell: in proportion to what a label of the cell stands for, because one more explicit
  file among the lightly sampled would move the total most. (On the side where explicit files are the many,
  the rare ones are the harmless ones.) What was seen is no longer in doubt: deviations shrink by the
  finite-population correction. Measures are computed of drawn totals, and their quantiles are the ends.
  Gammas for the whole side, as Fay and Feuer have them (1997, Statistics in Medicine 16:791-801), with the
  largest, the mean or the geometric mean weight, Dobson's, a lognormal with Satterthwaite's degrees of
  freedom and Wilson's score were tried on the same worlds: each is too wide in some of them, or misses up to
  one truth in eight where a scorer is blind to some files. `benchmarks/sampling.py` shows how often the ends
  hold the truth in worlds that none of this was chosen on.

Cells in which nothing was drawn are pooled with their neighbour. Where people were asked about a cell and
labelled nothing in it, no arithmetic helps: the value is None, its interval are the bounds with everything
in that cell harmless or explicit, and the reason is given.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storage.estimates import CONFIDENCE, Estimate

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Cell = tuple[str, bool]
"""Name of the stratum, and whether the model flags at the asked threshold."""

SIMULATIONS = 2000
UNASKED = 3
"""So many drawn items of one cell, and none labelled, is no chance: nobody looks there."""
PICKED_Z = 4.0
"""From this normal deviate on, reviewers are said to pick by the score."""
_SEED = 20_101_026
_TINY = 1e-6


@dataclass(frozen=True, slots=True)
class Sample:
    """What was drawn for review, one place an item; all arrays have the shape (items,).

    Attributes:
        strata: Name of the stratum that each was drawn from.
        flagged: Whether its score reaches the asked threshold.
        labels: 1.0 explicit, 0.0 harmless, NaN drawn and without a label.
        probabilities: Inclusion probability of each, over 0 and at most 1.
        scores: Score of each in 0..1; without them it is not checked whether reviewers pick by the score.
    """

    strata: NDArray[np.str_]
    flagged: Bools
    labels: Floats
    probabilities: Floats
    scores: Floats | None = None


@dataclass(frozen=True, slots=True)
class Estimates:
    """The four measures of a set of uploads.

    Attributes:
        precision: Share of the flagged uploads that is explicit.
        recall: Share of the explicit uploads that is flagged.
        f1: Their harmonic mean.
        prevalence: Share of all uploads that is explicit.
        population: How many uploads all this is about.
        flagged: How many of them are flagged.
        reasons: What the numbers cannot say, or assume; one sentence each.
    """

    precision: Estimate
    recall: Estimate
    f1: Estimate
    prevalence: Estimate
    population: int
    flagged: int
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Cells:
    """The cells, sorted by name; arrays have the shape (cells,)."""

    flagged: Bools
    population: Floats
    share: Floats
    labelled: Floats
    worth: Floats
    unknown: Bools
    reasons: tuple[str, ...]


def estimate(sample: Sample, population: Mapping[Cell, int], *, confidence: float = CONFIDENCE) -> Estimates:
    """Estimate the measures of all uploads from those that were drawn and labelled.

    Args:
        sample: The drawn items, labelled or not.
        population: How many scored uploads each cell holds, those with nothing drawn included. Names of
            strata sort in the order of scores, for cells with nothing drawn are pooled with a neighbour.
        confidence: How often the intervals shall hold the truth, over 0 and under 1.

    Returns:
        The measures; None with the widest possible interval where nothing is known.

    Raises:
        ValueError: An item is in a cell without population, or a probability is not in (0, 1].
    """
    cells = _cells(sample, population)
    explicit = cells.share * cells.population
    sides = (np.array([explicit[side].sum()]) for side in (cells.flagged, ~cells.flagged))
    points = _measures(cells, *sides)[:, 0]
    low, high = _interval(cells, confidence)
    found: list[Estimate] = []
    for index, point in enumerate(points):
        concerned = cells.flagged if index == 0 else np.ones_like(cells.flagged)
        known = bool(np.isfinite(point)) and not bool((cells.unknown & concerned).any())
        found.append(
            Estimate(
                value=float(point) if known else None,
                low=float(min(low[index], point) if known else low[index]),
                high=float(max(high[index], point) if known else high[index]),
                n=int(cells.labelled[concerned].sum()),
                n_effective=float(cells.worth[concerned].sum()),
            )
        )
    precision, recall, f1, prevalence = found
    return Estimates(
        precision,
        recall,
        f1,
        prevalence,
        population=int(cells.population.sum()),
        flagged=int(cells.population[cells.flagged].sum()),
        reasons=(*cells.reasons, *_picked_by_score(sample)),
    )


def _cells(sample: Sample, population: Mapping[Cell, int]) -> _Cells:
    """Count and weigh; pool what was never drawn, and mark what nobody looks at."""
    if not bool(np.all((sample.probabilities > 0) & (sample.probabilities <= 1))):
        raise ValueError("an inclusion probability is not over 0 and at most 1")
    names = sorted(cell for cell, count in population.items() if count > 0)
    of_item = _cell_of_items(sample, names)
    size = len(names)
    labelled = ~np.isnan(sample.labels)
    weights = 1.0 / sample.probabilities[labelled]
    columns = (np.ones_like(weights), weights, weights**2, weights * sample.labels[labelled])
    # bincount counts, in whole numbers, where there is nothing to weigh.
    sums = np.stack(
        [np.bincount(of_item[labelled], column, minlength=size).astype(np.float64) for column in columns]
    )
    counts = np.array([population[name] for name in names], dtype=np.float64)
    flagged = np.array([flag for _name, flag in names], dtype=np.bool_)
    asked = np.bincount(of_item, minlength=size)
    ignored = (sums[0] == 0) & (asked >= np.minimum(UNASKED, counts))
    _pool(counts, flagged, (sums[0] == 0) & ~ignored, sums[0] > 0)
    known = sums[0] > 0
    unknown = ~known & (counts > 0)
    reasons = tuple(
        f"nothing is labelled in stratum {name} ({'flagged' if flag else 'not flagged'}): "
        "what depends on it cannot be estimated"
        for (name, flag), missing in zip(names, unknown, strict=True)
        if missing
    )
    share = np.divide(sums[3], sums[1], out=np.zeros(size), where=known)
    worth = np.divide(sums[1] ** 2, sums[2], out=np.zeros(size), where=known)
    return _Cells(flagged, counts, share, sums[0], worth, unknown, reasons)


def _cell_of_items(sample: Sample, names: list[Cell]) -> NDArray[np.int64]:
    index_of = {name: index for index, name in enumerate(names)}
    pairs = zip(sample.strata.tolist(), sample.flagged.tolist(), strict=True)
    try:
        return np.array([index_of[pair] for pair in pairs], dtype=np.int64)
    except KeyError as error:
        raise ValueError(f"items were drawn from {error}, where no upload is counted") from error


def _pool(counts: Floats, flagged: Bools, empty: Bools, known: Bools) -> None:
    """Give the uploads of cells in which nothing was drawn to the nearest cell that tells something."""
    for index in np.flatnonzero(empty):
        candidates = np.flatnonzero(known & (flagged == flagged[index]))
        if candidates.size:
            nearest = candidates[np.argmin(np.abs(candidates - index))]
            counts[nearest] += counts[index]
            counts[index] = 0.0


def _interval(cells: _Cells, confidence: float) -> tuple[Floats, Floats]:
    """Ends of the four measures, (4,) each: quantiles over drawn totals, bounds where nothing is known."""
    if not cells.population.sum():
        return np.zeros(4), np.ones(4)
    # Fixed: the same labels give the same interval, and a page does not change without a reason.
    generator = np.random.default_rng(_SEED)
    hits = _totals(cells, cells.flagged & ~cells.unknown, generator)
    misses = _totals(cells, ~cells.flagged & ~cells.unknown, generator)
    quantiles = ((1 - confidence) / 2, (1 + confidence) / 2)
    unknown = [
        float(cells.population[cells.unknown & side].sum()) for side in (cells.flagged, ~cells.flagged)
    ]
    ends = []
    # Bounds: all of an unknown cell harmless, or explicit; which is lower depends on the measure.
    for first in {0.0, unknown[0]}:
        for second in {0.0, unknown[1]}:
            measured = _measures(cells, hits + first, misses + second)
            ends += [np.quantile(np.nan_to_num(measured, nan=nan), quantiles, axis=1) for nan in (0.0, 1.0)]
    stacked = np.stack(ends)
    low, high = stacked[:, 0].min(axis=0), stacked[:, 1].max(axis=0)
    nothing = np.array([not cells.population[cells.flagged].sum(), False, False, False])
    return np.where(nothing, 0.0, low), np.where(nothing, 1.0, high)


def _totals(cells: _Cells, which: Bools, generator: np.random.Generator) -> Floats:
    """Explicit uploads in some cells as they may be, (SIMULATIONS,): a beta distribution for each cell."""
    inside = which & (cells.worth > 0)  # cells that were pooled with others hold nothing any more
    population, share, worth = cells.population[inside], cells.share[inside], cells.worth[inside]
    total = float(population.sum())
    if not total:
        return np.zeros(SIMULATIONS)
    unseen = np.maximum(1.0 - cells.labelled[inside] / np.maximum(population, 1.0), 0.0)
    mostly = float((population * share).sum()) > total / 2
    rarer = 1.0 - share if mostly else share
    stands_for = population / worth * unseen
    half = 0.5 * stands_for / max(float(stands_for.sum()), _TINY)
    found, others = (np.maximum(worth * part + half, _TINY)[:, None] for part in (rarer, 1.0 - rarer))
    drawn = generator.beta(found, others, (len(rarer), SIMULATIONS))
    drawn = rarer[:, None] + (drawn - rarer[:, None]) * np.sqrt(unseen)[:, None]
    rare = np.clip(population @ drawn, 0.0, total)
    return np.asarray(total - rare if mostly else rare)


def _measures(cells: _Cells, hits: Floats, misses: Floats) -> Floats:
    """Precision, recall, F1 and prevalence, (4, n), from explicit uploads flagged and not, (n,) each."""
    positive = hits + misses
    flagged = cells.population[cells.flagged].sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.stack(
            [
                hits / flagged,
                hits / positive,
                2 * hits / (flagged + positive),
                positive / cells.population.sum(),
            ]
        )


def _picked_by_score(sample: Sample) -> tuple[str, ...]:
    """Whether, within strata, what was labelled scores otherwise than what was not.

    Wilcoxon's rank sum test, summed over strata (van Elteren 1960): random labelling passes it but once in
    15,000 times.
    """
    if sample.scores is None:
        return ()
    deviation, variance = 0.0, 0.0
    for stratum in np.unique(sample.strata):
        inside = sample.strata == stratum
        ranks = np.argsort(np.argsort(sample.scores[inside])).astype(np.float64)
        labelled = ~np.isnan(sample.labels[inside])
        n, n_labelled = len(ranks), int(labelled.sum())
        if n < 2 or n_labelled in (0, n):
            continue
        ranks = (ranks - ranks.mean()) / n
        deviation += float(ranks[labelled].sum())
        variance += n_labelled * (n - n_labelled) / (n * (n - 1)) * float((ranks**2).sum())
    if variance == 0 or abs(deviation) < PICKED_Z * variance**0.5:
        return ()
    return (
        f"what is labelled scores {'higher' if deviation > 0 else 'lower'} than what was drawn with it and "
        "is not: reviewers seem to pick by the score, and the estimates are biased towards what they pick",
    )

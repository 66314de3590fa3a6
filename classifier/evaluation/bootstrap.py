"""Intervals for anything that is computed from items: draw the set again, many times, and see what comes out.

Drawing is stratified by class (else the share of positives would vary, which the maker of the set chose) and,
where items came together, by cluster. All resamples of a block are one matrix product, and a block is small:
1,000 resamples of 20,000 items take seconds, and memory does not grow with their number.

BCa intervals (Efron 1987, JASA 82:171-185) correct bias and skewness, which AUCs near 1 have. Their
acceleration comes from a jackknife that leaves out up to 200 groups instead of single items; of n items it
is the same in expectation, and exact for n <= 200. A bootstrap can't see past its sample: a perfect score
has no spread.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final, Literal

import numpy as np

from classifier.evaluation.errors import EvaluationError
from classifier.evaluation.metrics import Weights
from classifier.evaluation.proportions import CONFIDENCE
from classifier.evaluation.scored import Flags, Indexes, Vector

Statistic = Callable[[Weights], Weights]
"""(resamples, n) weights to (resamples, k) figures; NaN where one is undefined."""
Method = Literal["bca", "percentile"]

RESAMPLES: Final = 1000
_BLOCK: Final = 1 << 19
"""Weights at a time: 4 MiB, which stays near the processor."""
_LEFT_OUT_GROUPS: Final = 200
_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True, eq=False)
class Sampling:
    """How to draw a set anew.

    Attributes:
        strata: (units,), which units are exchanged for each other.
        unit_of: (n,), to which unit each item belongs; None where units are items.
    """

    strata: Indexes
    unit_of: Indexes | None = None

    @staticmethod
    def of(labels: Flags, clusters: Indexes | None = None) -> "Sampling":
        """Stratify by class; a cluster's class is whether it has positives, negatives or both.

        Args:
            labels: (n,).
            clusters: (n,), numbered from 0 without gaps.

        Returns:
            How to draw.
        """
        if clusters is None:
            return Sampling(labels.astype(np.int64))
        positive = np.bincount(clusters, labels) > 0
        negative = np.bincount(clusters, ~labels) > 0
        return Sampling(positive + 2 * negative.astype(np.int64), clusters)

    def weights(self, units: Weights) -> Weights:
        """From weights of the units, (r, units), to those of the items, (r, n)."""
        return units if self.unit_of is None else units[:, self.unit_of]

    def rows_at_once(self) -> int:
        """How many resamples fit into a block."""
        return max(1, _BLOCK // len(self.strata if self.unit_of is None else self.unit_of))

    def drawn(self, resamples: int, random: np.random.Generator) -> Iterator[Weights]:
        """Draw with replacement, within each stratum as many as it has.

        Args:
            resamples: How many.
            random: What chooses.

        Yields:
            (r, n) weights, until there were `resamples` rows.
        """
        members = [np.flatnonzero(self.strata == stratum) for stratum in np.unique(self.strata)]
        step = self.rows_at_once()
        for first in range(0, resamples, step):
            rows = min(step, resamples - first)
            units = np.empty((rows, len(self.strata)))
            for places in members:
                picks = random.integers(0, len(places), size=(rows, len(places)))
                picks += np.arange(rows)[:, None] * len(places)
                counts = np.bincount(picks.ravel(), minlength=picks.size)
                units[:, places] = counts.reshape(picks.shape)
            yield self.weights(units)

    def left_out(self) -> Iterator[Weights]:
        """Leave out one group of units after the other, each with its share of every stratum.

        Yields:
            (r, n) weights of 0 and 1.
        """
        count = min(len(self.strata), _LEFT_OUT_GROUPS)
        group = np.empty(len(self.strata), dtype=np.int64)
        group[np.argsort(self.strata, kind="stable")] = np.arange(len(self.strata)) % count
        step = self.rows_at_once()
        for first in range(0, count, step):
            numbers = np.arange(first, min(first + step, count))
            yield self.weights((group != numbers[:, None]).astype(np.float64))


@dataclass(frozen=True, slots=True, eq=False)
class Intervals:
    """What `intervals` finds, one entry per figure.

    Attributes:
        values: (k,), of the set itself; NaN where undefined.
        low: (k,); NaN where no resample has it.
        high: (k,), likewise.
        undefined: (k,), in how many resamples the figure was undefined.
    """

    values: Vector
    low: Vector
    high: Vector
    undefined: Indexes


def intervals(
    statistic: Statistic,
    sampling: Sampling,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    confidence: float = CONFIDENCE,
    method: Method = "bca",
) -> Intervals:
    """Measure a set and how far its figures would vary.

    Args:
        statistic: What to compute.
        sampling: How to draw.
        resamples: How often, at least 20.
        seed: Chooses the draws; equal seeds give equal intervals.
        confidence: Of the intervals, in 0..1.
        method: `bca`, or the plain quantiles.

    Raises:
        EvaluationError: Too few resamples, or a confidence that cannot be.
    """
    if resamples < 20 or not 0 < confidence < 1:
        raise EvaluationError(f"{resamples} resamples for a confidence of {confidence:g} give no interval.")
    units = np.ones((1, len(sampling.strata)))
    values = statistic(sampling.weights(units))[0]
    random = np.random.default_rng(seed)
    drawn = np.concatenate([statistic(weights) for weights in sampling.drawn(resamples, random)])
    tails = np.full((len(values), 2), [(1 - confidence) / 2, (1 + confidence) / 2])
    if method == "bca":
        without = np.concatenate([statistic(weights) for weights in sampling.left_out()])
        for column, value in enumerate(values):
            tails[column] = _corrected(tails[column], value, drawn[:, column], without[:, column])
    ends = np.full((len(values), 2), np.nan)
    for column, tail in enumerate(tails):
        known = drawn[:, column][np.isfinite(drawn[:, column])]
        if len(known):
            ends[column] = np.quantile(known, tail)
    return Intervals(values, ends[:, 0], ends[:, 1], np.isnan(drawn).sum(axis=0))


def _corrected(tails: Vector, value: float, drawn: Vector, without: Vector) -> Vector:
    """Where in the draws the ends lie; the plain quantiles where there is too little to correct with."""
    known, jackknife = drawn[np.isfinite(drawn)], without[np.isfinite(without)]
    if not len(known) or not len(jackknife) or not np.isfinite(value):
        return tails
    # Figures of equal draws may differ in the last bit; ties count half.
    near = np.isclose(known, value, rtol=1e-12, atol=1e-15)
    below = float(((known < value) & ~near).mean() + near.mean() / 2)
    if not 0 < below < 1:
        return tails
    bias = _NORMAL.inv_cdf(below)
    pulls = jackknife.mean() - jackknife
    spread = float((pulls**2).sum() ** 1.5)
    acceleration = float((pulls**3).sum()) / (6 * spread) if spread > 1e-30 else 0.0
    shifted = np.empty(2)
    for end, tail in enumerate(tails):
        reach = bias + _NORMAL.inv_cdf(float(tail))
        if acceleration * reach >= 1:
            return tails
        shifted[end] = _NORMAL.cdf(bias + reach / (1 - acceleration * reach))
    return shifted


__all__ = ["RESAMPLES", "Intervals", "Method", "Sampling", "Statistic", "intervals"]

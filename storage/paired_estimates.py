r"""Is B better than A? Paired, weighted differences of precision, recall and F1, with intervals. Pure.

Both models are judged on the same labelled items, each at its own threshold, with weights w_i = 1 / p_i, so
what makes items hard counts for both alike and the difference is known far better than either figure. Items
that were drawn and not labelled are made up for by those labelled in the same stratum (weighting-cell
adjustment, Little and Rubin 2002, section 3.3.2).

The interval is a paired bootstrap by item, within strata (Rao and Wu 1988, JASA 83:231-241): items of equal
stratum, weight, answers and label are interchangeable, so their counts are drawn from one multinomial, which
is the same and takes no longer for fifty thousand items than for fifty. A bootstrap cannot imagine what it
has not seen: where none of five reviewed items was explicit, no resample has one. The share of explicit files
among items on which both models answer alike is therefore drawn from Beta(n P + 1/2, n (1 - P) + 1/2), with
Kish's effective n, as `storage.weighted_estimates` does.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storage.estimates import CONFIDENCE

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

MEASURES = ("precision", "recall", "f1")
RESAMPLES = 2000
_PRIOR = 0.5
_SEED = 1988


@dataclass(frozen=True, slots=True)
class Paired:
    """Items that both models scored; all arrays have the shape (items,).

    Attributes:
        first: Whether model A flags each, or which share of what it stands for, 0..1.
        second: Whether model B does, likewise.
        labels: 1.0 explicit, 0.0 harmless, NaN drawn and without a label.
        probabilities: Inclusion probability of each, over 0 and at most 1.
        strata: The stratum that each was drawn from; None: all from one.
    """

    first: Bools | Floats
    second: Bools | Floats
    labels: Floats
    probabilities: Floats
    strata: NDArray[np.str_] | None = None


@dataclass(frozen=True, slots=True)
class Difference:
    """A measure of two models, and B's less A's.

    Attributes:
        first: Of A; None where it is not defined, such as the precision of a model that flags nothing.
        second: Of B.
        value: B's less A's; None where either is missing.
        low: Lower end of the interval; -1 where nothing is known.
        high: Upper end; 1 where nothing is known.
    """

    first: float | None
    second: float | None
    value: float | None
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """What came of a comparison.

    Attributes:
        precision: Share of the flagged that is explicit.
        recall: Share of the explicit that is flagged.
        f1: Their harmonic mean.
        recall_at_load: Recall if B flagged as many files as A, as well as it does what it flags: for models
            that flag equally many (`storage.equal_load`), so that chance in how many does not count.
        labelled: Items with a label.
        positives: Explicit ones among them.
        unlike: Labelled items on which the models differ: what the difference rests on.
        unlabelled: Drawn items without a label.
    """

    precision: Difference
    recall: Difference
    f1: Difference
    recall_at_load: Difference
    labelled: int
    positives: int
    unlike: int
    unlabelled: int


@dataclass(frozen=True, slots=True)
class _Cells:
    """Items by what the models say, within strata; (cells,) each but `keys`, which is (cells, 2)."""

    answers: Floats
    weights: Floats
    share: Floats
    worth: Floats
    counts: NDArray[np.int64]
    weight_squares: Floats
    strata: NDArray[np.int64]


def compare(items: Paired, *, confidence: float = CONFIDENCE, resamples: int = RESAMPLES) -> Comparison:
    """Compare two models.

    Args:
        items: What both scored.
        confidence: How often the intervals shall hold the true difference, over 0 and under 1.
        resamples: Of the bootstrap; it is seeded, so that equal items give equal intervals.

    Returns:
        The differences, B's less A's.

    Raises:
        ValueError: Arrays differ in length, or a probability is not in (0, 1].
    """
    sizes = {len(one) for one in (items.first, items.second, items.labels, items.probabilities)}
    if len(sizes) > 1 or (items.strata is not None and len(items.strata) not in sizes):
        raise ValueError("every item needs two answers, a label and a probability")
    if not bool(np.all((items.probabilities > 0) & (items.probabilities <= 1))):
        raise ValueError("an inclusion probability is not over 0 and at most 1")
    known = ~np.isnan(items.labels)
    if known.any():
        cells, positive_weight = _cells(items, known)
        points = _measures(cells.answers, cells.weights[None, :], positive_weight[None, :])[:, :, 0]
        low, high = _interval(cells, confidence, resamples)
    else:
        points = np.full((2, 4), np.nan)
        low, high = np.full(4, -1.0), np.full(4, 1.0)
    precision, recall, f1, at_load = (
        _difference(points[:, k], float(low[k]), float(high[k])) for k in range(4)
    )
    return Comparison(
        precision,
        recall,
        f1,
        at_load,
        labelled=int(known.sum()),
        positives=int((items.labels[known] == 1).sum()),
        unlike=int((items.first != items.second)[known].sum()),
        unlabelled=int((~known).sum()),
    )


def weights_of(labels: Floats, probabilities: Floats, strata: NDArray[np.str_] | None = None) -> Floats:
    """Weights of labelled items that make up for those of their stratum which have no label.

    Args:
        labels: NaN where there is none, shape (items,).
        probabilities: Inclusion probabilities, likewise.
        strata: Of each item; None: one for all.

    Returns:
        Weights, shape (items,); 0 where there is no label. Strata without any label are not made up for.
    """
    known = ~np.isnan(labels)
    weights = np.where(known, 1.0 / probabilities, 0.0)
    groups = np.zeros(len(labels), np.int64) if strata is None else np.unique(strata, return_inverse=True)[1]
    groups = groups.reshape(-1)
    size = int(groups.max(initial=-1)) + 1
    all_of = np.bincount(groups, 1.0 / probabilities, minlength=size)
    known_of = np.bincount(groups, weights, minlength=size)
    factor = np.divide(all_of, known_of, out=np.zeros(size), where=known_of > 0)
    return np.asarray(weights * factor[groups], np.float64)


def _cells(items: Paired, known: Bools) -> tuple[_Cells, Floats]:
    weights = weights_of(items.labels, items.probabilities, items.strata)[known]
    strata = np.zeros(int(known.sum()), np.int64)
    if items.strata is not None:
        strata = np.unique(items.strata[known], return_inverse=True)[1].reshape(-1)
    rows = np.stack([strata, items.first[known], items.second[known]], 1).astype(np.float64)
    keys, of_item = np.unique(rows, axis=0, return_inverse=True)
    of_item, size = of_item.reshape(-1), len(keys)
    totals = np.bincount(of_item, weights, minlength=size).astype(np.float64)
    squares = np.bincount(of_item, weights**2, minlength=size).astype(np.float64)
    positive = np.bincount(of_item, weights * items.labels[known], minlength=size).astype(np.float64)
    cells = _Cells(
        answers=keys[:, 1:].T,
        weights=totals,
        share=positive / totals,
        worth=totals**2 / squares,
        counts=np.bincount(of_item, minlength=size),
        weight_squares=squares,
        strata=keys[:, 0].astype(np.int64),
    )
    return cells, positive


def _interval(cells: _Cells, confidence: float, resamples: int) -> tuple[Floats, Floats]:
    """Ends of the four differences, (4,) each."""
    rng = np.random.default_rng(_SEED)
    size = len(cells.counts)
    weights = np.empty((resamples, size))
    for stratum in np.unique(cells.strata):
        (here,) = np.nonzero(cells.strata == stratum)
        count = int(cells.counts[here].sum())
        drawn = rng.multinomial(count, cells.counts[here] / count, size=resamples)
        weights[:, here] = drawn * (cells.weights[here] / cells.counts[here])
    good, bad = cells.worth * cells.share + _PRIOR, cells.worth * (1 - cells.share) + _PRIOR
    shares = rng.beta(good, bad, size=(resamples, size))
    measures = _measures(cells.answers, weights, weights * shares)
    differences = np.nan_to_num(measures[1] - measures[0], nan=0.0)
    tail = (1 - confidence) / 2
    low, high = np.quantile(differences, [tail, 1 - tail], axis=1)
    return np.asarray(low), np.asarray(high)


def _measures(answers: Floats, weights: Floats, positive: Floats) -> Floats:
    """Precision, recall, F1 and recall at A's load: (2, 4, resamples); NaN where nothing divides."""
    found = np.empty((2, 4, len(weights)))
    total, load = positive.sum(1), weights @ answers[0]
    for model, flags in enumerate(answers):
        hits, flagged = positive @ flags, weights @ flags
        ratios = (
            (hits, flagged),
            (hits, total),
            (2 * hits, flagged + total),
            (hits * load, flagged * total),
        )
        for place, (above, below) in enumerate(ratios):
            nothing = np.full(len(above), np.nan)
            found[model, place] = np.divide(above, below, out=nothing, where=below > 0)
    return found


def _difference(points: Floats, low: float, high: float) -> Difference:
    first, second = (None if np.isnan(one) else float(one) for one in points)
    if first is None or second is None:
        return Difference(first, second, None, -1.0, 1.0)
    value = second - first
    return Difference(first, second, value, min(low, value), max(high, value))


__all__ = ["MEASURES", "Comparison", "Difference", "Paired", "compare", "weights_of"]

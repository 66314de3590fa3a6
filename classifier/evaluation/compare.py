"""Which of two models is better on the same items: two overlapping intervals do not answer that, pairs do.

McNemar's test looks at the items on which just one of the two is right; exact, from the binomial
distribution, it holds for any number of them. The paired bootstrap draws the same items for both and gives
every measure's difference an interval. Test one question, or divide the p-value's limit by the number of
questions. McNemar's test takes items as independent: with clusters, believe the bootstrap.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from classifier.evaluation.bootstrap import RESAMPLES, Method, Sampling, intervals
from classifier.evaluation.errors import EvaluationError
from classifier.evaluation.metrics import LOWER_IS_BETTER, MEASURES, Measures, Weights
from classifier.evaluation.proportions import CONFIDENCE
from classifier.evaluation.scored import Flags, Scored


@dataclass(frozen=True, slots=True)
class McNemar:
    """The test's outcome.

    Attributes:
        only_first: Items that only the first model gets right.
        only_second: Items that only the second one gets right.
        p_value: The chance of such a lopsided split, or a more lopsided one, between equally good models.
    """

    only_first: int
    only_second: int
    p_value: float


@dataclass(frozen=True, slots=True)
class Difference:
    """One measure of two models.

    Attributes:
        measure: One of `MEASURES`.
        first: The first model's; None where undefined.
        second: The second one's.
        difference: The second less the first.
        low: Lower end of the difference's interval; None where undefined.
        high: Upper end.
        better: `first` or `second` where the interval leaves 0 out, else "".
    """

    measure: str
    first: float | None
    second: float | None
    difference: float | None
    low: float | None
    high: float | None
    better: str


@dataclass(frozen=True, slots=True)
class Pairing:
    """Two models on the same items.

    Attributes:
        items: How many.
        mcnemar: The test of their decisions.
        differences: One per measure.
    """

    items: int
    mcnemar: McNemar
    differences: tuple[Difference, ...]


def mcnemar(first_right: ArrayLike, second_right: ArrayLike) -> McNemar:
    """Test whether two models are equally often right, exactly and two-sided.

    Args:
        first_right: (n,), bool: the first model's decision is right.
        second_right: (n,), bool, of the same items.

    Raises:
        EvaluationError: Not as many of one as of the other, or none.
    """
    first, second = np.asarray(first_right, dtype=np.bool_), np.asarray(second_right, dtype=np.bool_)
    if first.shape != second.shape or first.ndim != 1 or not len(first):
        raise EvaluationError("McNemar's test needs the decisions of both models on the same items.")
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    return McNemar(
        only_first, only_second, _two_sided(min(only_first, only_second), only_first + only_second)
    )


def paired(
    first: Scored,
    second: Scored,
    *,
    thresholds: tuple[float, float],
    measures: Sequence[str] = MEASURES,
    resamples: int = RESAMPLES,
    seed: int = 0,
    confidence: float = CONFIDENCE,
    method: Method = "bca",
) -> Pairing:
    """Compare two models item by item.

    Args:
        first: What one model says.
        second: What the other one says of the same items in the same order.
        thresholds: From which score on each of them flags.
        measures: Which to compare.
        resamples: As for `bootstrap.intervals`, like the rest.
        seed: Chooses the draws.
        confidence: Of each interval.
        method: Of the intervals.

    Raises:
        EvaluationError: Other labels or clusters, so other items; or an unknown measure.
    """
    _require_same(first, second)
    unknown = sorted(set(measures) - set(MEASURES))
    if unknown:
        raise EvaluationError(f"Unknown measure {unknown[0]!r}; known: {', '.join(MEASURES)}.")
    one, other = (
        Measures(part.scores, part.labels, threshold)
        for part, threshold in zip((first, second), thresholds, strict=True)
    )

    def apart(weights: Weights) -> Weights:
        return other(weights) - one(weights)

    found = intervals(
        apart,
        Sampling.of(first.labels, first.clusters),
        resamples=resamples,
        seed=seed,
        confidence=confidence,
        method=method,
    )
    whole = np.ones((1, len(first)))
    columns = (one(whole)[0], other(whole)[0], found.values, found.low, found.high)
    table = np.stack(columns, axis=1).tolist()
    rows = (_difference(name, figures) for name, figures in zip(MEASURES, table, strict=True))
    decisions = mcnemar(_right(first, thresholds[0]), _right(second, thresholds[1]))
    return Pairing(len(first), decisions, tuple(row for row in rows if row.measure in measures))


def turned(pairing: Pairing) -> Pairing:
    """The same comparison with the two models exchanged."""
    test = pairing.mcnemar
    other = {"first": "second", "second": "first", "": ""}

    def minus(value: float | None) -> float | None:
        return None if value is None else -value

    return Pairing(
        pairing.items,
        McNemar(test.only_second, test.only_first, test.p_value),
        tuple(
            Difference(
                row.measure,
                row.second,
                row.first,
                minus(row.difference),
                minus(row.high),
                minus(row.low),
                other[row.better],
            )
            for row in pairing.differences
        ),
    )


def _right(part: Scored, threshold: float) -> Flags:
    flagged: Flags = part.scores >= threshold
    right: Flags = flagged == part.labels
    return right


def _require_same(first: Scored, second: Scored) -> None:
    if not np.array_equal(first.labels, second.labels):
        raise EvaluationError("The two models were not scored on the same items: their labels differ.")
    one, other = first.clusters, second.clusters
    if (one is None) != (other is None) or (
        one is not None and other is not None and not np.array_equal(one, other)
    ):
        raise EvaluationError("The two models were not scored on the same items: their clusters differ.")


def _two_sided(smaller: int, total: int) -> float:
    """Of a fair coin, in whole numbers, so that nothing is rounded before the end."""
    term = tail = 1
    for drawn in range(smaller):
        term = term * (total - drawn) // (drawn + 1)
        tail += term
    return min(1.0, 2 * tail / (1 << total))


def _difference(measure: str, figures: list[float]) -> Difference:
    first, second, apart, low, high = (value if math.isfinite(value) else None for value in figures)
    return Difference(measure, first, second, apart, low, high, _better(measure, *figures[-2:]))


def _better(measure: str, low: float, high: float) -> str:
    if not (low > 0 or high < 0):
        return ""
    return "second" if (low > 0) != (measure in LOWER_IS_BETTER) else "first"


__all__ = ["Difference", "McNemar", "Pairing", "mcnemar", "paired", "turned"]

"""Shares with intervals that stay honest where counts are small, and differences and ratios of two shares.

- One share: Wilson's score interval (Wilson 1927, JASA 22:209-212). It never leaves 0..1 and keeps its width
  where everything or nothing succeeded: 20 of 20 is 0.84 to 1, not "1 with certainty" (Brown, Cai, DasGupta
  2001, Statistical Science 16:101-133).
- The difference of two: Newcombe's hybrid of two Wilson intervals (Newcombe 1998, Statistics in Medicine
  17:873-890, method 10).
- The ratio of two: the same idea for ratios, MOVER-R (Donner, Zou 2012, Statistical Methods in Medical
  Research 21:347-359), in a form that does not divide by nearly nothing.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

from classifier.evaluation.errors import EvaluationError

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its interval.

    Attributes:
        value: None where there is nothing to estimate it from.
        low: Lower end of the interval; of a share, 0 where there is nothing.
        high: Upper end; of a share, 1 where there is nothing.
    """

    value: float | None
    low: float
    high: float


NOTHING = Estimate(None, 0.0, 1.0)
"""A share of nothing may be anything."""


def wilson(successes: int, trials: int, confidence: float = CONFIDENCE) -> Estimate:
    """A share.

    Args:
        successes: How many of them.
        trials: Of how many.
        confidence: Of the interval, in 0..1.

    Returns:
        The share with Wilson's interval; `NOTHING` where there are no trials.

    Raises:
        EvaluationError: Counts or confidence that cannot be.
    """
    if not 0 <= successes <= trials:
        raise EvaluationError(f"{successes} of {trials} is not a share.")
    z = normal_quantile(confidence)
    if not trials:
        return NOTHING
    share, square = successes / trials, z * z / trials
    middle = share + square / 2
    half = z * math.sqrt(share * (1 - share) / trials + square / (4 * trials))
    low, high = (middle - half) / (1 + square), (middle + half) / (1 + square)
    # Rounding must not leave the share outside of its own interval.
    return Estimate(share, min(max(low, 0.0), share), max(min(high, 1.0), share))


def difference(one: Estimate, other: Estimate) -> Estimate:
    """One share less another, of other items.

    Args:
        one: From `wilson`.
        other: From `wilson`, with the same confidence.

    Returns:
        In -1..1; without a value where one of them has none.
    """
    if one.value is None or other.value is None:
        return Estimate(None, -1.0, 1.0)
    apart = one.value - other.value
    below = math.hypot(one.value - one.low, other.high - other.value)
    above = math.hypot(one.high - one.value, other.value - other.low)
    return Estimate(apart, max(apart - below, -1.0), min(apart + above, 1.0))


def ratio(one: Estimate, other: Estimate) -> Estimate:
    """One share divided by another, of other items.

    Args:
        one: From `wilson`.
        other: From `wilson`, with the same confidence.

    Returns:
        From 0 up, infinite where nothing speaks against it; without a value where it is 0 / 0 or a share is
        missing.
    """
    if one.value is None or other.value is None:
        return Estimate(None, 0.0, math.inf)
    product = one.value * other.value
    upper_part = one.low * (2 * one.value - one.low)
    lower_part = other.high * (2 * other.value - other.high)
    root = math.sqrt(max(product**2 - upper_part * lower_part, 0.0))
    low = upper_part / (product + root) if product + root else 0.0
    upper_part = one.high * (2 * one.value - one.high)
    lower_part = other.low * (2 * other.value - other.low)
    root = math.sqrt(max(product**2 - upper_part * lower_part, 0.0))
    high = (product + root) / lower_part if lower_part > 0 else math.inf
    if not other.value:
        return Estimate(math.inf if one.value else None, low, math.inf)
    value = one.value / other.value
    return Estimate(value, min(low, value), max(high, value))


def normal_quantile(confidence: float) -> float:
    """How many standard deviations a two-sided normal interval reaches to each side.

    Raises:
        EvaluationError: The confidence is not between 0 and 1.
    """
    if not 0 < confidence < 1:
        raise EvaluationError(f"A confidence of {confidence:g} cannot be: it lies between 0 and 1.")
    return NormalDist().inv_cdf((1 + confidence) / 2)


__all__ = ["CONFIDENCE", "NOTHING", "Estimate", "difference", "normal_quantile", "ratio", "wilson"]

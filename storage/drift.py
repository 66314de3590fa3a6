"""Whether scores, flags or skips are other than in the period before; pure.

The population stability index is sum((p - q) ln(p / q)) over bins of the scores, p now and q before; under
0.1 is commonly taken for no change and over 0.25 for a large one (Siddiqi 2006, "Credit Risk Scorecards").
With nothing changed it is not 0 but about a chi-squared variable times (1/n + 1/m) (Yurdakul and Naranjo
2020, J. Risk Model Validation 14(4)), so it must also exceed what chance gives once in a hundred times.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from storage.metric_values import Alert, Change

WATCH, ALARM = 0.1, 0.25
ENOUGH = 200
"""Fewer uploads in either period say nothing about change."""
Z_WATCH, Z_ALARM = 3.0, 6.0
RATIO_WATCH, RATIO_ALARM = 1.2, 1.5


def stability_index(now: Sequence[int], before: Sequence[int]) -> float:
    """The population stability index.

    Args:
        now: Uploads per bin.
        before: The same bins in the other period.

    Returns:
        The index, 0 or more; half an upload is added to every bin, or an empty one would make it infinite.
    """
    p, q = (np.asarray(counts, dtype=np.float64) + 0.5 for counts in (now, before))
    p, q = p / p.sum(), q / q.sum()
    return float(((p - q) * np.log(p / q)).sum())


def score_change(now: Sequence[int], before: Sequence[int], *, other_model: bool) -> Change:
    """Compare the scores of two periods.

    Args:
        now: Uploads per bin of the score.
        before: The same in the period before.
        other_model: Whether the two periods were scored by different models.

    Returns:
        The change.
    """
    n, m = sum(now), sum(before)
    if min(n, m) < ENOUGH:
        return Change("scores", None, None, None, Alert.UNKNOWN, _too_few(n, m))
    index = stability_index(now, before)
    bins = sum(1 for pair in zip(now, before, strict=True) if any(pair))
    chance = _chi_squared(0.99, max(1, bins - 1)) * (1 / n + 1 / m)
    alert = Alert.NONE
    if index > max(WATCH, chance):
        alert = Alert.ALARM if index > ALARM else Alert.WATCH
    sentence = {
        Alert.NONE: "the scores are spread as before",
        Alert.WATCH: "the scores are spread somewhat differently than before",
        Alert.ALARM: "the scores are spread very differently than before: the uploads or the model changed",
    }[alert]
    if other_model:
        sentence += "; the two periods were scored by different models, which alone can do that"
    return Change("scores", None, None, index, alert, sentence)


def share_change(what: str, now: tuple[int, int], before: tuple[int, int]) -> Change:
    """Compare a share between two periods.

    Args:
        what: `flagged` or `skipped`.
        now: How many, and of how many.
        before: The same in the period before.

    Returns:
        The change; it alerts where it is both large and no chance.
    """
    (hits, n), (hits_before, m) = now, before
    if min(n, m) < ENOUGH:
        return Change(
            what, hits_before / m if m else None, hits / n if n else None, None, Alert.UNKNOWN, _too_few(n, m)
        )
    share, share_before, pooled = hits / n, hits_before / m, (hits + hits_before) / (n + m)
    deviation = math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    z = abs(share - share_before) / deviation if deviation else 0.0
    smaller, larger = sorted((share, share_before))
    ratio = larger / smaller if smaller else math.inf
    alert = Alert.NONE
    if z > Z_WATCH and ratio > RATIO_WATCH:
        alert = Alert.ALARM if z > Z_ALARM and ratio > RATIO_ALARM else Alert.WATCH
    word = "more" if share > share_before else "fewer"
    sentence = {
        Alert.NONE: f"about as many files are {what} as before",
        Alert.WATCH: f"{word} files are {what} than before",
        Alert.ALARM: f"far {word} files are {what} than before: look for the cause",
    }[alert]
    return Change(what, share_before, share, None, alert, sentence)


def _too_few(now: int, before: int) -> str:
    which = "this period" if now < before else "the period before"
    return f"cannot be compared: only {min(now, before)} uploads in {which}"


def _chi_squared(quantile: float, degrees: int) -> float:
    """Wilson and Hilferty's approximation (1931), good to a percent from three degrees on."""
    part = 2 / (9 * degrees)
    return degrees * (1 - part + NormalDist().inv_cdf(quantile) * math.sqrt(part)) ** 3

"""Precision where positives are as rare as they really are, and why balanced accuracy misleads.

Test sets are balanced, the world is not. A model that finds every positive and wrongly flags 3.7 % of the
negatives has a balanced accuracy of 98 %, and its precision on a balanced set is 96 %. Where one upload in a
hundred is positive, 10,000 uploads hold 100 positives and 9,900 negatives, of which 366 are flagged: four of
five flags are wrong. Recall and the false-positive rate do not depend on how many positives there are, and
precision at any prevalence p follows from them:

    precision = p R / (p R + (1 - p) F) = 1 / (1 + (1 - p)/p * F/R)

It falls as F/R grows, so the interval of that ratio (`proportions.ratio`) gives the one of the precision. It
holds as far as the negatives of the set resemble those of the world, which no interval can know.
"""

import math
from dataclasses import dataclass

from classifier.evaluation.errors import EvaluationError
from classifier.evaluation.metrics import Confusion
from classifier.evaluation.proportions import CONFIDENCE, NOTHING, Estimate, ratio, wilson

WHY = (
    "Balanced accuracy misleads. It weighs both classes alike, and the world does not: where one upload in a "
    "hundred is positive, a model that finds all of them and wrongly flags just 3.7 % of the rest makes four "
    "of five flags wrong, at a balanced accuracy of 98 %."
)
"""The sentence that every report carries."""


@dataclass(frozen=True, slots=True)
class AtPrevalence:
    """What a moderator would see.

    Attributes:
        prevalence: Share of positives among uploads, in 0..1.
        precision: Share of flags that are right.
        flags_per_1000: Flags per 1,000 uploads, right and wrong.
        wrong_flags_per_1000: Those that are wrong.
        missed_per_1000: Positives that are not flagged.
    """

    prevalence: float
    precision: Estimate
    flags_per_1000: float
    wrong_flags_per_1000: float
    missed_per_1000: float


def precision_at(counts: Confusion, prevalence: float, confidence: float = CONFIDENCE) -> Estimate:
    """Precision as it would be elsewhere.

    Args:
        counts: At the threshold in question, of a set with both classes.
        prevalence: Share of positives there, between 0 and 1.
        confidence: Of the interval, in 0..1.

    Returns:
        In 0..1; without a value where nothing was flagged.

    Raises:
        EvaluationError: A class is missing, or the prevalence cannot be.
    """
    checked_prevalence(prevalence)
    if not counts.positives or not counts.negatives:
        raise EvaluationError("Precision at a prevalence needs both classes in the set.")
    recall = wilson(counts.true_positives, counts.positives, confidence)
    false_alarms = wilson(counts.false_positives, counts.negatives, confidence)
    odds = ratio(false_alarms, recall)
    if odds.value is None:
        return NOTHING
    return Estimate(
        _precision(odds.value, prevalence),
        _precision(odds.high, prevalence),
        _precision(odds.low, prevalence),
    )


def at_prevalence(counts: Confusion, prevalence: float, confidence: float = CONFIDENCE) -> AtPrevalence:
    """`precision_at`, with what it means for 1,000 uploads; arguments and errors are the same."""
    precision = precision_at(counts, prevalence, confidence)
    found = 1000 * prevalence * counts.true_positives / counts.positives
    wrong = 1000 * (1 - prevalence) * counts.false_positives / counts.negatives
    return AtPrevalence(prevalence, precision, found + wrong, wrong, 1000 * prevalence - found)


def checked_prevalence(prevalence: float) -> float:
    """The prevalence itself.

    Raises:
        EvaluationError: It is not between 0 and 1.
    """
    if not 0 < prevalence < 1:
        raise EvaluationError(f"A prevalence of {prevalence:g} cannot be: it lies between 0 and 1.")
    return prevalence


def _precision(odds: float, prevalence: float) -> float:
    return 0.0 if math.isinf(odds) else 1 / (1 + (1 - prevalence) / prevalence * odds)


__all__ = ["WHY", "AtPrevalence", "at_prevalence", "checked_prevalence", "precision_at"]

"""Figures as people read them, the same in every report, card and table."""

import math
from typing import Final

from classifier.evaluation.groups import GroupRow
from classifier.evaluation.proportions import Estimate
from classifier.evaluation.values import Measure, OperatingPoint

TITLES: Final = {
    "accuracy": "Accuracy",
    "precision": "Precision",
    "recall": "Recall",
    "f1": "F1",
    "specificity": "Specificity",
    "balanced_accuracy": "Balanced accuracy",
    "pr_auc": "PR-AUC",
    "roc_auc": "ROC-AUC",
    "brier": "Brier score",
    "log_loss": "Log loss",
    "ece": "Calibration error (ECE)",
}
MEANINGS: Final = {
    "accuracy": "decisions that are right, on this mix of classes",
    "precision": "flags that are right, on this mix of classes",
    "recall": "positives that are flagged",
    "f1": "harmonic mean of precision and recall",
    "specificity": "negatives that are left alone",
    "balanced_accuracy": "mean of recall and specificity; misleads where positives are rare",
    "pr_auc": "average precision over all thresholds, on this mix of classes",
    "roc_auc": "chance that a positive outscores a negative",
    "brier": "mean squared error of the score; lower is better",
    "log_loss": "mean surprise by the truth; lower is better",
    "ece": "distance of scores from what they promise; lower is better",
}
_SHARES: Final = frozenset({"accuracy", "precision", "recall", "specificity", "balanced_accuracy"})
_THIN: Final = "\u202f"
MISSING: Final = "–"


def percent(share: float | None, digits: int = 1) -> str:
    """A share as per cent, or a dash; a share that is not 0 or 1 is never rounded to it.

    Small shares get the digits they need: 0.4 of a per mille is not "0.0 %".
    """
    if share is None:
        return MISSING
    shown = share * 100
    distance = min(shown, 100 - shown)
    if 0 < distance < 0.5 * 10**-digits:
        digits = min(-math.floor(math.log10(distance)), 6)
    return f"{shown:.{digits}f}{_THIN}%"


def estimate(found: Estimate) -> str:
    """A share with its interval."""
    if found.value is None:
        return MISSING
    return f"{percent(found.value)} ({span(found)})"


def span(found: Estimate) -> str:
    """The interval of a share alone."""
    return f"{percent(found.low)[:-2]}–{percent(found.high)}"


def measure_value(measure: Measure) -> str:
    """The figure of a measure."""
    return _figure(measure.name, measure.value)


def measure_span(measure: Measure) -> str:
    """The interval of a measure, "" where there is none."""
    if measure.low is None or measure.high is None:
        return ""
    low, high = _figure(measure.name, measure.low), _figure(measure.name, measure.high)
    return f"{low.removesuffix(_THIN + '%')}–{high}"


def _figure(name: str, value: float | None) -> str:
    if value is None:
        return MISSING
    return percent(value) if name in _SHARES else f"{value:.3f}"


def purpose(point: OperatingPoint) -> str:
    """What a threshold is for."""
    if point.kind == "precision":
        return f"{percent(point.asked, 0)} of flags right"
    if point.kind == "budget":
        return f"{point.asked:,.10g} reviews a day"
    return "as given"


def prevalence(share: float) -> str:
    """A share that somebody chose, with the digits that it has."""
    return f"{share * 100:.4g}{_THIN}%"


def stands_out(row: GroupRow) -> str:
    """In what way a group differs from all the others, "" where it does not."""
    apart = {"recall": row.recall_apart, "false_positive_rate": row.false_positive_rate_apart}
    titles = {"recall": "recall", "false_positive_rate": "false-positive rate"}
    ways = [f"{'higher' if apart[what].low > 0 else 'lower'} {titles[what]}" for what in row.stands_out]
    return f"stands out: {', '.join(ways)}" if ways else ""


def count(number: float) -> str:
    """A number of things, with as many digits as say something."""
    if number >= 100 or number == int(number):
        return f"{number:,.0f}"
    return f"{number:.3g}"


def signed(value: float | None, digits: int = 3) -> str:
    """A difference, with its sign."""
    return MISSING if value is None else f"{value:+.{digits}f}".replace("-", "−")


__all__ = [
    "MEANINGS",
    "MISSING",
    "TITLES",
    "count",
    "estimate",
    "measure_span",
    "measure_value",
    "percent",
    "prevalence",
    "purpose",
    "signed",
    "span",
    "stands_out",
]

"""From scores, truths and groups to one `Evaluation`: pure, so that equal scores give equal reports.

Whatever is *chosen* (temperature, thresholds) is chosen on the validation set, whatever is *reported* is
measured on the test set. Without a validation set nothing is chosen.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from classifier.evaluation.bootstrap import RESAMPLES, Sampling, intervals
from classifier.evaluation.calibration import (
    Temperature,
    apply_temperature,
    expected_calibration_error,
    fit_temperature,
    reliability,
)
from classifier.evaluation.errors import EvaluationError, Unreachable
from classifier.evaluation.groups import group_table
from classifier.evaluation.metrics import (
    MEASURES,
    Confusion,
    Curve,
    Measures,
    confusion,
    curve,
    surprise,
)
from classifier.evaluation.prevalence import at_prevalence, checked_prevalence
from classifier.evaluation.proportions import CONFIDENCE, NOTHING, Estimate, wilson
from classifier.evaluation.scored import Scored
from classifier.evaluation.thresholds import checked_budget, checked_precision, for_budget, for_precision
from classifier.evaluation.values import (
    Calibration,
    CurvePoint,
    Evaluation,
    Histogram,
    IntervalMethod,
    Measure,
    OperatingPoint,
    PointKind,
    Subject,
)

_CURVE_POINTS: Final = 400
_HISTOGRAM_BINS: Final = 25


@dataclass(frozen=True, slots=True)
class Options:
    """What to ask beyond the plain figures.

    Attributes:
        prevalences: Shares of positives to give the precision for.
        expected_prevalence: The one that thresholds are chosen for. 1 % is a round guess of how rare such
            uploads are, not a measured figure: bring your own where you have one.
        target_precisions: Choose a threshold for each.
        reviews_per_day: Choose a threshold for each budget; needs `uploads_per_day`.
        uploads_per_day: All uploads; None where it is not known.
        cautious: Choose thresholds for the lower end of the precision's interval.
        resamples: Of the bootstrap.
        seed: Of the bootstrap.
        confidence: Of every interval.
    """

    prevalences: tuple[float, ...] = (0.001, 0.01, 0.05, 0.1, 0.5)
    expected_prevalence: float = 0.01
    target_precisions: tuple[float, ...] = (0.5, 0.9)
    reviews_per_day: tuple[float, ...] = ()
    uploads_per_day: float | None = None
    cautious: bool = False
    resamples: int = RESAMPLES
    seed: int = 0
    confidence: float = CONFIDENCE


def evaluate(
    test: Scored,
    subject: Subject,
    *,
    threshold: float,
    validation: Scored | None = None,
    options: Options | None = None,
) -> Evaluation:
    """Measure a model.

    Args:
        test: What it says of the test set.
        subject: What to call both.
        threshold: Flagged is whatever reaches it.
        validation: What the same model says of the validation set; nothing is chosen without it.
        options: What else to ask.

    Returns:
        All figures.

    Raises:
        EvaluationError: An option that cannot be.
    """
    asked = options or Options()
    check_options(asked)
    counts = confusion(test.scores, test.labels, threshold)
    return Evaluation(
        subject=subject,
        items=len(test),
        positives=counts.positives,
        clusters=None if test.clusters is None else len(np.unique(test.clusters)),
        confidence=asked.confidence,
        expected_prevalence=asked.expected_prevalence,
        uploads_per_day=asked.uploads_per_day,
        threshold=threshold,
        counts=counts,
        measures=_measures(test, counts, threshold, asked),
        prevalences=tuple(
            at_prevalence(counts, prevalence, asked.confidence) for prevalence in sorted(asked.prevalences)
        ),
        points=(
            _point("given", threshold, threshold, test, asked),
            *(_chosen(validation, test, asked) if validation is not None else ()),
        ),
        curve=_thinned(curve(test.scores, test.labels)),
        histogram=_histogram(test),
        calibration=_calibration(test, validation, asked.confidence),
        groups=tuple(
            group_table(test, column, values, threshold=threshold, confidence=asked.confidence)
            for column, values in sorted(test.groups.items())
        ),
    )


def check_options(options: Options) -> None:
    """Refuse what cannot be, for who wants to know before hours of scoring.

    Args:
        options: What is asked.

    Raises:
        EvaluationError: A figure that cannot be.
    """
    for prevalence in (options.expected_prevalence, *options.prevalences):
        checked_prevalence(prevalence)
    for target in options.target_precisions:
        checked_precision(target)
    if options.reviews_per_day and options.uploads_per_day is None:
        raise EvaluationError("A review budget says something only together with the uploads per day.")
    for reviews in options.reviews_per_day:
        checked_budget(reviews, options.uploads_per_day or 0.0)


def _measures(test: Scored, counts: Confusion, threshold: float, asked: Options) -> tuple[Measure, ...]:
    found = intervals(
        Measures(test.scores, test.labels, threshold),
        Sampling.of(test.labels, test.clusters),
        resamples=asked.resamples,
        seed=asked.seed,
        confidence=asked.confidence,
    )
    drawn: IntervalMethod = "bootstrap" if test.clusters is None else "cluster_bootstrap"
    table = np.stack([found.values, found.low, found.high], axis=1).tolist()
    measures = {}
    for name, figures in zip(MEASURES, table, strict=True):
        value, low, high = (figure if np.isfinite(figure) else None for figure in figures)
        measures[name] = Measure(name, value, low, high, drawn)
    if test.clusters is None:
        # A share that is 0 or 1 has no spread to draw from; Wilson's interval stays honest there.
        for name, estimate in _shares(counts, asked.confidence):
            measures[name] = Measure(name, estimate.value, estimate.low, estimate.high, "wilson")
    return tuple(measures.values())


def _shares(counts: Confusion, confidence: float) -> Iterator[tuple[str, Estimate]]:
    right = counts.true_positives + counts.true_negatives
    yield "accuracy", wilson(right, counts.total, confidence)
    yield "precision", wilson(counts.true_positives, counts.flagged, confidence)
    yield "recall", wilson(counts.true_positives, counts.positives, confidence)
    yield "specificity", wilson(counts.true_negatives, counts.negatives, confidence)


def _chosen(validation: Scored, test: Scored, asked: Options) -> Iterator[OperatingPoint]:
    scores, labels, prevalence = validation.scores, validation.labels, asked.expected_prevalence
    for target in asked.target_precisions:
        try:
            choice = for_precision(
                scores, labels, target=target, prevalence=prevalence, cautious=asked.cautious
            )
        except Unreachable as error:
            yield _missing("precision", target, str(error))
        else:
            yield _point("precision", target, choice.threshold, test, asked)
    for budget in asked.reviews_per_day:
        assert asked.uploads_per_day is not None
        try:
            choice = for_budget(
                scores,
                labels,
                reviews_per_day=budget,
                uploads_per_day=asked.uploads_per_day,
                prevalence=prevalence,
            )
        except Unreachable as error:
            yield _missing("budget", budget, str(error))
        else:
            yield _point("budget", budget, choice.threshold, test, asked)


def _missing(kind: PointKind, wanted: float, note: str) -> OperatingPoint:
    return OperatingPoint(kind, wanted, None, note, None, NOTHING, NOTHING, None, None)


def _point(kind: PointKind, wanted: float, threshold: float, test: Scored, asked: Options) -> OperatingPoint:
    counts = confusion(test.scores, test.labels, threshold)
    outside = at_prevalence(counts, asked.expected_prevalence, asked.confidence)
    uploads = asked.uploads_per_day
    return OperatingPoint(
        kind=kind,
        asked=wanted,
        threshold=threshold,
        note="",
        counts=counts,
        recall=wilson(counts.true_positives, counts.positives, asked.confidence),
        false_positive_rate=wilson(counts.false_positives, counts.negatives, asked.confidence),
        outside=outside,
        flags_per_day=None if uploads is None else outside.flags_per_1000 / 1000 * uploads,
    )


def _thinned(steps: Curve) -> tuple[CurvePoint, ...]:
    """Keep points equally far apart along the curve, so that steep parts do not lose their shape."""
    recall = steps.true_positives / steps.positives
    alarms = steps.false_positives / steps.negatives
    precision = steps.true_positives / (steps.true_positives + steps.false_positives)
    columns = np.stack([recall, alarms, precision], axis=1)
    walked = np.append(0.0, np.abs(np.diff(columns, axis=0)).sum(axis=1).cumsum())
    kept = np.arange(len(walked))
    if len(walked) > _CURVE_POINTS:
        stops = np.linspace(0, walked[-1], _CURVE_POINTS)
        kept = np.unique(np.append(np.searchsorted(walked, stops), len(walked) - 1))
        kept = kept[kept < len(walked)]
    rows = np.stack([steps.thresholds, recall, alarms], axis=1)[kept].tolist()
    return tuple(CurvePoint(*row) for row in rows)


def _histogram(test: Scored) -> Histogram:
    edges = np.linspace(0, 1, _HISTOGRAM_BINS + 1)
    negatives, positives = (
        tuple(np.histogram(test.scores[chosen], edges)[0].tolist()) for chosen in (~test.labels, test.labels)
    )
    return Histogram(negatives, positives)


def _calibration(test: Scored, validation: Scored | None, confidence: float) -> Calibration:
    temperature = (
        Temperature() if validation is None else fit_temperature(validation.scores, validation.labels)
    )
    before = test.scores
    after = apply_temperature(before, temperature.value) if temperature.fitted else None
    return Calibration(
        temperature=temperature,
        before=reliability(before, test.labels, confidence=confidence),
        after=() if after is None else reliability(after, test.labels, confidence=confidence),
        ece_before=expected_calibration_error(before, test.labels),
        ece_after=None if after is None else expected_calibration_error(after, test.labels),
        log_loss_before=float(surprise(before, test.labels).mean()),
        log_loss_after=None if after is None else float(surprise(after, test.labels).mean()),
    )


__all__ = ["Options", "check_options", "evaluate"]

"""How far an engine's scores lie from the reference's, and whether that is near enough; arithmetic only.

An engine that drifts is not a faster way to the same score but another model, so it is refused. A score that
is not a number is refused whatever the other scores are.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from classifier.engines.values import DriftReport, Precision
from classifier.values import Level

FP32_MAX = 1e-4
"""Largest difference of a single score that an fp32 engine may show: only the order of additions differs."""
INT8_MEAN = 0.005
"""An int8 engine's mean difference has to stay under this."""
PICTURES_PER_CHANGED_DECISION = 200
"""An int8 engine may change one decision in so many, which is 0.5 %."""
REPEATED_MEAN = 1.5
"""Times the mean at export that an int8 engine may show on the same pictures on another machine."""
DECISIVE_LEVEL: Level = "balanced"
"""The level whose decisions count."""
MIN_INT8_PICTURES = 32
MIN_INT8_POSITIVES = 4
_POSITIVE = 0.5


def measure(reference: ArrayLike, scores: ArrayLike, thresholds: Mapping[Level, float]) -> DriftReport:
    """Compare scores.

    Args:
        reference: float (n,), the reference's scores, 0..1, n >= 1.
        scores: float (n,), the engine's scores of the same pictures in the same order.
        thresholds: Score from which a file is flagged, per level.

    Returns:
        The differences. Where a score is not a number, neither are mean, p99 and maximum, and that picture's
        decisions count as changed.

    Raises:
        ValueError: Where the shapes differ, or there is nothing to compare.
    """
    # Wide, because decisions are made on Python's floats: 0.95 as float32 lies below 0.95.
    wanted, got = np.asarray(reference, np.float64), np.asarray(scores, np.float64)
    if wanted.ndim != 1 or wanted.shape != got.shape or not wanted.size:
        raise ValueError(f"cannot compare scores of shape {got.shape} with {wanted.shape}")
    numbers = np.isfinite(wanted) & np.isfinite(got)
    apart = np.where(numbers, np.abs(np.where(numbers, got, 0) - np.where(numbers, wanted, 0)), np.nan)
    return DriftReport(
        pictures=len(wanted),
        positives=int((wanted >= _POSITIVE).sum()),
        mean=float(apart.mean()),
        p99=float(np.percentile(apart, 99, method="higher")),
        max=float(apart.max()),
        decisions_changed={
            level: float((~numbers | ((wanted >= threshold) != (got >= threshold))).mean())
            for level, threshold in thresholds.items()
        },
    )


def refusal(precision: Precision, report: DriftReport) -> str:
    """Judge a report.

    fp32 is held to the largest difference. int8 is held to the mean, and to changing at most 0.5 % of the
    decisions at `balanced`. On fewer than 400 pictures the latter means one decision at most: a share cannot
    be told more finely than in pictures, an engine that changes just 0.5 % changes one of 48 pictures in 21 %
    of all such sets, and two in 2 %.

    Args:
        precision: What the engine computes with.
        report: What was measured.

    Returns:
        Why the engine must not be used, in one sentence part; empty where it may be.
    """
    # Every comparison is written so that "not a number" fails it.
    if not report.max <= 1.0:
        return f"its scores are no probabilities: the largest difference is {report.max}"
    if precision == "fp32":
        if not report.max <= FP32_MAX:
            return f"a score differs by {report.max:.2g}, at most {FP32_MAX:g} is allowed"
        return ""
    return _int8_refusal(report)


def repeated_refusal(precision: Precision, report: DriftReport, at_export: DriftReport | None) -> str:
    """Judge what a machine measured on the small set that travels with a graph.

    The set is spread evenly over the scores, and many of its pictures lie where a network is steepest, so a
    good int8 engine drifts several times as far on it as on the large set, on which it was judged when it was
    made. Here it has to repeat what it did there: a processor on which int8 saturates is far off.

    Args:
        precision: What the engine computes with.
        report: What was measured here.
        at_export: What was measured on the same pictures where the graph was made; None: not known, and it
            is judged as if it were the large set.

    Returns:
        As `refusal`.
    """
    if precision == "fp32" or at_export is None or not report.max <= 1.0:
        return refusal(precision, report)
    allowed_mean = max(INT8_MEAN, REPEATED_MEAN * at_export.mean)
    if not report.mean <= allowed_mean:
        return (
            f"scores differ by {report.mean:.2g} in the mean, {at_export.mean:.2g} where it was exported: "
            f"this processor or library computes int8 otherwise"
        )
    changed, before = (
        round(one.decisions_changed[DECISIVE_LEVEL] * one.pictures) for one in (report, at_export)
    )
    if changed > before + 1:
        return (
            f"{changed} of {report.pictures} decisions at `{DECISIVE_LEVEL}` changed, "
            f"{before} where it was exported"
        )
    return ""


def _int8_refusal(report: DriftReport) -> str:
    if report.pictures < MIN_INT8_PICTURES or report.positives < MIN_INT8_POSITIVES:
        return (
            f"it was compared on {report.pictures} pictures with {report.positives} positives, "
            f"at least {MIN_INT8_PICTURES} with {MIN_INT8_POSITIVES} are needed"
        )
    if not report.mean < INT8_MEAN:
        return f"scores differ by {report.mean:.2g} in the mean, less than {INT8_MEAN:g} is allowed"
    changed = report.decisions_changed.get(DECISIVE_LEVEL)
    if changed is None:
        return f"its decisions at `{DECISIVE_LEVEL}` were not compared"
    allowed = max(1, report.pictures // PICTURES_PER_CHANGED_DECISION)
    if not changed * report.pictures <= allowed + 0.5:
        return (
            f"{changed * report.pictures:.0f} of {report.pictures} decisions at `{DECISIVE_LEVEL}` changed, "
            f"at most {allowed} may"
        )
    return ""

"""Where a day's review budget tells most: probabilities per stratum from what the verdicts said so far. Pure.

The doubt in recall and precision comes from totals N_h P_h, so the labels of a lane go to its strata in
proportion to N_h sqrt(P_h (1 - P_h)), Neyman's allocation (Neyman 1934, JRSS 97:558-625), and between lanes
as the linearised variances of both measures say: with Y explicit uploads, F flagged ones and recall R,

    Var(recall) + Var(precision) = R^2 / Y^2 V_unflagged + ((1 - R)^2 / Y^2 + 1 / F^2) V_flagged.

P_h is not known, so it is estimated from the verdicts so far, as in Bennett and Carvalho, "Online stratified
sampling: evaluating classifiers at web-scale" (CIKM 2010), with a prior that falls with the score: half an
explicit file in as many uploads as the score makes it rare. A stratum in which nothing explicit was found
yet is thus never taken to be free of it, and a floor for every stratum bounds what a wrong guess can cost.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from storage.sampling import LEAST, Lane, Plan, Stratum

FLOOR = 0.2
"""This share of a lane's labels is spread evenly over its strata."""
TARGET = 0.95
"""Of the budget; a day with more uploads than the last ones has the rest."""
MOST_AUDIT = 0.8
FLAGGED_ROOM = 1.6
"""All flagged uploads are put up where so many times their usual number fit."""
_PRIOR_EXPLICIT = 0.5
_RAREST = 0.002
_LEAST_PER_DAY = 0.1


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known about a stratum.

    Attributes:
        stratum: Which.
        per_day: Scored uploads a day.
        labels: What its labels are worth in equally weighted ones.
        share: Their weighted share of explicit ones; anything where there are no labels.
    """

    stratum: Stratum
    per_day: float
    labels: float = 0.0
    share: float = 0.0


def allocate(evidence: Sequence[Evidence], *, daily_budget: int, audit_share: float) -> Plan:
    """Plan with which probabilities to draw.

    Args:
        evidence: Every stratum once.
        daily_budget: How many items people can review a day, at least 2.
        audit_share: The least share of it for unflagged uploads, in 0..1, where not all flagged ones fit.

    Returns:
        The plan; flagged uploads have probability 1 where they fit.
    """
    flagged = [one for one in evidence if one.stratum.lane is Lane.FLAGGED]
    unflagged = [one for one in evidence if one.stratum.lane is Lane.UNFLAGGED]
    for_flagged = max(1, math.floor(daily_budget * (1 - audit_share)))
    flags = sum(one.per_day for one in flagged)
    if flags * FLAGGED_ROOM <= for_flagged:
        probabilities = {one.stratum: 1.0 for one in flagged}
    else:
        wanted = min(max(_audit_share(flagged, unflagged), audit_share), max(audit_share, MOST_AUDIT))
        for_flagged = max(1, math.floor(daily_budget * (1 - wanted)))
        probabilities = _spread(flagged, for_flagged * TARGET)
    for_flagged = min(for_flagged, daily_budget - 1)
    probabilities |= _spread(unflagged, (daily_budget - for_flagged) * TARGET)
    strata = tuple(sorted(one.stratum for one in evidence))
    budgets = {Lane.FLAGGED: for_flagged, Lane.UNFLAGGED: daily_budget - for_flagged}
    return Plan(strata, tuple(probabilities[stratum] for stratum in strata), budgets)


def _explicit_share(one: Evidence) -> float:
    middle = (one.stratum.low + one.stratum.high) / 2
    prior = min(max(middle**2, _RAREST), 0.5)
    return (one.labels * one.share + _PRIOR_EXPLICIT) / (one.labels + _PRIOR_EXPLICIT / prior)


def _spread_of(one: Evidence) -> float:
    """N_h sqrt(P_h (1 - P_h)) of a day."""
    share = min(_explicit_share(one), 0.999)
    return max(one.per_day, _LEAST_PER_DAY) * math.sqrt(share * (1 - share))


def _audit_share(flagged: Sequence[Evidence], unflagged: Sequence[Evidence]) -> float:
    """The unflagged uploads' share of the labels that makes both intervals short."""
    found = sum(one.per_day * _explicit_share(one) for one in flagged)
    missed = sum(one.per_day * _explicit_share(one) for one in unflagged)
    flags, explicit = sum(one.per_day for one in flagged), found + missed
    recall = found / explicit
    for_unflagged = recall / explicit * sum(map(_spread_of, unflagged))
    for_flagged = math.hypot((1 - recall) / explicit, 1 / flags) * sum(map(_spread_of, flagged))
    return for_unflagged / (for_unflagged + for_flagged)


def _spread(evidence: Sequence[Evidence], labels: float) -> dict[Stratum, float]:
    """Probabilities that spend so many labels a day; what a stratum cannot take goes to the others."""
    total = sum(map(_spread_of, evidence))
    wanted = {one.stratum: (1 - FLOOR) * _spread_of(one) / total + FLOOR / len(evidence) for one in evidence}
    size = {one.stratum: max(one.per_day, _LEAST_PER_DAY) for one in evidence}
    full: set[Stratum] = set()
    while True:
        left = labels - sum(size[stratum] for stratum in full)
        open_share = sum(share for stratum, share in wanted.items() if stratum not in full)
        over = {
            stratum
            for stratum, share in wanted.items()
            if stratum not in full and left * share >= size[stratum] * open_share
        }
        if not over:
            break
        full |= over
    return {
        stratum: 1.0 if stratum in full else max(LEAST, left * share / open_share / size[stratum])
        for stratum, share in wanted.items()
    }

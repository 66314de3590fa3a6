r"""How good the flags are: precision as an estimate with an interval (promise 5), never as a bare number.

The arithmetic is pure and comes first; one query feeds it. With reviewed items i, labels y_i (1 for
explicit), inclusion probabilities p_i and weights w_i = 1 / p_i:

- the estimate is Hájek's ratio, P = sum(w_i y_i) / sum(w_i) (Hájek 1971, in Godambe and Sprott, "Foundations
  of Statistical Inference", p. 236; Särndal, Swensson, Wretman 1992, section 5.7);
- unequal weights cost precision: the effective sample size is Kish's, n = sum(w_i)^2 / sum(w_i^2) (Kish
  1965, "Survey Sampling", section 11.7), which is the plain count where all weights are the same;
- the interval is Wilson's score interval (Wilson 1927, JASA 22:209-212) with that n, z being the normal
  quantile:

      (P + z^2/2n  -+  z sqrt(P (1 - P) / n + z^2/4n^2)) / (1 + z^2/n)

  It never leaves 0..1, always holds P, and keeps its coverage for small n and for P near 1, where the usual
  P +- z s does not (Brown, Cai, DasGupta 2001, Statistical Science 16:101-133); with the effective sample
  size it does so for weighted samples too (Franco, Little, Louis, Slud 2019, J. Survey Stat. Methodol.
  7:334-364).

It takes the reviewed items for a random part of the chosen ones, which is why rows come in random order. It
ignores that the reviewed part may be nearly all there is, so the interval is rather too wide than too narrow.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import NormalDist

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from storage.review_values import ReviewState, VerdictCode
from storage.standing import CastVote, is_nsfw, latest_per_person
from storage.tables import ReviewItemRow, VerdictRow
from storage.values import ReviewReason

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Labelled:
    """One reviewed item, as the arithmetic sees it.

    Attributes:
        positive: Whether people say it is what the model said.
        probability: The probability with which it was chosen, over 0 and at most 1.
    """

    positive: bool
    probability: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """A share with its interval.

    Attributes:
        value: The estimate in 0..1; None where there is nothing to estimate from.
        low: Lower end of the interval; 0 where there is nothing.
        high: Upper end; 1 where there is nothing.
        n: How many items it comes from.
        n_effective: What they are worth in equally weighted ones.
    """

    value: float | None
    low: float
    high: float
    n: int
    n_effective: float


@dataclass(frozen=True, slots=True)
class ReviewNumbers:
    """Where the review stands, for the index page.

    Attributes:
        open: Items that wait for a decision, ever.
        disputed: Items whose reviewers disagree, ever.
        closed: Items that are decided, ever.
        unplaced: Those of the open and disputed ones that are on no page yet.
        since: Begin of the window: all below is about items that were flagged from then on.
        precision: Share of the flagged items that are explicit, in 0..1; None before the first decision.
        low: Lower end of its interval.
        high: Upper end of its interval.
        n: Flagged items with an agreed label.
        n_blind: Flagged items labelled by people who saw neither the score nor a hint at another file.
        n_hinted: Flagged items labelled by people who did not see the score, but a hint.
        n_unblinded: Flagged items labelled by people who saw the score; an item can be among all three.
        n_unresolved: Flagged items that were looked at, and left disputed as to their label, or unsure.
        blind: Precision by the blind verdicts alone.
        hinted: Precision by those given beside a hint alone.
        unblinded: Precision by those given beside the score alone.
        if_none: Precision if every unresolved item were harmless: the bound below.
        if_all: Precision if every unresolved item were explicit: the bound above.
    """

    open: int
    disputed: int
    closed: int
    unplaced: int
    since: datetime
    precision: float | None
    low: float
    high: float
    n: int
    n_blind: int
    n_hinted: int
    n_unblinded: int
    n_unresolved: int
    blind: Estimate
    hinted: Estimate
    unblinded: Estimate
    if_none: Estimate
    if_all: Estimate


def weighted_share(items: Sequence[Labelled], confidence: float = CONFIDENCE) -> Estimate:
    """Hájek's ratio with Wilson's interval at Kish's effective sample size (see above).

    Args:
        items: The reviewed items.
        confidence: How often the interval shall hold the true share, over 0 and under 1.

    Returns:
        The estimate; without items it is unknown and its interval is 0..1.
    """
    if not items:
        return Estimate(value=None, low=0.0, high=1.0, n=0, n_effective=0.0)
    # Only ratios of weights matter; scaled to at most 1 they cannot overflow when squared.
    smallest = min(item.probability for item in items)
    weights = [smallest / item.probability for item in items]
    total = math.fsum(weights)
    share = math.fsum(w for w, item in zip(weights, items, strict=True) if item.positive) / total
    n_effective = total**2 / math.fsum(w * w for w in weights)
    low, high = wilson(share, n_effective, confidence)
    return Estimate(share, low, high, len(items), n_effective)


def wilson(share: float, n: float, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Wilson's score interval.

    Args:
        share: The observed share in 0..1.
        n: How many observations it comes from, over 0; need not be whole.
        confidence: How often the interval shall hold the true share, over 0 and under 1.

    Returns:
        Lower and upper end, in 0..1, with the share between them.
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    middle = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2)
    scale = 1 + z * z / n
    # At 0 and 1 the ends coincide with the share, but for rounding.
    return max(0.0, min(share, (middle - half) / scale)), min(1.0, max(share, (middle + half) / scale))


def numbers(tx: Session, now: datetime, days: float = 30) -> ReviewNumbers:
    """Count the items and estimate the precision of the flags.

    Args:
        tx: A session of `Database.read()`, which sees one instant.
        now: The present.
        days: How far back the estimates look, by the time at which items were flagged.

    Returns:
        The numbers.
    """
    since = now - timedelta(days=days)
    items = _voted(tx, since)
    blind = _labelled(items, lambda vote: vote.uninfluenced)
    hinted = _labelled(items, lambda vote: vote.blind and vote.hinted)
    unblinded = _labelled(items, lambda vote: not vote.blind)
    labelled = _labelled(items, lambda _vote: True)
    unresolved = [item.probability for item in items if _label(item.votes) is None]
    precision = weighted_share(labelled)
    by_state = select(ReviewItemRow.state, func.count()).group_by(ReviewItemRow.state)
    counts = {state: count for state, count in tx.execute(by_state)}  # noqa: C416 - rows are not pairs to mypy
    return ReviewNumbers(
        open=counts.get(ReviewState.OPEN.value, 0),
        disputed=counts.get(ReviewState.DISPUTED.value, 0),
        closed=counts.get(ReviewState.CLOSED.value, 0),
        unplaced=_unplaced_count(tx),
        since=since,
        precision=precision.value,
        low=precision.low,
        high=precision.high,
        n=precision.n,
        n_blind=len(blind),
        n_hinted=len(hinted),
        n_unblinded=len(unblinded),
        n_unresolved=len(unresolved),
        blind=weighted_share(blind),
        hinted=weighted_share(hinted),
        unblinded=weighted_share(unblinded),
        if_none=weighted_share([*labelled, *(Labelled(False, p) for p in unresolved)]),
        if_all=weighted_share([*labelled, *(Labelled(True, p) for p in unresolved)]),
    )


@dataclass(frozen=True, slots=True)
class _Voted:
    probability: float
    votes: Sequence[CastVote]


def _voted(tx: Session, since: datetime) -> list[_Voted]:
    """The flagged items of the window that have a trusted verdict, each with all of those."""
    rows = tx.execute(
        select(
            ReviewItemRow.id,
            ReviewItemRow.inclusion_probability,
            VerdictRow.code,
            VerdictRow.author,
            VerdictRow.author_id,
            VerdictRow.given_at,
            VerdictRow.revision_id,
            VerdictRow.id,
            VerdictRow.blind,
            VerdictRow.hinted,
        )
        .join_from(ReviewItemRow, VerdictRow, VerdictRow.review_item_id == ReviewItemRow.id)
        .where(
            ReviewItemRow.reason == ReviewReason.FLAGGED.value,
            ReviewItemRow.created_at >= since,
            VerdictRow.trusted,
        )
    )
    probabilities: dict[int, float] = {}
    votes: dict[int, list[CastVote]] = {}
    for row_id, probability, code, *vote_columns in rows:
        probabilities[row_id] = probability
        vote = CastVote(VerdictCode(code), *vote_columns)
        votes.setdefault(row_id, []).append(vote)
    return [_Voted(probabilities[row_id], given) for row_id, given in votes.items()]


def _labelled(items: Iterable[_Voted], counts: Callable[[CastVote], bool]) -> list[Labelled]:
    """The items on whose label those of the votes that count agree.

    What a person said blind still counts among the blind votes where the same person, having seen the score,
    said something else.
    """
    labels = ((_label(filter(counts, item.votes)), item.probability) for item in items)
    return [Labelled(label, probability) for label, probability in labels if label is not None]


def _label(votes: Iterable[CastVote]) -> bool | None:
    return is_nsfw([vote.code for vote in latest_per_person(votes)])


def _unplaced_count(tx: Session) -> int:
    undecided = (ReviewState.OPEN.value, ReviewState.DISPUTED.value)
    statement = select(func.count()).where(
        ReviewItemRow.page_id.is_(None), ReviewItemRow.state.in_(undecided)
    )
    return tx.scalar(statement) or 0

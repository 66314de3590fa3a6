"""Which scored uploads people are asked about: strata, plans, and a draw that keeps the day's budget.

Pure. Every scored upload gets a probability p that is over 0 and fixed before it is drawn for: the plan's
for its stratum, made smaller where the day's budget runs short. So every estimate weighted with 1 / p is
right whatever is drawn (Horvitz and Thompson 1952, JASA 47:663-685).

Independent draws, one keyed hash an upload, cannot keep a budget: with all p over 0 they exceed any number
now and then, and a hard stop gives the rest of the day probability 0, about which then nothing is known.
Instead the draws of a day are systematic (Madow 1949, Annals of Mathematical Statistics 20:333-354; Särndal,
Swensson, Wretman 1992, section 3.6.2): probabilities are laid end to end on a line, S being where an upload's
begins, and it is chosen if one of the points u, u + 1, u + 2, … falls on it, which is to say if its draw

    (u - S) mod 1

is below p. One u, a keyed hash of the day and the lane, serves all of them: each draw is uniform, each
upload's chance is exactly its p, and as many are chosen as S grows to, rounded up or down. S follows from
what was uploaded, never from what was chosen, so p may shrink with what S leaves of the budget: by a factor,
so that it is never 0. Each draw is the one before it less that one's p (mod 1), so whoever has the key can
replay a day from the table of draws. What is given up are independent draws of neighbours in time; arrivals
are in no order that the budget knows, and with mixed probabilities the points fall on no regular pattern.

Flagged and unflagged uploads have a budget each (lanes), so that a flood of flags cannot end the audit.
"""

import hashlib
import hmac
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

RESERVE = 0.1
"""From this share of a lane's budget on, what is left makes probabilities smaller."""
HEAD_START = 0.25
"""What a lane that is short may spend at the day's first minute; the rest is released evenly over the day."""
SLACK = 1e-3
LEAST = 1e-9
"""No probability is smaller, and this many times a million still fits the slack."""
DAY_S = 86_400.0


class Lane(StrEnum):
    """What has a budget of its own; names of strata begin with it."""

    FLAGGED = "flagged"
    UNFLAGGED = "unflagged"


class Media(StrEnum):
    """Kinds of media that the model may be differently good at."""

    STILL = "still"
    MOVING = "moving"


@dataclass(frozen=True, slots=True, order=True)
class Stratum:
    """Uploads that are drawn with one probability.

    Attributes:
        lane: Whether they were flagged.
        low: Lowest score in it.
        high: Lowest score above it.
        media: What they are.
    """

    lane: Lane
    low: float
    high: float
    media: Media

    @property
    def name(self) -> str:
        """Such as `unflagged 0.050-0.200 still`; names sort by lane and score."""
        return f"{self.lane} {self.low:.3f}-{self.high:.3f} {self.media}"


@dataclass(frozen=True, slots=True)
class Plan:
    """With which probabilities uploads are drawn.

    Attributes:
        strata: Every stratum there is.
        probabilities: Of each stratum, over 0 and at most 1.
        budgets: How many a day may be chosen in each lane, at least 1.
        id: Row id; None before it is stored.
    """

    strata: tuple[Stratum, ...]
    probabilities: tuple[float, ...]
    budgets: Mapping[Lane, int]
    id: int | None = None

    @property
    def daily_budget(self) -> int:
        """How many a day may be chosen at all."""
        return sum(self.budgets.values())

    def find(self, lane: Lane, score: float, media: Media) -> tuple[Stratum, float]:
        """The stratum of an upload, and its planned probability.

        Args:
            lane: Whether it was flagged.
            score: Its score in 0..1.
            media: What it is.

        Returns:
            Both.
        """
        found = max(
            index
            for index, stratum in enumerate(self.strata)
            if stratum.lane == lane and stratum.media == media and (stratum.low <= score or stratum.low == 0)
        )
        return self.strata[found], self.probabilities[found]

    def short(self, lane: Lane) -> bool:
        """Whether a lane cannot ask about all of its uploads."""
        pairs = zip(self.strata, self.probabilities, strict=True)
        return any(stratum.lane == lane and probability < 1 for stratum, probability in pairs)


@dataclass(frozen=True, slots=True)
class Ledger:
    """How far a lane is with its day.

    Attributes:
        spent: The probabilities drawn with so far, summed: S.
        turn: The next draw, in [0, 1): (u - S) mod 1.
    """

    spent: float
    turn: float


@dataclass(frozen=True, slots=True)
class Drawn:
    """What one upload drew.

    Attributes:
        stratum: Name of its stratum.
        probability: Its inclusion probability.
        draw: In [0, 1).
    """

    stratum: str
    probability: float
    draw: float

    @property
    def chosen(self) -> bool:
        """Whether people are asked about it."""
        return self.draw < self.probability


def strata_between(edges: Sequence[float]) -> tuple[Stratum, ...]:
    """All strata that some edges make, sorted.

    Args:
        edges: Scores inside 0..1 that divide them, rising.

    Returns:
        Every lane, score and medium.
    """
    bounds = (0.0, *edges, 1.0)
    return tuple(
        sorted(
            Stratum(lane, low, high, media)
            for lane in Lane
            for low, high in pairwise(bounds)
            for media in Media
        )
    )


def draw(key: bytes, name: str) -> float:
    """A number in [0, 1) that follows from a name, and that nobody can foretell without the key.

    Args:
        key: The secret.
        name: What it is drawn for.

    Returns:
        The first 53 bits of HMAC-SHA256, as a fraction: as many as a float holds.
    """
    digest = hmac.new(key, name.encode(), hashlib.sha256).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) / 2**53


def opened(key: bytes, day: str, lane: Lane) -> Ledger:
    """A lane's ledger as its day begins.

    Args:
        key: The secret.
        day: The date, `2026-11-23`.
        lane: Whose.

    Returns:
        The ledger.
    """
    return Ledger(0.0, draw(key, f"{day} {lane}"))


def decide(
    plan: Plan, ledger: Ledger, *, lane: Lane, score: float, media: Media, second: float
) -> tuple[Drawn, Ledger]:
    """Draw for one upload.

    Args:
        plan: The day's plan.
        ledger: The lane's, after the upload before.
        lane: Whether the upload was flagged.
        score: Its score in 0..1.
        media: What it is.
        second: Of the day, in 0..86400.

    Returns:
        What it drew, and the ledger to keep once that is recorded.
    """
    stratum, planned = plan.find(lane, score, media)
    budget = plan.budgets[lane]
    share = HEAD_START + (1 - HEAD_START) * second / DAY_S if plan.short(lane) else 1.0
    room = max(0.0, (budget - SLACK) * share - ledger.spent)
    # At most half of what is left, and so never all of it.
    probability = max(LEAST, planned * min(1.0, room / max(RESERVE * budget, 2.0)))
    turn = math.fmod(ledger.turn - probability + 1.0, 1.0)
    return Drawn(stratum.name, probability, ledger.turn), Ledger(ledger.spent + probability, turn)


def after(last: Drawn, spent: float) -> Ledger:
    """The ledger after a draw that was recorded, for a daemon that starts in mid-day.

    Args:
        last: The lane's last draw of the day.
        spent: All probabilities that the lane drew with on that day, summed.

    Returns:
        The ledger.
    """
    return Ledger(spent, math.fmod(last.draw - last.probability + 1.0, 1.0))

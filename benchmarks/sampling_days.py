"""Days of reviews in a world whose truth is known: the bot's own plans, budget and draws, many lives at once.

Uploads are counted by cell and quarter of a day, not made one by one: what is chosen from a cell is
hypergeometric, and a quarter gets as many points as the real draw (`storage.sampling.decide`) puts there.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.sampling_worlds import (
    CELLS,
    STRATA,
    STRATUM_OF,
    THRESHOLD,
    Cell,
    Counts,
    Floats,
    Story,
    World,
)
from storage.allocation import Evidence, allocate
from storage.sampling import HEAD_START, LEAST, RESERVE, SLACK, Lane, Media, Plan
from storage.uncertainty import combined, inclusion_probabilities, uncertainty

BUDGET, AUDIT_SHARE = 100, 0.3
SLICES = 4
FIRST_DAY = 40_000
OF_STRATUM = np.equal.outer(STRATUM_OF, np.arange(len(STRATA))).astype(np.float64)
"""(cells, strata): sums over cells to sums over strata."""
UNSURE = uncertainty([cell.score for cell in CELLS], THRESHOLD)

Answers = Callable[[int, Cell], float]
"""The share of the chosen items of a day (from 0) and cell that is ever labelled."""


@dataclass(frozen=True, slots=True)
class Reviews:
    """What was drawn and labelled; arrays are (lives, times, cells).

    Attributes:
        probabilities: With which each upload of the cell was drawn.
        chosen: How many were.
        labelled: How many of those people labelled.
        explicit: How many of the labelled ones are explicit.
        chosen_a_day: (lives, days), for the budget.
    """

    probabilities: Floats
    chosen: Counts
    labelled: Counts
    explicit: Counts
    chosen_a_day: Counts


def everybody(_day: int, _cell: Cell) -> float:
    """All that is chosen is labelled."""
    return 1.0


def review(
    story: Story,
    lives: int,
    *,
    answers: Answers = everybody,
    seed: int = 2,
    budget: int = BUDGET,
    proposals: int = 0,
) -> Reviews:
    """Let days go by, each planned from the labels before it.

    Args:
        story: What happens.
        lives: How many are lived at once.
        answers: Who is labelled.
        seed: Of the draws.
        budget: Reviews a day, proposals by uncertainty included.
        proposals: How many of them those are.

    Returns:
        What was reviewed.
    """
    generator = np.random.default_rng(seed)
    shape = (lives, story.days * SLICES, len(CELLS))
    found = Reviews(
        np.zeros(shape),
        np.zeros(shape, dtype=np.int64),
        np.zeros(shape, dtype=np.int64),
        np.zeros(shape, dtype=np.int64),
        chosen_a_day=np.zeros((lives, story.days), dtype=np.int64),
    )
    sums = np.zeros((3, lives, len(STRATA)))
    each = story.days // len(story.phases)
    for day in range(story.days):
        now = story.phases[min(day // each, len(story.phases) - 1)]
        if day % each == 0:
            left = np.repeat(np.stack([now.explicit, now.uploads - now.explicit])[:, None], lives, 1)
        first = day == 0
        plans = [_plan(now, sums[:, life], each, budget - proposals, first=first) for life in range(lives)]
        ledgers = np.zeros((len(Lane), lives)), generator.random((len(Lane), lives))
        here, p, chosen = _a_day(left, (each - day % each) * SLICES, plans, ledgers, generator)
        left = left - here.sum(axis=2)
        if proposals:
            p, chosen = _propose(here.sum(axis=0), p, chosen, proposals, generator)
        shares = np.array([answers(day, cell) for cell in CELLS])
        labelled = generator.binomial(chosen, shares)
        explicit = generator.hypergeometric(here[0], here[1], labelled)
        times = slice(day * SLICES, (day + 1) * SLICES)
        found.probabilities[:, times], found.chosen[:, times] = p, chosen
        found.labelled[:, times], found.explicit[:, times] = labelled, explicit
        found.chosen_a_day[:, day] = chosen.sum(axis=(1, 2))
        told = np.stack([labelled / p, labelled / p**2, explicit / p]).sum(axis=2)
        sums += told @ OF_STRATUM
    return found


def _a_day(
    left: Counts,
    slices_left: int,
    plans: Sequence[Plan],
    ledgers: tuple[Floats, Floats],
    generator: np.random.Generator,
) -> tuple[Counts, Floats, Counts]:
    """Uploads of a day, (explicit or not, lives, quarters, cells), their probabilities, and the chosen."""
    quarters: list[tuple[Counts, Floats, Counts]] = []
    for part in range(SLICES):
        here = generator.binomial(left, 1 / (slices_left - part))
        left = left - here
        time = (part + 0.5) / SLICES
        quarters.append((here, *_draw(plans, here.sum(axis=0), ledgers, time, generator)))
    uploads, p, chosen = zip(*quarters, strict=True)
    return np.stack(uploads, axis=2), np.stack(p, axis=1), np.stack(chosen, axis=1)


def _propose(
    here: Counts, p: Floats, chosen: Counts, proposals: int, generator: np.random.Generator
) -> tuple[Floats, Counts]:
    """The second draw of a day, as `bot.proposals` makes it; arrays are (lives, quarters, cells)."""
    open_to = here * (p < 1)
    second = np.stack(
        [inclusion_probabilities(UNSURE, proposals - SLACK, counts=counts) for counts in open_to.sum(axis=1)]
    )[:, None] * (p < 1)
    parts = (second * open_to).reshape(len(here), -1)
    grown = parts.sum(axis=1)
    points = np.floor(grown - generator.random(len(here))) + 1
    drawn = generator.multinomial(points.astype(np.int64), parts / grown[:, None]).reshape(here.shape)
    drawn = np.minimum(drawn, here)
    twice = generator.hypergeometric(chosen, here - chosen, drawn)
    return combined(p, second), chosen + drawn - twice


def _plan(now: World, sums: Floats, days: int, budget: int, *, first: bool) -> Plan:
    """As `bot.sampling` plans a day: the first one knows nothing of its uploads."""
    with np.errstate(invalid="ignore", divide="ignore"):
        worth, share = np.nan_to_num(sums[0] ** 2 / sums[1]), np.nan_to_num(sums[2] / sums[0])
    per_day = np.bincount(STRATUM_OF, now.uploads, len(STRATA)) / days
    if first:
        lows = sorted({one.low for one in STRATA})
        per_day = np.array(
            [
                0.0 if one.lane is Lane.FLAGGED else FIRST_DAY / len(Media) * 0.5 ** (lows.index(one.low) + 1)
                for one in STRATA
            ]
        )
    evidence = [
        Evidence(*values)
        for values in zip(STRATA, per_day.tolist(), worth.tolist(), share.tolist(), strict=True)
    ]
    return allocate(evidence, daily_budget=budget, audit_share=AUDIT_SHARE)


def _draw(
    plans: Sequence[Plan],
    here: Counts,
    ledgers: tuple[Floats, Floats],
    time: float,
    generator: np.random.Generator,
) -> tuple[Floats, Counts]:
    """The draw of `storage.sampling.decide` for all uploads of a quarter at once.

    Within a quarter the probability is that of its middle; the flood of a first day, whose budget would be
    gone before that, gets what the budget allows.
    """
    spent, begin = ledgers
    planned = np.array([plan.probabilities for plan in plans])[:, STRATUM_OF]
    chosen = np.zeros(here.shape, dtype=np.int64)
    p = np.zeros(here.shape)
    for row, lane in enumerate(Lane):
        mine = np.array([cell.stratum.lane is lane for cell in CELLS])
        budget = np.array([plan.budgets[lane] for plan in plans], dtype=np.float64)
        short = np.array([plan.short(lane) for plan in plans])
        share = np.where(short, HEAD_START + (1 - HEAD_START) * time, 1.0)
        room = np.maximum((budget - SLACK) * share - spent[row], 0.0)
        factor = np.minimum(1.0, room / np.maximum(RESERVE * budget, 2.0))
        expected = (planned * here)[:, mine].sum(axis=1) * factor
        factor *= np.minimum(1.0, 0.9 * room / np.maximum(expected, 1e-12))
        p[:, mine] = np.maximum(planned[:, mine] * factor[:, None], LEAST)
        parts = (p * here)[:, mine]
        grown = parts.sum(axis=1)
        points = np.floor(spent[row] + grown - begin[row]) - np.floor(spent[row] - begin[row])
        chances = parts / np.maximum(grown, 1e-300)[:, None]
        chosen[:, mine] = generator.multinomial(points.astype(np.int64), chances)
        spent[row] += grown
    return p, np.minimum(chosen, here)

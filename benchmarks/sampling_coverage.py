"""How often the bot's 95 % intervals hold the truth, in which worlds, and how sure that share itself is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.sampling_days import SLICES, Answers, Reviews, everybody, review
from benchmarks.sampling_worlds import (
    CELLS,
    MEASURES,
    THRESHOLD,
    Cell,
    Counts,
    Floats,
    Story,
    World,
    flagged_from,
    simple,
)
from storage.estimates import Estimate, wilson
from storage.sampling import Lane
from storage.weighted_estimates import Estimates, Sample, estimate

ASKED = (0.93, 0.97)
Row = dict[str, float]


@dataclass(frozen=True, slots=True)
class Told:
    """How the intervals of one story did.

    Attributes:
        about: The story in a few words.
        measures: By measure: truth, coverage with its own interval, bias, width, share without a value.
        labels: Of a life, on average.
        most_a_day: The most items of any day of any life.
        says_it_cannot: Share of the lives whose estimates come with a reservation.
    """

    about: str
    measures: Mapping[str, Row]
    labels: float
    most_a_day: int
    says_it_cannot: float


def estimates(
    world: World,
    reviews: Reviews,
    life: int,
    times: slice = slice(None),
    threshold: float = THRESHOLD,
    *,
    with_scores: bool = False,
) -> Estimates:
    """What the bot would say after one of the lives.

    Args:
        world: The uploads that the estimates are about, all of them.
        reviews: What was reviewed.
        life: Which of the lives.
        times: Which quarters of days count.
        threshold: From which score on is flagged.
        with_scores: Whether it is checked if reviewers pick by the score.

    Returns:
        The estimates.
    """
    counts = (reviews.chosen, reviews.labelled, reviews.explicit)
    chosen, labelled, explicit = (values[life, times].ravel() for values in counts)
    flagged = flagged_from(threshold)
    cells = [(cell.stratum.name, bool(flag)) for cell, flag in zip(CELLS, flagged, strict=True)]
    often = len(chosen) // len(cells)
    kinds = np.stack([explicit, labelled - explicit, chosen - labelled], axis=1).ravel()
    sample = Sample(
        np.repeat(np.tile([name for name, _flag in cells], often), chosen),
        np.repeat(np.tile(flagged, often), chosen),
        np.repeat(np.tile([1.0, 0.0, np.nan], len(chosen)), kinds),
        np.repeat(reviews.probabilities[life, times].ravel(), chosen),
        _scores(chosen, life) if with_scores else None,
    )
    population: dict[tuple[str, bool], int] = {}
    for name, count in zip(cells, world.uploads.tolist(), strict=True):
        population[name] = population.get(name, 0) + count
    return estimate(sample, population)


def _scores(chosen: Counts, life: int) -> Floats:
    """Scores of the chosen: within a cell no two are the same, and they say nothing."""
    often = len(chosen) // len(CELLS)
    width = np.tile([cell.high - cell.low for cell in CELLS], often)
    low = np.tile([cell.low for cell in CELLS], often)
    jitter = np.random.default_rng(life).random(int(chosen.sum()))
    return np.asarray(np.repeat(low, chosen) + np.repeat(width, chosen) * jitter)


def covered(found: Sequence[Estimates], truth: Mapping[str, float]) -> dict[str, Row]:
    """How the intervals did.

    Args:
        found: One of each life.
        truth: What they should hold.

    Returns:
        By measure, as `Told` has them.
    """
    table = {}
    for measure in MEASURES:
        ours: list[Estimate] = [getattr(one, measure) for one in found]
        values = np.array([one.value for one in ours if one.value is not None])
        held = float(np.mean([one.low <= truth[measure] <= one.high for one in ours]))
        low, high = wilson(held, len(ours))
        table[measure] = {
            "truth": truth[measure],
            "coverage": held,
            "coverage_low": low,
            "coverage_high": high,
            "below": float(np.mean([one.low > truth[measure] for one in ours])),
            "above": float(np.mean([one.high < truth[measure] for one in ours])),
            "bias": float(values.mean()) - truth[measure] if values.size else float("nan"),
            "bias_sd": float(values.std() / len(values) ** 0.5) if values.size else float("nan"),
            "width": float(np.mean([one.high - one.low for one in ours])),
            "unknown": 1 - len(values) / len(ours),
        }
    return table


def tell(
    story: Story,
    lives: int,
    *,
    answers: Answers = everybody,
    proposals: int = 0,
    threshold: float = THRESHOLD,
    seed: int = 2,
) -> Told:
    """Live a story many times, and look how the intervals did.

    Args:
        story: What happens.
        lives: How many times.
        answers: Who is labelled.
        proposals: Reviews a day by uncertainty, out of the budget.
        threshold: From which score on is flagged, to the estimates.
        seed: Of the draws.

    Returns:
        How they did.
    """
    reviews = review(story, lives, answers=answers, proposals=proposals, seed=seed)
    checked = answers is not everybody
    found = [
        estimates(story.whole, reviews, life, threshold=threshold, with_scores=checked)
        for life in range(lives)
    ]
    return _told(story.describe(), found, story.whole.truth(threshold), reviews)


def _told(about: str, found: Sequence[Estimates], truth: Mapping[str, float], reviews: Reviews) -> Told:
    return Told(
        about,
        covered(found, truth),
        labels=float(reviews.labelled.sum(axis=(1, 2)).mean()),
        most_a_day=int(reviews.chosen_a_day.max()),
        says_it_cannot=float(np.mean([bool(one.reasons) for one in found])),
    )


def scenarios(lives: int, proposals: int) -> dict[str, Told]:
    """Reviewers and models that are not as they should be, and another kind of draw.

    Args:
        lives: How often each story is told.
        proposals: Reviews a day by uncertainty, in the scenario that has some.

    Returns:
        How the intervals did, by scenario.
    """
    one = simple(seed=11)
    nobody = {day for day in range(one.days) if day % 6 == 3}

    def by_stratum(_day: int, cell: Cell) -> float:
        return 0.35 + 0.6 * cell.stratum.low

    def by_score(_day: int, cell: Cell) -> float:
        return 0.2 if cell.stratum.lane is Lane.FLAGGED and cell.low < 0.9 else 1.0

    stories: dict[str, Answers] = {
        "all is reviewed": everybody,
        "days without reviewers": lambda day, _cell: float(day not in nobody),
        "strata of high scores get more answers": by_stratum,
        "within strata, high scores get more answers": by_score,
        "only high scores get answers": lambda _day, cell: float(cell.low >= 0.5),
    }
    table = {name: tell(one, lives, answers=answers) for name, answers in stories.items()}
    table[f"{proposals} proposals a day by uncertainty"] = tell(one, lives, proposals=proposals)
    for threshold in (0.5, 0.9):
        table[f"as if flagged from {threshold}"] = tell(one, lives, threshold=threshold)
    halves = [simple(one.whole.uploads.sum() // 2, weaker=weaker, seed=12) for weaker in (0.0, 0.8)]
    both = Story("another model in mid-month", (halves[0].phases[0], halves[1].phases[0]))
    reviews = review(both, lives)
    found = [estimates(both.whole, reviews, life) for life in range(lives)]
    table[both.name] = _told(both.describe(), found, both.whole.truth(), reviews)
    middle = both.days // 2 * SLICES
    parts = {"before": slice(None, middle), "after": slice(middle, None)}
    for world, (name, times) in zip(both.phases, parts.items(), strict=True):
        found = [estimates(world, reviews, life, times) for life in range(lives)]
        table[f"{both.name}: {name} it alone"] = _told(both.describe(), found, world.truth(), reviews)
    return table


def counted(told: Mapping[str, Told], measures: Sequence[str] = ("precision", "recall")) -> dict[str, Any]:
    """How many stories were inside what is asked for.

    Args:
        told: By name.
        measures: Which measures count.

    Returns:
        How many intervals there are, how many of them inside, and the mean coverage of each measure.
    """
    shares = {name: [one.measures[name]["coverage"] for one in told.values()] for name in measures}
    everything = [share for each in shares.values() for share in each]
    return {
        "intervals": len(everything),
        "inside": sum(ASKED[0] <= share <= ASKED[1] for share in everything),
        **{f"mean_{name}": float(np.mean(each)) for name, each in shares.items()},
    }

"""Does the feedback loop tell the truth? Ten million uploads whose labels are known, and 100 reviews a day.

    python -m benchmarks.sampling [--repetitions 500] [--plot docs/images/sampling-coverage.svg]

An imperfect scorer flags what it believes to be one of 0.5 % explicit uploads. The bot's own plans, draws,
budget and estimates (`storage.allocation`, `storage.sampling`, `storage.weighted_estimates`) run for 60 days,
many times over; then we look how often the 95 % intervals hold the truth, and how many labels simple random
sampling would have needed. Uploads are counted per stratum and quarter of a day, not made one by one: what
is chosen from a stratum is hypergeometric, and a quarter gets as many points as the real draw puts there.
One line of JSON ends the output. It needs no network, no model, and a minute or two.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.allocation import Evidence, allocate
from storage.estimates import Estimate
from storage.sampling import (
    HEAD_START,
    LEAST,
    RESERVE,
    SLACK,
    Lane,
    Media,
    Plan,
    Stratum,
    strata_between,
)
from storage.weighted_estimates import Estimates, Sample, estimate

UPLOADS, PREVALENCE, DAYS, BUDGET, AUDIT_SHARE = 10_000_000, 0.005, 60, 100, 0.3
EDGES, THRESHOLD = (0.01, 0.05, 0.2, 0.5, 0.8, 0.95), 0.8
SLICES = 4
MEASURES = ("precision", "recall", "f1", "prevalence")
Counts = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class World:
    """Uploads by stratum, and which of them are explicit; arrays are (strata,).

    Attributes:
        strata: Where they are.
        uploads: How many there are.
        explicit: How many of those are explicit.
    """

    strata: tuple[Stratum, ...]
    uploads: Counts
    explicit: Counts

    @property
    def flagged(self) -> NDArray[np.bool_]:
        """Which strata are flagged."""
        return np.array([one.lane is Lane.FLAGGED for one in self.strata])

    def truth(self) -> dict[str, float]:
        """The measures as they are."""
        found = float(self.explicit[self.flagged].sum())
        explicit, flags = float(self.explicit.sum()), float(self.uploads[self.flagged].sum())
        values = (
            found / flags,
            found / explicit,
            2 * found / (flags + explicit),
            explicit / self.uploads.sum(),
        )
        return dict(zip(MEASURES, values, strict=True))


@dataclass(frozen=True, slots=True)
class Reviews:
    """What was drawn and labelled; arrays are (repetitions, times, strata).

    Attributes:
        probabilities: With which each upload of the cell was drawn.
        chosen: How many were.
        labelled: How many of those people labelled.
        explicit: How many of the labelled ones are explicit.
        chosen_a_day: (repetitions, days), for the budget.
    """

    probabilities: Floats
    chosen: Counts
    labelled: Counts
    explicit: Counts
    chosen_a_day: Counts


Answers = Callable[[int, Stratum], float]
"""The share of the chosen items of a day (from 0) and stratum that is ever labelled."""


def world(uploads: int, *, shift: float = 0.0, seed: int = 1) -> World:
    """Score uploads with an imperfect scorer.

    Args:
        uploads: How many.
        shift: Over 0 for a scorer that misses more.
        seed: Of the scores.

    Returns:
        The world.
    """
    generator = np.random.default_rng(seed)
    explicit = round(uploads * PREVALENCE)
    of_explicit = generator.beta(2.2 - shift, 0.5 + shift / 4, explicit)
    of_harmless = generator.beta(0.22, 6.0, uploads - explicit)
    # Statues, beaches and medical drawings: harmless, and hard to tell.
    hard = round(uploads * 0.006)
    of_harmless[:hard] = generator.beta(1.6, 1.4, hard)
    bounds = (0.0, *EDGES, 1.0)
    strata = tuple(
        one
        for one in strata_between(EDGES)
        if one.media is Media.STILL and (one.low >= THRESHOLD) == (one.lane is Lane.FLAGGED)
    )
    by_low = [np.histogram(scores, bounds)[0] for scores in (of_explicit, of_harmless)]
    order = [bounds.index(one.low) for one in strata]
    return World(strata, (by_low[0] + by_low[1])[order], by_low[0][order])


def everybody(_day: int, _stratum: Stratum) -> float:
    """All that is chosen is labelled."""
    return 1.0


def review(
    worlds: Sequence[World],
    repetitions: int,
    *,
    answers: Answers = everybody,
    days: int = DAYS,
    seed: int = 2,
) -> Reviews:
    """Let days go by, each planned from the labels before it.

    Args:
        worlds: Every so many days another scorer; equally long.
        repetitions: How many lives are lived at once.
        answers: Who is labelled.
        days: How many.
        seed: Of the draws.

    Returns:
        What was reviewed.
    """
    generator = np.random.default_rng(seed)
    strata = worlds[0].strata
    shape = (repetitions, days * SLICES, len(strata))
    found = Reviews(
        np.zeros(shape),
        np.zeros(shape, dtype=np.int64),
        np.zeros(shape, dtype=np.int64),
        np.zeros(shape, dtype=np.int64),
        chosen_a_day=np.zeros((repetitions, days), dtype=np.int64),
    )
    sums = np.zeros((3, repetitions, len(strata)))
    each = days // len(worlds)
    for day in range(days):
        now = worlds[min(day // each, len(worlds) - 1)]
        if day % each == 0:
            left = np.repeat(np.stack([now.explicit, now.uploads - now.explicit])[:, None], repetitions, 1)
        plans = [_plan(now, sums[:, life], each, first=day == 0) for life in range(repetitions)]
        ledgers = np.zeros((len(Lane), repetitions)), generator.random((len(Lane), repetitions))
        shares = np.array([answers(day, stratum) for stratum in strata])
        for part in range(SLICES):
            slices_left = (each - day % each) * SLICES - part
            here = generator.binomial(left, 1 / slices_left)
            left = left - here
            p, chosen = _draw(plans, here.sum(axis=0), ledgers, strata, (part + 0.5) / SLICES, generator)
            labelled = generator.binomial(chosen, shares)
            explicit = generator.hypergeometric(here[0], here[1], labelled)
            at = day * SLICES + part
            found.probabilities[:, at], found.chosen[:, at] = p, chosen
            found.labelled[:, at], found.explicit[:, at] = labelled, explicit
            found.chosen_a_day[:, day] += chosen.sum(axis=1)
            sums += np.stack([labelled / p, labelled / p**2, explicit / p])
    return found


def _plan(now: World, sums: Floats, days: int, *, first: bool) -> Plan:
    """As `bot.sampling` plans a day: the first one knows nothing of its uploads."""
    with np.errstate(invalid="ignore", divide="ignore"):
        worth, share = np.nan_to_num(sums[0] ** 2 / sums[1]), np.nan_to_num(sums[2] / sums[0])
    evidence = [
        Evidence(
            stratum,
            (0.0 if stratum.lane is Lane.FLAGGED else 40_000 * 0.5 ** (index + 1))
            if first
            else now.uploads[index] / days,
            worth[index],
            share[index],
        )
        for index, stratum in enumerate(now.strata)
    ]
    return allocate(evidence, daily_budget=BUDGET, audit_share=AUDIT_SHARE)


def _draw(
    plans: Sequence[Plan],
    here: Counts,
    ledgers: tuple[Floats, Floats],
    strata: Sequence[Stratum],
    time: float,
    generator: np.random.Generator,
) -> tuple[Floats, Counts]:
    """The draw of `storage.sampling.decide` for all uploads of a quarter at once.

    Within a quarter the probability is that of its middle; the flood of a first day, whose budget would be
    gone before that, gets what the budget allows.
    """
    spent, begin = ledgers
    planned = np.array([plan.probabilities for plan in plans])
    chosen = np.zeros(here.shape, dtype=np.int64)
    p = np.zeros(here.shape)
    for row, lane in enumerate(Lane):
        mine = np.array([stratum.lane is lane for stratum in strata])
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


def estimates(worlds: Sequence[World], reviews: Reviews, life: int, times: slice = slice(None)) -> Estimates:
    """What the bot would say after one of the lives.

    Args:
        worlds: Whose uploads the estimates are about, all of them.
        reviews: What was reviewed.
        life: Which of the repetitions.
        times: Which quarters of days count.

    Returns:
        The estimates.
    """
    counts = (reviews.chosen, reviews.labelled, reviews.explicit)
    chosen, labelled, explicit = (values[life, times].ravel() for values in counts)
    p = reviews.probabilities[life, times].ravel()
    cells = [(one.name, one.lane is Lane.FLAGGED) for one in worlds[0].strata]
    times_count = len(chosen) // len(cells)
    names = np.tile(np.array([name for name, _flag in cells]), times_count)
    flags = np.tile(np.array([flag for _name, flag in cells]), times_count)
    kinds = np.stack([explicit, labelled - explicit, chosen - labelled], axis=1).ravel()
    sample = Sample(
        np.repeat(names, chosen),
        np.repeat(flags, chosen),
        np.repeat(np.tile([1.0, 0.0, np.nan], len(chosen)), kinds),
        np.repeat(p, chosen),
    )
    uploads = sum(one.uploads for one in worlds)
    return estimate(sample, dict(zip(cells, np.asarray(uploads).tolist(), strict=True)))


def covered(found: Sequence[Estimates], truth: dict[str, float]) -> dict[str, dict[str, float]]:
    """How the intervals did.

    Args:
        found: One of each repetition.
        truth: What they should hold.

    Returns:
        By measure: share of intervals that hold the truth, mean error, mean width, share without a value.
    """
    table = {}
    for measure in MEASURES:
        ours: list[Estimate] = [getattr(one, measure) for one in found]
        values = [one.value for one in ours if one.value is not None]
        table[measure] = {
            "truth": truth[measure],
            "coverage": float(np.mean([one.low <= truth[measure] <= one.high for one in ours])),
            "bias": float(np.mean(values)) - truth[measure] if values else float("nan"),
            "width": float(np.mean([one.high - one.low for one in ours])),
            "unknown": 1 - len(values) / len(ours),
        }
    return table


def random_widths(now: World, labels: Sequence[int], repetitions: int, seed: int = 3) -> list[float]:
    """Mean width of the recall's interval after simple random sampling of all uploads.

    Args:
        now: The world.
        labels: How many uploads are labelled.
        repetitions: How often each is tried.
        seed: Of the draws.

    Returns:
        The widths, one for each number of labels.
    """
    generator = np.random.default_rng(seed)
    flagged, total = now.flagged, int(now.uploads.sum())
    cells = [("all", True), ("all", False)]
    kinds = [
        int(part.sum())
        for rows in (flagged, ~flagged)
        for part in (now.explicit[rows], (now.uploads - now.explicit)[rows])
    ]
    population = {cells[0]: kinds[0] + kinds[1], cells[1]: kinds[2] + kinds[3]}
    widths = []
    for count in labels:
        found = []
        for drawn in generator.multivariate_hypergeometric(
            kinds, count, size=repetitions, method="marginals"
        ):
            sample = Sample(
                np.full(count, "all"),
                np.repeat([True, True, False, False], drawn),
                np.repeat([1.0, 0.0, 1.0, 0.0], drawn),
                np.full(count, count / total),
            )
            recall = estimate(sample, population).recall
            found.append(recall.high - recall.low)
        widths.append(float(np.mean(found)))
    return widths


def labels_needed(width: float, labels: Sequence[int], widths: Sequence[float]) -> float:
    """How many labels simple random sampling needs for an interval of some width.

    Args:
        width: The width.
        labels: Numbers of labels, rising.
        widths: What width each gives.

    Returns:
        The number, by interpolation of logarithms; the last one of `labels` where it needs more.
    """
    falling = np.log(widths)[::-1]
    return float(np.exp(np.interp(np.log(width), falling, np.log(labels)[::-1])))


def scenarios(
    uploads: int, repetitions: int, days: int = DAYS
) -> dict[str, dict[str, dict[str, float] | float]]:
    """Reviewers and models that are not as they should be.

    Args:
        uploads: How many there are.
        repetitions: How often each story is told.
        days: How many.

    Returns:
        By scenario, how the intervals did, the most items of a day, and the share of the repetitions that say
        what they cannot.
    """
    one = [world(uploads)]
    half = [world(uploads // 2), world(uploads // 2, shift=0.8, seed=4)]
    nobody = {day for day in range(days) if day % 6 == 3}
    told: dict[str, tuple[list[World], Answers]] = {
        "all is reviewed": (one, everybody),
        "days without reviewers": (one, lambda day, _stratum: float(day not in nobody)),
        "high scores get more answers": (one, lambda _day, stratum: 0.35 + 0.6 * stratum.low),
        "only high scores get answers": (one, lambda _day, stratum: float(stratum.low >= 0.5)),
        "another model in mid-month": (half, everybody),
    }
    table: dict[str, dict[str, dict[str, float] | float]] = {}
    for name, (worlds, answers) in told.items():
        reviews = review(worlds, repetitions, answers=answers, days=days)
        uploads_of = sum(part.uploads for part in worlds)
        explicit_of = sum(part.explicit for part in worlds)
        both = World(worlds[0].strata, np.asarray(uploads_of), np.asarray(explicit_of))
        found = [estimates(worlds, reviews, life) for life in range(repetitions)]
        table[name] = {
            **covered(found, both.truth()),
            "labels": float(reviews.labelled.sum(axis=(1, 2)).mean()),
            "most_a_day": float(reviews.chosen_a_day.max()),
            "says_it_cannot": float(np.mean([bool(one_life.reasons) for one_life in found])),
        }
        if len(worlds) > 1:
            middle = days // 2 * SLICES
            for part, times in zip(worlds, (slice(None, middle), slice(middle, None)), strict=True):
                each = [estimates([part], reviews, life, times) for life in range(repetitions)]
                label = "before" if part is worlds[0] else "after"
                table[f"{name}: {label} it alone"] = {**covered(each, part.truth())}
    return table


def draw_plot(figures: dict[str, Any], path: Path) -> None:
    """Draw coverage, and width over labels.

    Args:
        figures: As printed.
        path: The SVG file.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "sampling"
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), width_ratios=(3, 2), layout="constrained")
    rows = [name for name, found in figures["scenarios"].items() if found["recall"]["unknown"] < 1]
    left.axvspan(93, 97, color="#eef7f0")
    left.axvline(95, color="#3d8b5a", linewidth=1)
    for measure, mark, colour in (("precision", "o", "#0072b2"), ("recall", "D", "#d55e00")):
        shares = [100 * figures["scenarios"][name][measure]["coverage"] for name in rows]
        left.plot(shares, range(len(rows)), mark, color=colour, label=measure)
    left.set_yticks(range(len(rows)), rows)
    left.invert_yaxis()
    left.set_xlim(88, 100)
    left.set_xlabel("95 % intervals that hold the truth, in %")
    left.set_title(f"{figures['repetitions']} times {figures['days']} days", loc="left")
    left.legend(loc="lower left", frameon=False)
    plain = figures["simple_random_sampling"]
    right.loglog(plain["labels"], plain["widths"], color="#6b7785", label="simple random sampling")
    ours = figures["scenarios"]["all is reviewed"]
    right.loglog(ours["labels"], ours["recall"]["width"], "D", color="#d55e00", label="adaptive strata")
    right.set_xticks(plain["labels"], [f"{count:,}" for count in plain["labels"]])
    right.set_yticks([0.1, 0.2, 0.3, 0.5], ["0.1", "0.2", "0.3", "0.5"])
    right.minorticks_off()
    right.set_xlabel("labels")
    right.set_ylabel("width of the recall's interval")
    right.set_title(f"{figures['labels_saved']:.0%} fewer labels", loc="left")
    right.legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def main(arguments: Sequence[str] | None = None) -> None:
    """Simulate, print a table and a line of JSON, and draw the plot.

    Args:
        arguments: Of the command line.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--repetitions", type=int, default=500)
    parser.add_argument("--uploads", type=int, default=UPLOADS)
    parser.add_argument("--plot", type=Path)
    asked = parser.parse_args(arguments)
    table = scenarios(asked.uploads, asked.repetitions)
    labels = [2000, 6000, 20_000, 60_000]
    widths = random_widths(world(asked.uploads), labels, 20)
    ours: Any = table["all is reviewed"]
    needed = labels_needed(ours["recall"]["width"], labels, widths)
    figures: dict[str, Any] = {
        "uploads": asked.uploads,
        "days": DAYS,
        "budget": BUDGET,
        "repetitions": asked.repetitions,
        "scenarios": table,
        "simple_random_sampling": {"labels": labels, "widths": widths, "needed": needed},
        "labels_saved": 1 - ours["labels"] / needed,
    }
    print(f"{'':45}{'measure':>11}{'truth':>8}{'coverage':>10}{'bias':>9}{'width':>8}{'unknown':>9}")
    for name, found in table.items():
        for measure in MEASURES:
            row: Any = found[measure]
            print(
                f"{name:45}{measure:>11}{row['truth']:8.3f}{row['coverage']:10.1%}{row['bias']:9.4f}"
                f"{row['width']:8.4f}{row['unknown']:9.0%}"
            )
    print(f"labels: {ours['labels']:.0f}, by simple random sampling {needed:.0f}")
    print(json.dumps(figures))
    if asked.plot is not None:
        draw_plot(figures, asked.plot)


if __name__ == "__main__":
    main()

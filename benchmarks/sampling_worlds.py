"""Worlds whose truth is known: uploads by score and medium, and which of them are explicit.

A world is drawn from a seed: how rare explicit uploads are, how well a scorer tells them, how many it is
blind to, what is hard to tell, how many films there are, and how all of that changes in its time. The seeds
of the development worlds were free to look at while intervals and plans were chosen. Those of the fresh ones
were written down before and run once, when nothing was left to choose; whoever changes an estimator has to
take new ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from storage.sampling import Lane, Media, Stratum, strata_between

EDGES, THRESHOLD = (0.01, 0.05, 0.2, 0.5, 0.8, 0.95), 0.8
BOUNDS = (0.0, 0.01, 0.03, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.95, 1.0)
"""Of the cells; every edge of the strata is one."""
MEASURES = ("precision", "recall", "f1", "prevalence")
UPLOADS, PREVALENCE, DAYS = 10_000_000, 0.005, 60
_SCORES = 400_000
"""So many are drawn for the shape of a distribution."""
Counts = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Cell:
    """Uploads that nothing tells apart.

    Attributes:
        stratum: That they are drawn from.
        low: Lowest score in it.
        high: Lowest score above it.
    """

    stratum: Stratum
    low: float
    high: float

    @property
    def score(self) -> float:
        """That of all of them."""
        return (self.low + self.high) / 2


@dataclass(frozen=True, slots=True)
class World:
    """Uploads by cell; arrays are (cells,).

    Attributes:
        uploads: How many there are.
        explicit: How many of those are explicit.
    """

    uploads: Counts
    explicit: Counts

    def truth(self, threshold: float = THRESHOLD) -> dict[str, float]:
        """The measures as they are."""
        flagged = flagged_from(threshold)
        found = float(self.explicit[flagged].sum())
        explicit, flags = float(self.explicit.sum()), float(self.uploads[flagged].sum())
        values = (
            found / flags,
            found / explicit,
            2 * found / (flags + explicit),
            explicit / float(self.uploads.sum()),
        )
        return dict(zip(MEASURES, values, strict=True))


@dataclass(frozen=True, slots=True)
class Scorer:
    """How scores are spread; pairs are the two parameters of beta distributions.

    Attributes:
        prevalence: Share of the uploads that is explicit.
        explicit: Scores of those that it can see.
        blind: Share of the explicit ones that it takes for anything.
        harmless: Scores of plainly harmless uploads, and of the explicit ones it is blind to.
        hard: Share of the harmless ones that is hard to tell: statues, beaches, medical drawings.
        doubtful: Scores of those.
    """

    prevalence: float
    explicit: tuple[float, float]
    blind: float
    harmless: tuple[float, float]
    hard: float
    doubtful: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Story:
    """What happens in some weeks.

    Attributes:
        name: Of the story.
        phases: One world after the other, equally long.
        days: How many, all together.
    """

    name: str
    phases: tuple[World, ...]
    days: int = DAYS

    @property
    def whole(self) -> World:
        """All uploads of all phases."""
        uploads, explicit = (
            np.sum([getattr(one, name) for one in self.phases], axis=0) for name in ("uploads", "explicit")
        )
        return World(uploads, explicit)

    def describe(self) -> str:
        """In a few words."""
        whole = self.whole
        return f"{whole.uploads.sum() / 1e6:.1f} M, {whole.truth()['prevalence']:.2%} explicit, " + (
            "one scorer" if len(self.phases) == 1 else f"{len(self.phases)} phases"
        )


def _cells() -> tuple[Cell, ...]:
    return tuple(
        Cell(stratum, low, high)
        for stratum in strata_between(EDGES)
        if (stratum.low >= THRESHOLD) == (stratum.lane is Lane.FLAGGED)
        for low, high in pairwise(BOUNDS)
        if stratum.low <= low < stratum.high
    )


CELLS = _cells()
STRATA = tuple(dict.fromkeys(cell.stratum for cell in CELLS))
STRATUM_OF = np.array([STRATA.index(cell.stratum) for cell in CELLS])


def flagged_from(threshold: float) -> Bools:
    """Which cells are flagged from a score on, which must be a bound."""
    return np.array([cell.low >= threshold for cell in CELLS])


def score(scorer: Scorer, uploads: int, media: Media, generator: np.random.Generator) -> World:
    """Let a scorer score uploads of one medium.

    Args:
        scorer: How it does.
        uploads: How many.
        media: What they are.
        generator: Of all that is random.

    Returns:
        The world; cells of the other medium are empty.
    """
    explicit = round(uploads * scorer.prevalence)
    seen = _shape(scorer.explicit, generator)
    plain = _shape(scorer.harmless, generator)
    doubtful = _shape(scorer.doubtful, generator)
    of_explicit = (1 - scorer.blind) * seen + scorer.blind * plain
    of_harmless = (1 - scorer.hard) * plain + scorer.hard * doubtful
    counts = [
        generator.multinomial(count, shape / shape.sum())
        for count, shape in ((explicit, of_explicit), (uploads - explicit, of_harmless))
    ]
    place = [BOUNDS.index(cell.low) for cell in CELLS]
    mine = np.array([cell.stratum.media is media for cell in CELLS])
    return World(np.where(mine, (counts[0] + counts[1])[place], 0), np.where(mine, counts[0][place], 0))


def _shape(parameters: tuple[float, float], generator: np.random.Generator) -> Floats:
    counted, _edges = np.histogram(generator.beta(*parameters, _SCORES), BOUNDS)
    return counted / _SCORES


def simple(
    uploads: int = UPLOADS, *, weaker: float = 0.0, seed: int = 1, days: int = DAYS, name: str = "one scorer"
) -> Story:
    """The world that plans and intervals were first tried on: pictures alone, one scorer.

    Args:
        uploads: How many.
        weaker: Over 0 for a scorer that misses more.
        seed: Of the scores.
        days: How many.
        name: Of the story.

    Returns:
        The story.
    """
    scorer = Scorer(PREVALENCE, (2.2 - weaker, 0.5 + weaker / 4), 0.0, (0.22, 6.0), 0.006, (1.6, 1.4))
    return Story(name, (score(scorer, uploads, Media.STILL, np.random.default_rng(seed)),), days)


def invented(
    name: str, seed: int, *, uploads: int | None = None, prevalence: float | None = None, days: int = DAYS
) -> Story:
    """Draw a story.

    Args:
        name: Of the story.
        seed: All of it follows from this.
        uploads: How many; None: one to ten million.
        prevalence: Of the whole; None: 0.1 to 3 %, and changing with the phases.
        days: How many.

    Returns:
        The story.
    """
    generator = np.random.default_rng(seed)
    scorer = Scorer(
        prevalence=prevalence or 10 ** generator.uniform(-3.0, -1.5),
        explicit=(generator.uniform(1.2, 6.0), generator.uniform(0.15, 1.2)),
        blind=generator.uniform(0.0, 0.06),
        harmless=(generator.uniform(0.1, 0.4), generator.uniform(4.0, 10.0)),
        hard=10 ** generator.uniform(-3.0, -1.8),
        doubtful=(generator.uniform(1.0, 2.5), generator.uniform(1.0, 2.5)),
    )
    total = uploads or round(10 ** generator.uniform(6.0, 7.0))
    moving = generator.uniform(0.02, 0.2)
    count = 1 if prevalence else int(generator.integers(1, 4))
    phases: list[World] = []
    for part in range(count):
        if part:
            scorer = replace(
                scorer,
                prevalence=scorer.prevalence * (1.0 if prevalence else 2 ** generator.uniform(-1.0, 1.0)),
                explicit=(scorer.explicit[0] * generator.uniform(0.7, 1.3), scorer.explicit[1]),
            )
        films = replace(scorer, explicit=(scorer.explicit[0] * generator.uniform(0.5, 1.0), 0.8))
        size = total // count
        pictures = score(scorer, round(size * (1 - moving)), Media.STILL, generator)
        rest = score(films, round(size * moving), Media.MOVING, generator)
        phases.append(World(pictures.uploads + rest.uploads, pictures.explicit + rest.explicit))
    return Story(name, tuple(phases), days)


def _many(what: str, seeds: Sequence[int], prevalence: float | None = None) -> list[Story]:
    uploads = UPLOADS if prevalence else None
    return [
        invented(f"{what} {number}", seed, uploads=uploads, prevalence=prevalence)
        for number, seed in enumerate(seeds, 1)
    ]


def development() -> list[Story]:
    """Worlds to choose by."""
    return [
        simple(),
        *_many("as asked", range(101, 106), PREVALENCE),
        *_many("any", range(201, 209)),
    ]


def fresh() -> list[Story]:
    """Worlds to prove by, which nothing was chosen on."""
    return [*asked(), *_many("any", range(2_026_120_201, 2_026_120_213))]


def asked() -> list[Story]:
    """Those of the fresh worlds that are as large and as rarely explicit as was asked for."""
    return _many("as asked", range(2_026_120_101, 2_026_120_107), PREVALENCE)

"""Which picture comes when, and in which shape: pure functions of seed and epoch.

A run that was killed therefore needs to remember no more than how many batches it has seen, and the number
of worker processes changes nothing.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_SHAPE_STEPS = 2
"""Buckets for a doubling of the aspect ratio, and for one of the area."""
MIN_SIDE_PX = 32
"""Networks halve a picture five times; with less nothing would be left."""
_MAX_RATIO = 16


class Draw(NamedTuple):
    """One picture to be shown.

    Attributes:
        epoch: In which epoch.
        number: As the how-manyth of it; with the epoch it decides how the picture is varied.
        item: Its place in the dataset.
    """

    epoch: int
    number: int
    item: int


Shape = tuple[int, int]
"""Height and width in pixels."""


@dataclass(frozen=True, slots=True)
class Order:
    """The order of a run.

    Attributes:
        targets: Class of each item, 0 or 1.
        batch: Most pictures of a batch.
        seed: Of the order.
        balanced: Whether both classes are shown equally often.
        buckets: Bucket of each item; batches never mix them. None: all fit together.
        rank: Which of several processes this is.
        world: How many there are.
        weights: With `balanced`, how often each item is shown in proportion to others of its class, over 0;
            None: all equally often.
    """

    targets: tuple[int, ...]
    batch: int
    seed: int
    balanced: bool = False
    buckets: tuple[int, ...] | None = None
    rank: int = 0
    world: int = 1
    weights: tuple[float, ...] | None = None

    @property
    def batches(self) -> int:
        """Batches that one process sees in an epoch, the same in each."""
        counts: dict[int, int] = defaultdict(int)
        for bucket in self.buckets or (0,) * len(self.targets):
            counts[bucket] += 1
        return math.ceil(sum(math.ceil(count / self.batch) for count in counts.values()) / self.world)

    def epoch(self, epoch: int, first: int = 0) -> Iterator[list[Draw]]:
        """The batches of an epoch.

        Args:
            epoch: Its number, from 0.
            first: The batch to begin with.

        Yields:
            Batches of nearly equal size, so that the last one is never a single picture.
        """
        rng = np.random.default_rng((self.seed, epoch))
        order = self._balanced(rng) if self.balanced else rng.permutation(len(self.targets))
        by_bucket: dict[int, list[Draw]] = defaultdict(list)
        for number, index in enumerate(order.tolist()):
            by_bucket[self.buckets[index] if self.buckets else 0].append(Draw(epoch, number, index))
        batches = [part for bucket in sorted(by_bucket) for part in _evenly(by_bucket[bucket], self.batch)]
        if self.buckets:
            batches = [batches[place] for place in rng.permutation(len(batches))]
        # Processes wait for each other after every batch, so all get the same number.
        wanted = self.batches * self.world
        batches = [batches[place % len(batches)] for place in range(wanted)]
        yield from batches[self.rank :: self.world][first:]

    def _balanced(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """As many draws as items, half of each class; an item comes again only after all of its class."""
        targets = np.asarray(self.targets)
        parts = []
        for target, count in ((0, len(targets) // 2), (1, len(targets) - len(targets) // 2)):
            members = np.flatnonzero(targets == target)
            if self.weights is not None:
                parts.append(_by_weight(members, np.asarray(self.weights)[members], count, rng))
                continue
            rounds = [rng.permutation(members) for _ in range(math.ceil(count / len(members)))]
            parts.append(np.concatenate(rounds)[:count])
        return rng.permutation(np.concatenate(parts))


def in_order(count: int, batch: int, buckets: Sequence[int] | None = None) -> list[list[Draw]]:
    """Batches for looking at each item once, unvaried.

    Args:
        count: How many items there are.
        batch: Most pictures of a batch.
        buckets: Bucket of each item, None: all fit together.

    Returns:
        The batches.
    """
    by_bucket: dict[int, list[Draw]] = defaultdict(list)
    for index in range(count):
        by_bucket[buckets[index] if buckets else 0].append(Draw(0, index, index))
    return [part for bucket in sorted(by_bucket) for part in _evenly(by_bucket[bucket], batch)]


def fitted(width_px: int, height_px: int, side_px: int) -> Shape:
    """The shape in which a picture of any size is shown: whole, at most so large, in its aspect ratio.

    Args:
        width_px: Its width.
        height_px: Its height.
        side_px: Square root of the largest area.

    Returns:
        Height and width, the shorter at least 32 px. Only what is longer than 16 times its width is
        squeezed: a line of pixels would otherwise become a picture of any size.
    """
    scale = min(1.0, side_px / math.sqrt(width_px * height_px))
    scale = max(scale, MIN_SIDE_PX / min(width_px, height_px))
    longest = _MAX_RATIO * MIN_SIDE_PX if scale > 1 else _MAX_RATIO**0.5 * side_px
    height, width = (
        round(min(max(side * scale, MIN_SIDE_PX), max(longest, MIN_SIDE_PX)))
        for side in (height_px, width_px)
    )
    return height, width


def buckets_of(shapes: Sequence[Shape]) -> tuple[int, ...]:
    """Put shapes together that differ little, so that padding them to one size adds little.

    Args:
        shapes: One for each item.

    Returns:
        The number of each item's bucket.
    """
    keys = [
        (round(_SHAPE_STEPS * math.log2(width / height)), round(_SHAPE_STEPS * math.log2(width * height)))
        for height, width in shapes
    ]
    numbers = {key: number for number, key in enumerate(sorted(set(keys)))}
    return tuple(numbers[key] for key in keys)


def seed_of(*parts: int) -> int:
    """One seed of several numbers, none of which makes up for another: 0 <= seed < 2**63."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0]) >> 1


def _by_weight(
    members: NDArray[np.int64], weights: NDArray[np.float64], count: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """A systematic sample: each member as often as its share of `count` says, rounded up or down by chance.

    So no epoch misses what weighs much, and over many epochs the frequencies are the weights.
    """
    order = rng.permutation(len(members))
    reached = np.cumsum(weights[order])
    points = (np.arange(count) + rng.random()) * (reached[-1] / count)
    places = np.searchsorted(reached, points, side="right")
    return np.asarray(members[order[np.minimum(places, len(members) - 1)]])


def _evenly(draws: list[Draw], batch: int) -> list[list[Draw]]:
    parts = math.ceil(len(draws) / batch)
    cuts = [len(draws) * part // parts for part in range(parts + 1)]
    return [draws[start:end] for start, end in pairwise(cuts)]


__all__ = ["Draw", "Order", "Shape", "buckets_of", "fitted", "in_order", "seed_of"]

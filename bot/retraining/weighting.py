"""How often training shows each picture of the feedback. Pure.

Reviewed uploads were drawn with unequal probabilities: nearly all flagged ones, few of the others. Trained on
as they are, a model would learn what reviewers were shown instead of what is uploaded; shown in proportion to
1 / probability, a single harmless upload that stands for a thousand would be most of what is shown, and its
label need only be wrong once. So weights are cut where that leaves half of the pictures' worth (Kish's
effective size is at least half of their number), within each class: how often either class is shown is
another question, and answered by showing both equally often.
"""

from collections.abc import Sequence
from dataclasses import replace

from classifier.datasets.values import Item

LEAST_EFFECTIVE = 0.5
_HALVINGS = 50


def weighted(items: Sequence[Item]) -> tuple[Item, ...]:
    """Give items the weights that they are trained with.

    Args:
        items: Of one origin; `weight` says how many uploads each stands for.

    Returns:
        The same items; weights are cut, and 1 on average in each class of each split.
    """
    found = list(items)
    for key in {(item.split, item.label) for item in items}:
        places = [place for place, item in enumerate(items) if (item.split, item.label) == key]
        cut = capped([items[place].weight for place in places])
        for place, weight in zip(places, cut, strict=True):
            found[place] = replace(items[place], weight=weight)
    return tuple(found)


def capped(weights: Sequence[float], least_effective: float = LEAST_EFFECTIVE) -> list[float]:
    """Cut weights no further than their effective number demands.

    Args:
        weights: Over 0.
        least_effective: Share of their number that the effective size is to be at least, under 1.

    Returns:
        The weights, 1 on average, none over the highest cut that leaves so much.
    """
    low, high = min(weights, default=1.0), max(weights, default=1.0)
    if effective(weights) < least_effective * len(weights):
        # The effective size falls as the cut rises: equal weights are worth most.
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            enough = effective([min(one, middle) for one in weights]) >= least_effective * len(weights)
            low, high = (middle, high) if enough else (low, middle)
        weights = [min(one, low) for one in weights]
    mean = sum(weights) / max(1, len(weights))
    return [one / mean for one in weights]


def effective(weights: Sequence[float]) -> float:
    """Kish's effective sample size: what weighted items are worth in equally weighted ones."""
    squares = sum(one * one for one in weights)
    return sum(weights) ** 2 / squares if squares else 0.0


__all__ = ["LEAST_EFFECTIVE", "capped", "effective", "weighted"]

r"""A representative part of what was reviewed. Pure.

Reviewed items were chosen with unequal probabilities p_i. Items are drawn from them with q_i = min(1, c /
p_i), c such that sum(q_i) = N: then the overall probability p_i q_i = min(p_i, c) is the same for as many as
can be, and the part looks like the uploads, not like what was reviewed. The draw is systematic on a random
order (Madow 1949, Ann. Math. Stat. 20:333-354; Särndal, Swensson, Wretman 1992, section 3.6): it has exactly
these probabilities and exactly N items.
"""

import math
import random
from collections.abc import Sequence
from itertools import accumulate


def probabilities(inclusion: Sequence[float], size: int) -> list[float]:
    """With which probability each item is drawn.

    Args:
        inclusion: The probabilities p_i with which the items were chosen, over 0 and at most 1.
        size: How many are to be drawn.

    Returns:
        The q_i, adding up to `size`; all 1 where there are not more items than that.
    """
    if size >= len(inclusion):
        return [1.0] * len(inclusion)
    # The smallest p are certain first; with k certain items, c = (N - k) / sum(1 / p of the others).
    ordered = sorted(inclusion)
    rest = list(accumulate(1 / p for p in reversed(ordered)))[::-1]
    certain = 0
    while (size - certain) / rest[certain] >= ordered[certain]:
        certain += 1
    level = (size - certain) / rest[certain]
    return [min(1.0, level / p) if p > level else 1.0 for p in inclusion]


def draw(keys: Sequence[int], inclusion: Sequence[float], size: int, seed: int) -> dict[int, float]:
    """Draw a representative part.

    Args:
        keys: Names of the items.
        inclusion: Their probabilities, over 0 and at most 1.
        size: How many to draw, over 0.
        seed: Decides which.

    Returns:
        The probability q with which each of the drawn was drawn, by its key.
    """
    chances = probabilities(inclusion, size)
    generator = random.Random(seed)
    order = list(range(len(keys)))
    generator.shuffle(order)
    start = generator.random()
    found: dict[int, float] = {}
    total = 0.0
    for index in order:
        if chances[index] >= 1:
            found[keys[index]] = 1.0
            continue
        before, total = total, total + chances[index]
        if math.floor(total - start) > math.floor(before - start):
            found[keys[index]] = chances[index]
    return found


__all__ = ["draw", "probabilities"]

"""What training may not see, because it is evaluated on in some form. Pure.

The export divides uploaders and equal bytes before anybody has looked at a picture. What only looks alike,
base data that holds an exported picture, and what hangs together with such through others, is found here; it
is training that gives its copy up, so that the evaluation stays what it was.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from classifier.datasets.near import connected, duplicate_groups, first_of_equals
from classifier.datasets.values import Item

BYTES, SOURCE, NEAR, TIED = "same bytes", "same source", "near copy", "tied to such through others"


@dataclass(frozen=True, slots=True)
class Apart:
    """What is left of some items.

    Attributes:
        kept: Those that may be trained on, in their order.
        leaks: How many of the others there are, by what ties them to the evaluation.
    """

    kept: tuple[Item, ...]
    leaks: Mapping[str, int]


def apart(training: Sequence[Item], evaluation: Sequence[Item]) -> Apart:
    """Leave out whatever belongs together with something that is evaluated on.

    Args:
        training: Verified items.
        evaluation: Verified items.

    Returns:
        What is left of `training`. Belonging together is the laboratory's rule for splits: near copies by PDQ
        hash, equal bytes, equal sources, and whatever these connect.
    """
    items = (*evaluation, *training)
    near = duplicate_groups(items)
    together = connected(near, first_of_equals(item.source or None for item in items))
    count = len(evaluation)
    held_groups, held_near = set(together[:count].tolist()), set(near[:count].tolist())
    hashes = {item.sha256 for item in evaluation} - {""}
    sources = {item.source for item in evaluation} - {""}
    kept: list[Item] = []
    leaks: Counter[str] = Counter()
    for item, group, alike in zip(training, together[count:].tolist(), near[count:].tolist(), strict=True):
        if group not in held_groups:
            kept.append(item)
        elif item.sha256 in hashes:
            leaks[BYTES] += 1
        elif item.source in sources:
            leaks[SOURCE] += 1
        else:
            leaks[NEAR if alike in held_near else TIED] += 1
    return Apart(tuple(kept), dict(leaks))


__all__ = ["BYTES", "NEAR", "SOURCE", "TIED", "Apart", "apart"]

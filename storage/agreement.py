"""How far reviewers agree, by Krippendorff's alpha; pure.

Alpha (Krippendorff 2004, "Content Analysis", chapter 11) is 1 where all agree and 0 where they agree no more
than chance would have it; unlike plain shares it is not flattered by nearly everything being harmless. Any
number of people may have judged an item. The arithmetic is that of the library `krippendorff`, which is
optional, for its licence is the GPL.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from storage.metric_values import Agreement

MISSING = "the package `krippendorff` is not installed: pip install 'commons-nsfw-bot[agreement]'"


def agreement(votes: Sequence[tuple[int, int]] | NDArray[np.int64]) -> Agreement:
    """Measure the agreement on whether files are explicit.

    Args:
        votes: Per item, how many say that it is, and how many that it is not, (items, 2); `unsure` is left
            out.

    Returns:
        The agreement, over the items that at least two people judged.
    """
    counts = np.asarray(votes, dtype=np.int64).reshape(-1, 2)
    counts = counts[counts.sum(axis=1) > 1]
    items, verdicts = len(counts), int(counts.sum())
    if not items:
        return Agreement(None, 0, 0, None, "no file was judged by two people")
    agreeing = float((counts.min(axis=1) == 0).mean())
    if not bool(counts.any(axis=0).all()):
        reason = "everybody always said the same, which says nothing about agreement on the rest"
        return Agreement(None, items, verdicts, agreeing, reason)
    try:
        import krippendorff
    except ImportError:
        return Agreement(None, items, verdicts, agreeing, MISSING)
    alpha = krippendorff.alpha(value_counts=counts, level_of_measurement="nominal")
    return Agreement(float(alpha), items, verdicts, agreeing)

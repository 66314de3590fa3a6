"""How long items wait for a decision: Kaplan and Meier's estimate (1958, JASA 53:457-481); pure.

Quantiles over the decided items alone would look the better the more items nobody ever decides. An open item
therefore counts as one that waits for at least as long as it has waited so far.
"""

from collections.abc import Iterable
from datetime import datetime

import numpy as np

from storage.metric_values import Waiting

QUANTILES = (0.5, 0.75, 0.9)


def waiting(items: Iterable[tuple[datetime, datetime | None]], now: datetime) -> Waiting:
    """Estimate the quantiles.

    Args:
        items: Per item, when it was put up, and when the first decision was given or None.
        now: The present.

    Returns:
        The quantiles; one that the open items leave open is None.
    """
    pairs = [((end or now) - start, end is not None) for start, end in items]
    seconds = np.array([max(0.0, duration.total_seconds()) for duration, _ in pairs])
    decided = np.array([is_decided for _, is_decided in pairs], dtype=np.bool_)
    # Of equal durations the decided ones come first: an item that was open then was still to be decided.
    order = np.lexsort((~decided, seconds))
    left = len(pairs) - np.arange(len(pairs))
    still_open = np.cumprod(np.where(decided[order], 1 - 1 / left, 1.0)) if pairs else np.array([])
    found: list[float | None] = []
    for quantile in QUANTILES:
        reached = np.flatnonzero(still_open <= 1 - quantile + 1e-12)
        found.append(float(seconds[order][reached[0]]) if reached.size else None)
    return Waiting(int(decided.sum()), int((~decided).sum()), *found)

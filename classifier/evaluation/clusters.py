"""Which items of a test set err together: near duplicates, and what comes from one source or video.

Ten frames of one video are not ten witnesses. Intervals are drawn over these clusters, or they would be too
narrow.
"""

from classifier.datasets.near import connected, duplicate_groups, first_of_equals
from classifier.datasets.values import Dataset


def clusters_of(dataset: Dataset) -> tuple[str, ...] | None:
    """Group the items of a set.

    Args:
        dataset: The items; verified, if duplicates are to be found.

    Returns:
        A cluster's name for each item, that of its first item; None where every item stands for itself.
    """
    items = dataset.items
    firsts = connected(
        duplicate_groups(items), first_of_equals(item.source or None for item in items)
    ).tolist()
    if all(first == index for index, first in enumerate(firsts)):
        return None
    return tuple(items[first].path for first in firsts)


__all__ = ["clusters_of"]

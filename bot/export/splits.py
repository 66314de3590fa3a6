"""Which split an item belongs to. Pure: a function of the review's history and of nothing else.

Items of one uploader, or with the same bytes, belong together and always share a split; so do those that
hang together through others. A new group's split is drawn by a hash of its first item. Where a later item
ties two older groups together, both become what has been closest to training: what was once trained on can
never be evaluated on again, while giving up an evaluation item only costs that item. So `test` never holds
anything that an earlier export handed out for training.
"""

import hashlib
from collections.abc import Mapping

TRAIN, VALIDATION, TEST = "train", "validation", "test"
SPLITS = (TRAIN, VALIDATION, TEST)
"""In the order in which one of them wins when groups are tied together; `test` is for evaluation alone."""
DEFAULT_SHARES: Mapping[str, float] = {TRAIN: 0.7, VALIDATION: 0.1, TEST: 0.2}


class SplitPlan:
    """Groups of items that belong together, and their splits; takes some 100 bytes an item.

    Args:
        shares: Share of the groups that each split gets; adds up to 1.
    """

    def __init__(self, shares: Mapping[str, float] = DEFAULT_SHARES) -> None:
        self._shares = shares
        self._parent: dict[int, int] = {}
        self._first_of: dict[tuple[str, str], int] = {}
        self._split: dict[int, int] = {}
        self._name: dict[int, str] = {}

    def add(self, row_id: int, item_id: str, uploader: str | None, sha1: str | None) -> None:
        """Add an item; items have to come in the order in which they were put up for review.

        Args:
            row_id: Row id.
            item_id: Public id; decides about the split where the item is the first of its group.
            uploader: With the wiki, who uploaded it; None ties it to nobody.
            sha1: Of its bytes; None ties it to nothing.
        """
        self._parent[row_id] = row_id
        keys = [("uploader", uploader), ("sha1", sha1)]
        tied = {
            self._root(self._first_of.setdefault((kind, key), row_id))
            for kind, key in keys
            if key is not None
        }
        roots = sorted(tied - {row_id})
        if not roots:
            self._split[row_id] = SPLITS.index(drawn(item_id, self._shares))
            self._name[row_id] = item_id
            return
        oldest = roots[0]
        for other in (*roots[1:], row_id):
            self._parent[other] = oldest
        self._split[oldest] = min(self._split[root] for root in roots)
        for other in roots[1:]:
            del self._split[other], self._name[other]

    def split_of(self, row_id: int) -> str:
        """The split of an item that was added."""
        return SPLITS[self._split[self._root(row_id)]]

    def group_of(self, row_id: int) -> str:
        """The public id of the first item of its group."""
        return self._name[self._root(row_id)]

    def _root(self, row_id: int) -> int:
        root = row_id
        while self._parent[root] != root:
            root = self._parent[root]
        while self._parent[row_id] != root:
            self._parent[row_id], row_id = root, self._parent[row_id]
        return root


def drawn(item_id: str, shares: Mapping[str, float]) -> str:
    """The split that an item draws.

    Args:
        item_id: Public id.
        shares: Share of each split, adding up to 1.

    Returns:
        The split; the same for ever.
    """
    digest = hashlib.sha256(f"export split:{item_id}".encode()).digest()
    point = int.from_bytes(digest[:8], "big") / 2**64
    for split in SPLITS:
        point -= shares.get(split, 0.0)
        if point < 0:
            return split
    return TRAIN


__all__ = ["DEFAULT_SHARES", "SPLITS", "TEST", "TRAIN", "VALIDATION", "SplitPlan", "drawn"]

"""Results by what they depend on: the bytes, the model, and what was asked. Bounded, oldest use first out.

Nothing here outlives the process, and no name or picture is kept: a key holds a hash, a value the answer.
"""

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from classifier.values import Level


@dataclass(frozen=True, slots=True)
class ResultKey:
    """What a result depends on.

    Attributes:
        sha256: Of the bytes, hexadecimal.
        model_version: Of the model and everything else that changes scores.
        level: Which threshold gives the label, and ends a film early.
        frames: Whether all frames were scored and are told.
    """

    sha256: str
    model_version: str
    level: Level
    frames: bool

    @property
    def etag(self) -> str:
        """A strong entity tag: whatever has it is the same result."""
        text = f"{self.sha256} {self.model_version} {self.level} {self.frames}"
        return f'"{sha256(text.encode()).hexdigest()[:32]}"'


class ResultCache:
    """The results used last. Safe to use from several threads.

    Args:
        capacity: How many results are kept; one with many frames counts as many.

    Attributes:
        hits: How often a result was found.
        added: How many results were new.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._lock = threading.Lock()
        self._results: OrderedDict[ResultKey, tuple[Mapping[str, Any], int]] = OrderedDict()
        self._weight = 0
        self.hits = 0
        self.added = 0

    def __len__(self) -> int:
        with self._lock:
            return len(self._results)

    def get(self, key: ResultKey) -> Mapping[str, Any] | None:
        """Look a result up.

        Args:
            key: What it depends on.

        Returns:
            The result, None where it is not kept.
        """
        with self._lock:
            found = self._results.get(key)
            if found is None:
                return None
            self.hits += 1
            self._results.move_to_end(key)
            return found[0]

    def put(self, key: ResultKey, result: Mapping[str, Any], weight: int = 1) -> None:
        """Keep a result, at the cost of those not used for longest.

        Args:
            key: What it depends on.
            result: Nobody may change it any more.
            weight: How many results it counts as; one beyond the capacity is not kept.
        """
        with self._lock:
            self.added += 1
            if weight > self._capacity:
                return
            replaced = self._results.pop(key, None)
            self._weight += weight - (replaced[1] if replaced else 0)
            self._results[key] = (result, weight)
            while self._weight > self._capacity:
                _, (_, dropped) = self._results.popitem(last=False)
                self._weight -= dropped


__all__ = ["ResultCache", "ResultKey"]

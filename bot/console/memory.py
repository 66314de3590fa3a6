"""Remembers what is dear to compute for a while: counting a store of millions takes seconds.

Of several who ask for the same at once, one computes and the others wait for it.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

_Value = TypeVar("_Value")


@dataclass(slots=True)
class _Entry(Generic[_Value]):
    lock: threading.Lock = field(default_factory=threading.Lock)
    made_at: float = 0.0
    known: list[_Value] = field(default_factory=list)


class Memory(Generic[_Value]):
    """Values by key, the latest few; threads may share it.

    Args:
        keep_s: For how long a value holds.
        entries: So many are remembered at most.
        monotonic: Seconds that only grow.
    """

    def __init__(
        self, keep_s: float, entries: int = 32, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._keep_s = keep_s
        self._most = entries
        self._monotonic = monotonic
        self._entries: OrderedDict[Hashable, _Entry[_Value]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], _Value]) -> _Value:
        """Look a value up, or make it.

        Args:
            key: Which.
            make: Called where it is not known or too old; what it raises is not remembered.

        Returns:
            The value.
        """
        with self._lock:
            entry = self._entries.setdefault(key, _Entry())
            self._entries.move_to_end(key)
            while len(self._entries) > self._most:
                self._entries.popitem(last=False)
        with entry.lock:
            if not entry.known or self._monotonic() - entry.made_at >= self._keep_s:
                entry.known = [make()]
                entry.made_at = self._monotonic()
            return entry.known[0]


__all__ = ["Memory"]

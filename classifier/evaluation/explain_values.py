"""What an explanation is, without torch: pages are made of it wherever a map came from."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from classifier.values import Pixels

Heat = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Explained:
    """What a network makes of one picture.

    Attributes:
        score: 0..1.
        positive: Whether the map explains the positive class; else the negative one.
        heat: float32 (rows, columns), 0..1, as coarse as the map of features; all 0 where nothing speaks
            for the class.
    """

    score: float
    positive: bool
    heat: Heat


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """One file and what the network makes of it.

    Attributes:
        name: Of the file, for people; somebody else's words.
        pixels: uint8 (h, w, 3), RGB: what the network saw.
        explained: Score and map.
        truth: Whether it is positive; None where that is not known.
        at_s: Position of the frame in seconds, else None.
        page: 1-based page, else None.
    """

    name: str
    pixels: Pixels
    explained: Explained
    truth: bool | None = None
    at_s: float | None = None
    page: int | None = None


@dataclass(frozen=True, slots=True)
class NotExplained:
    """A file that shows nothing.

    Attributes:
        name: As of `Explanation`.
        code: Why: a code of `classifier.errors`, or `unreadable`.
        message: One sentence.
    """

    name: str
    code: str
    message: str


__all__ = ["Explained", "Explanation", "Heat", "NotExplained"]

"""Which moments of a video or animation are looked at; pure.

The proposal's rule: the interval grows with the length, from 1 s (30 s: 30 frames) over 2 s at 2 min (60), 4
s at 10 min (150) to 5 s from 30 min on (360). The first and the very last frame are always among them, the
last one on top of the grid. A cap stretches the interval evenly. A length that is unknown or wrong is noticed
while frames
arrive: from its claimed end on, the time reached so far takes its place.
"""

import math
from collections.abc import Sequence

import numpy as np

ANCHORS_S: tuple[tuple[float, float], ...] = ((30.0, 1.0), (120.0, 2.0), (600.0, 4.0), (1800.0, 5.0))
_EPSILON_S = 1e-6


def interval_s(duration_s: float) -> float:
    """The proposal's interval for a length.

    Args:
        duration_s: Length in seconds, not negative.

    Returns:
        Seconds between two samples, 1.0 to 5.0, straight lines between the anchors.
    """
    lengths, intervals = zip(*ANCHORS_S, strict=True)
    return float(np.interp(duration_s, lengths, intervals))


class Sampler:
    """Decides frame by frame, in the order of time, which ones are handed out.

    The caller hands out the very last frame itself, whatever the sampler said of it: only then is it known to
    be the last. One frame of the cap is kept back for it.

    Args:
        duration_s: Length in seconds, None where unknown.
        max_frames: The cap, at least 2.
    """

    def __init__(self, duration_s: float | None, max_frames: int) -> None:
        if max_frames < 2:
            raise ValueError(f"max_frames is {max_frames}, but first and last are always taken")
        self._duration_s = max(duration_s or 0.0, 0.0)
        self._left = max_frames - 1
        self._next_s = -math.inf

    @property
    def next_s(self) -> float:
        """No frame before this time will be taken; -inf before the first, inf when the cap is reached."""
        return self._next_s if self._left else math.inf

    def wants(self, at_s: float) -> bool:
        """Say whether a frame is to be handed out, and count it if so.

        Args:
            at_s: Its time in seconds, counted from the start; not before that of the frame asked about last.

        Returns:
            True where it is the first frame on or after the next grid point.
        """
        if not self._left or at_s < self._next_s - _EPSILON_S:
            return False
        self._left -= 1
        self._next_s = self._grid_point_after(at_s)
        return True

    def _grid_point_after(self, at_s: float) -> float:
        gap_s = self._gap_s(at_s)
        if self._next_s == -math.inf:
            return at_s + gap_s
        # Staying on the grid keeps irregular frame times from stretching every interval a little.
        steps = math.floor((at_s - self._next_s + _EPSILON_S) / gap_s) + 1
        return self._next_s + steps * gap_s

    def _gap_s(self, at_s: float) -> float:
        """The rule's interval, stretched so that the frames left reach the end, known or not."""
        length_s = max(self._duration_s, at_s)
        rest_s = self._duration_s - at_s if at_s < self._duration_s else 2 * at_s
        return max(interval_s(length_s), rest_s / max(self._left, 1))


def planned(frame_times_s: Sequence[float], duration_s: float, max_frames: int) -> list[int]:
    """Choose from frames whose times are all known beforehand.

    Args:
        frame_times_s: Start of each frame in seconds, ascending.
        duration_s: Length of the whole in seconds.
        max_frames: The cap, at least 2.

    Returns:
        Indices in ascending order, without repeats: the sampler's choice, the first and the last.
    """
    sampler = Sampler(duration_s, max_frames)
    chosen = [index for index, at_s in enumerate(frame_times_s) if sampler.wants(at_s)]
    last = len(frame_times_s) - 1
    if chosen and chosen[-1] != last:
        chosen.append(last)
    return chosen


def evenly(count: int, at_most: int) -> list[int]:
    """Choose from things without times, such as pages: first and last included, the rest evenly spread.

    Args:
        count: How many there are.
        at_most: How many are wanted, at least 2.

    Returns:
        Indices in ascending order, without repeats; empty for no things.
    """
    if count <= at_most:
        return list(range(count))
    return [round(step * (count - 1) / (at_most - 1)) for step in range(at_most)]


__all__ = ["ANCHORS_S", "Sampler", "evenly", "interval_s", "planned"]

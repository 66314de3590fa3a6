"""Which moments of a video or animation are looked at; pure.

The proposal's rule: the interval grows with the length, from 1 s (30 s: 30 frames) over 2 s at 2 min (60), 4
s at 10 min (150) to 5 s from 30 min on (360). The first and the very last frame are always among them, the
last one on top of the grid. A cap stretches the interval evenly. Where the times of all frames are known
beforehand, the frame *shown at* a moment is the one that counts; a decoder that goes through a file of
unknown length asks `Sampler`, which notices wrong lengths while frames arrive: from the claimed end on, the
time reached so far takes its place.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

SamplingMode = Literal["exact", "economical"]
SamplingOrder = Literal["sequential", "coarse_to_fine"]

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


@dataclass(frozen=True, slots=True)
class SamplingPolicy:
    """How closely a video is looked at.

    Attributes:
        mode: `exact`: the frame shown at every wanted moment. `economical`: keyframes near the wanted moments
            where there are any, for a fraction of the cost; no gap exceeds 1.25 intervals.
        interval_s: Seconds between two samples; None for the proposal's rule.
        max_frames: Most frames of one file, at least 2; a longer file is looked at less closely, but evenly.
        order: `sequential`, or `coarse_to_fine`: the groups of pictures in bit-reversed order, so that the
            frames handed out first already cover the whole length.
    """

    mode: SamplingMode = "exact"
    interval_s: float | None = None
    max_frames: int = 1000
    order: SamplingOrder = "sequential"

    def __post_init__(self) -> None:
        if self.mode not in ("exact", "economical") or self.order not in ("sequential", "coarse_to_fine"):
            raise ValueError(f"unknown sampling {self.mode!r}, {self.order!r}")
        if self.max_frames < 2:
            raise ValueError(f"max_frames is {self.max_frames}, but first and last are always taken")
        if self.interval_s is not None and not (math.isfinite(self.interval_s) and self.interval_s > 0):
            raise ValueError(f"an interval of {self.interval_s} s")

    def step_s(self, duration_s: float) -> float:
        """The interval for a length, stretched where the cap asks for it.

        Args:
            duration_s: Length in seconds, not negative.

        Returns:
            Seconds between two samples.
        """
        wanted_s = self.interval_s if self.interval_s is not None else interval_s(duration_s)
        return max(wanted_s, duration_s / (self.max_frames - 1))


def moments(end_s: float, step_s: float) -> list[float]:
    """The moments to look at.

    Args:
        end_s: Start of the last frame in seconds, not negative.
        step_s: The interval in seconds.

    Returns:
        Ascending times in seconds without repeats: 0, the interval's multiples, and `end_s`.
    """
    inner = max(math.ceil((end_s - _EPSILON_S) / step_s), 0)
    return [step * step_s for step in range(inner)] + [end_s]


def coarse_to_fine(count: int) -> list[int]:
    """An order in which every beginning covers the whole evenly.

    Args:
        count: How many things there are.

    Returns:
        Each index below `count` once: their numbers read with the bits reversed.
    """
    bits = max(count - 1, 0).bit_length()
    reversed_ = (int(f"{number:0{bits}b}"[::-1], 2) if bits else 0 for number in range(2**bits))
    return [index for index in reversed_ if index < count]


class Sampler:
    """Decides frame by frame, in the order of time, which ones are handed out.

    The caller hands out the very last frame itself, whatever the sampler said of it: only then is it known to
    be the last. One frame of the cap is kept back for it.

    Args:
        duration_s: Length in seconds, None where unknown.
        max_frames: The cap, at least 2.
        fixed_interval_s: Seconds between two samples instead of the rule's, None for the rule.
    """

    def __init__(
        self, duration_s: float | None, max_frames: int, fixed_interval_s: float | None = None
    ) -> None:
        if max_frames < 2:
            raise ValueError(f"max_frames is {max_frames}, but first and last are always taken")
        self._duration_s = max(duration_s or 0.0, 0.0)
        self._left = max_frames - 1
        self._fixed_interval_s = fixed_interval_s
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

    def spend(self) -> bool:
        """Count a frame handed out on top of those wanted.

        Returns:
            False where the cap does not allow it.
        """
        self._left -= self._left > 0
        return self._left > 0

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
        wanted_s = interval_s(length_s) if self._fixed_interval_s is None else self._fixed_interval_s
        return max(wanted_s, rest_s / max(self._left, 1))


def planned(frame_times_s: Sequence[float], duration_s: float, policy: SamplingPolicy) -> list[int]:
    """Choose from frames whose times are all known beforehand.

    Args:
        frame_times_s: Start of each frame in seconds, ascending, the first at 0.
        duration_s: Length of the whole in seconds.
        policy: How closely to look.

    Returns:
        Indices in ascending order, without repeats: the frames shown at the interval's moments, among them
        the first and the last. A frame that is shown for long is chosen, whenever it begins.
    """
    if not frame_times_s:
        return []
    end_s = frame_times_s[-1]
    step_s = policy.step_s(max(duration_s, end_s))
    return sorted(
        {max(bisect_right(frame_times_s, at_s + _EPSILON_S) - 1, 0) for at_s in moments(end_s, step_s)}
    )


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


__all__ = [
    "ANCHORS_S",
    "Sampler",
    "SamplingMode",
    "SamplingOrder",
    "SamplingPolicy",
    "coarse_to_fine",
    "evenly",
    "interval_s",
    "moments",
    "planned",
]

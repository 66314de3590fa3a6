"""From keyframes and a policy to the moments to decode, group of pictures by group of pictures; pure.

A frame can be decoded only from the keyframe before it. So the moments are sorted by that keyframe: what
falls into one group is decoded in one go, and groups in which nothing is wanted are jumped over.
"""

import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

from classifier.decode.sampling import SamplingOrder, SamplingPolicy, coarse_to_fine, evenly, moments

# The longest gap of the economical mode, in intervals, and how close two looks may be.
ECONOMICAL_GAP = 1.25
_ECONOMICAL_CLOSEST = 0.5
# Where a seek lands on the keyframe and a film costs the same in either order (`benchmarks.video --only
# early-exit`), so that what is met sooner comes for nothing.
_SEEKABLE = frozenset({"Matroska", "MP4", "Ogg", "MPEG-PS"})
_EPSILON_S = 1e-6


class KeyTimes(Protocol):
    """When the keyframes of a video are, however that is known."""

    def at_or_before(self, at_s: float) -> float:
        """The last keyframe at or before a time; the first one where there is none."""
        ...

    def after(self, at_s: float) -> float | None:
        """The first keyframe after a time, None behind the last."""
        ...


class ListedKeyTimes:
    """Keyframes of which all times are at hand.

    Args:
        keys_s: Their times in seconds, ascending, at least one.
    """

    def __init__(self, keys_s: Sequence[float]) -> None:
        self._keys_s = keys_s

    def at_or_before(self, at_s: float) -> float:
        """See `KeyTimes.at_or_before`."""
        return self._keys_s[max(bisect_right(self._keys_s, at_s + _EPSILON_S) - 1, 0)]

    def after(self, at_s: float) -> float | None:
        """See `KeyTimes.after`."""
        index = bisect_right(self._keys_s, at_s + _EPSILON_S)
        return self._keys_s[index] if index < len(self._keys_s) else None


@dataclass(frozen=True, slots=True)
class Group:
    """What is wanted of one group of pictures.

    Attributes:
        key_s: Time of its keyframe in seconds.
        moments_s: The moments in it to look at, ascending, none before the keyframe, at least one.
    """

    key_s: float
    moments_s: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class VideoPlan:
    """What to decode.

    Attributes:
        step_s: The interval in seconds.
        allowed_gap_s: What the time between two looks may be at most, but for the length of a frame.
        groups: In the order in which they are to be decoded.
    """

    step_s: float
    allowed_gap_s: float
    groups: tuple[Group, ...]


def plan_video(keys: KeyTimes, end_s: float, policy: SamplingPolicy, slack_s: float = 0.0) -> VideoPlan:
    """Plan the decoding of a video.

    Args:
        keys: Its keyframes.
        end_s: Start of its last frame in seconds.
        policy: How closely to look.
        slack_s: How far keyframes and frames may lie from where they are said to be; the economical mode
            keeps that much below its longest gap.

    Returns:
        The plan: first and last frame are in it, and no more moments than the policy's cap.
    """
    step_s = policy.step_s(end_s)
    if policy.mode == "economical":
        wanted_s = list(_economical(keys, end_s, step_s, slack_s))
        while len(wanted_s) > policy.max_frames:
            step_s *= max(len(wanted_s) / policy.max_frames, 1.01)
            wanted_s = list(_economical(keys, end_s, step_s, slack_s))
        allowed_gap_s = ECONOMICAL_GAP * step_s
    else:
        wanted_s = moments(end_s, step_s)
        allowed_gap_s = step_s
    groups = [Group(key_s, tuple(members)) for key_s, members in groupby(wanted_s, keys.at_or_before)]
    if policy.order == "coarse_to_fine":
        groups = [groups[index] for index in coarse_to_fine(len(groups))]
    return VideoPlan(step_s, allowed_gap_s, tuple(groups))


def usual_order(format_name: str, *, remote: bool) -> SamplingOrder:
    """The order in which a container's films are decoded unless somebody asks for another.

    Args:
        format_name: As `sniff` names it.
        remote: Whether bytes are fetched as they are read; in the order of time that takes fewer requests.

    Returns:
        From coarse to fine where that costs a clean film no more: an offending segment is met sooner.
    """
    return "coarse_to_fine" if format_name in _SEEKABLE and not remote else "sequential"


def keyframes_only(groups: Sequence[Group], at_most: int) -> list[Group]:
    """What is left of a plan when time runs out: the keyframes of some groups.

    Args:
        groups: The groups not yet decoded.
        at_most: How many are affordable, at least 2.

    Returns:
        Groups of which only the keyframe is wanted, evenly chosen, in the order given.
    """
    return [Group(groups[i].key_s, (groups[i].key_s,)) for i in evenly(len(groups), at_most)]


def _economical(keys: KeyTimes, end_s: float, step_s: float, slack_s: float) -> Iterator[float]:
    """Keyframes about an interval apart; between distant ones, moments early in the group, the cheapest."""
    longest_s = max(ECONOMICAL_GAP * step_s - slack_s, step_s)
    now_s = 0.0
    yield now_s
    while end_s - now_s > longest_s + _EPSILON_S:
        closest_s = now_s + _ECONOMICAL_CLOSEST * step_s
        key_s = _near(keys, now_s + step_s, closest_s, now_s + longest_s + _EPSILON_S)
        if key_s is not None:
            now_s = key_s
            yield now_s
            continue
        next_s = keys.after(now_s + longest_s)
        next_s = end_s if next_s is None else min(next_s, end_s)
        count = max(math.ceil((next_s - now_s) / longest_s) - 1, 1)
        # From the last of them, the next keyframe can just be reached without too large a gap.
        last_s = max(next_s - longest_s, now_s + count * _ECONOMICAL_CLOSEST * step_s)
        for number in range(1, count + 1):
            yield now_s + (last_s - now_s) * number / count
        now_s = last_s
    if now_s < end_s:
        yield end_s


def _near(keys: KeyTimes, at_s: float, from_s: float, until_s: float) -> float | None:
    """The keyframe closest to a time within bounds."""
    candidates = (keys.at_or_before(at_s), keys.after(at_s))
    within = [key_s for key_s in candidates if key_s is not None and from_s <= key_s <= until_s]
    return min(within, key=lambda key_s: abs(key_s - at_s), default=None)


__all__ = [
    "ECONOMICAL_GAP",
    "Group",
    "KeyTimes",
    "ListedKeyTimes",
    "VideoPlan",
    "keyframes_only",
    "plan_video",
    "usual_order",
]

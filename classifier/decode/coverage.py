"""How much of a video has been looked at: the largest gap and the share seen; pure.

A score without this would claim more than it knows. A frame that the file says is shown for long covers that
time: a still picture of an hour has no gap.
"""

from bisect import insort


class Coverage:
    """Collects the moments looked at, in any order; memory grows with the frames, not with the length."""

    def __init__(self) -> None:
        self._looks_s: list[tuple[float, float]] = []

    def add(self, from_s: float, until_s: float | None = None) -> None:
        """Note a look.

        Args:
            from_s: When the frame begins, in seconds.
            until_s: Until when it is known to be shown; None for its beginning alone.
        """
        insort(self._looks_s, (from_s, max(from_s, from_s if until_s is None else until_s)))

    def gaps_s(self, end_s: float) -> list[float]:
        """The times between neighbouring looks, from the start to the end.

        Args:
            end_s: Where the last frame begins, in seconds, as far as known.

        Returns:
            Seconds, none negative; the whole length where there was no look.
        """
        gaps_s, seen_s = [], 0.0
        for from_s, until_s in self._looks_s:
            gaps_s.append(max(from_s - seen_s, 0.0))
            seen_s = max(seen_s, until_s)
        return [*gaps_s, max(end_s - seen_s, 0.0)]

    def largest_gap_s(self, end_s: float) -> float:
        """The longest time without a look.

        Args:
            end_s: As for `gaps_s`.

        Returns:
            Seconds.
        """
        return max(self.gaps_s(end_s))

    def share(self, end_s: float, allowed_gap_s: float) -> float:
        """How much of the length was looked at as closely as intended.

        Args:
            end_s: As for `gaps_s`.
            allowed_gap_s: What a gap may last by plan; only what goes beyond counts as missed.

        Returns:
            0.0 to 1.0.
        """
        if not self._looks_s:
            return 0.0
        missed_s = sum(max(gap_s - allowed_gap_s, 0.0) for gap_s in self.gaps_s(end_s))
        length_s = max(end_s, self._looks_s[-1][1])
        return 1.0 - min(missed_s / length_s, 1.0) if length_s > 0 else 1.0


__all__ = ["Coverage"]

"""How much of a video has been looked at: the largest gap and the share seen; pure.

A score without this would claim more than it knows. A frame that the file says is shown for long covers that
time: a still picture of an hour has no gap. Looks are kept in milliseconds, so that those of several jobs
together tell exactly what one job would have told.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Looks:
    """What one of several jobs on a film has looked at.

    Attributes:
        looks_ms: From when until when each, in milliseconds.
        end_s: Where the last frame of the film begins, in seconds.
        allowed_gap_s: What a gap may last by plan, in seconds.
    """

    looks_ms: tuple[tuple[int, int], ...]
    end_s: float
    allowed_gap_s: float


class Coverage:
    """Collects the moments looked at, in any order; memory grows with the frames, not with the length."""

    def __init__(self) -> None:
        self._until_ms: dict[int, int] = {}

    @property
    def looks_ms(self) -> tuple[tuple[int, int], ...]:
        """From when until when each look was, in milliseconds, by time; one for each time."""
        return tuple(sorted(self._until_ms.items()))

    def add(self, from_s: float, until_s: float | None = None) -> None:
        """Note a look.

        Args:
            from_s: When the frame begins, in seconds.
            until_s: Until when it is known to be shown; None for its beginning alone.
        """
        from_ms = round(max(from_s, 0.0) * 1000)
        self._add_ms(from_ms, from_ms if until_s is None else round(until_s * 1000))

    def include(self, looks: Looks) -> None:
        """Note what another job has looked at.

        Args:
            looks: Its looks.
        """
        for from_ms, until_ms in looks.looks_ms:
            self._add_ms(from_ms, until_ms)

    def gaps_s(self, end_s: float) -> list[float]:
        """The times between neighbouring looks, from the start to the end.

        Args:
            end_s: Where the last frame begins, in seconds, as far as known.

        Returns:
            Seconds, none negative; the whole length where there was no look.
        """
        gaps_s, seen_s = [], 0.0
        for from_ms, until_ms in self.looks_ms:
            gaps_s.append(max(from_ms / 1000 - seen_s, 0.0))
            seen_s = max(seen_s, until_ms / 1000)
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
        if not self._until_ms:
            return 0.0
        missed_s = sum(max(gap_s - allowed_gap_s, 0.0) for gap_s in self.gaps_s(end_s))
        length_s = max(end_s, self._until_ms[max(self._until_ms)] / 1000)
        return 1.0 - min(missed_s / length_s, 1.0) if length_s > 0 else 1.0

    def _add_ms(self, from_ms: int, until_ms: int) -> None:
        self._until_ms[from_ms] = max(from_ms, until_ms, self._until_ms.get(from_ms, 0))


__all__ = ["Coverage", "Looks"]

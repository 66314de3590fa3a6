"""Where the decoding of a video stands: what was seen, handed out and missed, whoever decodes."""

import math
import time
from dataclasses import dataclass, field

from classifier.decode.coverage import Coverage
from classifier.decode.sampling import Sampler
from classifier.decode.segments import Segment

_HOUR_S = 3600.0
# What a jump ahead counts that is too long to be true: long enough for both its sides to be looked at.
_JUMP_S = 5.0


@dataclass(slots=True)
class Progress:
    """What has been seen and handed out so far.

    Attributes:
        sampler: Chooses the frames; it keeps its grid across decoders.
        began_s: Process CPU time at which the job began.
        allowed_s: CPU seconds after which decoding as planned is too dear; where the film is cut, that is for
            all its segments together.
        seen_s: Time of the last frame decoded, None before the first.
        given_s: Time of the last frame handed out, None before the first.
        errors: Damaged packets met.
        gave_up: Set where decoding as planned was ended for its cost.
        coverage: The moments looked at.
        allowed_gap_s: What the time between two looks may be by plan; None where there is no plan.
        end_s: When the last frame begins, where it was found out beforehand.
        segment: Which part of the film is wanted; None for the whole.
        segments: Into how many parts it is cut.
    """

    sampler: Sampler
    began_s: float = 0.0
    allowed_s: float = math.inf
    seen_s: float | None = None
    given_s: float | None = None
    errors: int = 0
    gave_up: bool = False
    coverage: Coverage = field(default_factory=Coverage)
    allowed_gap_s: float | None = None
    end_s: float | None = None
    segment: Segment | None = None
    segments: int = 1

    @property
    def complete(self) -> bool:
        """Whether the last frame decoded was handed out."""
        return self.seen_s is not None and self.seen_s == self.given_s

    def note_error(self) -> None:
        """Count a damaged place."""
        self.errors += 1

    def too_dear(self) -> bool:
        """Whether the allowance for decoding as planned is used up; noted in `gave_up`."""
        spent_s = time.process_time() - self.began_s
        self.gave_up = self.gave_up or spent_s > self.allowed_s / self.segments
        return self.gave_up

    def short_of(self, duration_s: float | None, tolerance_s: float, tolerance_share: float) -> bool:
        """Whether decoding ended well before the end.

        Args:
            duration_s: Length in seconds, None where unknown.
            tolerance_s: How much may be missing in seconds.
            tolerance_share: How much may be missing as a share of the length; the larger one counts.

        Returns:
            True where more is missing; False where the length is unknown.
        """
        if duration_s is None:
            return False
        return (self.seen_s or 0.0) < duration_s - max(tolerance_s, tolerance_share * duration_s)


class FrameClock:
    """Turns what decoders report into times that never run backwards.

    Good timestamps pass unchanged. Missing ones are counted on from the last; where a container's clock jumps
    back, as after a cut in a transport stream, time goes on from the last frame, and where it jumps absurdly
    far ahead, a little later; otherwise one forged timestamp would hide everything after it.

    Args:
        frame_s: Usual time between two frames in seconds.
        duration_s: Length in seconds as far as known; no step is longer than that or than an hour.
    """

    def __init__(self, frame_s: float, duration_s: float | None) -> None:
        self._frame_s = frame_s
        self._longest_step_s = max(_HOUR_S, duration_s or 0.0)
        self._offset_s = 0.0
        self._last_s: float | None = None

    def at(self, reported_s: float | None) -> float:
        """Time of the next frame.

        Args:
            reported_s: What the decoder says in seconds from the stream's start; None where it does not know.

        Returns:
            Seconds from the start, never less than before.
        """
        last_s = self._last_s
        if reported_s is not None and not math.isfinite(reported_s):
            reported_s = None
        if last_s is None:
            known = reported_s is not None and 0 <= reported_s <= self._longest_step_s
            now_s = reported_s if known and reported_s is not None else 0.0
            self._offset_s = now_s - (reported_s or 0.0)
        elif reported_s is None:
            now_s = last_s + self._frame_s
        else:
            now_s = reported_s + self._offset_s
            if not 0 <= now_s - last_s <= self._longest_step_s:
                now_s = last_s + (self._frame_s if now_s < last_s else _JUMP_S)
                self._offset_s = now_s - reported_s
        self._last_s = now_s
        return now_s


__all__ = ["FrameClock", "Progress"]

"""What is told of a score: never without who made it, never for a file that was not scored."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from classifier.values import Classifier, FrameResult, Level, MediaScore

_DIGITS = 6


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a request wants to know.

    Attributes:
        level: Whose threshold gives the label.
        frames: Whether every frame is scored and told.
        timing: Whether it is told where the time went.
    """

    level: Level
    frames: bool = False
    timing: bool = False


@dataclass(frozen=True, slots=True)
class Scored:
    """One file that was scored.

    Attributes:
        result: What depends on the bytes and the model alone, see `result_of`; shared, not to be changed.
        etag: Names the result; None where its bytes have no known hash.
        about: What was said of the file by whoever fetched it.
        timing: Where the time went, in seconds.
    """

    result: Mapping[str, Any]
    etag: str | None
    about: Mapping[str, str | int | float | None] = field(default_factory=dict)
    timing: Mapping[str, float | bool] = field(default_factory=dict)

    def members(self, wanted: Wanted) -> dict[str, Any]:
        """The answer as it stands in JSON.

        Args:
            wanted: What was asked.

        Returns:
            A new mapping.
        """
        told = dict(self.result)
        if self.about:
            told["source"] = dict(self.about)
        if wanted.timing:
            told["timing"] = {
                name: value if isinstance(value, bool) else round(value, _DIGITS)
                for name, value in self.timing.items()
            }
        return told


def maker(classifier: Classifier, version: str) -> dict[str, str]:
    """Who makes the scores, as every answer tells it.

    Args:
        classifier: The model.
        version: Of the model and everything else that changes scores.

    Returns:
        Plain values.
    """
    card = classifier.card
    return {
        "name": card.name,
        "version": version,
        "weights_sha256": card.weights_sha256,
        "preprocessing": card.preprocessing,
        "engine": classifier.engine,
    }


def result_of(
    score: MediaScore, wanted: Wanted, model: Mapping[str, str], sha256: str | None
) -> dict[str, Any]:
    """What depends on the bytes and the model alone.

    Args:
        score: The score.
        wanted: What was asked.
        model: See `maker`.
        sha256: Of the bytes, where it is known.

    Returns:
        Plain values; with frames only where they were asked for.
    """
    summary = score.summary
    told: dict[str, Any] = {
        "score": round(score.score, _DIGITS),
        "label": score.label,
        "threshold": score.threshold,
        "level": wanted.level,
        "highest": _position(score.worst),
        "media": {
            "kind": summary.kind,
            "frames_scored": len(score.frames),
            "duration_s": summary.duration_s,
            "complete": not summary.truncated,
            "largest_gap_s": summary.largest_gap_s,
            "sha256": sha256,
        },
        "model": model,
    }
    if wanted.frames:
        told["frames"] = [
            {"score": round(frame.score, _DIGITS), **_position(frame)} for frame in score.frames
        ]
    return told


def _position(frame: FrameResult) -> dict[str, float | int | None]:
    return {"at_s": frame.at_s, "page": frame.page}


__all__ = ["Scored", "Wanted", "maker", "result_of"]

"""A score as the store keeps it, whoever made it. Pure."""

from collections.abc import Mapping

from classifier.values import DecodeSummary, MediaScore
from storage.values import Classification, FrameScore


def classified(
    scored: MediaScore,
    model_version_id: int,
    rendition: Mapping[str, str | int | float | None],
    timings_s: Mapping[str, float],
) -> Classification:
    """Put a record together.

    Args:
        scored: The score.
        model_version_id: Row id of its maker.
        rendition: What was downloaded.
        timings_s: Seconds of each stage.

    Returns:
        The record.
    """
    return Classification(
        model_version_id=model_version_id,
        score=scored.score,
        label=scored.label,
        threshold=scored.threshold,
        frames=tuple(FrameScore(f.score, f.at_s, f.page) for f in scored.frames),
        worst=FrameScore(scored.worst.score, scored.worst.at_s, scored.worst.page),
        rendition=rendition,
        decoder=scored.summary.decoder,
        timings_s=timings_s,
        coverage=_coverage(scored.summary),
    )


def _coverage(summary: DecodeSummary) -> dict[str, str | float | bool | None] | None:
    """How much of the file was looked at; None for what does not move."""
    if not summary.mode:
        return None
    return {
        "mode": summary.mode,
        "duration_s": summary.duration_s,
        "largest_gap_s": summary.largest_gap_s,
        "covered_share": summary.covered_share,
        "truncated": summary.truncated,
    }


__all__ = ["classified"]

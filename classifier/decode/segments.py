"""Which part of a long film one decode job takes, and one summary out of those of all parts; pure.

A film is cut in the order of decoding and between groups of pictures only, so the jobs' frames one after the
other are those of a single job. For that to hold in damaged files, too, decoding begins anew at the same
places whoever decodes: at every piece, and a segment is some pieces. Only what ffmpeg makes up for pictures
that H.264 has lost depends on what it decoded before them, and so on the number of segments.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

from classifier.decode.coverage import Coverage, Looks
from classifier.decode.video_plan import Group
from classifier.values import DecodeSummary

MAX_SEGMENTS = 64
"""Most jobs that one film is decoded by."""
PIECE_MOMENTS = 6
"""After so many moments, decoding begins anew at the next group; a seek is cheap against so many frames."""
SEGMENT_MOMENTS = 12
"""A film of fewer moments than this for each job is not worth another job."""
MAX_LOOKS = 2000
"""A film of which one job would take more moments than this is not cut: its looks would fill a message."""

Piece = tuple[Group, ...]


@dataclass(frozen=True, slots=True)
class Segment:
    """Which part of a film a job is to decode.

    Attributes:
        index: Its number in the order of decoding, from 0.
        at_most: Into how many parts the film may be cut. Into how many it is cut follows from the film, and
            the job for number 0 says so with its first frames; from then on, that is the number to ask with.
    """

    index: int
    at_most: int

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.at_most <= MAX_SEGMENTS:
            raise ValueError(f"segment {self.index} of at most {self.at_most}")


def pieces(groups: Sequence[Group]) -> tuple[Piece, ...]:
    """Where decoding begins anew.

    Args:
        groups: A film's groups in the order of decoding.

    Returns:
        The same groups in pieces of at least `PIECE_MOMENTS` moments each, but for a film of fewer.
    """
    found: list[list[Group]] = []
    moments = PIECE_MOMENTS
    for group in groups:
        if moments >= PIECE_MOMENTS:
            found.append([])
            moments = 0
        found[-1].append(group)
        moments += len(group.moments_s)
    if len(found) > 1 and moments < PIECE_MOMENTS:
        found[-2:] = [found[-2] + found[-1]]
    return tuple(map(tuple, found))


def cut(film: Sequence[Piece], at_most: int) -> tuple[tuple[Piece, ...], ...]:
    """Cut a film into segments of about as many moments each.

    Args:
        film: Its pieces.
        at_most: Into how many segments at most; at least 1.

    Returns:
        The pieces, none left out and in the same order, in 1 to `at_most` segments. A film that is cut once
        more, into at most as many as these, is cut in the same places.
    """
    reached = [0, *accumulate(map(_moments, film))]
    count = max(min(at_most, reached[-1] // SEGMENT_MOMENTS, len(film)), 1)
    bounds = [0]
    for number in range(1, count):
        share = reached[-1] * number / count
        # Each segment has a piece, also those to come.
        within = range(bounds[-1] + 1, len(film) - (count - number) + 1)
        bounds.append(min(within, key=lambda bound: abs(reached[bound] - share)))
    bounds.append(len(film))
    if max(reached[b] - reached[a] for a, b in pairwise(bounds)) > MAX_LOOKS:
        return (tuple(film),)
    return tuple(tuple(film[a:b]) for a, b in pairwise(bounds))


def merged(jobs: Sequence[tuple[DecodeSummary, Looks | None]]) -> DecodeSummary:
    """What a single job would have said of the whole film.

    Args:
        jobs: Of each segment in order, what its job said at its end.

    Returns:
        One summary; without coverage where a job tells nothing of it.
    """
    summaries = [summary for summary, _ in jobs]
    looks = [told for _, told in jobs if told is not None]
    whole = replace(
        summaries[0],
        frames=sum(summary.frames for summary in summaries),
        decode_s=sum(summary.decode_s for summary in summaries),
        truncated=any(summary.truncated for summary in summaries),
        largest_gap_s=None,
        covered_share=None,
    )
    if len(looks) < len(jobs):
        return whole
    coverage, end_s = Coverage(), max(told.end_s for told in looks)
    for told in looks:
        coverage.include(told)
    return replace(
        whole,
        largest_gap_s=coverage.largest_gap_s(end_s),
        covered_share=coverage.share(end_s, looks[0].allowed_gap_s),
    )


def _moments(piece: Piece) -> int:
    return sum(len(group.moments_s) for group in piece)


__all__ = ["MAX_LOOKS", "MAX_SEGMENTS", "Piece", "Segment", "cut", "merged", "pieces"]

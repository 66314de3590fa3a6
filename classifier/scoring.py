"""From the files of one upload to its score: decoding and classifying overlap, and the first hit ends both.

The score of a file is the maximum over its frames, each kept with its own position. A file without a single
frame is an error, never a low score. What is recorded does not depend on timing, nor on how many workers
decode a film: frames after the first hit (in the order of decoding) are left out even if the model has
already seen them, and of the file nothing is said then but what was known with its first frames.
"""

from collections.abc import Sequence
from dataclasses import replace

from classifier.batching import Batcher
from classifier.decode.segments import merged
from classifier.errors import DecodeError
from classifier.segmented import MAX_PENDING_FRAMES, SegmentedScoring, SegmentScores
from classifier.streams import Decoder, DecodeStream, OnDecoded, OnFrame
from classifier.values import DecodeSummary, FrameResult, MediaPart, MediaScore


def score_media(
    parts: Sequence[MediaPart],
    decoder: Decoder,
    batcher: Batcher,
    *,
    threshold: float,
    preprocessing: str | None = None,
    stop_early: bool = True,
    on_frame: OnFrame | None = None,
    on_decoded: OnDecoded | None = None,
) -> MediaScore:
    """Score one upload. A long film is decoded by as many workers as are free; the result is the same.

    Args:
        parts: Its files.
        decoder: Turns them into frames.
        batcher: Scores the frames; shared with other threads.
        threshold: Score from which the label is `nsfw`, 0..1.
        preprocessing: Id of the preprocessing; None: the one on the model's card.
        stop_early: Whether the first frame at or over the threshold ends the job. The score is then that
            frame's, and later frames, which may score higher, are not looked at. The summary counts the
            frames up to that one and calls the file truncated (unless it is a still picture), even if that
            was the last frame; coverage is not given.
        on_frame: See `OnFrame`. Together with `stop_early`, it keeps a film with one worker: a frame behind a
            hit does not count, and other workers would be there before that is known.
        on_decoded: See `OnDecoded`; for a progress bar, as the length is known long before the end.

    Returns:
        The score with every frame that counts, by position.

    Raises:
        DecodeError: Where the files cannot be decoded, or not a single frame came out.
        ModelError: Where the model fails or is being closed.
    """
    counting, begun = SegmentedScoring(
        parts,
        preprocessing or batcher.classifier.card.preprocessing,
        decoder,
        batcher,
        stop_at=threshold if stop_early else None,
        on_frame=on_frame,
        on_decoded=on_decoded,
    ).run()
    error = counting[-1].error
    if error is not None:
        raise error
    results = sorted((one for segment in counting for one in segment.results), key=_position)
    if not results:
        raise DecodeError("undecodable", "no frame could be decoded")
    worst = max(results, key=lambda result: result.score)
    summary = _summary(counting, begun)
    return MediaScore(
        score=worst.score,
        label="nsfw" if worst.score >= threshold else "sfw",
        threshold=threshold,
        frames=tuple(results),
        worst=worst,
        summary=summary,
        timings_s={"decode": summary.decode_s, "classify": sum(segment.waited_s for segment in counting)},
    )


def _position(frame: FrameResult) -> tuple[int, float]:
    return frame.page or 0, frame.at_s or 0.0


def _summary(counting: Sequence[SegmentScores], begun: Sequence[SegmentScores]) -> DecodeSummary:
    """What to say of the file as a whole; after a hit, nothing that depends on how far decoding had got."""
    first = counting[0]
    assert first.began is not None  # there is a frame
    assert first.summary is not None
    if counting[-1].hit and first.began.kind != "image":
        return replace(
            first.began,
            frames=sum(len(segment.results) for segment in counting),
            decode_s=sum(segment.summary.decode_s for segment in begun if segment.summary is not None),
            truncated=True,
            largest_gap_s=None,
            covered_share=None,
        )
    if len(counting) == 1:
        return first.summary
    return merged([(one.summary, one.looks) for one in counting if one.summary is not None])


__all__ = ["MAX_PENDING_FRAMES", "DecodeStream", "Decoder", "OnDecoded", "OnFrame", "score_media"]

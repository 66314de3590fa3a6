"""Video by PyAV: by groups of pictures where the times of the keyframes are known, else frame after frame.

Both step over damaged packets. The second is for files whose clock is missing or jumps: every frame is
decoded and timed by `FrameClock`, and when that becomes too dear, keyframes alone are looked at.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from pathlib import Path

import av
import av.container
import av.video.frame
import av.video.stream
import numpy as np

from classifier.decode.container import (
    AV_ERRORS,
    StreamClock,
    VideoStream,
    open_container,
    packets,
    raise_if_memory,
    seek,
)
from classifier.decode.limits import DecodeLimits
from classifier.decode.picture import Picture
from classifier.decode.progress import FrameClock, Progress
from classifier.decode.segments import Piece, cut, pieces
from classifier.decode.video_groups import GroupDecoder, Shown
from classifier.decode.video_index import VideoIndex, read_index
from classifier.decode.video_plan import Group, keyframes_only, plan_video, usual_order
from classifier.decode.video_scale import FrameScaler

_KEYFRAMES_AT_MOST = 60
_EPSILON_S = 1e-6
_HELD_S = 0.5
# More damage than this in a row, and there is nothing worth waiting for.
_MAX_ERRORS_IN_A_ROW = 200


class PyAvGroupDecoder:
    """`VideoDecoder` that decodes only what leads to wanted frames; silent where times cannot be trusted."""

    name = "pyav"

    def pictures(
        self, path: Path, format_name: str, stream: VideoStream, limits: DecodeLimits, progress: Progress
    ) -> Iterator[Picture]:
        """See `VideoDecoder.pictures`."""
        with _opened(path, format_name, stream) as (container, video):
            index = read_index(container, video, format_name, sparing=stream.source is not None)
            if index is None:
                return
            order = limits.sampling_order or usual_order(format_name, remote=stream.source is not None)
            plan = plan_video(index.keys, index.end_s, replace(limits.sampling, order=order), index.slack_s)
            progress.allowed_gap_s = plan.allowed_gap_s + 2 * stream.frame_s
            progress.end_s, progress.seen_s = index.end_s, index.shown_until_s
            scaler = FrameScaler(limits)
            own, rest = _own(plan.groups, stream, progress)
            for film in (own, rest):
                for shown in _shown(container, video, stream, index, film, progress):
                    progress.coverage.add(shown.at_s, shown.until_s)
                    if not shown.repeated:
                        progress.given_s = shown.at_s
                        yield scaler.picture(shown.frame, shown.at_s)
                if progress.given_s is not None or not rest:
                    return
                # Nothing in the first segment, and nobody knows yet that there are others: take them all.
                progress.segments = 1


class PyAvSequentialDecoder:
    """`VideoDecoder` that decodes every frame."""

    name = "pyav"

    def pictures(
        self, path: Path, format_name: str, stream: VideoStream, limits: DecodeLimits, progress: Progress
    ) -> Iterator[Picture]:
        """See `VideoDecoder.pictures`."""
        yield from pyav_frames(path, format_name, stream, limits, progress)
        if progress.gave_up:
            yield from keyframes(path, format_name, stream, limits, progress)


def _own(
    groups: Sequence[Group], stream: VideoStream, progress: Progress
) -> tuple[tuple[Piece, ...], tuple[Piece, ...]]:
    """The pieces of the segment that is wanted, and those left if it is the first."""
    # Beginning anew may read elsewhere in the file, and where bytes come over the network, those are dear.
    film = pieces(groups) if stream.source is None else (tuple(groups),)
    segment = progress.segment
    if segment is None:
        return film, ()
    segments = cut(film, segment.at_most)
    progress.segments = len(segments)
    if segment.index == 0:
        return segments[0], tuple(chain.from_iterable(segments[1:]))
    return (segments[segment.index] if segment.index < len(segments) else ()), ()


def _shown(
    container: av.container.InputContainer,
    video: av.video.stream.VideoStream,
    stream: VideoStream,
    index: VideoIndex,
    film: tuple[Piece, ...],
    progress: Progress,
) -> Iterator[Shown]:
    """Decode the pieces as planned; once that is too dear, the keyframes of some of the rest."""
    for number, piece in enumerate(film):
        decoder = GroupDecoder(container, video, stream.frame_s, index.seeks_exactly, progress)
        for place, group in enumerate(piece):
            if progress.too_dear():
                left = [*piece[place:], *chain.from_iterable(film[number + 1 :])]
                for key in keyframes_only(left, max(_KEYFRAMES_AT_MOST // progress.segments, 2)):
                    yield from decoder.shown(key)
                return
            yield from decoder.shown(group)


def pyav_frames(
    path: Path, format_name: str, stream: VideoStream, limits: DecodeLimits, progress: Progress
) -> Iterator[Picture]:
    """Decode from behind the last frame handed out to the end.

    Args:
        path: The file.
        format_name: As `sniff` names it.
        stream: Which stream.
        limits: What is allowed.
        progress: Where to go on; filled in on the way.

    Yields:
        The wanted frames and the last one, as `FrameScaler.picture`.

    Raises:
        DecodeError: `too_large` or `undecodable`.
        MemoryError: Where ffmpeg gets no memory.
    """
    with _opened(path, format_name, stream) as (container, video):
        if progress.given_s:
            seek(container, video, progress.given_s)
        clock, stamps = FrameClock(stream.frame_s, stream.duration_s), StreamClock.of(video)
        scaler = FrameScaler(limits)
        last: tuple[av.video.frame.VideoFrame, float] | None = None
        for frame in _decoded(container, video, progress):
            at_s = clock.at(stamps.seconds(frame.pts))
            if progress.given_s is not None and at_s <= progress.given_s + _EPSILON_S:
                continue
            progress.seen_s = at_s
            held = last is not None and at_s - last[1] > _HELD_S and at_s > progress.sampler.next_s
            if last is not None and held and progress.sampler.spend():
                yield scaler.picture(*last)  # it was shown for long, at a moment that was wanted
            last = (frame, at_s)
            if progress.sampler.wants(at_s):
                last = None
                progress.given_s = at_s
                yield scaler.picture(frame, at_s)
            elif progress.too_dear():
                return
        if last is not None:
            progress.given_s = progress.seen_s = last[1]
            yield scaler.picture(*last)


def keyframes(
    path: Path, format_name: str, stream: VideoStream, limits: DecodeLimits, progress: Progress
) -> Iterator[Picture]:
    """Look at keyframes evenly spread over the rest of the file.

    Args:
        path: The file.
        format_name: As `sniff` names it.
        stream: Which stream; its duration must be known, else there is nothing to spread over.
        limits: What is allowed.
        progress: Where to go on; filled in on the way.

    Yields:
        As `pyav_frames`; times are those of the keyframes.

    Raises:
        DecodeError: `too_large` or `undecodable`.
        MemoryError: Where ffmpeg gets no memory.
    """
    if stream.duration_s is None:
        return
    with _opened(path, format_name, stream) as (container, video):
        video.codec_context.skip_frame = "NONKEY"
        stamps, scaler = StreamClock.of(video), FrameScaler(limits)
        start_s = progress.seen_s or 0.0
        for target_s in np.linspace(start_s, stream.duration_s, _KEYFRAMES_AT_MOST + 1)[1:]:
            seek(container, video, float(target_s))
            frame = next(_decoded(container, video, progress), None)
            at_s = None if frame is None else stamps.seconds(frame.pts)
            if frame is None or at_s is None or at_s <= (progress.given_s or 0.0) + _EPSILON_S:
                continue
            progress.seen_s = progress.given_s = at_s
            yield scaler.picture(frame, at_s)


@contextmanager
def _opened(
    path: Path, format_name: str, stream: VideoStream
) -> Iterator[tuple[av.container.InputContainer, av.video.stream.VideoStream]]:
    """A container of which only the wanted stream is read, decoded by the calling thread alone."""
    with open_container(path, format_name, stream.source) as container:
        video = next(video for video in container.streams.video if video.index == stream.index)
        for other in container.streams:
            if other.index != stream.index:
                other.discard = av.stream.Discard.all
        # Threads decode ahead, what nobody wants, and each keeps frames of its own: workers are the way to
        # use more cores.
        video.thread_type = "NONE"
        video.codec_context.thread_count = 1
        yield container, video


def _decoded(
    container: av.container.InputContainer, video: av.video.stream.VideoStream, progress: Progress
) -> Iterator[av.video.frame.VideoFrame]:
    errors_in_a_row = 0
    for packet in chain(packets(container, video, progress.note_error), (None,)):
        try:
            frames = video.codec_context.decode(packet)
        except AV_ERRORS as error:
            raise_if_memory(error)
            if not isinstance(error, av.error.EOFError):
                progress.note_error()
                errors_in_a_row += 1
            if errors_in_a_row >= _MAX_ERRORS_IN_A_ROW:
                return
            continue
        if frames:
            errors_in_a_row = 0
        yield from frames


__all__ = ["PyAvGroupDecoder", "PyAvSequentialDecoder", "keyframes", "pyav_frames"]

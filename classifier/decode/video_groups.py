"""Decoding group of pictures by group of pictures: only what leads to a wanted frame is decoded.

For each group: go to its keyframe, send the packets until all frames up to its last moment are in, take them
out, and leave the rest of the group alone. On the way, frames that nothing refers to are skipped, but never
the one shown at a wanted moment: a packet is skipped only when another one with a later time, still not after
the moment, is known to follow or to have gone before. So the frames are the same as those of decoding
everything.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import av
import av.container
import av.packet
import av.video.frame
import av.video.stream

from classifier.decode.container import AV_ERRORS, StreamClock, packets, raise_if_memory, seek
from classifier.decode.progress import Progress
from classifier.decode.video_plan import Group

VideoPacket: TypeAlias = "av.packet.Packet[av.video.stream.VideoStream]"
# Codecs whose decoders, asked to skip what no other frame refers to, leave all other frames unchanged.
_SKIPPABLE = frozenset({"h264", "hevc", "mpeg1video", "mpeg2video", "vp8"})
_LOOKAHEAD_PACKETS = 6
_RECENT_PACKETS = 16
# Reading over so much film is as cheap as seeking, and sure.
_READ_ON_S = 2.0
# Where seeking is inexact, it goes this much further back; so often it is tried, twice as far each time.
_BACK_S = 0.75
_TRIES = 5
# MP4's index has decoding times: keyframes are shown up to some frames later than reckoned from them.
_INDEX_ERROR_S = 0.25
_MAX_ERRORS_IN_A_ROW = 200
_EPSILON_S = 1e-4


@dataclass(frozen=True, slots=True)
class Shown:
    """A frame that answers a moment.

    Attributes:
        frame: The frame.
        at_s: When it begins.
        until_s: Until when it is known to be shown: the moment, unless the file says that it ends earlier. A
            frame that merely has no successor may be followed by damage.
        repeated: True where it was handed out before, for an earlier moment.
    """

    frame: av.video.frame.VideoFrame
    at_s: float
    until_s: float
    repeated: bool


class GroupDecoder:
    """Decodes wanted moments of an open video.

    Args:
        container: The open file.
        video: The stream; its decoder must not use frame threads.
        frame_s: Usual time between two frames in seconds.
        seeks_exactly: Whether seeking to a keyframe lands on it.
        progress: Errors are counted there, and its allowance ends a group early.
    """

    def __init__(
        self,
        container: av.container.InputContainer,
        video: av.video.stream.VideoStream,
        frame_s: float,
        seeks_exactly: bool,
        progress: Progress,
    ) -> None:
        self._container = container
        self._video = video
        self._codec = video.codec_context
        self._clock = StreamClock.of(video)
        self._frame_s = frame_s
        self._back_s = 0.0 if seeks_exactly else _BACK_S
        self._progress = progress
        self._skips = self._codec.codec.name in _SKIPPABLE
        self._packets: Iterator[VideoPacket] = iter(())
        self._queue: deque[VideoPacket] = deque()
        self._position_s: float | None = None

    def shown(self, group: Group) -> Iterator[Shown]:
        """Decode what is wanted of a group.

        Args:
            group: Its keyframe and the moments.

        Yields:
            For each moment the frame shown then, in ascending order; damage makes it a later one, or none.

        Raises:
            MemoryError: Where ffmpeg gets no memory.
        """
        if not self._go_to(group):
            return
        moments_s = group.moments_s
        answered, given_s = 0, None
        best: tuple[av.video.frame.VideoFrame, float] | None = None
        key = self._peek(0)
        from_s = (self._clock.seconds(key.pts) if key is not None else None) or 0.0
        for frame in self._frames(moments_s):
            at_s = self._clock.seconds(frame.pts)
            # What is shown before its keyframe refers to pictures of another group.
            if at_s is None or at_s < (from_s - _EPSILON_S if best is None else best[1]):
                continue
            while answered < len(moments_s) and at_s > moments_s[answered] + _EPSILON_S:
                best = best or (frame, at_s)
                yield self._answer(best, moments_s[answered], given_s)
                given_s = best[1]
                answered += 1
            best = (frame, at_s)
        if best is None:
            return
        for moment_s in moments_s[answered:]:
            yield self._answer(best, moment_s, given_s)
            given_s = best[1]

    def _answer(
        self, best: tuple[av.video.frame.VideoFrame, float], moment_s: float, given_s: float | None
    ) -> Shown:
        frame, at_s = best
        shown_s = max((frame.duration or 0) * self._clock.base_s, self._frame_s)
        return Shown(frame, at_s, min(moment_s, at_s + shown_s), repeated=at_s == given_s)

    def _go_to(self, group: Group) -> bool:
        """Put the group's keyframe at the head of the queue."""
        until_s = max(group.moments_s[0], group.key_s)
        if group.moments_s[0] == group.key_s:  # the keyframe itself is wanted, wherever exactly it is
            until_s += _INDEX_ERROR_S
        ahead_s = -1.0 if self._position_s is None else group.key_s - self._position_s
        near = -_EPSILON_S <= ahead_s <= _READ_ON_S
        if near and self._skip_to_key(group.key_s - self._frame_s / 2, until_s):
            return True
        back_s = self._back_s
        for attempt in range(_TRIES):
            last = attempt == _TRIES - 1
            self._seek(0.0 if last else max(group.key_s - back_s, 0.0))
            # From the second time on, any keyframe before the moment will do.
            from_s = group.key_s - (self._frame_s / 2 if attempt == 0 else max(back_s, self._frame_s))
            if self._skip_to_key(from_s, until_s):
                return True
            back_s = max(2 * back_s, _BACK_S)
        # Damaged beyond the keyframe: the next one that can be found stands in.
        self._seek(group.key_s)
        return self._skip_to_key(group.key_s, group.moments_s[-1])

    def _seek(self, at_s: float) -> None:
        self._queue.clear()
        self._codec.flush_buffers()
        seek(self._container, self._video, at_s)
        self._packets = packets(self._container, self._video, self._progress.note_error)

    def _skip_to_key(self, from_s: float, until_s: float) -> bool:
        """Drop packets up to a keyframe within bounds; False where another one beyond comes first."""
        while (packet := self._peek(0)) is not None:
            at_s = self._clock.seconds(packet.pts)
            if packet.is_keyframe and at_s is not None and at_s >= from_s:
                return at_s <= until_s + _EPSILON_S
            self._drop()
        return False

    def _peek(self, index: int) -> "VideoPacket | None":
        """A packet not yet sent; None at the end of the file."""
        while len(self._queue) <= index:
            packet = next(self._packets, None)
            if packet is None:
                return None
            self._queue.append(packet)
        return self._queue[index]

    def _drop(self) -> VideoPacket:
        packet = self._queue.popleft()
        self._position_s = self._clock.seconds(packet.pts if packet.dts is None else packet.dts)
        return packet

    def _frames(self, moments_s: tuple[float, ...]) -> Iterator[av.video.frame.VideoFrame]:
        """Decode from the head of the queue until all frames up to the last moment are out."""
        recent_s: deque[float] = deque(maxlen=_RECENT_PACKETS)
        errors_in_a_row, skipping = 0, False
        self._codec.skip_frame = "DEFAULT"
        while (packet := self._peek(0)) is not None and errors_in_a_row < _MAX_ERRORS_IN_A_ROW:
            decode_s = self._clock.seconds(packet.pts if packet.dts is None else packet.dts)
            if recent_s and decode_s is not None and decode_s > moments_s[-1] + _EPSILON_S:
                break
            if self._skips and skipping != self._may_skip(packet, moments_s, recent_s):
                skipping = not skipping
                self._codec.skip_frame = "NONREF" if skipping else "DEFAULT"
            self._drop()
            recent_s.append(self._clock.seconds(packet.pts) or 0.0)
            frames = self._decode(packet)
            errors_in_a_row = errors_in_a_row + 1 if frames is None else 0
            yield from frames or ()
            if self._progress.too_dear():
                break
        yield from self._decode(None) or ()
        self._codec.flush_buffers()

    def _may_skip(self, packet: VideoPacket, moments_s: tuple[float, ...], recent_s: deque[float]) -> bool:
        """Whether the frame of a packet is certainly not the one shown at a moment."""
        at_s = self._clock.seconds(packet.pts)
        if at_s is None:
            return False
        index = bisect_left(moments_s, at_s - _EPSILON_S)
        if index == len(moments_s):
            return True
        from_s, until_s = at_s + _EPSILON_S, moments_s[index] + _EPSILON_S
        if any(from_s < other_s <= until_s for other_s in recent_s):
            return True
        for ahead in range(1, _LOOKAHEAD_PACKETS):
            following = self._peek(ahead)
            other_s = None if following is None else self._clock.seconds(following.pts)
            if other_s is None:
                return False
            if from_s < other_s <= until_s:
                return True
        return False

    def _decode(self, packet: "VideoPacket | None") -> list[av.video.frame.VideoFrame] | None:
        """Frames of a packet, or at None those still inside; None where it is damaged."""
        try:
            return list(self._codec.decode(packet))
        except AV_ERRORS as error:
            raise_if_memory(error)
            if isinstance(error, av.error.EOFError):
                return []
            self._progress.errors += 1
            return None


__all__ = ["GroupDecoder", "Shown"]

"""When the keyframes of a video are, and when its last frame begins; nothing is decoded.

Where the container has an index, that is asked (MP4 always, Matroska with its cues); elsewhere the packets
are read once without decoding, at 10 ms a minute of film. Either way memory does not grow with the length:
what ffmpeg has indexed is not copied, and of keyframes read from packets the closest neighbours are dropped
beyond a number. Headers' claims about the length are not used: the last packets are looked at.
"""

from array import array
from dataclasses import dataclass

import av.container
import av.index
import av.video.stream

from classifier.decode.container import StreamClock, packets, seek
from classifier.decode.video_plan import KeyTimes, ListedKeyTimes

# At 100,000 keyframes of 8 bytes, every second one is forgotten, and so on.
_MAX_KEYS = 100_000
# An index with fewer keyframes than this is checked against the packets: it may be sparser than the file.
_TRUSTED_SPACING_S = 6.0
# Where in the film it is checked if all packets are too dear, and when two times are the same.
_CHECKED_SHARES = (0.1, 0.5, 0.8)
_SAME_S = 0.002
# A clock that jumps by more than this, or back, is no base for seeking.
_LONGEST_STEP_S = 3600.0


@dataclass(frozen=True, slots=True)
class VideoIndex:
    """What decoding by groups of pictures needs to know.

    Attributes:
        keys: The keyframes, on the clock of `StreamClock`.
        end_s: When the last frame begins.
        shown_until_s: When the last frame ends, as far as the file tells.
        seeks_exactly: Whether seeking to a keyframe lands on it.
        slack_s: By how much keyframes may be shown later than `keys` says.
    """

    keys: KeyTimes
    end_s: float
    shown_until_s: float
    seeks_exactly: bool
    slack_s: float = 0.0


class _IndexedKeyTimes:
    """Keyframes in ffmpeg's index, asked one at a time; a copy in Python would take 50 times its memory.

    Args:
        video: The stream; its index must not be empty.
        shift: What to add to the index' times to get presentation times, in the stream's time base.
    """

    def __init__(self, video: av.video.stream.VideoStream, shift: int) -> None:
        self._clock = StreamClock.of(video)
        self._entries = video.index_entries
        self._shift = shift

    def at_or_before(self, at_s: float) -> float:
        """See `KeyTimes.at_or_before`."""
        found = self._entries.search_timestamp(self._offset(at_s))
        return self._time_s(found if found >= 0 else 0)

    def after(self, at_s: float) -> float | None:
        """See `KeyTimes.after`."""
        found = self._entries.search_timestamp(self._offset(at_s) + 1, backward=False)
        return self._time_s(found) if found >= 0 else None

    def _offset(self, at_s: float) -> int:
        return self._clock.ticks(at_s) - self._shift

    def _time_s(self, number: int) -> float:
        return max(self._clock.seconds(self._entries[number].timestamp + self._shift) or 0.0, 0.0)


def read_index(
    container: av.container.InputContainer,
    video: av.video.stream.VideoStream,
    format_name: str,
    *,
    sparing: bool = False,
) -> VideoIndex | None:
    """Find the keyframes.

    Args:
        container: The open file; its position is not kept.
        video: The stream.
        format_name: As `sniff` names it.
        sparing: Whether bytes are dear: an index that may be sparser than the file is then checked in a few
            places instead of against all packets. At worst, more than necessary is decoded.

    Returns:
        The index; None where times are missing or jump, so that the file can only be decoded from start to
        end.

    Raises:
        MemoryError: Where ffmpeg gets no memory.
    """
    if video.time_base is None:
        return None
    if format_name in ("MP4", "Matroska"):
        found = _from_container(container, video, format_name, sparing)
        if found is not None:
            return found
    scan = _scan(container, video, None)
    if scan is None or not scan.keys_s:
        return None
    exactly = format_name in ("MP4", "Matroska", "Ogg")
    return VideoIndex(ListedKeyTimes(scan.keys_s), scan.end_s, scan.shown_until_s, exactly)


def _from_container(
    container: av.container.InputContainer,
    video: av.video.stream.VideoStream,
    format_name: str,
    sparing: bool,
) -> VideoIndex | None:
    first = next(packets(container, video, lambda: None), None)
    if first is None or first.pts is None or first.dts is None:
        return None
    # Matroska reads its cues at the first seek.
    seek(container, video, _LONGEST_STEP_S * 1e4)
    entries, slack_s = video.index_entries, 0.0
    if not len(entries):
        return None
    if format_name == "MP4":
        # Fragmented files are indexed as they are read: no number of frames, no full index.
        if not 0 < video.frames <= len(entries):
            return None
        keys = _IndexedKeyTimes(video, first.pts - first.dts)
        slack_s = 2 * (first.pts - first.dts) * StreamClock.of(video).base_s
    else:
        keys = _IndexedKeyTimes(video, 0)
        last_s = StreamClock.of(video).seconds(entries[len(entries) - 1].timestamp) or 0.0
        sparse = last_s / len(entries) > _TRUSTED_SPACING_S
        if sparse and not (sparing and _lists_all(container, video, keys)):
            return None
    last_key_s = keys.at_or_before(_LONGEST_STEP_S * 1e4)
    tail = _scan(container, video, last_key_s)
    if tail is None or not tail.keys_s or tail.end_s < last_key_s - 1.0:
        return None
    return VideoIndex(keys, tail.end_s, tail.shown_until_s, True, slack_s)


def _lists_all(
    container: av.container.InputContainer, video: av.video.stream.VideoStream, keys: KeyTimes
) -> bool:
    """Whether some groups of pictures across the film hold no keyframe that the index leaves out."""
    clock, end_s = StreamClock.of(video), keys.at_or_before(_LONGEST_STEP_S * 1e4)
    for share in _CHECKED_SHARES:
        start_s = keys.at_or_before(share * end_s)
        next_s = keys.after(start_s)
        if next_s is None:
            return False
        seek(container, video, start_s)
        for packet in packets(container, video, lambda: None):
            at_s = clock.seconds(packet.pts)
            if at_s is None or (packet.is_keyframe and start_s + _SAME_S < at_s < next_s - _SAME_S):
                return False
            if packet.is_keyframe and at_s >= next_s - _SAME_S:
                break
    return True


@dataclass(slots=True)
class _Scan:
    keys_s: "array[float]"
    end_s: float = 0.0
    shown_until_s: float = 0.0

    def add(self, at_s: float, shown_s: float, is_key: bool) -> None:
        if is_key and (not self.keys_s or at_s > self.keys_s[-1]):
            self.keys_s.append(at_s)
            if len(self.keys_s) > _MAX_KEYS:
                self.keys_s = self.keys_s[::2]
        self.end_s = max(self.end_s, at_s)
        self.shown_until_s = max(self.shown_until_s, at_s + shown_s)


def _scan(
    container: av.container.InputContainer, video: av.video.stream.VideoStream, from_s: float | None
) -> _Scan | None:
    """Read all packets from a time on; None where their times cannot be relied on."""
    seek(container, video, from_s or 0.0)
    clock, scan = StreamClock.of(video), _Scan(array("d"))
    last_s: float | None = None
    for packet in packets(container, video, lambda: None):
        if packet.is_corrupt:
            continue
        at_s, decode_s = clock.seconds(packet.pts), clock.seconds(packet.dts)
        if at_s is None:
            return None
        if decode_s is not None:
            if last_s is not None and not 0 <= decode_s - last_s <= _LONGEST_STEP_S:
                return None
            last_s = decode_s
        scan.add(max(at_s, 0.0), (packet.duration or 0) * clock.base_s, packet.is_keyframe)
    return scan


__all__ = ["VideoIndex", "read_index"]

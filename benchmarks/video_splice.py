"""One film from the packets of many reels, without encoding anything again."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av


@dataclass(frozen=True, slots=True)
class _Packets:
    """A reel's packets in the order of decoding, with the number of the frame that each holds."""

    content: list[bytes]
    frame: list[int]
    key: list[bool]

    @property
    def delay(self) -> int:
        """By how many frames decoding has to be ahead of showing."""
        return max(max(order - frame for order, frame in enumerate(self.frame)), 0)


def splice(
    reels: Sequence[Path], target: Path, muxer: str, rate: int, advance: Callable[[], None] = lambda: None
) -> None:
    """Write a film.

    Args:
        reels: Matroska files of one codec, size and rate, each starting with a keyframe and referring to
            nothing outside; repeated ones are read once.
        target: The file to write; appears only when it is complete.
        muxer: ffmpeg's name of the container.
        rate: Frames per second of all of them.
        advance: Called after each reel.

    Raises:
        SystemExit: Where a reel is not as asked for.
    """
    known = {reel: _read(reel, rate) for reel in dict.fromkeys(reels)}
    # One for all: decoding times have to ascend where a reel with reordered frames follows one without.
    delay = max(packets.delay for packets in known.values())
    partial = target.with_name(f"{target.name}.{os.getpid()}.part")
    base = Fraction(1, rate)
    start = 0
    with av.open(str(reels[0])) as source, av.open(str(partial), "w", format=muxer) as output:
        # Opaque: some codecs can be decoded here and not encoded.
        stream = output.add_stream_from_template(source.streams.video[0], opaque=True)
        stream.time_base = base
        for reel in reels:
            packets = known[reel]
            for order, content in enumerate(packets.content):
                packet = av.Packet(content)
                packet.stream, packet.time_base = stream, base
                packet.pts = start + packets.frame[order]
                packet.dts, packet.duration = start + order - delay, 1
                packet.is_keyframe = packets.key[order]
                output.mux(packet)
            start += len(packets.content)
            advance()
    partial.replace(target)


def _read(reel: Path, rate: int) -> _Packets:
    """Matroska rounds times to milliseconds; frame numbers are exact again."""
    packets = _Packets([], [], [])
    with av.open(str(reel)) as container:
        for packet in container.demux(container.streams.video[0]):
            if packet.pts is not None and packet.time_base is not None and packet.size:
                packets.content.append(bytes(packet))
                packets.frame.append(round(packet.pts * packet.time_base * rate))
                packets.key.append(packet.is_keyframe)
    if sorted(packets.frame) != list(range(len(packets.frame))) or not packets.key[0]:
        raise SystemExit(f"{reel.name} does not hold one frame after the other from a keyframe on")
    return packets


__all__ = ["splice"]

"""When each frame of an animation is shown, read from its headers alone; pure, except for reading the bytes.

Pillow learns the times only while it composes every frame. Known beforehand, they let us refuse a bomb before
it goes off and take the wanted moments in one pass.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

# What browsers do with delays of 0 and 10 ms, and what authors of GIFs therefore see.
_SHORTEST_GIF_DELAY_MS = 20
_DEFAULT_DELAY_MS = 100
_PNG_HEADER_BYTES = 8
_WEBP_HEADER_BYTES = 12


@dataclass(frozen=True, slots=True)
class Timeline:
    """The frames of an animation.

    Attributes:
        width_px: Width of the canvas in pixels.
        height_px: Height of the canvas in pixels.
        durations_ms: How long each frame is shown, in order; frames beyond the end of the file are not
            listed.
        complete: True where the file's own end was reached.
    """

    width_px: int
    height_px: int
    durations_ms: tuple[int, ...]
    complete: bool

    @property
    def starts_s(self) -> tuple[float, ...]:
        """When each frame starts, in seconds; the first at 0."""
        starts_ms, now_ms = [], 0
        for duration_ms in self.durations_ms:
            starts_ms.append(now_ms)
            now_ms += duration_ms
        return tuple(start_ms / 1000 for start_ms in starts_ms)

    @property
    def duration_s(self) -> float:
        """Length of one round in seconds."""
        return sum(self.durations_ms) / 1000


def read_timeline(content: bytes, format_name: str) -> Timeline | None:
    """Read the frames of an animation.

    Args:
        content: The whole file.
        format_name: `GIF`, `PNG` or `WEBP`, as `sniff` names it.

    Returns:
        Its timeline, None where the headers make no sense.
    """
    readers = {"GIF": _gif, "PNG": _png, "WEBP": _webp}
    try:
        return readers[format_name](content)
    except (struct.error, IndexError):
        return None


def _gif(content: bytes) -> Timeline:
    """GIF89a, section 15 ff.: blocks of sub-blocks; the delay stands in the extension before its picture."""
    width_px, height_px, flags = struct.unpack_from("<HHB", content, 6)
    position = 13 + _gif_palette_bytes(flags)
    durations_ms: list[int] = []
    delay_ms = _DEFAULT_DELAY_MS
    complete = False
    try:
        while True:
            block = content[position]
            if block == 0x3B:
                complete = True
                break
            if block == 0x21:
                if content[position + 1] == 0xF9:
                    (centiseconds,) = struct.unpack_from("<H", content, position + 4)
                    delay_ms = centiseconds * 10
                position = _after_sub_blocks(content, position + 2)
            elif block == 0x2C:
                position += 10 + _gif_palette_bytes(content[position + 9])
                durations_ms.append(_DEFAULT_DELAY_MS if delay_ms < _SHORTEST_GIF_DELAY_MS else delay_ms)
                delay_ms = _DEFAULT_DELAY_MS
                position = _after_sub_blocks(content, position + 1)
            else:
                position += 1
    except (struct.error, IndexError):
        pass
    return Timeline(width_px, height_px, tuple(durations_ms), complete)


def _gif_palette_bytes(flags: int) -> int:
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


def _after_sub_blocks(content: bytes, position: int) -> int:
    while content[position]:
        position += 1 + content[position]
    return position + 1


def _png(content: bytes) -> Timeline:
    """APNG: one `fcTL` chunk a frame; a denominator of 0 means hundredths of a second."""
    width_px, height_px = struct.unpack_from(">II", content, 16)
    durations_ms: list[int] = []
    complete = False
    position = _PNG_HEADER_BYTES
    while position + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, position)
        if kind == b"IEND":
            complete = True
            break
        if kind == b"fcTL" and position + 34 <= len(content):
            numerator, denominator = struct.unpack_from(">HH", content, position + 8 + 20)
            durations_ms.append(round(1000 * numerator / (denominator or 100)) or _DEFAULT_DELAY_MS)
        position += 12 + length
    return Timeline(width_px, height_px, tuple(durations_ms), complete)


def _webp(content: bytes) -> Timeline:
    """WebP: one `ANMF` chunk a frame, its duration in 24 bits of milliseconds."""
    width_px = 1 + int.from_bytes(content[24:27], "little")
    height_px = 1 + int.from_bytes(content[27:30], "little")
    durations_ms: list[int] = []
    complete = True
    for kind, start, length in _riff_chunks(content):
        if start + length > len(content):
            complete = False
        if kind == b"ANMF" and start + 16 <= len(content):
            durations_ms.append(
                int.from_bytes(content[start + 12 : start + 15], "little") or _DEFAULT_DELAY_MS
            )
    return Timeline(width_px, height_px, tuple(durations_ms), complete)


def _riff_chunks(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    position = _WEBP_HEADER_BYTES
    while position + 8 <= len(content):
        kind, length = struct.unpack_from("<4sI", content, position)
        yield kind, position + 8, length
        position += 8 + length + (length & 1)


__all__ = ["Timeline", "read_timeline"]

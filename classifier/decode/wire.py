"""The messages between the pool and its workers: a small header, JSON, and raw pixels; no pickle.

A worker that a hostile file has taken over may send anything. Unpickling that would hand over the whole
daemon, so the pool reads lengths and plain values only, and checks each of them.

A message is `kind` (1 byte), length of the JSON (4 bytes, big endian), length of the pixels (4 bytes), then
both. Pixels may instead lie in a slot of the shared area, which the JSON then names.
"""

import json
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from classifier.decode.coverage import Looks
from classifier.decode.picture import Report
from classifier.decode.segments import MAX_LOOKS, MAX_SEGMENTS
from classifier.errors import DECODE_CODES, DecodeCode
from classifier.values import CoverageMode, Frame, MediaKind

HEADER = struct.Struct(">cII")
READY, FRAMES, END, FAILED, BROKEN, NEED = b"R", b"F", b"E", b"X", b"B", b"N"
NEED_BYTES = 65536
"""A worker asks for missing bytes in multiples of this, and for the same ones only once."""
MAX_JSON_BYTES = 65536
MAX_PIXEL_BYTES = 64 * 1024 * 1024
MAX_FRAMES_PER_MESSAGE = 8
_KINDS: Mapping[str, MediaKind] = {
    "image": "image",
    "animation": "animation",
    "video": "video",
    "document": "document",
}
_DECODERS = frozenset({"", "pillow", "pillow-1/2", "pillow-1/4", "pillow-1/8", "opencv", "pyav"})
_MODES: Mapping[object, CoverageMode] = {"": "", "exact": "exact", "economical": "economical"}
_MAX_SIDE_PX = 4096
_MAX_MS = 10**15


class WireError(Exception):
    """A message makes no sense; whoever sent it is not to be trusted with another job."""


@dataclass(frozen=True, slots=True)
class Header:
    """The fixed part of a message.

    Attributes:
        kind: One of the constants above.
        json_bytes: Length of the JSON.
        pixel_bytes: Length of the pixels.
    """

    kind: bytes
    json_bytes: int
    pixel_bytes: int


@dataclass(frozen=True, slots=True)
class Status:
    """What every message of a job says besides its frames.

    Attributes:
        report: The decoder's notes so far.
        cpu_s: CPU seconds the job has taken so far.
    """

    report: Report
    cpu_s: float


def pack(kind: bytes, values: Mapping[str, Any], pixels: bytes = b"") -> bytes:
    """Build a message; pixels may also be sent separately, right behind it.

    Args:
        kind: One of the constants above.
        values: Plain values.
        pixels: Raw bytes.

    Returns:
        The bytes to write.
    """
    text = json.dumps(values, separators=(",", ":")).encode("ascii")
    return HEADER.pack(kind, len(text), len(pixels)) + text + pixels


def pack_frames(frames: Sequence[Frame], status: Status, slot: int | None = None) -> bytes:
    """Build a message of frames.

    Args:
        frames: One to eight frames of equal shape.
        status: How the job stands.
        slot: Where in the shared area the pixels lie; None: they are part of the message.

    Returns:
        The bytes to write.
    """
    values = {
        **_plain(status),
        "shape": frames[0].pixels.shape,
        "frames": [[frame.at_s, frame.page] for frame in frames],
    }
    if slot is not None:
        return pack(FRAMES, {**values, "slot": slot})
    return pack(FRAMES, values, b"".join(frame.pixels.tobytes() for frame in frames))


def pack_end(status: Status, *, retire: bool = False) -> bytes:
    """Build the message that ends a job well.

    Args:
        status: How the job stands.
        retire: Whether the worker asks to be replaced.

    Returns:
        The bytes to write.
    """
    values, looks = _plain(status), status.report.looks
    if looks is not None:
        values["looks_ms"] = [time_ms for look_ms in looks.looks_ms for time_ms in look_ms]
        values |= {"end_s": looks.end_s, "allowed_gap_s": looks.allowed_gap_s}
    return pack(END, {**values, "retire": True} if retire else values)


def pack_need(part: int, offset: int, length: int) -> bytes:
    """Build the message that asks for bytes that are not on the disk yet; the worker waits for the answer.

    Args:
        part: Number of the part of the job, from 0.
        offset: Where the bytes begin.
        length: How many.

    Returns:
        The bytes to write.
    """
    return pack(NEED, {"part": part, "offset": offset, "length": length})


def unpack_header(content: bytes) -> Header:
    """Read the fixed part of a message.

    Args:
        content: `HEADER.size` bytes.

    Returns:
        The header, its lengths within bounds.

    Raises:
        WireError: Where it is none.
    """
    kind, json_bytes, pixel_bytes = HEADER.unpack(content)
    if kind not in (READY, FRAMES, END, FAILED, BROKEN, NEED):
        raise WireError(f"unknown kind of message {kind!r}")
    if json_bytes > MAX_JSON_BYTES or pixel_bytes > MAX_PIXEL_BYTES or (pixel_bytes and kind != FRAMES):
        raise WireError(f"a message of {json_bytes} + {pixel_bytes} bytes")
    return Header(kind, json_bytes, pixel_bytes)


def unpack_values(content: bytes) -> dict[str, Any]:
    """Read the JSON of a message.

    Args:
        content: Its bytes.

    Returns:
        The object.

    Raises:
        WireError: Where it is no JSON object.
    """
    try:
        values = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise WireError(f"no JSON: {error}") from error
    if not isinstance(values, dict):
        raise WireError("not a JSON object")
    return values


def unpack_status(values: Mapping[str, Any]) -> Status:
    """Read how a job stands.

    Args:
        values: From a message of frames or of the end.

    Returns:
        The status.

    Raises:
        WireError: Where a value is missing or of the wrong kind.
    """
    kind, decoder, truncated = values.get("kind"), values.get("decoder"), values.get("truncated")
    if not isinstance(kind, str) or not isinstance(decoder, str) or not isinstance(truncated, bool):
        raise WireError("a report without kind, decoder or truncated")
    if kind not in _KINDS or decoder not in _DECODERS:
        raise WireError(f"a report of kind {kind!r} by {decoder!r}")
    mode, share = values.get("mode", ""), _seconds(values.get("covered_share"))
    if not isinstance(mode, str) or mode not in _MODES or (share is not None and share > 1):
        raise WireError(f"a report of mode {mode!r}, share {share!r}")
    segments = values.get("segments", 1)
    if type(segments) is not int or not 1 <= segments <= MAX_SEGMENTS:
        raise WireError(f"a film in {segments!r} segments")
    return Status(
        Report(
            _KINDS[kind],
            decoder,
            _seconds(values.get("duration_s")),
            truncated,
            _MODES[mode],
            _seconds(values.get("largest_gap_s")),
            share,
            segments,
            _looks(values),
        ),
        _seconds(values.get("cpu_s")) or 0.0,
    )


def unpack_place(values: Mapping[str, Any], slots: int, slot_bytes: int) -> tuple[int, int] | None:
    """Read where in the shared area the pixels of a message lie.

    Args:
        values: From a message of frames.
        slots: How many slots there are.
        slot_bytes: Size of each.

    Returns:
        Slot and number of bytes, both within bounds; None where the pixels are part of the message.

    Raises:
        WireError: Where they are out of bounds or the values do not fit each other.
    """
    if "slot" not in values:
        return None
    slot = values["slot"]
    if type(slot) is not int or not 0 <= slot < slots:
        raise WireError(f"frames in slot {slot!r}")
    shape, rows = _described(values)
    size_bytes = len(rows) * shape[0] * shape[1] * shape[2]
    if size_bytes > slot_bytes:
        raise WireError(f"frames of {size_bytes} bytes in a slot of {slot_bytes}")
    return slot, size_bytes


def unpack_frames(values: Mapping[str, Any], pixels: bytearray) -> list[Frame]:
    """Read the frames of a message.

    Args:
        values: Its JSON.
        pixels: Its pixels; the frames are views on them, not copies.

    Returns:
        One to eight frames.

    Raises:
        WireError: Where the values do not fit each other.
    """
    shape, rows = _described(values)
    if len(pixels) != len(rows) * shape[0] * shape[1] * shape[2]:
        raise WireError("pixels do not fill the frames")
    arrays = np.frombuffer(pixels, np.uint8).reshape(len(rows), *shape)
    frames = []
    for array, row in zip(arrays, rows, strict=True):
        if not (isinstance(row, list) and len(row) == 2):
            raise WireError("a frame without time and page")
        page = row[1]
        if page is not None and (type(page) is not int or page < 1):
            raise WireError(f"a frame on page {page!r}")
        frames.append(Frame(array, _seconds(row[0]), page))
    return frames


def unpack_need(values: Mapping[str, Any], sizes: Sequence[int | None]) -> tuple[int, int, int]:
    """Read which bytes a worker asks for.

    Args:
        values: From a message that asks.
        sizes: Size in bytes of each part of the job, None for one that is whole.

    Returns:
        Number of the part, offset and length, all within the file.

    Raises:
        WireError: Where there are no such bytes.
    """
    part, offset, length = values.get("part"), values.get("offset"), values.get("length")
    if type(part) is not int or type(offset) is not int or type(length) is not int:
        raise WireError("a question for bytes without part, offset or length")
    size_bytes = sizes[part] if 0 <= part < len(sizes) else None
    if size_bytes is None or not (offset >= 0 and 0 < length <= size_bytes - offset):
        raise WireError(f"a question for {length} bytes at {offset} of part {part}")
    return part, offset, length


def unpack_failure(values: Mapping[str, Any]) -> tuple[DecodeCode, str]:
    """Read why a job failed.

    Args:
        values: From a message that says so.

    Returns:
        Code and message.

    Raises:
        WireError: Where the code is none of ours.
    """
    code, message = values.get("code"), values.get("message")
    if not isinstance(code, str) or code not in DECODE_CODES or not isinstance(message, str):
        raise WireError(f"unknown code {code!r}")
    return code, message[:1000]  # type: ignore[return-value]


def _described(values: Mapping[str, Any]) -> tuple[list[int], list[Any]]:
    """The shape of frames, and a row for each."""
    shape, rows = values.get("shape"), values.get("frames")
    if not (isinstance(shape, list) and len(shape) == 3 and all(type(side) is int for side in shape)):
        raise WireError("frames without a shape")
    if not (0 < shape[0] <= _MAX_SIDE_PX and 0 < shape[1] <= _MAX_SIDE_PX and shape[2] == 3):
        raise WireError(f"frames of shape {shape}")
    if not (isinstance(rows, list) and 0 < len(rows) <= MAX_FRAMES_PER_MESSAGE):
        raise WireError("no frames, or too many")
    return shape, rows


def _looks(values: Mapping[str, Any]) -> Looks | None:
    """What a job has looked at, where it says so."""
    times_ms = values.get("looks_ms")
    if times_ms is None:
        return None
    if not (isinstance(times_ms, list) and len(times_ms) % 2 == 0 and len(times_ms) <= 2 * MAX_LOOKS):
        raise WireError("no looks, or too many")
    if not all(type(time_ms) is int and 0 <= time_ms <= _MAX_MS for time_ms in times_ms):
        raise WireError("looks at no time")
    end_s, allowed_gap_s = _seconds(values.get("end_s")), _seconds(values.get("allowed_gap_s"))
    if end_s is None or allowed_gap_s is None:
        raise WireError("looks without an end or a longest gap")
    looks_ms = tuple(zip(times_ms[::2], times_ms[1::2], strict=True))
    if any(from_ms > until_ms for from_ms, until_ms in looks_ms):
        raise WireError("a look that ends before it begins")
    return Looks(looks_ms, end_s, allowed_gap_s)


def _plain(status: Status) -> dict[str, Any]:
    report = status.report
    cut = {} if report.segments == 1 else {"segments": report.segments}
    return cut | {
        "kind": report.kind,
        "decoder": report.decoder,
        "duration_s": report.duration_s,
        "truncated": report.truncated,
        "mode": report.mode,
        "largest_gap_s": report.largest_gap_s,
        "covered_share": report.covered_share,
        "cpu_s": status.cpu_s,
    }


def _seconds(value: object) -> float | None:
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value) or value < 0:
        raise WireError(f"{value!r} seconds")
    return float(value)


__all__ = [
    "BROKEN",
    "END",
    "FAILED",
    "FRAMES",
    "HEADER",
    "MAX_FRAMES_PER_MESSAGE",
    "NEED",
    "NEED_BYTES",
    "READY",
    "Header",
    "Status",
    "WireError",
    "pack",
    "pack_end",
    "pack_frames",
    "pack_need",
    "unpack_failure",
    "unpack_frames",
    "unpack_header",
    "unpack_need",
    "unpack_place",
    "unpack_status",
    "unpack_values",
]

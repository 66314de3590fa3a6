"""JSON whose long strings stay where they are: fifty pictures in base64 must not be in memory at once.

`json.loads` holds a body twice, as bytes and as strings. This reads it from a file that is mapped, and
gives a `LongText`, which is two numbers, for each string of more than a few kilobytes. Depth and number of
values are bounded.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from mmap import MADV_DONTNEED, PAGESIZE, mmap
from typing import Any, Final

LONG_BYTES: Final = 4096
MAX_STRING_BYTES: Final = 8 * 1024**2
MAX_DEPTH: Final = 20
MAX_VALUES: Final = 20_000

Buffer = bytes | bytearray | mmap

_SPACE = re.compile(rb"[ \t\n\r]*+")
_STRING = re.compile(rb'"[^"\\\x00-\x1f]*+(?:\\.[^"\\\x00-\x1f]*+)*+"', re.DOTALL)
_PLAIN = re.compile(rb"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?|true|false|null")


class JsonError(ValueError):
    """The text is no JSON, or more of it than is read; the message says where."""


@dataclass(frozen=True, slots=True)
class LongText:
    """A string that was left in the buffer.

    Attributes:
        start: First byte behind the opening quote.
        end: The closing quote.
    """

    start: int
    end: int

    def raw(self, buffer: Buffer) -> bytes:
        """The string, with its escapes undone, as UTF-8.

        Args:
            buffer: What it was read from.

        Returns:
            Its bytes.

        Raises:
            JsonError: An escape is none.
        """
        text = bytes(buffer[self.start : self.end])
        _forget(buffer, self.start, self.end)
        if b"\\" not in text:
            return text
        return _unescaped(b'"' + text + b'"', self.start).encode("utf-8", "surrogatepass")


def _forget(buffer: Buffer, start: int, end: int) -> None:
    """Let go of what was read of a file; it comes back by itself where it is read again."""
    if isinstance(buffer, mmap):
        first = start // PAGESIZE * PAGESIZE
        buffer.madvise(MADV_DONTNEED, first, end - first)


def _unescaped(quoted: bytes, at: int) -> str:
    try:
        text = json.loads(quoted)
    except ValueError as error:
        raise JsonError(f"at byte {at}: {error}") from error
    assert isinstance(text, str)
    return text


class _Reader:
    def __init__(self, buffer: Buffer) -> None:
        self._buffer = buffer
        self._at = 0
        self._values = 0

    def whole(self) -> Any:
        value = self._value(0)
        self._skip()
        if self._at != len(self._buffer):
            raise self._wrong("something stands behind the end")
        return value

    def _wrong(self, what: str) -> JsonError:
        return JsonError(f"at byte {self._at}: {what}")

    def _skip(self) -> int:
        """Go to the next thing, and tell its first byte; 0 at the end."""
        space = _SPACE.match(self._buffer, self._at)
        assert space is not None
        self._at = space.end()
        return self._buffer[self._at] if self._at < len(self._buffer) else 0

    def _value(self, depth: int) -> Any:
        self._values += 1
        if depth > MAX_DEPTH or self._values > MAX_VALUES:
            raise self._wrong(f"more than {MAX_VALUES} values, or deeper than {MAX_DEPTH}")
        first = self._skip()
        if first == ord("{"):
            found: dict[str, Any] = {}
            self._items(b"}", lambda: self._member(found, depth))
            return found
        if first == ord("["):
            listed: list[Any] = []
            self._items(b"]", lambda: listed.append(self._value(depth + 1)))
            return listed
        if first == ord('"'):
            return self._string()
        match = _PLAIN.match(self._buffer, self._at)
        if match is None or match.end() - self._at > LONG_BYTES:
            raise self._wrong("a value is expected")
        self._at = match.end()
        return json.loads(match.group())

    def _items(self, closing: bytes, read: Callable[[], None]) -> None:
        self._at += 1
        if self._skip() == closing[0]:
            self._at += 1
            return
        while True:
            read()
            following = self._skip()
            self._at += 1
            if following == closing[0]:
                return
            if following != ord(","):
                raise self._wrong(f"',' or {closing.decode()!r} is expected")

    def _member(self, found: dict[str, Any], depth: int) -> None:
        if self._skip() != ord('"'):
            raise self._wrong("a key is expected")
        key = self._string()
        if isinstance(key, LongText):
            raise self._wrong("a key is too long")
        if self._skip() != ord(":"):
            raise self._wrong("':' is expected")
        self._at += 1
        found[key] = self._value(depth + 1)

    def _string(self) -> str | LongText:
        match = _STRING.match(self._buffer, self._at, self._at + MAX_STRING_BYTES)
        if match is None:
            raise self._wrong(
                f"a string holds a control character, or does not end within {MAX_STRING_BYTES} bytes"
            )
        start, self._at = match.span()
        if self._at - start > LONG_BYTES:
            _forget(self._buffer, 0, start)
            return LongText(start + 1, self._at - 1)
        return _unescaped(match.group(), start)


def loads(buffer: Buffer) -> Any:
    """Read a JSON text.

    Args:
        buffer: UTF-8; must stay as it is while a `LongText` of it is used.

    Returns:
        Plain values, with `LongText` in the place of long strings. Of a key that comes twice, the last
        counts.

    Raises:
        JsonError: It is no JSON, or too deep, or has too many values.
    """
    return _Reader(buffer).whole()


__all__ = ["LONG_BYTES", "JsonError", "LongText", "loads"]

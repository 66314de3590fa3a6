"""Cut a stream of bytes into raw Server-Sent Events, and take one of them apart. Pure.

Only LF, CR and CRLF end lines, as the HTML standard says; U+2028 and U+0085 are ordinary characters.
Nothing is decoded here, because nearly every event is dropped by looking at its bytes. The work is linear
in the bytes fed, however they are cut, and memory is bounded by the largest event allowed.
"""

import re
from dataclasses import dataclass

MAX_EVENT_BYTES = 8 * 1024 * 1024
_BOM = b"\xef\xbb\xbf"
_COLON = ord(":")
_RETRY_LINE = re.compile(rb"(?:\A|\n)retry: ?([0-9]{1,9})(?=\n|\Z)")


@dataclass(frozen=True, slots=True)
class RawEvent:
    """The fields of one event block.

    Attributes:
        event: Its type, `message` unless named.
        data: Its data lines, joined with LF; undecoded UTF-8.
        event_id: The value of its last `id:` line; None if it has none.
    """

    event: str
    data: bytes
    event_id: str | None


class BlockSplitter:
    """Cuts one connection's bytes at empty lines.

    Args:
        max_event_bytes: Longer events are dropped and counted.

    Attributes:
        oversized: Events dropped for their length.
        retry_ms: The last `retry:` field seen, None before one came.
    """

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_bytes = max_event_bytes
        self._pending = bytearray()
        self._after_cr = False
        self._skipping = False
        self.oversized = 0
        self.retry_ms: int | None = None

    def feed(self, received: bytes) -> list[bytes]:
        """Take bytes in and give out what they complete.

        Args:
            received: The next bytes of the stream, cut anywhere.

        Returns:
            Complete blocks in order, lines divided by LF; blocks of nothing but one comment are left out.
        """
        if self._after_cr or b"\r" in received:
            received = self._with_lf_only(received)
        pending = self._pending
        scan_from = max(len(pending) - 1, 0)
        pending += received
        cut = pending.rfind(b"\n\n", scan_from)
        if cut < 0:
            if len(pending) > self._max_bytes:
                self._skip()
            return []
        complete = bytes(pending[:cut])
        del pending[: cut + 2]
        if b"retry:" in complete:
            for found in _RETRY_LINE.finditer(complete):
                self.retry_ms = int(found[1])
        blocks = complete.split(b"\n\n")
        if self._skipping:
            self._skipping = False
            del blocks[0]
        if len(complete) > self._max_bytes:
            self.oversized += sum(len(block) > self._max_bytes for block in blocks)
            blocks = [block for block in blocks if len(block) <= self._max_bytes]
        return [block for block in blocks if block and (block[0] != _COLON or b"\n" in block)]

    def _with_lf_only(self, received: bytes) -> bytes:
        """A CRLF may be cut in two: the LF after a CR that ended the previous read is no second line end."""
        if not received:
            return received
        if self._after_cr and received.startswith(b"\n"):
            received = received[1:]
            if not received:
                self._after_cr = False
                return received
        self._after_cr = received.endswith(b"\r")
        return received.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _skip(self) -> None:
        """The last byte stays: it may be the first half of the empty line that ends the event."""
        if not self._skipping:
            self._skipping = True
            self.oversized += 1
        del self._pending[:-1]


def parse_block(block: bytes) -> RawEvent:
    """Take an event block apart as the standard says.

    Args:
        block: As `BlockSplitter.feed` gives it.

    Returns:
        The fields; unknown ones and comments are ignored, and so is an id with a NUL in it.
    """
    event = "message"
    data: list[bytes] = []
    event_id: str | None = None
    for line in block.removeprefix(_BOM).split(b"\n"):
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            data.append(value)
        elif name == b"id":
            if b"\0" not in value:
                event_id = value.decode("utf-8", "replace")
        elif name == b"event":
            event = value.decode("utf-8", "replace") or "message"
    return RawEvent(event, b"\n".join(data), event_id)


__all__ = ["MAX_EVENT_BYTES", "BlockSplitter", "RawEvent", "parse_block"]

"""Read a response's body as it arrives: as much as is there, as soon as anything is there.

urllib3's public `HTTPResponse.read1` does this for every kind of body, but gives out one HTTP chunk a call,
and EventStreams sends one chunk per line: measured, that made the whole client slower than pywikibot's. So a
plain chunked body, which is what EventStreams sends, is read from the buffered socket below urllib3, 64 KiB
at a time, and the chunks are undone here. Everything else, compressed bodies above all, goes through urllib3;
so does everything if a later urllib3 hides its socket.
"""

import io
from collections.abc import Callable
from typing import Any

READ_BYTES = 1 << 16
MAX_HEAD_BYTES = 8192
_LINE_END = b"\r\n"


class ChunkError(ValueError):
    """What should be a chunk is none: the connection is of no further use."""


class ChunkDecoder:
    """Undoes the chunked transfer coding (RFC 9112, section 7.1), however its bytes are cut.

    Chunk extensions and the trailer section are skipped; they mean nothing to an event stream.

    Attributes:
        finished: The last chunk has come; whatever follows it is ignored.
    """

    def __init__(self) -> None:
        self._head = b""
        self._left_bytes = 0
        self._after_chunk = 0
        self.finished = False

    def feed(self, received: bytes) -> bytes:
        """Take bytes in and give out what they carry.

        Args:
            received: The next bytes of the connection, cut anywhere.

        Returns:
            The payload among them; empty where they hold nothing but a part of a chunk's head.

        Raises:
            ChunkError: A chunk's head is malformed or endless.
        """
        if self._head:
            received = self._head + received
            self._head = b""
        payload: list[bytes] = []
        at, end = 0, len(received)
        while at < end and not self.finished:
            if self._left_bytes:
                piece = received[at : at + self._left_bytes]
                payload.append(piece)
                at += len(piece)
                self._left_bytes -= len(piece)
                continue
            size_at = at + self._after_chunk
            size_end = received.find(_LINE_END, size_at)
            if size_end < 0:
                self._keep(received[at:])
                break
            if received[at:size_at] != _LINE_END[: self._after_chunk]:
                raise ChunkError(f"no line end after a chunk but {received[at:size_at]!r}")
            self._left_bytes = _chunk_size(received[size_at:size_end])
            self._after_chunk = len(_LINE_END)
            self.finished = self._left_bytes == 0
            at = self._take_whole_chunks(received, size_end + len(_LINE_END), payload)
        return b"".join(payload)

    def _take_whole_chunks(self, received: bytes, at: int, payload: list[bytes]) -> int:
        """Do the same for chunks that are here with the next one's size: nearly all, so this loop is bare.

        Returns:
            Where it stopped: at the payload of a chunk of which `_left_bytes` are to come.
        """
        left_bytes = self._left_bytes
        while left_bytes:
            payload_end = at + left_bytes
            size_end = received.find(_LINE_END, payload_end + 2)
            if size_end < 0 or received[payload_end : payload_end + 2] != _LINE_END:
                break
            payload.append(received[at:payload_end])
            left_bytes = _chunk_size(received[payload_end + 2 : size_end])
            at = size_end + 2
            self.finished = left_bytes == 0
        self._left_bytes = left_bytes
        return at

    def _keep(self, head: bytes) -> None:
        if len(head) > MAX_HEAD_BYTES:
            raise ChunkError("the head of a chunk does not end")
        self._head = head


def _chunk_size(text: bytes) -> int:
    try:
        size_bytes = int(text, 16)
    except ValueError:
        try:
            size_bytes = int(text.partition(b";")[0], 16)
        except ValueError:
            size_bytes = -1
    if size_bytes < 0:
        raise ChunkError(f"no chunk size: {text[:40]!r}")
    return size_bytes


def body_reader(raw: Any) -> Callable[[], bytes]:
    """Find the best way to read a body.

    Args:
        raw: A `urllib3.HTTPResponse` whose body is still unread.

    Returns:
        A function that waits until something is there and returns it decoded; empty at the end of the body,
        also where the connection ended before. It raises what urllib3 and sockets raise, and `ChunkError`.
    """
    buffered = getattr(getattr(raw, "_original_response", None), "fp", None)
    plain = raw.headers.get("Content-Encoding", "identity").strip().lower() in ("", "identity")
    if not (raw.chunked and plain and isinstance(buffered, io.BufferedReader)):
        return lambda: raw.read1(READ_BYTES, decode_content=True) or b""
    decoder = ChunkDecoder()

    def read() -> bytes:
        while not decoder.finished:
            received = buffered.read1(READ_BYTES)
            if not received:
                break
            if payload := decoder.feed(received):
                return payload
        return b""

    return read


__all__ = ["READ_BYTES", "ChunkDecoder", "ChunkError", "body_reader"]

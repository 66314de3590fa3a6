"""The media host: originals, old versions, thumbnails and transcodes, with faults per file.

Refuses what Wikimedia's upload host refuses: no User-Agent or the bare one of a library, and thumbnail widths
other than the standard steps. Single ranges of bytes are handed out, with an entity tag that tells versions
apart.
"""

import hashlib
import re
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from bot.minicommons.imageinfo import thumbnail_width
from bot.minicommons.plan import MediaFault
from bot.minicommons.thumbnails import Thumbnails, Unrenderable, thumbnail_type
from bot.minicommons.titles import THUMBNAIL_STEPS, MediaAddress, parse_address
from bot.minicommons.wiki import MiniWiki, Version

_SLOW_PIECES = 20
_RANGE = re.compile(r"bytes=([0-9]{1,18})-([0-9]{1,18})?")


@dataclass(frozen=True, slots=True)
class MediaAnswer:
    """What is sent for one request.

    Attributes:
        kind: Kind of address, for the statistics.
        status: HTTP status.
        content_type: Content-Type header.
        body: The bytes.
        headers: Further headers.
        slow_s: Seconds over which the body is dribbled; 0 sends it at once.
        cut: Whether the connection is closed half way through the body.
    """

    kind: str
    status: int
    content_type: str = "text/html; charset=utf-8"
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    slow_s: float = 0
    cut: bool = False


def _failed(kind: str, status: int, reason: str, headers: tuple[tuple[str, str], ...] = ()) -> MediaAnswer:
    body = f"<html><body><h1>{status}</h1><p>{reason}</p></body></html>".encode()
    return MediaAnswer(kind, status, body=body, headers=headers)


class MediaServer:
    """Answers requests under `/wikipedia/commons/`.

    Args:
        wiki: The wiki's state.
        thumbnails: Renders them.
    """

    def __init__(self, wiki: MiniWiki, thumbnails: Thumbnails) -> None:
        self._wiki = wiki
        self._thumbnails = thumbnails
        self._lock = threading.Lock()
        self._outage = MediaFault()

    def set_outage(self, fault: MediaFault) -> None:
        """Let the whole host misbehave, whatever file is asked for."""
        with self._lock:
            self._outage = fault

    def _take_outage(self) -> MediaFault | None:
        with self._lock:
            if self._outage.kind == "none" or self._outage.times == 0:
                return None
            taken = self._outage
            if taken.times > 0:
                self._outage = replace(taken, times=taken.times - 1)
            return taken

    def answer(self, path: str, agent: str, asked_range: str = "", if_range: str = "") -> MediaAnswer:
        """Answer a request.

        Args:
            path: Percent-encoded path without the query.
            agent: The User-Agent header, empty where there is none.
            asked_range: The Range header, empty where there is none.
            if_range: The If-Range header, empty where there is none.

        Returns:
            What to send.
        """
        address = parse_address(path)
        kind = f"media:{address.kind}" if address else "media:unknown"
        if not agent.strip() or agent.startswith("python-requests"):
            return _failed(kind, 403, "Please set a user-agent and respect our robot policy")
        found = self._wiki.version_at(address.name, archived=address.archived) if address else None
        fault = self._take_outage() or (self._wiki.take_fault(found[0]) if found else None)
        if fault and fault.kind in {"status", "redirect"}:
            return _faulty(kind, fault)
        if address is None or found is None or found[1].suppressed:
            return _failed(kind, 404, "File not found")
        if fault and fault.kind == "unrenderable" and address.kind == "thumb":
            return _failed(kind, 500, "Error generating thumbnail")
        answered = self._bytes_of(kind, address, found[1])
        if not (fault and fault.kind == "no_ranges"):
            answered = _piece(answered, asked_range, if_range)
        if fault and fault.kind == "slow":
            return replace(answered, slow_s=fault.seconds)
        if fault and fault.kind == "truncated":
            return replace(answered, cut=True)
        return answered

    def _bytes_of(self, kind: str, address: MediaAddress, version: Version) -> MediaAnswer:
        file = version.file
        if address.kind == "thumb":
            return self._thumbnail(kind, address, version)
        if address.kind == "transcoded":
            transcode = next((t for t in file.transcodes if t.key == address.transcode), None)
            if transcode is None:
                return _failed(kind, 404, "No such transcode")
            body = (self._wiki.directory / transcode.path).read_bytes()
            return MediaAnswer(kind, 200, transcode.mime.partition(";")[0], body)
        body = (self._wiki.directory / file.path).read_bytes() + version.suffix
        return MediaAnswer(kind, 200, file.mime, body)

    def _thumbnail(self, kind: str, address: MediaAddress, version: Version) -> MediaAnswer:
        file, width = version.file, address.width or 0
        if width not in THUMBNAIL_STEPS and width != thumbnail_width(file, width):
            return _failed(kind, 400, "Use thumbnail steps listed on https://w.wiki/GHai")
        try:
            body = self._thumbnails.render(file, width, address.page)
        except Unrenderable as error:
            return _failed(kind, 500, f"Error generating thumbnail: {error}")
        return MediaAnswer(kind, 200, thumbnail_type(file.mime), body)


def _piece(whole: MediaAnswer, asked_range: str, if_range: str) -> MediaAnswer:
    """The range that was asked for; the whole where none was, or not one of this version."""
    if whole.status != 200:
        return whole
    size, tag = len(whole.body), f'"{hashlib.md5(whole.body, usedforsecurity=False).hexdigest()}"'
    told = (*whole.headers, ("ETag", tag), ("Accept-Ranges", "bytes"))
    match = _RANGE.fullmatch(asked_range)
    if match is None or if_range not in {"", tag}:
        return replace(whole, headers=told)
    start, last = int(match[1]), min(int(match[2] or size), size - 1)
    if start > last:
        return _failed(whole.kind, 416, "No such range", (("Content-Range", f"bytes */{size}"),))
    told += (("Content-Range", f"bytes {start}-{last}/{size}"),)
    return replace(whole, status=206, body=whole.body[start : last + 1], headers=told)


def _faulty(kind: str, fault: MediaFault) -> MediaAnswer:
    if fault.kind == "redirect":
        return _failed(kind, 302, "Moved", (("Location", fault.location or "/"),))
    headers = () if fault.retry_after_s is None else (("Retry-After", str(fault.retry_after_s)),)
    return _failed(kind, fault.status, "Too many requests" if fault.status == 429 else "Unavailable", headers)


def send_body(sock: socket.socket, answer: MediaAnswer, stopping: Callable[[], bool]) -> bool:
    """Put a body on the wire, at the pace the fault wants.

    Args:
        sock: The client's socket.
        answer: What is sent.
        stopping: Tells that the server is about to stop.

    Returns:
        False where the connection has to be closed, because the body was cut.
    """
    if answer.cut:
        sock.sendall(answer.body[: len(answer.body) // 2])
        return False
    if not answer.slow_s:
        sock.sendall(answer.body)
        return True
    size = max(1, -(-len(answer.body) // _SLOW_PIECES))
    for start in range(0, len(answer.body), size):
        if stopping():
            return False
        sock.sendall(answer.body[start : start + size])
        time.sleep(answer.slow_s / _SLOW_PIECES)
    return True

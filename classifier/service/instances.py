"""Pictures in base64, as both inference protocols send them: decoded one at a time, when their turn comes."""

import base64
import binascii
from collections.abc import Iterator
from contextlib import contextmanager
from mmap import mmap
from typing import Any, Final

from classifier.service.long_json import JsonError, LongText
from classifier.service.parts import MIB, ServiceLimits
from classifier.service.problems import Problem
from classifier.service.sources import Fetched
from classifier.service.upload import Spool, Upload

_WHITESPACE: Final = b" \t\r\n"


def body_bytes(limits: ServiceLimits) -> int:
    """The most that a body of a full request may have: base64 takes four bytes for three."""
    return limits.instances * limits.instance_bytes * 4 // 3 + MIB


@contextmanager
def opened(text: str | LongText, buffer: bytearray | mmap, spool: Spool, max_bytes: int) -> Iterator[Fetched]:
    """Decode one picture and have it on the disk; blocks.

    Args:
        text: Base64, or where it lies.
        buffer: Where.
        spool: Where the file goes.
        max_bytes: The most it may have, decoded.

    Yields:
        The file.

    Raises:
        Problem: It is no base64, too large, or empty.
    """
    length = len(text) if isinstance(text, str) else text.end - text.start
    # Line breaks, and escaped slashes, may make it longer than it need be; by how much is bounded.
    if length > max_bytes * 2:
        raise _too_large(max_bytes)
    upload = Upload(spool, max_bytes)
    try:
        try:
            raw = text.encode("ascii") if isinstance(text, str) else text.raw(buffer)
            upload.add(base64.b64decode(raw.translate(None, _WHITESPACE), validate=True))
        except (binascii.Error, UnicodeEncodeError, JsonError):
            raise Problem("invalid_request", "the picture is no base64") from None
        except Problem:
            raise _too_large(max_bytes) from None
        with upload.opened() as fetched:
            yield fetched
    finally:
        upload.close()


def words(value: Any, buffer: bytearray | mmap, most: int) -> str | None:
    """What a caller calls something, to be repeated in the answer; None where it says nothing of use."""
    if isinstance(value, LongText):
        try:
            value = value.raw(buffer)[:most].decode("utf-8", "replace")
        except JsonError:
            return None
    return value[:most] if isinstance(value, str) else None


def _too_large(max_bytes: int) -> Problem:
    return Problem("too_large", f"a picture may have {max_bytes} bytes, decoded")


__all__ = ["body_bytes", "opened", "words"]

"""Pictures in base64, as both inference protocols send them: decoded one at a time, when their turn comes."""

import base64
import binascii
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from mmap import mmap
from typing import Any, Final

from starlette.requests import Request

from classifier.service.answers import Scored
from classifier.service.asking import Asked, while_connected
from classifier.service.lanes import Item, each, lanes
from classifier.service.long_json import JsonError, LongText
from classifier.service.parts import MIB, ServiceLimits
from classifier.service.problems import Problem
from classifier.service.service import service_of
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


async def scored(
    request: Request, wishes: Asked, texts: Sequence[str | LongText], buffer: bytearray | mmap
) -> list[Scored | Problem]:
    """Score the pictures of a request, once its caller may have so many.

    Args:
        request: The request, its body read.
        wishes: What it asks for.
        texts: The pictures in base64, or where they lie.
        buffer: Where.

    Returns:
        A score or a problem for each, in their order.

    Raises:
        AccessDenied: They are over the caller's quota.
        Problem: `overloaded`.
        DeadlineExceeded: They were not done in time.
    """
    service = service_of(request)
    await service.admit(request, "classify", len(texts))
    service.desk.admission.check(lanes(service, len(texts)))
    work: list[Item] = [
        partial(
            service.desk.file,
            partial(opened, text, buffer, service.spool, service.limits.instance_bytes),
            wishes.wanted,
            wishes.deadline,
            admitted=True,
        )
        for text in texts
    ]
    return await while_connected(request, wishes.deadline, each(service, work))


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


__all__ = ["body_bytes", "opened", "scored", "words"]

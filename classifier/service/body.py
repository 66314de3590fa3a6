"""Receives a request's body piece by piece, with an end to its size, its silence and its time.

What is refused is refused as soon as that is known: by the announced length, else at the first byte too many.
The rest is not looked at; uvicorn throws it away as it comes, so that the client gets to read the answer,
unless `observing` ends the connection.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Final

from starlette.requests import ClientDisconnect, Request

from classifier.service.deadline import Deadline
from classifier.service.parts import ServiceLimits
from classifier.service.problems import Problem

_MOST_DIGITS: Final = 15


def announced_bytes(request: Request) -> int | None:
    """The length that the request's head announces.

    Args:
        request: The request.

    Returns:
        Bytes, None where the head names none.
    """
    text = request.headers.get("content-length", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS else None


async def pieces(
    request: Request, max_bytes: int, limits: ServiceLimits, deadline: Deadline
) -> AsyncIterator[bytes]:
    """Receive the body.

    Args:
        request: The request; nobody else may read its body.
        max_bytes: The most it may have.
        limits: How long it may take.
        deadline: Of the request.

    Yields:
        The body, as it comes.

    Raises:
        Problem: `too_large`, or `upload_too_slow`.
        DeadlineExceeded: The request's time is over.
        ClientDisconnect: Nobody is there any more.
    """
    too_large = Problem("too_large", f"the body of a request to this address may have {max_bytes} bytes")
    if (announced_bytes(request) or 0) > max_bytes:
        raise too_large
    received, until_s = 0, time.monotonic() + limits.body_s
    while True:
        deadline.check()
        patience_s = min(limits.body_idle_s, until_s - time.monotonic(), deadline.left_s)
        try:
            async with asyncio.timeout(max(patience_s, 0)):
                message = await request.receive()
        except TimeoutError:
            deadline.check()
            detail = f"silent for {limits.body_idle_s:g} s, or not complete after {limits.body_s:g} s"
            raise Problem("upload_too_slow", detail, headers={"Connection": "close"}) from None
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        piece = message.get("body", b"")
        received += len(piece)
        if received > max_bytes:
            raise too_large
        if piece:
            yield piece
        if not message.get("more_body", False):
            return


__all__ = ["announced_bytes", "pieces"]

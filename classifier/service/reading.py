"""The bodies that requests bring, read as what they say they are."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from mmap import mmap
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from classifier.service import long_json
from classifier.service.body import pieces
from classifier.service.deadline import Deadline
from classifier.service.problems import Problem
from classifier.service.service import Service
from classifier.service.upload import Upload

JSON: Final = "application/json"
MULTIPART: Final = "multipart/form-data"
SMALL_JSON_BYTES: Final = 1024**2
_SHOWN_ERRORS: Final = 10
_ShapeT = TypeVar("_ShapeT", bound=BaseModel)


def media_type(request: Request) -> str:
    """The media type of a request's body, without parameters; empty where none is named."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def refuse_media_type(given: str, *taken: str) -> Problem:
    """Tell which bodies an address takes."""
    named = f"a body of type {given[:100]!r}" if given else "a body without Content-Type"
    detail = f"{named} is not read here; send {', '.join(taken)}"
    return Problem("unsupported_media_type", detail, headers={"Accept-Post": ", ".join(taken)})


async def received(
    request: Request, service: Service, deadline: Deadline, max_bytes: int, kept_bytes: int | None = None
) -> Upload:
    """Receive a whole body as one file.

    Args:
        request: The request.
        service: Where to.
        deadline: Of the request.
        max_bytes: The most it may have.
        kept_bytes: See `Upload`.

    Returns:
        The file; close it.

    Raises:
        Problem: It is too large, or comes too slowly.
    """
    upload = Upload(service.spool, max_bytes, *(() if kept_bytes is None else (kept_bytes,)))
    complete = False
    try:
        with service.receiving():
            async for piece in pieces(request, max_bytes, service.limits, deadline):
                upload.add(piece)
                await upload.spill()
        complete = True
    finally:
        if not complete:
            upload.close()
    return upload


@asynccontextmanager
async def long_json_body(
    request: Request, service: Service, deadline: Deadline, max_bytes: int
) -> AsyncIterator[tuple[Any, bytearray | mmap]]:
    """Read a JSON body with long strings in it, which stay on the disk.

    Args:
        request: The request.
        service: Where to.
        deadline: Of the request.
        max_bytes: The most it may have.

    Yields:
        Its values, and the buffer that each `LongText` lies in, which ends with the context.

    Raises:
        Problem: It is no JSON, or too large, or comes too slowly.
    """
    if media_type(request) != JSON:
        raise refuse_media_type(media_type(request), JSON)
    upload = await received(request, service, deadline, max_bytes)
    try:
        with upload.mapped() as buffer:
            try:
                values = await run_in_threadpool(long_json.loads, buffer)
            except long_json.JsonError as error:
                raise Problem("malformed_request", f"the body is no JSON: {error}") from error
            yield values, buffer
    finally:
        upload.close()


async def json_body(
    request: Request,
    service: Service,
    deadline: Deadline,
    shape: type[_ShapeT],
    max_bytes: int = SMALL_JSON_BYTES,
) -> _ShapeT:
    """Read a JSON body of a known shape.

    Args:
        request: The request; its media type was looked at.
        service: Where to.
        deadline: Of the request.
        shape: What it should be.
        max_bytes: The most it may have.

    Returns:
        What it says.

    Raises:
        Problem: It is no JSON, or says something else.
    """
    upload = await received(request, service, deadline, max_bytes, kept_bytes=max_bytes)
    try:
        with upload.mapped() as buffer:
            return shape.model_validate_json(bytes(buffer))
    except ValidationError as error:
        raise invalid(error) from error
    finally:
        upload.close()


def invalid(error: ValidationError) -> Problem:
    """Tell what is wrong with values, without repeating them."""
    found = [
        {"at": "/".join(str(part) for part in one["loc"]), "message": one["msg"]}
        for one in error.errors(include_url=False, include_input=False, include_context=False)[:_SHOWN_ERRORS]
    ]
    malformed = any(one["type"] == "json_invalid" for one in error.errors())
    first = f"{found[0]['at'] or 'body'}: {found[0]['message']}"
    return Problem("malformed_request" if malformed else "invalid_request", first, more={"errors": found})


__all__ = [
    "JSON",
    "MULTIPART",
    "invalid",
    "json_body",
    "long_json_body",
    "media_type",
    "received",
    "refuse_media_type",
]

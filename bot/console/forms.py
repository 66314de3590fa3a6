"""Reads a form that was sent, and no more of it than a form of ours can have."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException
from starlette.requests import Request

MAX_BYTES: Final = 32_768
MAX_FIELDS: Final = 20
TYPE: Final = "application/x-www-form-urlencoded"


async def read_form(request: Request) -> Mapping[str, str]:
    """Read the fields.

    Args:
        request: A POST.

    Returns:
        Values by name; of a name that is there twice, the last value.

    Raises:
        HTTPException: 413 where it is too large, 415 where it is none, 400 where it cannot be read.
    """
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != TYPE:
        raise HTTPException(415, "This address takes forms only.")
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BYTES:
            raise HTTPException(413, "That form is too large.")
    try:
        fields = parse_qsl(
            body.decode("utf-8"), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict"
        )
    except ValueError as error:
        raise HTTPException(400, "That form cannot be read.") from error
    return dict(fields)


__all__ = ["read_form"]

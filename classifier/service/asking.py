"""What every request may say beside its file: the level, what else to tell, and how long it waits.

Read here and not by FastAPI, which spends a third of a request's time on five parameters that most requests
do not bring. `PARAMETERS` describes them in the OpenAPI document.
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeVar

from pydantic import BaseModel, Field, ValidationError
from starlette.requests import ClientDisconnect, Request

from classifier.service.answers import Wanted
from classifier.service.deadline import Deadline
from classifier.service.reading import invalid
from classifier.service.service import service_of
from classifier.values import Level

_T = TypeVar("_T")
_TIMEOUT: Final = "X-Request-Timeout"
_WATCH_AFTER_S: Final = 0.25
"""Most requests are answered before; for them, looking whether the client is still there saves nothing."""


class _Query(BaseModel):
    level: Level | None = None
    frames: bool = False
    timing: bool = False


class _Head(BaseModel):
    timeout_s: Annotated[float, Field(gt=0, le=3600, alias=_TIMEOUT)]


def _parameter(place: str, name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {
        "in": place,
        "name": name,
        "required": False,
        "description": description,
        "schema": {"title": name, **schema},
    }


LEVEL: Final = _parameter(
    "query",
    "level",
    "Whose threshold gives the label. Without it: the operator's level.",
    {"type": "string", "enum": ["cautious", "balanced", "sensitive"]},
)
FRAMES: Final = _parameter(
    "query",
    "frames",
    "Score every frame, also after the first one over the threshold, and tell all scores.",
    {"type": "boolean", "default": False},
)
TIMING: Final = _parameter(
    "query", "timing", "Tell where the time went.", {"type": "boolean", "default": False}
)
TIMEOUT: Final = _parameter(
    "header",
    _TIMEOUT,
    "Seconds after which nobody waits any more; the server has a limit, too.",
    {"type": "number", "exclusiveMinimum": 0, "maximum": 3600},
)
IF_NONE_MATCH: Final = _parameter(
    "header", "If-None-Match", "Entity tags that the caller has.", {"type": "string"}
)
PARAMETERS: Final = (LEVEL, FRAMES, TIMING, TIMEOUT)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request asks for.

    Attributes:
        wanted: What it wants to know.
        deadline: How long it waits.
    """

    wanted: Wanted
    deadline: Deadline


def asked(request: Request) -> Asked:
    """Read query and head.

    Args:
        request: The request.

    Returns:
        What it asks for; its time begins now, and ends with the server's limit at the latest.

    Raises:
        Problem: `invalid_request`.
    """
    service = service_of(request)
    query, timeout_s = _Query(), service.limits.request_s
    try:
        if request.scope["query_string"]:
            query = _Query.model_validate(dict(request.query_params))
        if (said := request.headers.get(_TIMEOUT)) is not None:
            timeout_s = min(_Head.model_validate({_TIMEOUT: said}).timeout_s, timeout_s)
    except ValidationError as error:
        raise invalid(error) from error
    wanted = Wanted(query.level or service.parts.level, query.frames, query.timing)
    return Asked(wanted, Deadline(timeout_s))


async def while_connected(request: Request, deadline: Deadline, work: Coroutine[Any, Any, _T]) -> _T:
    """Work for a request whose body was read, as long as its client is there.

    Args:
        request: The request.
        deadline: Cancelled when the client leaves, so that threads and workers end, too.
        work: What is done.

    Returns:
        What the work returns.

    Raises:
        ClientDisconnect: Nobody waits for the answer.
        Exception: What the work raises.
    """
    working, left = asyncio.current_task(), False
    assert working is not None
    watching: asyncio.Task[None] | None = None

    async def watch() -> None:
        nonlocal left
        while (await request.receive())["type"] != "http.disconnect":
            pass
        left = True
        deadline.cancel()
        working.cancel()

    def begin() -> None:
        nonlocal watching
        watching = asyncio.create_task(watch())

    beginning = asyncio.get_running_loop().call_later(_WATCH_AFTER_S, begin)
    try:
        return await work
    except asyncio.CancelledError:
        if not left:
            deadline.cancel()
            raise
        working.uncancel()
        raise ClientDisconnect from None
    finally:
        beginning.cancel()
        if watching is not None:
            watching.cancel()


__all__ = [
    "FRAMES",
    "IF_NONE_MATCH",
    "LEVEL",
    "PARAMETERS",
    "Asked",
    "asked",
    "while_connected",
]

"""What every request may say beside its file: the level, what else to tell, and how long it waits."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Header, Query
from starlette.requests import ClientDisconnect, Request

from classifier.service.answers import Wanted
from classifier.service.deadline import Deadline
from classifier.service.service import service_of
from classifier.values import Level

_T = TypeVar("_T")

LevelQuery = Annotated[
    Level | None, Query(description="Whose threshold gives the label. Without it: the operator's level.")
]
FramesQuery = Annotated[
    bool,
    Query(description="Score every frame, also after the first one over the threshold, and tell all scores."),
]
TimingQuery = Annotated[bool, Query(description="Tell where the time went.")]
TimeoutHeader = Annotated[
    float | None,
    Header(
        gt=0, le=3600, description="Seconds after which nobody waits any more; the server has a limit, too."
    ),
]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request asks for.

    Attributes:
        wanted: What it wants to know.
        deadline: How long it waits.
    """

    wanted: Wanted
    deadline: Deadline


async def waiting_until(request: Request, x_request_timeout: TimeoutHeader = None) -> Deadline:
    """How long a request may take: what it asks for, within the server's limit."""
    most_s = service_of(request).limits.request_s
    return Deadline(most_s if x_request_timeout is None else min(x_request_timeout, most_s))


async def asked(
    request: Request,
    deadline: Annotated[Deadline, Depends(waiting_until)],
    level: LevelQuery = None,
    frames: FramesQuery = False,
    timing: TimingQuery = False,
) -> Asked:
    """Read query and headers."""
    return Asked(Wanted(level or service_of(request).parts.level, frames, timing), deadline)


DeadlineOf = Annotated[Deadline, Depends(waiting_until)]
AskedFor = Annotated[Asked, Depends(asked)]


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
    working = asyncio.ensure_future(work)
    watching = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait((working, watching), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientDisconnect
    finally:
        watching.cancel()
        if not working.done():
            deadline.cancel()
            working.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


__all__ = ["Asked", "AskedFor", "DeadlineOf", "FramesQuery", "LevelQuery", "TimingQuery", "while_connected"]

"""The files of a batch, in a few lanes: none fails the others, and other requests get turns between."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from classifier.service import problems
from classifier.service.answers import Scored
from classifier.service.problems import EXPECTED, Problem
from classifier.service.service import Service

Item = Callable[[], Awaitable[Scored]]


async def each(service: Service, items: Sequence[Item]) -> list[Scored | Problem]:
    """Do all items of a batch; it was admitted before.

    Args:
        service: Counts what becomes of them.
        items: What brings and scores each file.

    Returns:
        A score or a problem for each, in their order.
    """
    results: list[Scored | Problem] = [Problem("internal_error", "it was not looked at")] * len(items)
    left = iter(enumerate(items))

    async def lane() -> None:
        for number, item in left:
            results[number] = await _one(service, item)

    async with asyncio.TaskGroup() as group:
        for _ in range(lanes(service, len(items))):
            group.create_task(lane())
    return results


def lanes(service: Service, items: int) -> int:
    """In how many lanes so many items are done, for `Admission.check`."""
    return min(service.limits.lanes, items)


async def _one(service: Service, item: Item) -> Scored | Problem:
    try:
        scored = await item()
    except EXPECTED as error:
        problem = problems.of(error)
        service.metrics.problem(problem.code)
        return problem
    service.metrics.files.labels(scored.result["label"]).inc()
    return scored


__all__ = ["Item", "each", "lanes"]

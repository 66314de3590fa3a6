"""Turns: bounded, in order, given back whatever happens; deadlines end waiting and work."""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

import pytest

from classifier.service.admission import Admission
from classifier.service.deadline import Deadline, DeadlineExceeded
from classifier.service.problems import Problem


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


def test_turns_come_in_the_order_of_asking() -> None:
    async def scenario() -> None:
        admission, order = Admission(1, 10, 1.0), []

        async def one(name: str) -> None:
            await admission.enter(Deadline(5))
            order.append(name)
            admission.leave()

        await admission.enter(Deadline(5))
        waiting = [asyncio.create_task(one(name)) for name in "abc"]
        await asyncio.sleep(0)
        assert (admission.running, admission.waiting) == (1, 3)
        admission.leave()
        await asyncio.gather(*waiting)
        assert order == ["a", "b", "c"]
        assert (admission.running, admission.waiting) == (0, 0)

    run(scenario())


def test_beyond_the_bound_everybody_is_refused_at_once() -> None:
    async def scenario() -> None:
        admission = Admission(1, 1, 7.0)
        await admission.enter(Deadline(5))
        waiting = asyncio.create_task(admission.enter(Deadline(5)))
        await asyncio.sleep(0)
        with pytest.raises(Problem) as caught:
            await admission.enter(Deadline(5))
        assert (caught.value.code, caught.value.retry_after_s) == ("overloaded", 7.0)
        admission.leave()
        await waiting
        admission.leave()

    run(scenario())


def test_a_batch_is_refused_as_a_whole() -> None:
    async def scenario() -> None:
        admission = Admission(2, 3, 1.0)
        admission.check(5)
        with pytest.raises(Problem, match="wait already"):
            admission.check(6)
        await admission.enter(Deadline(5))
        with pytest.raises(Problem, match="wait already"):
            admission.check(5)

    run(scenario())


def test_one_that_was_admitted_waits_even_where_the_queue_is_full() -> None:
    async def scenario() -> None:
        admission = Admission(1, 0, 1.0)
        await admission.enter(Deadline(5))
        waiting = asyncio.create_task(admission.enter(Deadline(5), admitted=True))
        await asyncio.sleep(0)
        admission.leave()
        await waiting

    run(scenario())


def test_a_deadline_ends_the_waiting_and_costs_no_turn() -> None:
    async def scenario() -> None:
        admission = Admission(1, 5, 1.0)
        await admission.enter(Deadline(5))
        with pytest.raises(DeadlineExceeded):
            await admission.enter(Deadline(0.01))
        assert admission.waiting == 0
        admission.leave()
        await admission.enter(Deadline(5))

    run(scenario())


def test_a_turn_that_comes_while_its_owner_is_cancelled_goes_to_the_next() -> None:
    async def scenario() -> None:
        admission = Admission(1, 5, 1.0)
        await admission.enter(Deadline(5))
        gone = asyncio.create_task(admission.enter(Deadline(5)))
        stays = asyncio.create_task(admission.enter(Deadline(5)))
        await asyncio.sleep(0)
        admission.leave()
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        await asyncio.wait_for(stays, 5)
        assert admission.running == 1

    run(scenario())


def test_a_deadline_that_is_cancelled_tells_everybody_once_and_has_no_time_left() -> None:
    deadline, told = Deadline(60), []
    deadline.on_cancel(lambda: told.append("before"))
    assert deadline.left_s > 50
    deadline.cancel()
    deadline.cancel()
    deadline.on_cancel(lambda: told.append("after"))
    assert told == ["before", "after"]
    assert deadline.left_s == 0
    with pytest.raises(DeadlineExceeded):
        deadline.check()


def test_a_deadline_passes_by_itself() -> None:
    deadline = Deadline(0.01)
    deadline.check()
    time.sleep(0.02)
    with pytest.raises(DeadlineExceeded):
        deadline.check()
    assert not deadline.cancelled

"""What a piece of work costs: in a process of its own, CPU seconds of all its threads and children."""

import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, TypeVar

Result = TypeVar("Result")
_PRELOADED = ["benchmarks.video_methods"]


@dataclass(frozen=True, slots=True)
class Cost:
    """What a piece of work has cost.

    Attributes:
        cpu_s: CPU seconds, user and system, with all threads and finished children.
        wall_s: Seconds on the clock.
        peak_bytes: Largest resident size of the process itself.
    """

    cpu_s: float
    wall_s: float
    peak_bytes: int


class Failed(Exception):
    """The work raised something or its process died.

    Args:
        brief: What happened, in two words.
        reason: What the process said last.
    """

    def __init__(self, brief: str, reason: str = "") -> None:
        super().__init__(brief, reason)
        self.brief = brief
        self.reason = reason


class Stopwatch:
    """Counts from its making on."""

    def __init__(self) -> None:
        self._cpu_s, self._wall_s = cpu_s(), time.perf_counter()

    def read(self) -> Cost:
        """What was spent since."""
        peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return Cost(cpu_s() - self._cpu_s, time.perf_counter() - self._wall_s, peak_bytes)


def cpu_s() -> float:
    """CPU seconds of this process so far, with all threads and the children that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def measured(work: Callable[..., Result], *arguments: Any) -> tuple[Result, Cost]:
    """Do something in a fresh process; imports made at the top of its module do not count.

    Args:
        work: A function of a module.
        arguments: What it is called with; must be picklable, as its result.

    Returns:
        Its result and what it cost.

    Raises:
        Failed: Where it does not come to a result.
    """
    # Forked from a server that has done nothing but import: a fresh process without its price.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    receiving, sending = context.Pipe(duplex=False)
    with tempfile.NamedTemporaryFile("r", errors="replace") as said:
        process = context.Process(target=_child, args=(sending, said.name, work, arguments))
        process.start()
        sending.close()
        try:
            outcome, cost = receiving.recv()
        except EOFError:
            process.join()
            lines = [line.strip() for line in said if line.strip()]
            brief = "error" if process.exitcode == 1 else f"crash ({process.exitcode})"
            raise Failed(brief, lines[-1] if lines else "") from None
        process.join()
    if isinstance(outcome, Failed):
        raise outcome
    return outcome, cost


def _child(results: Connection, said: str, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    # Decoders complain without end, and past any library's log level.
    errors = os.open(said, os.O_WRONLY | os.O_APPEND)
    os.dup2(errors, 2)
    stopwatch = Stopwatch()
    try:
        outcome = work(*arguments)
    except ImportError as error:
        outcome = Failed("not installed", str(error))
    results.send((outcome, stopwatch.read()))


__all__ = ["Cost", "Failed", "Stopwatch", "cpu_s", "measured"]

"""The cells of one model take turns: started fresh, tried with every batch size, measured in short rounds.

Rounds are interleaved because a shared machine has slow and fast minutes: each cell gets a slice of all of
them, and its median is compared with medians of the same minutes.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from benchmarks.zoo_cell import Job

BATCHES = (1, 4, 16, 32)
_PATIENCE_S = 1.0
"""A batch that would take longer for one call is not tried: nobody would fill it."""
_GIVE_UP = 0.8
"""Larger batches are not tried once one is slower than this part of the best."""
_CLOSE_S = 20

Advance = Callable[[float, str], None]
"""Called with the share of a model's work that was done and what comes next."""


class CellFailed(Exception):
    """A cell ended before it answered; the message is its own last line."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How thoroughly is measured.

    Attributes:
        rounds: Interleaved rounds after the first one, which tries the batch sizes.
        slice_s: Seconds of each measurement.
    """

    rounds: int
    slice_s: float


FULL = Pace(rounds=2, slice_s=0.25)
QUICK = Pace(rounds=1, slice_s=0.15)


@dataclass(slots=True)
class Result:
    """What one cell did.

    Attributes:
        job: Which cell.
        file_bytes: Size of the file that the engine reads.
        load_s: From the start of the process to its first score; only of cells that were started alone.
        resident_bytes: Resident memory by batch, after scoring it and smaller ones only.
        rates: Pictures a second, one figure a slice, by batch.
        calls_s: Seconds of every call at batch 1.
        failed: Why it could not be measured; empty where it could.
    """

    job: Job
    file_bytes: int
    load_s: float | None = None
    resident_bytes: dict[int, int] = field(default_factory=dict)
    rates: dict[int, list[float]] = field(default_factory=dict)
    calls_s: list[float] = field(default_factory=list)
    failed: str = ""

    def per_s(self, batch: int) -> float:
        """Median pictures a second at a batch."""
        return statistics.median(self.rates[batch])

    @property
    def best_batch(self) -> int:
        """The batch with the highest rate; the smallest one on a tie."""
        return max(sorted(self.rates), key=self.per_s)


class CellProcess:
    """A running cell.

    Args:
        job: What it loads.
    """

    def __init__(self, job: Job) -> None:
        # Closed with the process; a pipe that nobody reads would fill up and block it.
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        environment = os.environ | {"OMP_NUM_THREADS": str(len(job.cores))}
        self._started = time.perf_counter()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.zoo_cell", job.to_json()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=environment,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def wait_until_ready(self) -> float:
        """Wait for the first score.

        Returns:
            Seconds since the process was started.

        Raises:
            CellFailed: Where it ends instead.
        """
        self._answer()
        return time.perf_counter() - self._started

    def measure(self, batch: int, seconds: float, *, warm: bool) -> tuple[list[float], int]:
        """Let it score for a while.

        Args:
            batch: Pictures a call.
            seconds: For how long.
            warm: Whether one call goes before that is not counted.

        Returns:
            Seconds of each call, and its resident bytes afterwards.

        Raises:
            CellFailed: Where it ends instead.
        """
        assert self._process.stdin is not None
        request = json.dumps({"batch": batch, "seconds": seconds, "warm": warm})
        try:
            print(request, file=self._process.stdin, flush=True)
        except BrokenPipeError as error:
            raise self._failure() from error
        answer = self._answer()
        return answer["call_s"], answer["resident_bytes"]

    def close(self) -> None:
        """End the process."""
        if self._process.poll() is None:
            try:
                self._process.communicate(timeout=_CLOSE_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._errors.close()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self._failure()
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _failure(self) -> CellFailed:
        code = self._process.wait()
        self._errors.seek(0)
        lines = [line.strip() for line in self._errors if line.strip()]
        return CellFailed(lines[-1] if lines else f"ended with code {code}")


def measure_cells(cells: Sequence[tuple[Job, int]], pace: Pace, advance: Advance) -> list[Result]:
    """Measure all cells of one model.

    Args:
        cells: Each cell's job and the size of its file in bytes.
        pace: How thoroughly.
        advance: Told about progress; the shares add up to 1.

    Returns:
        A result for each, in the same order.
    """
    results = [Result(job, size) for job, size in cells]
    running: list[tuple[Result, CellProcess]] = []
    try:
        _start(results, running, advance)
        for turn in range(pace.rounds + 1):
            # Whoever comes first in a round finds the caches as the last one left them: take turns.
            shift = turn % max(len(running), 1)
            for result, process in running[shift:] + running[:shift]:
                _take_turn(result, process, pace, first=turn == 0)
                share = 0.7 / len(running) * (0.5 if turn == 0 else 0.5 / pace.rounds)
                advance(share, f"{result.job.engine}, round {turn + 1}")
    finally:
        for _, process in running:
            process.close()
    return results


def _start(results: list[Result], running: list[tuple[Result, CellProcess]], advance: Advance) -> None:
    """Start cells on one core one by one, since their load time is measured; the others together."""
    fewest = min(len(result.job.cores) for result in results)
    alone = [result for result in results if len(result.job.cores) == fewest]
    together = [result for result in results if len(result.job.cores) > fewest]
    for result in alone:
        process = CellProcess(result.job)
        running.append((result, process))
        advance(0.0, f"{result.job.engine}, loading")
        _await(result, process, timed=True)
        advance(0.2 / len(alone), result.job.engine)
    others = [(result, CellProcess(result.job)) for result in together]
    running += others
    for result, process in others:
        _await(result, process, timed=False)
    advance(0.1, "on more cores")


def _await(result: Result, process: CellProcess, *, timed: bool) -> None:
    try:
        load_s = process.wait_until_ready()
    except CellFailed as failure:
        result.failed = str(failure)
    else:
        result.load_s = load_s if timed else None


def _take_turn(result: Result, process: CellProcess, pace: Pace, *, first: bool) -> None:
    if result.failed:
        return
    try:
        if first:
            _try_batches(result, process, pace.slice_s)
        else:
            for batch in sorted({1, result.best_batch}):
                _slice(result, process, batch, pace.slice_s, warm=False)
    except CellFailed as failure:
        result.failed = str(failure)


def _try_batches(result: Result, process: CellProcess, slice_s: float) -> None:
    for batch in BATCHES:
        if result.rates:
            best = max(map(result.per_s, result.rates))
            slow = result.per_s(max(result.rates)) < _GIVE_UP * best
            if slow or batch / best > _PATIENCE_S:
                break
        _slice(result, process, batch, slice_s, warm=True)


def _slice(result: Result, process: CellProcess, batch: int, slice_s: float, *, warm: bool) -> None:
    calls, resident = process.measure(batch, slice_s, warm=warm)
    result.rates.setdefault(batch, []).append(batch * len(calls) / sum(calls))
    if batch == 1:
        result.calls_s += calls
    # Libraries keep what a larger batch has once needed, so only the first time tells.
    result.resident_bytes.setdefault(batch, resident)

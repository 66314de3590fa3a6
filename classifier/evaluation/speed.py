"""What a model costs at inference, measured in a process of its own: time a picture, memory, size.

Memory that a library has taken is never given back, and a process that has done other things shows their
memory too, so every model gets a fresh one. Times are those of this machine at that moment.

By hand: `python -m classifier.evaluation.speed < candidate.json`; prints one line of JSON.
"""

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from classifier.engines import own_process
from classifier.errors import ClassifierError
from classifier.evaluation.candidate import Candidate, find
from classifier.evaluation.errors import EvaluationError
from classifier.values import Classifier

TIMEOUT_S: Final = 600.0
BATCH: Final = 16
_REPEATS: Final = 15
_ENOUGH_S: Final = 3.0
_AT_LEAST: Final = 3


@dataclass(frozen=True, slots=True)
class Speed:
    """What was measured.

    Attributes:
        latency_ms: Milliseconds a picture that comes alone; the best of several calls, because whatever
            else the machine does only adds to it.
        batch_latency_ms: Milliseconds a picture in batches of 16; likewise.
        peak_bytes: The most memory that a fresh process with the model had.
        parameters: Numbers in the network; None where the engine does not tell.
        weights_bytes: Size of the weights' file; None where there is none.
        threads: Of one prediction; 0: the library's choice.
    """

    latency_ms: float
    batch_latency_ms: float
    peak_bytes: int
    parameters: int | None
    weights_bytes: int | None
    threads: int


def measure(candidate: Candidate, threads: int = 1, timeout_s: float = TIMEOUT_S) -> Speed:
    """Measure a model in a process of its own.

    Args:
        candidate: The model.
        threads: Of one prediction.
        timeout_s: Seconds after which it is given up.

    Returns:
        What it costs.

    Raises:
        EvaluationError: Where the process fails or takes too long.
    """
    wanted = {
        "given": str(Path(candidate.given).absolute()) if candidate.run else candidate.given,
        "engine": candidate.engine,
        "cache_directory": None if candidate.cache_directory is None else str(candidate.cache_directory),
        "threads": threads,
    }
    try:
        ended = subprocess.run(
            own_process.command("classifier.evaluation.speed"),
            input=json.dumps(wanted),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
            env=own_process.environment(),
        )
    except subprocess.TimeoutExpired as error:
        raise EvaluationError(f"{candidate.title}: its speed was not known after {timeout_s:g} s.") from error
    # Libraries may greet on standard output; the result comes last.
    lines = ended.stdout.strip().splitlines()
    try:
        return Speed(**json.loads(lines[-1] if lines else ""))
    except (ValueError, TypeError) as error:
        last = (ended.stderr.strip().splitlines() or ["no message"])[-1]
        raise EvaluationError(
            f"{candidate.title}: measuring its speed ended with status {ended.returncode}: {last}"
        ) from error


def main() -> int:
    """Measure the model on standard input; print the result."""
    wanted = json.load(sys.stdin)
    try:
        result = asdict(_measured(wanted))
    except ClassifierError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write("\n" + json.dumps(result) + "\n")
    return 0


def _measured(wanted: Mapping[str, Any]) -> Speed:
    folder = wanted["cache_directory"]
    candidate = find(wanted["given"], wanted["engine"], None if folder is None else Path(folder))
    classifier = candidate.load(wanted["threads"])
    side = classifier.card.input_px
    pixels = np.random.default_rng(0).integers(0, 256, (BATCH, side, side, 3), dtype=np.uint8)
    alone_ms, together_ms = (_latency_ms(classifier, pixels[:count]) for count in (1, BATCH))
    network = getattr(classifier, "network", None)
    parameters = None if network is None else sum(one.numel() for one in network.parameters())
    return Speed(alone_ms, together_ms, peak_bytes(), parameters, candidate.weights_bytes, wanted["threads"])


def _latency_ms(classifier: Classifier, pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> float:
    """Milliseconds a picture, the best of several calls."""
    classifier.predict(pixels)  # the first call of a size may allocate and choose kernels
    times_s: list[float] = []
    while len(times_s) < _AT_LEAST or (len(times_s) < _REPEATS and sum(times_s) < _ENOUGH_S):
        before_s = time.perf_counter()
        classifier.predict(pixels)
        times_s.append(time.perf_counter() - before_s)
    return 1000 * min(times_s) / len(pixels)


def peak_bytes() -> int:
    """The most memory that this process has had at once, in bytes."""
    # Not `getrusage`: after fork and exec, Linux counts what the parent had.
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    except (OSError, StopIteration):
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    sys.exit(main())


__all__ = ["BATCH", "TIMEOUT_S", "Speed", "measure", "peak_bytes"]

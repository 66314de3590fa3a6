"""The door to scoring: name a model and an engine, get a `Classifier`.

Importing this imports no model library; loading imports the one that runs the model. What an engine reads is
made on the way where it can be, and nothing scores before it was compared with the reference.
"""

from dataclasses import asdict
from pathlib import Path

from classifier.engines import exporting, opening
from classifier.engines.values import EngineId, OnStep
from classifier.peers import door
from classifier.values import Classifier

AUTO = "auto"


def load(
    name: str,
    engine: str = AUTO,
    *,
    cache_directory: Path | None = None,
    threads: int = 0,
    calls: int = 1,
    memory_limit_bytes: int | None = None,
    progress: OnStep | None = None,
) -> Classifier:
    """Load a model; asks no network.

    Args:
        name: Catalogue name; its weights were fetched, or a bundle was installed. Or that of a peer, which
            has one way to be run, whatever `engine` says.
        engine: Such as `onnxruntime-int8`, or `auto`: the fastest that is installed, was verified on this
            machine and fits the memory. The first time, exporting and verifying take minutes.
        cache_directory: Where weights are kept; None: the user's cache folder.
        threads: Threads of one prediction; 0 leaves the number to the library.
        calls: Predictions that may run side by side.
        memory_limit_bytes: What the process with the model may use; counts for `auto` alone. None: what
            machine and container allow.
        progress: Told what is being done, how much of it is, and how much there is in all.

    Returns:
        The running model; `card` and `engine` say what it is.

    Raises:
        ModelError: Where the name is unknown, or nothing here can run the model; the message says what to
            install or to fetch.
    """
    if door.is_peer(name):
        return door.load(name, cache_directory, threads)
    if engine == AUTO:
        # Not needed by those who name their engine.
        from classifier.engines import verification

        chosen = verification.choose(
            name,
            cache_directory=cache_directory,
            memory_limit_bytes=memory_limit_bytes,
            progress=progress,
        )
    else:
        chosen = EngineId.parse(engine)
        opening.require(chosen)
    graph = exporting.export(name, chosen, cache_directory=cache_directory, progress=progress)
    return opening.open_engine(chosen, graph, threads, calls)


def provenance(classifier: Classifier, cache_directory: Path | None = None) -> dict[str, object]:
    """What the engine of a loaded model runs, for whoever records its scores.

    Args:
        classifier: A model that `load` has loaded.
        cache_directory: As for `load`.

    Returns:
        Plain values: the file's format and hash, the libraries that made it, the layers left in fp32, and
        its drift from the reference where it was measured.
    """
    if door.is_peer(classifier.card.name):
        return {}  # its card has the hash of what runs
    graph = exporting.available(
        classifier.card, EngineId.parse(classifier.engine), cache_directory=cache_directory
    )
    if graph is None:
        return {}
    return {
        "format": graph.format,
        "sha256": graph.sha256,
        "made_with": dict(graph.made_with),
        "fp32_layers": list(graph.fp32_layers),
        "drift": None if graph.drift is None else asdict(graph.drift),
    }

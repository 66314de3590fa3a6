"""From a file on disk to a running engine: the one place that decides which library is imported.

Nothing is imported before it is needed, so a process with a light engine never loads torch. The file's hash
is checked before a library sees it.
"""

import importlib
import importlib.util

from classifier.engines import artefacts
from classifier.engines.values import ENGINES, EngineId, ExportedGraph, GraphFormat, Library
from classifier.errors import ModelError
from classifier.values import Classifier

PACKAGES: dict[Library, tuple[str, ...]] = {
    "torch": ("torch", "safetensors"),
    "onnxruntime": ("onnxruntime",),
    "openvino": ("openvino",),
}
"""What has to be importable for a library's engines to run."""


def installed() -> tuple[EngineId, ...]:
    """The engines whose library is installed, exported or not; imports nothing."""
    return tuple(engine for engine in ENGINES if not _missing(engine.library))


def format_of(engine: EngineId) -> GraphFormat:
    """The form in which an engine reads a model."""
    if engine.library != "torch":
        return "onnx"
    return "safetensors" if engine.precision == "fp32" else "torchscript"


def require(engine: EngineId) -> None:
    """Refuse an engine that is not installed.

    Raises:
        ModelError: Where its library is missing; the message says what to install or take instead.
    """
    if missing := _missing(engine.library):
        others = ", ".join(str(other) for other in installed()) or "none at all"
        raise ModelError(
            f"engine {engine}: not installed: {', '.join(missing)}. "
            f"Run `pip install {' '.join(missing)}`, or choose another engine; installed here: {others}"
        )


def open_engine(engine: EngineId, graph: ExportedGraph, threads: int = 0, calls: int = 1) -> Classifier:
    """Load an exported model.

    Args:
        engine: What is to run it.
        graph: What was exported for it.
        threads: Threads of one prediction; 0 leaves the number to the library.
        calls: Predictions that may run side by side; on torch they take turns in any case.

    Returns:
        The running model; its `engine` is the name of the one asked for.

    Raises:
        ModelError: Where the library is missing or broken, the file is damaged, or the two do not fit.
    """
    if graph.format != format_of(engine) or graph.precision != engine.precision:
        raise ModelError(
            f"engine {engine} cannot run {graph.path}: it is {graph.format} in {graph.precision}"
        )
    require(engine)
    artefacts.check(graph)
    try:
        return _open(engine, graph, threads, calls)
    except ImportError as error:
        raise ModelError(
            f"engine {engine}: {engine.library} is installed but cannot be imported: {error}. "
            f"Run `pip install --force-reinstall {engine.library}`, or choose another engine"
        ) from error


def _open(engine: EngineId, graph: ExportedGraph, threads: int, calls: int) -> Classifier:
    """Import what is needed and hand over; each module imports its library at its top."""
    if engine.library == "onnxruntime":
        from classifier.engines.onnxruntime_engine import OnnxRuntimeEngine

        return OnnxRuntimeEngine(graph.path, graph.card, engine.precision, threads, calls)
    if engine.library == "openvino":
        from classifier.engines.openvino_engine import OpenVinoEngine

        return OpenVinoEngine(graph.path, graph.card, engine.precision, threads, calls)
    if engine.precision == "int8":
        from classifier.engines.torch_engine import TorchEngine

        return TorchEngine.from_torchscript(graph.path, graph.card, threads)
    from classifier.models import catalogue

    return catalogue.load(graph.card.name, graph.path.parent, threads)


def _missing(library: Library) -> list[str]:
    return [package for package in PACKAGES[library] if importlib.util.find_spec(package) is None]

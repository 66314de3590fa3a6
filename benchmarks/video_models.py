"""The models of the video benchmark: the default one as it runs here, and a ResNet-50 with random weights."""

import importlib.util
from dataclasses import replace
from pathlib import Path

from classifier import predict
from classifier.engines.values import Precision
from classifier.models import catalogue
from classifier.values import Classifier, ModelCard

CORES = 2
"""The proposal counts two. As in the daemon, a call of the model and a decode worker run on each."""
RESNET_SEED = 1


def default_model(engine: str) -> Classifier:
    """The default model.

    Args:
        engine: Such as `openvino-int8`, or `auto`.
    """
    return predict.load("open_nsfw", engine, threads=1, calls=CORES)


def resnet50_card() -> ModelCard:
    """A card for the random ResNet-50: it takes the default model's pictures, whose size is the same."""
    return replace(catalogue.card("open_nsfw"), name="resnet50", architecture="ResNet-50, random weights")


def export_resnet50(path: Path) -> None:
    """Write a ResNet-50 with random weights as ONNX; imports torch, so better in a process of its own.

    Args:
        path: The file to write in fp32; one in int8 is written beside it, see `resnet50_graph`.
    """
    from benchmarks import zoo_graphs
    from classifier.engines import graph
    from classifier.models import architectures

    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(graph.export(architectures.build("resnet50", seed=RESNET_SEED), 224))
    resnet50_graph(path, "int8").write_bytes(zoo_graphs.quantised(path, zoo_graphs.pictures("resnet50")))


def resnet50_graph(path: Path, precision: Precision) -> Path:
    """Where the ResNet-50 of a precision lies, given where the one in fp32 does."""
    return path if precision == "fp32" else path.with_suffix(f".{precision}.onnx")


def fast_resnet50(path: Path, precision: Precision) -> Classifier:
    """The exported ResNet-50 on the faster of the libraries that are installed.

    Args:
        path: What `export_resnet50` wrote.
        precision: Which of its two graphs.
    """
    graph = resnet50_graph(path, precision)
    if importlib.util.find_spec("openvino"):
        from classifier.engines.openvino_engine import OpenVinoEngine

        return OpenVinoEngine(graph, resnet50_card(), precision, threads=1, calls=CORES)
    from classifier.engines.onnxruntime_engine import OnnxRuntimeEngine

    return OnnxRuntimeEngine(graph, resnet50_card(), precision, threads=1, calls=CORES)


__all__ = [
    "CORES",
    "RESNET_SEED",
    "default_model",
    "export_resnet50",
    "fast_resnet50",
    "resnet50_card",
    "resnet50_graph",
]

"""The models of the video benchmark: the default one as it runs here, and a ResNet-50 with random weights."""

import importlib.util
from dataclasses import replace
from pathlib import Path

from classifier import predict
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
        path: The file to write.
    """
    from classifier.engines import graph
    from classifier.models import architectures

    content = graph.export(architectures.build("resnet50", seed=RESNET_SEED), 224)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def fast_resnet50(path: Path) -> Classifier:
    """The exported ResNet-50 on the faster of the libraries that are installed, in fp32.

    Args:
        path: What `export_resnet50` wrote.
    """
    if importlib.util.find_spec("openvino"):
        from classifier.engines.openvino_engine import OpenVinoEngine

        return OpenVinoEngine(path, resnet50_card(), "fp32", threads=1, calls=CORES)
    from classifier.engines.onnxruntime_engine import OnnxRuntimeEngine

    return OnnxRuntimeEngine(path, resnet50_card(), "fp32", threads=1, calls=CORES)


__all__ = ["CORES", "RESNET_SEED", "default_model", "export_resnet50", "fast_resnet50", "resnet50_card"]

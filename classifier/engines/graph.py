"""From a network to an ONNX graph that needs nothing around it: uint8 pictures in, scores out.

The one input is `pixels`, uint8 (n, px, px, 3), the one output `score`, float32 (n,); n is free. The graph
is left as the exporter makes it, apart from strides that are moved to where they save work and the shapes
that are written down for the quantiser: both libraries optimise it themselves at loading, each for its
processor, and what they could not undo would only be in their way. Equal networks give equal bytes with
equal versions of torch and onnx.
"""

import logging
import tempfile
import warnings
from pathlib import Path

import onnx
import torch
from torch import nn

from classifier.engines import strides
from classifier.engines.scorer import Scorer
from classifier.engines.values import GRAPH_INPUT, GRAPH_OUTPUT
from classifier.errors import ModelError

OPSET = 17
"""New enough for every layer of the zoo, old enough for every release of the two libraries of late."""


def export(network: nn.Module, input_px: int) -> bytes:
    """Write a network down as ONNX.

    Args:
        network: Maps float32 (n, 3, input_px, input_px), 0..255, to logits (n, 2). Left in eval mode.
        input_px: Side of the square input in pixels.

    Returns:
        The file's content.

    Raises:
        ModelError: Where the network cannot be exported.
    """
    network.eval()
    # Two pictures: an exporter that sees one may take the 1 for a constant.
    example = torch.zeros(2, input_px, input_px, 3, dtype=torch.uint8)
    try:
        with (
            tempfile.NamedTemporaryFile(suffix=".onnx") as file,
            warnings.catch_warnings(),
            torch.no_grad(),
        ):
            # The newer exporter needs onnxscript, writes versions of its own into the file and takes minutes.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                Scorer(network).eval(),
                (example,),
                file.name,
                dynamo=False,
                opset_version=OPSET,
                input_names=[GRAPH_INPUT],
                output_names=[GRAPH_OUTPUT],
                dynamic_axes={GRAPH_INPUT: {0: "n"}, GRAPH_OUTPUT: {0: "n"}},
            )
            written = onnx.load_model_from_string(Path(file.name).read_bytes())
        strides.skip_early(written)
        model = onnx.shape_inference.infer_shapes(written)
        onnx.checker.check_model(model, full_check=True)
    except (
        RuntimeError,
        ValueError,
        torch.onnx.errors.OnnxExporterError,
        onnx.checker.ValidationError,
        onnx.shape_inference.InferenceError,
    ) as error:
        raise ModelError(f"{type(network).__name__} cannot be exported to ONNX: {error}") from error
    logging.getLogger(__name__).debug("graph_exported", extra={"nodes": len(model.graph.node)})
    content: bytes = model.SerializeToString(deterministic=True)
    return content

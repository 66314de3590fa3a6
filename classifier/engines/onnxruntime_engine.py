"""Pictures in, scores out, on ONNX Runtime, CPU only.

A score does not depend on the batch it travels in beyond 1e-5. Measured in batches of 1 to 16 (open_nsfw in
fp32 and int8, also permuted and with one or two threads; every network of the zoo in fp32), the scores are
equal bit for bit; the tolerance is for other processors, where the library may pick another kernel for
another batch size.
"""

import math
import threading
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as library

from classifier.cgroup import usable_cores
from classifier.engines.checked_engine import CheckedEngine
from classifier.engines.values import GRAPH_INPUT, GRAPH_OUTPUT, Precision
from classifier.errors import ModelError
from classifier.values import ModelCard, Pixels

_ERRORS = (
    library.EPFail,
    library.Fail,
    library.InvalidArgument,
    library.InvalidGraph,
    library.InvalidProtobuf,
    library.NoSuchFile,
    library.NotImplemented,
    library.RuntimeException,
    RuntimeError,
)
"""What the library raises; its own classes have no common root but `Exception`."""
_ERRORS_ONLY = 3


class OnnxRuntimeEngine(CheckedEngine):
    """An exported graph behind the `Classifier` protocol; calls beyond the agreed number take turns.

    Args:
        path: The ONNX file; the caller has verified its hash.
        card: The model's card.
        precision: Of the graph, for the engine's name.
        threads: Threads of one prediction; 0: as many as there are cores for this process.
        calls: Predictions that may run side by side.

    Raises:
        ModelError: Where the library cannot read the file, or it is not of this project's form.
    """

    def __init__(
        self, path: Path, card: ModelCard, precision: Precision, threads: int = 0, calls: int = 1
    ) -> None:
        super().__init__(card, f"onnxruntime-{precision}")
        self._turn = threading.BoundedSemaphore(calls)
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), _options(threads), providers=["CPUExecutionProvider"]
            )
        except _ERRORS as error:
            raise ModelError(
                f"{path}: ONNX Runtime {onnxruntime.__version__} cannot read it: {_first_line(error)}. "
                f"Delete it and run: python -m bot models export {card.name} --engine onnxruntime"
            ) from error
        inputs = [(node.name, node.type) for node in self._session.get_inputs()]
        outputs = [(node.name, node.type) for node in self._session.get_outputs()]
        if inputs != [(GRAPH_INPUT, "tensor(uint8)")] or outputs != [(GRAPH_OUTPUT, "tensor(float)")]:
            raise ModelError(f"{path}: not exported by this project: it maps {inputs} to {outputs}")

    def _run(self, pixels: Pixels) -> NDArray[np.float32]:
        try:
            # The library would let any number of callers in, which takes more threads than agreed.
            with self._turn:
                found = self._session.run([GRAPH_OUTPUT], {GRAPH_INPUT: np.ascontiguousarray(pixels)})
        except _ERRORS as error:
            raise self._failed(_first_line(error)) from error
        scores: NDArray[np.float32] = found[0]
        return scores


def _options(threads: int) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    # Left to itself the library pins its threads to cores, which a container may forbid.
    options.intra_op_num_threads = threads or max(1, math.floor(usable_cores()))
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    # Threads that spin between layers and batches burn the processor time that decoding needs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # A plan of the memory is kept per batch size: 294 MB resident instead of 189, and no faster (open_nsfw).
    options.enable_mem_pattern = False
    options.log_severity_level = _ERRORS_ONLY
    return options


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]

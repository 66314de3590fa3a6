"""Pictures in, scores out, on ONNX Runtime, CPU only.

A score does not depend on the batch it travels in beyond 1e-5. Measured in batches of 1 to 16 (open_nsfw in
fp32 and int8, also permuted and with one or two threads; every network of the zoo in fp32), the scores are
equal bit for bit; the tolerance is for other processors, where the library may pick another kernel for
another batch size.
"""

import threading
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from classifier.engines.checked_engine import CheckedEngine
from classifier.engines.onnxruntime_session import ERRORS, first_line, open_session
from classifier.engines.values import GRAPH_INPUT, GRAPH_OUTPUT, Precision
from classifier.errors import ModelError
from classifier.values import ModelCard, Pixels


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
            self._session = open_session(path, threads)
        except ERRORS as error:
            raise ModelError(
                f"{path}: ONNX Runtime {onnxruntime.__version__} cannot read it: {first_line(error)}. "
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
        except ERRORS as error:
            raise self._failed(first_line(error)) from error
        scores: NDArray[np.float32] = found[0]
        return scores

"""Detectors of the YOLO form as classifiers: the score is the best confidence of the classes that count.

Run on ONNX Runtime, with the preparation and the reading of the output written here.
"""

import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from classifier.engines.checked_engine import CheckedEngine
from classifier.engines.onnxruntime_session import ERRORS, first_line, open_session
from classifier.errors import ModelError
from classifier.values import ModelCard, Pixels

_BOX = 4
"""Rows of the output before the classes: centre and size of the box."""


class DetectorEngine(CheckedEngine):
    """A detector behind the `Classifier` protocol; calls take turns.

    The graph maps float32 (n, 3, px, px), 0..1, channels as the card's preprocessing leaves them, to float32
    (n, 4 + classes, places): for every place in the picture a box and the confidence of each class, in 0..1.

    Neither a threshold nor the suppression of overlapping boxes is applied. Both only ever remove detections,
    and a score has to tell pictures apart below the threshold too.

    Args:
        path: The ONNX file; the caller has verified its hash.
        card: The model's card.
        classes: How many classes it knows.
        scored: Numbers of those that count, at least one.
        threads: Threads of one prediction; 0: as many as there are cores for this process.

    Raises:
        ModelError: Where the library cannot read the file, or it is not of that form.
    """

    def __init__(
        self, path: Path, card: ModelCard, classes: int, scored: Sequence[int], threads: int = 0
    ) -> None:
        super().__init__(card, "onnxruntime-fp32")
        self._rows = [_BOX + number for number in scored]
        self._classes = classes
        self._turn = threading.Lock()
        try:
            self._session = open_session(path, threads)
        except ERRORS as error:
            raise ModelError(
                f"{path}: ONNX Runtime {onnxruntime.__version__} cannot read it: {first_line(error)}"
            ) from error
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        found = [(node.type, len(node.shape)) for node in (*inputs, *outputs)]
        if len(inputs) != 1 or found != [("tensor(float)", 4), ("tensor(float)", 3)]:
            raise ModelError(
                f"{path}: not a detector of the expected form: it maps {found[:1]} to {found[1:]}"
            )
        self._input, self._output = inputs[0].name, outputs[0].name

    def confidences(self, pixels: Pixels) -> NDArray[np.float32]:
        """The best confidence of every class, wherever in the picture.

        Args:
            pixels: As for `predict`.

        Returns:
            float32 (n, classes), in 0..1.

        Raises:
            ValueError: Where shape or dtype are others.
            ModelError: Where the library fails, or gives an output of another form.
        """
        self._check_pixels(pixels)
        best: NDArray[np.float32] = self._found(pixels)[:, _BOX:].max(axis=2)
        return best

    def _run(self, pixels: Pixels) -> NDArray[np.float32]:
        scores: NDArray[np.float32] = self._found(pixels)[:, self._rows].max(axis=(1, 2))
        return scores

    def _found(self, pixels: Pixels) -> NDArray[np.float32]:
        pictures = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2), dtype=np.float32) / np.float32(255)
        try:
            with self._turn:
                found: NDArray[np.float32] = self._session.run([self._output], {self._input: pictures})[0]
        except ERRORS as error:
            raise self._failed(first_line(error)) from error
        if found.shape[:2] != (len(pixels), _BOX + self._classes) or not found.shape[2]:
            raise self._failed(f"{self._classes} classes were expected, the output is {found.shape}")
        return found


__all__ = ["DetectorEngine"]

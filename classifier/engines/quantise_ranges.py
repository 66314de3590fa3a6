"""Which range of each activation the 256 values of a byte have to cover.

A wide range rounds every value coarsely, a narrow one cuts off the largest. Two sensible ends are measured:
the range with the least squared error over all values, and the mean of the pictures' extremes. The first
neglects rare large values, which carry much of what a network has found; the second, the many small ones.
What lies between them is tried out by whoever asks.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from classifier.engines.quantise_graph import look_inside
from classifier.values import Pixels

Range = tuple[float, float]
"""Lowest and highest value; the lowest is not above 0, the highest not below."""

_STEPS = 255
_VALUES_A_BATCH = 2048
_SHARES = np.linspace(1.0, 0.3, 29)


@dataclass(frozen=True, slots=True)
class Ends:
    """The two ranges of one activation.

    Attributes:
        least_error: With the least squared error over a sample of all values.
        mean_extremes: Mean over the pictures of their lowest and highest values.
    """

    least_error: Range
    mean_extremes: Range

    def between(self, share: float) -> Range:
        """The range at a share of the way from `least_error` (0) to `mean_extremes` (1)."""
        low, high = (a + (b - a) * share for a, b in zip(self.least_error, self.mean_extremes, strict=True))
        return low, high


def measure(model: onnx.ModelProto, tensors: Iterable[str], pixels: Pixels) -> dict[str, Ends]:
    """Find the ranges.

    Args:
        model: The fp32 graph.
        tensors: Names of the activations.
        pixels: The calibration pictures: uint8 (n, height, width, 3).

    Returns:
        The ranges of each tensor.
    """
    rng = np.random.default_rng(0)
    samples: dict[str, list[NDArray[np.float32]]] = {}
    extremes: dict[str, list[NDArray[np.float32]]] = {}
    for batch in look_inside(model, tensors, pixels):
        for name, tensor in batch.items():
            values = tensor.reshape(len(tensor), -1)
            extremes.setdefault(name, []).append(np.stack([values.min(axis=1), values.max(axis=1)], axis=1))
            chosen = rng.integers(0, values.size, _VALUES_A_BATCH)
            samples.setdefault(name, []).append(values.reshape(-1)[chosen])
    return {name: _ends(np.concatenate(samples[name]), np.concatenate(extremes[name])) for name in samples}


def least_error(values: NDArray[np.float32], extremes: Range) -> Range:
    """Choose the range with the least squared error of rounding and cutting off.

    Args:
        values: float32 array (n,), a sample of the activation's values.
        extremes: Lowest and highest of all its values, with 0 between them.

    Returns:
        The range; the extremes themselves where nothing narrower is better.
    """
    low, high = extremes
    if high - low <= 0:
        return extremes
    if high > 0:
        high = min((high * share for share in _SHARES), key=lambda end: _error(values, low, end))
    if low < 0:
        low = min((low * share for share in _SHARES), key=lambda end: _error(values, end, high))
    return float(low), float(high)


def _ends(values: NDArray[np.float32], extremes: NDArray[np.float32]) -> Ends:
    """From sampled values (n,) and the extremes (pictures, 2)."""
    lowest, highest = min(0.0, float(extremes[:, 0].min())), max(0.0, float(extremes[:, 1].max()))
    mean_low, mean_high = (float(value) for value in extremes.mean(axis=0, dtype=np.float64))
    return Ends(least_error(values, (lowest, highest)), (min(0.0, mean_low), max(0.0, mean_high)))


def _error(values: NDArray[np.float32], low: float, high: float) -> float:
    scale = np.float32((high - low) / _STEPS)
    if scale <= 0:
        return float("inf")
    zero_point = np.rint(-low / scale)
    rounded = (np.rint(values / scale + zero_point).clip(0, _STEPS) - zero_point) * scale
    return float(np.square(rounded - values).mean())

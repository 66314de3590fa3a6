"""The weights of a TensorFlow.js model that is bundled as scripts, as arrays; nothing is executed.

A bundle is a script with the model's description and scripts with its weights in base64. The weights are
quantised: bytes, of which a scale and an offset make numbers. They are restored as TensorFlow.js does it, in
double precision and then rounded to single, so that both compute with the same numbers.
"""

import base64
import binascii
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from classifier.errors import ModelError
from classifier.peers import javascript

Weights = Mapping[str, NDArray[np.float32]]
ReadScript = Callable[[str], str]
"""Gives the text of a script of the bundle, by its name without `.min.js`."""

_STORED = {"float32": "<f4", "uint8": "u1", "uint16": "<u2"}
_MODEL = "model"


@dataclass(frozen=True, slots=True)
class _Stored:
    """How one weight lies in the bytes.

    Attributes:
        name: Its name in Keras.
        shape: Of the array, in Keras' order of axes.
        dtype: As in the bytes.
        scale: What makes a number of a byte.
        minimum: What is added.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    scale: float
    minimum: float

    @property
    def size_bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    def restored(self, content: bytes) -> NDArray[np.float32]:
        numbers = np.frombuffer(content, self.dtype).astype(np.float64)
        return (numbers * self.scale + self.minimum).astype(np.float32).reshape(self.shape)


def read(read_script: ReadScript) -> Weights:
    """Read all weights of a bundle.

    Args:
        read_script: Gives the scripts.

    Returns:
        Arrays by their names in Keras, with Keras' order of axes.

    Raises:
        ModelError: Where a script is not of the expected form, or bytes are missing or left over.
    """
    weights: dict[str, NDArray[np.float32]] = {}
    try:
        groups = _list(_dict(javascript.exported(read_script(_MODEL)))["weightsManifest"])
        for group in map(_dict, groups):
            content = b"".join(_shard(read_script, path) for path in _list(group["paths"]))
            at = 0
            for stored in map(_stored, _list(group["weights"])):
                weights[stored.name] = stored.restored(content[at : at + stored.size_bytes])
                at += stored.size_bytes
            if at != len(content):
                raise ModelError(f"the bundle describes {at} bytes of weights and has {len(content)}")
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ModelError(f"the bundle is not a TensorFlow.js model as expected: {error!r}") from error
    return weights


def _shard(read_script: ReadScript, path: javascript.Literal) -> bytes:
    if not isinstance(path, str):
        raise TypeError(f"a path is {path!r}")
    text = javascript.exported(read_script(path))
    if not isinstance(text, str):
        raise ModelError(f"{path}: exports no string")
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ModelError(f"{path}: not base64: {error}") from error


def _stored(entry: javascript.Literal) -> _Stored:
    entry = _dict(entry)
    quantisation = _dict(entry.get("quantization", {}))
    shape = tuple(_whole(side) for side in _list(entry["shape"]))
    dtype = _STORED[str(quantisation.get("dtype", entry["dtype"]))]
    scale, minimum = (_number(quantisation.get(key, usual)) for key, usual in (("scale", 1.0), ("min", 0.0)))
    return _Stored(str(entry["name"]), shape, np.dtype(dtype), scale, minimum)


def _dict(value: javascript.Literal) -> dict[str, javascript.Literal]:
    if not isinstance(value, dict):
        raise TypeError(f"an object was expected, not {str(value)[:40]!r}")
    return value


def _list(value: javascript.Literal) -> list[javascript.Literal]:
    if not isinstance(value, list):
        raise TypeError(f"an array was expected, not {str(value)[:40]!r}")
    return value


def _number(value: javascript.Literal) -> float:
    if isinstance(value, bool) or not isinstance(value, float):
        raise TypeError(f"a number was expected, not {str(value)[:40]!r}")
    return value


def _whole(value: javascript.Literal) -> int:
    number = _number(value)
    if number < 0 or number != int(number):
        raise ValueError(f"a length was expected, not {number}")
    return int(number)


__all__ = ["ReadScript", "Weights", "read"]

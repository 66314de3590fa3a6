"""The verification set as a file: an npz with two arrays, read without trusting a byte of it."""

import io
import math
import tokenize
import zipfile
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.engines.values import VerificationSet
from classifier.errors import ModelError

MAX_BYTES = 64 * 1024**2
"""Nine times what is needed for 48 pictures of 224 px."""
_ARRAYS = {"pixels": ("|u1", 4), "reference": ("<f4", 1)}
"""Type and number of dimensions of each array."""
_UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    tokenize.TokenError,
    KeyError,
    ValueError,
    TypeError,
    EOFError,
    OSError,
    NotImplementedError,
    RuntimeError,
)
"""What the readers of zip files and of numpy's headers raise for bytes that are neither."""


def write(pictures: VerificationSet) -> bytes:
    """The file's content; equal sets give equal bytes."""
    with io.BytesIO() as buffer:
        np.savez_compressed(
            buffer,
            pixels=np.ascontiguousarray(pictures.pixels, dtype=np.uint8),
            reference=np.ascontiguousarray(pictures.reference, dtype="<f4"),
        )
        return buffer.getvalue()


def read(content: bytes, input_px: int) -> VerificationSet:
    """Read the file.

    Args:
        content: Of the file.
        input_px: Side of the pictures that the model takes, in pixels.

    Returns:
        The set, at least one picture.

    Raises:
        ModelError: Where it is no such file, is larger than it may be, or has pictures of another size.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            found = {name: _array(archive, name, *form) for name, form in _ARRAYS.items()}
    except _UNREADABLE as error:
        raise ModelError(f"the verification set cannot be read: {error}") from error
    pixels, reference = found["pixels"], found["reference"]
    if pixels.shape != (len(reference), input_px, input_px, 3) or not len(reference):
        raise ModelError(
            f"the verification set has pictures {pixels.shape} and scores {reference.shape}, "
            f"not (n, {input_px}, {input_px}, 3) and (n,)"
        )
    if not (np.isfinite(reference).all() and reference.min() >= 0 and reference.max() <= 1):
        raise ModelError("the verification set has scores outside of 0..1")
    return VerificationSet(pixels, reference)


def _array(archive: zipfile.ZipFile, name: str, dtype: str, dimensions: int) -> NDArray[Any]:
    """Read one array, whose announced size is checked before memory is asked for."""
    entry = archive.getinfo(f"{name}.npy")
    if entry.file_size > MAX_BYTES:
        raise ValueError(f"{name} has {entry.file_size} bytes, more than {MAX_BYTES}")
    with archive.open(entry) as file:
        if np.lib.format.read_magic(file) != (1, 0):
            raise ValueError(f"{name} is of another version of the format")
        shape, fortran, found = np.lib.format.read_array_header_1_0(file)
        if found.str != dtype or len(shape) != dimensions or fortran:
            raise ValueError(f"{name} is {found} {shape}")
        # One byte more than there may be, so that too much is noticed as well as too little.
        content = file.read(entry.file_size + 1)
    if len(content) != math.prod(shape) * found.itemsize:
        raise ValueError(f"{name} has {len(content)} bytes, which is not {shape}")
    return np.frombuffer(content, dtype=found).reshape(shape)

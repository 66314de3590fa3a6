"""PDQ, the perceptual hash by which near duplicates are found; its library is optional.

PDQ and its distances: https://github.com/facebook/ThreatExchange, `hashing/hashing.pdf`.
"""

import importlib.util

import numpy as np

from classifier.values import Pixels

PREPROCESSING = "whole-256-v1"
"""What pictures are hashed from, here as in datasets: hashes compare only if they are made the same way."""
MAX_DISTANCE_BITS = 31
"""Of 256; pictures up to this far apart count as the same, as PDQ's authors advise."""
MIN_QUALITY = 50
"""Of 100; PDQ's authors advise not to compare hashes below it: too flat a picture hashes to noise."""


def is_installed() -> bool:
    """Whether the library is there."""
    return importlib.util.find_spec("pdqhash") is not None


def pdq(pixels: Pixels) -> tuple[bytes, int]:
    """Hash a picture.

    Args:
        pixels: uint8 array (256, 256, 3), BGR, as `PREPROCESSING` makes it.

    Returns:
        32 bytes, and the quality of the hash from 0 to 100.

    Raises:
        ImportError: Where the library is not there.
    """
    import pdqhash

    bits, quality = pdqhash.compute(np.ascontiguousarray(pixels[:, :, ::-1]))
    return np.packbits(bits.astype(np.uint8)).tobytes(), int(quality)


__all__ = ["MAX_DISTANCE_BITS", "MIN_QUALITY", "PREPROCESSING", "is_installed", "pdq"]

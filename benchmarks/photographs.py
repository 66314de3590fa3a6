"""Pictures that cost a decoder what photographs cost, drawn by formula: 1/f textures, edges and grain."""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from classifier.values import Pixels

QUALITY = 87
"""JPEG quality of the files; Commons' thumbnails use about this."""


def photograph(width: int, height: int, seed: int) -> Pixels:
    """Draw a picture with the spectrum of a photograph.

    Args:
        width: Pixels.
        height: Pixels.
        seed: Equal seeds give equal pictures.

    Returns:
        uint8 array (height, width, 3), RGB.
    """
    rng = np.random.default_rng(seed)
    layers = np.zeros((height, width, 3), np.float32)
    cells, strength = 3, 1.0
    while cells < max(width, height) // 2:
        noise = rng.standard_normal((cells * height // width + 2, cells + 2, 3)).astype(np.float32)
        layers += strength * cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
        cells, strength = cells * 2, strength * 0.55
    for _ in range(12):
        x, y = rng.integers(0, width), rng.integers(0, height)
        radius = int(rng.uniform(0.03, 0.2) * width)
        cv2.circle(layers, (int(x), int(y)), radius, rng.standard_normal(3).tolist(), -1, cv2.LINE_AA)
    layers += 0.06 * rng.standard_normal((height, width, 1)).astype(np.float32)
    low, high = np.percentile(layers, (1, 99))
    return np.asarray(np.clip((layers - low) / (high - low) * 255, 0, 255), dtype=np.uint8)


def photographs(folder: Path, width: int, height: int, count: int) -> list[Path]:
    """Write pictures as JPEG files.

    Args:
        folder: Where; it must exist.
        width: Pixels.
        height: Pixels.
        count: How many.

    Returns:
        Their paths.
    """
    paths = [folder / f"{width}x{height}-{number}.jpg" for number in range(count)]
    for number, path in enumerate(paths):
        Image.fromarray(photograph(width, height, number)).save(path, quality=QUALITY)
    return paths

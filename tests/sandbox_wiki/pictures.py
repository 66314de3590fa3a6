"""Harmless generated pictures to upload; each seed gives other bytes, so the wiki finds no duplicates."""

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image


def gradient(path: Path, width_px: int = 1000, height_px: int = 700, seed: int = 0) -> Path:
    """Write a colour gradient; the format follows the file's name.

    Args:
        path: Where to.
        width_px: Width.
        height_px: Height.
        seed: Chooses the blue channel, 0..255.

    Returns:
        The path.
    """
    Image.fromarray(_pixels(width_px, height_px, seed)).save(path)
    return path


def vector(path: Path, width_px: int = 1000, height_px: int = 700) -> Path:
    """Write an SVG with a circle.

    Args:
        path: Where to.
        width_px: Nominal width.
        height_px: Nominal height.

    Returns:
        The path.
    """
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width_px}" height="{height_px}">'
        f'<circle cx="{width_px / 2}" cy="{height_px / 2}" r="{height_px / 3}" fill="teal"/></svg>',
        encoding="utf-8",
    )
    return path


def document(path: Path, pages: int = 3) -> Path:
    """Write a PDF whose pages are gradients.

    Args:
        path: Where to.
        pages: How many.

    Returns:
        The path.
    """
    images = [Image.fromarray(_pixels(800, 1100, seed=40 * page)) for page in range(pages)]
    images[0].save(path, save_all=True, append_images=images[1:])
    return path


def opened(content: bytes) -> Image.Image:
    """Decode a picture completely."""
    picture = Image.open(io.BytesIO(content))
    picture.load()
    return picture


def blue(content: bytes) -> int:
    """The blue channel of a gradient names its seed, also after scaling."""
    pixel = opened(content).convert("RGB").getpixel((5, 5))
    assert isinstance(pixel, tuple)
    return int(pixel[2])


def _pixels(width_px: int, height_px: int, seed: int) -> npt.NDArray[np.uint8]:
    across = np.linspace(0, 255, width_px, dtype=np.uint8)[None, :].repeat(height_px, axis=0)
    down = np.linspace(0, 255, height_px, dtype=np.uint8)[:, None].repeat(width_px, axis=1)
    return np.dstack([across, down, np.full_like(across, seed % 256)])

"""Still specimens, drawn by arithmetic: every format and every oddity that uploads come with.

Nothing is copied from anywhere. A builder writes into the folder it is given and says what the wiki would
know of the file.
"""

import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bot.minicommons.plan import Transcode

Pixels = NDArray[np.uint8]

_EXIF_ORIENTATION = 0x0112
_BOMB_SIDE_PX = 30_000
_CYCLES = 2.5


@dataclass(frozen=True, slots=True)
class Built:
    """What a builder left behind.

    Attributes:
        name: File name within the folder.
        width: Width as the wiki tells it.
        height: Height as the wiki tells it.
        pagecount: Pages of a document.
        duration_s: Length of a video, sound or GIF.
        thumbnails: Whether the wiki makes any.
        renders: File names of the pictures that thumbnails are made from.
        transcodes: Reduced copies; their `path` is a file name within the folder.
    """

    name: str
    width: int
    height: int
    pagecount: int | None = None
    duration_s: float | None = None
    thumbnails: bool = True
    renders: tuple[str, ...] = ()
    transcodes: tuple[Transcode, ...] = ()


def scene(width: int, height: int, seed: int) -> Pixels:
    """Draw hills under a sky, in colours of the seed.

    Args:
        width: Pixels.
        height: Pixels.
        seed: Chooses colours and shapes.

    Returns:
        uint8 array (height, width, 3), RGB.
    """
    rng = np.random.default_rng(seed)
    x = np.linspace(0, 1, width)[None, :]
    y = np.linspace(0, 1, height)[:, None]
    sky, ground = rng.uniform((90, 140, 200), (160, 200, 255)), rng.uniform((20, 80, 20), (90, 150, 70))
    picture = sky + y[:, :, None] * rng.uniform(-60, 20, 3) * np.ones((height, width, 1))
    for layer in range(3):
        phase, rise = rng.uniform(0, 6.3), 0.45 + 0.18 * layer
        ridge = rise + 0.08 * np.sin(phase + _CYCLES * (layer + 1) * 2 * x)
        picture[np.broadcast_to(y > ridge, (height, width))] = ground * (1 - 0.22 * layer)
    return np.asarray(np.clip(picture, 0, 255), dtype=np.uint8)


def jpeg(
    folder: Path, pixels: Pixels, *, progressive: bool = False, cmyk: bool = False, quality: int = 88
) -> Built:
    """Save as JPEG.

    Args:
        folder: Where to write.
        pixels: RGB picture.
        progressive: Progressive instead of baseline.
        cmyk: Four inks instead of three colours.
        quality: JPEG quality.

    Returns:
        What was built.
    """
    image = Image.fromarray(pixels)
    if cmyk:
        image = image.convert("CMYK")
    image.save(folder / "file.jpg", quality=quality, progressive=progressive)
    return Built("file.jpg", image.width, image.height)


def rotated_jpeg(folder: Path, pixels: Pixels) -> Built:
    """Save lying on its side, with an EXIF orientation that sets it upright; the wiki tells upright sizes."""
    upright = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[_EXIF_ORIENTATION] = 6
    upright.transpose(Image.Transpose.ROTATE_90).save(folder / "file.jpg", quality=88, exif=exif)
    return Built("file.jpg", upright.width, upright.height)


def large_jpeg(folder: Path, seed: int) -> Built:
    """Save twelve megapixels."""
    small = Image.fromarray(scene(1000, 750, seed))
    return jpeg(folder, np.asarray(small.resize((4000, 3000), Image.Resampling.BILINEAR)), quality=80)


def png(folder: Path, pixels: Pixels) -> Built:
    """Save as PNG without loss."""
    height, width = pixels.shape[:2]
    Image.fromarray(pixels).save(folder / "file.png", compress_level=3)
    return Built("file.png", width, height)


def transparent_png(folder: Path, pixels: Pixels) -> Built:
    """Save as PNG that fades to transparent from left to right."""
    height, width = pixels.shape[:2]
    alpha = np.broadcast_to(np.linspace(255, 0, width).astype(np.uint8), (height, width))
    return png(folder, np.dstack([pixels, alpha]))


def palette_png(folder: Path, pixels: Pixels) -> Built:
    """Save as PNG with 32 colours, one of them transparent."""
    image = Image.fromarray(pixels).quantize(32)
    image.save(folder / "file.png", transparency=0)
    return Built("file.png", image.width, image.height)


def deep_png(folder: Path, pixels: Pixels) -> Built:
    """Save as PNG with 16 bits a channel."""
    height, width = pixels.shape[:2]
    rows = (row.tobytes() for row in (pixels.astype(">u2") * 257))
    (folder / "file.png").write_bytes(png_bytes(width, height, 16, 2, rows))
    return Built("file.png", width, height)


def bomb_png(folder: Path) -> Built:
    """Save 900 megapixels of one colour in a file of some hundred kilobytes; the wiki refuses to scale it."""
    row = bytes(_BOMB_SIDE_PX // 8)
    content = png_bytes(_BOMB_SIDE_PX, _BOMB_SIDE_PX, 1, 0, (row for _ in range(_BOMB_SIDE_PX)))
    (folder / "file.png").write_bytes(content)
    return Built("file.png", _BOMB_SIDE_PX, _BOMB_SIDE_PX, thumbnails=False)


def png_bytes(width: int, height: int, bit_depth: int, colour_type: int, rows: Iterable[bytes]) -> bytes:
    """Write a PNG by hand, for what no library writes.

    Args:
        width: Pixels.
        height: Pixels.
        bit_depth: Bits a channel.
        colour_type: 0 grey, 2 RGB (PNG specification, section 11.2.1).
        rows: The rows' bytes, without their filter byte.

    Returns:
        The file.
    """
    packer = zlib.compressobj(6)
    packed = b"".join(packer.compress(b"\0" + row) for row in rows) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, bit_depth, colour_type, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", packed), (b"IEND", b""))
    body = b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


def tiff(folder: Path, pages: list[Pixels]) -> Built:
    """Save as TIFF with pages, which the wiki always converts."""
    first, *others = [Image.fromarray(page) for page in pages]
    first.save(folder / "file.tif", save_all=True, append_images=others, compression="tiff_lzw")
    return Built("file.tif", first.width, first.height, pagecount=len(pages))


def pdf(folder: Path, pages: list[Pixels]) -> Built:
    """Save as PDF with a picture on each page."""
    images = [Image.fromarray(page) for page in pages]
    images[0].save(folder / "file.pdf", save_all=True, append_images=images[1:], resolution=100.0)
    names = tuple(f"page{number}.png" for number in range(1, len(pages) + 1))
    for name, image in zip(names, images, strict=True):
        image.save(folder / name, compress_level=3)
    return Built("file.pdf", images[0].width, images[0].height, pagecount=len(pages), renders=names)


def svg(folder: Path, *, broken: bool = False) -> Built:
    """Write a drawing.

    Args:
        folder: Where to write.
        broken: Leave its end away, so that no renderer takes it.

    Returns:
        What was built.
    """
    text = (
        '<svg xmlns="http://www.w3.org/2000/svg" width="512" height="384" viewBox="0 0 512 384">'
        '<rect width="512" height="384" fill="#bcd7ee"/><circle cx="400" cy="90" r="46" fill="#f6c945"/>'
        '<path d="M0 300 L150 140 L260 270 L340 190 L512 320 V384 H0 Z" fill="#5b7d4a"/>'
        '<path d="M90 384 V300 h70 v84 Z M80 304 l45 -40 l45 40 Z" fill="#94543a"/></svg>'
    )
    (folder / "file.svg").write_text(text[: len(text) // 2] if broken else text, encoding="utf-8")
    return Built("file.svg", 512, 384)


def corrupt_jpeg(folder: Path, pixels: Pixels) -> Built:
    """Save a JPEG whose headers are overwritten; the wiki could not even tell its size."""
    jpeg(folder, pixels)
    content = bytearray((folder / "file.jpg").read_bytes())
    content[4:700] = bytes(range(1, 175)) * 4
    (folder / "file.jpg").write_bytes(bytes(content))
    return Built("file.jpg", 0, 0, thumbnails=False)


def empty(folder: Path) -> Built:
    """Write a file of no bytes."""
    (folder / "file.jpg").write_bytes(b"")
    return Built("file.jpg", 0, 0, thumbnails=False)


def stl(folder: Path) -> Built:
    """Write a tetrahedron as STL, of which this wiki makes no picture."""
    corners = ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1))
    faces = ((0, 2, 1), (0, 1, 3), (0, 3, 2), (1, 2, 3))
    triangles = b"".join(
        struct.pack("<12fH", 0, 0, 0, *(value for corner in face for value in corners[corner]), 0)
        for face in faces
    )
    header = b"tetrahedron".ljust(80, b" ") + struct.pack("<I", len(faces))
    (folder / "file.stl").write_bytes(header + triangles)
    return Built("file.stl", 640, 480, thumbnails=False)

"""Thumbnails the way the wiki renders them: on the first request, at the width asked, then from memory.

JPEG at quality 80 for photographs and pages, PNG for what may be transparent. Renditions are cached by stored
file, so ten thousand bulk uploads that share a few pictures cost a few renderings.
"""

import io
import threading
from pathlib import Path

from PIL import Image, ImageOps

from bot.minicommons.plan import StoredFile

_JPEG_QUALITY = 80
_PNG_TYPES = frozenset({"image/png", "image/svg+xml", "image/webp", "application/sla"})


class Unrenderable(Exception):
    """The wiki cannot make a thumbnail of this file."""


class Thumbnails:
    """A rendering cache in memory.

    Args:
        directory: The corpus folder.
        max_bytes: The cache is emptied when it has grown past this.
    """

    def __init__(self, directory: Path, max_bytes: int = 64 * 2**20) -> None:
        self._directory = directory
        self._max_bytes = max_bytes
        self._cache: dict[tuple[str, int, int], bytes] = {}
        self._size_bytes = 0
        self._lock = threading.Lock()

    def render(self, file: StoredFile, width: int, page: int) -> bytes:
        """A thumbnail's bytes.

        Args:
            file: The stored file.
            width: Width in pixels.
            page: 1-based page; 1 for what has no pages.

        Returns:
            JPEG, PNG or GIF bytes, see `thumbnail_type`.

        Raises:
            Unrenderable: Where the picture cannot be read, or the page does not exist.
        """
        key = (file.path, width, page)
        # One lock for cache and rendering: a second request for the same picture waits instead of working.
        with self._lock:
            if key not in self._cache:
                if self._size_bytes > self._max_bytes:
                    self._cache.clear()
                    self._size_bytes = 0
                self._cache[key] = self._rendered(file, width, page)
                self._size_bytes += len(self._cache[key])
            return self._cache[key]

    def _rendered(self, file: StoredFile, width: int, page: int) -> bytes:
        if not file.thumbnails:
            raise Unrenderable(file.path)
        try:
            if file.mime == "image/svg+xml":
                return render_svg(self._directory / file.path, width)
            source = file.renders[page - 1] if file.renders else file.path
            with Image.open(self._directory / source) as image:
                image.draft("RGB", (width, width))
                if not file.renders and page > 1:
                    image.seek(page - 1)
                return _encoded(_scaled(image, width), thumbnail_type(file.mime))
        except (OSError, ValueError, IndexError, EOFError, SyntaxError) as error:
            raise Unrenderable(f"{file.path} page {page}: {error}") from error


def thumbnail_type(mime: str) -> str:
    """Content type of the thumbnails of an original's type."""
    if mime == "image/gif":
        return "image/gif"
    return "image/png" if mime in _PNG_TYPES else "image/jpeg"


def render_svg(path: Path, width: int) -> bytes:
    """Render an SVG as the wiki does.

    Args:
        path: The SVG.
        width: Width in pixels.

    Returns:
        PNG bytes.

    Raises:
        ValueError: Where it cannot be rendered.
    """
    import resvg_py

    return bytes(resvg_py.svg_to_bytes(svg_path=str(path), width=width))


def _scaled(image: Image.Image, width: int) -> Image.Image:
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16") or image.mode == "I":
        image = image.convert("I").point(lambda value: value / 256).convert("L")
    if image.mode == "P":
        image = image.convert("RGBA")
    if image.mode not in {"RGB", "RGBA", "L"}:
        image = image.convert("RGB")
    height = max(1, round(image.height * width / image.width))
    return image.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3.0)


def _encoded(image: Image.Image, mime: str) -> bytes:
    buffer = io.BytesIO()
    if mime == "image/jpeg":
        image.convert("RGB").save(buffer, "JPEG", quality=_JPEG_QUALITY)
    elif mime == "image/gif":
        image.save(buffer, "GIF")
    else:
        image.save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()

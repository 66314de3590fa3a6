"""The frozen values of an upload on its way; what is stored of them lives in `storage.values`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

RenditionKind = Literal["thumbnail", "original", "derivative"]


@dataclass(frozen=True, slots=True)
class Part:
    """One file to download for an upload.

    Attributes:
        url: Exactly as the API gave it.
        page: 1-based page of a document, else None.
        sha1_hex: Expected SHA-1 where the URL is that of an original, else None.
        size_bytes: Expected size where the API tells it, else None.
    """

    url: str
    page: int | None = None
    sha1_hex: str | None = None
    size_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Rendition:
    """What to download to score an upload.

    Attributes:
        kind: A reduced picture, the original file, or a video's transcoded derivative.
        parts: One, or several pages of a document.
        width_px: Width as the API tells it.
        max_bytes: Limit for each part.
    """

    kind: RenditionKind
    parts: tuple[Part, ...]
    width_px: int | None
    max_bytes: int


@dataclass(frozen=True, slots=True)
class DownloadedPart:
    """A part on the local disk.

    Attributes:
        path: Where it lies; whoever asked for the download deletes it.
        page: As in the part.
        size_bytes: Bytes received.
    """

    path: Path
    page: int | None
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Downloaded:
    """A rendition on the local disk.

    Attributes:
        rendition: What was asked for.
        parts: Its files.
        seconds: How long it took.
    """

    rendition: Rendition
    parts: tuple[DownloadedPart, ...]
    seconds: float

    def record(self) -> Mapping[str, str | int | float | None]:
        """What the store keeps about it."""
        return {
            "url": self.rendition.parts[0].url,
            "kind": self.rendition.kind,
            "width_px": self.rendition.width_px,
            "parts": len(self.parts),
            "bytes": sum(part.size_bytes for part in self.parts),
        }

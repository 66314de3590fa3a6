"""The frozen values of an upload on its way; what is stored of them lives in `storage.values`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from classifier.values import MediaPart

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
        max_bytes: Limit of what is fetched for each part.
        by_ranges: Whether it may pay to fetch only what is looked at, since it is a large video.
    """

    kind: RenditionKind
    parts: tuple[Part, ...]
    width_px: int | None
    max_bytes: int
    by_ranges: bool = False


class Fetching(Protocol):
    """A `classifier.values.BlockSource` that counts what it does; see `bot.media.ranges.RangedFile`."""

    @property
    def size_bytes(self) -> int:
        """Size of the whole file."""
        ...

    @property
    def fetched_bytes(self) -> int:
        """Bytes received so far."""
        ...

    @property
    def requests(self) -> int:
        """Requests made so far."""
        ...

    @property
    def seconds(self) -> float:
        """How long all of it took so far."""
        ...

    def ensure(self, offset: int, length: int) -> int:
        """See `classifier.values.BlockSource.ensure`."""
        ...


@dataclass(frozen=True, slots=True)
class DownloadedPart:
    """A part on the local disk.

    Attributes:
        path: Where it lies; whoever asked for the download deletes it.
        page: As in the part.
        size_bytes: Size of the file.
        source: What fetches the bytes that are still missing; None where all were received.
    """

    path: Path
    page: int | None
    size_bytes: int
    source: Fetching | None = None

    @property
    def received_bytes(self) -> int:
        """Bytes received so far."""
        return self.size_bytes if self.source is None else self.source.fetched_bytes


@dataclass(frozen=True, slots=True)
class Downloaded:
    """A rendition on the local disk.

    Attributes:
        rendition: What was asked for.
        parts: Its files.
        seconds: How long it took, but for what the parts' sources do.
    """

    rendition: Rendition
    parts: tuple[DownloadedPart, ...]
    seconds: float

    @property
    def received_bytes(self) -> int:
        """Bytes received so far."""
        return sum(part.received_bytes for part in self.parts)

    @property
    def transfer_s(self) -> float:
        """How long fetching has taken so far in seconds, what was fetched while decoding included."""
        return self.seconds + sum(part.source.seconds for part in self.parts if part.source is not None)

    def media_parts(self) -> list[MediaPart]:
        """The files as the decoder takes them."""
        return [MediaPart(part.path, part.page, part.source) for part in self.parts]

    def record(self) -> Mapping[str, str | int | float | None]:
        """What the store keeps about it; `of_bytes` and `requests` only where not all had to be fetched."""
        sources = [part.source for part in self.parts if part.source is not None]
        by_ranges = {
            "of_bytes": sum(part.size_bytes for part in self.parts),
            "requests": sum(source.requests for source in sources),
        }
        return {
            **(by_ranges if sources else {}),
            "url": self.rendition.parts[0].url,
            "kind": self.rendition.kind,
            "width_px": self.rendition.width_px,
            "parts": len(self.parts),
            "bytes": self.received_bytes,
        }

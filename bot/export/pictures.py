"""Where an export's pictures come from: earlier exports, the kept copies, the wiki again; in this order.

Each source is asked for an item and gives bytes or says why not. What no source has is listed as missing.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from storage.export import ExportItem

Origin = Literal["kept", "earlier", "fetched"]
MAX_PICTURE_BYTES = 64 << 20
NOT_KEPT = "not_kept"
HIDDEN = "hidden"
"""The wiki hides the version that was scored: it is not even listed."""
SUFFIXES: Mapping[str, str] = {
    "image/jpeg": ".jpg",
    "image/png": ".png",
    "image/webp": ".webp",
    "image/gif": ".gif",
}


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of an item.

    Attributes:
        content: Its bytes.
        suffix: Ending for its file's name, `.jpg`.
        origin: Where it came from.
    """

    content: bytes
    suffix: str
    origin: Origin

    @property
    def sha256(self) -> str:
        """Of the bytes, lower-case hex."""
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True, slots=True)
class NoPicture:
    """Why there is none.

    Attributes:
        code: Stable name: `not_kept`, `deleted`, `hidden`, `damaged`, `not_a_picture`, …
        message: One sentence.
    """

    code: str
    message: str


class Pictures(Protocol):
    """A source of pictures."""

    def prepare(self, items: Sequence[ExportItem]) -> None:
        """Hear which items are about to be asked for, so that one question can serve many.

        Raises:
            ServiceDown: The source is out of reach; no item is to blame.
        """
        ...

    def open(self, item: ExportItem) -> Picture | NoPicture:
        """The picture of an item.

        Raises:
            ServiceDown: The source is out of reach; no item is to blame.
        """
        ...


class KeptPictures:
    """The kept copies: a folder of files `AA/BB/<sha256>.jpg`, AA and BB being the first digits of the name.

    Args:
        folder: Where they lie; it may be missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def prepare(self, items: Sequence[ExportItem]) -> None:
        """See `Pictures.prepare`; a disk needs no warning."""

    def open(self, item: ExportItem) -> Picture | NoPicture:
        """See `Pictures.open`; a file whose bytes are not those of its name is `damaged`."""
        if item.kept is None:
            return NoPicture(NOT_KEPT, "No picture of it was kept, or it was purged.")
        sha256, suffix = item.kept.sha256, SUFFIXES.get(item.kept.media_type, ".jpg")
        content = read_bounded(self._folder / sha256[:2] / sha256[2:4] / f"{sha256}{suffix}")
        if content is None:
            return NoPicture(NOT_KEPT, "The kept picture is not on the disk.")
        picture = Picture(content, suffix, "kept")
        if picture.sha256 != sha256:
            return NoPicture("damaged", "The kept picture is not what was kept.")
        return picture


class FirstOf:
    """Several sources; the first that has a picture gives it.

    Args:
        local: Sources on this machine, in the order in which they are asked; they need no preparation.
        remote: Asked last, and told beforehand of what the others lack; None asks nobody.
    """

    def __init__(self, local: Sequence[Pictures], remote: Pictures | None = None) -> None:
        self._local, self._remote = local, remote

    def prepare(self, items: Sequence[ExportItem]) -> None:
        """See `Pictures.prepare`."""
        if self._remote is not None:
            lacking = [item for item in items if isinstance(self._here(item), NoPicture)]
            self._remote.prepare(lacking)

    def open(self, item: ExportItem) -> Picture | NoPicture:
        """See `Pictures.open`; where none has one, what the last source says."""
        found = self._here(item)
        return found if isinstance(found, Picture) or self._remote is None else self._remote.open(item)

    def _here(self, item: ExportItem) -> Picture | NoPicture:
        answer: Picture | NoPicture = NoPicture(NOT_KEPT, "No picture of it was kept, or it was purged.")
        for source in self._local:
            answer = source.open(item)
            if isinstance(answer, Picture):
                return answer
        return answer


def read_bounded(path: Path) -> bytes | None:
    """Read a picture.

    Args:
        path: The file.

    Returns:
        Its bytes; None where it is not there, no plain file, or larger than a picture may be.
    """
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > MAX_PICTURE_BYTES:
            return None
        return path.read_bytes()
    except OSError:
        return None


__all__ = [
    "HIDDEN",
    "MAX_PICTURE_BYTES",
    "NOT_KEPT",
    "SUFFIXES",
    "FirstOf",
    "KeptPictures",
    "NoPicture",
    "Picture",
    "Pictures",
    "read_bounded",
]

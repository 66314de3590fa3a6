"""The folder that is exported to: finished exports `0001`, `0002`, …, and `.partial`, which is being made.

An export appears by renaming `.partial`, so that a killed one leaves no half dataset under a name that
anybody reads. Pictures that were fetched are noted as they come; the next run takes them over instead of
asking the wiki again. Rows are written anew each time: they are cheap, and may have changed.
"""

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

from bot.errors import ConfigError
from bot.export import private
from bot.export.fetching import suffix_of
from bot.export.pictures import NoPicture, Picture, read_bounded
from storage.export import ExportItem

PARTIAL = ".partial"
MANIFEST = "feedback.jsonl"
WITHDRAWN = "withdrawn.csv"
PICTURES = "pictures"
NOTES = "fetched.jsonl"
_FINISHED = re.compile(r"\d{4,}")
_KEPT_OF_PARTIAL = (PICTURES, NOTES)


@dataclass(frozen=True, slots=True)
class Earlier:
    """What the latest export of an item held.

    Attributes:
        version: Of the row; equal where nothing changed.
        picture: Where its picture lies; None where it had none.
        withdrawn: Whether a later export withdrew the item.
    """

    version: str
    picture: Path | None
    withdrawn: bool = False


class ExportFolder:
    """One process at a time exports to a folder.

    Args:
        root: The folder; made where it is not there.

    Raises:
        ConfigError: It cannot be used, or another export is under way.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        try:
            private.folder(root)
            self._lock = FileLock(root / ".lock", mode=private.FILE_MODE)
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise ConfigError(f"{root}: another export is under way there") from error
        except OSError as error:
            raise ConfigError(f"{root}: cannot be used: {error.strerror or error}") from error

    @property
    def partial(self) -> Path:
        """Where the present export is made."""
        return self.root / PARTIAL

    def finished(self) -> list[Path]:
        """The exports that are complete, oldest first."""
        names = [path.name for path in self.root.iterdir() if _FINISHED.fullmatch(path.name)]
        return [self.root / name for name in sorted(names, key=int)]

    def next_name(self) -> str:
        """How the present export will be called."""
        done = self.finished()
        return f"{int(done[-1].name) + 1 if done else 1:04}"

    def begin(self) -> None:
        """Clear what a killed export left, but for the pictures it had fetched."""
        private.folder(self.partial)
        for path in self.partial.iterdir():
            if path.name not in _KEPT_OF_PARTIAL:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()

    def earlier(self) -> dict[str, Earlier]:
        """The latest export of every item, by public id."""
        found: dict[str, Earlier] = {}
        for folder in self.finished():
            for row in _lines(folder / MANIFEST):
                picture = folder / row["path"] if row.get("path") else None
                found[row["item_id"]] = Earlier(row["version"], picture)
            for item_id in withdrawn_in(folder):
                if item_id in found:
                    found[item_id] = Earlier(found[item_id].version, None, withdrawn=True)
        return found

    def put(self, picture: Picture) -> Path:
        """Lay a picture into the present export, once for equal bytes.

        Args:
            picture: The picture.

        Returns:
            Its path below the export.
        """
        sha256 = picture.sha256
        below = Path(PICTURES) / sha256[:2] / sha256[2:4] / f"{sha256}{picture.suffix}"
        target = self.partial / below
        if not target.exists():
            beside = target.with_name(f".{target.name}")
            with private.created(beside) as file:
                file.write(picture.content)
            beside.replace(target)
        return below

    def publish(self, used: frozenset[str]) -> Path:
        """Make the present export a finished one.

        Args:
            used: Names of the pictures' files that its rows speak of; others are deleted.

        Returns:
            Its folder.
        """
        (self.partial / NOTES).unlink(missing_ok=True)
        pictures = self.partial / PICTURES
        for path in list(pictures.rglob("*")) if pictures.is_dir() else []:
            if path.is_file() and path.name not in used:
                path.unlink()
        target = self.root / self.next_name()
        self.partial.rename(target)
        for folder in (target, self.root):
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        return target

    def drop(self) -> None:
        """Leave nothing of the present export behind."""
        shutil.rmtree(self.partial, ignore_errors=True)

    def close(self) -> None:
        """Let others export."""
        self._lock.release()


class Notes:
    """Which pictures the present export has fetched; asked before the wiki is.

    Args:
        folder: The folder that is exported to.
    """

    def __init__(self, folder: ExportFolder) -> None:
        self._folder = folder
        self._path = folder.partial / NOTES
        self._known = {row["upload_id"]: folder.partial / row["path"] for row in _lines(self._path)}
        self._file: IO[bytes] | None = None

    def prepare(self, items: Sequence[ExportItem]) -> None:
        """See `Pictures.prepare`."""

    def open(self, item: ExportItem) -> Picture | NoPicture:
        """See `Pictures.open`."""
        path = self._known.get(item.upload_id)
        content = None if path is None else read_bounded(path)
        if path is None or content is None:
            return NoPicture("not_fetched", "It was not fetched before.")
        picture = Picture(content, path.suffix, "fetched")
        return picture if picture.sha256 == path.stem else NoPicture("damaged", "It is not what was fetched.")

    def add(self, item: ExportItem, below: Path) -> None:
        """Note a picture that was fetched and put."""
        if self._file is None:
            # A line that was cut off when a process was killed must not swallow the next one.
            self._file = os.fdopen(
                os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, private.FILE_MODE), "ab"
            )
            self._file.write(b"\n")
        line = json.dumps({"upload_id": item.upload_id, "path": below.as_posix()})
        self._file.write(line.encode() + b"\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


class EarlierPictures:
    """Pictures of the exports before; see `bot.export.pictures.Pictures`.

    Args:
        earlier: As `ExportFolder.earlier` gives it.
    """

    def __init__(self, earlier: Mapping[str, Earlier]) -> None:
        self._earlier = earlier

    def prepare(self, items: Sequence[ExportItem]) -> None:
        """See `Pictures.prepare`."""

    def open(self, item: ExportItem) -> Picture | NoPicture:
        """See `Pictures.open`."""
        before = self._earlier.get(item.item_id)
        content = None if before is None or before.picture is None else read_bounded(before.picture)
        suffix = None if content is None else suffix_of(content)
        if content is None or suffix is None:
            return NoPicture("not_exported", "No earlier export has it.")
        return Picture(content, suffix, "earlier")


def withdrawn_in(folder: Path) -> list[str]:
    """The items that an export withdraws from those before it."""
    path = folder / WITHDRAWN
    return path.read_text(encoding="utf-8").splitlines()[1:] if path.is_file() else []


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """Rows of a file of JSON Lines; the cut-off line of a killed process is passed over."""
    if not path.is_file():
        return
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                continue
            yield row


__all__ = [
    "MANIFEST",
    "NOTES",
    "PARTIAL",
    "WITHDRAWN",
    "Earlier",
    "EarlierPictures",
    "ExportFolder",
    "Notes",
    "withdrawn_in",
]

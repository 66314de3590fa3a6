"""A collection on the disk: two journals, the pictures, and what is made of them.

    OUT/categories.jsonl   what was in which category
    OUT/files.jsonl        what became of which file
    OUT/pictures/          the pictures, named by the SHA-1 of the original that they show
    OUT/collected.csv      the manifest, made anew from the above
    OUT/sources.jsonl      for each picture of it: title, page, author, licence, version
    OUT/left-out.csv       whatever was met and is not in it, and why

Nothing here depends on the plan, so a plan can grow, and what is known is not asked again. Everything is
private to its owner: what is collected may be explicit.
"""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from filelock import FileLock, Timeout

from bot.collecting.journal import Journal
from bot.collecting.values import LeftOut, Listing, Outcome
from bot.describing.values import Description
from bot.errors import ConfigError
from classifier import atomic_file
from classifier.datasets import manifest
from classifier.datasets.sources import PICTURE_SUFFIXES, VIDEO_SUFFIXES
from classifier.datasets.values import Dataset

PICTURES: Final = "pictures"
PARTIAL: Final = ".partial"
MANIFEST: Final = "collected.csv"
SOURCES: Final = "sources.jsonl"
LEFT_OUT: Final = "left-out.csv"
_LEFT_OUT_COLUMNS: Final = ("title", "code", "message", "label", "category")


class Collection:
    """What has been collected so far; opened by one process at a time.

    Args:
        folder: The folder, made where it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.listings: dict[str, Listing] = {}
        self.outcomes: dict[str, Outcome] = {}
        self._categories = Journal(self.folder / "categories.jsonl")
        self._files = Journal(self.folder / "files.jsonl")

    @contextmanager
    def opened(self) -> Iterator["Collection"]:
        """Read what is known; no other process can, until the block ends.

        Yields:
            The collection itself.

        Raises:
            ConfigError: The folder cannot be used, another process uses it, or a journal is damaged.
        """
        try:
            for folder in (self.folder, self.folder / PICTURES, self.folder / PARTIAL):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = FileLock(self.folder / ".lock", timeout=0)
            lock.acquire()
        except Timeout as error:
            raise ConfigError(f"{self.folder}: another process is collecting into it") from error
        except OSError as error:
            raise ConfigError(f"{self.folder}: cannot be used: {error.strerror}") from error
        try:
            self._read()
            yield self
        finally:
            lock.release()

    def add_listing(self, category: str, listing: Listing) -> None:
        """Remember what is in a category.

        Raises:
            ConfigError: The journal cannot be written.
        """
        self._categories.append({"category": category, **asdict(listing)})
        self.listings[category] = listing

    def forget_listings(self) -> None:
        """Let every category be listed again.

        Raises:
            ConfigError: The journal cannot be removed.
        """
        self._categories.remove()
        self.listings = {}

    def add_outcome(self, outcome: Outcome) -> None:
        """Remember what became of a file.

        Raises:
            ConfigError: The journal cannot be written.
        """
        self._files.append(asdict(outcome))
        self.outcomes[outcome.title] = outcome

    def take_in(self, path: Path, sha1_hex: str, url: str) -> str:
        """Move a downloaded file to its place; whoever looks sees nothing of it, or all.

        Args:
            path: The file, on the same disk.
            sha1_hex: Of the original that it shows.
            url: Where it came from; only its ending counts.

        Returns:
            Its path relative to the collection.

        Raises:
            ConfigError: It cannot be moved.
        """
        suffix = Path(urlsplit(url).path).suffix.lower()
        known = suffix if suffix in PICTURE_SUFFIXES | VIDEO_SUFFIXES else ".img"
        name = f"{PICTURES}/{sha1_hex}{known}"
        try:
            path.replace(self.folder / name)
        except OSError as error:
            raise ConfigError(f"{self.folder / name}: cannot be written: {error.strerror}") from error
        return name

    def holding(self, sha1_hex: str) -> Outcome | None:
        """The outcome that brought a picture of this original, if it is still on the disk."""
        outcome = self._by_sha1.get(sha1_hex)
        return outcome if outcome is not None and (self.folder / outcome.file).is_file() else None

    def remember_picture(self, outcome: Outcome) -> None:
        """Let `holding` know of a picture."""
        if outcome.file and outcome.description is not None and outcome.description.sha1_hex:
            self._by_sha1.setdefault(outcome.description.sha1_hex, outcome)

    def write(
        self, dataset: Dataset, sources: Sequence[Mapping[str, Any]], left_out: Sequence[LeftOut]
    ) -> Path:
        """Write what is made of the collection; each file is replaced as a whole.

        Args:
            dataset: The pictures of the plan.
            sources: What is to be said of each.
            left_out: What was met and is not among them.

        Returns:
            The manifest.

        Raises:
            ConfigError: A file cannot be written.
            DatasetError: The manifest cannot be written.
        """
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(_LEFT_OUT_COLUMNS)
        rows.writerows([getattr(one, name) for name in _LEFT_OUT_COLUMNS] for one in left_out)
        lines = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in sources)
        try:
            atomic_file.write(self.folder / LEFT_OUT, text.getvalue().encode())
            atomic_file.write(self.folder / SOURCES, lines.encode())
        except OSError as error:
            raise ConfigError(f"{self.folder}: cannot be written: {error.strerror}") from error
        path = self.folder / MANIFEST
        if dataset.items:
            manifest.write(dataset, path)
        return path

    def _read(self) -> None:
        self._by_sha1: dict[str, Outcome] = {}
        self.listings = {}
        self.outcomes = {}
        try:
            for line in self._categories.read():
                category = line.pop("category")
                line["files"], line["subcategories"] = tuple(line["files"]), tuple(line["subcategories"])
                self.listings[category] = Listing(**line)
            for line in self._files.read():
                described = line.pop("description")
                description = None if described is None else Description(**described)
                outcome = Outcome(**line, description=description)
                self.outcomes[outcome.title] = outcome
                self.remember_picture(outcome)
        except (KeyError, TypeError) as error:
            raise ConfigError(
                f"{self.folder}: its journals are of another version of this program ({error})"
            ) from error


__all__ = ["LEFT_OUT", "MANIFEST", "PARTIAL", "PICTURES", "SOURCES", "Collection"]

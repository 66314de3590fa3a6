"""The state of the miniature wiki: files with their versions, redirects, and the log.

Thread-safe; readers get immutable values. Times of versions and log entries are whole seconds, as in
MediaWiki.
"""

import hashlib
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from bot.minicommons.plan import MediaFault, StoredFile
from bot.minicommons.titles import base36_sha1, file_name, normalized

FIRST_LOG_ID = 400_000_001
FIRST_PAGE_ID = 150_000_001


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One line of Special:Log.

    Attributes:
        log_id: Unique per wiki.
        type: `upload`, `delete`, `move`, …
        action: `upload`, `overwrite`, `delete`, …
        title: What it is about.
        user: Who did it.
        timestamp: When, whole seconds.
        comment: The summary.
        params: As the event carries them.
    """

    log_id: int
    type: str
    action: str
    title: str
    user: str
    timestamp: datetime
    comment: str
    params: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a file.

    Attributes:
        file: Bytes and facts.
        entry: The log entry it came with.
        archivename: Set once a newer version exists.
        suppressed: Whether its bytes are hidden.
        suffix: Bytes that follow the stored file's, to give bulk uploads bytes of their own.
        size_bytes: Length with the suffix.
        sha1_hex: Hash with the suffix.
    """

    file: StoredFile
    entry: LogEntry
    archivename: str | None = None
    suppressed: bool = False
    suffix: bytes = b""
    size_bytes: int = 0
    sha1_hex: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """A file and all its versions, the newest first."""

    page_id: int
    title: str
    versions: tuple[Version, ...]


class MiniWiki:
    """Files, redirects and the log.

    Args:
        directory: The corpus folder that stored files' paths start from.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._lock = threading.RLock()
        self._pages: dict[str, Page] = {}
        self._names: dict[str, str] = {}
        self._redirects: dict[str, str] = {}
        self._unseen: dict[str, int] = {}
        self._faults: dict[str, MediaFault] = {}
        self._log: list[LogEntry] = []
        self._hashes: dict[str, hashlib._Hash] = {}

    def _record(
        self,
        kind: str,
        action: str,
        title: str,
        user: str,
        when: datetime,
        comment: str,
        params: Mapping[str, str],
    ) -> LogEntry:
        entry = LogEntry(
            FIRST_LOG_ID + len(self._log),
            kind,
            action,
            title,
            user,
            when.replace(microsecond=0),
            comment,
            params,
        )
        self._log.append(entry)
        return entry

    def upload(
        self, title: str, file: StoredFile, user: str, when: datetime, comment: str, suffix: bytes = b""
    ) -> LogEntry:
        """Store a file, over an older version where there is one.

        Args:
            title: Full title.
            file: Bytes and facts.
            user: Uploader.
            when: Time of the upload.
            comment: Summary, usually the description page's text.
            suffix: Bytes to append to the stored ones.

        Returns:
            The log entry.
        """
        title, when = normalized(title), when.astimezone(UTC).replace(microsecond=0)
        with self._lock:
            page = self._pages.get(title)
            sha1_hex = self._sha1(file, suffix)
            params = {"img_sha1": base36_sha1(sha1_hex), "img_timestamp": when.strftime("%Y%m%d%H%M%S")}
            action = "overwrite" if page else "upload"
            entry = self._record("upload", action, title, user, when, comment, params)
            version = Version(
                file, entry, suffix=suffix, size_bytes=file.size_bytes + len(suffix), sha1_hex=sha1_hex
            )
            older: tuple[Version, ...] = ()
            if page:
                # MediaWiki names an old version by its own time stamp.
                stamp = page.versions[0].entry.timestamp.strftime("%Y%m%d%H%M%S")
                archivename = f"{stamp}!{file_name(title)}"
                older = (replace(page.versions[0], archivename=archivename), *page.versions[1:])
            page_id = page.page_id if page else FIRST_PAGE_ID + len(self._log)
            self._put(Page(page_id, title, (version, *older)))
            return entry

    def _sha1(self, file: StoredFile, suffix: bytes) -> str:
        if not suffix:
            return file.sha1_hex
        if file.path not in self._hashes:
            content = (self.directory / file.path).read_bytes()
            self._hashes[file.path] = hashlib.sha1(content, usedforsecurity=False)
        digest = self._hashes[file.path].copy()
        digest.update(suffix)
        return digest.hexdigest()

    def _put(self, page: Page) -> None:
        self._pages[page.title] = page
        self._names[file_name(page.title)] = page.title

    def delete(self, title: str, user: str, when: datetime, comment: str) -> LogEntry:
        """Delete a file with all its versions."""
        with self._lock:
            page = self._pages.pop(normalized(title))
            return self._record("delete", "delete", page.title, user, when, comment, {})

    def move(self, title: str, target: str, user: str, when: datetime, comment: str) -> LogEntry:
        """Rename a file and leave a redirect."""
        with self._lock:
            page = self._pages.pop(normalized(title))
            target = normalized(target)
            self._redirects[page.title] = target
            self._put(replace(page, title=target))
            params = {"target": target, "noredir": "0"}
            return self._record("move", "move", page.title, user, when, comment, params)

    def suppress(self, title: str) -> None:
        """Hide the bytes of every version of a file."""
        with self._lock:
            page = self._pages[normalized(title)]
            hidden = tuple(replace(version, suppressed=True) for version in page.versions)
            self._put(replace(page, versions=hidden))

    def hide_from_lookups(self, title: str, times: int) -> None:
        """Let the next look-ups of a file answer `missing`, as a lagging replica does."""
        with self._lock:
            self._unseen[normalized(title)] = times

    def look_up(self, title: str) -> Page | None:
        """A file by its title, for the API.

        Args:
            title: Normalized title.

        Returns:
            The page, or None where there is none (or a replica has not seen it yet).
        """
        with self._lock:
            left = self._unseen.get(title, 0)
            if left:
                self._unseen[title] = left - 1
                return None
            return self._pages.get(title)

    def newest_timestamp(self, title: str) -> datetime | None:
        """Time of a file's newest version, or None where there is no such file."""
        with self._lock:
            page = self._pages.get(normalized(title))
            return page.versions[0].entry.timestamp if page else None

    def page_id_of(self, title: str) -> int:
        """The id of a page, 0 where there is none; not a look-up that a replica could miss."""
        with self._lock:
            page = self._pages.get(title)
            return page.page_id if page else 0

    def redirect_of(self, title: str) -> str | None:
        """Where a title leads to, or None."""
        with self._lock:
            return None if title in self._pages else self._redirects.get(title)

    def version_at(self, name: str, *, archived: bool) -> tuple[str, Version] | None:
        """A version by its name in addresses.

        Args:
            name: File name with underscores, or archive name.
            archived: Which of the two it is.

        Returns:
            Title and version, or None.
        """
        with self._lock:
            title = self._names.get(name.partition("!")[2] if archived else name)
            page = self._pages.get(title) if title else None
            if page is None:
                return None
            wanted = name if archived else None
            return next(((page.title, v) for v in page.versions if v.archivename == wanted), None)

    def set_fault(self, title: str, fault: MediaFault) -> None:
        """Let the media server misbehave for a file."""
        with self._lock:
            self._faults[normalized(title)] = fault

    def take_fault(self, title: str) -> MediaFault | None:
        """The fault that the next request for a file meets; counts it down."""
        with self._lock:
            fault = self._faults.get(title)
            if fault is None or fault.kind == "none" or fault.times == 0:
                return None
            if fault.times > 0:
                self._faults[title] = replace(fault, times=fault.times - 1)
            return fault

    def log(self, kind: str | None, *, newest_first: bool) -> Iterator[LogEntry]:
        """The log in order.

        Args:
            kind: Only this type, or None.
            newest_first: Direction.

        Returns:
            The entries, ordered by time and id.
        """
        with self._lock:
            entries = [entry for entry in self._log if kind is None or entry.type == kind]
        entries.sort(key=lambda entry: (entry.timestamp, entry.log_id), reverse=newest_first)
        return iter(entries)

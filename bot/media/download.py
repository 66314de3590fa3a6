"""Fetch a rendition onto the local disk: bounded, polite, verified, and from configured hosts only.

A failure of one file is `SkipUpload` or `RetryLater`; a host that cannot be reached, a full disk or the end
of the bot is `ServiceDown`, for which no upload is to blame.  Whatever happens, no file stays behind: what is
not returned is removed, and what a killed process left is swept away at the next start.
"""

import hashlib
import logging
import os
import re
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import requests

from bot.errors import RetryLater, ServiceDown, SkipUpload
from bot.media.address_gate import Resolver, system_resolver
from bot.media.ranges import RangedFile, disk_to_blame
from bot.media.transfer import UNAVAILABLE, Transfers
from bot.media.watchdog import Patience, Watch
from bot.settings import MediaSettings
from bot.upload import Downloaded, DownloadedPart, Part, Rendition

logger = logging.getLogger(__name__)

_PREFIX: Final = "upload-"


class Downloader:
    """Fetches renditions; threads share it.

    Args:
        settings: Hosts, limits and timeouts.
        user_agent: The User-Agent header, with a contact.
        stop: Ends every download when it is set.
        resolver: Looks host names up.
        log_addresses: Whether the log may name what was asked for.
    """

    def __init__(
        self,
        settings: MediaSettings,
        user_agent: str,
        stop: threading.Event | None = None,
        *,
        resolver: Resolver = system_resolver,
        log_addresses: bool = True,
    ) -> None:
        self._settings = settings
        self._transfers = Transfers(
            settings,
            user_agent,
            stop or threading.Event(),
            resolver=resolver,
            log_addresses=log_addresses,
        )

    def download(
        self, rendition: Rendition, *, may_have_holes: bool = False, patience: Patience | None = None
    ) -> Downloaded:
        """Fetch every part, one after the other.

        Args:
            rendition: What to fetch.
            may_have_holes: Whether of a large video (`Rendition.by_ranges`) only the first bytes are fetched
                now, if its host hands out ranges. The part then has a `source`, without which its file is of
                no use: bytes that are missing read as zeros.
            patience: Of whoever waits for it, for all that is fetched of it; None: no end.

        Returns:
            The files; the caller hands them to `discard` when they are no longer needed.

        Raises:
            SkipUpload: `too_large`.
            RetryLater: It is not there, not whole or not what was promised; perhaps it will be.
            ServiceDown: The host cannot be reached, the disk cannot be written, or the bot is stopping.
        """
        if may_have_holes and rendition.by_ranges:
            return self._begin(rendition, patience)
        with self._transfers.slot(patience), ExitStack() as undo:
            started = time.monotonic()
            parts = []
            with self._transfers.watch(self._settings.total_timeout_s, patience) as watch:
                for part in rendition.parts:
                    path = self._new_file()
                    undo.callback(path.unlink, missing_ok=True)
                    size_bytes = self._fetch(part, rendition, path, watch)
                    parts.append(DownloadedPart(path, part.page, size_bytes))
            undo.pop_all()
        return Downloaded(rendition, tuple(parts), time.monotonic() - started)

    def discard(self, downloaded: Downloaded) -> None:
        """Delete what was fetched; what is gone already is no error.

        Args:
            downloaded: A former result.
        """
        for part in downloaded.parts:
            part.path.unlink(missing_ok=True)

    def sweep(self) -> int:
        """Delete what a killed process left in the media directory; for the start, before any download.

        Returns:
            How many files were deleted.

        Raises:
            ServiceDown: The directory cannot be used.
        """
        try:
            leftovers = list(self._directory().glob(f"{_PREFIX}*"))
            for path in leftovers:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise ServiceDown("media.directory", str(error)) from error
        if leftovers:
            logger.info("leftovers_removed", extra={"files": len(leftovers)})
        return len(leftovers)

    def close(self) -> None:
        """Close the connections."""
        self._transfers.close()

    def _begin(self, rendition: Rendition, patience: Patience | None) -> Downloaded:
        """Fetch the first bytes of each part, and leave the rest to its source."""
        parts = []
        with ExitStack() as undo:
            for part in rendition.parts:
                path = self._new_file()
                undo.callback(path.unlink, missing_ok=True)

                def fetch_whole(watch: Watch, part: Part = part, path: Path = path) -> int:
                    return self._fetch(part, rendition, path, watch)

                source = RangedFile(
                    path, part, rendition.max_bytes, self._transfers, self._settings, fetch_whole, patience
                )
                source.ensure(0, 1)
                parts.append(DownloadedPart(path, part.page, source.size_bytes, source))
            undo.pop_all()
        return Downloaded(rendition, tuple(parts), 0.0)

    def _directory(self) -> Path:
        directory = self._settings.directory
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if directory.stat().st_mode & 0o077:
            directory.chmod(0o700)
        return directory

    def _new_file(self) -> Path:
        try:
            handle, name = tempfile.mkstemp(prefix=_PREFIX, dir=self._directory())
            os.close(handle)
        except OSError as error:
            raise ServiceDown("media.directory", str(error)) from error
        return Path(name)

    def _fetch(self, part: Part, rendition: Rendition, path: Path, watch: Watch) -> int:
        with self._transfers.answer(part.url, watch) as response:
            self._transfers.check_answer(response, rendition.kind)
            return self._save(response, part, rendition.max_bytes, path, watch)

    def _save(self, response: requests.Response, part: Part, max_bytes: int, path: Path, watch: Watch) -> int:
        declared = response.headers.get("Content-Length")
        if declared is not None and not re.fullmatch(r"[0-9]{1,18}", declared):
            raise RetryLater(UNAVAILABLE, f"Content-Length is {declared[:60]!r}.")
        if declared is not None and int(declared) > max_bytes:
            raise SkipUpload("too_large", f"It has {declared} bytes, the limit is {max_bytes}.")
        sha1, size_bytes = hashlib.sha1(usedforsecurity=False), 0
        with disk_to_blame(), path.open("wb") as file:
            for chunk in self._transfers.chunks(response, watch):
                size_bytes += len(chunk)
                if size_bytes > max_bytes:
                    raise SkipUpload("too_large", f"It has more than {max_bytes} bytes.")
                sha1.update(chunk)
                file.write(chunk)
        if declared is not None and size_bytes != int(declared):
            raise RetryLater(UNAVAILABLE, f"{size_bytes} bytes of {declared} came.")
        if part.size_bytes is not None and size_bytes != part.size_bytes:
            raise RetryLater("changed", f"It has {size_bytes} bytes, not {part.size_bytes}.")
        if part.sha1_hex is not None and sha1.hexdigest() != part.sha1_hex:
            raise RetryLater("changed", "Its SHA-1 is another; it may just be changing.")
        if size_bytes == 0 and part.size_bytes != 0:
            raise RetryLater(UNAVAILABLE, "The answer is empty.")
        return size_bytes


__all__ = ["Downloader"]

"""Fetch of a large file only what its decoder reads: a file with holes, filled in blocks by range requests.

The daemon owns the file and all traffic; a decode worker merely asks for stretches of it, through
`classifier.decode`. A host that gives no ranges, or nothing by which a change of the file would show, makes
this a whole download. Every answer must be of the version that the first one was of; the SHA-1 of a file with
holes cannot be checked, but Wikimedia's media host is said to state it in a header, and then that is.
"""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import requests

from bot.errors import RetryLater, ServiceDown, SkipUpload
from bot.media.sha1 import hex_from_base36
from bot.media.transfer import LONGEST_WAIT_S, UNAVAILABLE, Transfers
from bot.media.watchdog import Patience, Watch
from bot.settings import MediaSettings
from bot.upload import Part

_TRIES: Final = 3
_RETRY_AFTER_S: Final = 1.0
_NEAR_BLOCKS: Final = 2
"""Reading on after a gap this small is still reading on: films mix sound between their pictures."""
_DENSE_SHARE: Final = 0.75
_DENSE_FACTOR: Final = 16
"""Where so much of all that lies before was needed, so much more is fetched ahead: it spares requests."""
_CONTENT_RANGE: Final = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})")
_SHA1_HEADER: Final = "X-Object-Meta-Sha1base36"


class RangesRefused(Exception):
    """The host gives no ranges of this file, or none that can be relied on."""


class RangedFile:
    """A `classifier.values.BlockSource` over HTTP; used by one thread at a time.

    Args:
        path: An empty file; it gets its full size at once, and holes.
        part: What to fetch; its size must be known.
        max_bytes: Most bytes to fetch.
        transfers: Makes the requests.
        settings: Sizes of blocks and of what is read ahead, and the time for everything.
        fetch_whole: Fetches the whole file to `path` instead, checks it and returns its size.
        patience: Of whoever waits for it; None: no end.

    Raises:
        ServiceDown: The disk cannot be written.
    """

    def __init__(
        self,
        path: Path,
        part: Part,
        max_bytes: int,
        transfers: Transfers,
        settings: MediaSettings,
        fetch_whole: Callable[[Watch], int],
        patience: Patience | None = None,
    ) -> None:
        if not part.size_bytes:
            raise ValueError("ranges of a file of unknown size")
        self.size_bytes: int = part.size_bytes
        self.fetched_bytes = 0
        self.requests = 0
        self.seconds = 0.0
        self._path, self._part, self._max_bytes = path, part, max_bytes
        self._transfers, self._fetch_whole, self._patience = transfers, fetch_whole, patience
        self._total_s = settings.range_timeout_s
        self._block_bytes = settings.range_block_bytes
        self._most_ahead_blocks = settings.range_ahead_bytes // self._block_bytes
        self._have = bytearray(-(-self.size_bytes // self._block_bytes))
        self._version = ""
        self._run_start = self._run_end = -_NEAR_BLOCKS - 1
        with disk_to_blame(), path.open("r+b") as file:
            file.truncate(self.size_bytes)

    def ensure(self, offset: int, length: int) -> int:
        """See `classifier.values.BlockSource.ensure`.

        Raises:
            SkipUpload: `too_large`: more would have to be fetched than may be.
            RetryLater: The bytes cannot be had, or the file has changed.
            ServiceDown: The host cannot be reached, the disk cannot be written, or the bot is stopping.
        """
        if not (offset >= 0 and 0 < length <= self.size_bytes - offset):
            raise ValueError(f"{length} bytes at {offset} of {self.size_bytes}")
        first, end = offset // self._block_bytes, -(-(offset + length) // self._block_bytes)
        if self._have.find(0, first, end) >= 0:
            started_s = time.monotonic()
            try:
                with self._transfers.slot(self._patience):
                    left_s = self._total_s - self.seconds - (time.monotonic() - started_s)
                    with self._transfers.watch(max(left_s, 0.0), self._patience) as watch:
                        self._fill(first, end, watch)
            finally:
                self.seconds += time.monotonic() - started_s
        hole = self._have.find(0, first)
        return self.size_bytes if hole < 0 else hole * self._block_bytes

    def _fill(self, first: int, end: int, watch: Watch) -> None:
        """Fetch the blocks that are missing; what broke off is taken up where it did."""
        failures = 0
        while (missing := self._have.find(0, first, end)) >= 0:
            try:
                self._request(missing, end, watch)
            except RangesRefused:
                self._take_whole(watch)
            except RetryLater as error:
                failures = failures + 1 if self._have.find(0, first, end) == missing else 1
                wait_s = _RETRY_AFTER_S if error.after_s is None else error.after_s
                if error.code != UNAVAILABLE or failures == _TRIES or wait_s > LONGEST_WAIT_S:
                    raise
                watch.sleep(wait_s)
                self._transfers.check(watch)

    def _request(self, first: int, end: int, watch: Watch) -> None:
        start, stop = self._stretch(first, end)
        headers = {"Range": f"bytes={start}-{stop - 1}"}
        if self._version.startswith('"'):  # as HTTP wants it; others would be taken for dates
            headers["If-Range"] = self._version
        self.requests += 1
        with self._transfers.answer(self._part.url, watch, headers) as response:
            if response.status_code in {200, 416}:
                if response.status_code == 200:
                    self._check_version(response)
                raise RangesRefused(f"HTTP {response.status_code}")
            self._transfers.check_answer(response, "original", expected_status=206)
            stop = self._checked_stop(response, start, stop)
            self._save(response, start, stop, watch)

    def _stretch(self, first: int, end: int) -> tuple[int, int]:
        """Which bytes to ask for: what is missing from a block on, and the more ahead, the longer the run."""
        if not self._run_start <= first <= self._run_end + _NEAR_BLOCKS:
            self._run_start = first
        most_ahead = self._most_ahead_blocks
        if first > self._most_ahead_blocks and self._have.count(1, 0, first) > _DENSE_SHARE * first:
            most_ahead *= _DENSE_FACTOR
        ahead = min(first - self._run_start, most_ahead)
        start = first * self._block_bytes
        left = (self._max_bytes - self.fetched_bytes) // self._block_bytes
        wanted = self._until_known(first, end)
        if wanted - first > left:
            raise SkipUpload(
                "too_large", f"More than {self._max_bytes} bytes of it would have to be fetched."
            )
        wanted = self._until_known(first, max(wanted, first + min(ahead, left)))
        self._run_end = wanted
        return start, min(wanted * self._block_bytes, self.size_bytes)

    def _until_known(self, first: int, end: int) -> int:
        known = self._have.find(1, first, end)
        return min(end, len(self._have)) if known < 0 else known

    def _checked_stop(self, response: requests.Response, start: int, stop: int) -> int:
        """Up to where the answer goes; a host may give less than was asked for, but nothing else."""
        match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
        if match is None:
            raise RangesRefused("no Content-Range")
        first, last, size_bytes = (int(number) for number in match.groups())
        if size_bytes != self.size_bytes:
            raise RetryLater("changed", f"It has {size_bytes} bytes, not {self.size_bytes}.")
        if first != start or not first <= last < stop:
            raise RangesRefused(f"bytes {first}-{last} instead of {start}-{stop - 1}")
        if not _version(response):
            raise RangesRefused("neither ETag nor Last-Modified")
        self._check_version(response)
        return last + 1

    def _check_version(self, response: requests.Response) -> None:
        version = _version(response)
        if self._version and version != self._version:
            raise RetryLater("changed", "It was changed while it was being read.")
        self._check_sha1(response)
        self._version = version

    def _check_sha1(self, response: requests.Response) -> None:
        stated = response.headers.get(_SHA1_HEADER)
        if stated is None or self._part.sha1_hex is None:
            return
        try:
            same = hex_from_base36(stated) == self._part.sha1_hex
        except ValueError:
            return  # what is no SHA-1 says nothing
        if not same:
            raise RetryLater("changed", "Its SHA-1 is another; it may just be changing.")

    def _save(self, response: requests.Response, start: int, stop: int, watch: Watch) -> None:
        """Write what comes; a block counts as there only when it is whole and written."""
        at, failure = start, None
        with disk_to_blame(), self._path.open("r+b") as file:
            file.seek(start)
            try:
                for chunk in self._transfers.chunks(response, watch):
                    self.fetched_bytes += len(chunk)
                    file.write(chunk[: stop - at])
                    at += len(chunk)
                    if at > stop:
                        raise RetryLater(UNAVAILABLE, "More came than was announced.")  # noqa: TRY301
            except RetryLater as error:
                failure = error
        whole = len(self._have) if at >= self.size_bytes else min(at, stop) // self._block_bytes
        first = start // self._block_bytes
        self._have[first:whole] = b"\1" * (whole - first)
        if failure is not None:
            raise failure
        if at < stop:
            raise RetryLater(UNAVAILABLE, f"{at - start} bytes of {stop - start} came.")

    def _take_whole(self, watch: Watch) -> None:
        """Nothing reads the file meanwhile: whoever decodes it waits for an answer."""
        self.requests += 1
        self.fetched_bytes += self._fetch_whole(watch)
        self._have[:] = b"\1" * len(self._have)


def _version(response: requests.Response) -> str:
    """What tells one version of a file from another; empty where the host tells nothing that is sure."""
    etag = response.headers.get("ETag", "").strip()
    return etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified", "").strip()


@contextmanager
def disk_to_blame() -> Iterator[None]:
    """Read an error of the disk as one for which no upload is to blame.

    Raises:
        ServiceDown: The disk failed.
    """
    try:
        yield
    except OSError as error:
        raise ServiceDown("media.directory", str(error)) from error


__all__ = ["RangedFile", "RangesRefused", "disk_to_blame"]

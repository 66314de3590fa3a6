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
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from http.client import HTTPException
from pathlib import Path
from typing import Final
from urllib.parse import urljoin

import requests
import urllib3.exceptions
from requests.exceptions import ConnectTimeout, ProxyError, SSLError

from bot.backoff import parse_retry_after
from bot.errors import RetryLater, ServiceDown, SkipUpload
from bot.media.hosts import allowed_host
from bot.media.pauses import HostPauses
from bot.media.rate import SharedRate
from bot.media.watchdog import Watch, WatchedAdapter
from bot.session import PlainSession
from bot.settings import MediaSettings
from bot.upload import Downloaded, DownloadedPart, Part, Rendition

logger = logging.getLogger(__name__)

_PREFIX: Final = "upload-"
_CHUNK_BYTES: Final = 65536
_LONGEST_WAIT_S: Final = 60.0
_SLOT_POLL_S: Final = 0.2
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_UNAVAILABLE: Final = "rendition_unavailable"
_NOT_MEDIA: Final = ("text/", "application/json", "application/xhtml")
_TRANSPORT_ERRORS: Final = (
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    HTTPException,
    OSError,
)


class Downloader:
    """Fetches renditions; threads share it.

    Args:
        settings: Hosts, limits and timeouts.
        user_agent: The User-Agent header, with a contact.
        stop: Ends every download when it is set.
    """

    def __init__(self, settings: MediaSettings, user_agent: str, stop: threading.Event | None = None) -> None:
        self._settings = settings
        self._headers = {"User-Agent": user_agent, "Accept": "*/*", "Accept-Encoding": "identity"}
        self._stop = stop or threading.Event()
        self._slots = threading.BoundedSemaphore(settings.max_concurrent)
        self._rate = SharedRate(settings.max_bits_per_s)
        self._pauses = HostPauses()
        self._session = PlainSession()
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, WatchedAdapter(pool_maxsize=settings.max_concurrent))

    def download(self, rendition: Rendition) -> Downloaded:
        """Fetch every part, one after the other.

        Args:
            rendition: What to fetch.

        Returns:
            The files; the caller hands them to `discard` when they are no longer needed.

        Raises:
            SkipUpload: `too_large`.
            RetryLater: It is not there, not whole or not what was promised; perhaps it will be.
            ServiceDown: The host cannot be reached, the disk cannot be written, or the bot is stopping.
        """
        with self._slot(), ExitStack() as undo:
            started = time.monotonic()
            parts = []
            with Watch(self._settings.total_timeout_s, self._stop) as watch:
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
        self._session.close()

    @contextmanager
    def _slot(self) -> Iterator[None]:
        """At most `max_concurrent` at once, as the robot policy asks."""
        while not self._slots.acquire(timeout=_SLOT_POLL_S):
            self._check_running()
        try:
            self._check_running()
            yield
        finally:
            self._slots.release()

    def _check_running(self) -> None:
        if self._stop.is_set():
            raise ServiceDown("download", "not fetched: the bot is stopping")

    def _check(self, watch: Watch) -> None:
        self._check_running()
        if watch.ended:
            raise RetryLater(_UNAVAILABLE, f"It took more than {self._settings.total_timeout_s:g} s.")

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
        url = part.url
        for _ in range(self._settings.max_redirects + 1):
            host = self._allowed(url)
            self._respect_pause(host, watch)
            with self._answer(url, host, watch) as response:
                if response.status_code not in _REDIRECTS:
                    self._check_status(response, host, rendition)
                    return self._save(response, part, rendition.max_bytes, path, watch)
                url = _redirected(url, response.headers.get("Location", ""))
        raise RetryLater(_UNAVAILABLE, f"More than {self._settings.max_redirects} redirects.")

    def _allowed(self, url: str) -> str:
        host = allowed_host(url, self._settings.allowed_hosts)
        if host is None:
            logger.error("host_not_allowed", extra={"url": url[:300], "setting": "media.allowed_hosts"})
            raise RetryLater(
                "host_not_allowed", f"media.allowed_hosts does not name the host of {url[:300]!r}."
            )
        return host

    def _respect_pause(self, host: str, watch: Watch) -> None:
        remaining_s = self._pauses.remaining_s(host)
        if remaining_s > _LONGEST_WAIT_S:
            raise RetryLater(_UNAVAILABLE, f"{host} asked for a pause.", remaining_s)
        watch.sleep(remaining_s)
        self._check(watch)

    def _answer(self, url: str, host: str, watch: Watch) -> requests.Response:
        """Ask once, or twice where a kept connection turns out to be closed."""
        for is_last in (False, True):
            try:
                response = self._send(url)
            except (ConnectTimeout, ProxyError, SSLError) as error:
                raise self._unreachable(host, error) from error
            except requests.ConnectionError as error:
                self._check(watch)
                cause = error.args[0] if error.args else None
                if isinstance(cause, urllib3.exceptions.MaxRetryError):
                    raise self._unreachable(host, error) from error
                if is_last:
                    raise RetryLater(_UNAVAILABLE, f"{host} hung up: {error}") from error
            except _TRANSPORT_ERRORS as error:
                self._check(watch)
                raise RetryLater(_UNAVAILABLE, f"{host}: {type(error).__name__}: {error}") from error
            else:
                self._pauses.reached(host)
                return response
        raise AssertionError("the last try returns or raises")

    def _send(self, url: str) -> requests.Response:
        prepared = requests.Request("GET", url, headers=self._headers).prepare()
        prepared.url = url  # requests would respell it
        environment = self._session.merge_environment_settings(url, {}, True, None, None)
        timeouts = (self._settings.connect_timeout_s, self._settings.read_timeout_s)
        return self._session.send(prepared, timeout=timeouts, allow_redirects=False, **environment)

    def _unreachable(self, host: str, error: Exception) -> ServiceDown:
        return ServiceDown(host, f"cannot be reached: {error}", self._pauses.unreachable(host))

    def _check_status(self, response: requests.Response, host: str, rendition: Rendition) -> None:
        status = response.status_code
        if status == 200:
            self._check_headers(response)
            return
        after_s = parse_retry_after(response.headers.get("Retry-After"), datetime.now(UTC))
        if status in {429, 503} and after_s is not None:
            self._pauses.asked_for(host, after_s)
        extra = {"host": host, "status": status, "url": rendition.parts[0].url[:300]}
        if status == 403:
            logger.error("download_forbidden", extra={**extra, "check": "identity.contact"})
            raise RetryLater("forbidden", f"{host} forbids it; is identity.contact right?", after_s)
        logger.info("download_refused", extra=extra)
        if status in {404, 410} and rendition.kind == "original":
            raise RetryLater("deleted", f"{host} has no such file (HTTP {status}).", after_s)
        raise RetryLater(_UNAVAILABLE, f"{host} answered HTTP {status}.", after_s)

    def _check_headers(self, response: requests.Response) -> None:
        kind = response.headers.get("Content-Type", "").strip().lower()
        if kind.startswith(_NOT_MEDIA):
            raise RetryLater(_UNAVAILABLE, f"The answer is {kind[:60]!r}, not media.")
        coding = response.headers.get("Content-Encoding", "identity").strip().lower()
        if coding not in {"", "identity"}:
            raise RetryLater(
                _UNAVAILABLE, f"The answer is {coding[:60]!r} encoded, though nobody asked for it."
            )

    def _save(self, response: requests.Response, part: Part, max_bytes: int, path: Path, watch: Watch) -> int:
        declared = response.headers.get("Content-Length")
        if declared is not None and not re.fullmatch(r"[0-9]{1,18}", declared):
            raise RetryLater(_UNAVAILABLE, f"Content-Length is {declared[:60]!r}.")
        if declared is not None and int(declared) > max_bytes:
            raise SkipUpload("too_large", f"It has {declared} bytes, the limit is {max_bytes}.")
        sha1, size_bytes = hashlib.sha1(usedforsecurity=False), 0
        with _disk_to_blame(), path.open("wb") as file:
            for chunk in self._chunks(response, watch):
                size_bytes += len(chunk)
                if size_bytes > max_bytes:
                    raise SkipUpload("too_large", f"It has more than {max_bytes} bytes.")
                sha1.update(chunk)
                file.write(chunk)
        if declared is not None and size_bytes != int(declared):
            raise RetryLater(_UNAVAILABLE, f"{size_bytes} bytes of {declared} came.")
        if part.size_bytes is not None and size_bytes != part.size_bytes:
            raise RetryLater("changed", f"It has {size_bytes} bytes, not {part.size_bytes}.")
        if part.sha1_hex is not None and sha1.hexdigest() != part.sha1_hex:
            raise RetryLater("changed", "Its SHA-1 is another; it may just be changing.")
        if size_bytes == 0 and part.size_bytes != 0:
            raise RetryLater(_UNAVAILABLE, "The answer is empty.")
        return size_bytes

    def _chunks(self, response: requests.Response, watch: Watch) -> Iterator[bytes]:
        """The body as it comes, no faster than all downloads together may be."""
        wanted = min(_CHUNK_BYTES, self._rate.largest_take_bytes)
        while True:
            watch.sleep(self._rate.take(wanted))
            self._check(watch)
            chunk = b""
            try:
                chunk = response.raw.read1(wanted, decode_content=False) or b""
            except _TRANSPORT_ERRORS as error:
                self._check(watch)
                raise RetryLater(_UNAVAILABLE, f"It broke off: {error}") from error
            finally:
                self._rate.give_back(wanted - len(chunk))
            if not chunk:
                self._check(watch)
                return
            yield chunk


def _redirected(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError:
        return location  # the list of hosts refuses it


@contextmanager
def _disk_to_blame() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ServiceDown("media.directory", str(error)) from error


__all__ = ["Downloader"]

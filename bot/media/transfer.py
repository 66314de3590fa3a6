"""Polite HTTP for media: configured hosts only, few at a time, at the agreed pace, ended when time is up.

Every request for media goes through here, whether it fetches a file whole (`bot.media.download`) or a piece
of it (`bot.media.ranges`), so that all of them together keep to the robot policy.
"""

import logging
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from http.client import HTTPException
from typing import Final
from urllib.parse import urljoin

import requests
import urllib3.exceptions
from requests.exceptions import ConnectTimeout, ProxyError, SSLError

from bot.backoff import parse_retry_after
from bot.errors import RetryLater, ServiceDown
from bot.media.address_gate import AddressGate, AddressRefused, Resolver, system_resolver
from bot.media.connections import WatchedAdapter
from bot.media.hosts import allowed_host
from bot.media.pauses import HostPauses
from bot.media.rate import SharedRate
from bot.media.watchdog import Patience, Watch
from bot.session import PlainSession
from bot.settings import MediaSettings

logger = logging.getLogger(__name__)

UNAVAILABLE: Final = "rendition_unavailable"
"""The code of whatever may come later."""
LONGEST_WAIT_S: Final = 60.0
"""A host that asks for a longer pause is asked again by a later try."""

_CHUNK_BYTES: Final = 65536
_SLOT_POLL_S: Final = 0.2
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_NOT_MEDIA: Final = ("text/", "application/json", "application/xhtml")
_PLAIN: Final = re.compile(r"[\x21-\x7e]*")
_TRANSPORT_ERRORS: Final = (
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    HTTPException,
    OSError,
)


class Transfers:
    """Requests for media; threads share it.

    Args:
        settings: Hosts, limits and timeouts.
        user_agent: The User-Agent header, with a contact.
        stop: Ends every transfer when it is set.
        resolver: Looks host names up.
        log_addresses: Whether the log may name what was asked for.
    """

    def __init__(
        self,
        settings: MediaSettings,
        user_agent: str,
        stop: threading.Event,
        *,
        resolver: Resolver = system_resolver,
        log_addresses: bool = True,
    ) -> None:
        self._settings = settings
        self._headers = {"User-Agent": user_agent, "Accept": "*/*", "Accept-Encoding": "identity"}
        self._stop = stop
        self._log_addresses = log_addresses
        self._slots = threading.BoundedSemaphore(settings.max_concurrent)
        self._rate = SharedRate(settings.max_bits_per_s)
        self._pauses = HostPauses()
        self._session = PlainSession()
        gate = AddressGate(settings.private_networks, resolver)
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, WatchedAdapter(gate, pool_maxsize=settings.max_concurrent))

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    @contextmanager
    def slot(self, patience: Patience | None = None) -> Iterator[None]:
        """At most `max_concurrent` at once, as the robot policy asks.

        Args:
            patience: Of whoever waits for it; None: no end.

        Raises:
            RetryLater: Nobody waits any more.
            ServiceDown: The bot is stopping.
        """
        while not self._slots.acquire(timeout=_SLOT_POLL_S):
            self._check_running()
            if patience is not None and patience.left_s <= 0:
                raise RetryLater(UNAVAILABLE, "Its turn did not come in time.")
        try:
            self._check_running()
            yield
        finally:
            self._slots.release()

    def watch(self, total_s: float, patience: Patience | None = None) -> Watch:
        """A watch for the transfers of this thread.

        Args:
            total_s: Seconds until everything in its `with` block is shut down.
            patience: Of whoever waits for it; None: no end.
        """
        return Watch(total_s, self._stop, patience)

    @contextmanager
    def answer(
        self, url: str, watch: Watch, headers: Mapping[str, str] | None = None
    ) -> Iterator[requests.Response]:
        """Ask a host, following redirects by hand: each of their targets must be allowed, too.

        Args:
            url: Exactly as the API gave it.
            watch: Ends it.
            headers: Sent beside our own.

        Yields:
            The answer, of any status but a redirect; the body is not read yet.

        Raises:
            RetryLater: There is no answer, or none from a host that is allowed.
            ServiceDown: The host cannot be reached, or the bot is stopping.
        """
        for _ in range(self._settings.max_redirects + 1):
            host = self._allowed(url)
            self._respect_pause(host, watch)
            with self._ask(url, host, watch, headers or {}) as response:
                if response.status_code not in _REDIRECTS:
                    yield response
                    return
                url = _redirected(url, response.headers.get("Location", ""))
        raise RetryLater(UNAVAILABLE, f"More than {self._settings.max_redirects} redirects.")

    def check_answer(self, response: requests.Response, kind: str, expected_status: int = 200) -> None:
        """Refuse what is not the media that was asked for.

        Args:
            response: The answer.
            kind: `RenditionKind`: an original that is not there may be deleted.
            expected_status: What counts as success.

        Raises:
            RetryLater: It is something else.
        """
        status, url = response.status_code, response.url
        if status == expected_status:
            _check_headers(response)
            return
        host = self._allowed(url)
        after_s = parse_retry_after(response.headers.get("Retry-After"), datetime.now(UTC))
        if status in {429, 503} and after_s is not None:
            self._pauses.asked_for(host, after_s)
        extra = {"host": host, "status": status, **self._named(url)}
        if status == 403:
            logger.error("download_forbidden", extra={**extra, "check": "identity.contact"})
            raise RetryLater("forbidden", f"{host} forbids it; is identity.contact right?", after_s)
        logger.info("download_refused", extra=extra)
        if status in {404, 410} and kind == "original":
            raise RetryLater("deleted", f"{host} has no such file (HTTP {status}).", after_s)
        raise RetryLater(UNAVAILABLE, f"{host} answered HTTP {status}.", after_s)

    def chunks(self, response: requests.Response, watch: Watch) -> Iterator[bytes]:
        """The body as it comes, no faster than all downloads together may be.

        Args:
            response: The answer.
            watch: Ends it.

        Yields:
            Pieces of at most 64 KiB.

        Raises:
            RetryLater: It breaks off, or takes too long.
            ServiceDown: The bot is stopping.
        """
        wanted = min(_CHUNK_BYTES, self._rate.largest_take_bytes)
        while True:
            watch.sleep(self._rate.take(wanted))
            self.check(watch)
            chunk = b""
            try:
                chunk = response.raw.read1(wanted, decode_content=False) or b""
            except _TRANSPORT_ERRORS as error:
                self.check(watch)
                raise RetryLater(UNAVAILABLE, f"It broke off: {error}") from error
            finally:
                self._rate.give_back(wanted - len(chunk))
            if not chunk:
                self.check(watch)
                return
            yield chunk

    def check(self, watch: Watch) -> None:
        """End a transfer whose time is up.

        Args:
            watch: What tells.

        Raises:
            RetryLater: The time is up.
            ServiceDown: The bot is stopping.
        """
        self._check_running()
        if watch.ended:
            raise RetryLater(UNAVAILABLE, f"It took more than {watch.total_s:g} s.")

    def _check_running(self) -> None:
        if self._stop.is_set():
            raise ServiceDown("download", "not fetched: the bot is stopping")

    def _allowed(self, url: str) -> str:
        host = allowed_host(url, self._settings.allowed_hosts)
        if host is None:
            logger.error("host_not_allowed", extra={**self._named(url), "setting": "media.allowed_hosts"})
            raise RetryLater(
                "host_not_allowed", f"media.allowed_hosts does not name the host of {url[:300]!r}."
            )
        return host

    def _named(self, url: str) -> dict[str, str]:
        return {"url": url[:300]} if self._log_addresses else {}

    def _respect_pause(self, host: str, watch: Watch) -> None:
        remaining_s = self._pauses.remaining_s(host)
        if remaining_s > LONGEST_WAIT_S:
            raise RetryLater(UNAVAILABLE, f"{host} asked for a pause.", remaining_s)
        watch.sleep(remaining_s)
        self.check(watch)

    def _ask(self, url: str, host: str, watch: Watch, headers: Mapping[str, str]) -> requests.Response:
        """Ask once, or twice where a kept connection turns out to be closed."""
        for is_last in (False, True):
            try:
                response = self._send(url, headers)
            except AddressRefused as error:
                raise ServiceDown(host, f"is not asked: {error}", self._pauses.unreachable(host)) from error
            except (ConnectTimeout, ProxyError, SSLError) as error:
                raise self._unreachable(host, error) from error
            except requests.ConnectionError as error:
                self.check(watch)
                cause = error.args[0] if error.args else None
                if isinstance(cause, urllib3.exceptions.MaxRetryError):
                    raise self._unreachable(host, error) from error
                if is_last:
                    raise RetryLater(UNAVAILABLE, f"{host} hung up: {error}") from error
            except _TRANSPORT_ERRORS as error:
                self.check(watch)
                raise RetryLater(UNAVAILABLE, f"{host}: {type(error).__name__}: {error}") from error
            else:
                self._pauses.reached(host)
                return response
        raise AssertionError("the last try returns or raises")

    def _send(self, url: str, headers: Mapping[str, str]) -> requests.Response:
        prepared = requests.Request("GET", url, headers={**self._headers, **headers}).prepare()
        prepared.url = url  # requests would respell it
        environment = self._session.merge_environment_settings(url, {}, True, None, None)
        timeouts = (self._settings.connect_timeout_s, self._settings.read_timeout_s)
        return self._session.send(prepared, timeout=timeouts, allow_redirects=False, **environment)

    def _unreachable(self, host: str, error: Exception) -> ServiceDown:
        return ServiceDown(host, f"cannot be reached: {error}", self._pauses.unreachable(host))


def _check_headers(response: requests.Response) -> None:
    kind = response.headers.get("Content-Type", "").strip().lower()
    if kind.startswith(_NOT_MEDIA):
        raise RetryLater(UNAVAILABLE, f"The answer is {kind[:60]!r}, not media.")
    coding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if coding not in {"", "identity"}:
        raise RetryLater(UNAVAILABLE, f"The answer is {coding[:60]!r} encoded, though nobody asked for it.")


def _redirected(url: str, location: str) -> str:
    """Where a redirect leads; what is odd stays as it is, and the list of hosts refuses it.

    Python drops tabs and line breaks from addresses, and would ask for another one than was written.
    """
    try:
        return urljoin(url, location) if _PLAIN.fullmatch(location) else location
    except ValueError:
        return location


__all__ = ["LONGEST_WAIT_S", "UNAVAILABLE", "Transfers"]

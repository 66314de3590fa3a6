"""The action API, politely: one request at a time, maxlag, Retry-After, bounded retries.

A caller gets either an answer, an `ApiError` (the question was wrong: asking again cannot help) or
`ServiceDown` (the wiki does not answer now: no upload is to blame).  Redirects are followed on the API's
own host only, so that no answer can send the bot elsewhere.
"""

import json
import logging
import random
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Final
from urllib.parse import urlencode, urljoin, urlsplit

import requests

from bot.backoff import jittered, parse_retry_after
from bot.errors import BotError, ServiceDown
from bot.media.connections import WatchedAdapter
from bot.media.watchdog import Watch
from bot.session import PlainSession
from bot.settings import ApiSettings

logger = logging.getLogger(__name__)

MIN_INTERVAL_S: Final = 0.2
"""Wikimedia's robot policy asks for fewer than 5 requests a second of clients that are not logged in."""

_BACKOFF_INITIAL_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 120.0
_LONGEST_RETRY_AFTER_S: Final = 3600.0
_LONGEST_QUERY_STRING: Final = 2000
_MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
_MAX_REDIRECTS: Final = 3
_MAX_REMEMBERED_WARNINGS: Final = 256
_TRANSIENT_CODES: Final = frozenset({"maxlag", "ratelimited", "readonly"})


class ApiError(BotError):
    """The API refused the question itself; the same question will be refused again.

    Args:
        code: The API's error code, such as `badvalue`.
        info: The API's explanation.
    """

    def __init__(self, code: str, info: str) -> None:
        super().__init__(f"{code}: {info}")
        self.code = code
        self.info = info


class _TransientError(Exception):
    """One try failed in a way that another may not."""

    def __init__(self, message: str, after_s: float | None = None) -> None:
        super().__init__(message)
        self.after_s = after_s


@dataclass(frozen=True, slots=True)
class SiteInfo:
    """What a wiki says of itself.

    Attributes:
        wiki_id: Database name, `commonswiki`.
        server_name: Host name, `commons.wikimedia.org`.
        generator: Software and version, `MediaWiki 1.45.0-wmf.1`.
    """

    wiki_id: str
    server_name: str
    generator: str


class Api:
    """A read-only client of one wiki's `api.php`; threads may share it.

    Args:
        settings: Timeouts and tries.
        api_url: Address of `api.php`.
        user_agent: The User-Agent header, with a contact.
        stop: Ends every wait and every answer when it is set; the call then raises `ServiceDown`.
        min_interval_s: Least time between the starts of two requests in seconds.
        backoff_initial_s: First wait between two tries in seconds, where the server asks for none.
    """

    def __init__(
        self,
        settings: ApiSettings,
        api_url: str,
        user_agent: str,
        stop: threading.Event | None = None,
        *,
        min_interval_s: float = MIN_INTERVAL_S,
        backoff_initial_s: float = _BACKOFF_INITIAL_S,
    ) -> None:
        self._settings = settings
        self._api_url = api_url
        self._host = urlsplit(api_url).netloc
        self._stop = stop or threading.Event()
        self._min_interval_s = min_interval_s
        self._backoff_initial_s = backoff_initial_s
        self._lock = threading.Lock()
        self._not_before = 0.0
        self._warned: set[str] = set()
        self._rng = random.Random()
        self._session = PlainSession()
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, WatchedAdapter())
        self._session.headers["User-Agent"] = user_agent
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    def query(self, params: Mapping[str, str | int]) -> Mapping[str, Any]:
        """Ask `action=query` once, trying again while the wiki is busy.

        Args:
            params: What to ask, without action, format and maxlag.

        Returns:
            The whole answer (`query`, `continue`, …) in `formatversion=2`.

        Raises:
            ApiError: The question is wrong.
            ServiceDown: No answer in the allowed number of tries, or a long pause was asked for.
        """
        fields = {
            "action": "query",
            "format": "json",
            "formatversion": "2",
            "maxlag": f"{self._settings.maxlag_s:g}",
            **{key: str(value) for key, value in params.items()},
        }
        with self._lock:
            for attempt in range(1, self._settings.max_attempts + 1):
                self._wait_for_turn()
                try:
                    # A server that accepts and says nothing must not hold up the end of the bot.
                    with Watch(2 * self._settings.timeout_s, self._stop):
                        return self._try(fields)
                except _TransientError as problem:
                    self._note_failure(problem, attempt)
        raise AssertionError("the last failed try raises")

    def continued(self, params: Mapping[str, str | int], max_rounds: int = 20) -> Iterator[Mapping[str, Any]]:
        """Ask, and follow the answer's `continue` until there is none.

        Args:
            params: As for `query`.
            max_rounds: Upper bound of requests.

        Yields:
            One answer for each request.

        Raises:
            ApiError: As for `query`.
            ServiceDown: As for `query`.
        """
        more: Mapping[str, str | int] = {}
        for _ in range(max_rounds):
            answer = self.query({**params, **more})
            yield answer
            following = answer.get("continue")
            if not isinstance(following, dict):
                return
            more = following
        logger.warning("api_continue_cut", extra={"rounds": max_rounds})

    def siteinfo(self) -> SiteInfo:
        """Ask the wiki who it is.

        Returns:
            Its identity.

        Raises:
            ApiError: The wiki does not let us read.
            ServiceDown: The wiki does not answer, or not like a MediaWiki.
        """
        answer = self.query({"meta": "siteinfo", "siprop": "general"})
        try:
            general = answer["query"]["general"]
            return SiteInfo(str(general["wikiid"]), str(general["servername"]), str(general["generator"]))
        except (KeyError, TypeError) as error:
            raise ServiceDown(self._host, "the answer to siteinfo is not that of a MediaWiki") from error

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _wait_for_turn(self) -> None:
        wait_s = self._not_before - time.monotonic()
        if wait_s > _LONGEST_PAUSE_S:
            raise ServiceDown(self._host, f"asked for a pause, {wait_s:.0f} s of it are left", wait_s)
        if self._stop.wait(max(0.0, wait_s)):
            raise ServiceDown(self._host, "not asked: the bot is stopping")
        self._not_before = time.monotonic() + self._min_interval_s

    def _note_failure(self, problem: _TransientError, attempt: int) -> None:
        """Set the pause before the next request, whoever makes it; raise after the last try."""
        last, asked = attempt >= self._settings.max_attempts, problem.after_s is not None
        if problem.after_s is None:
            wait_s = jittered(attempt, self._backoff_initial_s, _LONGEST_PAUSE_S, self._rng)
        else:
            wait_s = min(problem.after_s, _LONGEST_RETRY_AFTER_S)
        if asked or not last:
            self._not_before = max(self._not_before, time.monotonic() + wait_s)
        logger.warning(
            "api_try_failed", extra={"reason": str(problem), "attempt": attempt, "wait_s": round(wait_s, 3)}
        )
        if last or wait_s > _LONGEST_PAUSE_S:
            raise ServiceDown(self._host, str(problem), wait_s if asked else None) from problem

    def _try(self, fields: Mapping[str, str]) -> Mapping[str, Any]:
        started = time.monotonic()
        try:
            response = self._send(fields)
            with response:
                status = response.status_code
                after_s = parse_retry_after(response.headers.get("Retry-After"), datetime.now(UTC))
                if status == 429 or status >= 500:
                    raise _TransientError(f"HTTP {status}", after_s)
                if status >= 300:
                    hint = "identity.contact" if status == 403 else "wiki.api_url"
                    raise ServiceDown(self._host, f"HTTP {status} for {self._api_url}: check {hint}")
                body = self._read(response, started)
        except requests.RequestException as error:
            raise _TransientError(f"{type(error).__name__}: {error}") from error
        return self._parse(body, after_s)

    def _send(self, fields: Mapping[str, str]) -> requests.Response:
        long = len(urlencode(fields)) > _LONGEST_QUERY_STRING
        method, target = ("POST" if long else "GET"), self._api_url
        for _ in range(_MAX_REDIRECTS + 1):
            response = self._session.request(
                method,
                target,
                params=None if long or target != self._api_url else fields,
                data=fields if long else None,
                timeout=self._settings.timeout_s,
                allow_redirects=False,
                stream=True,
            )
            location = response.headers.get("Location")
            if not response.is_redirect or location is None:
                return response
            response.close()
            target = self._own_target(response.url, location)
        raise ServiceDown(self._host, f"more than {_MAX_REDIRECTS} redirects: check wiki.api_url")

    def _own_target(self, url: str, location: str) -> str:
        """Only the same host and port, and never from https down to http."""
        with suppress(ValueError):
            target = urljoin(url, location)
            parts = urlsplit(target)
            schemes = {"https", urlsplit(self._api_url).scheme}
            if parts.netloc == self._host and parts.scheme in schemes:
                return target
        raise ServiceDown(self._host, f"redirects to {location[:200]!r}, not followed: check wiki.api_url")

    def _read(self, response: requests.Response, started: float) -> bytes:
        chunks, size = [], 0
        for chunk in response.iter_content(65536):
            size += len(chunk)
            chunks.append(chunk)
            if size > _MAX_ANSWER_BYTES:
                raise _TransientError(f"an answer over {_MAX_ANSWER_BYTES} bytes")
            if time.monotonic() - started > 2 * self._settings.timeout_s:
                raise _TransientError("the answer came too slowly")
        return b"".join(chunks)

    def _parse(self, body: bytes, after_s: float | None) -> Mapping[str, Any]:
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise _TransientError("the answer is not JSON", after_s) from error
        if not isinstance(answer, dict):
            raise _TransientError("the answer is not a JSON object", after_s)
        problem = answer.get("error")
        if problem is not None:
            code = str(problem.get("code", "unknown")) if isinstance(problem, dict) else "unknown"
            info = str(problem.get("info", "")) if isinstance(problem, dict) else str(problem)
            if code in _TRANSIENT_CODES or code.startswith("internal_api_error"):
                raise _TransientError(f"{code}: {info}", after_s)
            raise ApiError(code, info)
        self._log_warnings(answer.get("warnings"))
        return answer

    def _log_warnings(self, warnings: object) -> None:
        """Each warning once: a deprecated parameter must be seen, not fill the log."""
        if not isinstance(warnings, dict):
            return
        for module, warning in warnings.items():
            text = str(warning.get("warnings", warning) if isinstance(warning, dict) else warning)[:500]
            key = f"{module}: {text}"
            if key not in self._warned and len(self._warned) < _MAX_REMEMBERED_WARNINGS:
                self._warned.add(key)
                logger.warning("api_warning", extra={"api_module": module, "warning": text})


__all__ = ["Api", "ApiError", "SiteInfo"]

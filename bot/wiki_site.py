"""Pywikibot's family, request and site, bent to a daemon's needs; see `bot.wiki`, which hands the library in.

What is overridden is public in pywikibot: `Request.wait`, `APISite.login`, and the two methods of a family.
"""

import logging
import warnings
from typing import Any
from urllib.parse import urlsplit

from bot.errors import ConfigError, ServiceDown
from bot.settings import ReviewSettings
from bot.wiki_errors import SERVICE, is_transient
from bot.wiki_identity import is_loopback

logger = logging.getLogger(__name__)


def family(pywikibot: Any, review: ReviewSettings, api_url: str | None) -> Any:
    """Find pywikibot's family of the settings, or make one up for a wiki on this machine.

    Args:
        pywikibot: The library.
        review: Family and code.
        api_url: Address of `api.php` where it is known.

    Returns:
        An object of pywikibot's `Family`.

    Raises:
        ConfigError: There is no such family or code, or its wiki is not at that address.
    """
    if api_url is not None and is_loopback(api_url):
        parts = urlsplit(api_url)
        path = parts.path.removesuffix("/api.php")
        members = {
            "name": review.family,
            "code": review.code,
            "domain": parts.netloc,
            # pywikibot looks at the parameters' names.
            "protocol": lambda self, code: parts.scheme,  # noqa: ARG005
            "scriptpath": lambda self, code: path,  # noqa: ARG005
        }
        return type("LoopbackFamily", (pywikibot.family.SingleSiteFamily,), members)()
    try:
        family = pywikibot.family.Family.load(review.family)
    except pywikibot.exceptions.Error as error:
        raise ConfigError(f"review.family: pywikibot does not know {review.family!r}") from error
    if review.code not in family.langs:
        raise ConfigError(f"review.code: {review.family} has no {review.code!r}")
    ours = f"{family.protocol(review.code)}://{family.hostname(review.code)}{family.apipath(review.code)}"
    if api_url not in (None, ours):
        raise ConfigError(
            f"review.family and review.code mean {ours}, but wiki.api_url is {api_url}: make them agree"
        )
    return family


def single_try(pywikibot: Any) -> Any:
    """Make pywikibot's request class, except that a failure ends it where it would wait and try again.

    Args:
        pywikibot: The library.

    Returns:
        A subclass of its `Request`.
    """
    exceptions = pywikibot.exceptions

    class SingleTry(pywikibot.data.api.Request):  # type: ignore[misc]
        def wait(self, delay: float | None = None, **_: Any) -> None:  # noqa: ARG002 - pywikibot's own
            code, info = self.last_error["code"], self.last_error["info"]
            if code is not None:
                raise exceptions.APIError(code, self.last_error.get("readonlyreason", info))
            raise exceptions.ApiTimeoutError("no usable answer")

    return SingleTry


def site_class(pywikibot: Any) -> Any:
    """Make pywikibot's site class, except that it never asks a person and never takes another account.

    Args:
        pywikibot: The library.

    Returns:
        A subclass of its `APISite`.
    """
    status = pywikibot.login.LoginStatus

    class BotSite(pywikibot.site.APISite):  # type: ignore[misc]
        def login(
            self,
            autocreate: bool = False,  # noqa: ARG002 - pywikibot's own
            user: str | None = None,  # noqa: ARG002
            *,
            cookie_only: bool = False,
        ) -> None:
            if cookie_only or self.username() is None:
                return
            self._loginstatus = status.IN_PROGRESS
            try:
                if not self._is_us():
                    if not self.is_oauth_token_available():
                        self._use_password()
                    self._require_us()
            finally:
                us = self.logged_in()
                self._loginstatus = status.AS_USER if us else status.NOT_LOGGED_IN
            # pywikibot renews the kind of token that was used last: not the one for signing in, please.
            _ = self.tokens["csrf"]
            logger.info("wiki_signed_in", extra={"account": self.username()})

        def _is_us(self) -> bool:
            del self.userinfo
            return bool(self.userinfo["name"] == self.username())

        def _require_us(self) -> None:
            if not self._is_us():
                raise ConfigError(
                    f"the wiki takes us for {self.userinfo['name']}, but review.user is "
                    f"{self.username()}: check the password file or the OAuth variables"
                )

        def _use_password(self) -> None:
            manager = _login_manager(pywikibot, self)
            self.tokens.clear()
            try:
                manager.login_to_site()
            except pywikibot.exceptions.APIError as error:
                if is_transient(error.code) or "wait" in str(error.info).lower():
                    raise ServiceDown(SERVICE, f"signing in: {error.code}: {error.info}") from error
                raise ConfigError(
                    f"the wiki does not let {manager.login_name} in: {error.info} "
                    "(check the bot password in the password file)"
                ) from error
            manager.storecookiedata()
            self.tokens.clear()

    return BotSite


def _login_manager(pywikibot: Any, site: Any) -> Any:
    path, user = pywikibot.config.password_file, site.username()
    with warnings.catch_warnings():
        # They would show the line of the password file that they complain about.
        warnings.simplefilter("ignore")
        try:
            manager = pywikibot.login.ClientLoginManager(site=site, user=user)
        except OSError as error:
            raise ConfigError(f"{path}: no such password file (user-config.py says what is in it)") from error
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{path}: not a pywikibot password file (see user-config.py)") from error
    if not manager.password:
        raise ConfigError(f"{path}: has no password for {user}")
    if "@" not in manager.login_name:
        raise ConfigError(
            f"{path}: {user} has a main password there; make a bot password at Special:BotPasswords"
        )
    return manager


__all__ = ["family", "single_try", "site_class"]

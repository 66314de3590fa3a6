"""The one importer of pywikibot: a session of the bot's account, checked before it is used.

pywikibot signs in, keeps cookies and tokens, and sends requests; everything else about it is switched off,
because it was made for a person at a terminal. It reads `sys.argv` and its files when it is imported, so it
is imported in `Wiki.connect` alone. It tries again for up to 22 minutes, so each request is one try, and ours
is the patience. It asks questions on the terminal, so signing in is done here. Its cookies, HTTP session and
folders are global and not thread-safe, so one lock lets one request of the process through at a time, and
each session brings its own.
"""

import importlib.util
import logging
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Self

import requests

from bot.api import ApiError
from bot.errors import BotError, ConfigError, ServiceDown
from bot.settings import ROOT, ReviewSettings
from bot.wiki_answers import Answer, as_mediawiki, canonical
from bot.wiki_errors import SERVICE, is_transient
from bot.wiki_identity import Account, check_account, check_user_config, check_wiki
from bot.wiki_pages import Patience, WikiPages
from bot.wiki_site import family, single_try, site_class
from bot.wiki_transport import NotingSession

logger = logging.getLogger(__name__)

_PYWIKIBOT: Final = threading.RLock()
"""Around everything that pywikibot does, signing in above all."""
_CONNECT_TIMEOUT_S: Final = 10.0
_MAXLAG_S: Final = 5
_STATE: Final = ROOT / "var" / "pywikibot"
# What pywikibot raises beside its own errors when an answer surprises it.
_SURPRISES: Final = (
    requests.RequestException, OSError, RuntimeError, LookupError, TypeError, ValueError, AttributeError,
)  # fmt: skip


class Wiki(WikiPages):
    """The review's wiki, connected and checked."""

    @classmethod
    def connect(
        cls,
        review: ReviewSettings,
        *,
        user_agent: str,
        api_url: str | None = None,
        wiki_id: str | None = None,
        log_in: bool = True,
        password_file: Path | None = None,
        state: Path = _STATE,
        timeout_s: float = 30.0,
        patience: Patience | None = None,
    ) -> Self:
        """Sign in and make sure that wiki and account are those of the settings.

        Args:
            review: Family, code, user, whether it needs the bot flag, and whether edits are only logged.
            user_agent: The User-Agent header, with a contact.
            api_url: Address of `api.php` where it is known; a loopback address need not be in the family.
            wiki_id: What the wiki must call itself, `commonswiki`; None accepts any.
            log_in: False reads as somebody without an account, for a dry-run that has no password.
            password_file: In place of the one that `user-config.py` names.
            state: Folder for pywikibot's cookies and caches, one folder per wiki below it.
            timeout_s: Silence of the server that ends a request.
            patience: Budget for trying again.

        Returns:
            The connected wiki; with `log_in` off it only reads.

        Raises:
            ConfigError: A file, the family, the wiki, the password, the account or its rights are wrong.
            ServiceDown: The wiki does not answer.
        """
        patience = patience or Patience()
        pywikibot = _load_pywikibot()
        wiki_family = family(pywikibot, review, api_url)
        folder = state / wiki_family.langs[review.code].replace(":", "_")
        _configure(pywikibot, user_agent, timeout_s)
        session = _Session(pywikibot, wiki_family, review, folder, password_file, log_in=log_in)
        patience.insist(session.sign_in)
        answer = patience.insist(lambda: session.ask(_WHO_AND_WHAT))
        with as_mediawiki():
            account, general = Account.of(answer), answer["query"]["general"]
            check_wiki(general, wiki_id)
            max_page_bytes = int(general["maxarticlesize"])
        if log_in:
            check_account(account, review, require_bot=review.require_bot)
        else:
            account = Account(canonical(review.user), account.rights, frozenset(), blocked=False)
        if account.blocked:
            logger.warning("wiki_account_blocked", extra={"account": account.name})
        logger.info("wiki_connected", extra={"wiki": general["wikiid"], "account": account.name})
        return cls(session, account, max_page_bytes, dry_run=review.dry_run or not log_in, patience=patience)


_WHO_AND_WHAT: Final[Mapping[str, str | int]] = {
    "action": "query",
    "meta": "siteinfo|userinfo",
    "siprop": "general",
    "uiprop": "rights|groups|blockinfo",
}


class _Session:
    """Single requests as the bot's account; signs in again, once, where the wiki has forgotten it.

    Args:
        pywikibot: The library, configured.
        wiki_family: Where the wiki is.
        review: Which wiki of the family, and which account.
        folder: For cookies and caches.
        password_file: In place of the one that `user-config.py` names.
        log_in: Whether there is an account at all.
    """

    def __init__(
        self,
        pywikibot: Any,
        wiki_family: Any,
        review: ReviewSettings,
        folder: Path,
        password_file: Path | None,
        *,
        log_in: bool,
    ) -> None:
        self._pywikibot = pywikibot
        self._folder = _prepared(folder)
        self._password_file = str(password_file or pywikibot.config.password_file)
        self._user = canonical(review.user) if log_in else None
        self._cookies = pywikibot.comms.http.PywikibotCookieJar()
        self._transport = NotingSession()
        self._transport.cookies = self._cookies
        self._request = single_try(pywikibot)
        with self._edge():
            self._site = site_class(pywikibot)(code=review.code, fam=wiki_family, user=self._user)
            self._throttle = self._site.throttle

    def sign_in(self) -> None:
        """Use the stored cookies if they are still good, else the password; nothing without an account.

        Raises:
            ConfigError: The wiki does not take the password, or there is none.
            ServiceDown: Transient.
        """
        if self._user is None:
            return
        with self._edge():
            self._cookies.load(self._user, ignore_discard=True)
            self._site.login()

    def ask(self, parameters: Mapping[str, str | int]) -> Answer:
        """Send a request that changes nothing; see `wiki_pages.Session`."""
        with self._edge():
            self._stay_signed_in()
            request = self._request(
                site=self._site,
                parameters={"maxlag": _MAXLAG_S, **parameters, "formatversion": 2},
                throttle=False,
                use_get=True,
            )
            answer: Answer = request.submit()
            return answer

    def act(self, parameters: Mapping[str, str | int]) -> Answer:
        """Send a request that changes something; see `wiki_pages.Session`."""
        with self._edge():
            self._stay_signed_in()
            fields = {
                "maxlag": _MAXLAG_S,
                **parameters,
                "assertuser": self._user,
                "token": self._site.tokens["csrf"],
                "formatversion": 2,
            }
            # pywikibot adds assert=user, and signs in and fetches a token anew where the wiki asks for it.
            request = self._request(site=self._site, parameters=fields, throttle=False, use_get=False)
            answer: Answer = request.submit()
            return answer

    def _stay_signed_in(self) -> None:
        """After a failure to sign in again, pywikibot would go on without an account."""
        if self._user is not None and not self._site.logged_in():
            self._site.login()

    @contextmanager
    def _edge(self) -> Iterator[None]:
        """One caller at a time, and nothing of pywikibot leaves the block."""
        with _PYWIKIBOT:
            http, config = self._pywikibot.comms.http, self._pywikibot.config
            http.session, http.cookie_jar = self._transport, self._cookies
            config.base_dir, config.password_file = str(self._folder), self._password_file
            self._transport.forget()
            try:
                yield
            except BotError:
                raise
            except (self._pywikibot.exceptions.Error, *_SURPRISES) as error:
                raise self._translated(error) from error
            finally:
                with suppress(AttributeError):
                    # It would sleep as long as the server asked, however long, before the next request.
                    self._throttle.retry_after = 0

    def _translated(self, error: BaseException) -> BotError:
        after_s = self._transport.after_s
        if isinstance(error, self._pywikibot.exceptions.APIError):
            if is_transient(error.code):
                return ServiceDown(SERVICE, f"{error.code}: {error.info}", after_s)
            return ApiError(error.code, str(error.info))
        if isinstance(error, self._pywikibot.exceptions.MaxlagTimeoutError):
            return ServiceDown(SERVICE, "maxlag: its databases lag behind", after_s)
        problem = self._transport.problem or f"{type(error).__name__}: {error}"
        return ServiceDown(SERVICE, problem[:500], after_s)


def _load_pywikibot() -> Any:
    """Import it so that it reads our file and nobody's command line."""
    check_user_config(ROOT / "user-config.py")
    with _PYWIKIBOT:
        os.environ["PYWIKIBOT_DIR"] = str(ROOT)
        arguments, sys.argv = sys.argv, sys.argv[:1]
        try:
            import pywikibot.comms.http
            import pywikibot.data.api
            import pywikibot.login
        finally:
            sys.argv = arguments
    if pywikibot.config.password_file is None:
        raise ConfigError(
            f"pywikibot did not read {ROOT / 'user-config.py'}: it was imported elsewhere first"
        )
    return pywikibot


def _prepared(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Killed processes stay in it for ten minutes, and slow down those that come after. Without the file
        # a second session of this process would fail.
        (folder / "throttle.ctrl").write_text("")
    except OSError as error:
        raise ConfigError(f"{folder}: pywikibot cannot keep its cookies there: {error.strerror}") from error
    return folder


def _configure(pywikibot: Any, user_agent: str, timeout_s: float) -> None:
    config = pywikibot.config
    config.user_agent_format = user_agent.replace("{", "").replace("}", "") + " {pwb}"
    config.max_retries = 0
    config.minthrottle = config.put_throttle = 0
    config.socket_timeout = (min(_CONNECT_TIMEOUT_S, timeout_s), timeout_s)
    config.solve_captcha = False
    config.log = []
    pywikibot.bot.set_interface("buffer")
    pywikibot.bot.init_handlers()
    logging.captureWarnings(False)
    chatter = logging.getLogger("pywiki")
    chatter.handlers[:] = [_Chatter(logging.WARNING)]
    if any(len(keys) == 4 for keys in config.authenticate.values()) and not importlib.util.find_spec(
        "requests_oauthlib"
    ):
        raise ConfigError("OAuth needs a package that is not installed: `pip install requests-oauthlib`")


class _Chatter(logging.Handler):
    """pywikibot's warnings, in our log for those who look closely; below that level it logs passwords."""

    def emit(self, record: logging.LogRecord) -> None:
        """Pass it on.

        Args:
            record: What pywikibot said.
        """
        logger.debug("pywikibot_says", extra={"said": record.getMessage()[:2000]})


__all__ = ["Wiki"]

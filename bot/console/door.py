"""Lets people in: the login page, the session cookie, and what stands before every other page.

A form counts only with the token of its session and only if the browser says that it comes from here; the
cookie is kept from scripts, from other sites, and from plain HTTP where there is HTTPS.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final
from urllib.parse import quote, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from bot.console.attempts import Attempts
from bot.console.forms import read_form
from bot.console.holders import Holder, Holders
from bot.console.rendering import render
from bot.console.sessions import LENGTH, Sessions, new_nonce
from bot.console.visits import Console, Visit
from classifier.service.access import AccessDenied

log = logging.getLogger(__name__)

COOKIE: Final = "console-session"
LOGIN_COOKIE: Final = "console-login"
UNKNOWN: Final = "That token is not known, has expired or was revoked."
WRONG_SCOPE: Final = "That token is not for the console: it needs the scope “console”."
STALE: Final = "That form is too old. Please try again."
_LOGIN_S: Final = 3600

Endpoint = Callable[[Request], Awaitable[Response]]
Page = Callable[[Request, Visit], Response]
Action = Callable[[Visit, Mapping[str, str]], Response]


class Door:
    """Guards the pages of one console.

    Args:
        console: The console's parts.
        holders: Looks tokens up.
        sessions: Signs and reads cookies.
        attempts: Counts failures.
    """

    def __init__(self, console: Console, holders: Holders, sessions: Sessions, attempts: Attempts) -> None:
        self._console = console
        self._holders = holders
        self._sessions = sessions
        self._attempts = attempts

    def page(self, page: Page) -> Endpoint:
        """Stand before a page: who is not logged in is asked to.

        Args:
            page: Makes the answer, in a worker thread.

        Returns:
            The endpoint.
        """

        async def endpoint(request: Request) -> Response:
            return await run_in_threadpool(self._show, page, request)

        return endpoint

    def action(self, action: Action) -> Endpoint:
        """Stand before something that changes the store.

        Args:
            action: Does it and makes the answer, in a worker thread.

        Returns:
            The endpoint of a POST.
        """

        async def endpoint(request: Request) -> Response:
            form = await read_form(request)
            return await run_in_threadpool(self._act, action, request, form)

        return endpoint

    async def login(self, request: Request) -> Response:
        """The login page, and what it sends."""
        if request.method != "POST":
            return await run_in_threadpool(self._ask, request)
        form = await read_form(request)
        return await run_in_threadpool(self._let_in, request, form)

    async def logout(self, request: Request) -> Response:
        """End the session."""
        form = await read_form(request)
        return await run_in_threadpool(self._act, self._leave, request, form)

    def _show(self, page: Page, request: Request) -> Response:
        visit = self._visit(request)
        if visit is None:
            return _redirect(f"{_base(request)}/login?next={quote(_own_path(request), safe='')}")
        return page(request, visit)

    def _act(self, action: Action, request: Request, form: Mapping[str, str]) -> Response:
        _refuse_other_sites(request)
        visit = self._visit(request)
        if visit is None:
            return _redirect(f"{_base(request)}/login")
        if not self._sessions.is_form_token(visit.session.nonce, form.get("form_token", "")):
            raise HTTPException(403, STALE)
        return action(visit, form)

    def _visit(self, request: Request) -> Visit | None:
        session = self._sessions.read(request.cookies.get(COOKIE))
        holder = None if session is None else self._holders.by_id(session.token_id)
        if session is None or holder is None:
            return None
        form_token = self._sessions.form_token(session.nonce)
        return Visit(self._console, session, holder, _base(request), form_token)

    def _ask(self, request: Request, problem: str = "", status: int = 200) -> Response:
        nonce = new_nonce()
        values = {
            "title": "Log in",
            "base": _base(request),
            "problem": problem,
            "next": _safe_path(request.query_params.get("next", "")),
            "form_token": self._sessions.form_token(nonce),
        }
        response = HTMLResponse(render(self._console.templates, "login", values), status)
        self._set_cookie(request, response, LOGIN_COOKIE, nonce, _LOGIN_S)
        return response

    def _let_in(self, request: Request, form: Mapping[str, str]) -> Response:
        _refuse_other_sites(request)
        client = request.client.host if request.client else "unknown"
        wait_s = self._attempts.wait_s(client)
        if wait_s > 0:
            log.warning("console_login_limited", extra={"client": client})
            answer = self._ask(request, "Too many failures from your address. Please wait some minutes.", 429)
            answer.headers["Retry-After"] = str(int(wait_s) + 1)
            return answer
        if not self._sessions.is_form_token(
            request.cookies.get(LOGIN_COOKIE, ""), form.get("form_token", "")
        ):
            return self._ask(request, STALE, 403)
        holder, problem = self._holder(form.get("token", "").strip())
        if holder is None:
            self._attempts.failed(client)
            log.warning("console_login_failed", extra={"client": client})
            return self._ask(request, problem, 403)
        log.info("console_login", extra={"account": holder.account, "token_id": holder.token_id})
        response = _redirect(f"{_base(request)}{_safe_path(form.get('next', '')) or '/'}")
        self._set_cookie(
            request,
            response,
            COOKIE,
            self._sessions.begin(holder.token_id),
            int(LENGTH.total_seconds()),
        )
        response.delete_cookie(LOGIN_COOKIE, path=_base(request) or "/")
        return response

    def _holder(self, secret: str) -> tuple[Holder | None, str]:
        try:
            return self._holders.by_secret(secret), UNKNOWN
        except AccessDenied as denied:
            if denied.status >= 500:
                raise HTTPException(denied.status, denied.detail) from denied
            return None, WRONG_SCOPE if denied.code == "forbidden" else UNKNOWN

    def _leave(self, visit: Visit, _form: Mapping[str, str]) -> Response:
        self._sessions.end(visit.session)
        log.info("console_logout", extra={"account": visit.holder.account})
        response = _redirect(f"{visit.base}/login")
        response.delete_cookie(COOKIE, path=visit.base or "/")
        return response

    def _set_cookie(
        self, request: Request, response: Response, name: str, value: str, max_age_s: int
    ) -> None:
        response.set_cookie(
            name,
            value,
            max_age=max_age_s,
            path=_base(request) or "/",
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="strict",
        )


def _refuse_other_sites(request: Request) -> None:
    """SameSite keeps the cookie from other sites; this holds where a browser does not know that, too."""
    origin = request.headers.get("origin")
    foreign = origin is not None and urlsplit(origin).netloc != request.headers.get("host")
    if foreign or request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise HTTPException(403, "That form was sent from another site.")


def _base(request: Request) -> str:
    return str(request.scope.get("root_path", "")).rstrip("/")


def _own_path(request: Request) -> str:
    path = request.url.path.removeprefix(_base(request))
    return path + (f"?{request.url.query}" if request.url.query else "")


def _safe_path(path: str) -> str:
    """A path below ours; anything that could lead elsewhere becomes the first page."""
    parts = urlsplit(path.replace("\\", "/"))
    is_ours = path.startswith("/") and not path.startswith("//") and not (parts.scheme or parts.netloc)
    return path if is_ours and path.isprintable() and "\\" not in path else ""


_redirect = partial(RedirectResponse, status_code=303)

__all__ = ["COOKIE", "Action", "Door", "Endpoint", "Page"]

"""A logged-in user of the sandbox wiki: the plain web API over one requests session, nothing hidden.

Written for tests, so it neither retries nor waits: what the wiki answers is what the test sees.
"""

from pathlib import Path
from typing import Any

import requests

from tests.sandbox_wiki.errors import ApiRefused, SandboxError

_TIMEOUT_S = 120
_USER_AGENT = "CommonsNsfwBotTests/1.0 (sandbox wiki on loopback)"


class WikiClient:
    """One account's session; not thread-safe.

    Args:
        api_url: Address of `api.php`.
        name: What one logs in as, `User` or `User@app_id`; None stays logged out.
        password: The account's or the bot password.
    """

    def __init__(self, api_url: str, name: str | None = None, password: str = "") -> None:
        self._api_url = api_url
        self._csrf_token = ""
        self.session = requests.Session()
        self.session.headers["User-Agent"] = _USER_AGENT
        if name is not None:
            self._log_in(name, password)

    def query(self, **parameters: str | int) -> dict[str, Any]:
        """Ask `action=query`.

        Returns:
            The `query` part of the answer.

        Raises:
            ApiRefused: The API answered with an error.
        """
        answer: dict[str, Any] = self.call(action="query", **parameters)["query"]
        return answer

    def call(self, **parameters: str | int) -> dict[str, Any]:
        """Send any request by POST, without a token.

        Returns:
            The whole answer in `formatversion=2`.

        Raises:
            ApiRefused: The API answered with an error.
            SandboxError: The answer was not the API's.
        """
        return self._send(parameters, None)

    def act(self, **parameters: str | int) -> dict[str, Any]:
        """Send a request that changes something, with the session's edit token.

        Returns:
            The whole answer.

        Raises:
            ApiRefused: The API answered with an error.
        """
        return self._act(parameters, None)

    def upload(self, path: Path, title: str, text: str = "", comment: str = "uploaded") -> dict[str, Any]:
        """Upload a file, or a new version of it, whatever the wiki warns of.

        Args:
            path: The file.
            title: Title with or without `File:`.
            text: Wikitext of the description page.
            comment: Log comment.

        Returns:
            The `upload` part of the answer.

        Raises:
            ApiRefused: The wiki refused it.
        """
        with path.open("rb") as handle:
            fields: dict[str, str | int] = {
                "action": "upload",
                "filename": title.removeprefix("File:"),
                "text": text,
                "comment": comment,
                "ignorewarnings": 1,
            }
            answer = self._act(fields, {"file": (path.name, handle)})
        upload: dict[str, Any] = answer["upload"]
        if upload["result"] != "Success":
            raise ApiRefused(str(upload["result"]), str(upload))
        return upload

    def edit(self, title: str, text: str, summary: str = "", **parameters: str | int) -> dict[str, Any]:
        """Replace a page's text.

        Args:
            title: Full title.
            text: The whole new text.
            summary: Edit summary.
            parameters: Others of `action=edit`, such as `nocreate`.

        Returns:
            The `edit` part of the answer.

        Raises:
            ApiRefused: The wiki refused it; code `captcha` where it wants one.
        """
        answer = self.act(action="edit", title=title, text=text, summary=summary, **parameters)
        edit: dict[str, Any] = answer["edit"]
        if edit["result"] != "Success":
            raise ApiRefused("captcha" if "captcha" in edit else str(edit["result"]), str(edit))
        return edit

    def close(self) -> None:
        """Close the connections."""
        self.session.close()

    def _log_in(self, name: str, password: str) -> None:
        answer = self._send(
            {"action": "login", "lgname": name, "lgpassword": password, "lgtoken": self._token("login")}, None
        )["login"]
        if answer["result"] != "Success":
            raise ApiRefused(str(answer["result"]), f"{name}: {answer.get('reason', '')}")

    def _token(self, kind: str) -> str:
        return str(self.query(meta="tokens", type=kind)["tokens"][f"{kind}token"])

    def _act(self, parameters: dict[str, str | int], files: dict[str, Any] | None) -> dict[str, Any]:
        if not self._csrf_token:
            self._csrf_token = self._token("csrf")
        return self._send({**parameters, "token": self._csrf_token}, files)

    def _send(self, parameters: dict[str, str | int], files: dict[str, Any] | None) -> dict[str, Any]:
        fields = {**parameters, "format": "json", "formatversion": 2}
        response = self.session.post(self._api_url, data=fields, files=files, timeout=_TIMEOUT_S)
        try:
            answer: dict[str, Any] = response.json()
        except requests.JSONDecodeError as error:
            raise SandboxError(f"HTTP {response.status_code}: {response.text[:500]}") from error
        if "error" in answer:
            raise ApiRefused(answer["error"]["code"], answer["error"]["info"])
        return answer

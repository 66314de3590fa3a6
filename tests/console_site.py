"""The console as a client sees it: a filled store, tokens, and the app below `/console`."""

import re
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from starlette.testclient import TestClient

from bot.console.assembly import console_app
from bot.serving.access import TokenAccess
from bot.settings import Settings, load_settings
from storage import api_tokens
from storage.api_tokens import Scope
from storage.engine import Database
from tests.console_store import fill
from tests.storage_database import fresh_database

HOST = "console.test"


@dataclass(frozen=True, slots=True)
class ConsoleSite:
    """A console and what it works on.

    Attributes:
        app: The application, the console below `/console`.
        database: Its store.
        settings: Its settings.
        copies: Folder of the kept pictures.
        now: The present of the store.
    """

    app: FastAPI
    database: Database
    settings: Settings
    copies: Path
    now: datetime

    def token(self, account: str = "Rosa", *scopes: str) -> str:
        """Give out a token; for the console and for reviewing, unless said otherwise."""
        wanted = {Scope(scope) for scope in scopes or ("console", "review")}
        with self.database.transaction() as tx:
            return api_tokens.add(tx, account=account, scopes=wanted, now=datetime.now(UTC)).secret

    def client(self, secret: str | None = None) -> TestClient:
        """A client, logged in with a token where one is given."""
        client = TestClient(self.app, base_url=f"http://{HOST}", follow_redirects=False)
        if secret is not None:
            assert log_in(client, secret).status_code == 303
        return client


def log_in(client: TestClient, secret: str, **fields: str) -> Any:
    """Fill in the login form."""
    form = {"form_token": form_token(client.get("/console/login").text), "token": secret, **fields}
    return client.post("/console/login", data=form)


def form_token(page: str) -> str:
    """What a form of the page sends along."""
    found = re.search(r'name="form_token" value="([0-9a-f]+)"', page)
    assert found is not None, page
    return found[1]


@contextmanager
def console_site(
    folder: Path, *, now: datetime | None = None, pictures: int = 90, filled: bool = True, **review: Any
) -> Iterator[ConsoleSite]:
    """Make a console.

    Args:
        folder: For its files.
        now: The present of the store; the real one where None.
        pictures: How many pictures are kept.
        filled: Whether there is anything in the store.
        review: Settings of the section `[review]`.

    Yields:
        The site.
    """
    now = now or datetime.now(UTC)
    copies = folder / "copies"
    overrides: Mapping[str, Any] = {
        "console": {"key_file": str(folder / "console.key")},
        "retention": {"directory": str(copies)},
        "review": review,
    }
    settings = load_settings(overrides=overrides)
    with fresh_database(folder) as database:
        if filled:
            fill(database, copies, now, pictures=pictures)
        app = FastAPI()
        access = TokenAccess(database, settings.access)
        app.mount("/console", console_app(settings, database, access, lambda: now))
        yield ConsoleSite(app, database, settings, copies, now)


@contextmanager
def served(site: ConsoleSite) -> Iterator[str]:
    """Serve a console on loopback.

    Args:
        site: The console.

    Yields:
        Its address, without a slash at the end.
    """
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(site.app, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/console"
    finally:
        server.should_exit = True
        thread.join(10)
        listening.close()


__all__ = ["ConsoleSite", "console_site", "form_token", "log_in", "served"]

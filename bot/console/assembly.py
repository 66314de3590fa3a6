"""The console as one ASGI application, put together from the settings; mounted by `bot.serving`."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from bot.console import (
    charts,
    item_page,
    models_page,
    overview_page,
    pictures,
    purges_page,
    quality_page,
    queue_page,
    review_page,
    scores_page,
)
from bot.console.attempts import Attempts
from bot.console.door import Door
from bot.console.headers import SecurityHeaders
from bot.console.holders import StoredHolders
from bot.console.rendering import environment, render
from bot.console.sessions import Sessions
from bot.console.visits import Console
from bot.retention.folder import CopyFolder
from bot.review.local_report import page_address
from bot.secret_file import load_secret
from bot.settings import Settings
from classifier.service.access import Access
from storage.engine import Database
from storage.errors import StoreError

STATIC: Final = Path(__file__).with_name("static")


class _Static(StaticFiles):
    """Style sheet and scripts: browsers ask whether theirs is still the same, which costs next to nothing."""

    def file_response(self, *args: Any, **more: Any) -> Response:
        """Answer with a file."""
        response = super().file_response(*args, **more)
        response.headers["Cache-Control"] = "no-cache"
        return response


def console_app(
    settings: Settings,
    database: Database,
    access: Access,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> ASGIApp:
    """The console; mount it below a path of its own, such as `/console`.

    Args:
        settings: Everything that can be set.
        database: The store, migrated.
        access: The service's door, which decides whose token opens the console.
        clock: Tells the present.

    Returns:
        The application.

    Raises:
        ConfigError: Where the secret that signs sessions can neither be read nor made.
    """
    console = Console(
        settings=settings,
        database=database,
        copies=CopyFolder(settings.retention.directory, database.name),
        templates=environment(partial(page_address, settings.wiki.page_url)),
        clock=clock,
    )
    key = load_secret(settings.console.key_file, "console.key_file")
    door = Door(console, StoredHolders(database, access, clock), Sessions(key, clock), Attempts())
    return SecurityHeaders(Starlette(routes=_routes(door), exception_handlers=_handlers(console)))


def _routes(door: Door) -> list[Route | Mount]:
    return [
        Route("/", door.page(overview_page.show)),
        Route("/login", door.login, methods=["GET", "POST"]),
        Route("/logout", door.logout, methods=["POST"]),
        Route("/queue", door.page(queue_page.show)),
        Route("/items/{item_id}", door.page(item_page.show)),
        Route("/items/{item_id}/blurred.jpg", door.page(pictures.show_blurred)),
        Route("/items/{item_id}/clear.jpg", door.page(pictures.show_clear)),
        Route("/review", door.page(review_page.show), methods=["GET"]),
        Route("/review", door.action(review_page.give), methods=["POST"]),
        Route("/scores", door.page(scores_page.show)),
        Route("/quality", door.page(quality_page.show)),
        Route("/models", door.page(models_page.show)),
        Route("/purges", door.page(purges_page.show)),
        Route("/charts/{name}.svg", door.page(charts.show)),
        Mount("/static", _Static(directory=STATIC)),
    ]


def _handlers(console: Console) -> Mapping[Any, Callable[[Request, Exception], Response]]:
    def problem(request: Request, status: int, text: str) -> Response:
        values = {
            "title": f"{status}",
            "base": str(request.scope.get("root_path", "")).rstrip("/"),
            "text": text,
        }
        return HTMLResponse(render(console.templates, "problem", values), status)

    def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return problem(request, error.status_code, str(error.detail))

    def store_away(request: Request, error: Exception) -> Response:
        return problem(request, 503, f"The store cannot be read at the moment: {error}")

    return {HTTPException: refused, StoreError: store_away}


__all__ = ["console_app"]

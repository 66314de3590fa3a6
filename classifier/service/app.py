"""The application, put together from its routers; every answer that is no score is a problem with a code."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from classifier.service import batch, classify, kserve, open_inference, operations, problems
from classifier.service.documenting import components, without_null
from classifier.service.documenting import problems as problem_responses
from classifier.service.observing import NOBODY_WAITS, Observing
from classifier.service.parts import ServiceLimits, ServiceParts
from classifier.service.problems import EXPECTED, Problem
from classifier.service.schemas import (
    BatchRequest,
    InferRequest,
    PredictRequest,
    ProblemDetails,
    TitleRequest,
    UrlRequest,
)
from classifier.service.service import Service

VERSION: Final = "1.0"
_DESCRIPTION: Final = """Scores pictures and films. Scores are advice to people.
A file that was not scored is a problem, never safe.

Problems are RFC 9457 problem details; their `code` is stable."""
_BY_STATUS: Final = {
    400: "malformed_request",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported_media_type",
}


def create_app(parts: ServiceParts, limits: ServiceLimits) -> FastAPI:
    """Put the service together.

    Args:
        parts: What it works with.
        limits: How much requests may use.

    Returns:
        The application; it starts and ends nothing that it was handed. `app.state.service` is the `Service`.
    """
    service = Service(parts, limits)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        running = [asyncio.create_task(one) for one in (service.become_ready(), service.memory.watch())]
        yield
        for task in running:
            task.cancel()
        service.desk.close()

    # The pages of documentation that FastAPI brings load scripts from elsewhere.
    app = FastAPI(
        title="Commons NSFW scores",
        version=VERSION,
        description=_DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        # What is told of requests is told by `observing` alone.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    app.state.service = service
    for one in (classify, batch, kserve, open_inference, operations):
        app.include_router(one.router)
    for path, mounted in parts.mounts.items():
        app.mount(path, mounted)
    _answer_with_problems(app)
    _document(app)
    app.add_middleware(Observing, metrics=service.metrics)
    return app


def _answer_with_problems(app: FastAPI) -> None:
    async def expected(request: Request, error: Exception) -> Response:
        return _problem(request, problems.of(error))

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        code = _BY_STATUS.get(error.status_code, "malformed_request")
        headers = dict(error.headers or {})
        detail = (
            f"{request.method} is not known here" if error.status_code == 405 else problems.PROBLEMS[code][1]
        )
        return _problem(request, Problem(code, detail, error.status_code, headers=headers))

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        found = [{"at": "/".join(map(str, one["loc"])), "message": one["msg"]} for one in error.errors()[:10]]
        detail = f"{found[0]['at']}: {found[0]['message']}"
        return _problem(request, Problem("invalid_request", detail, more={"errors": found}))

    async def unforeseen(request: Request, _: Exception) -> Response:
        return _problem(
            request, Problem("internal_error", "this is a fault of the service; it is in its log")
        )

    async def gone(_: Request, __: Exception) -> Response:
        return Response(status_code=NOBODY_WAITS)

    for kind in EXPECTED:
        app.add_exception_handler(kind, expected)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(ClientDisconnect, gone)
    app.add_exception_handler(Exception, unforeseen)


def _problem(request: Request, problem: Problem) -> Response:
    request.app.state.service.metrics.problem(problem.code)
    request.state.code = problem.code
    return problems.answer(problem, getattr(request.state, "request_id", None))


def _document(app: FastAPI) -> None:
    made = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = made()
            without_null(document)
            known = document.setdefault("components", {})
            shapes = (TitleRequest, UrlRequest, BatchRequest, PredictRequest, InferRequest, ProblemDetails)
            known["schemas"] = components(shapes) | known.get("schemas", {})
            bearer = {
                "type": "http",
                "scheme": "bearer",
                "description": "Only where the operator wants tokens.",
            }
            _correct(document)
            known["securitySchemes"] = {"bearer": bearer}
        assert app.openapi_schema is not None
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _correct(document: dict[str, Any]) -> None:
    """FastAPI believes that it answers invalid parameters itself, in a shape of its own."""
    for methods in document["paths"].values():
        for operation in methods.values():
            if "application/json" in operation["responses"].get("422", {}).get("content", {}):
                operation["responses"]["422"] = problem_responses("invalid_request")[422]
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(name, None)


__all__ = ["create_app"]

"""What whoever runs the service asks it: is it alive, does it take work, how is it doing."""

from typing import Annotated

from fastapi import APIRouter, Path
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from classifier.service.classify import as_json
from classifier.service.documenting import problems
from classifier.service.problems import PROBLEMS, Problem
from classifier.service.schemas import Health, Ready
from classifier.service.service import service_of

router = APIRouter(tags=["operations"])


@router.get("/healthz", summary="Whether the process answers", response_model=Health)
async def healthz() -> Response:
    """Answer as long as the event loop turns; a supervisor restarts what does not."""
    return as_json({"ok": True})


@router.get("/readyz", summary="Whether it takes work", response_model=Ready, responses=problems("not_ready"))
async def readyz(request: Request) -> Response:
    """Ready once the model has answered for a known picture, and until the service is told to end."""
    service_of(request).require_taking()
    return as_json({"ready": True})


@router.get(
    "/metrics",
    summary="Numbers for Prometheus",
    response_class=PlainTextResponse,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(request: Request) -> Response:
    """Rate, errors and duration by route; queue, batches, cache."""
    service = service_of(request)
    service.metrics.ready.set(service.not_ready_because is None and not service.draining)
    return Response(generate_latest(service.metrics.registry), media_type=CONTENT_TYPE_LATEST)


@router.get(
    "/problems/{code}",
    summary="What a problem's code means",
    response_class=PlainTextResponse,
    responses={
        200: {"content": {"text/plain": {"schema": {"type": "string"}}}},
        **problems("not_found", "invalid_request"),
    },
)
async def problem(code: Annotated[str, Path(max_length=100)]) -> Response:
    """Where the `type` of a problem leads."""
    if code not in PROBLEMS:
        raise Problem("not_found", "this service has no problem of this code; sources of files may")
    status, title = PROBLEMS[code]
    return PlainTextResponse(f"{code} ({status}): {title}\n")


__all__ = ["router"]

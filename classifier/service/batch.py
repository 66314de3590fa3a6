"""`POST /v1/classify/batch`: many files at once, each with its own result or its own problem."""

from functools import partial
from typing import Any, Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from classifier.service import multipart
from classifier.service.answers import Scored, Wanted
from classifier.service.asking import PARAMETERS, Asked, asked, while_connected
from classifier.service.body import pieces
from classifier.service.classify import as_json, opener
from classifier.service.documenting import SCORING_CODES, body, json_body, problems
from classifier.service.lanes import Item, each, lanes
from classifier.service.problems import Problem
from classifier.service.reading import JSON, MULTIPART, media_type, refuse_media_type
from classifier.service.reading import json_body as read_json
from classifier.service.schemas import BatchAnswer, BatchRequest, NamedFiles
from classifier.service.service import Service, service_of

router = APIRouter(tags=["classify"])

_FORM: Final = {
    "schema": {
        "type": "object",
        "required": ["files"],
        "properties": {
            "files": {"type": "array", "minItems": 1, "items": {"type": "string", "format": "binary"}}
        },
    }
}


@router.post(
    "/v1/classify/batch",
    summary="Score many pictures and films",
    response_model=BatchAnswer,
    responses=problems(*SCORING_CODES),
    openapi_extra=body(
        {
            MULTIPART: _FORM,
            JSON: json_body(
                BatchRequest,
                example={"items": [{"title": "File:Example.jpg"}, {"title": "File:Example.webm"}]},
            ),
        },
        PARAMETERS,
    ),
)
async def classify_batch(request: Request) -> Response:
    """Score the files of a form, or those that a list names; `items` has a result or a problem for each."""
    service, wishes = service_of(request), asked(request)
    service.require_ready()
    await service.admit(request, "classify", 0)
    kind = media_type(request)
    if kind == JSON:
        return await _named(request, service, wishes)
    if kind == MULTIPART:
        return await _sent(request, service, wishes)
    raise refuse_media_type(kind, MULTIPART, JSON)


async def _named(request: Request, service: Service, wishes: Asked) -> Response:
    wanted, deadline = wishes.wanted, wishes.deadline
    items = (await read_json(request, service, deadline, NamedFiles)).items
    if len(items) > service.limits.batch_items:
        raise Problem("too_large", f"a batch may have {service.limits.batch_items} items")
    await service.admit(request, "classify", len(items))
    service.desk.admission.check(lanes(service, len(items)))
    work: list[Item] = [
        partial(service.desk.named, opener(service, item, deadline), wanted, deadline, admitted=True)
        for item in items
    ]
    results = await while_connected(request, deadline, each(service, work))
    return _answer([item.title or item.url or "" for item in items], results, wanted)


async def _sent(request: Request, service: Service, wishes: Asked) -> Response:
    limits, deadline = service.limits, wishes.deadline
    with service.receiving():
        found = await multipart.files(
            pieces(request, limits.batch_bytes, limits, deadline),
            request.headers["content-type"],
            service.spool,
            max_files=limits.batch_items,
            max_file_bytes=limits.file_bytes,
        )
    try:
        await service.admit(request, "classify", len(found))
        service.desk.admission.check(lanes(service, len(found)))
        work: list[Item] = [
            partial(service.desk.upload, upload, wishes.wanted, deadline, admitted=True)
            for _, upload in found
        ]
        results = await while_connected(request, deadline, each(service, work))
    finally:
        for _, upload in found:
            upload.close()
    return _answer([name for name, _ in found], results, wishes.wanted)


def _answer(names: list[str], results: list[Scored | Problem], wanted: Wanted) -> Response:
    items: list[dict[str, Any]] = []
    for number, (name, result) in enumerate(zip(names, results, strict=True)):
        told = (
            {"problem": result.members()}
            if isinstance(result, Problem)
            else {"result": result.members(wanted)}
        )
        items.append({"index": number, "name": name, **told})
    failed = sum(isinstance(result, Problem) for result in results)
    return as_json({"scored": len(results) - failed, "failed": failed, "items": items})


__all__ = ["router"]

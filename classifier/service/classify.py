"""`POST /v1/classify`: one file, sent or named, and its score; and what is remembered, by hash."""

import json
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path
from starlette.requests import Request
from starlette.responses import Response

from classifier.service import multipart
from classifier.service.answers import Scored, Wanted
from classifier.service.asking import (
    FRAMES,
    IF_NONE_MATCH,
    LEVEL,
    PARAMETERS,
    Asked,
    asked,
    while_connected,
)
from classifier.service.body import pieces
from classifier.service.documenting import SCORING_CODES, body, json_body, problems
from classifier.service.parts import MIB
from classifier.service.problems import Problem
from classifier.service.reading import JSON, MULTIPART, media_type, received, refuse_media_type
from classifier.service.reading import json_body as read_json
from classifier.service.schemas import NamedFile, ScoreAnswer, TitleRequest, UrlRequest
from classifier.service.scoring import Opener
from classifier.service.service import Service, service_of
from classifier.service.sources import Sources
from classifier.service.upload import Upload

router = APIRouter(tags=["classify"])

RAW_TYPES: Final = ("image/*", "video/*", "application/octet-stream", "application/ogg")
_TAKEN: Final = (*RAW_TYPES, MULTIPART, JSON)
_BINARY: Final = {"schema": {"type": "string", "format": "binary"}}
_FORM: Final = {
    "schema": {
        "type": "object",
        "required": ["file"],
        "properties": {"file": {"type": "string", "format": "binary"}},
    },
    "encoding": {"file": {"contentType": "image/*, video/*"}},
}
_ETAG: Final = {"ETag": {"description": "Names this result.", "schema": {"type": "string"}}}


@router.post(
    "/v1/classify",
    summary="Score one picture or film",
    response_model=ScoreAnswer,
    responses={
        200: {"headers": _ETAG},
        **problems(*SCORING_CODES, "deleted", "undecodable", "precondition_failed", "source_forbidden"),
    },
    openapi_extra=body(
        {
            **dict.fromkeys(RAW_TYPES, _BINARY),
            MULTIPART: _FORM,
            JSON: json_body(TitleRequest, UrlRequest, example={"title": "File:Example.jpg"}),
        },
        PARAMETERS,
    ),
)
async def classify(request: Request) -> Response:
    """Score one file: the body itself, the one file of a form, or what a title or an address names.

    The answer of a film is that of its highest frame. A file that cannot be scored is a problem, never a
    low score.
    """
    service, wishes = service_of(request), asked(request)
    service.require_ready()
    await service.admit(request, "classify", 1)
    kind = media_type(request)
    if kind == JSON:
        named = await read_json(request, service, wishes.deadline, NamedFile)
        work = service.desk.named(opener(service, named, wishes.deadline), wishes.wanted, wishes.deadline)
        scored = await while_connected(request, wishes.deadline, work)
        return _answer(service, scored, wishes.wanted, request)
    upload = await _upload(request, service, wishes, kind)
    try:
        work = service.desk.upload(upload, wishes.wanted, wishes.deadline)
        scored = await while_connected(request, wishes.deadline, work)
    finally:
        upload.close()
    return _answer(service, scored, wishes.wanted, request)


@router.get(
    "/v1/scores/{sha256}",
    summary="Ask for a result that is remembered",
    response_model=ScoreAnswer,
    responses={
        200: {"headers": _ETAG},
        304: {"description": "The caller has this result."},
        **problems(
            "unauthorized", "forbidden", "not_scored_yet", "invalid_request", "quota_exceeded", "not_ready"
        ),
    },
    openapi_extra={"security": [{"bearer": []}, {}], "parameters": [LEVEL, FRAMES, IF_NONE_MATCH]},
)
async def remembered(
    request: Request,
    sha256: Annotated[str, Path(pattern="^[0-9a-f]{64}$", description="SHA-256 of the file's bytes.")],
) -> Response:
    """Look up by content what was scored lately; nothing is scored."""
    service, wanted = service_of(request), asked(request).wanted
    service.require_ready()
    await service.admit(request, "classify", 0)
    scored = service.desk.remembered(sha256, wanted)
    if scored is None:
        raise Problem("not_scored_yet", "send the file to /v1/classify")
    assert scored.etag is not None
    if has(request.headers.get("if-none-match"), scored.etag):
        return Response(status_code=304, headers={"ETag": scored.etag, "Cache-Control": "private, no-cache"})
    return as_json(scored.members(wanted), {"ETag": scored.etag, "Cache-Control": "private, no-cache"})


def opener(service: Service, named: NamedFile, deadline: Any) -> Opener:
    """How a file that was only named is brought.

    Args:
        service: Knows the sources.
        named: What was named.
        deadline: Of the request.

    Returns:
        What opens it, in a thread.

    Raises:
        Problem: `source_not_offered`.
    """
    sources: Sources | None = service.parts.sources
    if sources is None:
        raise Problem("source_not_offered", "this service scores only what is sent to it")
    if named.title is not None:
        return partial(sources.title, named.title, deadline)
    assert named.url is not None
    return partial(sources.url, named.url, deadline)


def has(header: str | None, etag: str) -> bool:
    """Whether `If-None-Match` names a tag; compared weakly, as RFC 9110 wants it."""
    if header is None:
        return False
    tags = {tag.strip().removeprefix("W/") for tag in header.split(",")}
    return "*" in tags or etag in tags


def as_json(members: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer of plain values."""
    return Response(json.dumps(members).encode(), 200, headers, media_type=JSON)


async def _upload(request: Request, service: Service, wishes: Asked, kind: str) -> Upload:
    if kind == MULTIPART:
        with service.receiving():
            body_bytes = service.limits.file_bytes + MIB
            found = await multipart.files(
                pieces(request, body_bytes, service.limits, wishes.deadline),
                request.headers["content-type"],
                service.spool,
                max_files=1,
                max_file_bytes=service.limits.file_bytes,
            )
        return found[0][1]
    if kind.startswith(("image/", "video/")) or kind in RAW_TYPES:
        return await received(request, service, wishes.deadline, service.limits.file_bytes)
    raise refuse_media_type(kind, *_TAKEN)


def _answer(service: Service, scored: Scored, wanted: Wanted, request: Request) -> Response:
    service.metrics.files.labels(scored.result["label"]).inc()
    headers = {}
    if scored.etag is not None:
        headers["ETag"] = scored.etag
        query = f"?level={wanted.level}" + ("&frames=true" if wanted.frames else "")
        headers["Content-Location"] = f"/v1/scores/{scored.result['media']['sha256']}{query}"
        if has(request.headers.get("if-none-match"), scored.etag):
            detail = "the result is still the one with this entity tag"
            raise Problem("precondition_failed", detail, headers=headers)
    return as_json(scored.members(wanted), headers)


__all__ = ["as_json", "has", "opener", "router"]

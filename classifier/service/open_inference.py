"""The Open Inference Protocol, version 2, over HTTP: what KServe, Triton and others speak.

One input of BYTES, each element a file in base64. A tensor of scores has no place for "not scored", so if
any file has no score the whole request is a problem, with the items that failed; `/v1/classify/batch`
answers one by one.
"""

from collections.abc import Sequence
from typing import Any, Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from classifier.service import instances
from classifier.service.answers import Scored
from classifier.service.asking import PARAMETERS, asked
from classifier.service.classify import as_json
from classifier.service.documenting import SCORING_CODES, body, json_body, problems
from classifier.service.kserve import require_model
from classifier.service.long_json import LongText
from classifier.service.problems import Problem
from classifier.service.reading import JSON, long_json_body
from classifier.service.schemas import InferAnswer, InferRequest, Live, ModelMetadata, Ready, ServerMetadata
from classifier.service.service import Service, service_of

router = APIRouter(prefix="/v2", tags=["Open Inference Protocol v2"])

INPUT: Final = "image"
_ID_CHARACTERS: Final = 255
_EXAMPLE: Final = {
    "inputs": [{"name": INPUT, "shape": [1], "datatype": "BYTES", "data": ["iVBORw0KGgo="]}],
}


@router.get("", summary="Who answers", response_model=ServerMetadata)
async def server(request: Request) -> Response:
    """Tell of the server."""
    return as_json({"name": "commons-nsfw", "version": str(request.app.version), "extensions": []})


@router.get("/health/live", summary="Whether the process answers", response_model=Live)
async def live() -> Response:
    """Answer."""
    return as_json({"live": True})


@router.get(
    "/health/ready", summary="Whether it scores", response_model=Ready, responses=problems("not_ready")
)
async def ready(request: Request) -> Response:
    """As `/readyz`."""
    service_of(request).require_taking()
    return as_json({"ready": True})


@router.get(
    "/models/{name}",
    summary="What a model takes and gives",
    response_model=ModelMetadata,
    responses=problems("unknown_model"),
)
async def metadata(request: Request, name: str) -> Response:
    """Tell of the model's tensors."""
    service = service_of(request)
    require_model(service, name)
    model = service.desk.model
    return as_json(
        {
            "name": model["name"],
            "versions": [model["version"]],
            "platform": model["engine"],
            "inputs": [{"name": INPUT, "datatype": "BYTES", "shape": [-1]}],
            "outputs": [
                {"name": "score", "datatype": "FP64", "shape": [-1]},
                {"name": "label", "datatype": "BYTES", "shape": [-1]},
            ],
        }
    )


@router.get(
    "/models/{name}/ready",
    summary="Whether a model scores",
    response_model=Ready,
    responses=problems("unknown_model", "not_ready"),
)
async def model_ready(request: Request, name: str) -> Response:
    """As `/readyz`, for one model."""
    service = service_of(request)
    require_model(service, name)
    service.require_taking()
    return as_json({"name": name, "ready": True})


@router.post(
    "/models/{name}/infer",
    summary="Score pictures in base64",
    response_model=InferAnswer,
    responses=problems(*SCORING_CODES, "unknown_model"),
    openapi_extra=body({JSON: json_body(InferRequest, example=_EXAMPLE)}, PARAMETERS),
)
async def infer(request: Request, name: str) -> Response:
    """Score the elements of the input; all of them, or the answer is a problem."""
    service, wishes = service_of(request), asked(request)
    require_model(service, name)
    service.require_ready()
    await service.admit(request, "classify", 0)
    limits, deadline = service.limits, wishes.deadline
    async with long_json_body(request, service, deadline, instances.body_bytes(limits)) as (values, buffer):
        given = _elements(values, limits.instances)
        results = await instances.scored(request, wishes, given, buffer)
        request_id = instances.words(values.get("id"), buffer, _ID_CHARACTERS)
    return _answer(service, results, request_id, wishes.wanted.level)


def _elements(values: Any, most: int) -> list[str | LongText]:
    inputs = values.get("inputs") if isinstance(values, dict) else None
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise Problem("invalid_request", f"`inputs` must be a list of one tensor, {INPUT!r}")
    tensor = inputs[0]
    if tensor.get("name") != INPUT or tensor.get("datatype") != "BYTES":
        raise Problem("invalid_request", f"inputs/0: must be called {INPUT!r} and have the datatype BYTES")
    elements = _flat(tensor.get("data"))
    shape = tensor.get("shape")
    if shape not in ([len(elements)], [len(elements), 1]):
        raise Problem(
            "invalid_request", f"inputs/0: shape must be [{len(elements)}], as many as there are in data"
        )
    if len(elements) > most:
        raise Problem("too_large", f"a request may have {most} pictures, not {len(elements)}")
    if not elements or not all(isinstance(one, str | LongText) for one in elements):
        raise Problem("invalid_request", "inputs/0: data must hold files in base64, at least one")
    return elements


def _flat(data: Any) -> list[Any]:
    """Tensors may come flat or as lists of lists."""
    if not isinstance(data, list):
        raise Problem("invalid_request", "inputs/0: data must be a list; binary data is not offered")
    return [inner for one in data for inner in (one if isinstance(one, list) else [one])]


def _answer(
    service: Service, results: Sequence[Scored | Problem], request_id: str | None, level: str
) -> Response:
    failed = [
        {"index": number, **result.members()}
        for number, result in enumerate(results)
        if isinstance(result, Problem)
    ]
    if failed:
        first = f"index {failed[0]['index']}: {failed[0]['detail']}"
        detail = f"{len(failed)} of {len(results)} were not scored; {first}"
        # The protocol knows errors only as this one sentence.
        raise Problem("items_failed", detail, more={"error": detail, "items": failed})
    scored = [result.result for result in results if isinstance(result, Scored)]
    model = service.desk.model
    outputs = [
        {
            "name": "score",
            "shape": [len(scored)],
            "datatype": "FP64",
            "data": [one["score"] for one in scored],
        },
        {
            "name": "label",
            "shape": [len(scored)],
            "datatype": "BYTES",
            "data": [one["label"] for one in scored],
        },
    ]
    told: dict[str, Any] = {
        "model_name": model["name"],
        "model_version": model["version"],
        "parameters": {
            "threshold": scored[0]["threshold"],
            "level": level,
            "weights_sha256": model["weights_sha256"],
            "preprocessing": model["preprocessing"],
            "engine": model["engine"],
        },
        "outputs": outputs,
    }
    return as_json(told if request_id is None else {"id": request_id, **told})


__all__ = ["router"]

"""KServe's first protocol, as Lift Wing's services speak it: instances in, predictions out.

Keys that are not known are tolerated, as Lift Wing's logo detection does, so that one client can ask
several services.
"""

from collections.abc import Mapping
from mmap import mmap
from typing import Any

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from classifier.service import instances
from classifier.service.answers import Scored, Wanted
from classifier.service.asking import PARAMETERS, asked
from classifier.service.classify import as_json
from classifier.service.documenting import SCORING_CODES, body, json_body, problems
from classifier.service.long_json import LongText
from classifier.service.problems import Problem
from classifier.service.reading import JSON, long_json_body
from classifier.service.schemas import ModelList, ModelStatus, PredictAnswer, PredictRequest
from classifier.service.service import Service, service_of

router = APIRouter(tags=["KServe v1"])

_NAME_CHARACTERS = 255
_EXAMPLE = {"instances": [{"filename": "Example.png", "image": "iVBORw0KGgo="}]}


@router.get("/v1/models", summary="Names of the models", response_model=ModelList)
async def models(request: Request) -> Response:
    """List the one model that is loaded."""
    return as_json({"models": [service_of(request).desk.model["name"]]})


@router.post(
    "/v1/models/{name}:predict",
    summary="Score pictures in base64",
    response_model=PredictAnswer,
    responses=problems(*SCORING_CODES, "unknown_model"),
    openapi_extra=body({JSON: json_body(PredictRequest, example=_EXAMPLE)}, PARAMETERS),
)
async def predict(request: Request, name: str) -> Response:
    """Score each instance; one that cannot be scored has a problem and no prediction."""
    service, wishes = service_of(request), asked(request)
    require_model(service, name)
    service.require_ready()
    await service.admit(request, "classify", 0)
    limits, deadline = service.limits, wishes.deadline
    async with long_json_body(request, service, deadline, instances.body_bytes(limits)) as (values, buffer):
        given = _instances(values, limits.instances)
        results = await instances.scored(request, wishes, [one["image"] for one in given], buffer)
        predictions = [_prediction(*pair, buffer, wishes.wanted) for pair in zip(given, results, strict=True)]
    return as_json({"predictions": predictions})


@router.get(
    "/v1/models/{name}",
    summary="Whether a model scores, and which one it is",
    response_model=ModelStatus,
    responses=problems("unknown_model"),
)
async def model(request: Request, name: str) -> Response:
    """Tell of the model."""
    service = service_of(request)
    if name.endswith(":predict"):
        raise HTTPException(405, headers={"Allow": "POST"})
    require_model(service, name)
    return as_json(
        {
            "name": service.desk.model["name"],
            "ready": service.not_ready_because is None and not service.draining,
            "model": service.desk.model,
            "thresholds": dict(service.parts.thresholds),
            "level": service.parts.level,
        }
    )


def require_model(service: Service, name: str) -> None:
    """Answer for the model that is loaded, and for no other.

    Raises:
        Problem: `unknown_model`.
    """
    if name != service.desk.model["name"]:
        raise Problem("unknown_model", f"only {service.desk.model['name']!r} is loaded")


def _instances(values: Any, most: int) -> list[Mapping[str, Any]]:
    given = values.get("instances") if isinstance(values, dict) else None
    if not isinstance(given, list) or not given:
        raise Problem("invalid_request", "`instances` must be a list of at least one object")
    if len(given) > most:
        raise Problem("too_large", f"a request may have {most} instances, not {len(given)}")
    for number, one in enumerate(given):
        if not isinstance(one, dict) or not isinstance(one.get("image"), str | LongText):
            raise Problem("invalid_request", f"instances/{number}: `image` must be a file in base64")
    return given


def _prediction(
    instance: Mapping[str, Any], result: Scored | Problem, buffer: bytearray | mmap, wanted: Wanted
) -> dict[str, Any]:
    told: dict[str, Any] = {
        "filename": instances.words(instance.get("filename"), buffer, _NAME_CHARACTERS),
        "target": "nsfw",
    }
    if isinstance(result, Problem):
        return told | {"prediction": None, "label": None, "problem": result.members()}
    members = result.members(wanted)
    return told | {"prediction": members["score"], "label": members["label"], "result": members}


__all__ = ["require_model", "router"]

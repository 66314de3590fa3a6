"""What the OpenAPI document says beyond a route's signature: bodies of any kind, and every problem."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import BaseModel

from classifier.service.problems import PROBLEM_JSON, PROBLEMS

SCORING_CODES: Final = (
    "malformed_request",
    "unauthorized",
    "forbidden",
    "upload_too_slow",
    "too_large",
    "unsupported_media_type",
    "invalid_request",
    "quota_exceeded",
    "overloaded",
    "deadline_exceeded",
)
"""Codes that stand for every status a route that scores may answer with."""

_REFERENCE: Final = {"$ref": "#/components/schemas/ProblemDetails"}


def problems(*codes: str) -> dict[int | str, dict[str, Any]]:
    """The problems of a route, for FastAPI's `responses`.

    Args:
        codes: One for each status, at least.

    Returns:
        Descriptions and content by status.
    """
    found: dict[int | str, dict[str, Any]] = {}
    for code in codes:
        status, title = PROBLEMS[code]
        alike = sorted(other for other, (one, _) in PROBLEMS.items() if one == status)
        example = {
            "type": f"/problems/{code}",
            "title": title,
            "status": status,
            "code": code,
            "detail": title,
        }
        found[status] = {
            "description": f"Codes: {', '.join(alike)}",
            "content": {PROBLEM_JSON: {"schema": _REFERENCE, "example": example}},
        }
    return found


def body(content: Mapping[str, Mapping[str, Any]], parameters: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A body and parameters that the route reads by itself, for FastAPI's `openapi_extra`.

    Args:
        content: Schemas by media type.
        parameters: See `asking.PARAMETERS`.

    Returns:
        The request's body, its parameters, and who may send it.
    """
    return {
        "requestBody": {"required": True, "content": dict(content)},
        "parameters": list(parameters),
        "security": [{"bearer": []}, {}],
    }


def json_body(*shapes: type[BaseModel], example: Any = None) -> dict[str, Any]:
    """The schema of a JSON body.

    Args:
        shapes: One of these.
        example: What to show.

    Returns:
        A media type object.
    """
    options = [{"$ref": f"#/components/schemas/{shape.__name__}"} for shape in shapes]
    found: dict[str, Any] = {"schema": options[0] if len(options) == 1 else {"oneOf": options}}
    if example is not None:
        found["example"] = example
    return found


def without_null(document: dict[str, Any]) -> None:
    """Say of parameters what is true: one that is not needed can be left out, but it cannot be null.

    Args:
        document: The OpenAPI document; changed in place.
    """
    for operations in document["paths"].values():
        for operation in operations.values():
            for parameter in operation.get("parameters", ()):
                schema = parameter["schema"]
                options = [one for one in schema.pop("anyOf", ()) if one != {"type": "null"}]
                if len(options) == 1:
                    schema |= options[0]
                elif options:
                    schema["anyOf"] = options


def components(shapes: Sequence[type[BaseModel]]) -> dict[str, Any]:
    """Schemas that routes name without FastAPI's knowledge.

    Args:
        shapes: The models.

    Returns:
        Schemas by name, those they contain included.
    """
    found: dict[str, Any] = {}
    for shape in shapes:
        schema = shape.model_json_schema(ref_template="#/components/schemas/{model}")
        found |= schema.pop("$defs", {})
        found[shape.__name__] = schema
    return found


__all__ = ["SCORING_CODES", "body", "components", "json_body", "problems", "without_null"]
